"""Two nodes on one PostgreSQL, and people who are at one or the other."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from clients import AgentDesk, Visitor
from harness import Server, Start, running

Two = Callable[..., contextlib.AbstractAsyncContextManager[tuple[Server, Server]]]


@pytest.fixture
def two(start: Start, tmp_path: Path) -> Two:
    """Starts two nodes on the same databases, with the same root key."""

    @contextlib.asynccontextmanager
    async def begin(**chosen: Any) -> AsyncIterator[tuple[Server, Server]]:
        async with start(node="one", **chosen) as one:
            shutil.copytree(one.folder, tmp_path / "second")
            async with running(tmp_path / "second", node="two", **chosen) as other:
                for server in (one, other):
                    await until(lambda server=server: bool(server.parts.node.bell and server.parts.node.bell.is_up))  # type: ignore[misc]  # bound now
                yield one, other

    return begin


async def until(is_so: Callable[[], bool], seconds: float = 15.0) -> None:
    async with asyncio.timeout(seconds):
        while not is_so():  # noqa: ASYNC110 - the servers' own state
            await asyncio.sleep(0.01)


async def apart(one: Server, other: Server) -> tuple[Visitor, AgentDesk, str]:
    """A visitor at one node and an agent at the other, in one conversation."""
    visitor, desk = await one.visitor(), await other.agent()
    thread = await visitor.open("Hello")
    await desk.expect("inbox", seconds=10)
    await desk.take(thread)
    await visitor.event("assigned")
    return visitor, desk, thread


async def letter_of(*servers: Server) -> str:
    """The code, in whichever node's mailbox it came."""
    found: list[str] = []

    def came() -> bool:
        found[:] = [letter.code for server in servers for letter in server.mailbox.letters if letter.code]
        return bool(found)

    await until(came)
    return found[-1]
