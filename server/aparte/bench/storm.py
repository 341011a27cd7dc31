"""A reconnect storm: everybody who had a conversation comes back at once, to a server that has just started.

Knows how to make such a crowd and to bring it back while others talk. Must not know what a good figure is.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import Final

import uvloop

from aparte.bench import growth
from aparte.bench.load import Hall
from aparte.bench.servers import SITE, Installation, Running, raise_file_limit
from aparte.bench.talk import Desk, Said, Talk, of, visitor_hello
from aparte.bench.wire import Wire, connect

SAID: Final = 6  # messages of each conversation
MISSED: Final = 2  # of them the visitor has not seen
PER_SECOND: Final = 20.0  # messages of those who talk meanwhile
LONGEST: Final = 60.0  # seconds of talk


@dataclass(frozen=True, slots=True)
class Absent:
    """What a browser keeps of a conversation while it has no connection."""

    token: str
    conversation: str
    epoch: str


@dataclass(frozen=True, slots=True)
class Storm:
    """What came of it. `seconds`: until the last was back; `cpu_seconds`: of the server, for all, and for the talk
    meanwhile; `took`: seconds of each message of that talk, sorted."""

    seconds: float
    cpu_seconds: float
    took: list[float]


async def crowd(made: Installation, count: int) -> list[Absent]:
    """So many visitors who had a conversation and are away. No server runs on the installation meanwhile."""
    async with made.opened() as store:
        added = await growth.conversations_of(store, SITE, count, SAID)
        return [Absent(token, thread, store.epoch) for token, thread in added]


class _Back(Talk):
    """A visitor who comes back: knows when everything that was missed is there."""

    def __init__(self, wire: Wire, thread: str) -> None:
        super().__init__(wire)
        self.missing = set(range(SAID - MISSED + 1, SAID + 1))
        self.is_whole: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._thread = thread

    def keep(self, said: Said) -> None:
        if said["t"] == "events" and said["conversation"] == self._thread:
            self.missing -= {item["seq"] for item in said["items"]}
            if not self.missing and not self.is_whole.done():
                self.is_whole.set_result(None)


async def _come_back(made: Installation, absent: Absent) -> _Back:
    wire = await connect(made.port, "/ws/visitor", origin=made.origin)
    talk = _Back(wire, absent.conversation)
    known = {"conversation": absent.conversation, "last_seq": SAID - MISSED, "epoch": absent.epoch}
    await talk.ask({**visitor_hello(absent.token), **known}, of("welcome"))
    async with asyncio.timeout(LONGEST):
        await talk.is_whole
    return talk


def _all_come_back(made: Installation, absent: list[Absent]) -> float:
    """Runs in a process of its own, so that the crowd does not delay those who talk. Returns: the seconds it took."""
    return uvloop.run(_all_at_once(made, absent))


async def _all_at_once(made: Installation, absent: list[Absent]) -> float:
    start = time.perf_counter()
    back = await asyncio.gather(*(_come_back(made, one) for one in absent))
    took = time.perf_counter() - start
    for one in back:
        one.wire.cut()
    return took


async def come_back(made: Installation, server: Running, absent: list[Absent]) -> Storm:
    """All of them at once, without the seconds of chance by which real browsers spread. Each is back when what was
    said without it has come. Raises Unavailable."""
    desk, hall, over = Desk(made), Hall(), asyncio.Event()
    await desk.open()
    await hall.open((made, desk))
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(pool, raise_file_limit)  # the process is there, and has loaded what it needs
        talking = asyncio.create_task(hall.trickle(server, per_second=PER_SECOND, seconds=LONGEST, until=over))
        cpu = server.cpu_seconds()
        took = await loop.run_in_executor(pool, _all_come_back, made, absent)
        used = server.cpu_seconds() - cpu
        over.set()
        latencies = await talking
    hall.close()
    return Storm(took, used, latencies)
