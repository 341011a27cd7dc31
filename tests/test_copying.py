"""Twin of store/copying.py: an installation goes from SQLite into PostgreSQL, whole, and goes on there."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

import databases
import harness
from aparte.config import Settings
from aparte.errors import BadSetting, StoreDown, Unreadable
from aparte.store import copying
from aparte.store.engine import claim
from attacks.bytescan import scan
from harness import Start, opened
from lived import CANARIES, Lived, come_back, copied, live, rows_on_postgresql, rows_on_sqlite, with_target

pytestmark = [pytest.mark.postgresql_alone, pytest.mark.usefixtures("dialect")]


@pytest.fixture(scope="session")
def lived_once(tmp_path_factory: pytest.TempPathFactory) -> Lived:
    return asyncio.run(live(tmp_path_factory.mktemp("lived")))


@pytest.fixture
def left(lived_once: Lived, tmp_path: Path) -> Lived:
    return copied(lived_once, tmp_path / "lived")


@pytest.fixture
def settings(left: Lived) -> Settings:
    """The installation, and two empty databases to copy it into."""
    return with_target(left.folder)


def nobody(*_what: object) -> None:
    """Does not watch."""


def source(settings: Settings) -> tuple[Path, Path]:
    return settings.data / "aparte.db", settings.keyring


def change(file: Path, statement: str, *values: object) -> None:
    with closing(sqlite3.connect(file)) as database, database:
        assert database.execute(statement, values).rowcount > 0


async def is_refused(settings: Settings, why: str) -> None:
    """As by `serve`, `init` and every other command."""
    with pytest.raises(BadSetting, match=why):
        async with opened(settings):
            pass


# ── whole ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_every_row_of_every_table_is_there_as_it_was(settings: Settings, left: Lived) -> None:
    before = rows_on_sqlite(*source(settings))
    assert [name for name, rows in before.items() if not rows] == []  # everything has happened
    bytes_before = [path.read_bytes() for path in source(settings)]
    compared = copying.copy(settings, nobody)
    assert all(one.is_same for one in compared)
    assert {one.table: one.rows for one in compared} == {
        name: len(rows) for name, rows in before.items() if name != "alembic_version"
    }
    after = rows_on_postgresql(left.folder)
    facts, facts_before = dict(after.pop("store_info")), dict(before.pop("store_info"))
    assert after == before
    assert facts.pop("copied_from") == facts_before.pop("epoch") == left.epoch
    assert facts.pop("epoch") != left.epoch
    assert facts == facts_before
    assert [path.read_bytes() for path in source(settings)] == bytes_before
    assert rows_on_sqlite(*source(settings))["event"] == before["event"]


async def test_a_conversation_goes_on_after_it(settings: Settings, left: Lived, start: Start) -> None:
    audited = len(rows_on_sqlite(*source(settings))["audit"])
    copying.copy(settings, nobody)
    async with start(again=left.folder) as server:
        assert server.settings.database_url
        visitor, desk = await come_back(server, left), await server.agent()
        assert (await visitor.expect("reset"))["epoch"] != left.epoch
        page = await visitor.expect("events")
        assert [one["seq"] for one in page["items"]] == list(range(1, left.last_seq + 1))
        assert CANARIES[1] in visitor.everything
        assert CANARIES[2] not in visitor.everything
        await desk.watch(left.thread)
        assert (await visitor.say(left.thread, "Still there?"))["seq"] == left.last_seq + 1
        await desk.event("message", text="Still there?")
        await desk.reply(left.thread, "Yes")
        await visitor.event("message", text="Yes")
        await server.meeting("A new one")
        assert len(server.audited()) > audited  # its numbers go on
        await server.prove(visitor, left.thread)


async def test_a_browser_that_knows_the_copy_takes_none_of_its_numbers_to_the_source(
    settings: Settings, left: Lived, start: Start
) -> None:
    copying.copy(settings, nobody)
    async with start(again=left.folder) as server:
        visitor = await come_back(server, left)
        await visitor.expect("reset")
        await visitor.say(left.thread, "said in PostgreSQL")
        known = {"last_seq": left.last_seq + 1, "epoch": server.store.epoch}
    (left.folder / databases._FILE).unlink()  # the operator goes back
    async with start(again=left.folder) as server:
        assert not server.settings.database_url
        first = await come_back(server, left)
        await first.say(left.thread, "said in SQLite")
        visitor = await server.visitor(**left.remembered | known)
        assert (await visitor.expect("reset"))["epoch"] == left.epoch
        await visitor.event("message", text="said in SQLite")


def test_nothing_of_it_can_be_read_on_the_way(settings: Settings, left: Lived, tmp_path: Path) -> None:
    copying.copy(settings, nobody)
    databases.dumped(left.folder, tmp_path / "dump")
    assert scan([tmp_path / "dump", left.folder], CANARIES) == []
    assert scan([tmp_path / "dump"], ["visitor"])  # what is not secret is found


# ── broken off ──────────────────────────────────────────────────────────────────────────────────────────────────

PROGRAM = """
import os, signal, sys
from aparte import cli
from aparte.store import copying, migrate
copying.BATCH = 6
where, number = sys.argv[1:]
calls = 0

def dying(name, module, early):
    real = getattr(module, name)
    def wrapped(*arguments):
        global calls
        calls += 1
        if calls == int(number) and early:
            os.kill(os.getpid(), signal.SIGKILL)
        result = real(*arguments)
        if calls == int(number):
            os.kill(os.getpid(), signal.SIGKILL)
        return result
    setattr(module, name, wrapped)

if where == "made":
    dying("migrated", migrate, False)
else:
    dying(where, copying, where == "_finish")
sys.argv = ["aparte", "migrate-store", "--yes"]
cli.main()
"""


async def test_it_goes_on_wherever_it_was_killed(settings: Settings, left: Lived) -> None:
    """Each time a little later: when the tables are made, in a batch, between the two that are let go at the end."""
    before = rows_on_sqlite(*source(settings))
    places = {"data": settings.data, "keyring": settings.keyring, "root_key": settings.root_key}
    places |= {"database_url": settings.database_url, "keyring_url": settings.keyring_url}
    environment = {k: v for k, v in os.environ.items() if not k.startswith("APARTE_")}
    environment |= {f"APARTE_{name.upper()}": str(value) for name, value in places.items()}
    seen = []
    for where, number in (("made", 1), ("_copy_some", 2), ("_finish", 2)):
        program = [sys.executable, "-c", PROGRAM, where, str(number)]
        ended = subprocess.run(program, env=environment, capture_output=True, text=True, check=False)
        assert ended.returncode == -signal.SIGKILL, ended.stderr
        rows = rows_on_postgresql(left.folder)
        seen.append(sum(len(found) for found in rows.values()))
        await is_refused(settings, "has not been finished|no key ring")
    assert seen[0] < seen[1] - 6 < seen[2] - 30  # the ring's facts; a batch of its keys too; everything
    compared = copying.copy(settings, nobody)
    assert all(one.is_same for one in compared)
    after = rows_on_postgresql(left.folder)
    assert {k: v for k, v in after.items() if k != "store_info"} == {
        k: v for k, v in before.items() if k != "store_info"
    }
    assert copying.copy(settings, nobody) == []  # finished, and nothing is done twice
    async with opened(settings):
        pass


def test_it_goes_on_within_a_table(settings: Settings, left: Lived, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever its key is made of: the server goes away when one row of it is there."""
    before = rows_on_sqlite(*source(settings))
    monkeypatch.setattr(copying, "BATCH", 1)
    keys = {"key", "event", "agent_session", "audit"}  # a large number, two columns, bytes, a counter
    halved: list[str] = []

    def watch(what: str, table: str, done: int, total: int) -> None:
        if what == "copied" and 0 < done < total and table in keys - set(halved):
            halved.append(table)
            raise StoreDown

    compared: list[copying.Compared] = []
    while not compared:
        begun = len(halved)
        try:
            compared = copying.copy(settings, watch)
        except StoreDown:
            assert len(halved) == begun + 1
    assert set(halved) == keys
    assert all(one.is_same for one in compared)
    assert rows_on_postgresql(left.folder)["event"] == before["event"]


async def test_it_begins_no_other_copy_over_a_half_one(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    half_done(settings, monkeypatch)
    change(settings.data / "aparte.db", "UPDATE store_info SET value = '0' || value WHERE name = 'clock'")
    with pytest.raises(BadSetting, match=r"gone on since its copy .* was begun. Make both databases anew"):
        copying.copy(settings, nobody)
    await is_refused(settings, "has not been finished")


def half_done(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """A copy whose server went away in the middle."""

    def watch(_what: str, table: str, done: int, _total: int) -> None:
        if table == "event" and done:
            raise StoreDown

    monkeypatch.setattr(copying, "BATCH", 6)
    with pytest.raises(StoreDown):
        copying.copy(settings, watch)
    monkeypatch.undo()


# ── refused ─────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_it_copies_nothing_that_a_server_uses(settings: Settings, left: Lived, start: Start) -> None:
    on_sqlite = {"database_url": "", "keyring_url": ""}
    async with start(again=left.folder, **on_sqlite):
        with pytest.raises(BadSetting, match="Another aparte serve uses"):
            copying.copy(settings, nobody)
    assert rows_on_postgresql(left.folder) == {}


def test_it_finishes_nothing_that_was_changed_meanwhile(settings: Settings) -> None:
    def watch(what: str, table: str, _done: int, _total: int) -> None:
        if (what, table) == ("compared", "agent"):
            change(settings.data / "aparte.db", "UPDATE agent SET is_disabled = 1 - is_disabled")

    with pytest.raises(BadSetting, match="was changed while it was copied"):
        copying.copy(settings, watch)


@pytest.mark.parametrize("which", ["data", "keyring"])
def test_it_leaves_a_database_alone_that_holds_something_else(settings: Settings, left: Lived, which: str) -> None:
    name = (left.folder / databases._FILE).read_text().splitlines()[which == "keyring"]
    databases.pgserver.shared().run("CREATE TABLE ledger (id int)", database=name)
    with pytest.raises(BadSetting, match="holds something else already"):
        copying.copy(settings, nobody)
    assert rows_on_postgresql(left.folder).keys() & {"ledger", "event"} == {"ledger"}


async def test_it_leaves_another_installation_alone(settings: Settings, left: Lived, tmp_path: Path) -> None:
    await harness.prepare(other := tmp_path / "other")
    (other / databases._FILE).write_text((left.folder / databases._FILE).read_text())
    copying.copy(settings, nobody)
    before = rows_on_postgresql(left.folder)
    with pytest.raises(BadSetting, match="holds something else already"):
        copying.copy(harness.settings_in(other), nobody)
    assert rows_on_postgresql(left.folder) == before


def test_it_copies_no_older_schema_and_no_newer_one(settings: Settings) -> None:
    for revision, fix in (("0000", "start aparte serve once as before"), ("0999", "use the newer version")):
        change(settings.data / "aparte.db", "UPDATE alembic_version SET version_num = ?", revision)
        with pytest.raises(BadSetting, match=fix):
            copying.copy(settings, nobody)


def test_it_says_what_the_settings_lack(settings: Settings) -> None:
    for lacking, word in (
        ({"database_url": "", "keyring_url": ""}, "database_url and keyring_url: not set"),
        ({"keyring": Path()}, "keyring: there is nothing to copy"),
        ({"data": settings.data / "nowhere"}, "data: there is nothing to copy"),
    ):
        with pytest.raises(BadSetting, match=word):
            copying.copy(dataclasses.replace(settings, **lacking), nobody)


def test_two_copies_are_not_made_at_once(settings: Settings, tmp_path: Path) -> None:
    with claim(settings.data), pytest.raises(BadSetting, match="Another aparte serve"):
        copying.copy(settings, nobody)
    engine = copying.postgres.engine(copying.places(settings)[0][1], size=1)
    with engine.connect() as elsewhere:  # on another machine, over a copy of the folder
        number = copying.postgres.lock_number("migrate-store")
        elsewhere.exec_driver_sql(f"SELECT pg_advisory_lock({number})")
        with pytest.raises(BadSetting, match="Another aparte migrate-store"):
            copying.copy(settings, nobody)
    engine.dispose()


# ── found ───────────────────────────────────────────────────────────────────────────────────────────────────────

TAMPERED = {
    "agent": "UPDATE agent SET is_disabled = NOT is_disabled WHERE role = 'supervisor'",
    "event": "UPDATE event SET sealed = set_byte(sealed, 20, 255 - get_byte(sealed, 20)) WHERE kind = 'note'",
    "held": "DELETE FROM held",
    "outbox": "INSERT INTO outbox SELECT id || 'x', kind, '', key_id, sealed, state, 0, 0, 0 FROM outbox LIMIT 1",
    "visitor": "UPDATE visitor SET created_at = created_at + 0.000001",
    "key": "UPDATE key SET owner = '' WHERE kind = 'person'",
}


async def test_a_row_that_is_not_as_it_was_is_found(settings: Settings, left: Lived) -> None:
    names = (left.folder / databases._FILE).read_text().splitlines()
    touched: dict[str, list[tuple[object, ...]]] = {}

    def watch(_what: str, last: str, _done: int, _total: int) -> None:
        if last == "visitor_session" and not touched:
            for table, statement in TAMPERED.items():
                name = names[table == "key"]
                touched[table] = databases.pgserver.shared().run(f"{statement} RETURNING 1", database=name)

    compared = copying.copy(settings, watch)
    assert all(touched.values())
    assert sorted(one.table for one in compared if not one.is_same) == sorted(TAMPERED)
    await is_refused(settings, "has not been finished")


def test_a_row_that_has_not_the_form_of_its_table_stops_it(settings: Settings) -> None:
    file = settings.data / "aparte.db"
    before = file.read_bytes()
    for value in ("unread = 'many'", "lang = x'ff'", "lang = 'e' || char(0) || 'n'", "about = 'text'"):
        change(file, f"UPDATE conversation SET {value}")
        with pytest.raises(Unreadable, match="not the form"):
            copying.copy(settings, nobody)
        file.write_bytes(before)
    change(file, "UPDATE conversation SET unread = ?", 1 << 40)  # the driver takes it, and writes another
    assert [one.table for one in copying.copy(settings, nobody) if not one.is_same] == ["conversation"]
