"""Passwords: right, wrong, unknown, damaged, too many at once."""

from __future__ import annotations

import asyncio
import re
import statistics
import time

import argon2
import pytest

from aparte import errors
from aparte.vault import PasswordGate, hash_password, needs_rehash, new_token, passwords, verify_password

RIGHT = "l'avion du mardi"


@pytest.fixture(scope="module")
def stored() -> str:
    return hash_password(RIGHT)


def test_it_knows_the_right_password(stored: str) -> None:
    assert verify_password(stored, RIGHT) is True


@pytest.mark.parametrize("wrong", ["", "l'avion du Mardi", RIGHT + " ", RIGHT + "\0", "\ud800", "x" * 1025])
def test_it_refuses_a_wrong_password(stored: str, wrong: str) -> None:
    assert verify_password(stored, wrong) is False


@pytest.mark.parametrize("password", [RIGHT, "", "\ud800"])
def test_it_refuses_an_unknown_user(password: str) -> None:
    assert verify_password(None, password) is False


def test_it_lets_no_unknown_user_in_by_any_password(stored: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "NOBODY", stored)  # even if that password were known
    assert verify_password(None, RIGHT) is False


def test_it_hashes_with_argon2id_at_46_mebibytes(stored: str) -> None:
    assert stored.startswith("$argon2id$v=19$m=47104,t=1,p=1$")
    assert hash_password(RIGHT) != stored  # a salt of its own each time


def test_it_takes_as_long_for_an_unknown_user(stored: str) -> None:
    def seconds(hash: str | None, password: str) -> float:  # noqa: A002 - as in the module
        start = time.perf_counter()
        verify_password(hash, password)
        return time.perf_counter() - start

    known, unknown = [], []
    for _ in range(7):  # in turns, so that a busy machine slows both
        known.append(seconds(stored, "wrong"))
        unknown.append(seconds(None, "wrong"))
    assert 0.5 < statistics.median(unknown) / statistics.median(known) < 2


def test_it_checks_an_unknown_user_with_todays_parameters() -> None:
    assert needs_rehash(passwords.NOBODY) is False


def test_it_says_when_a_hash_is_of_older_parameters(stored: str) -> None:
    old = argon2.PasswordHasher(time_cost=1, memory_cost=8 * 1024, parallelism=1).hash(RIGHT)
    assert verify_password(old, RIGHT) is True
    assert needs_rehash(old) is True
    assert needs_rehash(stored) is False


def test_it_takes_both_ways_of_writing_an_accent() -> None:
    assert verify_password(hash_password("déjà vu de près"), "de\u0301ja\u0300 vu de pre\u0300s") is True
    assert argon2.PasswordHasher().verify(hash_password("de\u0301ja\u0300"), "d\u00e9j\u00e0".encode())


@pytest.mark.parametrize("password", ["", "x" * 1025, "\ud800"])
def test_it_hashes_no_impossible_password(password: str) -> None:
    with pytest.raises(errors.BadInput, match=r"1 to 1,024"):
        hash_password(password)


@pytest.mark.parametrize(
    "damaged", ["", "l'avion du mardi", "$argon2id$v=19$m=47104,t=1,p=1$", "$argon2id$v=19$m=1$x$y"]
)
def test_it_says_when_a_hash_is_damaged(damaged: str) -> None:
    with pytest.raises(errors.Unreadable, match="new password"):
        verify_password(damaged, RIGHT)
    with pytest.raises(errors.Unreadable, match="new password"):
        needs_rehash(damaged)


def test_it_makes_tokens_of_256_bits() -> None:
    tokens = {new_token() for _ in range(1000)}
    assert len(tokens) == 1000
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{43}", token) for token in tokens)


async def test_it_verifies_beside_the_event_loop(stored: str) -> None:
    gate = PasswordGate()
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0.002)
            ticks += 1

    ticking = asyncio.create_task(tick())
    tries = (gate.verify(stored, RIGHT), gate.verify(stored, "wrong"), gate.verify(None, RIGHT))
    answers = list(await asyncio.gather(*tries))
    ticking.cancel()
    gate.close()
    assert answers == [True, False, False]
    assert ticks > 5


async def test_it_hashes_beside_the_event_loop() -> None:
    gate = PasswordGate()
    assert verify_password(await gate.hash(RIGHT), RIGHT)
    gate.close()


async def test_it_refuses_when_its_queue_is_full(stored: str) -> None:
    gate = PasswordGate(at_once=1, queue=2)
    answers = await asyncio.gather(*(gate.verify(stored, RIGHT) for _ in range(5)), return_exceptions=True)
    assert answers[:3] == [True, True, True]
    refusals = [answer for answer in answers[3:] if isinstance(answer, errors.TooMany)]
    assert len(refusals) == 2
    assert all(refusal.retry_after is not None and refusal.retry_after >= 1 for refusal in refusals)
    assert await gate.verify(stored, RIGHT) is True  # and goes on afterwards
    gate.close()


async def test_the_smallest_rank_goes_first_and_the_largest_is_refused(stored: str) -> None:
    gate = PasswordGate(at_once=1, queue=3)
    order: list[str] = []

    async def one(name: str, rank: int) -> None:
        try:
            await gate.verify(stored, RIGHT, rank=rank)
            order.append(name)
        except errors.TooMany:
            order.append(f"not {name}")

    wishes = [("first", 9), ("often", 7), ("twice", 2), ("again", 7), ("known", -1), ("once", 1), ("at last", 7)]
    await asyncio.gather(*(one(*wish) for wish in wishes))
    assert order == ["not at last", "not again", "not often", "first", "known", "once", "twice"]
    gate.close()


async def test_it_counts_those_whose_caller_has_gone(stored: str) -> None:
    gate = PasswordGate(at_once=1, queue=1)
    gone = [asyncio.create_task(gate.verify(stored, RIGHT)) for _ in range(2)]
    await asyncio.sleep(0)
    for task in gone:
        task.cancel()
    await asyncio.gather(*gone, return_exceptions=True)
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            assert await gate.verify(stored, RIGHT) is True
            break
        except errors.TooMany:  # the first one still runs: a thread cannot be stopped
            await asyncio.sleep(0.01)
    else:
        pytest.fail("the place of one who has gone was never free again")
    gate.close()
