"""Twin of store/writer.py: what is acknowledged is durable, and one bad operation harms nobody else."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import threading
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.exc import IntegrityError

import databases
import harness
from aparte.config import Database
from aparte.errors import BadInput, CidConflict, StoreDown, TooMany, Unreadable
from aparte.frames import MessageBody
from aparte.model import Agent, Role
from aparte.store import Store, Tx, cid_key, database_of, new_id, people
from aparte.store.writer import Writer
from batches import one_batch, together
from clients import new_cid
from threads import append, appending, make_thread, stream, texts

pytestmark = pytest.mark.both_stores


async def test_it_commits_what_waits_together(store: Store) -> None:
    _, thread = await make_thread(store)
    results, said = await together(store, *(append(store, thread, f"text {number}") for number in range(50)))
    assert results == list(range(1, 51))
    assert said.count("COMMIT") == 1
    if not isinstance(store.place, Database):
        inserts = [at for at, statement in enumerate(said) if statement.startswith("INSERT INTO event")]
        assert len(inserts) == 50
        assert inserts[-1] - inserts[0] == 49  # nothing in between
    assert texts(await stream(store, thread)) == [f"text {number}" for number in range(50)]


async def test_what_another_process_wrote_counts_in_the_next_commit(store: Store) -> None:
    """Watched to fail where the database's version is not asked."""
    _, thread = await make_thread(store)
    await append(store, thread, "now its row is remembered")
    databases.tamper(store, "UPDATE conversation SET unread = 7")
    assert await store.write(lambda tx: tx.conversation(thread).unread) == 7


async def test_what_an_operation_left_in_a_row_and_did_not_write_is_gone(store: Store) -> None:
    """Watched to fail where rows that were only read are remembered too."""
    _, thread = await make_thread(store)
    await append(store, thread, "now its row is remembered")

    def forgetful(tx: Tx) -> None:
        tx.conversation(thread).unread = 99

    await store.write(forgetful)
    assert await store.write(lambda tx: tx.conversation(thread).unread) == 0


@pytest.mark.parametrize("is_plain", [True, False])
@pytest.mark.parametrize("after_append", [True, False])
async def test_it_loses_one_poisoned_operation_among_fifty_and_no_other(
    store: Store, is_plain: bool, after_append: bool
) -> None:
    _, thread = await make_thread(store)
    _, other = await make_thread(store)

    def poison(tx: Tx) -> None:
        row = tx.conversation(thread)
        if after_append:
            tx.append(row, "message", MessageBody("poison"), sender=("visitor", "x"), visible=True)
        raise ZeroDivisionError

    writes: list[Any] = [append(store, (thread, other)[number % 2], f"text {number}") for number in range(49)]
    writes.insert(25, store.write(poison, conversation=thread if is_plain else None))
    results, _ = await together(store, *writes)
    assert [type(one) for one in results if not isinstance(one, int)] == [ZeroDivisionError]
    assert isinstance(results[25], ZeroDivisionError)
    assert texts(await stream(store, thread)) == [f"text {number}" for number in range(0, 49, 2)]
    assert texts(await stream(store, other)) == [f"text {number}" for number in range(1, 49, 2)]


async def test_it_loses_one_that_can_be_noted_but_not_written_and_no_other(store: Store) -> None:
    _, thread = await make_thread(store)

    def unwritable(tx: Tx) -> None:
        tx.audit(("agent", object()), "never")  # type: ignore[arg-type]  # what the database will not take

    results, _ = await together(
        store,
        append(store, thread, "before"),
        store.write(unwritable, conversation=thread),
        append(store, thread, "after"),
    )
    assert results[0] == 1
    assert results[2] == 2
    assert isinstance(results[1], Exception)
    assert texts(await stream(store, thread)) == ["before", "after"]


TAMPERED: dict[str, tuple[str, Any]] = {
    "text that is not UTF-8": ("UPDATE conversation SET lang = CAST(? AS TEXT) WHERE id = ?", b"\xff\xfe"),
    "text for bytes": ("UPDATE conversation SET about = CAST(? AS TEXT) WHERE id = ?", b"\xff\xfe"),
    "text for a number": ("UPDATE conversation SET staff_seq = ? WHERE id = ?", "many"),
    "a number beyond all": ("UPDATE conversation SET staff_seq = ? WHERE id = ?", 2**63 - 1),
}


@pytest.mark.sqlite_alone
@pytest.mark.parametrize("how", TAMPERED)
async def test_a_tampered_row_loses_its_own_message_and_no_other(store: Store, how: str) -> None:
    (_, thread), (_, other) = await make_thread(store), await make_thread(store)
    statement, value = TAMPERED[how]
    with contextlib.closing(sqlite3.connect(database_of(store._settings), isolation_level=None)) as thief:
        thief.execute(statement, (value, thread))
    results, _ = await together(
        store, append(store, other, "before"), append(store, thread, "lost"), append(store, other, "after")
    )
    assert [results[0], results[2]] == [1, 2]
    assert texts(await stream(store, other)) == ["before", "after"]
    assert isinstance(results[1], Exception)


@pytest.mark.sqlite_alone
async def test_it_calls_a_row_unreadable_that_no_retry_will_read(store: Store) -> None:
    _, thread = await make_thread(store)
    with contextlib.closing(sqlite3.connect(database_of(store._settings), isolation_level=None)) as thief:
        thief.execute(TAMPERED["text that is not UTF-8"][0], (b"\xff\xfe", thread))
    with pytest.raises(Unreadable):
        await append(store, thread, "lost")


async def test_it_refuses_one_that_is_refused_and_no_other(store: Store) -> None:
    _, thread = await make_thread(store)

    def refused(_tx: Tx) -> None:
        raise BadInput

    results, said = await together(
        store, append(store, thread, "a"), store.write(refused, conversation=thread), append(store, thread, "b")
    )
    assert [results[0], type(results[1]), results[2]] == [1, BadInput, 2]
    assert said.count("COMMIT") == 1


async def test_it_publishes_nothing_of_what_was_rolled_back(store: Store) -> None:
    _, thread = await make_thread(store)
    heard: list[str] = []
    store.listen(lambda events: heard.extend(texts(events)))

    def poison(tx: Tx) -> None:
        tx.append(tx.conversation(thread), "message", MessageBody("poison"), sender=("visitor", "x"), visible=True)
        raise ZeroDivisionError

    await together(store, append(store, thread, "a"), store.write(poison), append(store, thread, "b"))
    assert heard == ["a", "b"]


async def test_it_leaves_no_gap_where_one_could_not_be_sealed(store: Store) -> None:
    _, thread = await make_thread(store)

    def unsealable(tx: Tx) -> None:
        body: Any = object()
        tx.append(tx.conversation(thread), "message", body, sender=("visitor", "x"), visible=True)

    results, _ = await together(
        store, append(store, thread, "a"), store.write(unsealable, conversation=thread), append(store, thread, "b")
    )
    assert [results[0], type(results[1]), results[2]] == [1, TypeError, 2]
    assert texts(await stream(store, thread, for_visitor=True)) == ["a", "b"]


# ── repeats ─────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_it_answers_a_repeat_with_the_first_number(store: Store) -> None:
    _, thread = await make_thread(store)
    cid = new_cid()
    assert await append(store, thread, "once", cid=cid) == 1
    assert await append(store, thread, "between") == 2
    assert await append(store, thread, "once", cid=cid) == 1
    assert texts(await stream(store, thread)) == ["once", "between"]


async def test_it_knows_a_repeat_within_the_batch(store: Store) -> None:
    _, thread = await make_thread(store)
    cid = new_cid()
    results, _ = await together(store, *(append(store, thread, "once", cid=cid) for _ in range(5)))
    assert results == [1] * 5
    assert texts(await stream(store, thread)) == ["once"]


@pytest.mark.parametrize("in_one_batch", [True, False])
async def test_it_refuses_another_body_under_the_same_cid(store: Store, in_one_batch: bool) -> None:
    _, thread = await make_thread(store)
    cid = new_cid()
    writes = [append(store, thread, text, cid=cid) for text in ("one", "another")]
    if in_one_batch:
        results, _ = await together(store, *writes)
    else:
        results = [await write for write in writes[:1]] + await asyncio.gather(writes[1], return_exceptions=True)
    assert results[0] == 1
    assert isinstance(results[1], CidConflict)
    assert texts(await stream(store, thread)) == ["one"]


async def test_it_goes_one_by_one_when_the_database_refuses_a_row(store: Store) -> None:
    """Two rows with one cid key that nobody looked up: the unique index refuses the second, and it alone fails."""
    _, thread = await make_thread(store)
    key = cid_key(thread, "visitor", new_cid())

    def blind(tx: Tx) -> int:
        row = tx.conversation(thread)
        stored = tx.append(
            row, "message", MessageBody("blind"), sender=("visitor", "x"), visible=True, key=key, mac=b"m"
        )
        return stored.staff_seq

    results, _ = await together(
        store,
        append(store, thread, "before"),
        store.write(blind, conversation=thread),
        store.write(blind, conversation=thread),
        append(store, thread, "after"),
    )
    assert [results[0], results[1], type(results[2]), results[3]] == [1, 2, IntegrityError, 3]
    assert texts(await stream(store, thread)) == ["before", "blind", "after"]


async def test_it_tells_an_integrity_error_to_its_own_caller(store: Store) -> None:
    def adding(tx: Tx) -> None:
        people.add_agent(tx, Agent(new_id(), "Twin", "twin@airline.example", Role.AGENT), "hash")

    results, _ = await together(store, store.write(adding), store.write(adding))
    assert [type(one) for one in results] == [type(None), IntegrityError]


# ── durable, then acknowledged ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.sqlite_alone
async def test_it_commits_in_full_on_the_live_connection(store: Store) -> None:
    def pragmas(tx: Tx) -> list[object]:
        run = tx.connection.exec_driver_sql
        return [
            run(f"PRAGMA {name}").scalar() for name in ("journal_mode", "synchronous", "secure_delete", "temp_store")
        ]

    assert await store.write(pragmas) == ["wal", 2, 1, 2]  # 2: synchronous FULL, temporary tables in memory
    reading = await store.read(lambda c: c.exec_driver_sql("PRAGMA journal_mode").scalar())
    assert reading == "wal"


async def test_it_answers_and_publishes_only_after_the_commit_returned(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, thread = await make_thread(store)
    order: list[str] = []
    store.listen(lambda _events: order.append("published"))
    begun, go = threading.Event(), threading.Event()
    commit = store._writing.dialect.do_commit

    def slow(connection: Any) -> None:
        begun.set()
        assert go.wait(10)
        commit(connection)
        order.append("committed")

    monkeypatch.setattr(store._writing.dialect, "do_commit", slow)
    task = asyncio.create_task(append(store, thread, "slow"))
    await asyncio.to_thread(begun.wait, 10)
    await asyncio.sleep(0.1)
    assert not task.done()
    assert order == []
    assert await stream(store, thread) == []  # nor does a reader see it yet
    go.set()
    await task
    order.append("answered")
    assert order == ["committed", "published", "answered"]


async def test_it_publishes_in_the_order_of_the_numbers(store: Store) -> None:
    _, thread = await make_thread(store)
    heard: list[int] = []
    store.listen(lambda events: heard.extend(one.staff_seq for one in events))
    await asyncio.gather(*(append(store, thread, f"text {number}") for number in range(100)))
    assert heard == list(range(1, 101))


async def test_it_answers_also_when_nobody_could_be_told(store: Store) -> None:
    _, thread = await make_thread(store)
    told: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: told.append(repr(context["exception"])))

    def broken(_events: list[Any]) -> None:
        raise ZeroDivisionError

    store.listen(broken)
    async with asyncio.timeout(2):
        assert await append(store, thread, "durable") == 1
    assert told == ["ZeroDivisionError()"]  # not silently


async def test_it_keeps_what_a_caller_who_went_away_wrote(store: Store) -> None:
    _, thread = await make_thread(store)
    async with one_batch(store):
        task = asyncio.create_task(append(store, thread, "gone"))
        await asyncio.sleep(0.02)
        task.cancel()
    await append(store, thread, "here")
    assert texts(await stream(store, thread)) == ["gone", "here"]


async def test_it_commits_what_waits_before_it_ends(prepared: Path, tmp_path: Path) -> None:

    databases.copied(prepared, tmp_path / "alone")
    settings = harness.settings_in(tmp_path / "alone")
    async with harness.opened(settings) as store:
        _, thread = await make_thread(store)
        tasks = [asyncio.create_task(append(store, thread, f"text {number}")) for number in range(20)]
        await asyncio.sleep(0)
    assert await asyncio.gather(*tasks) == list(range(1, 21))
    async with harness.opened(settings) as store:
        assert len(await stream(store, thread)) == 20


async def test_it_refuses_what_comes_after_the_end(prepared: Path, tmp_path: Path) -> None:
    databases.copied(prepared, tmp_path / "alone")
    async with harness.opened(harness.settings_in(tmp_path / "alone")) as store:
        _, thread = await make_thread(store)
        before = asyncio.create_task(append(store, thread, "before"))
        await asyncio.sleep(0)
        closing = asyncio.create_task(store.close())
        await asyncio.sleep(0)
        with pytest.raises(StoreDown):
            async with asyncio.timeout(2):
                await append(store, thread, "while it ends")
        await closing
        with pytest.raises(StoreDown):
            async with asyncio.timeout(2):
                await append(store, thread, "after")
        assert await before == 1


async def test_it_refuses_more_than_may_wait(store: Store) -> None:
    _, thread = await make_thread(store)
    store._writer._waiting = 10
    results, _ = await together(store, *(append(store, thread, f"text {number}") for number in range(15)))
    assert [type(one) for one in results] == [int] * 10 + [TooMany] * 5
    assert results[-1].retry_after > 0


async def test_it_says_so_when_it_was_not_started(store: Store) -> None:
    writer = Writer(store._writing, store.vault, clock=store.now, publish=print, most=1, waiting=1)
    with pytest.raises(StoreDown):
        await writer.run(appending("x", "y", new_cid()))
