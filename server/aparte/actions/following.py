"""Following a thread: into it without a gap, live, and back up when something was missed.

Subscribes first, then reads the database from the last number, then drops doubles. What another node wrote comes the
same way: its bell tells how far a thread has got, and what is missing is read. Must not know how frames travel.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Collection, Iterable, Iterator
from functools import partial
from itertools import islice
from typing import Final, NamedTuple

from aparte.actions import door, nodes
from aparte.actions.parts import Parts
from aparte.actions.reading import staff_view, visitor_view
from aparte.errors import AparteError, NotFound
from aparte.frames import (
    PAGE_EVENTS,
    RESUME_EVENTS,
    AssignedBody,
    Error,
    Event,
    Events,
    Frame,
    Seq,
    StaffReset,
    VisitorReset,
    encode,
)
from aparte.model import AgentCaller
from aparte.peers import Peer, Watch
from aparte.store import Connection, Directory, Stored, Tx, conversations, events, keeping
from aparte.store.conversations import Conversation
from aparte.views import event_for

AT_ONCE: Final = 64  # threads of which what was missed is read together
AT_A_TIME: Final = 25  # events of each of them: of the longest texts a third of an outbox
SHORT: Final = 100  # events that are read along together: a few milliseconds of the writer's
FEW: Final = 4  # events of one thread that are told in one turn of the loop, to outboxes that are at most half full


def _frames(found: Iterable[Stored], directory: Directory, peer: Peer) -> list[Event]:
    assert peer.caller is not None
    return [event_for(peer.caller, peer.lang, stored, directory) for stored in found]


def _portions(parts: Parts, items: list[Event]) -> Iterator[list[Event]]:
    """A page in frames of at most a quarter of an outbox: a page of the longest texts would overflow it, each time
    that its reader comes back."""
    most = parts.settings.outbox_bytes // 4
    portion: list[Event] = []
    size = 0
    for item in items:
        length = len(encode(item))
        if portion and size + length > most:
            yield portion
            portion, size = [], 0
        portion.append(item)
        size += length
    if portion:
        yield portion


def lost(conversation: str) -> Error:
    """Tells a client that it does not follow this conversation, in the words that a wrong id gets: without it a screen
    would take what it last saw for what is."""
    error = NotFound()
    return Error(error.code, str(error), "", conversation)


async def follow(parts: Parts, peer: Peer, conversation: str, last_seq: Seq, epoch: str) -> None:
    """Brings `peer` into the thread: what it missed, in pages, then live. Raises NotFound."""
    assert peer.caller is not None
    staff = isinstance(peer.caller, AgentCaller)
    parts.hub.unwatch(peer, conversation)
    watch = parts.hub.watch(peer, conversation, last_seq)
    try:
        await _catch_up(parts, peer, conversation, watch, staff=staff, resumes=bool(epoch == parts.store.epoch))
    except BaseException:
        if not watch.is_live:
            parts.hub.unwatch(peer, conversation)
        raise


async def _catch_up(parts: Parts, peer: Peer, conversation: str, watch: Watch, *, staff: bool, resumes: bool) -> None:
    caller = peer.caller
    assert caller is not None
    vault, directory = parts.store.vault, parts.store.directory

    def begin(connection: Connection) -> tuple[Frame | None, int, Conversation]:
        row = door.see(connection, caller, conversation)
        top = row.staff_seq if staff else row.visitor_seq
        is_resumed = resumes and 0 < watch.sent <= top and top - watch.sent <= RESUME_EVENTS
        sent = watch.sent if is_resumed else max(0, top - PAGE_EVENTS)
        if staff:
            view = staff_view(parts, connection, row)
            return StaffReset(conversation, parts.store.epoch, view, is_resumed), sent, row
        if is_resumed:
            return None, sent, row
        return VisitorReset(conversation, parts.store.epoch, visitor_view(parts, connection, row, peer.lang)), sent, row

    await peer.room()  # a returning agent's outbox holds the inbox
    first, watch.sent, row = await parts.store.read(begin)
    if staff and isinstance(caller, AgentCaller) and row.agent_id != caller.agent.id:
        await _note_reading(parts, caller, conversation)
    if peer.watched.get(conversation) is not watch:
        return  # as below
    if first is not None:
        peer.say(first)
    while True:

        def read(connection: Connection) -> tuple[list[Stored], int]:
            now = door.see(connection, caller, conversation)
            found = events.page(connection, vault, now, for_visitor=not staff, after=watch.sent, limit=PAGE_EVENTS)
            return found, now.staff_seq if staff else now.visitor_seq

        found, top = await parts.store.read(read)
        for items in _portions(parts, _frames(found, directory, peer)):
            await peer.room()
            if peer.watched.get(conversation) is not watch:
                return  # while it waited, the thread became another's: the rest is no longer this agent's to see
            watch.sent += len(items)
            peer.say(Events(conversation, items, top))
        if watch.sent >= top and parts.hub.caught_up(peer, conversation, watch):
            return


def published(parts: Parts, written: list[Stored]) -> None:
    """What the store calls with each commit's events: sends them, and takes a thread from the screens of agents who
    may no longer see it."""
    for some in _to_each_assignment(written):
        parts.hub.publish(some)
        _take_away(parts, some[-1])
    nodes.tell_written(parts, written)


def _to_each_assignment(found: list[Stored]) -> Iterator[list[Stored]]:
    """In parts that end with an assignment, the last one perhaps not: what follows is not for who had the thread before."""
    part: list[Stored] = []
    for stored in found:
        part.append(stored)
        if isinstance(stored.body, AssignedBody):
            yield part
            part = []
    if part:
        yield part


def _take_away(parts: Parts, last: Stored) -> None:
    if isinstance(last.body, AssignedBody):
        for peer in parts.hub.watchers(last.conversation, staff=True):
            agent = peer.caller.agent if isinstance(peer.caller, AgentCaller) else None
            is_past = peer.watched[last.conversation].sent > last.staff_seq  # it is told again, for another's sake
            if agent is not None and not agent.role.leads and agent.id != last.body.agent_id and not is_past:
                parts.hub.unwatch(peer, last.conversation)
                peer.say(lost(last.conversation))


async def refill(parts: Parts) -> None:
    """Reads, for every thread in which a live socket is behind, what it has missed, and sends it. Raises StoreDown;
    what is still missing then is tried again by the next call."""
    behind, parts.hub.behind = parts.hub.behind, set()
    try:
        while behind:
            some = list(islice(behind, AT_ONCE))
            await _refill(parts, some)
            behind.difference_update(some)
    finally:
        parts.hub.behind |= behind


_Load = Callable[[Connection, Collection[str]], Iterable[Conversation]]


class _Missed(NamedTuple):
    """What one audience of a conversation is to be told, and the row as it was then."""

    row: Conversation
    staff: bool
    events: list[Stored]

    @property
    def top(self) -> int:
        return self.row.staff_seq if self.staff else self.row.visitor_seq


_Gaps = dict[tuple[str, bool], tuple[int, int]]
"""Of a conversation and an audience, how far its people have got, and how far they could be."""


async def _refill(parts: Parts, threads: list[str]) -> None:
    """What is short first, with the next commit: at a busy node each message of another one would cost a transaction else.
    What is long would keep the writer from its messages."""
    left = [(conversation, staff) for conversation in threads for staff in (True, False)]
    while left:
        gaps = {which: gap for which in left if (gap := parts.hub.gap(which[0], staff=which[1])) is not None}
        short = _short(gaps)
        found, rest = await _read(parts, short or gaps, is_short=bool(short))
        for one in rest:
            await asyncio.sleep(0)  # lets the lines take it: with all of it at once an outbox would overflow
            _tell(parts, one)
        more = [(one.row.id, one.staff) for one in found if gaps[one.row.id, one.staff][0] + len(one.events) < one.top]
        left = [*more, *(which for which in gaps if short and which not in short)]


def _short(gaps: _Gaps) -> _Gaps:
    """As many of the short ones as are read in one go."""
    short: _Gaps = {}
    size = 0
    for which, (lowest, top) in gaps.items():
        if top - lowest <= AT_A_TIME and size < SHORT:
            short[which] = lowest, top
            size += top - lowest
    return short


async def _read(parts: Parts, gaps: _Gaps, *, is_short: bool) -> tuple[list[_Missed], list[_Missed]]:
    """Returns: what was missed, and which of it is still to be told."""
    read = partial(_missed, parts, {which: lowest for which, (lowest, _) in gaps.items()})
    if is_short:
        with contextlib.suppress(AparteError):  # nothing was told: a reader finds what there is, or why not
            return await parts.store.read_along(partial(read, _loaded), partial(_tell_some, parts))
    found = await parts.store.read(partial(read, keeping.readable)) if gaps else []
    return found, found


def _missed(parts: Parts, after: dict[tuple[str, bool], int], load: _Load, connection: Connection) -> list[_Missed]:
    """Without conversations that were forgotten meanwhile. Args: after: the numbers that people have got to."""
    rows = {row.id: row for row in load(connection, {conversation for conversation, _ in after})}
    known = {which: number for which, number in after.items() if which[0] in rows}
    wanted = [(rows[conversation], not staff, number) for (conversation, staff), number in known.items()]
    found = events.missed(connection, parts.store.vault, wanted, AT_A_TIME)
    return [_Missed(row, not for_visitor, one) for (row, for_visitor, _), one in zip(wanted, found, strict=True)]


def _loaded(connection: Connection, ids: Collection[str]) -> Iterable[Conversation]:
    return conversations.load(connection, ids).values()


def _tell_some(parts: Parts, found: list[_Missed]) -> tuple[list[_Missed], list[_Missed]]:
    """Tells what fits into one turn of the loop. Returns: `found`, and the rest of it. Raises NotFound when an event is not
    there: the conversation may have been forgotten between two statements, of which a reader sees one state."""
    if any(not stored.id for one in found for stored in one.events):
        raise NotFound()
    rest = []
    for one in found:
        if len(one.events) > FEW or not parts.hub.has_room(one.row.id, staff=one.staff):
            rest.append(one)
        else:
            _tell(parts, one)
    return found, rest


def _tell(parts: Parts, missed: _Missed) -> None:
    if not missed.staff:
        parts.hub.deliver(missed.row.id, missed.events, staff=False)
        return
    if any(stored.kind == "unreadable" for stored in missed.events):
        _leave_to(parts, missed.row)  # it may have been an assignment
    for some in _to_each_assignment(missed.events):
        parts.hub.deliver(missed.row.id, some, staff=True)
        _take_away(parts, some[-1])


def _leave_to(parts: Parts, row: Conversation) -> None:
    """Takes a thread from the screens of agents who may no longer see it, as its row says."""
    for peer in parts.hub.watchers(row.id, staff=True):
        if peer.caller is not None and not door.may_see(peer.caller, row):
            parts.hub.unwatch(peer, row.id)
            peer.say(lost(row.id))


async def _note_reading(parts: Parts, caller: AgentCaller, conversation: str) -> None:
    """Reading without assignment is always recorded."""

    def apply(tx: Tx) -> None:
        tx.audit(door.actor(caller), "conversation.read", conversation)

    await parts.store.write(apply)


async def history(parts: Parts, peer: Peer, conversation: str, before: int) -> Events:
    """The page of events below `before`. Raises NotFound."""
    caller = peer.caller
    if caller is None or conversation not in peer.watched:
        raise NotFound()
    staff = isinstance(caller, AgentCaller)

    def query(connection: Connection) -> tuple[list[Stored], int]:
        row = door.see(connection, caller, conversation)
        found = events.page(connection, parts.store.vault, row, for_visitor=not staff, before=before, limit=PAGE_EVENTS)
        return found, row.staff_seq if staff else row.visitor_seq

    found, top = await parts.store.read(query)
    # The newest ones, as many as an outbox takes at once; the others come when they are asked for.
    newest = next(_portions(parts, _frames(reversed(found), parts.store.directory, peer)), [])
    items = newest[::-1]
    return Events(conversation, items, top, older=True, more=bool(items) and items[0].seq > 1)
