"""When something that the server stands on fails: no false "sent", a clear word on both screens, nothing lost, nothing
twice, and it goes on by itself when it can.

Every test retries as the browsers do: the same message under the same client id, until it is acknowledged.

Watched to fail: a store that answers before it has written; a full disk that is told as a fault of ours; keys and rows
written to files that were taken away; a lock that is waited for without end.
"""

from __future__ import annotations

import asyncio
import contextlib
import resource
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from aparte.store import database_of
from attacks.outside import Outside, outside
from clients import AgentDesk, Client, Frame, Visitor, new_cid
from commandline import APARTE
from harness import Server, Start

PATIENCE = 30.0  # seconds until everything must go on again
PATIENT: dict[str, Any] = {"messages_per_10s": 10_000, "agent_messages_per_10s": 10_000}  # for many that retry at once


@dataclass
class Told:
    """What one person wrote, and what the server said to it."""

    client: Client
    thread: str
    acked: list[str] = field(default_factory=list)
    errors: list[Frame] = field(default_factory=list)

    async def say(self, text: str) -> None:
        """Until it is acknowledged."""
        cid, until = new_cid(), time.monotonic() + PATIENCE
        while time.monotonic() < until:
            answer = await self.client.ask("post", conversation=self.thread, text=text, cid=cid)
            if answer["t"] == "ack":
                self.acked.append(text)
                return
            self.errors.append(answer)
            await asyncio.sleep(0.1)
        raise AssertionError(f"never acknowledged; {self.errors[-1]}")

    @property
    def codes(self) -> set[str]:
        return {error["code"] for error in self.errors}


def texts_in(page: Frame) -> list[str]:
    return [one["body"]["text"] for one in page["items"] if one["kind"] == "message"]


async def whole(server: Server, told: list[Told], cookie: str) -> None:
    """Everything acknowledged is there for both sides, once, in one order; a fresh screen sees the same."""
    visitor, desk = told[0].client, told[1].client
    assert isinstance(visitor, Visitor)
    said = [text for one in told for text in one.acked]
    assert len(said) == len(set(said))
    again = await server.visitor(token=visitor.token)
    shown = texts_in(await again.expect("events"))
    other = await server.agent_again(cookie)
    await other.watch(told[0].thread)
    assert texts_in(await other.expect("events")) == shown
    assert sorted(shown[1:]) == sorted(said)
    for one in told:
        assert [text for text in shown if text in one.acked] == one.acked
    await visitor.settle()
    await desk.settle()


async def two_people(server: Server) -> tuple[Told, Told, AgentDesk]:
    visitor, desk, thread = await server.meeting("Hello")
    return Told(visitor, thread), Told(desk, thread), desk


# ── a full disk ─────────────────────────────────────────────────────────────────────────────────────────────────


@contextlib.contextmanager
def small_disk(place: Path) -> Iterator[Path]:
    """A file system of a few megabytes; skips where none can be mounted."""
    place.mkdir()
    mount = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=12m", "none", str(place)], capture_output=True, check=False
    )
    if mount.returncode != 0:
        pytest.skip("no file system can be mounted here; the limit on file sizes stands for it")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def fill(disk: Path) -> Callable[[], None]:
    """Fills it to the last byte; returns what makes room again."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            if not file.write(b"\0" * 512):
                break
    return filler.unlink


def forbid_growth(pid: int, log: Path) -> Callable[[], None]:
    """No file of the process may grow beyond the log's size; returns what takes the limit off."""
    most = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (log.stat().st_size, most[1]))
    return lambda: resource.prlimit(pid, resource.RLIMIT_FSIZE, most) and None


async def goes_through_a_full_disk(server: Outside, fill_it: Callable[[], Callable[[], None]]) -> None:
    mine, theirs, desk = await two_people(server)
    await mine.say("before, from me")
    await theirs.say("before, from them")
    make_room = fill_it()
    newcomer = await server.visitor()
    cid = new_cid()

    async def opens() -> str:
        while True:
            answer = await newcomer.ask("open", text="Is anybody there?", cid=cid)
            if answer["t"] == "opened":
                return str(answer["conversation"]["id"])
            assert answer["code"] == "store_down", answer
            await asyncio.sleep(0.1)

    # As long as messages still fit into what was already allocated, they are rightly acknowledged.
    writing = [
        asyncio.create_task(one.say(f"{who} {number} " + "x" * 3000))
        for number in range(12)
        for who, one in (("mine", mine), ("theirs", theirs))
    ]
    opening = asyncio.create_task(opens())
    for _ in range(400):
        if mine.errors and theirs.errors:
            break
        await asyncio.sleep(0.05)
    await asyncio.sleep(1.0)
    assert mine.codes == theirs.codes == {"store_down"}
    assert all(error["retry_after"] > 0 for error in mine.errors)
    acked = len(mine.acked) + len(theirs.acked)
    await asyncio.sleep(0.5)
    assert len(mine.acked) + len(theirs.acked) == acked  # nothing is acknowledged that could not be written
    ready = await server.http.get("/readyz")
    assert (ready.status_code, ready.text) == (503, "store_down\n")
    assert (await server.http.get("/healthz")).status_code == 200
    make_room()
    await asyncio.gather(*writing)
    await opening
    await whole_unordered(server, mine, theirs, desk.cookie)
    assert server.rows("SELECT COUNT(*) FROM conversation") == [(2,)]
    assert server.rows("PRAGMA integrity_check") == [("ok",)]
    await asyncio.sleep(1.1)  # readiness is found out at most once a second
    ready = await server.http.get("/readyz")
    assert (ready.status_code, ready.text) == (200, "ready\n")
    assert b"Traceback" not in server.log.read_bytes()


async def whole_unordered(server: Server, mine: Told, theirs: Told, cookie: str) -> None:
    """As `whole`, for messages that were sent at once."""
    visitor = mine.client
    assert isinstance(visitor, Visitor)
    again = await server.visitor(token=visitor.token)
    shown = texts_in(await again.expect("events"))
    assert sorted(shown[1:]) == sorted(mine.acked + theirs.acked)
    other = await server.agent_again(cookie)
    await other.watch(mine.thread)
    assert texts_in(await other.expect("events")) == shown


async def test_it_goes_through_a_full_disk(prepared: Path, tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk") as disk:
        async with outside(prepared, disk / "server", **PATIENT) as server:
            await goes_through_a_full_disk(server, lambda: fill(disk))


async def test_it_goes_on_when_files_may_not_grow(prepared: Path, tmp_path: Path) -> None:
    async with outside(prepared, tmp_path / "server", **PATIENT) as server:
        log = Path(f"{database_of(server.settings)}-wal")
        await goes_through_a_full_disk(server, lambda: forbid_growth(server.pid, log))


# ── a database in other hands ───────────────────────────────────────────────────────────────────────────────────

HOLD = """
import sqlite3, sys, time
held = sqlite3.connect(sys.argv[1], isolation_level=None)
held.execute("BEGIN EXCLUSIVE")
print("held", flush=True)
time.sleep(float(sys.argv[2]))
held.execute("ROLLBACK")
"""


@contextlib.asynccontextmanager
async def held(database: Path, seconds: float) -> AsyncIterator[None]:
    """Another process holds the write lock for so long; the block begins with it."""
    command = [sys.executable, "-c", HOLD, str(database), str(seconds)]
    holder = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    assert holder.stdout is not None
    assert await holder.stdout.readline() == b"held\n"
    try:
        yield
    finally:
        await holder.wait()


async def test_it_waits_for_a_locked_database_and_tells_it(server: Server) -> None:
    mine, theirs, desk = await two_people(server)
    async with held(database_of(server.settings), 3.0):
        writing = [asyncio.create_task(mine.say("mine")), asyncio.create_task(theirs.say("theirs"))]
        reader = await server.visitor(token=mine.client.token)  # type: ignore[attr-defined]  # a Visitor
        assert texts_in(await reader.expect("events")) == ["Hello"]  # reading goes on
        await asyncio.gather(*writing)
    assert mine.codes | theirs.codes == {"store_down"}
    await whole(server, [mine, theirs], desk.cookie)


async def test_a_short_lock_is_not_noticed(server: Server) -> None:
    mine, theirs, desk = await two_people(server)
    async with held(database_of(server.settings), 0.4):
        await asyncio.gather(mine.say("mine"), theirs.say("theirs"))
    assert mine.codes | theirs.codes == set()
    await whole(server, [mine, theirs], desk.cookie)


async def opened_at_last(newcomer: Visitor) -> tuple[str, set[str]]:
    """Opens with one client id until it is done; the conversation and the codes of the errors."""
    cid, codes = new_cid(), set()
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                answer = await newcomer.ask("open", text="Is anybody there?", cid=cid)
            except AssertionError:  # no answer yet: the browser would say "not sent yet, retrying"
                continue
            if answer["t"] == "opened":
                return str(answer["conversation"]["id"]), codes
            codes.add(answer["code"])
            await asyncio.sleep(0.1)


async def test_a_locked_key_ring_makes_a_newcomer_wait_and_makes_one_room(server: Server) -> None:
    mine, theirs, desk = await two_people(server)
    newcomer = await server.visitor()
    async with held(server.settings.keyring, 6.0):
        opening = asyncio.create_task(opened_at_last(newcomer))
        await asyncio.sleep(0.1)
        writing = [asyncio.create_task(mine.say("mine")), asyncio.create_task(theirs.say("theirs"))]
        _, codes = await opening
        await asyncio.gather(*writing)
    assert codes == {"store_down"}
    assert server.rows("SELECT COUNT(*) FROM conversation") == [(2,)]
    await whole(server, [mine, theirs], desk.cookie)


# ── files that are taken away ───────────────────────────────────────────────────────────────────────────────────


@contextlib.contextmanager
def taken_away(database: Path) -> Iterator[None]:
    """The database's files are moved elsewhere for the time of the block."""
    names = (database.name, f"{database.name}-wal", f"{database.name}-shm")
    elsewhere = database.parent / "elsewhere"
    elsewhere.mkdir()
    for name in names:
        (database.parent / name).rename(elsewhere / name)
    yield
    for name in names:
        (elsewhere / name).rename(database.parent / name)


async def test_without_the_key_ring_nobody_is_promised_a_key(start: Start) -> None:
    """A key in a file that nobody can find again would make its conversation unreadable at the next start."""
    async with start() as server:
        mine, theirs, desk = await two_people(server)
        newcomer = await server.visitor()
        with taken_away(server.settings.keyring):
            opening = asyncio.create_task(opened_at_last(newcomer))
            await mine.say("those who have their key go on")
            await theirs.say("so they do")
            await asyncio.sleep(0.5)
            assert not opening.done()
        _, codes = await opening
        assert codes == {"store_down"}
        await whole(server, [mine, theirs], desk.cookie)
    async with start(again=server.folder) as server:
        back = await server.visitor(token=newcomer.token)
        assert texts_in(await back.expect("events")) == ["Is anybody there?"]


async def test_without_its_database_it_acknowledges_nothing(start: Start) -> None:
    async with start() as server:
        mine, theirs, desk = await two_people(server)
        with taken_away(database_of(server.settings)):
            writing = [asyncio.create_task(mine.say("mine")), asyncio.create_task(theirs.say("theirs"))]
            await asyncio.sleep(0.5)
            assert mine.acked == theirs.acked == []
        await asyncio.gather(*writing)
        assert mine.codes | theirs.codes == {"store_down"}
        await whole(server, [mine, theirs], desk.cookie)
    async with start(again=server.folder) as server:
        back = await server.visitor(token=mine.client.token)  # type: ignore[attr-defined]  # a Visitor
        assert sorted(texts_in(await back.expect("events"))) == ["Hello", "mine", "theirs"]


# Root may write anywhere; without this capability the rights of a folder bind it as they bind anybody.
BOUND = """
import ctypes, os, sys
if os.geteuid() == 0:
    assert ctypes.CDLL(None).prctl(24, 1, 0, 0, 0) == 0
os.execv(sys.argv[1], sys.argv[1:])
"""


@pytest.mark.slow
async def test_a_folder_made_read_only_loses_nothing_and_refuses_the_next_start_with_a_sentence(
    prepared: Path, tmp_path: Path
) -> None:
    if subprocess.run([sys.executable, "-c", BOUND, "/bin/true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("this account may write anywhere and cannot give that up")
    async with outside(prepared, tmp_path / "server", command=(sys.executable, "-c", BOUND, *APARTE)) as server:
        mine, theirs, desk = await two_people(server)
        data = server.settings.data
        files = [data, *data.iterdir()]
        modes = {path: path.stat().st_mode for path in files}
        for path in files:
            path.chmod(0o500 if path.is_dir() else 0o400)
        for number in range(10):
            await mine.say(f"mine {number}")
            await theirs.say(f"theirs {number}")
        await whole(server, [mine, theirs], desk.cookie)
        await server.end()
        server.launch()
        assert server.process is not None
        status = await asyncio.to_thread(server.process.wait, 20)
        said = [line for line in server.log.read_text().splitlines() if not line.startswith("{")]
        assert status == 2, said
        assert [line for line in said if str(data) in line] == said  # one sentence, which names the folder
        assert len(said) == 1
        server.process = None
        for path, mode in modes.items():
            if path.exists():
                path.chmod(mode)
        await server.begin()
        back = await server.visitor(token=mine.client.token)  # type: ignore[attr-defined]  # a Visitor
        assert sorted(texts_in(await back.expect("events"))[1:]) == sorted(mine.acked + theirs.acked)
