"""The live connections of this node: who listens to what, and a bounded outbox for each.

Knows peers, audiences and frames. `publish` never waits. Must not know the web framework, access rules or SQL beyond
the events that the store hands it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import structlog

from aparte.frames import Frame, encode
from aparte.model import AgentCaller, Caller
from aparte.store import Directory, Stored
from aparte.views import event_for

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

    async def room(self) -> None:
        """Waits until the outbox is at most half full: a long backlog goes beside the live events, in pages."""
        while self.ending is None and (len(self._frames) * 2 > self.most_frames or self._bytes * 2 > self.most_bytes):
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


@dataclass(slots=True)
class _Room:
    visitors: set[Peer] = field(default_factory=set)
    staff: set[Peer] = field(default_factory=set)
    visitor_top: int = 0
    staff_top: int = 0


class Hub:
    """All peers of this node, by what they watch."""

    def __init__(self, directory: Directory) -> None:
        self.peers: set[Peer] = set()
        self._agents: set[Peer] = set()
        self.turn = Turn()
        self.changed: set[str] = set()  # conversations whose inbox line may have changed
        self.behind: set[str] = set()  # conversations of which a live peer has missed something
        self.on_behind: Callable[[], None] | None = None  # called when one is added
        self._directory = directory
        self._rooms: dict[str, _Room] = {}

    # ── who is here ──────────────────────────────────────────────────────────────────────────────────────

    def join(self, peer: Peer) -> None:
        """A peer that has said hello."""
        self.peers.add(peer)
        if isinstance(peer.caller, AgentCaller):
            self._agents.add(peer)

    def agents(self) -> list[Peer]:
        return list(self._agents)

    def online(self) -> set[str]:
        """The ids of the agents who have the panel open."""
        return {peer.caller.agent.id for peer in self._agents if isinstance(peer.caller, AgentCaller)}

    def leave(self, peer: Peer) -> None:
        self.peers.discard(peer)
        self._agents.discard(peer)
        for conversation in list(peer.watched):
            self.unwatch(peer, conversation)

    # ── who listens to what ──────────────────────────────────────────────────────────────────────────────

    def watch(self, peer: Peer, conversation: str, sent: int) -> Watch:
        """Subscribes first; the caller then reads the backlog and calls `caught_up`."""
        room = self._rooms.setdefault(conversation, _Room())
        self._side(room, peer).add(peer)
        peer.watched[conversation] = watch = Watch(sent)
        return watch

    def unwatch(self, peer: Peer, conversation: str) -> None:
        if peer.watched.pop(conversation, None) is None:
            return
        room = self._rooms[conversation]
        self._side(room, peer).discard(peer)
        if not room.visitors and not room.staff:
            del self._rooms[conversation]

    def caught_up(self, peer: Peer, conversation: str, watch: Watch) -> bool:
        """Goes live when nothing newer than `watch.sent` was published meanwhile; False: read once more."""
        room = self._rooms.get(conversation)
        if room is None or peer.watched.get(conversation) is not watch:
            return True
        top = room.staff_top if isinstance(peer.caller, AgentCaller) else room.visitor_top
        watch.is_live = watch.sent >= top and peer.ending is None
        return watch.sent >= top

    def watchers(self, conversation: str, *, staff: bool) -> Iterable[Peer]:
        room = self._rooms.get(conversation)
        if room is None:
            return ()
        return list(room.staff if staff else room.visitors)

    def _side(self, room: _Room, peer: Peer) -> set[Peer]:
        return room.staff if isinstance(peer.caller, AgentCaller) else room.visitors

    # ── what goes out ────────────────────────────────────────────────────────────────────────────────────

    def publish(self, events: list[Stored]) -> None:
        """Each event, encoded once per audience and language, to everyone live in it. Called in commit order.

        An event that cannot be shown ends the sockets of its own room, which come back and resume; nobody else's.
        """
        for stored in events:
            self.changed.add(stored.conversation)
            room = self._rooms.get(stored.conversation)
            if room is None:
                continue
            try:
                self._publish_in(room, stored)
            except Exception as error:  # a fault of ours in one event must not take the commit's others with it
                log.exception("hub.fault", error=type(error).__name__)
                _end_all((*room.staff, *room.visitors))

    def _publish_in(self, room: _Room, stored: Stored) -> None:
        room.staff_top = stored.staff_seq
        if stored.visitor_seq is not None:
            room.visitor_top = stored.visitor_seq
        if room.staff:
            self._send(room.staff, stored.conversation, stored.staff_seq, stored)
        if room.visitors and stored.visitor_seq is not None:
            self._send(room.visitors, stored.conversation, stored.visitor_seq, stored)

    def _send(self, peers: set[Peer], conversation: str, seq: int, stored: Stored) -> None:
        """Args: peers: of one audience."""
        encoded: dict[str, bytes] = {}
        for peer in peers:
            watch = peer.watched[conversation]
            if not watch.is_live or watch.sent >= seq:
                continue
            if watch.sent + 1 < seq:
                self._fell_behind(conversation)  # another node wrote what is between: it is read, and this after it
                continue
            data = encoded.get(peer.lang)
            if data is None:
                assert peer.caller is not None
                data = encoded[peer.lang] = encode(event_for(peer.caller, peer.lang, stored, self._directory))
            watch.sent = seq
            peer.push(data)

    def _fell_behind(self, conversation: str) -> None:
        self.behind.add(conversation)
        if self.on_behind is not None:
            self.on_behind()

    def hint(self, conversation: str, staff_top: int, visitor_top: int) -> None:
        """Another node has written up to these numbers, or the store has them: who is below gets what is missing."""
        room = self._rooms.get(conversation)
        if room is None:
            return
        if staff_top > room.staff_top:
            self.changed.add(conversation)
        room.staff_top, room.visitor_top = max(room.staff_top, staff_top), max(room.visitor_top, visitor_top)
        for peers, top in ((room.staff, staff_top), (room.visitors, visitor_top)):
            for peer in peers:
                watch = peer.watched[conversation]
                if watch.is_live and watch.sent < top:
                    self._fell_behind(conversation)
                    return

    def lowest(self, conversation: str, *, staff: bool) -> int | None:
        """The lowest number that a live peer of this audience has got to; None when there is none."""
        watches = [peer.watched[conversation] for peer in self.watchers(conversation, staff=staff)]
        return min([watch.sent for watch in watches if watch.is_live], default=None)

    def deliver(self, conversation: str, events: list[Stored], *, staff: bool) -> None:
        """Events of one stream, in order, to those of its audience who have not had them. As with `publish`, one that
        cannot be shown ends their sockets."""
        try:
            for stored in events:
                room = self._rooms.get(conversation)
                seq = stored.staff_seq if staff else stored.visitor_seq
                if room is not None and seq is not None:
                    self._send(room.staff if staff else room.visitors, conversation, seq, stored)
        except Exception as error:  # the other threads that were read with this one go on
            log.exception("hub.fault", error=type(error).__name__)
            _end_all(self.watchers(conversation, staff=staff))

    def tell(self, conversation: str, frame: Frame, *, staff: bool) -> None:
        """An ephemeral frame to one audience of a conversation."""
        data = b""
        for peer in self.watchers(conversation, staff=staff):
            data = data or encode(frame)
            peer.push(data, lasting=False)


def _end_all(peers: Iterable[Peer]) -> None:
    for peer in peers:
        peer.end(SLOW)
