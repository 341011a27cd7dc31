"""Delivered and read: high-water marks that only rise. Noted at once; a little later stored together, then told.

Must not know sockets beyond the peer that speaks.
"""

from __future__ import annotations

from aparte.actions.parts import Marks, Parts
from aparte.bell import Marked
from aparte.errors import NotFound
from aparte.frames import Mark
from aparte.frames import Marks as MarksFrame
from aparte.model import AgentCaller
from aparte.peers import Peer
from aparte.store import Tx, events
from aparte.store.conversations import Conversation


def note(parts: Parts, peer: Peer, mark: Mark) -> None:
    """Notes a mark. `peer.watched` says that the peer came through the door."""
    speaker = peer.caller.agent.id if isinstance(peer.caller, AgentCaller) else ""
    # Nobody has read what was not sent to them: a mark from the future would hide what comes.
    sent = peer.watched[mark.conversation].sent
    noted = parts.marks.setdefault((mark.conversation, speaker), Marks())
    noted.rise(min(mark.delivered, sent), min(mark.read, sent))


async def store(parts: Parts) -> None:
    """Writes what rose since the last call, in one transaction, and tells the other side.

    Both sides' marks are numbers of the visitor's stream, whose top they never pass: a number of the staff's stream
    would tell the visitor that something was hidden. An agent's mark counts only for the one who has the
    conversation. What cannot be written now is written with the next call. Raises StoreDown, TooMany.
    """
    noted, parts.marks = parts.marks, {}
    if not noted:
        return

    def apply(tx: Tx) -> list[MarksFrame]:
        tx.prefetch({conversation for conversation, _ in noted}, [])
        rose = []
        for (conversation, speaker), marks in noted.items():
            try:
                row = tx.conversation(conversation)
            except NotFound:
                continue  # forgotten meanwhile
            if _raise(tx, row, speaker, marks):
                tx.touch(row)
                rose.append(
                    MarksFrame(row.id, "staff", row.staff_delivered, row.staff_read)
                    if speaker
                    else MarksFrame(row.id, "visitor", row.visitor_delivered, row.visitor_read)
                )
        return rose

    try:
        rose = await parts.store.write(apply)
    except BaseException:
        for key, marks in noted.items():
            parts.marks.setdefault(key, Marks()).rise(marks.delivered, marks.read)
        raise
    for told in rose:
        parts.hub.tell(told.conversation, told, staff=told.who == "visitor")
        if told.who == "staff":
            parts.hub.changed.add(told.conversation)
        if parts.node.bell is not None:
            parts.node.bell.ring(Marked(told.conversation, told.who == "staff"))


def _raise(tx: Tx, row: Conversation, speaker: str, marks: Marks) -> bool:
    """Whether anything rose."""
    top = row.visitor_seq
    delivered, read = min(top, marks.delivered), min(top, marks.read)
    if not speaker:
        before = (row.visitor_delivered, row.visitor_read)
        row.visitor_delivered, row.visitor_read = max(before[0], delivered), max(before[1], read)
        return before != (row.visitor_delivered, row.visitor_read)
    if speaker != row.agent_id:
        return False
    before = (row.staff_delivered, row.staff_read)
    row.staff_delivered, row.staff_read = max(before[0], delivered), max(before[1], read)
    if row.staff_read > before[1]:
        row.unread = 0 if row.staff_read == top else events.unread_after(tx.connection, row, row.staff_read)
    return before != (row.staff_delivered, row.staff_read)
