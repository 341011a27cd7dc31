"""The key ring: made once, opened by its own root key alone, tampering noticed, destroyed keys without trace."""

from __future__ import annotations

import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from sqlalchemy.engine import Connection

from aparte import errors
from aparte.vault import PURPOSES, Vault, blob, chain, keys, ring, rootkey
from aparte.vault.ring import FileRing
from keyrings import change, on_disk, select, wrapped

LINE = ("message", "airline", "c_dupont", "m_1", 1, 0, "visitor", "text")


class PausingRing(FileRing):
    """A ring that stops after its first read until it is told to go on."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.has_read, self.go_on = threading.Event(), threading.Event()

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        with super().reading() as tx:
            yield tx
        self.has_read.set()
        assert self.go_on.wait(10)


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


def opened(keyring: Path, root_key: Path) -> tuple[chain.Chain, dict[int, ring.Row]]:
    """What one sees who holds the root key too."""
    [(ring_id,)] = select(keyring, "SELECT value FROM ring WHERE name = 'id'")
    rows = [ring.Row(*row) for row in select(keyring, "SELECT * FROM key")]
    return chain.Chain(ring_id.decode(), rootkey.read(root_key)), {row.id: row for row in rows}


def test_it_makes_both_files_for_their_owner_alone(vault: Vault, keyring: Path, root_key: Path) -> None:
    vault.new_pair("v_dupont", "c_dupont")
    assert stat.S_IMODE(root_key.stat().st_mode) == 0o400
    assert root_key.stat().st_size == 32
    assert {path.name for path in keyring.parent.iterdir()} == {"ring.db", "ring.db-wal", "ring.db-shm"}
    assert {stat.S_IMODE(path.stat().st_mode) for path in keyring.parent.iterdir()} == {0o600}
    assert {stat.S_IMODE(path.parent.stat().st_mode) for path in (keyring, root_key)} == {0o700}


def test_it_keeps_the_database_durable_and_overwriting(vault: Vault, keyring: Path) -> None:
    made = FileRing(keyring)
    with made.reading() as tx:
        modes = [
            tx.exec_driver_sql(f"PRAGMA {name}").scalar() for name in ("journal_mode", "synchronous", "secure_delete")
        ]
    made.close()
    assert modes == ["wal", 2, 1]  # 2 is FULL


def test_it_writes_no_key_in_clear(vault: Vault, keyring: Path, root_key: Path) -> None:
    person, conversation = vault.new_pair("v_dupont", "c_dupont")
    link, rows = opened(keyring, root_key)
    secrets = [link.unwrap(rows[person]).secret, link.unwrap(rows[conversation], rows[person]).secret]
    assert all(len(secret) == 32 and secret not in on_disk(keyring) for secret in [*secrets, root_key.read_bytes()])
    assert all(repr(secret) not in repr(link.unwrap(rows[person])) for secret in secrets)
    assert repr(root_key.read_bytes()) not in repr(link)


def test_it_makes_no_second_ring_over_the_first(vault: Vault, keyring: Path, root_key: Path) -> None:
    key = vault.new_person("v_dupont")
    sealed = vault.seal(key, LINE, b"Bonjour")
    with pytest.raises(errors.BadSetting, match="already") as refusal:
        Vault.create(keyring=keyring, root_key=root_key.with_name("root-2.key"))
    assert str(keyring) in str(refusal.value)
    assert not root_key.with_name("root-2.key").exists()
    assert vault.unseal(key, LINE, sealed) == b"Bonjour"


def test_it_uses_the_root_key_that_is_there(keyring: Path, root_key: Path) -> None:
    made = rootkey.make(root_key)
    Vault.create(keyring=keyring, root_key=root_key).close()
    assert root_key.read_bytes() == made.secret
    Vault.open(keyring=keyring, root_key=root_key).close()


def test_it_goes_on_after_an_interrupted_init(keyring: Path, root_key: Path) -> None:
    keyring.parent.mkdir()
    keyring.touch(0o600)
    vault = Vault.create(keyring=keyring, root_key=root_key)
    assert vault.new_person("v_dupont") > 0
    vault.close()


def test_it_leaves_no_half_made_ring(keyring: Path, root_key: Path) -> None:
    root_key.parent.mkdir()
    root_key.write_bytes(b"short")
    root_key.chmod(0o400)
    with pytest.raises(errors.WrongKey):
        Vault.create(keyring=keyring, root_key=root_key)
    with pytest.raises(errors.StoreDown):  # nothing in it passes for a ring
        Vault.open(keyring=keyring, root_key=rootkey_at(root_key.with_name("root-2.key")))
    root_key.chmod(0o600)
    root_key.unlink()
    Vault.create(keyring=keyring, root_key=root_key).close()


def rootkey_at(path: Path) -> Path:
    rootkey.make(path)
    return path


def test_it_refuses_another_root_key_of_the_same_name(vault: Vault, keyring: Path, root_key: Path) -> None:
    vault.close()
    other = rootkey_at(root_key.parent / "other" / root_key.name)
    with pytest.raises(errors.WrongKey, match="other bytes"):
        Vault.open(keyring=keyring, root_key=other)
    Vault.open(keyring=keyring, root_key=root_key).close()


def test_it_refuses_a_root_key_of_another_name(vault: Vault, keyring: Path, root_key: Path) -> None:
    vault.close()
    with pytest.raises(errors.WrongKey, match="'root-1'"):
        Vault.open(keyring=keyring, root_key=rootkey_at(root_key.with_name("root-2.key")))
    renamed = root_key.rename(root_key.with_name("root-3.key"))
    with pytest.raises(errors.WrongKey, match="'root-1'"):
        Vault.open(keyring=keyring, root_key=renamed)


def test_it_refuses_a_missing_root_key(vault: Vault, keyring: Path, root_key: Path) -> None:
    vault.close()
    root_key.unlink()
    with pytest.raises(errors.WrongKey, match="missing"):
        Vault.open(keyring=keyring, root_key=root_key)
    assert not root_key.exists()


def test_it_refuses_a_missing_ring_and_makes_none(keyring: Path, root_key: Path) -> None:
    rootkey.make(root_key)
    with pytest.raises(errors.BadSetting, match="aparte init") as refusal:
        Vault.open(keyring=keyring, root_key=root_key)
    assert str(keyring) in str(refusal.value)
    assert not keyring.exists()


def test_it_says_where_a_ring_cannot_be_made(tmp_path: Path, root_key: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(errors.BadSetting, match="keyring"):
        Vault.create(keyring=tmp_path / "file" / "ring.db", root_key=root_key)


@pytest.mark.parametrize("content", [b"no database " * 400, b"SQLite format 3\x00" + bytes(5000), b""])
def test_it_refuses_a_ring_that_is_none(keyring: Path, root_key: Path, content: bytes) -> None:
    rootkey.make(root_key)
    keyring.parent.mkdir()
    keyring.write_bytes(content)
    with pytest.raises(errors.StoreDown) as refusal:
        Vault.open(keyring=keyring, root_key=root_key)
    assert str(keyring) in str(refusal.value)


@pytest.mark.parametrize(
    "damage",
    [
        "DELETE FROM ring WHERE name = 'check'",
        "DELETE FROM ring WHERE name = 'id'",
        "DELETE FROM ring WHERE name = 'root'",
        "DELETE FROM ring WHERE name = 'format'",
        "UPDATE ring SET value = X'32' WHERE name = 'format'",
        "DELETE FROM key WHERE owner = 'index'",
        "DELETE FROM key WHERE kind = 'installation'",
        "UPDATE key SET owner = 'audit' WHERE owner = 'code'",
        "UPDATE key SET id = id + 1000 WHERE owner = 'code'",
        "UPDATE key SET kind = 'purpose' WHERE kind = 'installation'",
        "UPDATE key SET wrapped = (SELECT wrapped FROM key WHERE owner = 'code') WHERE owner = 'session'",
        "UPDATE key SET wrapped = zeroblob(102) WHERE owner = 'session'",
        "UPDATE key SET wrapped = 'text' WHERE owner = 'session'",
        "DROP TABLE key",
    ],
)
def test_it_refuses_a_damaged_ring(vault: Vault, keyring: Path, root_key: Path, damage: str) -> None:
    vault.close()
    with closing(sqlite3.connect(keyring)) as database, database:
        assert database.execute(damage).rowcount != 0
    before = select(keyring, "SELECT name, value FROM ring ORDER BY name")
    with pytest.raises(errors.StoreDown):
        Vault.open(keyring=keyring, root_key=root_key)
    assert select(keyring, "SELECT name, value FROM ring ORDER BY name") == before


@pytest.mark.parametrize("name", ["check", "id"])
def test_it_takes_a_changed_check_value_for_a_wrong_key(vault: Vault, keyring: Path, root_key: Path, name: str) -> None:
    vault.close()
    change(keyring, "UPDATE ring SET value = X'00' WHERE name = ?", name)
    with pytest.raises(errors.WrongKey):
        Vault.open(keyring=keyring, root_key=root_key)


def test_it_adds_the_purposes_of_a_newer_version(
    keyring: Path, root_key: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as older:
        older.setattr(keys, "PURPOSES", {"index": "", "code": ""})
        vault = Vault.create(keyring=keyring, root_key=root_key)
        before = vault.mac("index", "x")
        with pytest.raises(KeyError):
            vault.mac("session", "x")
        vault.close()
    vault = Vault.open(keyring=keyring, root_key=root_key)
    macs = {purpose: vault.mac(purpose, "x") for purpose in PURPOSES}
    assert macs["index"] == before
    vault.close()
    vault = Vault.open(keyring=keyring, root_key=root_key)  # they were kept
    assert {purpose: vault.mac(purpose, "x") for purpose in PURPOSES} == macs
    vault.close()


def test_it_adds_them_once_when_two_processes_open_it(
    keyring: Path, root_key: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as older:
        older.setattr(keys, "PURPOSES", {"index": ""})
        Vault.create(keyring=keyring, root_key=root_key).close()
    pausing = PausingRing(keyring)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(Vault, pausing, rootkey.read(root_key))
        assert pausing.has_read.wait(10)  # and saw that purposes are missing
        second = Vault.open(keyring=keyring, root_key=root_key)
        pausing.go_on.set()
        vault = first.result(10)
    assert {name: vault.mac(name, "x") for name in PURPOSES} == {name: second.mac(name, "x") for name in PURPOSES}
    second.close()
    vault.close()


def test_it_gives_rising_ids_however_fast_they_are_asked_for(vault: Vault, keyring: Path) -> None:
    other = FileRing(keyring)
    ids = [key for _ in range(300) for key in other.new_ids(500)]
    other.close()
    assert ids == sorted(set(ids))
    assert all(0 < key < 1 << 63 for key in ids)


def reopened_after(vault: Vault, keyring: Path, root_key: Path, statement: str, *values: object) -> Vault:
    vault.close()
    change(keyring, statement, *values)
    return Vault.open(keyring=keyring, root_key=root_key)


def test_it_notices_a_conversation_moved_to_another_person(vault: Vault, keyring: Path, root_key: Path) -> None:
    (_, one), (other, _) = vault.new_pairs([("v_one", "c_one"), ("v_two", "c_two")])
    sealed = vault.seal(one, LINE, b"Bonjour")
    again = reopened_after(vault, keyring, root_key, "UPDATE key SET wrapper = ? WHERE id = ?", other, one)
    with pytest.raises(errors.Unreadable):
        again.unseal(one, LINE, sealed)
    again.close()


def test_it_binds_the_person_in_the_conversations_wrap(vault: Vault, keyring: Path, root_key: Path) -> None:
    # The owner of a person's key is bound twice: in its own wrap and in those of its conversations. So even one who
    # holds the root key cannot pass off a person's key as another's and keep the conversations.
    person, one = vault.new_pair("v_one", "c_one")
    vault.close()
    link, rows = opened(keyring, root_key)
    secret = link.unwrap(rows[person]).secret
    assert link.unwrap(rows[one], rows[person]).row.owner == "c_one"
    renamed = rows[person]._replace(owner="v_two")
    bound = ("key", link.ring_id, chain.PERSON, "v_two", person, None)
    rewrapped = blob.seal(link.root.secret, blob.WRAP, link.root.id, bound, secret)
    renamed = renamed._replace(wrapped=rewrapped)
    assert link.unwrap(renamed).secret == secret
    with pytest.raises(errors.Unreadable):
        link.unwrap(rows[one], renamed)


@pytest.mark.parametrize(
    "tampering",
    [
        "UPDATE key SET owner = 'v_two' WHERE id = :person",
        "UPDATE key SET kind = 'installation' WHERE id = :person",
        "UPDATE key SET kind = 'person' WHERE id = :conversation",
        "UPDATE key SET owner = 'c_two' WHERE id = :conversation",
        "UPDATE key SET wrapped = (SELECT wrapped FROM key WHERE owner = 'c_two') WHERE id = :conversation",
        "UPDATE key SET wrapped = (SELECT wrapped FROM key WHERE owner = 'v_two') WHERE id = :person",
        "UPDATE key SET wrapped = substr(wrapped, 1, 101) WHERE id = :conversation",
        "UPDATE key SET wrapper = id WHERE id = :conversation",
        "DELETE FROM key WHERE id = :person",
        "DELETE FROM key WHERE id = :conversation",
    ],
)
def test_it_notices_a_tampered_row(vault: Vault, keyring: Path, root_key: Path, tampering: str) -> None:
    (person, one), _ = vault.new_pairs([("v_one", "c_one"), ("v_two", "c_two")])
    sealed = vault.seal(one, LINE, b"Bonjour")
    vault.close()
    with closing(sqlite3.connect(keyring)) as database, database:
        assert database.execute(tampering, {"person": person, "conversation": one}).rowcount == 1
    with pytest.raises((errors.Unreadable, errors.StoreDown)):
        again = Vault.open(keyring=keyring, root_key=root_key)  # some are noticed here already
        try:
            again.unseal(one, LINE, sealed)
        finally:
            again.close()


def test_it_notices_two_conversations_keys_swapped(vault: Vault, keyring: Path, root_key: Path) -> None:
    person, one = vault.new_pair("v_one", "c_one")
    two = vault.new_conversation("c_two", person)
    sealed = {key: vault.seal(key, LINE, b"Bonjour") for key in (one, two)}
    keys_of = wrapped(keyring, one), wrapped(keyring, two)
    vault.close()
    change(keyring, "UPDATE key SET wrapped = ? WHERE id = ?", keys_of[1], one)
    change(keyring, "UPDATE key SET wrapped = ? WHERE id = ?", keys_of[0], two)
    again = Vault.open(keyring=keyring, root_key=root_key)
    for key in (one, two):
        with pytest.raises(errors.Unreadable):
            again.unseal(key, LINE, sealed[key])
    again.close()


def test_it_gives_no_use_of_a_purposes_key_for_sealing(vault: Vault, keyring: Path) -> None:
    [(key,)] = select(keyring, "SELECT id FROM key WHERE owner = 'code'")
    assert isinstance(key, int)
    with pytest.raises(errors.Unreadable):
        vault.seal(key, LINE, b"Bonjour")


def test_it_commits_a_new_key_before_it_answers(vault: Vault, keyring: Path) -> None:
    person, conversation = vault.new_pair("v_dupont", "c_dupont")
    # Another process, which shares no memory and no cache with this one.
    program = "import sqlite3, sys; print(*sqlite3.connect(sys.argv[1]).execute('SELECT id FROM key').fetchall())"
    seen = subprocess.run([sys.executable, "-c", program, keyring], capture_output=True, text=True, check=True).stdout
    assert f"({person},)" in seen
    assert f"({conversation},)" in seen


def test_it_never_reuses_an_id(vault: Vault, keyring: Path, root_key: Path) -> None:
    older = [vault.new_person(f"v_{n}") for n in range(5)]
    for key in older:
        vault.forget(key)
    vault.close()
    again = Vault.open(keyring=keyring, root_key=root_key)
    newer = [again.new_person(f"v_{n}") for n in range(5)]
    assert min(newer) > max(older)
    again.close()


def test_it_says_when_the_ring_is_locked(vault: Vault, keyring: Path, root_key: Path) -> None:
    person = vault.new_person("v_dupont")
    vault.close()
    hurried = Vault(FileRing(keyring, busy_seconds=0.1), rootkey.read(root_key))
    with closing(sqlite3.connect(keyring, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(errors.StoreDown):
            hurried.new_conversation("c_dupont", person)
        assert hurried.seal(person, LINE, b"") != b""  # reading goes on beside a writer
        other.execute("ROLLBACK")
    assert hurried.new_conversation("c_dupont", person) > person
    hurried.close()
