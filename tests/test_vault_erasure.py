"""Destroyed keys: out of use at once, and no trace of them in any file of the ring."""

from __future__ import annotations

import random
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from aparte import errors
from aparte.vault import Vault, rootkey
from aparte.vault.ring import NEEDLE_BYTES, FileRing, find
from keyrings import change, core, on_disk, select, wrapped

LINE = ("message", "airline", "c_dupont", "m_1", 1, 0, "visitor", "text")


@pytest.fixture
def keyring(tmp_path: Path) -> Path:
    return tmp_path / "ring" / "ring.db"


@pytest.fixture
def root_key(tmp_path: Path) -> Path:
    return tmp_path / "root" / "root-1.key"


@pytest.fixture
def vault(keyring: Path, root_key: Path) -> Iterator[Vault]:
    made = Vault.create(keyring=keyring, root_key=root_key)
    yield made
    made.close()


def test_it_forgets_a_conversation_without_trace(vault: Vault, keyring: Path, root_key: Path) -> None:
    # Enough keys for pages to split, and a log that holds older copies of them.
    pairs = vault.new_pairs([(f"v_{n}", f"c_{n}") for n in range(400)])
    doomed = random.Random(1).sample([key for _, key in pairs], 25)
    sealed = {key: vault.seal(key, LINE, b"Bonjour") for _, key in pairs}
    needles = {key: wrapped(keyring, key) for _, key in pairs}
    assert all(core(needle) in on_disk(keyring) for needle in needles.values())
    for key in doomed:
        vault.forget(key)
    left = on_disk(keyring)
    for key, needle in needles.items():
        assert (core(needle) in left) is (key not in doomed)
    for _, key in pairs:
        if key in doomed:
            with pytest.raises(errors.Unreadable):
                vault.unseal(key, LINE, sealed[key])
        else:
            assert vault.unseal(key, LINE, sealed[key]) == b"Bonjour"
    vault.close()
    again = Vault.open(keyring=keyring, root_key=root_key)
    with pytest.raises(errors.Unreadable):
        again.seal(doomed[0], LINE, b"Bonjour")
    again.close()


def test_it_forgets_many_in_one_look(vault: Vault, keyring: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pairs = vault.new_pairs([(f"v_{n}", f"c_{n}") for n in range(40)])
    needles = [wrapped(keyring, key) for _, key in pairs]
    looks: list[int] = []
    really = FileRing.scrub
    monkeypatch.setattr(FileRing, "scrub", lambda ring, found: (looks.append(len(found)), really(ring, found)))
    vault.forget(*(key for _, key in pairs[:30]))
    assert looks == [30]
    left = on_disk(keyring)
    assert [core(needle) in left for needle in needles] == [False] * 30 + [True] * 10
    with pytest.raises(ValueError, match="installation"):
        vault.forget(pairs[39][1], vault.installation)
    assert core(needles[39]) in on_disk(keyring)


def test_it_forgets_a_person_with_all_conversations(vault: Vault, keyring: Path) -> None:
    (person, first), (other, kept) = vault.new_pairs([("v_one", "c_one"), ("v_two", "c_two")])
    second = vault.new_conversation("c_three", person)
    needles = [wrapped(keyring, key) for key in (person, first, second)]
    vault.forget(person)
    assert not any(core(needle) in on_disk(keyring) for needle in needles)
    for key in (person, first, second):
        with pytest.raises(errors.Unreadable):
            vault.seal(key, LINE, b"Bonjour")
    with pytest.raises(errors.Unreadable):
        vault.new_conversation("c_four", person)
    for key in (other, kept, vault.installation):
        assert vault.unseal(key, LINE, vault.seal(key, LINE, b"Bonjour")) == b"Bonjour"


def test_it_forgets_only_what_may_be_forgotten(vault: Vault, keyring: Path, root_key: Path) -> None:
    key = vault.new_person("v_dupont")
    before = select(keyring, "SELECT id FROM key ORDER BY id")
    with pytest.raises(ValueError, match="installation"):
        vault.forget(vault.installation)
    [(purpose,)] = select(keyring, "SELECT id FROM key WHERE owner = 'code'")
    assert isinstance(purpose, int)
    # Every person's key is wrapped by the root key: its id must not take them all along.
    for harmless in (purpose, rootkey.read(root_key).id, 12345, 0, -1, 1 << 70):
        vault.forget(harmless)
    assert select(keyring, "SELECT id FROM key ORDER BY id") == before
    vault.forget(key)
    vault.forget(key)  # forgotten already: no error
    assert len(select(keyring, "SELECT id FROM key")) == len(before) - 1


def leave_a_copy(keyring: Path, value: bytes) -> None:
    """A deleted copy of a value in a page's free space, as a split page can leave it."""
    with closing(sqlite3.connect(keyring)) as careless:
        careless.execute("PRAGMA secure_delete=OFF")
        with careless:
            careless.execute("INSERT INTO ring VALUES ('copy', ?)", (value,))
        with careless:
            careless.execute("DELETE FROM ring WHERE name = 'copy'")


def test_it_finds_and_removes_what_secure_delete_left(vault: Vault, keyring: Path) -> None:
    (_, key), (_, kept) = vault.new_pairs([("v_one", "c_one"), ("v_two", "c_two")])
    needle, sealed = wrapped(keyring, key), vault.seal(kept, LINE, b"Bonjour")
    leave_a_copy(keyring, needle)
    vault.forget(key)
    assert core(needle) not in on_disk(keyring)
    assert vault.unseal(kept, LINE, sealed) == b"Bonjour"


def test_it_says_when_a_trace_stays(vault: Vault, keyring: Path) -> None:
    _, key = vault.new_pair("v_dupont", "c_dupont")
    change(keyring, "INSERT INTO ring VALUES ('copy', ?)", wrapped(keyring, key))
    with pytest.raises(errors.StoreDown, match="traces"):
        vault.forget(key)
    with pytest.raises(errors.Unreadable):  # it is out of use all the same
        vault.seal(key, LINE, b"Bonjour")
    with pytest.raises(errors.StoreDown, match="traces"):  # and what was not proven is looked for again
        vault.forget(key)
    change(keyring, "DELETE FROM ring WHERE name = 'copy'")
    vault.forget(key)


def test_it_says_when_another_reader_keeps_the_log(vault: Vault, keyring: Path, root_key: Path) -> None:
    _, key = vault.new_pair("v_dupont", "c_dupont")
    needle = wrapped(keyring, key)
    vault.close()
    hurried = Vault(FileRing(keyring, busy_seconds=0.1), rootkey.read(root_key))
    with closing(sqlite3.connect(keyring, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM key").fetchone()
        with pytest.raises(errors.StoreDown, match="in use"):
            hurried.forget(key)
        with pytest.raises(errors.StoreDown, match="in use"):  # deleted already, and still in the log
            hurried.forget(key)
        with pytest.raises(errors.Unreadable):
            hurried.seal(key, LINE, b"Bonjour")
    hurried.forget(key)
    assert core(needle) not in on_disk(keyring)
    hurried.close()


def test_it_forgets_while_others_write(vault: Vault, keyring: Path) -> None:
    stop = threading.Event()

    def write() -> None:
        n = 0
        while not stop.is_set():
            n += 1
            vault.new_pair(f"v_{n}", f"c_{n}")

    doomed = vault.new_pairs([(f"v_d{n}", f"c_d{n}") for n in range(20)])
    needles = [wrapped(keyring, key) for pair in doomed for key in pair]
    writer = threading.Thread(target=write)
    writer.start()
    try:
        for person, _ in doomed:
            vault.forget(person)
    finally:
        stop.set()
        writer.join()
    assert not any(core(needle) in on_disk(keyring) for needle in needles)


@pytest.mark.parametrize("size", [NEEDLE_BYTES, 28])
def test_it_finds_a_run_of_bytes_wherever_it_lies(tmp_path: Path, size: int) -> None:
    needle, chunk = bytes(range(1, 1 + size)), 1 << 16
    end = 2 * chunk + 5
    path = tmp_path / "file"
    for at in (*range(9), *range(chunk - size - 1, chunk + 9), *range(end - size - 8, end - size + 1)):
        path.write_bytes(bytes(at) + needle + bytes(end - at - size))
        with path.open("rb") as file:
            assert find(file.fileno(), [b"another" * 4, needle]) is True
            assert find(file.fileno(), [needle[::-1]]) is False
            assert find(file.fileno(), []) is False
    with path.open("rb") as file, pytest.raises(ValueError, match="trace"):
        find(file.fileno(), [needle, needle[: NEEDLE_BYTES - 1]])


def test_it_keeps_its_locks_after_looking_for_traces(vault: Vault, keyring: Path) -> None:
    # Closing a file that SQLite has open drops its locks: another process would then take itself for the only user
    # and remove the log when it ends.
    _, key = vault.new_pair("v_dupont", "c_dupont")
    vault.forget(key)
    vault.new_person("v_other")
    program = (
        "import sqlite3, sys; d = sqlite3.connect(sys.argv[1]); d.execute('SELECT * FROM key').fetchall(); d.close()"
    )
    subprocess.run([sys.executable, "-c", program, keyring], check=True)
    assert keyring.with_name("ring.db-wal").exists()


def test_a_key_that_is_destroyed_while_it_is_read_does_not_stay(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    """Watched to fail where the prepared cipher is kept without asking whether a key was forgotten meanwhile."""
    _, key = vault.new_pair("v_late", "c_late")
    secret_of = vault._secret

    def late(wanted: int) -> tuple[bytes, bytes]:
        secret = secret_of(wanted)
        vault.forget(wanted)
        return secret

    with monkeypatch.context() as patch:
        patch.setattr(vault, "_secret", late)
        sealed = vault.seal(key, LINE, b"Bonjour")  # it was begun before the end of the key
    with pytest.raises(errors.Unreadable):
        vault.unseal(key, LINE, sealed)
