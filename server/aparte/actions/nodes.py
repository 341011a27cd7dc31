"""Several nodes on one store: what they tell each other by the bell, and what each finds out by looking.

The store has the truth and the bell only hints, so no promise rests on anything here: a lost hint is found by the next
look. With one node there is no bell, and all of this is nothing. Must not know what carries the bell.
"""

from __future__ import annotations

from functools import partial
from typing import Final

from aparte.actions.parts import Parts
from aparte.bell import Hint, Marked, Renewed, Typing, Written
from aparte.frames import Marks as MarksFrame
from aparte.frames import SomeoneTypes
from aparte.model import State, VisitorCaller
from aparte.peers import SLOW
from aparte.store import Connection, Stored, Tx, conversations, keeping, presence

LOOK_SECONDS: Final = 5.0  # between two looks at what no hint told
LEASE_SECONDS: Final = 15.0  # after which a silent node's agents are no longer at the desk
RENEW_SECONDS: Final = 5.0
_AT_ONCE: Final = 500
_MOST_OPEN: Final = 5_000  # conversations of each open state that a look compares


def tell_written(parts: Parts, written: list[Stored]) -> None:
    """Rings for each conversation of a commit."""
    if parts.node.bell is None:
        return
    tops: dict[str, tuple[int, int]] = {}
    for stored in written:
        staff_top, visitor_top = tops.get(stored.conversation, (0, 0))
        tops[stored.conversation] = max(staff_top, stored.staff_seq), max(visitor_top, stored.visitor_seq or 0)
    for conversation, (staff_top, visitor_top) in tops.items():
        parts.node.bell.ring(Written(conversation, staff_top, visitor_top))


def tell_typing(parts: Parts, conversation: str, *, staff: bool) -> None:
    """Somebody types: staff, or the visitor. Told to the other side, on this node and on the others."""
    _show_typing(parts, conversation, staff=staff)
    if parts.node.bell is not None:
        parts.node.bell.ring(Typing(conversation, staff))


def _show_typing(parts: Parts, conversation: str, *, staff: bool) -> None:
    parts.hub.tell(conversation, SomeoneTypes(conversation, "staff" if staff else "visitor"), staff=not staff)


def heard(parts: Parts, hint: Hint) -> None:
    """What another node has rung."""
    match hint:
        case Written(conversation, staff_top, visitor_top):
            parts.hub.changed.add(conversation)
            parts.hub.hint(conversation, staff_top, visitor_top)
        case Typing(conversation, staff):
            _show_typing(parts, conversation, staff=staff)
        case Marked(conversation, staff):
            parts.node.marked.add((conversation, staff))
        case Renewed(session):
            parts.node.renewed.add(session)


async def tell_marks(parts: Parts) -> None:
    """Tells this node's people how far others have read, where another node has said that it rose. Raises StoreDown."""
    marked, parts.node.marked = parts.node.marked, set()
    if not marked:
        return
    try:
        rows = await parts.store.read(
            lambda c: {row.id: row for row in keeping.readable(c, {one for one, _ in marked})}
        )
    except BaseException:
        parts.node.marked |= marked
        raise
    for conversation, staff in marked:
        row = rows.get(conversation)
        if row is None:
            continue  # forgotten meanwhile
        told = (
            MarksFrame(row.id, "staff", row.staff_delivered, row.staff_read)
            if staff
            else MarksFrame(row.id, "visitor", row.visitor_delivered, row.visitor_read)
        )
        parts.hub.tell(conversation, told, staff=not staff)
        if staff:
            parts.hub.changed.add(conversation)


async def look(parts: Parts) -> None:
    """Finds what no hint told: threads that have gone on, and lines of the inbox that have changed; and has the secrets
    looked at with which visitors came. Raises StoreDown."""
    visitors = [peer.caller for peer in parts.hub.peers if isinstance(peer.caller, VisitorCaller)]
    parts.node.renewed |= {caller.session for caller in visitors}
    watched = list({thread for peer in parts.hub.peers for thread in peer.watched})
    for start in range(0, len(watched), _AT_ONCE):
        some = watched[start : start + _AT_ONCE]
        tops = await parts.store.read(partial(keeping.tops, threads=some))
        for thread in set(some) - tops.keys():
            # Another node has forgotten it; or somebody is on the way into one that never was, and is told so there.
            let_go(parts, thread, coming=False)
        for thread, (visitor_top, staff_top) in tops.items():
            parts.hub.hint(thread, staff_top, visitor_top)
    found = await parts.store.read(_open_ones)
    # Kept also while nobody is at the desk: who comes has it all in the welcome.
    seen, parts.node.seen = parts.node.seen, found
    if parts.hub.agents():
        gone = seen.keys() - found.keys()
        parts.hub.changed |= gone | {one for one, now in found.items() if seen.get(one) != now}


def let_go(parts: Parts, conversation: str, *, coming: bool = True) -> None:
    """Ends the sockets of who has a forgotten conversation open. They come back by themselves and find nothing: an agent's
    screen lets the texts go, and a customer's next message begins anew. Args: coming: also those on the way into it."""
    for staff in (True, False):
        for peer in list(parts.hub.watchers(conversation, staff=staff)):
            if coming or peer.watched[conversation].is_live:
                peer.end(SLOW)


def _open_ones(connection: Connection) -> dict[str, conversations.Signature]:
    """What an inbox shows of each open conversation, as far as it says whether something has changed."""
    states = (State.WAITING.value, State.ASSIGNED.value)
    return conversations.signatures(connection, states, _MOST_OPEN)


async def share_presence(parts: Parts) -> None:
    """Renews this node's leases when they changed or are due, and learns who is at the other nodes. Raises StoreDown."""
    here, now = parts.hub.online(), parts.store.now()
    if here != parts.node.leased or now > parts.node.renewed_at + RENEW_SECONDS:
        await parts.store.write(lambda tx: presence.renew(tx, parts.node.name, here, tx.now + LEASE_SECONDS))
        parts.node.leased, parts.node.renewed_at = here, now
    parts.node.elsewhere = await parts.store.read(lambda c: presence.elsewhere(c, parts.node.name, parts.store.now()))


async def leave(parts: Parts) -> None:
    """This node's agents are gone. Raises StoreDown."""

    def apply(tx: Tx) -> None:
        presence.renew(tx, parts.node.name, (), tx.now)

    await parts.store.write(apply)
