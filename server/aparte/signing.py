"""Signatures between this server and a company's own: of the request, and of the answer to it.

Knows the scheme that docs/RECORDS.md describes and nothing of what is asked. No clock and no socket here: the time
and the nonce come in as arguments. The company's side (in the demo: the airline) uses the same functions.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from aparte.errors import BadSetting, BadSignature

SCHEME: Final = "aparte-records-v1"
WINDOW_SECONDS: Final = 300  # how far the two clocks may be apart, each way
SECRET_BYTES: Final = 32  # the least; an HMAC-SHA256 key gains nothing beyond its block of 64
KEY: Final = "Aparte-Key"
TIME: Final = "Aparte-Time"
NONCE: Final = "Aparte-Nonce"
SIGNATURE: Final = "Aparte-Signature"

_KEY_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
_NONCE: Final = re.compile(r"[A-Za-z0-9_-]{22,64}")
_TIME: Final = re.compile(r"[0-9]{1,12}")
_SIGNATURE: Final = re.compile(r"v1=([0-9a-f]{64})")


def check_secret(secret: bytes) -> bytes:
    """Returns `secret`. Raises BadSetting when it has fewer than 32 bytes."""
    if len(secret) < SECRET_BYTES:
        raise BadSetting("The connector's secret has fewer than 32 bytes. Make one with `openssl rand -hex 32`.")
    return secret


def check_key_id(key_id: str) -> str:
    """Returns `key_id`. Raises BadSetting when it could not stand in a header."""
    if not _KEY_ID.fullmatch(key_id):
        raise BadSetting("The connector's key id is 1 to 64 letters, digits, dots, dashes or underscores.")
    return key_id


@dataclass(frozen=True, slots=True)
class Proven:
    """A request whose signature holds: what its answer must be bound to."""

    key_id: str
    nonce: str


class SeenNonces:
    """The nonces of the last requests, so that a copied request is refused. One per receiving server.

    Bounded: when `at_most` are held within the window, further requests are refused rather than old ones forgotten.
    """

    def __init__(self, at_most: int = 100_000) -> None:
        self._at_most = at_most
        self._until: OrderedDict[tuple[str, str], float] = OrderedDict()

    def take(self, key_id: str, nonce: str, now: float) -> bool:
        """True the first time. `now` in epoch seconds. A nonce is kept for both halves of the window."""
        while self._until:
            oldest = next(iter(self._until))
            if self._until[oldest] > now:
                break
            del self._until[oldest]
        if (key_id, nonce) in self._until or len(self._until) >= self._at_most:
            return False
        self._until[key_id, nonce] = now + 2 * WINDOW_SECONDS + 1
        return True


def sign_request(
    secret: bytes, *, key_id: str, method: str, path: str, time: int, nonce: str, body: bytes
) -> dict[str, str]:
    """The four headers of a request. `time` in whole epoch seconds; `nonce` 22 to 64 of A-Z a-z 0-9 _ -, used once."""
    signature = _mac(secret, "request", key_id, method.upper(), path, str(time), nonce, _digest(body))
    return {KEY: key_id, TIME: str(time), NONCE: nonce, SIGNATURE: f"v1={signature}"}


def verify_request(
    secret_of: Callable[[str], bytes | None],
    seen: SeenNonces,
    *,
    method: str,
    path: str,
    headers: Mapping[str, str],
    body: bytes,
    now: float,
) -> Proven:
    """Proves who sent a request and that it is new. For the company's side.

    Args: secret_of gives the secret of a key id, or None; `path` as it came, without a query (there is none);
    `headers` any mapping that finds names as sent, in any case (Starlette's does); now in epoch seconds.
    Raises BadSignature, always the same one, whatever is wrong.
    """
    key_id, time, nonce, signature = (headers.get(name, "") for name in (KEY, TIME, NONCE, SIGNATURE))
    given = _SIGNATURE.fullmatch(signature)
    if not (_KEY_ID.fullmatch(key_id) and _TIME.fullmatch(time) and _NONCE.fullmatch(nonce) and given):
        raise BadSignature
    secret = secret_of(key_id)
    if secret is None or "\n" in path:
        raise BadSignature
    ours = _mac(secret, "request", key_id, method.upper(), path, time, nonce, _digest(body))
    if not hmac.compare_digest(ours, given[1]):
        raise BadSignature
    if abs(now - int(time)) > WINDOW_SECONDS or not seen.take(key_id, nonce, now):
        raise BadSignature
    return Proven(key_id, nonce)


def sign_answer(secret: bytes, proven: Proven, *, status: int, body: bytes) -> dict[str, str]:
    """The header of an answer, bound to the request by its nonce: a copy answers no other request."""
    signature = _mac(secret, "answer", proven.key_id, str(status), proven.nonce, _digest(body))
    return {SIGNATURE: f"v1={signature}"}


def verify_answer(
    secret: bytes, *, key_id: str, nonce: str, status: int, headers: Mapping[str, str], body: bytes
) -> None:
    """Raises BadSignature unless the answer comes from who holds the secret and answers this very request."""
    given = _SIGNATURE.fullmatch(headers.get(SIGNATURE, ""))
    ours = _mac(secret, "answer", key_id, str(status), nonce, _digest(body))
    if given is None or not hmac.compare_digest(ours, given[1]):
        raise BadSignature


def _digest(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def _mac(secret: bytes, *parts: str) -> str:
    # No part can hold a line end (each is matched or made here, and a path on the wire has none): no two lists of
    # parts give the same text.
    return hmac.new(secret, "\n".join((SCHEME, *parts)).encode(), hashlib.sha256).hexdigest()
