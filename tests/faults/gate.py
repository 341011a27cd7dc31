"""A gate before PostgreSQL or Valkey: lines through it can be cut, silenced, or made to wait for an answer.

Knows bytes, and what a line said first. Must not know who is behind it, nor what is tried.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

from aparte.demo.sockets import loopback_socket, port_of
from faults.proxy import accepting

Ends = tuple[asyncio.StreamReader, asyncio.StreamWriter]


def _open() -> asyncio.Event:
    event = asyncio.Event()
    event.set()
    return event


@dataclass(eq=False)
class _Line:
    first: bytes  # what was said first over it, which tells whose it is
    ends: tuple[asyncio.StreamWriter, asyncio.StreamWriter]
    answers: asyncio.Event = field(default_factory=_open)  # cleared: they wait

    def cut(self) -> None:
        for end in self.ends:
            end.transport.abort()


@dataclass(eq=False)
class Gate:
    """Open until one of the following is asked for, and open again after `mend`."""

    behind: Callable[[], Awaitable[Ends]]  # connects to what is behind
    port: int = 0
    held: int = 0  # answers that have waited
    _lines: set[_Line] = field(default_factory=set)
    _flow: asyncio.Event = field(default_factory=_open)
    _cut: bytes | None = None
    _word: bytes = b""
    _seconds: float = 0.0

    def cut(self, of: bytes = b"") -> None:
        """Lines whose first words contain this end, and so do new ones."""
        self._cut = of
        for line in list(self._lines):
            if of in line.first:
                line.cut()

    def silence(self) -> None:
        """Nothing comes through any more, and nobody is told."""
        self._flow.clear()

    def slow(self, seconds: float) -> None:
        """Each answer comes so much later."""
        self._seconds = seconds

    def hold(self, word: bytes) -> None:
        """Once this was said to what is behind, its answers on that line wait."""
        self._word = word

    def mend(self) -> None:
        """Everything goes through again, what has waited too."""
        self._cut, self._word, self._seconds = None, b"", 0.0
        self._flow.set()
        for line in self._lines:
            line.answers.set()

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One line from its beginning to its end."""
        first = await reader.read(1 << 16)
        if not first or (self._cut is not None and self._cut in first):
            writer.transport.abort()
            return
        await self._flow.wait()
        try:
            there, back = await self.behind()
        except OSError:
            writer.transport.abort()  # nobody there
            return
        line = _Line(first, (writer, back))
        self._lines.add(line)
        try:
            back.write(first)
            await asyncio.gather(self._ask(line, reader, back), self._answer(line, there, writer))
        except OSError:
            pass  # one side is gone, and so is the line
        finally:
            self._lines.discard(line)
            line.cut()

    async def _ask(self, line: _Line, reader: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        while data := await reader.read(1 << 16):
            await self._flow.wait()
            if self._word and self._word in data:
                line.answers.clear()
                self.held += 1
            back.write(data)
            await back.drain()
        back.write_eof()

    async def _answer(self, line: _Line, there: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await there.read(1 << 16):
            await self._flow.wait()
            await line.answers.wait()
            if self._seconds:
                await asyncio.sleep(self._seconds)
            writer.write(data)
            await writer.drain()
        writer.close()


@contextlib.asynccontextmanager
async def gated(behind: Callable[[], Awaitable[Ends]], at: Path | None = None) -> AsyncIterator[Gate]:
    """A gate until the block ends: at a socket of this path, else at a free port of the loopback address."""
    gate, bound = Gate(behind), at
    if bound is None:
        bound = loopback_socket()
        gate.port = port_of(bound)
    async with accepting(gate.take, bound):
        yield gate
