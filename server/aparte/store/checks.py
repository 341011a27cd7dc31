"""Identity checks, held messages and moving-window counts as rows.

Knows how they are kept and counted. Must not know what a code is worth or when to refuse.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, bindparam, delete, func, insert, select, update

from aparte import postgres
from aparte.store.conversations import Conversation
from aparte.store.direct import Direct
from aparte.store.schema import held, identity_check, tally
from aparte.store.transaction import Tx
from aparte.vault import Vault

PORTION: Final = 2_000  # counts that are deleted in one commit


class Secret(msgspec.Struct, frozen=True, omit_defaults=True):
    """The part of a check that names a person: sealed."""

    reference: str = ""  # as it was asked for
    is_own: bool = False  # the customer gave it, so his screen may show it
    contact: str = ""  # masked
    located: str = ""  # as the company writes it; "" before it has said so. No screen shows it before the proof
    late: bool = False  # the card says that the letter is late
    was_used: bool = False  # "not me" came too late: a code for this record had proven somebody here


@dataclass(slots=True)
class Check:
    """One try at raising the assurance. `session` is the visitor session that must answer."""

    id: str
    conversation_id: str
    session: str
    record: bytes | None
    secret: Secret
    state: str
    code_mac: bytes | None
    tries: int
    created_at: float
    expires_at: float


def _bound(row: Conversation, check: Check) -> tuple[str | int | bytes | None, ...]:
    """The whole row: no column of a check can be changed, nor its secret put back, without its key."""
    return (
        "check",
        row.site_id,
        row.id,
        check.id,
        check.session,
        check.record,
        check.state,
        check.code_mac,
        check.tries,
        repr(check.created_at),
        repr(check.expires_at),
    )


def _values(vault: Vault, row: Conversation, check: Check) -> dict[str, Any]:
    return {
        "conversation_id": check.conversation_id,
        "session_id": check.session,
        "record_index": check.record,
        "sealed": vault.seal(row.key_id, _bound(row, check), msgspec.json.encode(check.secret)),
        "state": check.state,
        "code_mac": check.code_mac,
        "tries": check.tries,
        "created_at": check.created_at,
        "expires_at": check.expires_at,
    }


def add(tx: Tx, row: Conversation, check: Check) -> None:
    tx.connection.execute(insert(identity_check).values(id=check.id, **_values(tx.vault, row, check)))


def save(tx: Tx, row: Conversation, check: Check) -> None:
    tx.connection.execute(
        update(identity_check).where(identity_check.c.id == check.id).values(**_values(tx.vault, row, check))
    )


_FIND = Direct(
    select(identity_check).where(
        identity_check.c.id == bindparam("check"), identity_check.c.conversation_id == bindparam("thread")
    ),
    ("check", "thread"),
)


def find(connection: Connection, vault: Vault, row: Conversation, check: str | None) -> Check | None:
    """The check of this conversation. Raises Unreadable."""
    found = _FIND.rows(connection, (check, row.id)) if check else ()
    if not found:
        return None
    own_id, thread, session, record, sealed, *rest = found[0]
    one = Check(own_id, thread, session, record, Secret(), *rest)
    one.secret = msgspec.json.decode(vault.unseal(row.key_id, _bound(row, one), sealed), type=Secret)
    return one


def conversation_of(connection: Connection, check: str) -> str | None:
    """The conversation that a check belongs to."""
    found = connection.execute(
        select(identity_check.c.conversation_id).where(identity_check.c.id == check)
    ).scalar_one_or_none()
    return None if found is None else str(found)


def ids_of(connection: Connection, row: Conversation) -> list[str]:
    """Every check that the conversation has had, in any order."""
    return list(
        connection.execute(select(identity_check.c.id).where(identity_check.c.conversation_id == row.id)).scalars()
    )


def overdue(connection: Connection, now: float, limit: int) -> list[tuple[str, str]]:
    """Started checks whose time is over: conversation and check."""
    query = (
        select(identity_check.c.conversation_id, identity_check.c.id)
        .where(identity_check.c.state == "started", identity_check.c.expires_at <= now)
        .limit(limit)
    )
    return [(row[0], row[1]) for row in connection.execute(query)]


# ── held messages ───────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Held:
    """Where a held message stands; whose it is and why it waits is sealed in its event."""

    id: str
    staff_seq: int


def add_held(tx: Tx, row: Conversation, one: Held) -> None:
    tx.connection.execute(insert(held).values(id=one.id, conversation_id=row.id, staff_seq=one.staff_seq, state="held"))


def held_of(connection: Connection, row: Conversation, held_id: str | None = None) -> list[Held]:
    """What the gate holds in this conversation, in order; with an id, that one alone."""
    query = select(held).where(held.c.conversation_id == row.id, held.c.state == "held").order_by(held.c.staff_seq)
    if held_id is not None:
        query = query.where(held.c.id == held_id)
    return [Held(one.id, one.staff_seq) for one in connection.execute(query)]


def held_at(connection: Connection, row: Conversation, staff_seq: int) -> str:
    """The id of the message that the event of this number holds, whatever became of it since."""
    query = select(held.c.id).where(held.c.conversation_id == row.id, held.c.staff_seq == staff_seq)
    return str(connection.execute(query).scalar_one())


def set_held(tx: Tx, held_id: str, state: str) -> None:
    tx.connection.execute(update(held).where(held.c.id == held_id).values(state=state))


# ── counts ──────────────────────────────────────────────────────────────────────────────────────────────────


def count(connection: Connection, scope: str, key: bytes, since: float) -> int:
    """How many deeds of this kind since then. In the writer nobody else counts these until the transaction ends, so
    that what follows from the number holds."""
    if not connection.get_execution_options().get("is_reading", False):
        postgres.alone(connection, "tally", scope, key)
    return near(connection, scope, key, since)


def near(connection: Connection, scope: str, key: bytes, since: float) -> int:
    """As `count`, without waiting for anybody: what another node is about to commit is not in it."""
    query = select(func.count()).where(tally.c.scope == scope, tally.c.key == key, tally.c.at > since)
    return int(connection.execute(query).scalar_one())


def oldest(connection: Connection, scope: str, key: bytes, since: float) -> float | None:
    """When the oldest of them was."""
    query = select(func.min(tally.c.at)).where(tally.c.scope == scope, tally.c.key == key, tally.c.at > since)
    found = connection.execute(query).scalar_one()
    return None if found is None else float(found)


def note(tx: Tx, scope: str, key: bytes) -> None:
    tx.connection.execute(insert(tally).values(scope=scope, key=key, at=tx.now))


def drop_counts(tx: Tx, before: float, scopes: Collection[str] = ()) -> bool:
    """Deletes counts from before then, a portion at once, and none that another node is deleting.

    Args: scopes: of these kinds alone. Returns: whether there may be more.
    """
    old = select(tally.c.id).where(tally.c.at < before)
    if scopes:
        old = old.where(tally.c.scope.in_(scopes))
    portion = old.limit(PORTION).with_for_update(skip_locked=True)
    return tx.connection.execute(delete(tally).where(tally.c.id.in_(portion))).rowcount >= PORTION
