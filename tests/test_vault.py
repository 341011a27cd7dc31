"""Sealing and opening: what is bound, what is refused, and how keys are found."""

from __future__ import annotations

import hmac
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.engine import Connection

from aparte import errors
from aparte.vault import PURPOSES, STEP, Vault, rootkey
from aparte.vault.ring import FileRing

LINE = ("message", "airline", "c_dupont", "m_1", 1, 0, "visitor", "text")
TEXT = "Peut-on déplacer mon vol pour Toronto ?".encode()


@pytest.fixture
def vault(tmp_path: Path) -> Iterator[Vault]:
    made = Vault.create(keyring=tmp_path / "ring" / "ring.db", root_key=tmp_path / "root" / "root-1.key")
    yield made
    made.close()


def reopened(tmp_path: Path, **more: int) -> Vault:
    return Vault.open(keyring=tmp_path / "ring" / "ring.db", root_key=tmp_path / "root" / "root-1.key", **more)


def test_it_gives_back_what_was_sealed(vault: Vault) -> None:
    person, conversation = vault.new_pair("v_dupont", "c_dupont")
    for key in (person, conversation, vault.installation):
        sealed = vault.seal(key, LINE, TEXT)
        assert TEXT not in sealed
        assert vault.unseal(key, LINE, sealed) == TEXT


def test_it_opens_after_a_restart(vault: Vault, tmp_path: Path) -> None:
    person, conversation = vault.new_pair("v_dupont", "c_dupont")
    second = vault.new_conversation("c_second", person)
    alone = vault.new_person("v_alone")
    sealed = {key: vault.seal(key, LINE, TEXT) for key in (person, conversation, second, alone, vault.installation)}
    before = vault.mac("index", "dupont@example.org"), vault.conversation_mac(conversation, "post", TEXT)
    installation = vault.installation
    vault.close()
    again = reopened(tmp_path)
    assert again.installation == installation
    assert {key: again.unseal(key, LINE, blob) for key, blob in sealed.items()} == dict.fromkeys(sealed, TEXT)
    assert (again.mac("index", "dupont@example.org"), again.conversation_mac(conversation, "post", TEXT)) == before
    again.close()


@pytest.mark.parametrize(
    "other",
    [
        ("note", *LINE[1:]),
        ("message", "other-site", *LINE[2:]),
        ("message", "airline", "c_other", *LINE[3:]),
        (*LINE[:3], "m_2", *LINE[4:]),
        (*LINE[:4], 2, *LINE[5:]),  # moved in the stream
        (*LINE[:5], 1, *LINE[6:]),  # an edit rolled back
        (*LINE[:6], "agent", "text"),  # a customer's line shown as an agent's
        (*LINE[:7], "title"),
        LINE[:-1],
        (*LINE, None),
        (*LINE[:4], "1", *LINE[5:]),  # a number is not its digits
        ("messagea", "irline", *LINE[2:]),  # the same letters, parted elsewhere
        LINE[::-1],
        (),
    ],
)
def test_it_refuses_a_value_in_any_other_place(vault: Vault, other: tuple[str | int | None, ...]) -> None:
    _, key = vault.new_pair("v_dupont", "c_dupont")
    sealed = vault.seal(key, LINE, TEXT)
    with pytest.raises(errors.Unreadable):
        vault.unseal(key, other, sealed)


def test_it_refuses_swapped_rows(vault: Vault) -> None:
    (_, one), (_, two) = vault.new_pairs([("v_one", "c_one"), ("v_two", "c_two")])
    first, second = (*LINE[:3], "m_1", 1), (*LINE[:3], "m_2", 2)
    sealed = {first: vault.seal(one, first, b"first"), second: vault.seal(one, second, b"second")}
    with pytest.raises(errors.Unreadable):
        vault.unseal(one, first, sealed[second])
    with pytest.raises(errors.Unreadable):  # another conversation's value in the same place
        vault.unseal(one, first, vault.seal(two, first, b"first"))


def test_it_refuses_a_header_that_names_another_key(vault: Vault) -> None:
    (_, one), (_, two) = vault.new_pairs([("v_one", "c_one"), ("v_two", "c_two")])
    sealed = vault.seal(one, LINE, TEXT)
    renamed = sealed[:2] + two.to_bytes(8, "big") + sealed[10:]
    for key in (one, two):
        with pytest.raises(errors.Unreadable):
            vault.unseal(key, LINE, renamed)


def test_it_refuses_every_single_changed_bit(vault: Vault) -> None:
    _, key = vault.new_pair("v_dupont", "c_dupont")
    sealed = vault.seal(key, LINE, TEXT)
    for bit in range(8 * len(sealed)):
        changed = bytearray(sealed)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(errors.Unreadable):
            vault.unseal(key, LINE, bytes(changed))


def test_it_refuses_every_shortened_or_lengthened_blob(vault: Vault) -> None:
    _, key = vault.new_pair("v_dupont", "c_dupont")
    sealed = vault.seal(key, LINE, TEXT)
    others = [sealed[:end] for end in range(len(sealed))] + [sealed[start:] for start in range(1, len(sealed))]
    for other in [*others, sealed + b"\0", sealed + sealed, sealed + bytes(64)]:
        with pytest.raises(errors.Unreadable):
            vault.unseal(key, LINE, other)


@given(noise=st.binary(max_size=400), text=st.binary(max_size=300))
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_it_opens_only_what_it_sealed(vault: Vault, noise: bytes, text: bytes) -> None:
    key = vault.installation
    assert vault.unseal(key, LINE, vault.seal(key, LINE, text)) == text
    with pytest.raises(errors.Unreadable):
        vault.unseal(key, LINE, noise)
    with pytest.raises(errors.Unreadable):  # noise behind a header of ours
        vault.unseal(key, LINE, vault.seal(key, LINE, b"")[:10] + noise)


@pytest.mark.parametrize("stored", [TEXT, b"", None, "Bonjour", 7])
def test_it_never_takes_plaintext_for_a_value(vault: Vault, stored: bytes) -> None:
    with pytest.raises(errors.Unreadable):
        vault.unseal(vault.installation, LINE, stored)


def test_it_seals_a_text_that_looks_like_a_blob(vault: Vault) -> None:
    key = vault.installation
    inner = vault.seal(key, LINE, b"inner")
    sealed = vault.seal(key, LINE, inner)
    assert inner not in sealed
    assert vault.unseal(key, LINE, sealed) == inner
    with pytest.raises(errors.Unreadable):  # what a visitor typed is no value, even if it was one elsewhere
        vault.unseal(key, (*LINE[:7], "title"), inner)


def test_it_shows_lengths_only_in_steps(vault: Vault) -> None:
    lengths = [len(vault.seal(vault.installation, LINE, bytes(n))) for n in range(3 * STEP)]
    assert sorted(set(lengths)) == [38 + STEP, 38 + 2 * STEP, 38 + 3 * STEP]
    assert [lengths.count(length) for length in sorted(set(lengths))] == [STEP, STEP, STEP]


@pytest.mark.parametrize("text", [b"\x80", b"\x80\x00\x00", b"\x00" * 64, b"a" * 63 + b"\x80", b"\x80" * 200, b""])
def test_it_keeps_values_that_end_like_padding(vault: Vault, text: bytes) -> None:
    assert vault.unseal(vault.installation, LINE, vault.seal(vault.installation, LINE, text)) == text


def test_it_never_repeats_a_nonce(vault: Vault) -> None:
    key, count = vault.installation, 200_000
    assert len({vault.seal(key, LINE, b"")[10:22] for _ in range(count)}) == count


@pytest.mark.parametrize("key", [1, 0, -1, 1 << 63, 1 << 70, True, None, "7"])
def test_it_refuses_a_key_that_does_not_exist(vault: Vault, key: int) -> None:
    for use in (
        lambda: vault.seal(key, LINE, TEXT),
        lambda: vault.unseal(key, LINE, vault.seal(vault.installation, LINE, TEXT)),
        lambda: vault.conversation_mac(key, "x"),
        lambda: vault.new_conversation("c", key),
    ):
        with pytest.raises(errors.Unreadable):
            use()


def test_it_refuses_a_conversation_under_a_key_that_is_no_persons(vault: Vault) -> None:
    _, conversation = vault.new_pair("v_dupont", "c_dupont")
    for key in (conversation, vault.installation):
        with pytest.raises(errors.Unreadable):
            vault.new_conversation("c_other", key)


def test_it_refuses_another_rings_values(vault: Vault, tmp_path: Path) -> None:
    other = Vault.create(keyring=tmp_path / "other" / "ring.db", root_key=tmp_path / "root" / "root-1.key")
    _, key = other.new_pair("v_dupont", "c_dupont")
    sealed = other.seal(key, LINE, TEXT)
    foreign = other.seal(other.installation, LINE, TEXT)
    other.close()
    with pytest.raises(errors.Unreadable):
        vault.unseal(key, LINE, sealed)
    with pytest.raises(errors.Unreadable):
        vault.unseal(vault.installation, LINE, foreign)


def test_it_makes_many_pairs_at_once(vault: Vault) -> None:
    assert vault.new_pairs([]) == []
    pairs = vault.new_pairs([(f"v_{n}", f"c_{n}") for n in range(100)])
    ids = [key for pair in pairs for key in pair]
    assert ids == sorted(set(ids))
    sealed = [vault.seal(key, LINE, TEXT) for key in ids]
    assert all(vault.unseal(key, LINE, blob) == TEXT for key, blob in zip(ids, sealed, strict=True))


def test_it_hashes_under_a_key_for_each_purpose(vault: Vault) -> None:
    macs = {vault.mac(purpose, "dupont@example.org") for purpose in PURPOSES}
    assert len(macs) == len(PURPOSES)
    assert {len(mac) for mac in macs} == {32}
    assert vault.mac("code", "ab", "c") != vault.mac("code", "a", "bc")
    assert vault.mac("code", 1) != vault.mac("code", "1") != vault.mac("code", b"1")
    assert hmac.compare_digest(vault.mac("code", "1234", b"x", 3), vault.mac("code", "1234", b"x", 3))


@pytest.mark.parametrize("purpose", ["", "installation", "Index", "password"])
def test_it_knows_no_other_purpose(vault: Vault, purpose: str) -> None:
    with pytest.raises(KeyError, match="PURPOSES"):
        vault.mac(purpose, "x")


def test_it_hashes_under_each_conversation(vault: Vault) -> None:
    (_, one), (_, two) = vault.new_pairs([("v_one", "c_one"), ("v_two", "c_two")])
    assert len(vault.conversation_mac(one, "post", "bonjour")) == 16
    assert vault.conversation_mac(one, "post", "bonjour") == vault.conversation_mac(one, "post", "bonjour")
    assert vault.conversation_mac(one, "post", "bonjour") != vault.conversation_mac(two, "post", "bonjour")
    assert vault.conversation_mac(one, "post", "bonjour") != vault.conversation_mac(one, "postbonjour")


def test_it_works_beyond_its_cache(vault: Vault, tmp_path: Path) -> None:
    pairs = vault.new_pairs([(f"v_{n}", f"c_{n}") for n in range(10)])
    sealed = {key: vault.seal(key, LINE, TEXT) for _, key in pairs}
    small = reopened(tmp_path, cached_keys=2)
    for _ in range(3):
        assert all(small.unseal(key, LINE, blob) == TEXT for key, blob in sealed.items())
    small.close()


class CountingRing(FileRing):
    """A ring that counts its reads, and can stop after one until it is told to go on."""

    reads = 0
    stopped: threading.Event | None = None
    go_on: threading.Event | None = None

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        with super().reading() as tx:
            yield tx
        self.reads += 1
        if self.stopped is not None and self.go_on is not None:
            self.stopped.set()
            assert self.go_on.wait(10)


def test_it_keeps_the_keys_in_use_in_memory(vault: Vault, tmp_path: Path) -> None:
    one, two, three = (key for _, key in vault.new_pairs([("v_1", "c_1"), ("v_2", "c_2"), ("v_3", "c_3")]))
    vault.close()
    counting = CountingRing(tmp_path / "ring" / "ring.db")
    small = Vault(counting, rootkey.read(tmp_path / "root" / "root-1.key"), cached_keys=2)
    before = counting.reads
    for key in (one, two, one, one, two, one):
        small.conversation_mac(key, "text")
    assert counting.reads - before == 2
    small.conversation_mac(three, "text")  # drives out two, which was used less lately than one
    small.conversation_mac(one, "text")
    assert counting.reads - before == 3
    small.conversation_mac(two, "text")
    assert counting.reads - before == 4
    small.close()


def test_it_does_not_revive_a_key_forgotten_while_it_was_read(vault: Vault, tmp_path: Path) -> None:
    _, key = vault.new_pair("v_dupont", "c_dupont")
    vault.close()
    counting = CountingRing(tmp_path / "ring" / "ring.db")
    slow = Vault(counting, rootkey.read(tmp_path / "root" / "root-1.key"))
    counting.stopped, counting.go_on = threading.Event(), threading.Event()
    with ThreadPoolExecutor(1) as pool:
        reader = pool.submit(slow.seal, key, LINE, TEXT)
        assert counting.stopped.wait(10)  # it holds the row, and has not put its key into the cache
        slow.forget(key)
        counting.go_on.set()
        reader.result(10)
    with pytest.raises(errors.Unreadable):
        slow.seal(key, LINE, TEXT)
    slow.close()


def test_it_serves_eight_threads_at_once(vault: Vault, tmp_path: Path) -> None:
    pairs = vault.new_pairs([(f"v_{n}", f"c_{n}") for n in range(20)])
    small = reopened(tmp_path, cached_keys=5)  # so that keys come and go all the while

    def work(thread: int) -> int:
        good = 0
        for n in range(150):
            key = pairs[(thread * 7 + n) % 20][n % 2]
            text = f"{thread} {n}".encode() * 10
            good += small.unseal(key, (*LINE, thread, n), small.seal(key, (*LINE, thread, n), text)) == text
            if n % 50 == 0:
                small.new_pair(f"v_{thread}_{n}", f"c_{thread}_{n}")
        return good

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(work, range(8))) == [150] * 8
    small.close()


def test_it_is_of_no_use_once_closed(vault: Vault) -> None:
    _, key = vault.new_pair("v_dupont", "c_dupont")
    sealed = vault.seal(key, LINE, TEXT)
    vault.close()
    for use in (
        lambda: vault.unseal(key, LINE, sealed),
        lambda: vault.seal(key, LINE, TEXT),
        lambda: vault.mac("index", "x"),
        lambda: vault.new_person("v_other"),
        lambda: vault.forget(key),
    ):
        with pytest.raises(errors.StoreDown, match="closed"):
            use()
    vault.close()  # twice does no harm
