"""What has to leave the server, as rows written with the event that causes it.

Knows how a row is kept, taken and ended. Must not know how anything is sent.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, and_, case, func, insert, or_, select, update

from aparte.errors import Unreadable
from aparte.metrics import Standing
from aparte.store.conversations import Conversation
from aparte.store.schema import outbox
from aparte.store.transaction import Tx, new_id
from aparte.vault import Vault

KINDS: Final = ("act.change", "check.letter", "letter")


@dataclass(frozen=True, slots=True)
class Row:
    """`id` is also the idempotency key; `body` is opened, and empty where it cannot be authenticated."""

    id: str
    kind: str
    conversation_id: str
    body: bytes
    attempts: int
    created_at: float
    next_at: float
    is_whole: bool = True


def add(tx: Tx, row: Conversation, kind: str, body: bytes, *, at: float) -> str:
    """Writes a row that is due at `at` (epoch seconds); returns its id."""
    assert kind in KINDS, "the metrics shall tell of it"
    outbox_id = new_id()
    tx.connection.execute(
        insert(outbox).values(
            id=outbox_id,
            kind=kind,
            conversation_id=row.id,
            key_id=row.key_id,
            sealed=tx.vault.seal(row.key_id, ("outbox", outbox_id, kind, row.id, "body"), body),
            state="waiting",
            attempts=0,
            next_at=at,
            created_at=tx.now,
        )
    )
    return outbox_id


def due(connection: Connection, vault: Vault, now: float, limit: int) -> list[Row]:
    """What waits and is due, oldest first. A row that cannot be authenticated comes as one that is not whole: it must
    not keep the others from leaving."""
    query = (
        select(outbox)
        .where(outbox.c.state == "waiting", outbox.c.next_at <= now)
        .order_by(outbox.c.next_at)
        .limit(limit)
    )
    return [_from_row(vault, one) for one in connection.execute(query)]


def _from_row(vault: Vault, one: Any) -> Row:
    try:
        body = vault.unseal(one.key_id, ("outbox", one.id, one.kind, one.conversation_id, "body"), one.sealed)
    except Unreadable:
        return Row(
            one.id, one.kind, one.conversation_id, b"", one.attempts, one.created_at, one.next_at, is_whole=False
        )
    return Row(one.id, one.kind, one.conversation_id, body, one.attempts, one.created_at, one.next_at)


def hold(tx: Tx, outbox_id: str, seen: float, until: float) -> bool:
    """Puts a waiting row off until then, so that no other task or node takes it; False when one has, or when it ended.

    Args: seen: when it was due as the caller knows it.
    """
    held = update(outbox).where(outbox.c.id == outbox_id, outbox.c.state == "waiting", outbox.c.next_at == seen)
    return tx.connection.execute(held.values(next_at=until)).rowcount == 1


def next_due(connection: Connection) -> float | None:
    """When the next waiting row is due."""
    found = connection.execute(select(func.min(outbox.c.next_at)).where(outbox.c.state == "waiting")).scalar_one()
    return None if found is None else float(found)


def standing(connection: Connection, now: float) -> dict[str, Standing]:
    """What there is of each kind. A row that waits for its first time on purpose is not late."""
    is_late = and_(outbox.c.state == "waiting", or_(outbox.c.next_at <= now, outbox.c.attempts > 0))
    query = (
        select(
            outbox.c.kind,
            func.sum(case((outbox.c.state == "waiting", 1), else_=0)),
            func.sum(case((outbox.c.state == "failed", 1), else_=0)),
            func.min(case((is_late, outbox.c.created_at))),
        )
        .where(outbox.c.state.in_(("waiting", "failed")))
        .group_by(outbox.c.kind)
    )
    found = {
        kind: Standing(waiting, failed, 0.0 if oldest is None else max(0.0, now - oldest))
        for kind, waiting, failed, oldest in connection.execute(query)
    }
    return {kind: Standing() for kind in KINDS} | found


def is_waiting(connection: Connection, row: Conversation, kind: str) -> bool:
    """Whether something of this kind has still to leave for the conversation."""
    query = select(outbox.c.id).where(
        outbox.c.conversation_id == row.id, outbox.c.kind == kind, outbox.c.state == "waiting"
    )
    return connection.execute(query.limit(1)).first() is not None


def end(tx: Tx, outbox_id: str, state: str) -> None:
    """`done` or `failed`; the body is forgotten."""
    tx.connection.execute(update(outbox).where(outbox.c.id == outbox_id).values(state=state, sealed=b""))


def retry(tx: Tx, outbox_id: str, attempts: int, at: float) -> None:
    tx.connection.execute(update(outbox).where(outbox.c.id == outbox_id).values(attempts=attempts, next_at=at))
