"""Twin of Store.read_along: what goes with a commit's appends, and never in their way."""

from __future__ import annotations

import asyncio
import sqlite3
from typing import Any

import pytest
from sqlalchemy import Connection, select, text

from aparte.config import Database
from aparte.errors import StoreDown
from aparte.store import Store, schema
from batches import together
from threads import append, make_thread


def numbers(connection: Connection) -> list[int]:
    return list(connection.execute(select(schema.event.c.staff_seq)).scalars())


def fails(_: object) -> Any:
    raise RuntimeError("a fault of ours")


@pytest.mark.both_stores
async def test_it_shares_a_commit_and_is_told_before_its_events(store: Store) -> None:
    _, thread = await make_thread(store)
    order: list[str] = []
    store.listen(lambda events: order.append(f"{len(events)} events"))

    def use(found: list[int]) -> int:
        order.append(f"read {found}")
        return len(found)

    results, said = await together(
        store,
        append(store, thread, "first"),
        append(store, thread, "second"),
        store.read_along(numbers, use),
        store.read_along(numbers, fails),
    )
    assert results[:3] == [1, 2, 0]
    assert isinstance(results[3], RuntimeError)
    assert said.count("COMMIT") == 1
    assert order == ["read []", "2 events"]
    assert await store.read_along(numbers, use) == 2


@pytest.mark.both_stores
async def test_when_it_fails_its_neighbours_are_kept_together(store: Store) -> None:
    """And it is no failed commit in anybody's metrics."""
    _, thread = await make_thread(store)
    results, said = await together(
        store, append(store, thread, "first"), store.read_along(fails, len), append(store, thread, "second")
    )
    assert [results[0], results[2]] == [1, 2]
    assert isinstance(results[1], StoreDown)
    assert said.count("COMMIT") == 1
    with pytest.raises(StoreDown):
        await store.read_along(fails, len)
    assert (store.commits.failed, store.commits.trouble) == (0, "")


@pytest.mark.postgresql_alone
@pytest.mark.parametrize("state", ["58030", "57014", "53200", "XX001"])
async def test_what_would_befall_everybody_befalls_it_alone(store: Store, state: str) -> None:
    """A block that cannot be read, a time that an operator set, too little memory, a damaged row."""
    _, thread = await make_thread(store)

    def raises(connection: Connection) -> Any:
        connection.execute(text(f"DO $$ BEGIN RAISE EXCEPTION 'it is so' USING ERRCODE = '{state}'; END $$"))

    results, _ = await together(
        store, append(store, thread, "first"), append(store, thread, "second"), store.read_along(raises, len)
    )
    assert results[:2] == [1, 2]
    assert isinstance(results[2], StoreDown)
    assert store.commits.trouble == ""


@pytest.mark.both_stores
async def test_it_counts_as_no_commit(store: Store) -> None:
    before = sum(store.commits.operations.counts)
    await store.read_along(numbers, len)
    assert sum(store.commits.operations.counts) == before
    await store.write(lambda _tx: None)
    assert sum(store.commits.operations.counts) == before + 1


@pytest.mark.sqlite_alone
async def test_a_locked_database_is_told_to_who_can_read_otherwise(store: Store) -> None:
    assert not isinstance(store.place, Database)
    blocker = sqlite3.connect(store.place, isolation_level=None)
    try:
        blocker.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreDown):
            await asyncio.wait_for(store.read_along(numbers, len), 10)
        assert await store.read(numbers) == []
    finally:
        blocker.close()
    assert await store.read_along(numbers, len) == 0
