"""Events as rows: numbered, sealed to their place, read back in order.

Knows how a body is bound to its row. Must not decide who may read it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, and_, bindparam, func, insert, literal_column, or_, select

from aparte.errors import Unreadable
from aparte.frames import BODIES, EmptyBody, Part
from aparte.store.conversations import Conversation
from aparte.store.direct import Among, Direct, Many
from aparte.store.schema import conversation
from aparte.store.schema import event as table
from aparte.vault import Vault


class Stored(msgspec.Struct):
    """An event as both audiences need it. `visitor_seq` is None for an event of the staff stream only."""

    conversation: str
    staff_seq: int
    visitor_seq: int | None
    id: str
    kind: str
    sender_kind: str
    sender_id: str
    at: float
    body: Part
    cid: str = ""
    raw: bytes = b""  # the body as JSON, once it has been made


class Known(msgspec.Struct, frozen=True):
    """An event that already carries a cid key."""

    conversation: str
    staff_seq: int
    visitor_seq: int | None
    kind: str
    at: float
    mac: bytes
    id: str


AT_ONCE: Final = 128  # conversations in one query
FAR: Final = 200  # events that are looked through for an answer
_COLUMNS = tuple(column.name for column in table.columns)
_INSERT = Many(lambda rows: insert(table).values([dict(row) for row in rows]), _COLUMNS)
_KNOWN = Among(
    lambda keys: select(
        table.c.cid_key,
        table.c.conversation_id,
        table.c.staff_seq,
        table.c.visitor_seq,
        table.c.kind,
        table.c.at,
        table.c.cid_mac,
        table.c.id,
    ).where(table.c.cid_key.in_(keys))
)

# Built once: making a statement anew costs more than running it.
_OF_THREAD = select(table).where(table.c.conversation_id == bindparam("thread"))
_AT = Direct(_OF_THREAD.where(table.c.staff_seq == bindparam("number")), ("thread", "number"))


class _Between:
    """The events of several conversations between two staff numbers of each. Compiled for 1, 2, 4 … of them, and a
    shorter list is filled up with its last."""

    def __init__(self) -> None:
        self._sizes: dict[int, Direct] = {}

    def rows(self, connection: Connection, spans: Sequence[tuple[str, int, int]]) -> list[Any]:
        """Args: spans: conversation, first, last; one at least. Returns: rows in no order. Raises DBAPIError."""
        size = 1 << (len(spans) - 1).bit_length()
        query = self._sizes.get(size)
        if query is None:
            names = [f"{name}_{number}" for number in range(size) for name in ("thread", "first", "last")]
            made: list[Any] = [bindparam(name) for name in names]
            terms = [
                and_(table.c.conversation_id == thread, table.c.staff_seq >= first, table.c.staff_seq <= last)
                for thread, first, last in zip(made[::3], made[1::3], made[2::3], strict=True)
            ]
            query = self._sizes[size] = Direct(select(table).where(or_(*terms)), names)
        filled = [*spans, *[spans[-1]] * (size - len(spans))]
        return query.rows(connection, [value for span in filled for value in span])


_BETWEEN = _Between()


def bound(row: Conversation, stored: Stored) -> tuple[str | int | None, ...]:
    """What a body is tied to: record kind, site, conversation, message, numbers, revision, sender, kind, time, column."""
    return (
        "event",
        row.site_id,
        row.id,
        stored.id,
        stored.staff_seq,
        stored.visitor_seq,
        0,
        stored.sender_kind,
        stored.sender_id,
        stored.kind,
        repr(stored.at),
        "body",
    )


class _Kept(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is sealed: the body, and the cid, by which the sender's other screens know it."""

    b: msgspec.Raw
    c: str = ""


def _plain(stored: Stored) -> bytes:
    stored.raw = stored.raw or msgspec.json.encode(stored.body)
    return msgspec.json.encode(_Kept(msgspec.Raw(stored.raw), stored.cid))


class New(msgspec.Struct, frozen=True):
    """An event to be written: its conversation, and the key and MAC of its cid."""

    row: Conversation
    stored: Stored
    cid_key: bytes | None
    cid_mac: bytes | None


def add(connection: Connection, vault: Vault, new: list[New]) -> None:
    """Seals and writes them. Raises Unreadable when one's key is gone; then none is written."""
    blobs = vault.seal_all([(one.row.key_id, bound(one.row, one.stored), _plain(one.stored)) for one in new])
    rows = []
    for one, sealed in zip(new, blobs, strict=True):
        it = one.stored
        numbers = it.conversation, it.staff_seq, it.visitor_seq
        rows.append((*numbers, it.id, it.kind, it.sender_kind, it.sender_id, one.cid_key, one.cid_mac, it.at, sealed))
    _INSERT.run(connection, rows)


def known(connection: Connection, keys: list[bytes]) -> dict[bytes, Known]:
    """Which of these cid keys are taken, and by what."""
    if not keys:
        return {}
    return {key: Known(*event) for key, *event in _KNOWN.rows(connection, keys)}


_DECODERS = {kind: msgspec.json.Decoder(body) for kind, body in BODIES.items()}
_KEPT = msgspec.json.Decoder(_Kept)


def _from_row(vault: Vault, row: Conversation, found: Any) -> Stored:
    _, staff_seq, visitor_seq, event, kind, sender_kind, sender_id, _, _, at, sealed = found
    stored = Stored(row.id, staff_seq, visitor_seq, event, kind, sender_kind, sender_id, at, EmptyBody())
    try:
        kept = _KEPT.decode(vault.unseal(row.key_id, bound(row, stored), sealed))
        stored.body = _DECODERS[stored.kind].decode(kept.b)
        stored.cid = kept.c
    except (Unreadable, msgspec.MsgspecError, KeyError):
        # Shown as what it is, in its place: a row that cannot be authenticated never falls back to anything.
        stored.kind = "unreadable"
    return stored


def _missing(row: Conversation, number: int, *, for_visitor: bool) -> Stored:
    return Stored(
        conversation=row.id,
        staff_seq=0 if for_visitor else number,
        visitor_seq=number if for_visitor else None,
        id="",
        kind="unreadable",
        sender_kind="system",
        sender_id="",
        at=row.updated_at,
        body=EmptyBody(),
    )


def page(
    connection: Connection,
    vault: Vault,
    row: Conversation,
    *,
    for_visitor: bool,
    after: int = 0,
    before: int | None = None,
    limit: int,
) -> list[Stored]:
    """At most `limit` events in rising order: the first ones after `after`, or the last ones below `before`.

    A number that should be there and is not, or that cannot be authenticated, comes back as kind `unreadable`.
    """
    top = row.visitor_seq if for_visitor else row.staff_seq
    if before is None:
        first, last = after + 1, min(top, after + limit)
    else:
        last = min(top, before - 1)
        first = max(1, last - limit + 1)
    return _numbered(connection, vault, [(row, for_visitor, first, last)])[0]


def missed(
    connection: Connection, vault: Vault, wanted: Sequence[tuple[Conversation, bool, int]], limit: int
) -> list[list[Stored]]:
    """`page` for several conversations, in one query. Args: wanted: of each the row, whether for the visitor, and the
    number after which it begins. Returns: the events of each, in the order of `wanted`."""
    spans = []
    for row, for_visitor, after in wanted:
        top = row.visitor_seq if for_visitor else row.staff_seq
        spans.append((row, for_visitor, after + 1, min(top, after + limit)))
    return _numbered(connection, vault, spans)


Span = tuple[Conversation, bool, int, int]  # a conversation, whether for the visitor, first and last number


def _numbered(connection: Connection, vault: Vault, spans: Sequence[Span]) -> list[list[Stored]]:
    """The events of each span. A number that should be there and is not comes as kind `unreadable`."""
    # An event's visitor number is below its staff number by the hidden events before it, so the primary key serves
    # both streams: an index on the visitor's numbers would cost each message a page.
    asked = [
        (row.id, first, last + (row.staff_seq - row.visitor_seq if for_visitor else 0))
        for row, for_visitor, first, last in spans
        if first <= last
    ]
    of_thread: dict[str, list[Any]] = {}
    for one in _BETWEEN.rows(connection, asked) if asked else ():
        of_thread.setdefault(one[0], []).append(one)
    every = []
    for row, for_visitor, first, last in spans:
        number = 2 if for_visitor else 1  # of the column
        found = {
            one[number]: _from_row(vault, row, one)
            for one in of_thread.get(row.id, ())
            if one[number] is not None and first <= one[number] <= last
        }
        numbers = range(first, last + 1)
        every.append([found.get(at) or _missing(row, at, for_visitor=for_visitor) for at in numbers])
    return every


def at_number(connection: Connection, vault: Vault, row: Conversation, staff_seq: int) -> Stored | None:
    """One event of the staff stream."""
    found = _AT.rows(connection, (row.id, staff_seq))
    return _from_row(vault, row, found[0]) if found else None


def last_note(connection: Connection, vault: Vault, row: Conversation) -> Stored | None:
    """The latest note that an agent wrote."""
    query = (
        select(table)
        .where(table.c.conversation_id == row.id, table.c.sender_kind == "agent", table.c.kind == "note")
        .order_by(table.c.staff_seq.desc())
        .limit(1)
    )
    found = connection.execute(query).first()
    return _from_row(vault, row, found) if found else None


def last_words(connection: Connection, vault: Vault, rows: Sequence[Conversation]) -> dict[str, Stored]:
    """The last message of each conversation that has one, by its id."""
    said = [row for row in rows if row.last_said]
    found: dict[str, Stored] = {}
    for start in range(0, len(said), AT_ONCE):
        some = {row.id: row for row in said[start : start + AT_ONCE]}
        spans = [(row.id, row.last_said, row.last_said) for row in some.values()]
        found |= {one[0]: _from_row(vault, some[one[0]], one) for one in _BETWEEN.rows(connection, spans)}
    return found


# Written out, since these are the same each time; an OFFSET, since SQLite gets one in any case, as a value.
_A_MESSAGE = table.c.kind == literal_column("'message'")
_OF_ONE = table.c.conversation_id == conversation.c.id
_NEAR = conversation.c.staff_seq - literal_column(str(FAR))
_ANSWERED = (
    select(table.c.staff_seq)
    .where(
        _OF_ONE,
        table.c.staff_seq > _NEAR,
        or_(
            table.c.kind == literal_column("'closed'"),
            and_(_A_MESSAGE, table.c.sender_kind == literal_column("'agent'")),
        ),
    )
    .order_by(table.c.staff_seq.desc())
    .limit(literal_column("1"))
    .offset(literal_column("0"))
    .scalar_subquery()
    .correlate(conversation)
)
_FIRST_SINCE = (
    select(table.c.at)
    .where(
        _OF_ONE,
        table.c.staff_seq > func.coalesce(_ANSWERED, _NEAR),
        _A_MESSAGE,
        table.c.sender_kind == literal_column("'visitor'"),
    )
    .order_by(table.c.staff_seq)
    .limit(literal_column("1"))
    .offset(literal_column("0"))
    .scalar_subquery()
    .correlate(conversation)
)
_UNANSWERED = Among(lambda ids: select(conversation.c.id, _FIRST_SINCE).where(conversation.c.id.in_(ids)))


def unanswered_since(connection: Connection, ids: Sequence[str]) -> dict[str, float]:
    """When the customer wrote the oldest message that nobody has answered since, of those of these conversations in which
    there is one: among the last FAR events, for more are not looked at. What is held is no answer."""
    found: dict[str, float] = {}
    for start in range(0, len(ids), AT_ONCE):
        answers = _UNANSWERED.rows(connection, ids[start : start + AT_ONCE])
        found |= {one: at for one, at in answers if at is not None}
    return found


def unread_after(connection: Connection, row: Conversation, visitor_seq: int) -> int:
    """How many of the visitor's messages have a number above this mark."""
    query = select(table.c.visitor_seq).where(
        table.c.conversation_id == row.id,
        table.c.staff_seq > visitor_seq,  # never below the visitor's number, so the primary key finds the place
        table.c.visitor_seq > visitor_seq,
        table.c.sender_kind == "visitor",
        table.c.kind == "message",
    )
    return len(connection.execute(query).all())
