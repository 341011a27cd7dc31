"""Twin of actions/people.py: signing in, and what ends it."""

from __future__ import annotations

import asyncio

import argon2
import pytest

from aparte.actions import people
from aparte.actions.rates import ACCOUNT_LOGINS
from aparte.errors import NotSignedIn, TooMany
from harness import PASSWORD, Server, Start, email_of

pytestmark = pytest.mark.both_stores

OTHER = "another horse battery staple"


def sessions(server: Server) -> int:
    return int(server.rows("SELECT count(*) FROM agent_session")[0][0])


@pytest.mark.parametrize("change", ["password", "disabled"])
async def test_it_opens_no_session_for_what_changed_meanwhile(
    server: Server, change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = server.parts.passwords.verify

    async def slow(hash: str | None, password: str, *, rank: int) -> bool:  # noqa: A002 - the name of the real one's argument
        is_right = await real(hash, password, rank=rank)
        if change == "password":
            await people.set_password(server.store, email_of("claire"), OTHER)
        else:
            await people.set_disabled(server.store, email_of("claire"))
        return is_right

    monkeypatch.setattr(server.parts.passwords, "verify", slow)
    with pytest.raises(NotSignedIn):
        await people.sign_in(server.parts, email_of("claire"), PASSWORD, "10.0.0.1")
    assert sessions(server) == 0
    assert server.audited()[-1] == "agent.sign_in_refused"


def weaken(server: Server) -> str:
    """Claire's hash becomes one of earlier days."""
    weak = argon2.PasswordHasher(time_cost=1, memory_cost=1024, parallelism=1, type=argon2.Type.ID).hash(PASSWORD)
    server.change("UPDATE agent SET password_hash = ? WHERE id = ?", weak, server.agent_id("claire"))
    return weak


def kept_hash(server: Server) -> str:
    return str(server.rows("SELECT password_hash FROM agent WHERE id = ?", server.agent_id("claire"))[0][0])


async def test_a_right_password_counts_where_there_is_no_room_to_hash_it_anew(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with start(login_queue=2) as server:
        weak, gate, others = weaken(server), server.parts.passwords, []
        real = gate.verify

        async def verify_and_fill(hash: str | None, password: str, *, rank: int) -> bool:  # noqa: A002 - as above
            is_right = await real(hash, password, rank=rank)
            others.extend(asyncio.ensure_future(gate.hash(f"another {n}")) for n in range(4))
            await asyncio.sleep(0)
            return is_right

        with monkeypatch.context() as patch:
            patch.setattr(gate, "verify", verify_and_fill)
            await people.sign_in(server.parts, email_of("claire"), PASSWORD, "10.0.0.1")
        await asyncio.gather(*others)
        assert (sessions(server), kept_hash(server)) == (1, weak)
        await people.sign_in(server.parts, email_of("claire"), PASSWORD, "10.0.0.1")
        assert (sessions(server), kept_hash(server) == weak) == (2, False)


async def test_it_hashes_anew_beside_the_loop(server: Server) -> None:
    weak = weaken(server)
    used: list[str] = []
    real = server.parts.passwords._run

    async def run(work, *args):  # type: ignore[no-untyped-def]  # stands before the real one, which it calls
        used.append(work.func.__name__)
        return await real(work, *args)

    server.parts.passwords._run = run  # type: ignore[method-assign]  # as above
    await people.sign_in(server.parts, email_of("claire"), PASSWORD, "10.0.0.1")
    assert used == ["verify_password", "hash_password"]
    assert kept_hash(server) != weak
    await people.sign_in(server.parts, email_of("claire"), PASSWORD, "10.0.0.1")


async def test_it_lets_nobody_lock_a_colleague_out(start: Start) -> None:
    async with start(logins_per_minute=3) as server:
        for _ in range(3):
            with pytest.raises(NotSignedIn):
                await people.sign_in(server.parts, email_of("claire"), OTHER, "10.0.0.1")
        with pytest.raises(TooMany):
            await people.sign_in(server.parts, email_of("claire"), PASSWORD, "10.0.0.1")
        _, agent = await people.sign_in(server.parts, email_of("claire"), PASSWORD, "10.0.0.2")
        assert agent.name == "Claire"


async def test_it_bounds_the_tries_at_one_account_from_everywhere(start: Start) -> None:
    async with start(logins_per_minute=1) as server:
        for host in range(ACCOUNT_LOGINS):
            with pytest.raises(NotSignedIn):
                await people.sign_in(server.parts, email_of("claire"), OTHER, f"10.0.0.{host}")
        with pytest.raises(TooMany):
            await people.sign_in(server.parts, email_of("claire"), PASSWORD, "10.0.1.1")
        await people.sign_in(server.parts, email_of("marc"), PASSWORD, "10.0.1.2")
