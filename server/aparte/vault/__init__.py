"""Key ring, sealed values, keyed hashes, passwords: everything secret goes through this door.

Three places, kept apart: the data (sealed rows), the key ring (wrapped keys), the root key (one file). A thief of the
first two reads nothing. Knows keys and bytes. Must not know what a message, a visitor or a session is, nor the store.
"""

from __future__ import annotations

from aparte.vault.blob import STEP
from aparte.vault.keys import CACHED_KEYS, PURPOSES, Vault
from aparte.vault.passwords import FIRST, PasswordGate, hash_password, needs_rehash, new_token, verify_password

__all__ = [
    "CACHED_KEYS",
    "FIRST",
    "PURPOSES",
    "STEP",
    "PasswordGate",
    "Vault",
    "hash_password",
    "needs_rehash",
    "new_token",
    "verify_password",
]
