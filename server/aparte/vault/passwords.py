"""Passwords of agents, and random tokens.

Argon2id, the slow part, runs at most twice at once beside the event loop. Knows passwords for as long as one call
takes. Must not know who signs in, nor keep anything.
"""

from __future__ import annotations

import asyncio
import itertools
import math
import os
import secrets
import sys
import threading
import unicodedata
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, TypeVar

import argon2
from argon2.exceptions import InvalidHashError, VerificationError, VerifyMismatchError

from aparte import errors

FIRST: Final = -1  # the rank that goes before all that are counted
LONGEST: Final = 1024  # characters; longer ones only cost time
_TOKEN_BYTES: Final = 32
_SECONDS: Final = 0.06  # one verification, measured; only the advice when to come back rests on it

# OWASP's first choice for Argon2id: 46 MiB, one pass, one lane.
_argon2 = argon2.PasswordHasher(time_cost=1, memory_cost=46 * 1024, parallelism=1, type=argon2.Type.ID)
# What an unknown user's password is checked against, so that knowing takes as long as not knowing. The hash of 32
# random bytes that nobody kept; a test sees that its parameters are the ones above.
NOBODY: Final = "$argon2id$v=19$m=47104,t=1,p=1$QkW9edvPaHkF06VDODKsSQ$gGL1jI+KEQnpCPWihfFQCm5YKtH2Ral8ePuPyY+ox1s"

_T = TypeVar("_T")


def hash_password(password: str) -> str:
    """The Argon2id hash to store, with its parameters and salt in it. Takes about 50 ms and 46 MiB.

    Raises: errors.BadInput when the password is empty, longer than 1,024 characters, or no valid text.
    """
    plain = _bytes(password)
    if not plain:
        raise errors.BadInput("Choose a password of 1 to 1,024 characters.")
    return _argon2.hash(plain)


def verify_password(hash: str | None, password: str) -> bool:  # noqa: A002 - the word that its callers use
    """Whether this is the password. Takes as long for an unknown user as for a known one: about 50 ms.

    Args: hash: what `hash_password` gave, or None when there is no such user: the answer is then False.
    Raises: errors.Unreadable when the stored hash is damaged.
    """
    plain = _bytes(password)
    is_real = hash is not None and plain is not None
    try:
        _argon2.verify(hash if is_real and hash is not None else NOBODY, plain or b"")
    except VerifyMismatchError:
        return False
    except (InvalidHashError, VerificationError) as error:
        raise errors.Unreadable("A stored password hash is damaged. Set a new password for this agent.") from error
    return is_real


def needs_rehash(hash: str) -> bool:  # noqa: A002 - the word that its callers use
    """Whether a hash was made with other parameters than today's: store a new one after the next right password.

    Raises: errors.Unreadable when the stored hash is damaged.
    """
    try:
        return _argon2.check_needs_rehash(hash)
    except InvalidHashError as error:
        raise errors.Unreadable("A stored password hash is damaged. Set a new password for this agent.") from error


def new_token() -> str:
    """256 random bits as 43 characters of base64url. Store only its keyed hash."""
    return secrets.token_urlsafe(_TOKEN_BYTES)


@dataclass(frozen=True, slots=True, order=True)
class _Wish:
    """Who waits; the smallest goes first."""

    rank: int
    number: int
    work: Callable[[], Any] = field(compare=False)
    answer: asyncio.Future[Any] = field(compare=False)


class PasswordGate:
    """Argon2id beside the event loop: a few at once, a short queue, then a refusal.

    Each takes a core for 50 ms and 46 MiB; without a bound, a flood of sign-ins would stop every conversation. In the
    queue the smallest rank goes first, and a full queue refuses the largest: so who tries often, or is unknown, waits
    for those who do not and are not.
    """

    def __init__(self, *, at_once: int = 2, queue: int = 8) -> None:
        """Args: at_once: threads; queue: how many may wait for one."""
        self._at_once = at_once
        self._queue = queue
        self._pool = ThreadPoolExecutor(at_once, thread_name_prefix="password", initializer=_give_way)
        self._running = 0
        self._numbers = itertools.count()
        self._waiting: list[_Wish] = []

    async def verify(self, hash: str | None, password: str, *, rank: int = 0) -> bool:  # noqa: A002 - as verify_password
        """`verify_password` in a thread. Raises: errors.TooMany, `retry_after` in seconds, when the queue is full."""
        return await self._run(partial(verify_password, hash, password), rank)

    async def hash(self, password: str) -> str:
        """`hash_password` in a thread, before all who wait: it is for who has shown the right password. Raises as
        `verify`."""
        return await self._run(partial(hash_password, password), FIRST)

    def require_room(self, rank: int) -> None:
        """Raises errors.TooMany when one of this rank would be refused now. It keeps no place: what the caller waits for
        before `verify` lets others come first, and `verify` looks again."""
        if self._running < self._at_once:
            return
        self._waiting = [wish for wish in self._waiting if not wish.answer.done()]  # some have gone away
        if len(self._waiting) >= self._queue and rank >= max(self._waiting).rank:
            raise self._full()

    def close(self) -> None:
        """Let the running ones end; the waiting ones are refused."""
        for wish in self._waiting:
            wish.answer.cancel()
        self._pool.shutdown(wait=True, cancel_futures=True)

    async def _run(self, work: Callable[[], _T], rank: int) -> _T:
        self.require_room(rank)
        answer: asyncio.Future[_T] = asyncio.get_running_loop().create_future()
        wish = _Wish(rank, next(self._numbers), work, answer)
        if self._running < self._at_once:
            self._start(wish)
        else:
            if len(self._waiting) >= self._queue:
                last = max(self._waiting)
                self._waiting.remove(last)
                last.answer.set_exception(self._full())
            self._waiting.append(wish)
        return await answer

    def _full(self) -> errors.TooMany:
        ahead = self._running + len(self._waiting)
        return errors.TooMany(retry_after=float(math.ceil(ahead * _SECONDS / self._at_once)))

    def _start(self, wish: _Wish) -> None:
        # Counted until the thread is free again, also when the one who asked has gone away meanwhile.
        self._running += 1
        loop = wish.answer.get_loop()
        done = self._pool.submit(wish.work)
        done.add_done_callback(lambda done: loop.call_soon_threadsafe(self._ended, wish, done))

    def _ended(self, wish: _Wish, done: Future[Any]) -> None:
        self._running -= 1
        if not wish.answer.done():
            error = done.exception()
            if error is not None:
                wish.answer.set_exception(error)
            else:
                wish.answer.set_result(done.result())
        self._waiting = [one for one in self._waiting if not one.answer.done()]
        if self._waiting:
            following = min(self._waiting)
            self._waiting.remove(following)
            self._start(following)


def _give_way() -> None:
    """This thread stands back where cores are short: a password can wait a little, a conversation should not."""
    if sys.platform == "linux":  # elsewhere priorities are a whole process's
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 5)


def _bytes(password: str) -> bytes | None:
    """What is hashed: NFC, since keyboards differ in how they write é. None when it cannot be a password of ours."""
    if len(password) > LONGEST:
        return None
    try:
        return unicodedata.normalize("NFC", password).encode()
    except UnicodeEncodeError:  # a lone surrogate
        return None
