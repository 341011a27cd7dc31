"""The vault: which key opens what, and the only door to sealing, opening and keyed hashes.

The root key wraps person keys, the installation key and the purpose keys; a person key wraps conversation keys. Knows
ids of keys and of their owners. Must not know what the sealed bytes mean. Keys in use are in this process's memory:
Python cannot wipe them, and root on the live server can read them.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Final

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy.engine import Connection

from aparte import errors
from aparte.config import Database
from aparte.vault import blob, ring, rootkey, server
from aparte.vault.blob import Part
from aparte.vault.chain import CONVERSATION, INSTALLATION, PERSON, PURPOSE, Chain, Key
from aparte.vault.ring import FileRing, Ring
from aparte.vault.rootkey import RootKey

CACHED_KEYS: Final = 50_000
"""How many unwrapped keys stay in memory, the least recently used leaving first. About 360 bytes each, so 18 MB when
full. The bare key is kept; only the busiest have a prepared cipher too."""
CIPHERS: Final = 1_000
"""How many prepared ciphers stay in memory, the least recently used leaving first: 2,500 bytes each."""

PURPOSES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "index": "exact-match lookup of e-mail addresses, telephone numbers and references",
        "code": "one-time codes of identity checks",
        "session": "session tokens of agents",
        "visitor": "bearer tokens of visitors",
        "link": "tokens in links that are sent, such as “this is not me”",
        "audit": "the audit log's chain",
        "limit": "keys of rate buckets and of the breaker",
        "cid": "bodies sent under a client id, before their conversation has a key",
        "address": "IP addresses",
    }
)
"""The keyed hashes that exist. A key of its own each, so that one can be replaced and none answers for another."""

_CID = b"aparte cid body"  # the label of a conversation's subkey; on disk by its effect, never change it
_DAMAGED = "The key ring is damaged: keys are missing or changed. Put its latest copy back; nothing was changed."
_CLOSED = "The key ring is closed: the server is stopping. Try again in a moment."
_NO_KEY = "The key of this has been destroyed or was never made. It cannot be read, and nothing can be added."


class Vault:
    """Seals and opens values. All methods may be called from any thread at once.

    seal, unseal and the hashes take microseconds once a key is in memory; its first use reads the ring (about 0.3 ms).
    new_* and forget wait for the disk: call them on a worker thread. Everything raises errors.StoreDown when the ring
    cannot be read or written.
    """

    installation: int
    """Id of the installation's own key: agents' names and addresses, secrets of connectors."""

    def __init__(self, keys: Ring, root: RootKey, *, cached_keys: int = CACHED_KEYS) -> None:
        """Use `create` or `open`. Takes over the ring: closes it when the root key is not the right one."""
        self._ring = keys
        self._most = cached_keys
        self._lock = threading.Lock()
        self._cache: OrderedDict[int, tuple[bytes, bytes]] = OrderedDict()
        self._ciphers: OrderedDict[int, AESGCM] = OrderedDict()
        self._purposes: dict[str, bytes] = {}
        self._forgotten = 0  # how often a key was forgotten; see _keep
        try:
            with keys.reading() as tx:
                promised = self._load(tx, root)
            if PURPOSES.keys() - promised:
                self._add_purposes(root)
        except BaseException:
            keys.close()
            raise

    @classmethod
    def create(cls, *, keyring: Path | Database, root_key: Path) -> Vault:
        """Make the root key file unless it exists, and a new ring with its check value and first keys.

        Raises: errors.BadSetting when there is a ring already (it is not touched) or a place cannot be written to;
            errors.WrongKey when the root key file exists and cannot be used.
        """
        keys: Ring
        if isinstance(keyring, Database):
            keys, setting = server.ServerRing(keyring), "keyring_url to another database"
        else:
            ring.prepare(keyring)
            keys, setting = FileRing(keyring), "keyring to another file"
        try:
            with keys.writing() as tx:
                if not ring.make_tables(tx):
                    raise errors.BadSetting(
                        f"There is a key ring at {keyring} already; it was left as it is. To begin anew, move it away "
                        f"or set {setting}."
                    )
                root = rootkey.read(root_key) if os.path.lexists(root_key) else rootkey.make(root_key)
                chain = Chain(os.urandom(16).hex(), root)
                owners = [(INSTALLATION, ""), *((PURPOSE, purpose) for purpose in PURPOSES)]
                ids = keys.new_ids(len(owners))
                ring.add(tx, [chain.make(i, *what).row for i, what in zip(ids, owners, strict=True)])
                ring.set_values(tx, {"format": ring.FORMAT, "id": chain.ring_id.encode(), "root": root.name.encode()})
                ring.set_values(tx, {"check": chain.seal_check(PURPOSES)})
        except BaseException:
            keys.close()
            raise
        return cls(keys, root)

    @classmethod
    def open(cls, *, keyring: Path | Database, root_key: Path, cached_keys: int = CACHED_KEYS) -> Vault:
        """Open what `create` made, or refuse.

        Args: cached_keys: how many unwrapped keys to hold; see CACHED_KEYS.
        Raises: errors.WrongKey when the root key is missing, short, readable by others, or another one than this
            ring's; errors.BadSetting when there is no ring; errors.StoreDown when the ring is damaged or unreadable.
        """
        root = rootkey.read(root_key)
        if isinstance(keyring, Database):
            return cls(server.ring_in(keyring), root, cached_keys=cached_keys)
        if not keyring.is_file():
            raise errors.BadSetting(
                f"There is no key ring at {keyring}. Put it back from its copy, or correct the setting keyring; where there "
                "are no data yet, run `aparte init`."
            )
        return cls(FileRing(keyring), root, cached_keys=cached_keys)

    def close(self) -> None:
        """Let go of the ring and of the keys in memory. Any use afterwards raises errors.StoreDown."""
        self._ring.close()
        with self._lock:
            self._forgotten += 1
            self._cache.clear()
            self._ciphers.clear()
            self._purposes = {}

    def _load(self, tx: Connection, root: RootKey) -> frozenset[str]:
        """Take in the ring's own keys. Returns: the purposes that this ring promises to hold."""
        values = ring.values(tx)
        if values.get("format") != ring.FORMAT or not {"id", "root", "check"} <= values.keys():
            raise errors.StoreDown(_DAMAGED)
        self._chain = Chain(values["id"].decode(errors="replace"), root)
        promised = self._check(values)
        try:
            keys = [self._chain.unwrap(row) for row in ring.own(tx)]
        except errors.Unreadable:
            raise errors.StoreDown(_DAMAGED) from None
        self._purposes = {key.row.owner: key.secret for key in keys if key.row.kind == PURPOSE}
        installations = [key.row.id for key in keys if key.row.kind == INSTALLATION]
        # A lost key must be noticed and never be replaced in silence: every address would become unknown and every
        # session void. So the list of purposes is sealed with the check value.
        if len(installations) != 1 or not promised <= self._purposes.keys():
            raise errors.StoreDown(_DAMAGED)
        self.installation = installations[0]
        return promised

    def _check(self, values: Mapping[str, bytes]) -> frozenset[str]:
        """Refuse a root key that is not this ring's."""
        name = self._chain.root.name
        wrong = f"The root key {name!r} is not the one that this key ring was made with."
        if values["root"] != name.encode():
            made_with = values["root"].decode(errors="replace")
            raise errors.WrongKey(f"{wrong} That one is named {made_with!r}: set root_key to its file.")
        try:
            return self._chain.open_check(values["check"])
        except errors.Unreadable:
            raise errors.WrongKey(f"{wrong} It has the same name and other bytes: put the right file back.") from None

    def _add_purposes(self, root: RootKey) -> None:
        """Make the keys that an older version, which made this ring, did not know."""
        with self._ring.writing() as tx:
            promised = self._load(tx, root)  # again, under the lock: another process may have made them meanwhile
            missing = sorted(PURPOSES.keys() - promised)
            ids = self._ring.new_ids(len(missing))
            made = [self._chain.make(i, PURPOSE, what) for i, what in zip(ids, missing, strict=True)]
            ring.add(tx, [key.row for key in made])
            ring.set_values(tx, {"check": self._chain.seal_check(promised | PURPOSES.keys())})
        self._purposes.update({key.row.owner: key.secret for key in made})

    def new_person(self, person: str) -> int:
        """A key for one person, on the disk before this returns. Args: person: its id. Returns: the key's id."""
        key = self._chain.make(self._ring.new_ids(1)[0], PERSON, person)
        before = self._forgotten
        with self._ring.writing() as tx:
            ring.add(tx, [key.row])
        self._keep([key], before)
        return key.row.id

    def new_conversation(self, conversation: str, person_key: int) -> int:
        """A key for one conversation, under its person's, on the disk before this returns.

        Returns: the key's id. Raises: errors.Unreadable when the person's key does not exist (any more).
        """
        before = self._forgotten
        with self._ring.writing() as tx:  # read under the write lock: the person cannot be erased meanwhile
            person = ring.with_wrapper(tx, person_key).get(person_key)
            if person is None or person.kind != PERSON:
                raise errors.Unreadable(_NO_KEY)
            key = self._chain.make(self._ring.new_ids(1)[0], CONVERSATION, conversation, self._chain.unwrap(person))
            ring.add(tx, [key.row])
        self._keep([key], before)
        return key.row.id

    def new_pair(self, person: str, conversation: str) -> tuple[int, int]:
        """A new person's key and a conversation's under it, in one commit. Returns: (person key, conversation key)."""
        return self.new_pairs([(person, conversation)])[0]

    def new_pairs(self, pairs: Sequence[tuple[str, str]]) -> list[tuple[int, int]]:
        """`new_pair` for many, in one commit and one wait for the disk. Args: pairs: (person, conversation) ids."""
        if not pairs:
            return []
        ids = iter(self._ring.new_ids(2 * len(pairs)))
        made: list[tuple[Key, Key]] = []
        for person, conversation in pairs:
            above = self._chain.make(next(ids), PERSON, person)
            made.append((above, self._chain.make(next(ids), CONVERSATION, conversation, above)))
        keys = [key for pair in made for key in pair]
        before = self._forgotten
        with self._ring.writing() as tx:
            ring.add(tx, [key.row for key in keys])
        self._keep(keys, before)
        return [(above.row.id, below.row.id) for above, below in made]

    def seal(self, key: int, bound: Sequence[Part], plaintext: bytes) -> bytes:
        """Encrypt a value for one place.

        Args: key: id of a person's, a conversation's or the installation's key; bound: everything that says where the
            value belongs (kind of record, ids, number, sender, column), given again to `unseal`; plaintext: any length.
        Returns: the blob: 38 bytes more than the plaintext padded to a multiple of 64.
        Raises: errors.Unreadable when the key does not exist or cannot be authenticated.
        """
        return blob.seal(self._cipher(key), blob.RECORD, key, bound, plaintext)

    def seal_all(self, values: Sequence[tuple[int, Sequence[Part], bytes]]) -> list[bytes]:
        """`seal` for many. Args: values: of each its key, bound and plaintext. Raises: as `seal`; then none is sealed."""
        return blob.seal_all(blob.RECORD, [(self._cipher(key), key, bound, plain) for key, bound, plain in values])

    def unseal(self, key: int, bound: Sequence[Part], sealed: bytes) -> bytes:
        """The value again. There is no other way to read, and no fallback.

        Raises: errors.Unreadable when anything is not as it was sealed: key, place, order of parts, any bit.
        """
        return blob.unseal(self._cipher(key), blob.RECORD, key, bound, sealed)

    def mac(self, purpose: str, *parts: str | bytes | int) -> bytes:
        """32 bytes of HMAC-SHA256 under a purpose's key. Args: purpose: one of PURPOSES. Raises: KeyError for another.

        Compare with `hmac.compare_digest`, or look up by it in the database.
        """
        secret = self._purposes.get(purpose)
        if secret is None:
            if purpose in PURPOSES:
                raise errors.StoreDown(_CLOSED)
            raise KeyError(f"{purpose!r} is no purpose of a keyed hash; see PURPOSES")
        return blob.mac(secret, parts)

    def conversation_mac(self, key: int, *parts: str | bytes | int) -> bytes:
        """16 bytes of a keyed hash under a subkey of a conversation's key: gone with it."""
        return blob.short_mac(self._secret(key)[1], parts)

    def forget(self, *keys: int) -> None:
        """Destroy people's keys with their conversations' keys, or conversations'. What they sealed is gone.

        On return the wrapped bytes are in no file of the ring: deleted with overwriting, log emptied, files scanned
        once for all of them. In PostgreSQL they are out of the table, and may stay where nobody can look from outside:
        see `vault.server`. A key that does not exist is forgotten already. Takes tens of milliseconds and more: call
        it on a worker thread.
        Raises: ValueError for the installation's key; errors.StoreDown when traces may be left: call it again.
        """
        if self.installation in keys:
            raise ValueError("the installation's key cannot be forgotten: every agent would be lost")
        needles: list[bytes] = []
        for key in keys:
            gone = self._ring.destroy(key, (PERSON, CONVERSATION), CONVERSATION)
            with self._lock:
                self._forgotten += 1
                for row in gone:
                    self._cache.pop(row.id, None)
                    self._ciphers.pop(row.id, None)
            needles += [blob.core(row.wrapped) for row in gone]
        self._ring.scrub(needles)

    def _cipher(self, key: int) -> AESGCM:
        """What seals and opens under the key, prepared once while it is in use."""
        with self._lock:
            cipher = self._ciphers.get(key)
            if cipher is not None:
                self._ciphers.move_to_end(key)
                return cipher
            before = self._forgotten
        cipher = AESGCM(self._secret(key)[0])
        with self._lock:
            if before == self._forgotten:  # else it could be one of those, and would live on: as in `_keep`
                self._ciphers[key] = cipher
                if len(self._ciphers) > min(CIPHERS, self._most):
                    self._ciphers.popitem(last=False)
        return cipher

    def _secret(self, key: int) -> tuple[bytes, bytes]:
        """The key, and its subkey for `conversation_mac`."""
        with self._lock:
            secret = self._cache.get(key)
            if secret is not None:
                self._cache.move_to_end(key)
                return secret
        return self._fetch(key)

    def _fetch(self, key: int) -> tuple[bytes, bytes]:
        before = self._forgotten
        with self._ring.reading() as tx:
            rows = ring.with_wrapper(tx, key)
        row = rows.get(key)
        if row is None or row.kind == PURPOSE:
            raise errors.Unreadable(_NO_KEY)
        found = self._chain.unwrap(row, rows.get(row.wrapper))
        self._keep([found], before)
        return found.secret, blob.expand(found.secret, _CID)

    def _keep(self, keys: Sequence[Key], before: int) -> None:
        """Cache keys, unless one was forgotten since `before`: it could be one of these and would live on."""
        with self._lock:
            if before != self._forgotten:
                return
            for key in keys:
                self._cache[key.row.id] = key.secret, blob.expand(key.secret, _CID)
            while len(self._cache) > self._most:
                self._cache.popitem(last=False)
