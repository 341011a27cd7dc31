"""What the faults are done to: a served installation that is started, stopped and killed from outside.

Knows how each kind of installation is brought up. Must not know what is tried on it. A second store, or several nodes
over one store, is one more entry of `TARGETS`.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from attacks.outside import Outside, outside
from harness import settings_in

# What keeps many people who retry at once from meeting the limits, which are not what is tried here.
ROOMY: Final[dict[str, Any]] = {
    "messages_per_10s": 100_000,
    "agent_messages_per_10s": 100_000,
    "frames_per_10s": 1_000_000,
    "site_messages_per_10s": 1_000_000,
    "node_messages_per_10s": 1_000_000,
    "opens_per_minute": 100_000,
    "site_opens_per_minute": 100_000,
    "node_opens_per_minute": 100_000,
    "sockets_per_address": 10_000,
    "sockets_unauthenticated": 10_000,
    "logins_per_minute": 600,
}


class Target(Protocol):
    """An installation of one or more nodes; nodes are counted from 0."""

    @property
    def nodes(self) -> int: ...

    @property
    def origin(self) -> str:
        """The `Origin` that its pages have, whatever address a socket goes to."""

    def address(self, node: int = 0) -> tuple[str, int]:
        """Where a node listens: the same over every restart."""

    async def start(self, node: int = 0, *, is_ready: bool = True) -> None:
        """Starts a node; returns when it is ready, or at once without `is_ready`."""

    async def stop(self, node: int = 0) -> int:
        """Ends a node by SIGTERM; its status."""

    async def kill(self, node: int = 0) -> None:
        """Ends a node by SIGKILL. Nothing happens to one that is not there."""


@dataclass
class Alone:
    """One `aparte serve` over SQLite files."""

    server: Outside
    nodes: int = 1

    @property
    def origin(self) -> str:
        return self.server.url

    def address(self, node: int = 0) -> tuple[str, int]:
        return self.server.settings.host, self.server.settings.port

    async def start(self, node: int = 0, *, is_ready: bool = True) -> None:
        if is_ready:
            await self.server.begin()
        else:
            self.server.launch()

    async def stop(self, node: int = 0) -> int:
        return await self.server.end()

    async def kill(self, node: int = 0) -> None:
        if self.server.process is not None:
            await self.server.end(signal.SIGKILL)


@contextlib.asynccontextmanager
async def alone(template: Path, folder: Path, **chosen: Any) -> AsyncIterator[Alone]:
    """One node over a copy of the prepared `template` in `folder`. `chosen`: settings, and what `outside` takes."""
    async with outside(template, folder, **{**ROOMY, **chosen}) as server:
        yield Alone(server)


Bring = Callable[..., AbstractAsyncContextManager[Target]]
TARGETS: Final[dict[str, Bring]] = {"sqlite": alone}


def memory(pid: int) -> int:
    """The resident bytes of a process."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


async def settled_memory(pid: int, seconds: float = 0.3) -> int:
    """As `memory`, a moment later."""
    await asyncio.sleep(seconds)
    return memory(pid)


__all__ = ["ROOMY", "TARGETS", "Alone", "Bring", "Target", "alone", "memory", "settings_in", "settled_memory"]
