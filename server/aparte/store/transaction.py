"""One writer's transaction: conversations read once, events numbered and sealed, written together at `flush`.

Knows rows and keys. Must not judge, publish or commit.
"""

from __future__ import annotations

import base64
import hashlib
import os
import secrets
from collections import OrderedDict
from collections.abc import Iterable
from typing import Any, Final

from sqlalchemy import Connection, insert

from aparte.errors import CidConflict, NotFound
from aparte.frames import NoteBody, Part
from aparte.store import conversations, events
from aparte.store.conversations import Conversation
from aparte.store.events import Known, Stored
from aparte.store.schema import audit as audit_table
from aparte.vault import Vault

SAID: Final = frozenset({"message", "held"})
TAIL_CHARS: Final = 200  # more than the guard looks back
IDS: Final = 16  # made at once, at least
TAILS: Final = 10_000  # conversations and sides whose ends are kept in memory: some 5 MB
ROWS: Final = 2_000  # conversations whose rows are kept in memory: some 2 MB


def new_id() -> str:
    """128 random bits, 22 characters."""
    return secrets.token_urlsafe(16)


def cid_key(conversation: str, sender: str, cid: str) -> bytes:
    """The unique key of a client id: its first 48 bits, which say when it was made (RFC 9562, version 7), then 128 bits
    over random ids, which tell nothing. So the keys of one moment stand together in their index, and a commit touches
    few of its pages. An id made otherwise is unique all the same."""
    return bytes.fromhex(cid[:8] + cid[9:13]) + hashlib.sha256(f"{conversation}|{sender}|{cid}".encode()).digest()[:16]


class Recent:
    """What the writer remembers from one commit to the next, so that it need not read it again.

    How the last message of each side ended, so that a number split over two messages is found: an entry counts only
    for the very message that the conversation's row names. And rows of conversations as they were committed last, with
    what a message does not change of them: the writer trusts these only where nobody else can have written since.
    """

    def __init__(self) -> None:
        self._tails: OrderedDict[tuple[str, str], tuple[int, str]] = OrderedDict()
        self._rows: OrderedDict[str, tuple[Conversation, tuple[Any, ...]]] = OrderedDict()

    def tail(self, key: tuple[str, str], number: int) -> str | None:
        found = self._tails.get(key)
        return found[1] if found is not None and found[0] == number else None

    def put_tail(self, key: tuple[str, str], number: int, text: str) -> str:
        """Keeps the end of the message of this staff number, and returns it."""
        tail = text[-TAIL_CHARS:]
        self._tails[key] = (number, tail)
        self._tails.move_to_end(key)
        if len(self._tails) > TAILS:
            self._tails.popitem(last=False)
        return tail

    def drop_tails(self, keys: Iterable[tuple[str, str]]) -> None:
        for key in keys:
            self._tails.pop(key, None)

    def take_row(self, conversation: str) -> tuple[Conversation, tuple[Any, ...]] | None:
        """The row, which is no longer remembered: a transaction changes it, and may be rolled back."""
        return self._rows.pop(conversation, None)

    def put_row(self, row: Conversation, rest: tuple[Any, ...]) -> None:
        self._rows[row.id] = (row, rest)
        if len(self._rows) > ROWS:
            self._rows.popitem(last=False)

    def forget_rows(self) -> None:
        self._rows.clear()

    def clear(self) -> None:
        """After a rollback: what was put since may never have been written."""
        self._tails.clear()
        self._rows.clear()


class Tx:
    """The write side of the store inside one transaction. `now` is the store's clock in epoch seconds."""

    def __init__(self, connection: Connection, vault: Vault, now: float, recent: Recent | None = None) -> None:
        self.connection = connection
        self.vault = vault
        self.now = now
        self.published: list[Stored] = []
        self._conversations: dict[str, Conversation] = {}
        self._changed: dict[str, Conversation] = {}
        self._read: dict[str, tuple[Any, ...]] = {}  # of each conversation, what a message does not change, as stored
        self._new: list[events.New] = []
        self._saved: set[str] = set()
        self._tailed: set[tuple[str, str]] = set()  # the sides whose last text is this transaction's
        self._ids: list[str] = []
        self._most_ids = IDS
        self._audit: list[dict[str, Any]] = []
        self._known: dict[bytes, Known] = {}
        self._own: dict[bytes, tuple[Stored, bytes]] = {}  # what this transaction wrote under a cid key, and the MAC
        self._asked: set[bytes] = set()
        self._recent = Recent() if recent is None else recent

    # ── conversations ────────────────────────────────────────────────────────────────────────────────────

    def prefetch(self, ids: Iterable[str], keys: list[bytes]) -> None:
        """Reads what a batch of appends will need, in one query each."""
        unknown = []
        for one in ids:
            remembered = self._recent.take_row(one)
            if remembered is None:
                unknown.append(one)
            else:
                self._conversations[one], self._read[one] = remembered
        for row in conversations.lock(self.connection, unknown).values():
            self._take_in(row)
        self._known.update(events.known(self.connection, keys))
        self._asked.update(keys)
        self._most_ids = max(self._most_ids, len(keys))

    def conversation(self, conversation: str) -> Conversation:
        """The row, to be changed in place and followed by `touch`. Raises NotFound."""
        row = self._conversations.get(conversation)
        if row is None:
            self.prefetch([conversation], [])
            row = self._conversations.get(conversation)
            if row is None:
                raise NotFound()
        return row

    def _take_in(self, row: Conversation) -> None:
        self._conversations[row.id] = row
        self._read[row.id] = conversations.rest_of(row)

    def adopt(self, row: Conversation) -> None:
        """A conversation that this transaction has just inserted."""
        self._take_in(row)

    def drop(self, row: Conversation) -> None:
        """A conversation that this transaction deletes: whoever asks for it later in the batch must not find it."""
        self._conversations.pop(row.id, None)
        self._changed.pop(row.id, None)
        self._saved.discard(row.id)

    def touch(self, row: Conversation) -> None:
        self._changed[row.id] = row

    # ── events ───────────────────────────────────────────────────────────────────────────────────────────

    def repeat(self, key: bytes, mac: bytes) -> Known | None:
        """What this cid already made, if it is a repeat. Raises CidConflict when the body is another."""
        known: Known | None
        own = self._own.get(key)
        if own is not None:
            it, own_mac = own
            known = Known(it.conversation, it.staff_seq, it.visitor_seq, it.kind, it.at, own_mac, it.id)
        else:
            if key not in self._asked:
                self._known.update(events.known(self.connection, [key]))
                self._asked.add(key)
            known = self._known.get(key)
        if known is not None and known.mac != mac:
            raise CidConflict()
        return known

    def append(
        self,
        row: Conversation,
        kind: str,
        body: Part,
        *,
        sender: tuple[str, str],
        visible: bool,
        cid: str = "",
        key: bytes | None = None,
        mac: bytes | None = None,
    ) -> Stored:
        """Gives the event the next number of its stream or streams. It is sealed to that place at `flush`.

        Args: sender: kind and id; visible: whether the visitor stream has it; key and mac: of the cid.
        """
        stored = Stored(
            row.id,
            row.staff_seq + 1,
            row.visitor_seq + 1 if visible else None,
            self._new_id(),
            kind,
            sender[0],
            sender[1],
            self.now,
            body,
            cid,
        )
        row.staff_seq = stored.staff_seq
        if visible:
            row.visitor_seq += 1
        row.updated_at = self.now
        if kind in SAID:
            if sender[0] == "visitor":
                row.visitor_said = stored.staff_seq
            else:
                row.staff_said = stored.staff_seq
            self._recent.put_tail((row.id, sender[0]), stored.staff_seq, getattr(body, "text", ""))
            self._tailed.add((row.id, sender[0]))
        self._new.append(events.New(row, stored, key, mac))
        if key is not None and mac is not None:
            self._own[key] = stored, mac
        self._changed[row.id] = row
        self.published.append(stored)
        return stored

    def _new_id(self) -> str:
        """As `new_id`. Many are made at once, since each call to the system lets other threads run in between."""
        if not self._ids:
            many = os.urandom(18 * self._most_ids)  # 18 bytes are 24 characters: no padding between two
            text = base64.urlsafe_b64encode(many).decode()
            self._ids = [text[at : at + 22] for at in range(0, 24 * self._most_ids, 24)]
        return self._ids.pop()

    def previous_text(self, row: Conversation, side: str) -> str:
        """The end of the text that this side wrote last in the conversation, as stored; "" when there is none."""
        said = row.visitor_said if side == "visitor" else row.staff_said
        if not said:
            return ""
        tail = self._recent.tail((row.id, side), said)
        if tail is None:
            last = events.at_number(self.connection, self.vault, row, said)
            tail = self._recent.put_tail((row.id, side), said, getattr(last.body, "text", "") if last else "")
        return tail

    def previous_note(self, row: Conversation) -> str:
        """The text of the last note in the conversation, as stored; "" when there is none."""
        for stored in reversed(self.published):
            if stored.conversation == row.id and isinstance(stored.body, NoteBody):
                return stored.body.text
        last = events.last_note(self.connection, self.vault, row)
        return last.body.text if last and isinstance(last.body, NoteBody) else ""

    # ── audit ────────────────────────────────────────────────────────────────────────────────────────────

    def audit(self, actor: tuple[str, str], action: str, conversation: str = "", detail: str = "") -> None:
        """One line of the audit log: ids and codes only, never a personal value."""
        self._audit.append(
            {
                "at": self.now,
                "actor_kind": actor[0],
                "actor_id": actor[1],
                "action": action,
                "conversation_id": conversation,
                "detail": detail,
            }
        )

    # ── for the writer ───────────────────────────────────────────────────────────────────────────────────

    def size(self) -> int:
        """How much was noted since the last flush; an append that fails must not have raised it."""
        return len(self._new) + len(self._audit)

    def flush(self) -> None:
        """Writes what was noted, table by table."""
        if self._new:
            events.add(self.connection, self.vault, self._new)
            self._new = []
        if self._changed:
            self._save(self._changed.values())
            self._saved.update(self._changed)
            self._changed = {}
        if self._audit:
            self.connection.execute(insert(audit_table), self._audit)
            self._audit = []

    def _save(self, changed: Iterable[Conversation]) -> None:
        counts: list[Conversation] = []
        whole: list[Conversation] = []
        for row in changed:
            (counts if conversations.rest_of(row) == self._read.get(row.id) else whole).append(row)
        if counts:
            conversations.save_counts(self.connection, counts)
        if whole:
            conversations.save(self.connection, whole)
            self._read.update({row.id: conversations.rest_of(row) for row in whole})

    def remember(self) -> None:
        """After the commit: the rows that it wrote are known to the next one. A row that was read and not written may
        have been changed here all the same, so it is not."""
        for conversation in self._saved:
            self._recent.put_row(self._conversations[conversation], self._read[conversation])

    def forget(self, published: int) -> None:
        """After a rollback to a savepoint: nothing of what was read or noted since may be believed."""
        del self.published[published:]
        self._conversations.clear()
        self._read.clear()
        self._changed.clear()
        self._saved.clear()
        self._new.clear()
        self._audit.clear()
        self._known.clear()
        self._own.clear()
        self._asked.clear()
        self._recent.drop_tails(self._tailed)  # the rows were taken out when they were read
        self._tailed.clear()
