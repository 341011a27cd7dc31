"""What is found and deleted because of its age, whatever table it lies in.

Knows tables. Must not decide how long anything is kept.
"""

from __future__ import annotations

from sqlalchemy import Connection, delete, select

from aparte.store import conversations
from aparte.store.conversations import Conversation
from aparte.store.schema import conversation, event, held, identity_check, outbox, visitor, visitor_session
from aparte.store.transaction import Tx


def with_proof(connection: Connection) -> list[Conversation]:
    """The conversations in which something is proven."""
    found = connection.execute(select(conversation).where(conversation.c.standing.is_not(None)))
    return [conversations.from_row(row) for row in found]


def untouched_since(connection: Connection, before: float, limit: int) -> list[str]:
    """The conversations, closed or not, in which nothing has happened since then."""
    found = select(conversation.c.id).where(conversation.c.updated_at < before)
    return [row.id for row in connection.execute(found.limit(limit))]


def forget(tx: Tx, row: Conversation) -> int | None:
    """Deletes a conversation's rows. The person's key id when nothing of the person is left, else None."""
    tx.drop(row)
    run = tx.connection.execute
    for table in (event, held, identity_check, outbox):
        run(delete(table).where(table.c.conversation_id == row.id))
    run(delete(conversation).where(conversation.c.id == row.id))
    left = select(conversation.c.id).where(conversation.c.visitor_id == row.visitor_id).limit(1)
    if run(left).first() is not None:
        return None
    person_key = run(select(visitor.c.key_id).where(visitor.c.id == row.visitor_id)).scalar_one()
    run(delete(visitor_session).where(visitor_session.c.visitor_id == row.visitor_id))
    run(delete(visitor).where(visitor.c.id == row.visitor_id))
    return int(person_key)


def tops(connection: Connection, threads: list[str]) -> dict[str, tuple[int, int]]:
    """The top numbers of both streams."""
    table = conversation.c
    found = select(table.id, table.visitor_seq, table.staff_seq).where(table.id.in_(threads))
    return {row.id: (row.visitor_seq, row.staff_seq) for row in connection.execute(found)}
