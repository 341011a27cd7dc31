"""store/writer.py when the disk is full or the database locked: no false acknowledgement, and it recovers by itself.

Also what the kernel is asked for, and in which order.
"""

from __future__ import annotations

import asyncio
import re
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from aparte.errors import StoreDown
from aparte.store import Store, Tx, database_of
from aparte.store import engine as store_engine
from threads import append, make_thread, stream, texts

ROOT = Path(__file__).parents[1]
PYTHONPATH = f"{ROOT / 'server'}:{ROOT / 'tests'}"


async def pages(store: Store, pragma: str) -> int:
    def run(tx: Tx) -> int:
        return int(tx.connection.exec_driver_sql(f"PRAGMA {pragma}").scalar_one())

    return await store.write(run)


async def test_it_acknowledges_nothing_on_a_full_disk_and_goes_on_by_itself(store: Store) -> None:
    _, thread = await make_thread(store)
    await pages(store, f"max_page_count={await pages(store, 'page_count') + 8}")
    acknowledged: list[str] = []
    with pytest.raises(StoreDown) as down:
        for number in range(200):
            await append(store, thread, f"{number} " + "x" * 2000)
            acknowledged.append(str(number))
    assert down.value.retry_after
    assert acknowledged
    assert [text.partition(" ")[0] for text in texts(await stream(store, thread))] == acknowledged
    await pages(store, "max_page_count=1000000")  # the operator makes room
    await append(store, thread, "room again x")
    assert len(await stream(store, thread)) == len(acknowledged) + 1


ON_A_FULL_DISK = """
import asyncio, os, pathlib, resource, sys
import harness
from aparte.errors import NotFound, StoreDown
from aparte.store import database_of
from threads import append, make_thread, stream

async def main():
    settings = harness.settings_in(pathlib.Path(sys.argv[1]))
    async with harness.opened(settings) as store:
        _, thread = await make_thread(store)
        log = str(database_of(settings)) + "-wal"
        resource.setrlimit(resource.RLIMIT_FSIZE, (os.path.getsize(log) + 30_000, resource.RLIM_INFINITY))
        kept = 0
        try:
            while kept < 1000:
                await append(store, thread, "x" * 3000)
                kept += 1
        except StoreDown:
            pass
        assert 0 < kept < 1000, kept
        assert len(await stream(store, thread)) == kept
        try:
            await append(store, "A" * 22, "to nobody")
        except NotFound:
            pass
        assert store.commits.trouble, "a refusal, for which nothing is written, says nothing of the disk"
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        await append(store, thread, "room again")
        assert len(await stream(store, thread)) == kept + 1
    async with harness.opened(settings) as store:
        assert len(await stream(store, thread)) == kept + 1
    print("held", kept)

asyncio.run(main())
"""


def test_it_survives_a_log_that_cannot_grow_at_the_commit(prepared: Path, tmp_path: Path) -> None:
    """The limit on a file's size stands for a disk that is full: the write fails inside the commit."""

    shutil.copytree(prepared, tmp_path / "alone")

    done = subprocess.run(
        [sys.executable, "-c", ON_A_FULL_DISK, str(tmp_path / "alone")],
        env={"PYTHONPATH": PYTHONPATH, "PATH": ""},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("held ")


async def test_it_acknowledges_nothing_while_another_process_locks_the_database(store: Store) -> None:
    _, thread = await make_thread(store)
    await pages(store, "busy_timeout=300")
    locker = sqlite3.connect(database_of(store._settings), isolation_level=None)
    try:
        locker.execute("BEGIN IMMEDIATE")
        results = await asyncio.gather(
            *(append(store, thread, f"text {number}") for number in range(5)), return_exceptions=True
        )
        assert [type(one) for one in results] == [StoreDown] * 5
        assert await stream(store, thread) == []  # readers go on meanwhile
        locker.execute("ROLLBACK")
    finally:
        locker.close()
    assert await append(store, thread, "free again") == 1
    assert texts(await stream(store, thread)) == ["free again"]


async def test_it_waits_for_a_short_lock(store: Store) -> None:
    assert store_engine.BUSY_MILLISECONDS >= 1_000
    _, thread = await make_thread(store)
    locker = sqlite3.connect(database_of(store._settings), isolation_level=None, check_same_thread=False)
    try:
        locker.execute("BEGIN IMMEDIATE")
        asyncio.get_running_loop().call_later(0.3, locker.execute, "ROLLBACK")
        assert await append(store, thread, "patient") == 1
    finally:
        locker.close()


ACKNOWLEDGING = """
import asyncio, os, pathlib, sys
import harness
from threads import append, make_thread

async def main():
    async with harness.opened(harness.settings_in(pathlib.Path(sys.argv[1]))) as store:
        _, thread = await make_thread(store)
        for number in range(5):
            os.write(1, b"asked\\n")
            await append(store, thread, "text")
            os.write(1, b"acknowledged\\n")

asyncio.run(main())
"""


def test_it_syncs_the_log_before_it_acknowledges(prepared: Path, tmp_path: Path) -> None:
    """What the kernel was asked for, in order, as strace saw it."""
    strace = shutil.which("strace")
    if strace is None or subprocess.run([strace, "-o", "/dev/null", "true"], check=False).returncode != 0:
        pytest.skip("strace is not here, or may not look")
    shutil.copytree(prepared, tmp_path / "alone")
    seen = tmp_path / "seen"
    trace = [strace, "-f", "-y", "-e", "trace=fsync,fdatasync,write", "-o", str(seen)]
    subprocess.run(
        [*trace, sys.executable, "-c", ACKNOWLEDGING, str(tmp_path / "alone")],
        env={"PYTHONPATH": PYTHONPATH, "PATH": ""},
        stdout=subprocess.DEVNULL,
        timeout=60,
        check=True,
    )
    order = re.findall(r"(?:fdatasync|fsync)\([^)]*aparte\.db-(wal)|\"(asked|acknowledged)\\n\"", seen.read_text())
    order = [one or other for one, other in order]
    rounds = " ".join(order[order.index("asked") :])
    assert re.fullmatch(r"(asked (wal )+acknowledged ?)+(wal ?)*", rounds), rounds
    assert rounds.count("acknowledged") == 5
