"""Twin of store/__init__.py: opening, the clock, the epoch, the directory."""

from __future__ import annotations

import asyncio
import stat
import time
from pathlib import Path

import pytest
from sqlalchemy import text

import databases
import harness
from aparte.actions import people
from aparte.config import Settings
from aparte.errors import StoreDown
from aparte.store import Store, database_of
from aparte.vault import Vault
from harness import opened
from threads import append, make_thread

pytestmark = pytest.mark.both_stores


@pytest.fixture
def settings(prepared: Path, tmp_path: Path) -> Settings:
    databases.copied(prepared, tmp_path / "place")
    return harness.settings_in(tmp_path / "place")


async def test_it_keeps_its_epoch_over_a_restart_and_has_one_of_its_own(settings: Settings, tmp_path: Path) -> None:
    async with opened(settings) as store:
        epoch = store.epoch
    async with opened(settings) as store:
        assert store.epoch == epoch
    await harness.prepare(tmp_path / "new")
    async with opened(harness.settings_in(tmp_path / "new")) as store:
        assert len(store.epoch) == 22
        assert store.epoch != epoch


async def test_it_makes_a_folder_that_others_cannot_read(tmp_path: Path) -> None:
    await harness.prepare(tmp_path / "new")
    assert stat.S_IMODE((tmp_path / "new" / "data").stat().st_mode) == 0o700


async def test_its_time_never_runs_backwards(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    async with opened(settings) as store:
        before = store.now()
        assert before == pytest.approx(time.time(), abs=5)
        monkeypatch.setattr(time, "time", lambda: before - 3600)
        assert store.now() >= before


async def test_its_time_goes_on_when_the_machines_clock_is_set_back(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(settings) as store:
        store.now()
        monkeypatch.setattr(time, "time", lambda: 1_000_000.0)
        before = store.now()
        await asyncio.sleep(0.1)
        assert 0.09 <= store.now() - before < 5  # what expires, expires at its time


async def test_its_time_goes_on_after_a_restart_with_the_clock_set_back(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(settings) as store:
        await store.keep_time()
    monkeypatch.setattr(time, "time", lambda: 1_000_000.0)
    async with opened(settings) as store:
        before = store.now()
        await asyncio.sleep(0.1)
        assert 0.09 <= store.now() - before < 5


async def test_its_time_never_runs_backwards_over_a_restart(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(settings) as store:
        await store.keep_time()
        before = store.now()
    monkeypatch.setattr(time, "time", lambda: before - 3600)
    async with opened(settings) as store:
        assert store.now() >= before - 1


async def test_it_sees_what_another_process_changed_in_the_directory(settings: Settings) -> None:
    async with opened(settings) as store:
        assert not await store.refresh()
        async with opened(settings) as other:
            await people.add_agent(other, "Nora", "nora@airline.example", "agent", "a long enough password")
            await people.set_disabled(other, harness.email_of("marc"))
        assert "Nora" not in {one.name for one in store.directory.agents.values()}
        assert await store.refresh()
        found = {one.name: one.is_disabled for one in store.directory.agents.values()}
        assert found == {"Claire": False, "Marc": True, "Odile": False, "Nora": False}
        assert not await store.refresh()


@pytest.mark.sqlite_alone
async def test_it_says_that_a_file_is_no_database(settings: Settings) -> None:
    database_of(settings).write_bytes(b"no database " * 1000)
    vault = Vault.open(keyring=settings.keyring, root_key=settings.root_key)
    with pytest.raises(StoreDown):
        await Store.open(settings, vault)
    vault.close()


async def test_it_tells_a_reader_that_the_database_is_down(store: Store) -> None:
    with pytest.raises(StoreDown) as down:
        await store.read(lambda c: c.execute(text("SELECT * FROM a_table_that_is_not_there")))
    assert down.value.retry_after


async def test_it_raises_what_a_query_raises(store: Store) -> None:
    with pytest.raises(ZeroDivisionError):
        await store.read(lambda _c: 1 // 0)


@pytest.mark.sqlite_alone
async def test_it_keeps_texts_and_names_out_of_its_files(settings: Settings) -> None:
    async with opened(settings) as store:
        _, thread = await make_thread(store, name="Bartholomew Canary")
        await append(store, thread, "a text with a canary in it")
    kept = b"".join(path.read_bytes() for path in settings.data.parent.rglob("*") if path.is_file())
    for word in (b"canary", b"Canary", b"Bartholomew", b"claire@", b"Claire", harness.SECRET.encode()):
        assert word not in kept
    assert thread.encode() in kept  # the scan looks where the rows are
