"""What is found and deleted because of its age, whatever table it lies in.

Knows tables. Must not decide how long anything is kept.
"""

from __future__ import annotations

from collections.abc import Collection

import structlog
from sqlalchemy import Connection, delete, insert, select, tuple_
from sqlalchemy.exc import DatabaseError

from aparte.store import conversations, failures
from aparte.store.conversations import Conversation
from aparte.store.schema import conversation, erasure, event, held, identity_check, outbox, visitor, visitor_session
from aparte.store.transaction import Tx

log = structlog.get_logger("aparte.store")


def with_proof(connection: Connection) -> list[Conversation]:
    """The conversations in which something is proven."""
    found = connection.execute(select(conversation.c.id).where(conversation.c.standing.is_not(None)))
    return readable(connection, list(found.scalars()))


def readable(connection: Connection, ids: Collection[str]) -> list[Conversation]:
    """The conversations of these ids, without those that the database itself cannot read: a touched row must not
    keep the others from being read. For readers alone: it may begin a new transaction. Raises DatabaseError when none
    can be read, and when the database answers nobody."""
    try:
        return list(conversations.load(connection, ids).values())
    except DatabaseError as error:
        if not failures.is_of_a_row(error):
            raise
        connection.rollback()  # PostgreSQL answers nothing more in a transaction that has failed
        found = [row for one in ids if (row := _alone(connection, one)) is not None]
        if not found:
            raise
        return found


def _alone(connection: Connection, conversation_id: str) -> Conversation | None:
    try:
        return conversations.find(connection, conversation_id)
    except DatabaseError as error:
        if not failures.is_of_a_row(error):
            raise
        connection.rollback()
        log.warning("store.row_unreadable", conversation=conversation_id, error=type(error).__name__)
        return None


Old = tuple[float, str]
"""A conversation that may go: when it began, and its id. In this order they are looked for."""


def untouched_since(connection: Connection, before: float, limit: int, after: Old = (0.0, "")) -> list[Old]:
    """The conversations, closed or not, in which nothing has happened since then, from behind `after`. Only those that
    began before it are looked at, so that the young ones, which are nearly all, cost nothing."""
    began, table = tuple_(conversation.c.created_at, conversation.c.id), conversation.c
    found = select(table.created_at, table.id).where(
        table.created_at < before, began > tuple_(*after), table.updated_at < before
    )
    return [(row.created_at, row.id) for row in connection.execute(found.order_by(*began.clauses).limit(limit))]


def forget(tx: Tx, row: Conversation) -> None:
    """Deletes a conversation's rows, and the person's where nothing else is left of them. The keys that open copies
    of these rows are noted with it, so that no crash and no busy key ring lets them outlive the rows: see `owed`."""
    tx.drop(row)
    run = tx.connection.execute
    for table in (event, held, identity_check, outbox):
        run(delete(table).where(table.c.conversation_id == row.id))
    run(delete(conversation).where(conversation.c.id == row.id))
    left = select(conversation.c.id).where(conversation.c.visitor_id == row.visitor_id).limit(1)
    key = row.key_id
    if run(left).first() is None:
        # With a person's key go those of their conversations.
        key = run(select(visitor.c.key_id).where(visitor.c.id == row.visitor_id)).scalar_one()
        run(delete(visitor_session).where(visitor_session.c.visitor_id == row.visitor_id))
        run(delete(visitor).where(visitor.c.id == row.visitor_id))
    run(insert(erasure).values(key_id=key))


def owed(connection: Connection, limit: int, after: int = 0) -> list[int]:
    """Keys that are still to be destroyed, in order, from behind `after`."""
    found = select(erasure.c.key_id).where(erasure.c.key_id > after).order_by(erasure.c.key_id)
    return list(connection.execute(found.limit(limit)).scalars())


def settle(tx: Tx, key: int) -> None:
    """The key ring has destroyed this key."""
    tx.connection.execute(delete(erasure).where(erasure.c.key_id == key))


def tops(connection: Connection, threads: list[str]) -> dict[str, tuple[int, int]]:
    """The top numbers of both streams."""
    table = conversation.c
    found = select(table.id, table.visitor_seq, table.staff_seq).where(table.id.in_(threads))
    return {row.id: (row.visitor_seq, row.staff_seq) for row in connection.execute(found)}
