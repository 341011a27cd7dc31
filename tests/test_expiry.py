"""Twin of actions/expiry.py: what time ends, and what nothing may end by mistake. What is forgotten in the usual
course is in test_jobs.py."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from typing import Any

import pytest

from aparte.actions import expiry
from aparte.actions.parts import MOST_SHOWN, Shown
from aparte.config import Database
from aparte.errors import NotFound
from aparte.store import Store, keeping
from harness import Server, Start
from threads import append, make_thread, row_of

pytestmark = pytest.mark.both_stores

DAY = 24 * 3600


async def test_it_spares_what_the_customer_has_just_opened_again(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    async with start(retention_days=1, session_idle_seconds=9 * DAY, session_seconds=9 * DAY) as server:
        visitor, desk, thread = await server.meeting()
        await desk.do("close", conversation=thread)
        server.skip(2 * DAY)
        read = server.store.read
        written: list[Any] = []

        async def late(query: Any) -> Any:
            found = await read(query)
            if found and not written:
                written.append(await visitor.say(thread, "I am back"))
            return found

        monkeypatch.setattr(server.store, "read", late)
        assert await expiry.retention(server.parts) == 0
        assert written
        assert server.rows("SELECT state FROM conversation") == [("waiting",)]
        await desk.watch(thread)
        await desk.event("message", text="I am back")


async def test_a_post_of_the_same_commit_is_not_acknowledged_into_nothing(store: Store) -> None:
    _, thread = await make_thread(store)
    row = await row_of(store, thread)
    before, after = append(store, thread, "before"), append(store, thread, "after")
    done = await asyncio.gather(before, store.write(lambda tx: keeping.forget(tx, row)), after, return_exceptions=True)
    if isinstance(store.place, Database):
        assert done[2] == 2  # it is in the commit before: only a plain append shares one there
    else:
        assert isinstance(done[2], NotFound)
    assert await store.read(lambda c: c.exec_driver_sql("SELECT count(*) FROM event").scalar_one()) == 0


async def test_a_remembered_conversation_that_is_deleted_is_not_there_any_more(store: Store) -> None:
    """Watched to fail where a row stays remembered while a transaction has it."""
    _, thread = await make_thread(store)
    await append(store, thread, "now its row is remembered")
    row = await row_of(store, thread)
    await store.write(lambda tx: keeping.forget(tx, tx.conversation(row.id)))
    with pytest.raises(NotFound):
        await append(store, thread, "into nothing")


async def test_it_forgets_what_nobody_ever_closed(start: Start) -> None:
    async with start(retention_days=1, session_idle_seconds=9 * DAY, session_seconds=9 * DAY) as server:
        visitor = await server.visitor()
        desk = await server.agent()
        thread = await visitor.open("Hello")
        await desk.expect("inbox")
        server.skip(2 * DAY)
        assert await expiry.retention(server.parts) == 1
        assert server.rows("SELECT * FROM conversation") == []
        await desk.expect("gone", conversation=thread)


async def test_who_has_it_open_when_it_goes_begins_anew(start: Start) -> None:
    async with start(retention_days=1, session_idle_seconds=9 * DAY, session_seconds=9 * DAY) as server:
        visitor, desk, thread = await server.meeting()
        elsewhere = await server.visitor()
        await elsewhere.open("Forget me not")
        server.skip(2 * DAY)
        await elsewhere.open("Forget me not")
        assert await expiry.retention(server.parts) == 1
        assert await visitor.closed() == await desk.closed() == 4008
        again = await server.visitor(token=visitor.token, conversation=thread)
        assert "conversation" not in again.welcome
        assert await again.open("Anybody?") != thread
        desk = await server.agent_again(desk.cookie, conversations={thread: 1})
        assert (await desk.expect("error", conversation=thread))["code"] == "not_found"
        await elsewhere.settle()


async def test_it_forgets_all_that_is_due_and_stops_at_none(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many, and whichever of them cannot be forgotten."""
    monkeypatch.setattr(expiry, "AT_ONCE", 2)
    async with start(retention_days=1) as server:
        for _ in range(7):
            visitor = await server.visitor()
            await visitor.open("Forget me")
            await visitor.leave()
        server.clients.clear()
        touched = "SELECT id FROM conversation ORDER BY id LIMIT 2"
        server.change(f"UPDATE conversation SET visitor_id = 'nobody' || id WHERE id IN ({touched})")
        server.skip(2 * DAY)
        assert await expiry.retention(server.parts) == 5
        assert server.rows("SELECT visitor_id LIKE 'nobody%' FROM conversation") == [(1,), (1,)]
        assert server.rows("SELECT * FROM erasure") == []


async def test_nothing_is_forgotten_because_the_clock_once_ran_ahead(start: Start) -> None:
    async with start() as server:
        await (await server.visitor()).open("Keep me")
        server.skip(400 * DAY)
        skipped = server.store.wall
        server.store.wall = lambda: skipped() - 400 * DAY  # type: ignore[method-assign]  # the clock was set right again
        assert await expiry.retention(server.parts) == 0
        assert server.rows("SELECT count(*) FROM conversation") == [(1,)]
        [told] = [entry for entry in server.logged if entry["event"] == "expiry.clock_ahead"]
        assert told["log_level"] == "error"
        assert told["seconds"] > 399 * DAY
        server.store.wall = lambda: skipped() - 3600  # type: ignore[method-assign]  # an hour is no alarm
        assert await expiry.retention(server.parts) == 1


async def test_it_drops_the_sessions_of_agents_that_ended(server: Server) -> None:
    for _ in range(3):
        await server.sign_in()
    old, idle, _ = [row[0] for row in server.rows("SELECT token_hash FROM agent_session")]
    server.change("UPDATE agent_session SET expires_at = 1 WHERE token_hash = ?", old)
    server.change("UPDATE agent_session SET seen_at = 1 WHERE token_hash = ?", idle)
    await expiry.retention(server.parts)
    assert len(server.rows("SELECT * FROM agent_session")) == 1


def test_what_was_shown_is_not_remembered_without_an_end() -> None:
    shown = Shown()
    for number in range(MOST_SHOWN):
        shown[str(number)] = ()
    shown["0"] = ()
    shown["one more"] = ()
    assert len(shown) == MOST_SHOWN
    assert "0" in shown
    assert "1" not in shown


@pytest.mark.sqlite_alone
async def test_no_key_outlives_its_rows_because_the_ring_was_busy_once(start: Start) -> None:
    async with start(retention_days=1) as server:
        visitor = await server.visitor()
        await visitor.open("Forget me")
        server.skip(2 * DAY)
        with contextlib.closing(sqlite3.connect(server.settings.keyring)) as other:
            other.execute("BEGIN IMMEDIATE")
            assert await expiry.retention(server.parts) == 1
            assert server.rows("SELECT count(*) FROM erasure") == [(1,)]
            other.rollback()
            people = "SELECT count(*) FROM key WHERE kind IN ('person', 'conversation')"
            assert other.execute(people).fetchone() == (2,)
            await expiry.retention(server.parts)
            assert other.execute(people).fetchone() == (0,)
        assert server.rows("SELECT * FROM erasure") == []


@pytest.mark.sqlite_alone
async def test_a_touched_key_keeps_no_other_from_its_end(start: Start) -> None:
    async with start(retention_days=1) as server:
        visitor = await server.visitor()
        await visitor.open("Forget me")
        server.skip(2 * DAY)
        server.change("INSERT INTO erasure (key_id) VALUES (?)", server.store.vault.installation)
        await expiry.retention(server.parts)
        assert server.rows("SELECT key_id FROM erasure") == [(server.store.vault.installation,)]
        with contextlib.closing(sqlite3.connect(server.settings.keyring)) as ring:
            people = "SELECT count(*) FROM key WHERE kind IN ('person', 'conversation')"
            assert ring.execute(people).fetchone() == (0,)


@pytest.mark.sqlite_alone
async def test_a_touched_row_keeps_no_other_from_its_end(start: Start) -> None:
    async with start() as server:
        threads = []
        for _ in range(3):
            visitor = await server.visitor()
            threads.append(await visitor.open("Hello"))
            await server.prove(visitor, threads[-1])
        first, second, third = threads
        server.change("UPDATE conversation SET lang = CAST(x'ff' AS TEXT) WHERE id = ?", first)
        server.change("UPDATE conversation SET staff_seq = 'x', visitor_seq = 'x' WHERE id = ?", second)
        server.skip(3 * 3600)
        await expiry.proofs_overdue(server.parts)
        assert server.rows("SELECT id FROM conversation WHERE standing IS NULL") == [(third,)]


async def test_a_touched_row_keeps_no_line_from_the_agents(server: Server) -> None:
    claire = await server.agent()
    touched, whole = await server.visitor(), await server.visitor()
    first = await touched.open("Hello")
    server.change("UPDATE conversation SET lang = CAST(x'ff' AS TEXT) WHERE id = ?", first)
    server.parts.hub.changed.add(first)
    second = await whole.open("Hello too")
    while (await claire.expect("inbox"))["entry"]["id"] != second:
        continue
