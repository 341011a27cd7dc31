"""The bytes of a sealed value, and of a keyed hash: layout, padding, what is bound.

A blob is `version (1) | suite (1) | key id (8) | nonce (12) | ciphertext | tag (16)`, numbers big-endian. The header
and the canonical encoding of the bound parts are its associated data. Knows one secret at a time, given by the caller.
Must not know where secrets come from, nor do any I/O.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import struct
from collections.abc import Sequence
from typing import Final

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from aparte import errors

Part = str | bytes | int | None
Secret = bytes | AESGCM  # 32 bytes, or what was prepared from them: to do that for each value takes 1.3 µs

VERSION: Final = 1
RECORD: Final = 1  # suite: AES-256-GCM over a padded value of the store
WRAP: Final = 2  # suite: AES-256-GCM over a key of the ring; a suite of its own, so that no value can pass for a key
STEP: Final = 64  # bytes; a reader of the disk learns a length only in steps of this

_HEADER: Final = struct.Struct(">BBQ")
_NONCE: Final = 12  # bytes: the size that GCM is made for; random, since a counter would repeat after a restore
_TAG: Final = 16  # bytes
_BODY: Final = _HEADER.size + _NONCE
_SMALLEST: Final = _BODY + STEP + _TAG
_encode: Final = msgspec.msgpack.Encoder().encode
# One mark and zeros, never empty: the last mark in a padded value is always ours, whatever the value ends with.
_PADS: Final = tuple(b"\x80" + bytes(STEP - 1 - used) for used in range(STEP))


def canonical(parts: Sequence[Part]) -> bytes:
    """One byte string for one sequence of parts, and never the same for two: MessagePack, in which each part says its
    type and its length. `("a", "bc")` differs from `("ab", "c")`, and 1 from "1".

    The form is on every disk: never change it. Args: parts: members of an enumeration count as their value.
    Raises: TypeError for a part of another type.
    """
    try:
        return _encode(parts)
    except UnicodeEncodeError:
        # A lone surrogate has no UTF-8 form; it still needs one form of its own here, and no error.
        return _encode([[p.encode("utf-8", "surrogatepass")] if isinstance(p, str) else p for p in parts])


def seal(secret: Secret, suite: int, key: int, bound: Sequence[Part], plaintext: bytes) -> bytes:
    """Encrypt one value under a fresh random nonce.

    Args: secret: 32 bytes, or a cipher of them; suite: RECORD or WRAP; key: the id that the header names; bound: see `canonical`;
        plaintext: of any length, also none.
    Returns: the blob, `_BODY + len(padded) + 16` bytes.
    """
    return _seal(os.urandom(_NONCE), secret, suite, key, bound, plaintext)


def seal_all(suite: int, values: Sequence[tuple[Secret, int, Sequence[Part], bytes]]) -> list[bytes]:
    """`seal` for many. The nonces come from one call to the system, which lets other threads run in between.

    Args: values: of each its secret, key, bound and plaintext.
    """
    nonces = os.urandom(_NONCE * len(values))
    return [
        _seal(nonces[at * _NONCE : (at + 1) * _NONCE], secret, suite, key, bound, plaintext)
        for at, (secret, key, bound, plaintext) in enumerate(values)
    ]


def _cipher(secret: Secret) -> AESGCM:
    return AESGCM(secret) if isinstance(secret, bytes) else secret


def _seal(nonce: bytes, secret: Secret, suite: int, key: int, bound: Sequence[Part], plaintext: bytes) -> bytes:
    header = _HEADER.pack(VERSION, suite, key)
    padded = plaintext + _PADS[len(plaintext) % STEP]
    return header + nonce + _cipher(secret).encrypt(nonce, padded, header + canonical(bound))


def unseal(secret: Secret, suite: int, key: int, bound: Sequence[Part], blob: object) -> bytes:
    """The value again, if every byte and every bound part is what was sealed.

    Args: blob: what the database handed over, of whatever type.

    Raises: errors.Unreadable for anything else: another key, another place, cut, changed, or never sealed.
    """
    header = _HEADER.pack(VERSION, suite, key)
    # A column of SQLite can hand over a text or nothing where bytes were stored: that is tampering too.
    if not isinstance(blob, bytes) or len(blob) < _SMALLEST or blob[: _HEADER.size] != header:
        raise errors.Unreadable
    try:
        padded = _cipher(secret).decrypt(blob[_HEADER.size : _BODY], blob[_BODY:], header + canonical(bound))
    except InvalidTag:
        raise errors.Unreadable from None
    end = padded.rfind(b"\x80")
    if end < 0 or padded[end:] != _PADS[end % STEP]:
        raise errors.Unreadable
    return padded[:end]


def core(blob: bytes) -> bytes:
    """What nobody can open a blob without, and an erasure looks for: its nonce and its first ciphertext."""
    return blob[_HEADER.size : _BODY + 16]


def mac(secret: bytes, parts: Sequence[Part]) -> bytes:
    """HMAC-SHA256 of the canonical parts: 32 bytes."""
    return hmac.digest(secret, canonical(parts), "sha256")


def short_mac(secret: bytes, parts: Sequence[Part]) -> bytes:
    """Keyed BLAKE2b (RFC 7693) of the canonical parts: 16 bytes. A third of the price of an HMAC, for every message."""
    return hashlib.blake2b(canonical(parts), key=secret, digest_size=16).digest()


def expand(secret: bytes, info: bytes) -> bytes:
    """HKDF-Expand (RFC 5869) with SHA-256 to 32 bytes, which is its first block alone: one HMAC.

    Args: secret: 32 uniformly random bytes, so that the extract step is not needed; info: what the subkey is for.
    """
    return hmac.digest(secret, info + b"\x01", "sha256")
