"""A bad network on purpose: a TCP proxy that delays, drips, cuts in the middle, resets, or goes half-open.

Knows bytes alone. Must not know what they mean. Which connection meets what is drawn from a seeded generator, so that
a run can be played again.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import struct
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from aparte.demo.sockets import loopback_socket, port_of

Fault = Literal["none", "latency", "drip", "cut", "reset", "half-open"]
FAULTS: Final[tuple[Fault, ...]] = ("none", "latency", "drip", "cut", "reset", "half-open")
DRIPPED: Final = 2_000  # bytes of a dripping connection that come one by one; the rest comes whole
LAG: Final = (0.005, 0.06)  # seconds
LIFE: Final = (0.3, 3.0)  # seconds that a line lives at most before it ends in one of the bad ways
ENDINGS: Final = ("cut", "reset", "half-open")
_NO_LINGER: Final = struct.pack("ii", 1, 0)  # a close that sends RST instead of FIN

Address = tuple[str, int]


@dataclass(eq=False)
class Line:
    """One connection through the proxy, and what befalls it after `after` bytes in either direction together."""

    fault: Fault
    after: int
    rng: random.Random
    ends: list[asyncio.StreamWriter]
    met: Counter[str]
    passed: int = 0
    is_dead: bool = False  # half-open: nothing comes through any more, and nobody is told
    tasks: list[asyncio.Task[None]] = field(default_factory=list)

    async def pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One direction, until an end or the fault."""
        try:
            await self._pump(reader, writer)
        except OSError:  # one side has gone without a word; a dead line tells nobody
            if not self.is_dead:
                self.end(is_reset=True)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1 << 16):
            if self.is_dead:
                continue  # taken from the sender, and gone
            if self.fault == "latency":
                await asyncio.sleep(self.rng.uniform(*LAG))
            elif self.fault == "drip" and self.passed < DRIPPED:
                data = await self._drip(data, writer)
            elif self.fault in ("cut", "reset", "half-open") and self.passed + len(data) > self.after:
                data = data[: max(0, self.after - self.passed)]  # in the middle of whatever frame it was
                self.passed = self.after
                self.met[self.fault] += 1
                writer.write(data)
                await writer.drain()
                if self.fault == "half-open":
                    self.is_dead = True
                    continue
                self.end(is_reset=self.fault == "reset")
                return
            self.passed += len(data)
            writer.write(data)
            await writer.drain()
        if not self.is_dead:
            writer.write_eof()

    async def _drip(self, data: bytes, writer: asyncio.StreamWriter) -> bytes:
        """Byte by byte, each in a packet of its own; returns what may go whole."""
        few = min(len(data), DRIPPED - self.passed)
        for at in range(few):
            writer.write(data[at : at + 1])
            await writer.drain()
            await asyncio.sleep(0.0005 if at % 8 == 0 else 0)
        self.passed += few
        return data[few:]

    def turn(self, endings: Sequence[Fault]) -> None:
        """Whatever the line was, it soon ends badly."""
        if not self.is_dead and self.fault not in endings:
            self.fault, self.after = self.rng.choice(endings), self.passed + self.rng.randrange(400)

    def end(self, *, is_reset: bool) -> None:
        """Both ends, at once."""
        for end in self.ends:
            if is_reset:
                raw = end.get_extra_info("socket")
                with contextlib.suppress(OSError):  # it has gone already
                    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
                end.transport.abort()
            else:
                end.close()
        self.is_dead = True


@dataclass(eq=False)
class Proxy:
    """Stands before `target`, which is asked anew for each connection."""

    target: Callable[[], Address]
    rng: random.Random
    faults: Sequence[Fault] = FAULTS
    port: int = 0
    lines: set[Line] = field(default_factory=set)
    met: Counter[str] = field(default_factory=Counter)  # how often each fault befell a line
    taken: int = 0
    timers: list[asyncio.TimerHandle] = field(default_factory=list)

    @property
    def address(self) -> Address:
        return "127.0.0.1", self.port

    def clear(self) -> None:
        """Fine weather from now on; whoever hangs in a line that met something is cut off."""
        self.faults = ("none",)
        for timer in self.timers:
            timer.cancel()
        for line in [line for line in self.lines if line.fault != "none"]:
            line.end(is_reset=False)

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection from its beginning to its end."""
        try:
            there, back = await asyncio.open_connection(*self.target())
        except OSError:
            writer.close()  # nobody there: the client is told as by the machine itself
            return
        for end in (writer, back):
            end.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        fault = self.rng.choice(self.faults)
        self.taken += 1
        if fault not in ENDINGS:
            self.met[fault] += 1
        # Most of them within the first exchanges, handshake and hello included; some far later.
        after = int(self.rng.choice((300, 3_000, 30_000)) * self.rng.random())
        line = Line(fault, after, random.Random(self.rng.random()), [writer, back], self.met)
        self.lines.add(line)
        endings = [one for one in self.faults if one in ENDINGS]
        if endings:
            life = self.rng.uniform(*LIFE)
            self.timers.append(asyncio.get_running_loop().call_later(life, line.turn, endings))
        line.tasks = [asyncio.create_task(line.pump(reader, back)), asyncio.create_task(line.pump(there, writer))]
        try:
            await asyncio.gather(*line.tasks, return_exceptions=True)  # an end of either side ends a direction
        finally:
            self.lines.discard(line)
            line.end(is_reset=False)


@contextlib.asynccontextmanager
async def proxied(
    target: Callable[[], Address], rng: random.Random, faults: Sequence[Fault] = FAULTS
) -> AsyncIterator[Proxy]:
    """A proxy on a free loopback port, until the block ends."""
    proxy = Proxy(target, rng, faults)
    bound = loopback_socket()
    proxy.port = port_of(bound)
    async with accepting(proxy.take, bound):
        try:
            yield proxy
        finally:
            for line in list(proxy.lines):
                for task in line.tasks:
                    task.cancel()
                line.end(is_reset=True)


@contextlib.asynccontextmanager
async def accepting(
    take: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]], at: socket.socket | Path
) -> AsyncIterator[None]:
    """Until the block ends `take` has each connection that comes to this socket, or to one of this path. One that it has
    ended with is closed."""
    takes: set[asyncio.Task[None]] = set()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        takes.add(task)
        try:
            await take(reader, writer)
        except asyncio.CancelledError:
            pass  # the block has ended
        finally:
            takes.discard(task)
            writer.close()

    if isinstance(at, Path):
        server = await asyncio.start_unix_server(accept, at)
    else:
        server = await asyncio.start_server(accept, sock=at)
    try:
        yield
    finally:
        server.close()
        for task in list(takes):
            task.cancel()
        await asyncio.gather(*takes, return_exceptions=True)
