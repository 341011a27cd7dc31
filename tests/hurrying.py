"""What makes hundreds of servers, each for one test, begin and end fast. Nothing of it changes what a server does."""

from __future__ import annotations

import asyncio
import functools
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import pytest
import uvicorn.server

import aparte.assets
import aparte.records
from aparte.vault import passwords


class _Asyncio:
    """asyncio as uvicorn sees it. It looks ten times a second whether it shall end, and then waits another tenth."""

    def __getattr__(self, name: str) -> Any:
        return getattr(asyncio, name)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(min(seconds, 0.01))


class _Ssl:
    """ssl as the records client sees it. Reading the machine's certificates takes 50 ms; once is enough."""

    def __getattr__(self, name: str) -> Any:
        return getattr(ssl, name)

    @functools.cached_property
    def create_default_context(self) -> Any:
        context = ssl.create_default_context()
        return lambda: context


class _Argon2:
    """Argon2 as the product sees it. A check takes 50 ms of a core, as it must, and hundreds of servers begin with copies
    of the same hashes: that the right password fits one of them is found out once. Whatever else is asked takes its time.
    """

    def __init__(self) -> None:
        self._right: set[tuple[str, bytes]] = set()

    def __getattr__(self, name: str) -> Any:
        return getattr(_REAL_ARGON2, name)

    def verify(self, stored: str, plain: bytes) -> bool:
        if (stored, plain) not in self._right:
            _REAL_ARGON2.verify(stored, plain)  # raises, unless it is right
            self._right.add((stored, plain))
        return True


_REAL_ARGON2: Final = passwords._argon2
_ASYNCIO, _SSL, _ARGON2 = _Asyncio(), _Ssl(), _Argon2()
# The front end does not change while tests run.
_ASSETS: Final = functools.cache(aparte.assets.load)


@contextmanager
def hurried() -> Iterator[None]:
    """Servers that are made and ended inside the block are fast."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(uvicorn.server, "asyncio", _ASYNCIO)
        patch.setattr(aparte.records, "ssl", _SSL)
        patch.setattr(passwords, "_argon2", _ARGON2)
        patch.setattr(aparte.assets, "load", _ASSETS)
        yield
