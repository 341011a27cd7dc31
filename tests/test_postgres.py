"""Twin of postgres.py and vault/server.py: what is promised on SQLite holds on PostgreSQL too.

What is the same on both is told by the tests that are marked `both_stores`. Here is what PostgreSQL alone can do to
us: it goes away, it lets several write at once, it keeps what was deleted.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import event

import databases
import harness
from aparte import backing, config, postgres
from aparte.config import Database
from aparte.errors import StoreDown, Unreadable
from aparte.frames import NoteBody
from aparte.store import Store, Tx, checks, conversations, directory_changed, keeping, kept_time
from aparte.store.writer import GATHER_SECONDS
from attacks.bytescan import scan
from clients import new_cid
from pgserver import PostgresServer
from threads import append, make_thread, stream, texts

pytestmark = [pytest.mark.postgresql_alone, pytest.mark.usefixtures("dialect")]


@pytest.fixture
def own() -> Iterator[PostgresServer]:
    """A server that this test may stop."""
    server = PostgresServer()
    yield server
    server.close()


@contextlib.asynccontextmanager
async def beside(store: Store) -> AsyncIterator[Store]:
    """Another node over the same data."""
    async with harness.opened(store._settings) as other:
        yield other


async def installed_on(server: PostgresServer, folder: Path, name: str = "") -> config.Settings:
    """An installation on that server, data and key ring apart. Args: name: of a database that is there already."""
    urls = {"database_url": server.url(name or server.make()), "keyring_url": server.url(server.make())}
    settings = harness.settings_in(folder, **urls)
    settings.root_key.parent.mkdir(parents=True)
    async with harness.opened(settings, new=True) as store:
        await harness.sites.add_site(store, harness.site())
    return settings


# ── it goes away ────────────────────────────────────────────────────────────────────────────────────────────────


async def test_it_acknowledges_nothing_while_the_server_is_away_and_goes_on_by_itself(
    own: PostgresServer, tmp_path: Path
) -> None:
    settings = await installed_on(own, tmp_path)
    async with harness.opened(settings) as store:
        _, thread = await make_thread(store)
        kept = []
        for round_ in range(2):
            assert await append(store, thread, f"before {round_}")
            own.stop(how="QUIT")
            for _ in range(3):
                with pytest.raises(StoreDown) as down:
                    await append(store, thread, f"away {round_}")
                assert down.value.retry_after
            with pytest.raises(StoreDown):
                await stream(store, thread)
            with pytest.raises(StoreDown):
                store.vault.new_pair("a person", "a conversation")
            own.start()
            assert await append(store, thread, f"after {round_}")
            store.vault.new_pair("a person", "a conversation")
            kept += [f"before {round_}", f"after {round_}"]
            assert texts(await stream(store, thread)) == kept


async def test_what_has_gathered_finds_out_together_that_the_server_is_away(
    own: PostgresServer, tmp_path: Path
) -> None:
    """To try each of them would keep the last one waiting for all the others' time-outs."""
    settings = await installed_on(own, tmp_path)
    async with harness.opened(settings) as store:
        own.stop(how="QUIT")
        failed, hold = store.commits.failed, threading.Event()
        doing = [asyncio.ensure_future(store.write(lambda tx: hold.wait(5) and tx.conversation("none")))]
        doing += [asyncio.ensure_future(store.write(lambda tx: tx.audit(("agent", "a"), "told"))) for _ in range(30)]
        await asyncio.sleep(0)
        hold.set()
        told = await asyncio.gather(*doing, return_exceptions=True)
        assert [type(one) for one in told] == [StoreDown] * 31
        assert store.commits.failed - failed <= 2


async def test_one_that_never_gets_through_refuses_no_other(store: Store) -> None:
    hold = threading.Event()
    undone = "DO $$ BEGIN RAISE deadlock_detected; END $$"
    doing = [
        asyncio.ensure_future(store.write(apply))
        for apply in (
            lambda _tx: hold.wait(5),
            lambda tx: tx.connection.exec_driver_sql(undone),
            lambda tx: tx.audit(("agent", "a"), "told"),
        )
    ]
    await asyncio.sleep(0.05)
    hold.set()
    _, unlucky, other = await asyncio.gather(*doing, return_exceptions=True)
    assert (type(unlucky), other) == (StoreDown, None)


def test_a_server_that_does_not_end_is_ended_by_force(own: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backing, "STOP_SECONDS", 0.3)
    process = own._process
    assert process is not None
    process.send_signal(signal.SIGSTOP)
    own.stop()
    assert process.returncode == -signal.SIGKILL


async def test_a_line_that_was_cut_between_two_commits_costs_nobody_a_message(store: Store) -> None:
    _, thread = await make_thread(store)
    place = store.place
    assert isinstance(place, Database)
    for number in range(3):
        assert await append(store, thread, f"text {number}") == number + 1
        cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = ? AND pid <> pg_backend_pid()"
        assert databases.rows(place, cut, place.name)
        assert len(await stream(store, thread)) == number + 1
    assert texts(await stream(store, thread)) == ["text 0", "text 1", "text 2"]


async def test_a_line_that_is_lost_while_rows_are_read_makes_no_row_unreadable(store: Store) -> None:
    """A row that is taken for unreadable leaves the screens of those who had it."""
    _, thread = await make_thread(store)
    lost = []

    def query(connection: Any) -> object:
        lost.append(connection.exec_driver_sql("SELECT 1").scalar())  # there is a line, and a transaction
        cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = ? AND pid <> pg_backend_pid()"
        assert isinstance(store.place, Database)
        assert databases.rows(store.place, cut, store.place.name)
        return keeping.readable(connection, [thread, thread[::-1]])

    with pytest.raises(StoreDown):
        await store.read(query)
    assert len(lost) == 2  # again on another line, and then it is told
    assert [row.id for row in await store.read(lambda c: keeping.readable(c, [thread]))] == [thread]


async def test_a_line_that_was_cut_within_a_commit_is_told(store: Store) -> None:
    """Nobody knows whether it was kept, so it is not run again unasked; the sender's cid makes the repeat safe."""
    _, thread = await make_thread(store)
    cid, ran = new_cid(), []

    def dying(tx: Tx) -> None:
        ran.append(1)
        tx.append(tx.conversation(thread), "note", NoteBody("told"), sender=("agent", "x"), visible=False)
        tx.connection.exec_driver_sql("SET LOCAL idle_in_transaction_session_timeout = '50ms'")

    def dies_at_commit(connection: Any) -> None:
        threading.Event().wait(0.4)

    event.listen(store._writing, "commit", dies_at_commit)
    with pytest.raises(StoreDown):
        await store.write(dying)
    event.remove(store._writing, "commit", dies_at_commit)
    assert ran == [1]
    assert await append(store, thread, "once", cid=cid) == 1
    assert await append(store, thread, "once", cid=cid) == 1


# ── several write at once ───────────────────────────────────────────────────────────────────────────────────────


async def test_commits_of_a_busy_moment_are_not_many(store: Store) -> None:
    """Watched to fail without the wait: up to one commit for each of them."""
    _, thread = await make_thread(store)
    before, begun = sum(store.commits.operations.counts), time.monotonic()
    writes = []
    for number in range(60):
        writes.append(asyncio.create_task(append(store, thread, f"message {number}")))
        await asyncio.sleep(0.001)
    await asyncio.gather(*writes)
    assert sum(store.commits.operations.counts) - before <= (time.monotonic() - begun) / GATHER_SECONDS + 1


async def test_two_nodes_number_one_conversation_without_a_gap_or_a_double(store: Store) -> None:
    _, thread = await make_thread(store)
    async with beside(store) as other:
        wrote = await asyncio.gather(
            *(append((store, other)[number % 2], thread, f"text {number}") for number in range(200))
        )
    assert sorted(wrote) == list(range(1, 201))
    told = await stream(store, thread)
    assert [one.staff_seq for one in told] == list(range(1, 201))
    assert sorted(texts(told)) == sorted(f"text {number}" for number in range(200))


async def test_one_cid_at_two_nodes_is_one_message(store: Store) -> None:
    _, thread = await make_thread(store)
    async with beside(store) as other:
        for number in range(20):
            cid = new_cid()
            wrote = await asyncio.gather(*(append(node, thread, "once", cid=cid) for node in (store, other)))
            assert wrote == [number + 1] * 2
    assert len(await stream(store, thread)) == 20


async def test_two_nodes_that_stand_in_each_others_way_both_get_through(store: Store) -> None:
    """Each holds what the other wants: the server undoes one, and its node runs it again."""
    (_, first), (_, second) = await make_thread(store), await make_thread(store)
    meeting = threading.Barrier(2, timeout=5)

    def crossing(one: str, then: str) -> Any:
        is_first = [True]

        def apply(tx: Tx) -> None:
            tx.touch(tx.conversation(one))
            if is_first.pop() if is_first else False:
                meeting.wait()
            row = tx.conversation(then)
            tx.append(row, "note", NoteBody("told"), sender=("agent", "x"), visible=False)

        return apply

    async with beside(store) as other:
        await asyncio.gather(store.write(crossing(first, second)), other.write(crossing(second, first)))
    assert [len(await stream(store, thread)) for thread in (first, second)] == [1, 1]


async def test_rows_are_locked_in_one_order_whatever_language_the_database_sorts_by(
    own: PostgresServer, tmp_path: Path
) -> None:
    """Watched to fail with columns that sort as the database does, a before B."""
    if own._version < 150_000 or not own.run("SELECT 1 FROM pg_collation WHERE collprovider = 'i' LIMIT 1"):
        pytest.skip("this PostgreSQL knows no languages")
    own.run(
        f"CREATE DATABASE english TEMPLATE template0 OWNER {backing.OWNER} "
        "ENCODING 'UTF8' LOCALE 'C' LOCALE_PROVIDER icu ICU_LOCALE 'en'"
    )
    async with harness.opened(await installed_on(own, tmp_path / "place", "english")) as store:
        ids = [(await make_thread(store))[1] for _ in range(12)]
        locked = await store.write(lambda tx: list(conversations.lock(tx.connection, ids)))
    assert locked == sorted(ids)


async def test_two_nodes_count_as_one(store: Store) -> None:
    """Five deeds are allowed; whoever asks, and however many at once, five are done."""

    def one_deed(tx: Tx) -> bool:
        if checks.count(tx.connection, "deed", b"k", tx.now - 60) >= 5:
            return False
        checks.note(tx, "deed", b"k")
        return True

    async with beside(store) as other:
        done = await asyncio.gather(*((store, other)[number % 2].write(one_deed) for number in range(40)))
    assert sum(done) == 5


async def test_two_nodes_that_change_the_directory_lose_no_change(store: Store) -> None:
    before = store.directory.version
    async with beside(store) as other:
        await asyncio.gather(*((store, other)[number % 2].write(directory_changed) for number in range(20)))
        assert await other.refresh()
    assert await store.refresh()
    assert store.directory.version == before + 20


async def test_the_time_that_is_kept_is_the_latest_of_all_nodes(store: Store) -> None:
    async with beside(store) as behind:
        store._last = store.now() + 1000
        await store.keep_time()
        kept = await store.read(kept_time)
        await behind.keep_time()
        assert await store.read(kept_time) == kept > behind.now() + 900


async def test_a_row_that_somebody_holds_keeps_no_other_waiting_for_good(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    (_, held), (_, free) = await make_thread(store), await make_thread(store)
    place = store.place
    assert isinstance(place, Database)
    assert postgres.LOCK_MILLISECONDS >= 1_000
    monkeypatch.setitem(postgres._ALWAYS, "lock_timeout", "1000")
    async with beside(store) as hurried:
        with psycopg.connect(host=place.host, user="postgres", dbname=place.name) as somebody:
            somebody.execute("SELECT 1 FROM conversation WHERE id = %s FOR UPDATE", (held,))
            began = time.monotonic()
            results = await asyncio.gather(
                append(hurried, free, "a"),
                append(hurried, held, "b"),
                append(hurried, free, "c"),
                return_exceptions=True,
            )
            assert results[0] == 1
            assert isinstance(results[1], StoreDown)
            assert results[2] == 2
            assert time.monotonic() - began < 1.8  # 2.1 s, if the one that wants it waits for it once more, alone
            for deed in (lambda: append(hurried, held, "b"), lambda: hurried.write(lambda tx: tx.conversation(held))):
                began = time.monotonic()
                told = await asyncio.gather(*(deed() for _ in range(12)), return_exceptions=True)
                assert [type(one) for one in told] == [StoreDown] * 12
                assert time.monotonic() - began < 3.0  # 13 s, if each of them waited as long
        assert await append(hurried, held, "b") == 1


# ── what it keeps ───────────────────────────────────────────────────────────────────────────────────────────────


async def test_it_commits_durably_whatever_the_account_is_set_to(store: Store) -> None:
    place = store.place
    assert isinstance(place, Database)
    databases.rows(place, f"ALTER DATABASE {place.name} SET synchronous_commit = off")
    async with beside(store) as other:
        asked = lambda c: c.exec_driver_sql("SHOW synchronous_commit").scalar()  # noqa: E731 - used twice
        assert await other.write(lambda tx: asked(tx.connection)) == "on"
    assert databases.rows(place, "SHOW synchronous_commit") == [("off",)]


async def test_a_line_keeps_a_statement_for_each_number_of_rows(store: Store) -> None:
    """The driver's own hundred would push each other out: three statements, each of 1 to 32 rows, and what looks them up."""

    def many(tx: Tx) -> int:
        for number in range(150):
            for _ in range(6):  # the driver prepares what comes for the sixth time
                tx.connection.exec_driver_sql(f"SELECT {number}")
        return int(tx.connection.exec_driver_sql("SELECT count(*) FROM pg_prepared_statements").scalar_one())

    assert await store.write(many) >= 150


async def test_a_reader_sees_one_state_and_changes_nothing(store: Store) -> None:
    def isolation(connection: Any) -> tuple[Any, Any]:
        ask = connection.exec_driver_sql
        return ask("SHOW transaction_isolation").scalar(), ask("SHOW transaction_read_only").scalar()

    assert await store.read(isolation) == ("repeatable read", "on")


@pytest.mark.parametrize(
    "statement",
    ["UPDATE audit SET action = 'nothing'", "DELETE FROM audit", "TRUNCATE audit"],
)
async def test_the_audit_log_only_grows(store: Store, statement: str) -> None:
    await store.write(lambda tx: tx.audit(("agent", "a"), "told"))
    place = store.place
    assert isinstance(place, Database)
    before = databases.rows(place, "SELECT * FROM audit")
    with pytest.raises(psycopg.errors.RestrictViolation, match="append-only"):
        databases.rows(place, statement)
    assert databases.rows(place, "SELECT * FROM audit") == before != []


async def test_a_forgotten_key_is_out_of_the_table_and_of_every_dump(store: Store) -> None:
    person, key = store.vault.new_pair("somebody", "a thread")
    sealed = store.vault.seal(key, ("a",), b"text")
    place = store.place
    assert isinstance(place, Database)
    ask = "SELECT count(*) FROM key WHERE id IN (?, ?)"
    assert databases.rows(place, ask, person, key) == [(2,)]
    store.vault.forget(person)
    assert databases.rows(place, ask, person, key) == [(0,)]
    with pytest.raises(Unreadable):
        store.vault.unseal(key, ("a",), sealed)
    vacuumed = databases.rows(place, "SELECT pg_stat_get_vacuum_count('key'::regclass)")
    store.vault.forget(person)  # forgotten already: nothing to take out
    assert databases.rows(place, "SELECT pg_stat_get_vacuum_count('key'::regclass)") == vacuumed


async def test_it_keeps_texts_and_names_out_of_the_servers_files(own: PostgresServer, tmp_path: Path) -> None:
    settings = await installed_on(own, tmp_path / "place")
    async with harness.opened(settings) as store:
        _, thread = await make_thread(store, name="Bartholomew Zwartekraai")
        await append(store, thread, "a text with a Kanarienvogel in it")
    own.run("CHECKPOINT")
    folders = [own.folder, tmp_path]
    assert scan(folders, ["Zwartekraai", "Kanarienvogel", harness.SECRET]) == []
    assert scan(folders, [thread]) != []  # the scan looks where the rows are, and in the server's log
