"""Whether a server is ready, and how it goes: `pages.Readiness` and `leaving`."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from websockets.exceptions import InvalidStatus

from aparte import app, leaving, pages
from aparte.store import database_of
from harness import Server, Start

# ── ready ───────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_it_says_whether_it_is_ready(server: Server) -> None:
    assert (await server.http.get("/healthz")).status_code == 200
    assert (await server.http.get("/readyz")).status_code == 200
    server.app.state.draining = True
    assert (await server.http.get("/readyz")).status_code == 503
    assert (await server.http.get("/healthz")).status_code == 200


async def test_it_is_not_ready_once_background_work_has_ended(server: Server) -> None:
    server.app.state.tasks[1].cancel()
    await asyncio.wait(server.app.state.tasks[1:])
    assert (await server.http.get("/readyz")).status_code == 503


async def test_it_is_not_ready_while_no_row_can_be_written(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "READY_SECONDS", 0.0)

    assert (await server.http.get("/readyz")).status_code == 200
    with contextlib.closing(sqlite3.connect(database_of(server.settings))) as other:
        other.execute("BEGIN IMMEDIATE")  # no row can be written
        assert (await server.http.get("/readyz")).status_code == 503
        other.rollback()
    assert (await server.http.get("/readyz")).status_code == 200


async def test_it_is_not_ready_while_the_store_does_not_answer(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[asyncio.Event] = []
    keep_time = server.store.keep_time

    async def waits() -> None:
        asked.append(asyncio.Event())
        await asked[-1].wait()

    monkeypatch.setattr(pages, "READY_SECONDS", 0.0)
    monkeypatch.setattr(pages, "ANSWER_SECONDS", 0.1)
    monkeypatch.setattr(server.store, "keep_time", waits)
    for _ in range(3):
        answer = await server.http.get("/readyz")
        assert (answer.status_code, answer.text) == (503, "store_down\n")
    assert len(asked) == 1  # and it is not asked ever more
    asked[0].set()
    monkeypatch.setattr(server.store, "keep_time", keep_time)
    assert (await server.http.get("/readyz")).status_code == 200


async def test_asking_often_whether_it_is_ready_costs_one_write(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[float] = []
    keep_time = server.store.keep_time

    async def counted() -> None:
        written.append(server.store.now())
        await keep_time()

    monkeypatch.setattr(pages, "READY_SECONDS", 600.0)
    monkeypatch.setattr(server.store, "keep_time", counted)
    before = server.rows("SELECT value FROM store_info WHERE name = 'clock'")
    answers = await asyncio.gather(*(server.http.get("/readyz") for _ in range(20)))
    assert {answer.status_code for answer in answers} == {200}
    assert len(written) == 1
    assert server.rows("SELECT value FROM store_info WHERE name = 'clock'") != before


# ── going ───────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_it_goes_away_politely(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leaving, "DRAIN_LEAST", 0.2)
    async with start() as server:
        visitor, claire, thread = await server.meeting()
        going = asyncio.create_task(app.goodbye(server.app))
        for client in (visitor, claire):
            assert (await client.expect("drain"))["after"] == 0.2
        assert (await server.http.get("/readyz")).status_code == 503
        await visitor.say(thread, "I am still served")  # until the time is over
        for kind in ("visitor", "agent"):
            with pytest.raises(InvalidStatus):
                await server.socket(kind, cookie=claire.cookie)
        for client in (visitor, claire):
            assert await client.closed() == 1001
        await going


async def test_who_moves_on_by_himself_is_not_waited_for(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leaving, "DRAIN_LEAST", 60.0)
    async with start() as server:
        people = [await server.visitor() for _ in range(3)]
        going = asyncio.create_task(app.goodbye(server.app))
        for one in people:
            assert (await one.expect("drain"))["after"] == leaving.DRAIN_SECONDS
            await one.leave()
        server.clients.clear()
        async with asyncio.timeout(5):
            await going


async def test_it_sends_many_away_in_waves(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leaving, "DRAIN_RATE", 40)
    monkeypatch.setattr(leaving, "DRAIN_LEAST", 0.0)
    async with start() as server:
        people = [await server.visitor() for _ in range(40)]
        going = asyncio.create_task(app.goodbye(server.app))
        assert {(await one.expect("drain"))["after"] for one in people} == {1.0}
        ended: list[int] = []
        while not going.done():
            staying = sum(peer.ending is None for peer in server.parts.hub.peers)
            if 40 - staying not in ended[-1:]:
                ended.append(40 - staying)
            await asyncio.sleep(0.01)
        assert ended == [0, 10, 20, 30, 40]  # four waves, not all of them at once
        assert {await one.closed() for one in people} == {1001}


HANGING = """
import asyncio, os, pathlib, signal, sys
from aparte import app
from aparte.store import Store
from harness import settings_in

async def hang(self):
    await asyncio.sleep(60)

app.END_SECONDS = 0.5
Store.close = hang
settings = settings_in(pathlib.Path(sys.argv[1]), port=0)
asyncio.run(app.run(settings, on_ready=lambda: os.kill(os.getpid(), signal.SIGTERM)))
"""


def test_it_ends_in_time_whatever_hangs(prepared: Path, tmp_path: Path) -> None:
    shutil.copytree(prepared, tmp_path / "hanging")
    paths = os.pathsep.join(sys.path)
    done = subprocess.run(
        [sys.executable, "-c", HANGING, str(tmp_path / "hanging")],
        env={**os.environ, "PYTHONPATH": paths},
        timeout=30,
        check=False,
    )
    assert done.returncode == 1
