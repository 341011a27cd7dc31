"""Two versions on one store, as when nodes are upgraded one after the other; the newer one's migrations are made up.

What is shown: an older node starts and works on a store that a newer one has expanded; it refuses one that has gone
beyond it, and a running one finds that out and ends; a killed migration leaves nothing; several migrate once.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from sqlalchemy import inspect

import databases
import newer
from aparte.config import Settings
from aparte.errors import BadSetting, StoreDown
from aparte.store import migrate
from aparte.store.engine import writing_engine
from harness import Start, opened, settings_in
from threads import append, make_thread, stream, texts

pytestmark = pytest.mark.both_stores


@pytest.fixture
def settings(prepared: Path, tmp_path: Path) -> Settings:
    """Of a store that nobody has open."""
    return settings_in(databases.copied(prepared, tmp_path / "alone"))


def found(settings: Settings) -> migrate.Found:
    engine = writing_engine(settings.database())
    try:
        with engine.connect() as connection:
            return migrate.look(connection)
    finally:
        engine.dispose()


def shape(settings: Settings) -> dict[str, list[str]]:
    """Every table with its columns."""
    engine = writing_engine(settings.database())
    try:
        looked = inspect(engine)
        return {name: [one["name"] for one in looked.get_columns(name)] for name in looked.get_table_names()}
    finally:
        engine.dispose()


# ── side by side ────────────────────────────────────────────────────────────────────────────────────────────────


async def test_an_older_node_starts_and_works_on_an_expanded_store(settings: Settings, tmp_path: Path) -> None:
    newer.upgrade(settings.database(), tmp_path)
    assert found(settings) == migrate.Found("0002", "0001")
    async with opened(settings) as store:
        _, thread = await make_thread(store)
        for number in range(3):
            assert await append(store, thread, f"text {number}") == number + 1
        assert texts(await stream(store, thread)) == ["text 0", "text 1", "text 2"]
        databases.tamper(store, "UPDATE conversation SET mood = 'happy' WHERE mood = 'calm' AND id = ?", thread)
    assert found(settings) == migrate.Found("0002", "0001")


async def test_an_older_node_that_runs_goes_on_while_a_newer_one_migrates(start: Start, tmp_path: Path) -> None:
    async with start() as server:
        visitor, desk, thread = await server.meeting("before")
        newer.upgrade(server.settings.database(), tmp_path)
        for number in range(5):
            await visitor.say(thread, f"question {number}")
            await desk.event("message", text=f"question {number}")
            await desk.reply(thread, f"answer {number}")
            await visitor.event("message", text=f"answer {number}")
        other = await server.visitor()
        await other.open("a new one")
        assert (await server.http.get("/readyz")).status_code == 200
        assert server.rows("SELECT DISTINCT mood FROM conversation") == [("calm",)]


# ── shut out ────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_an_older_node_refuses_a_store_that_has_gone_beyond_it(settings: Settings, tmp_path: Path) -> None:
    newer.upgrade(settings.database(), tmp_path, contracts=True)
    assert found(settings) == migrate.Found("0003", "0002")
    with pytest.raises(BadSetting, match="for 0002 or newer, and this version is 0001") as refused:
        async with opened(settings):
            pass
    assert "Install the newer version" in str(refused.value)
    assert found(settings) == migrate.Found("0003", "0002")


async def test_an_older_node_refuses_a_newer_store_that_does_not_say_who_may_use_it(
    settings: Settings, tmp_path: Path
) -> None:
    newer.upgrade(settings.database(), tmp_path)
    engine = writing_engine(settings.database())
    with engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM store_info WHERE name = 'min_version'")
    engine.dispose()
    with pytest.raises(BadSetting, match="newer version of Aparté"):
        async with opened(settings):
            pass


async def test_a_running_older_node_finds_out_and_ends_in_order_with_the_reason(start: Start, tmp_path: Path) -> None:
    seen = False
    with pytest.raises(BadSetting, match="newer version of Aparté"):
        async with start() as server:
            visitor, desk, _ = await server.meeting("before")
            newer.upgrade(server.settings.database(), tmp_path, contracts=True)
            async with asyncio.timeout(10):
                while not server.store.outdated:  # noqa: ASYNC110 - the server's own state
                    await asyncio.sleep(0.01)
            with pytest.raises(StoreDown):
                await server.store.write(lambda tx: None)
            answer = await server.http.get("/readyz")
            assert answer.status_code == 503
            assert "newer version of Aparté" in answer.text
            for client in (visitor, desk):
                await client.expect("drain")
                assert await client.closed() == 1001
            seen = True
    assert seen  # the end of the server hides what failed before it


# ── whole or not at all, and once ───────────────────────────────────────────────────────────────────────────────


async def test_a_migration_that_was_killed_half_way_is_not_there_and_is_done_by_the_next_start(
    settings: Settings, tmp_path: Path
) -> None:
    async with opened(settings) as store:
        _, thread = await make_thread(store)
        await append(store, thread, "before")
    before = shape(settings)
    newer.killed_half_way(settings.database(), tmp_path)
    assert found(settings) == migrate.Found("0001", "0001")
    assert shape(settings) == before
    async with opened(settings) as store:  # this version works on, as if nothing had been
        assert await append(store, thread, "after") == 2
    newer.upgrade(settings.database(), tmp_path)
    assert found(settings) == migrate.Found("0002", "0001")
    async with opened(settings) as store:
        assert texts(await stream(store, thread)) == ["before", "after"]
        assert await store.read(lambda c: c.exec_driver_sql("SELECT id FROM survey").scalars().all()) == ["first"]


def test_several_newer_nodes_that_start_at_once_migrate_once(settings: Settings, tmp_path: Path) -> None:
    with newer.installed(tmp_path):
        wrong = databases.migrated_at_once(settings.database(), tmp_path)
    assert wrong == []  # to make the table a second time would have failed
    assert found(settings) == migrate.Found("0002", "0001")
