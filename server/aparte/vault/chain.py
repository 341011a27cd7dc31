"""How one key wraps another, and what each wrap is bound to.

Root key over person, installation and purpose keys; person key over conversation keys. A wrap is bound to the ring, the
kind, the owner and the id of its key; a conversation's also to its person, so that its row cannot be moved to another.
Knows keys in clear. Must not know the database.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final, NamedTuple

from aparte import errors
from aparte.vault import blob
from aparte.vault.ring import Row
from aparte.vault.rootkey import KEY_BYTES, RootKey

PURPOSE: Final = "purpose"
INSTALLATION: Final = "installation"
PERSON: Final = "person"
CONVERSATION: Final = "conversation"


class Key(NamedTuple):
    """A key: its row in the ring, and what the row wraps."""

    row: Row
    secret: bytes

    def __repr__(self) -> str:
        # A named tuple would print the secret into a traceback or a log.
        return f"Key({self.row.kind} {self.row.id})"


@dataclass(frozen=True, slots=True)
class Chain:
    """The links of one ring. Args: ring_id: the ring's random name; root: its root key."""

    ring_id: str
    root: RootKey

    def make(self, key: int, kind: str, owner: str, person: Key | None = None) -> Key:
        """A new random key. Args: key: its id; owner: whose; person: the key above, for a conversation's."""
        secret = os.urandom(KEY_BYTES)
        wrapper, above = (self.root.id, self.root.secret) if person is None else (person.row.id, person.secret)
        wrapped = blob.seal(above, blob.WRAP, wrapper, self._bound(key, kind, owner, person), secret)
        return Key(Row(key, kind, owner, wrapper, wrapped, time.time_ns() // 1_000_000), secret)

    def unwrap(self, row: Row, above: Row | None = None) -> Key:
        """The key of a row. Args: above: the person's row, for a conversation's; otherwise not used.

        Raises: errors.Unreadable when either row was changed, moved or taken from another ring.
        """
        if row.kind != CONVERSATION:
            bound = self._bound(row.id, row.kind, row.owner, None)
            return Key(row, blob.unseal(self.root.secret, blob.WRAP, self.root.id, bound, row.wrapped))
        if above is None:
            raise errors.Unreadable
        person = self.unwrap(above)
        bound = self._bound(row.id, row.kind, row.owner, person)
        return Key(row, blob.unseal(person.secret, blob.WRAP, person.row.id, bound, row.wrapped))

    def seal_check(self, purposes: Collection[str]) -> bytes:
        """The check value: what only the right root key opens. It lists the purposes that the ring must hold."""
        listed = json.dumps(sorted(purposes)).encode()
        return blob.seal(self.root.secret, blob.WRAP, self.root.id, self._check_bound(), listed)

    def open_check(self, check: bytes) -> frozenset[str]:
        """The purposes listed. Raises: errors.Unreadable when the root key is not the one of this ring."""
        return frozenset(json.loads(blob.unseal(self.root.secret, blob.WRAP, self.root.id, self._check_bound(), check)))

    def _bound(self, key: int, kind: str, owner: str, person: Key | None) -> tuple[blob.Part, ...]:
        return "key", self.ring_id, kind, owner, key, None if person is None else person.row.owner

    def _check_bound(self) -> tuple[blob.Part, ...]:
        return "check", self.ring_id, self.root.name
