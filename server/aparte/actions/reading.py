"""Reading: snapshots, and the way back into a thread without a gap.

Subscribes first, then reads the database from the last number, then drops doubles. Must not know how frames travel.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

import msgspec

from aparte import topics
from aparte.actions import door, gate
from aparte.actions.inbox import about_of, entry_of
from aparte.actions.parts import Parts
from aparte.errors import NotFound, Unreadable
from aparte.frames import (
    PAGE_EVENTS,
    RESUME_EVENTS,
    VERSION,
    AgentWelcome,
    AssignedBody,
    CheckCard,
    Colleague,
    Entry,
    Event,
    Events,
    Frame,
    MessageBody,
    Privacy,
    Seq,
    SiteFace,
    StaffReset,
    StaffView,
    Standing,
    VisitorReset,
    VisitorView,
    VisitorWelcome,
    encode,
)
from aparte.frames import Page as FramePage
from aparte.hub import Peer, Watch
from aparte.model import AgentCaller, Level, Site, State, VisitorCaller
from aparte.store import Connection, Directory, Stored, Tx, checks, conversations, events
from aparte.store.conversations import Conversation
from aparte.views import face, staff_event, visitor_event, without_reference

SNIPPET_BYTES: Final = 256 << 10  # of an agent's welcome; lines beyond them come without what was said last
_REFERENCES_IN = 40  # of the customer's last messages are looked through for booking references


# ── views ───────────────────────────────────────────────────────────────────────────────────────────────────


def _card(parts: Parts, connection: Connection, row: Conversation, *, staff: bool) -> CheckCard | None:
    try:
        check = checks.find(connection, parts.store.vault, row, row.check_id)
    except Unreadable:
        return None  # the thread can still be read
    if check is None:
        return None
    card = parts.life.card(connection, row, check, parts.store.now())
    return card if staff else without_reference(card)


def _standing(parts: Parts, row: Conversation, *, staff: bool) -> Standing | None:
    proof = gate.proof_of(parts.store.vault, row)
    now = parts.store.now()
    if proof is None or gate.level_of(parts.store.vault, row, parts.policy, now) < Level.V2:
        return None
    shown = parts.life.standing(proof, row)
    return shown if staff else without_reference(shown)


def visitor_view(parts: Parts, connection: Connection, row: Conversation) -> VisitorView:
    directory = parts.store.directory
    agent = directory.agents.get(row.agent_id or "")
    return VisitorView(
        id=row.id,
        state=row.state,  # type: ignore[arg-type]  # the column holds nothing else
        top=row.visitor_seq,
        frozen=row.is_frozen,
        agent=face(agent, directory.sites.get(row.site_id)) if agent and row.state == State.ASSIGNED else None,
        check=_card(parts, connection, row, staff=False),
        standing=_standing(parts, row, staff=False),
        delivered=row.staff_delivered,
        read=row.staff_read,
        mine=row.visitor_read,
    )


def staff_view(parts: Parts, connection: Connection, row: Conversation) -> StaffView:
    about = about_of(parts.store.vault, row)
    return StaffView(
        entry=entry_of(parts, connection, row),
        lang=row.lang,
        page=FramePage(about.page, about.title),
        browser=about.browser,
        created=row.created_at,
        check=_card(parts, connection, row, staff=True),
        standing=_standing(parts, row, staff=True),
        references=_references(parts, connection, row),
        delivered=row.visitor_delivered,
        read=row.visitor_read,
        mine=row.staff_read,
    )


def _references(parts: Parts, connection: Connection, row: Conversation) -> list[str]:
    """The booking references that the customer named lately, newest first."""
    site = parts.store.directory.sites.get(row.site_id)
    if site is None or not site.formats:
        return []
    last = events.page(
        connection,
        parts.store.vault,
        row,
        for_visitor=True,
        before=row.visitor_seq + 1,
        limit=_REFERENCES_IN,
    )
    found: list[str] = []
    for stored in reversed(last):
        if stored.sender_kind == "visitor" and isinstance(stored.body, MessageBody):
            found += [one for one in topics.notice(stored.body.text, site.formats).references if one not in found]
    return found


def site_face(parts: Parts, site: Site) -> SiteFace:
    return SiteFace(site.id, site.name, site.desk, site.accent, site.phone, bool(parts.hub.online()))


def colleagues(parts: Parts) -> list[Colleague]:
    online = parts.hub.online()
    return [
        Colleague(one.id, one.name, one.role.value, one.id in online)
        for one in parts.store.directory.agents.values()
        if not one.is_disabled
    ]


async def visitor_welcome(parts: Parts, site: Site, caller: VisitorCaller | None) -> VisitorWelcome:
    """The first answer to a visitor, with the view of the thread if there is one."""

    def query(connection: Connection) -> VisitorView | None:
        row = conversations.live_of(connection, caller.visitor) if caller else None
        return visitor_view(parts, connection, row) if row else None

    view = await parts.store.read(query) if caller else None
    host = parts.settings.addressed()[0].partition("://")[2]
    privacy = Privacy(host, parts.settings.retention_days)
    return VisitorWelcome(VERSION, parts.store.epoch, parts.store.now(), site_face(parts, site), privacy, view)


def _shortened(lines: Iterable[Entry]) -> list[Entry]:
    """The lines, without snippets from where they would make a frame that a slow connection is cut for."""
    shown, size = [], 0
    for line in lines:
        size += len(encode(line))
        shown.append(line if size <= SNIPPET_BYTES else msgspec.structs.replace(line, snippet="", snippet_from=""))
    return shown


async def agent_welcome(parts: Parts, caller: AgentCaller, inbox: list[Entry]) -> AgentWelcome:
    """The first answer to an agent: the inbox as it stands."""
    agent = caller.agent
    return AgentWelcome(
        VERSION,
        parts.store.epoch,
        parts.store.now(),
        Colleague(agent.id, agent.name, agent.role.value, True),
        [site_face(parts, one) for one in parts.store.directory.sites.values()],
        colleagues(parts),
        _shortened(inbox),
    )


# ── threads ─────────────────────────────────────────────────────────────────────────────────────────────────


def _frames(found: Iterable[Stored], directory: Directory, *, staff: bool) -> list[Event]:
    view = staff_event if staff else visitor_event
    return [view(stored, directory) for stored in found]


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
        return VisitorReset(conversation, parts.store.epoch, visitor_view(parts, connection, row)), sent, row

    first, watch.sent, row = await parts.store.read(begin)
    if staff and isinstance(caller, AgentCaller) and row.agent_id != caller.agent.id:
        await _note_reading(parts, caller, conversation)
    if first is not None:
        peer.say(first)
    while True:

        def read(connection: Connection) -> tuple[list[Stored], int]:
            now = door.see(connection, caller, conversation)
            found = events.page(connection, vault, now, for_visitor=not staff, after=watch.sent, limit=PAGE_EVENTS)
            return found, now.staff_seq if staff else now.visitor_seq

        found, top = await parts.store.read(read)
        for items in _portions(parts, _frames(found, directory, staff=staff)):
            await peer.room()
            if peer.watched.get(conversation) is not watch:
                return  # while it waited, the thread became another's: the rest is no longer this agent's to see
            watch.sent += len(items)
            peer.say(Events(conversation, items, top))
        if watch.sent >= top and parts.hub.caught_up(peer, conversation, watch):
            return


def published(parts: Parts, events: list[Stored]) -> None:
    """What the store calls with each commit's events: sends them, and takes a thread from the screens of agents who
    may no longer see it."""
    parts.hub.publish(events)
    for stored in events:
        if isinstance(stored.body, AssignedBody):
            for peer in parts.hub.watchers(stored.conversation, staff=True):
                agent = peer.caller.agent if isinstance(peer.caller, AgentCaller) else None
                if agent is not None and not agent.role.leads and agent.id != stored.body.agent_id:
                    parts.hub.unwatch(peer, stored.conversation)


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
    newest = next(_portions(parts, _frames(reversed(found), parts.store.directory, staff=staff)), [])
    items = newest[::-1]
    return Events(conversation, items, top, older=True, more=bool(items) and items[0].seq > 1)
