"""Conversations as rows: what a transaction reads, changes and writes back.

Knows the columns and how sealed ones are bound. Must not judge who may see or do what.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final

import msgspec
from sqlalchemy import BindParameter, Connection, cast, column, insert, select, update, values
from sqlalchemy.sql import ClauseElement, Select

from aparte import postgres
from aparte.model import State
from aparte.store.direct import Among, Many
from aparte.store.schema import conversation as table
from aparte.vault import Vault

if TYPE_CHECKING:
    from aparte.store.transaction import Tx


class About(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the browser told at the beginning."""

    name: str = ""
    page: str = ""
    title: str = ""
    browser: str = ""


class Proof(msgspec.Struct, frozen=True, omit_defaults=True):
    """What was proven in this conversation, by which visitor session, about which record.

    `since` is when (epoch seconds); `record` the hex of the keyed index of the reference.
    """

    level: int
    session: str
    record: str
    reference: str
    contact: str
    since: float


class Conversation(msgspec.Struct):
    """One row. A transaction changes the fields after `created_at`; `Tx.flush` writes them."""

    id: str
    site_id: str
    number: int
    visitor_id: str
    key_id: int
    lang: str
    about: bytes
    created_at: float
    state: str
    is_frozen: bool
    agent_id: str | None
    visitor_seq: int
    staff_seq: int
    last_said: int
    visitor_said: int
    staff_said: int
    unread: int
    held: int
    since: float
    updated_at: float
    active_at: float
    visitor_delivered: int
    visitor_read: int
    staff_delivered: int
    staff_read: int
    check_id: str | None
    has_check: bool
    standing: bytes | None


_COLUMNS: Final = tuple(column.name for column in table.columns)
_CHANGING: Final = _COLUMNS[_COLUMNS.index("state") :]
# What every message changes. To write the rest as well would move entries of indexes for nothing.
_COUNTS: Final = (
    "visitor_seq",
    "staff_seq",
    "last_said",
    "visitor_said",
    "staff_said",
    "unread",
    "updated_at",
    "active_at",
)
_BY_ID = Among(lambda ids: select(table).where(table.c.id.in_(ids)))
# In one order everywhere, so that two nodes never wait for each other: the schema's texts sort by their bytes.
_LOCKED = Among(lambda ids: select(table).where(table.c.id.in_(ids)).order_by(table.c.id).with_for_update())


def _saving(names: Sequence[str]) -> tuple[Many, Callable[[Conversation], tuple[Any, ...]]]:
    """The statement that writes these columns, and what takes its values from a conversation."""

    def make(rows: Sequence[Mapping[str, BindParameter[Any]]]) -> ClauseElement:
        if len(rows) == 1:
            return update(table).where(table.c.id == rows[0]["id"]).values({name: rows[0][name] for name in names})
        new = values(*(column(name, table.c[name].type) for name in written), name="new")
        # Each value says its type, or the server would take a column of nothing for text.
        new = new.data([tuple(cast(row[name], table.c[name].type) for name in written) for row in rows])
        return update(table).where(table.c.id == new.c.id).values({name: new.c[name] for name in names})

    written = (*names, "id")
    return Many(make, written), attrgetter(*written)


_SAVE, _all_of = _saving(_CHANGING)
_SAVE_COUNTS, _counts_of = _saving(_COUNTS)
rest_of: Callable[[Conversation], tuple[Any, ...]] = attrgetter(*[name for name in _CHANGING if name not in _COUNTS])
"""What a mere message leaves as it is: when it is the same as when the row was read, `save_counts` will do."""


def from_row(row: Sequence[Any]) -> Conversation:
    found = Conversation(*row)
    found.is_frozen = bool(found.is_frozen)  # SQLite has no truth values
    standing: object = found.standing
    if not isinstance(standing, bytes | None):
        found.standing = b""  # SQLite keeps any type in any column: tampered with, so it proves nothing
    return found


def load(connection: Connection, ids: Iterable[str]) -> dict[str, Conversation]:
    """The conversations of these ids that exist."""
    wanted = list(ids)
    return {row[0]: from_row(row) for row in _BY_ID.rows(connection, wanted)} if wanted else {}


def lock(connection: Connection, ids: Iterable[str]) -> dict[str, Conversation]:
    """As `load`, for the writer: nobody else changes them until the transaction ends. On SQLite nobody can."""
    wanted = list(ids)
    if not wanted:
        return {}
    by_id = _LOCKED if postgres.is_postgres(connection) else _BY_ID
    return {row[0]: from_row(row) for row in by_id.rows(connection, wanted)}


def find(connection: Connection, conversation: str) -> Conversation | None:
    row = connection.execute(select(table).where(table.c.id == conversation)).first()
    return from_row(row) if row else None


def save(connection: Connection, changed: Iterable[Conversation]) -> None:
    _SAVE.run(connection, [_all_of(row) for row in changed])


def save_counts(connection: Connection, changed: Iterable[Conversation]) -> None:
    """Writes the numbers and times alone."""
    _SAVE_COUNTS.run(connection, [_counts_of(row) for row in changed])


def begin(
    tx: Tx, conversation: str, *, site: str, number: int, visitor: str, key: int, lang: str, about: About, state: State
) -> Conversation:
    """A new conversation, in which nothing has happened yet. Its key is durable in the ring before."""
    row = Conversation(
        id=conversation,
        site_id=site,
        number=number,
        visitor_id=visitor,
        key_id=key,
        lang=lang,
        about=seal_about(tx.vault, key, site, conversation, about),
        created_at=tx.now,
        state=state,
        is_frozen=False,
        agent_id=None,
        visitor_seq=0,
        staff_seq=0,
        last_said=0,
        visitor_said=0,
        staff_said=0,
        unread=0,
        held=0,
        since=tx.now,
        updated_at=tx.now,
        active_at=tx.now,
        visitor_delivered=0,
        visitor_read=0,
        staff_delivered=0,
        staff_read=0,
        check_id=None,
        has_check=False,
        standing=None,
    )
    tx.connection.execute(insert(table).values(**msgspec.structs.asdict(row)))
    tx.adopt(row)
    return row


def live_of(connection: Connection, visitor: str) -> Conversation | None:
    """The visitor's latest conversation."""
    query = select(table).where(table.c.visitor_id == visitor).order_by(table.c.number.desc()).limit(1)
    row = connection.execute(query).first()
    return from_row(row) if row else None


Signature = tuple[int, int, str, str | None]
"""What says whether an inbox's line has changed: staff number, unread ones, state, agent."""


def signatures(connection: Connection, states: Sequence[str], limit: int) -> dict[str, Signature]:
    """The signatures of the conversations in these states, of each the `limit` oldest: the same ones each time."""
    named = select(table.c.id, table.c.staff_seq, table.c.unread, table.c.state, table.c.agent_id)
    return {
        row.id: (row.staff_seq, row.unread, row.state, row.agent_id)
        for state in states
        for row in connection.execute(named.where(table.c.state == state).order_by(table.c.since).limit(limit))
    }


def inbox(connection: Connection, agent: str, *, all_assigned: bool, limit: int) -> list[Conversation]:
    """The queue (oldest first), then what `agent` holds, and with `all_assigned` what colleagues hold (newest first)."""
    return [
        from_row(row)
        for query in (
            _open(limit).where(table.c.state == "waiting").order_by(table.c.since),
            _assigned(agent, all_assigned, limit),
        )
        for row in connection.execute(query)
    ]


def _open(limit: int) -> Select[Any]:
    return select(table).limit(limit)


def _assigned(agent: str, all_assigned: bool, limit: int) -> Select[Any]:
    query = _open(limit).where(table.c.state == "assigned").order_by(table.c.since.desc())
    return query if all_assigned else query.where(table.c.agent_id == agent)


def seal_about(vault: Vault, key: int, site: str, conversation: str, about: About) -> bytes:
    return vault.seal(key, ("conversation", site, conversation, "about"), msgspec.json.encode(about))


def about(vault: Vault, row: Conversation) -> About:
    """Raises Unreadable."""
    plain = vault.unseal(row.key_id, ("conversation", row.site_id, row.id, "about"), row.about)
    return msgspec.json.decode(plain, type=About)


def seal_proof(vault: Vault, row: Conversation, proof: Proof) -> bytes:
    return vault.seal(row.key_id, ("conversation", row.site_id, row.id, "standing"), msgspec.json.encode(proof))


def proof(vault: Vault, row: Conversation) -> Proof | None:
    """What was proven, as sealed; whether it still counts is the policy's to say. Raises Unreadable."""
    if row.standing is None:
        return None
    plain = vault.unseal(row.key_id, ("conversation", row.site_id, row.id, "standing"), row.standing)
    return msgspec.json.decode(plain, type=Proof)
