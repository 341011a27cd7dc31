"""What time ends: checks, proofs, and what is kept no longer.

Knows what is overdue. Must not know how often it is looked for.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection, delete, select

from aparte.actions import gate
from aparte.actions.parts import SYSTEM, Parts
from aparte.identity.life import DAY
from aparte.model import Level, State
from aparte.store import Tx, checks, conversations
from aparte.store.schema import conversation, event, held, identity_check, outbox, visitor, visitor_session

AT_ONCE: Final = 200


async def checks_overdue(parts: Parts) -> None:
    """Started checks whose time is over end as expired."""
    now = parts.store.now()
    for thread, check_id in await parts.store.read(lambda c: checks.overdue(c, now, AT_ONCE)):

        def apply(tx: Tx, thread: str = thread, check_id: str = check_id) -> None:
            row = tx.conversation(thread)
            check = checks.find(tx.connection, tx.vault, row, check_id)
            if check is not None and check.state == "started" and check.expires_at <= tx.now:
                tx.audit(SYSTEM, "check.expire", row.id, check_id)
                parts.life.end(tx, row, check, "expired")

        await parts.store.write(apply)


async def proofs_overdue(parts: Parts) -> None:
    """Proofs that count no longer are taken back, and everybody who watches is told."""

    def query(connection: Connection) -> list[str]:
        rows = connection.execute(select(conversation).where(conversation.c.standing.is_not(None)))
        now, vault = parts.store.now(), parts.store.vault
        stale = []
        for one in rows:
            row = conversations.from_row(one)
            if gate.level_of(vault, row, parts.policy, now) < Level.V2:
                stale.append(row.id)
        return stale

    for thread in await parts.store.read(query):

        def lower(tx: Tx, thread: str = thread) -> None:
            gate.lower_stale(parts, tx, tx.conversation(thread))

        await parts.store.write(lower)


async def retention(parts: Parts) -> int:
    """Forgets conversations that were closed longer ago than the operator keeps them: keys first, then rows.

    A person without any conversation left is forgotten too. Returns how many conversations went.
    """
    before = parts.store.now() - parts.settings.retention_days * DAY

    def query(connection: Connection) -> list[tuple[str, int, str]]:
        found = (
            select(conversation.c.id, conversation.c.key_id, conversation.c.visitor_id)
            .where(conversation.c.state == State.CLOSED, conversation.c.updated_at < before)
            .limit(AT_ONCE)
        )
        return [(row[0], row[1], row[2]) for row in connection.execute(found)]

    gone = await parts.store.read(query)
    for thread, key, person in gone:

        def forget(tx: Tx, thread: str = thread, person: str = person) -> int | None:
            return _forget_rows(tx, thread, person)

        person_key = await parts.store.write(forget)
        await parts.store.off_loop(parts.store.vault.forget, person_key if person_key is not None else key)
    await parts.store.write(lambda tx: checks.drop_counts(tx, tx.now - 2 * DAY))
    return len(gone)


def _forget_rows(tx: Tx, thread: str, person: str) -> int | None:
    """Deletes the rows; the person's key id when nothing of the person is left."""
    run = tx.connection.execute
    for table in (event, held, identity_check, outbox):
        run(delete(table).where(table.c.conversation_id == thread))
    run(delete(conversation).where(conversation.c.id == thread))
    tx.audit(SYSTEM, "conversation.forget", thread)
    if run(select(conversation.c.id).where(conversation.c.visitor_id == person).limit(1)).first() is not None:
        return None
    person_key = run(select(visitor.c.key_id).where(visitor.c.id == person)).scalar_one()
    run(delete(visitor_session).where(visitor_session.c.visitor_id == person))
    run(delete(visitor).where(visitor.c.id == person))
    return int(person_key)
