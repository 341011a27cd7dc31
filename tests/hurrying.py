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


_ASYNCIO, _SSL = _Asyncio(), _Ssl()
# The front end does not change while tests run.
_ASSETS: Final = functools.cache(aparte.assets.load)


@contextmanager
def hurried() -> Iterator[None]:
    """Servers that are made and ended inside the block are fast."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(uvicorn.server, "asyncio", _ASYNCIO)
        patch.setattr(aparte.records, "ssl", _SSL)
        patch.setattr(aparte.assets, "load", _ASSETS)
        yield
