"""The live connections of this node, and who listens to what.

Knows peers, audiences and frames. `publish` never waits. Must not know the web framework, access rules or SQL beyond
the events that the store hands it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import structlog

from aparte.frames import Frame, encode
from aparte.model import AgentCaller
from aparte.peers import SLOW, Peer, Turn, Watch
from aparte.store import Directory, Stored
from aparte.views import event_for

log = structlog.get_logger("aparte.hub")


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

    def gap(self, conversation: str, *, staff: bool) -> tuple[int, int] | None:
        """The lowest number that a live peer of this audience has got to, and the highest that is known of the stream; None
        when there is no such peer."""
        room = self._rooms.get(conversation)
        watches = [peer.watched[conversation] for peer in self.watchers(conversation, staff=staff)]
        sent = [watch.sent for watch in watches if watch.is_live]
        if room is None or not sent:
            return None
        return min(sent), max(room.staff_top if staff else room.visitor_top, *sent)

    def has_room(self, conversation: str, *, staff: bool) -> bool:
        """Whether the outboxes of its live peers are at most half full."""
        watchers = self.watchers(conversation, staff=staff)
        return all(peer.has_room for peer in watchers if peer.watched[conversation].is_live)

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
