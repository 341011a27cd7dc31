"""Real servers for tests: an ASGI application, or a plain TCP peer, on a free loopback port in the test's own loop."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
import uvicorn
from starlette.types import ASGIApp

from aparte.demo.sockets import loopback_socket, port_of

Peer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def serving(app: ASGIApp, *, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[str]:
    """Serves `app`; gives its origin under the name `host`."""
    bound = loopback_socket(port)
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="off", timeout_graceful_shutdown=1))
    task = asyncio.create_task(server.serve(sockets=[bound]))
    while not server.started:  # noqa: ASYNC110 (uvicorn tells it by this flag alone)
        await asyncio.sleep(0.01)
    try:
        yield f"http://{host}:{port_of(bound)}"
    finally:
        server.should_exit = True
        await task
        bound.close()


@asynccontextmanager
async def peer(talk: Peer) -> AsyncIterator[int]:
    """Lets `talk` have every TCP connection; gives the port."""
    talks: set[asyncio.Task[None]] = set()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        talks.add(task)
        try:
            await talk(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the other side left, or the test is over: both end a talk rightly
        finally:
            talks.discard(task)
            writer.close()

    bound = loopback_socket()
    server = await asyncio.start_server(accept, sock=bound)
    try:
        yield port_of(bound)
    finally:
        server.close()
        for task in list(talks):
            task.cancel()
        await asyncio.gather(*talks, return_exceptions=True)
        await server.wait_closed()


def chromium() -> str:
    """The browser that `python3 tests` found, or the machine's; a bare pytest without one skips."""
    names = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
    found = os.environ.get("TESTS_BROWSER") or next((path for name in names if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip("no Chromium here: `python3 tests` gets one")
    return found
