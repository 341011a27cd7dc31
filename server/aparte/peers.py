"""One live connection: its caller, what it watches, and a bounded outbox. Nobody who pushes waits.

Knows frames as bytes and how a connection takes them. Must not know the web framework, or what a frame is about.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass
from typing import Any, Final, Protocol

import structlog

from aparte.frames import Frame, encode
from aparte.model import Caller

log = structlog.get_logger("aparte.hub")
WRITE_BYTES: Final = 64 << 10  # in one write, unless a single frame is longer
SLOW: Final = 4008  # close code for a peer that did not take its frames; the client reconnects and resumes


@dataclass(slots=True)
class Watch:
    """How far one peer has got in one conversation. Live events are pushed only once it has caught up."""

    sent: int
    is_live: bool = False


class Line(Protocol):
    """What the hub needs of a connection."""

    on_room: Callable[[], None] | None  # to be called when the connection takes more again
    on_text: Callable[[str], bool] | None  # may take a whole text frame as it comes; False leaves it to `receive`

    @property
    def has_room(self) -> bool:
        """Whether the connection takes more now."""

    @property
    def is_open(self) -> bool:
        """Whether frames can still be sent."""

    def write_texts(self, texts: Iterable[bytes]) -> None:
        """Writes text frames in one go, without waiting."""

    def abort(self) -> None:
        """Cuts the connection at once."""


class Turn:
    """The peers that have something to write. All of them write in the loop's next turn, so that an event and the
    acknowledgement that follows it share one write."""

    def __init__(self) -> None:
        self._due: list[Peer] = []
        self.written = 0  # frames
        self.slow = 0  # peers ended because they did not take theirs

    def add(self, peer: Peer) -> None:
        if not self._due:
            asyncio.get_running_loop().call_soon(self._flush)
        self._due.append(peer)

    def _flush(self) -> None:
        due, self._due = self._due, []
        for peer in due:
            peer.flush()


class Peer:
    """One socket and its outbox. Nobody who pushes waits: what is queued is written in the loop's next turn, as far as
    the connection takes it, and goes on when it takes more."""

    __slots__ = (
        "_bytes",
        "_closing",
        "_frames",
        "_is_due",
        "_room",
        "_turn",
        "caller",
        "close",
        "ending",
        "lang",
        "line",
        "most_bytes",
        "most_frames",
        "shown",
        "stalled_seconds",
        "watched",
    )

    def __init__(
        self,
        line: Line,
        close: Callable[[int], Coroutine[Any, Any, None]],
        most_frames: int,
        most_bytes: int,
        stalled_seconds: float,
        caller: Caller | None = None,
        *,
        turn: Turn | None = None,
    ) -> None:
        """Args: most_frames and most_bytes bound the outbox; stalled_seconds: see `end`; turn: shared with others."""
        self.line = line
        self.close = close
        self.most_frames = most_frames
        self.most_bytes = most_bytes
        self.stalled_seconds = stalled_seconds
        self.caller = caller
        self.lang = ""  # what a visitor reads now; empty for an agent, whose page has its own words
        self.watched: dict[str, Watch] = {}
        self.shown: set[str] = set()  # conversations in this agent's inbox
        self.ending: int | None = None
        self._frames: list[bytes] = []
        self._bytes = 0
        self._is_due = False
        self._room: asyncio.Event | None = None
        self._closing: asyncio.Task[None] | None = None
        self._turn = turn or Turn()
        line.on_room = self.flush

    def push(self, data: bytes, *, lasting: bool = True) -> None:
        """Queues a frame. A full outbox drops what is ephemeral and ends the socket otherwise.

        An empty outbox takes any frame: a peer that has taken everything is not slow.
        """
        if self.ending is not None:
            return
        if self._is_full(data):
            self.flush()  # much may have come in one turn of the loop: slow is only whose connection takes nothing
        if self._is_full(data):
            if lasting:
                self._turn.slow += 1
                self.end(SLOW)
            return
        self._frames.append(data)
        self._bytes += len(data)
        self._flush_soon()

    def _is_full(self, data: bytes) -> bool:
        return bool(self._frames) and (
            len(self._frames) >= self.most_frames or self._bytes + len(data) > self.most_bytes
        )

    def say(self, frame: Frame, *, lasting: bool = True) -> None:
        self.push(encode(frame), lasting=lasting)

    @property
    def has_room(self) -> bool:
        """Whether the outbox is at most half full."""
        return len(self._frames) * 2 <= self.most_frames and self._bytes * 2 <= self.most_bytes

    async def room(self) -> None:
        """Waits until there is some: a long backlog goes beside the live events, in pages."""
        while self.ending is None and not self.has_room:
            self._room = asyncio.Event()
            await self._room.wait()

    def end(self, code: int) -> None:
        """Closes after what is queued, or cuts the connection when the peer takes nothing for `stalled_seconds`."""
        if self.ending is None:
            self.ending = code
            for watch in self.watched.values():
                watch.is_live = False
            self._flush_soon()
            asyncio.get_running_loop().call_later(self.stalled_seconds, self.line.abort)

    def cut(self, code: int) -> None:
        """Ends the socket with nothing more sent: what is queued is no longer the peer's to see."""
        self._drop()
        self.end(code)

    async def ended(self) -> None:
        """Waits until a peer that is to end has been told so, or has been cut."""
        if self.ending is None:
            return
        while self._closing is None:
            self.flush()
            await asyncio.sleep(0.01)
        await asyncio.gather(self._closing, return_exceptions=True)

    def _flush_soon(self) -> None:
        if not self._is_due:
            self._is_due = True
            self._turn.add(self)

    def flush(self) -> None:
        """Writes what the connection takes; the rest stays in the outbox, where it is bounded and can be cut."""
        self._is_due = False
        try:
            self._write()
        except Exception as error:  # a fault of ours with one line must not keep the others from theirs
            log.exception("hub.fault", error=type(error).__name__)
            self.line.abort()

    def _write(self) -> None:
        if self.ending == SLOW or not self.line.is_open:
            self._drop()
        while self._frames and self.line.has_room:
            taken = self._take()
            self._turn.written += len(taken)
            self.line.write_texts(taken)
        if self._room is not None:
            self._room.set()
        if self.ending is not None and not self._frames and self._closing is None:
            self._closing = asyncio.get_running_loop().create_task(self.close(self.ending))

    def _drop(self) -> None:
        self._frames = []
        self._bytes = 0

    def _take(self) -> list[bytes]:
        """The next frames for one write: all of them, or so many that a stalled line holds little."""
        if self._bytes <= WRITE_BYTES:
            taken = self._frames
            self._drop()
            return taken
        size = count = 0
        for data in self._frames:
            if count and size + len(data) > WRITE_BYTES:
                break
            size += len(data)
            count += 1
        taken = self._frames[:count]
        del self._frames[:count]
        self._bytes -= size
        return taken
