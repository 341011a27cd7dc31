"""Delivered and read: high-water marks that only rise. Told at once, stored a little later, together.

Must not know sockets beyond the peer that speaks.
"""

from __future__ import annotations

from aparte.actions.parts import Marks, Parts
from aparte.errors import StoreDown
from aparte.frames import Mark
from aparte.frames import Marks as MarksFrame
from aparte.hub import Peer
from aparte.model import AgentCaller
from aparte.store import Tx, events


def note(parts: Parts, peer: Peer, mark: Mark) -> None:
    """Notes a mark and tells the other side. An agent's mark counts only for the one who has the conversation:
    `peer.watched` says that the peer came through the door."""
    marks = parts.marks.setdefault(mark.conversation, Marks())
    staff = isinstance(peer.caller, AgentCaller)
    # Nobody has read what was not sent to them: a mark from the future would hide what comes.
    sent = peer.watched[mark.conversation].sent
    read = min(mark.read, sent)
    delivered = max(min(mark.delivered, sent), read)
    if staff:
        marks.staff_delivered = max(marks.staff_delivered, delivered)
        marks.staff_read = max(marks.staff_read, read)
        told = MarksFrame(mark.conversation, "staff", marks.staff_delivered, marks.staff_read)
    else:
        marks.visitor_delivered = max(marks.visitor_delivered, delivered)
        marks.visitor_read = max(marks.visitor_read, read)
        told = MarksFrame(mark.conversation, "visitor", marks.visitor_delivered, marks.visitor_read)
    parts.hub.tell(mark.conversation, told, staff=not staff)


async def store(parts: Parts) -> None:
    """Writes what rose since the last call, in one transaction. A mark never passes the top of its stream."""
    noted, parts.marks = parts.marks, {}
    if not noted:
        return

    def apply(tx: Tx) -> None:
        tx.prefetch(noted, [])
        for conversation, marks in noted.items():
            row = tx.conversation(conversation)
            top = row.visitor_seq
            row.visitor_delivered = max(row.visitor_delivered, min(top, marks.visitor_delivered))
            row.visitor_read = max(row.visitor_read, min(top, marks.visitor_read))
            row.staff_delivered = max(row.staff_delivered, min(top, marks.staff_delivered))
            read = max(row.staff_read, min(top, marks.staff_read))
            if read > row.staff_read:
                row.staff_read = read
                row.unread = 0 if read == top else events.unread_after(tx.connection, row, read)
            tx.touch(row)

    try:
        await parts.store.write(apply)
    except StoreDown:
        _keep(parts, noted)
        raise
    parts.hub.changed.update(conversation for conversation, marks in noted.items() if marks.staff_read)


def _keep(parts: Parts, noted: dict[str, Marks]) -> None:
    """What could not be written waits for the next time, beside what rose meanwhile."""
    for conversation, marks in noted.items():
        newer = parts.marks.setdefault(conversation, Marks())
        for name in ("visitor_delivered", "visitor_read", "staff_delivered", "staff_read"):
            setattr(newer, name, max(getattr(newer, name), getattr(marks, name)))
