"""The demo on several nodes: PostgreSQL and Valkey of its own, and `aparte serve` as often as asked, on this machine.

Knows what is started, in which order, and how it ends. Must not know the airline, nor what the nodes serve.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx2

from aparte.backing import PostgresServer, ending_with_us, valkey
from aparte.config import Settings
from aparte.errors import Unavailable

READY_SECONDS: Final = 60.0
STOP_SECONDS: Final = 30.0  # a node ends within 25 by itself
_SERVE: Final = "import sys; from aparte.cli import main; main(['serve', '--config', sys.argv[1]])"
Say = Callable[[str], None]


@contextlib.asynccontextmanager
async def servers(settings: Settings, folder: Path, say: Say) -> AsyncIterator[Settings]:
    """PostgreSQL and Valkey. Gives: the settings, leading to them. Raises BadInput, Unavailable.

    Args: folder: what PostgreSQL keeps is in it, from an earlier start too; for root, one that others may pass through.
        say: is told what is being done.
    """
    begun = contextlib.ExitStack()
    beginning = asyncio.ensure_future(asyncio.to_thread(_begin, begun, settings, folder, say))
    try:
        yield await asyncio.shield(beginning)
    finally:
        await asyncio.wait({beginning})  # a thread goes on when its caller is cancelled
        await asyncio.to_thread(begun.close)


def _begin(stack: contextlib.ExitStack, settings: Settings, folder: Path, say: Say) -> Settings:
    say("starting PostgreSQL")
    # Small, but what is acknowledged is on the disk here too.
    small = {"shared_buffers": "32MB", "max_connections": "100", "jit": "off"}
    postgres = stack.enter_context(contextlib.closing(PostgresServer(folder / "postgres", settings=small)))
    postgres.start()
    postgres.provide("aparte", "aparte_keys")
    say("starting Valkey")
    bell = stack.enter_context(valkey(folder / "valkey"))
    return dataclasses.replace(
        settings, database_url=postgres.url("aparte"), keyring_url=postgres.url("aparte_keys"), bell_url=bell
    )


@dataclass(frozen=True, slots=True)
class Node:
    """One `aparte serve`."""

    name: str
    url: str
    log: Path
    process: subprocess.Popen[bytes]
    # Over its end if we are killed.
    watch: contextlib.ExitStack = dataclasses.field(default_factory=contextlib.ExitStack)


@contextlib.asynccontextmanager
async def nodes(settings: Settings, ports: Sequence[int], folder: Path, say: Say) -> AsyncIterator[list[Node]]:
    """Nodes on these ports, from ready to ended; what each says goes into a file in `folder`. `say` is told too when one
    ends by itself. Raises Unavailable when one does not start."""
    started: list[Node] = []
    watching: list[asyncio.Task[None]] = []
    try:
        for number, port in enumerate(ports, 1):
            say(f"starting node {number} of {len(ports)}")
            started.append(_start(settings, f"node-{number}", port, folder))
            started[-1].watch.enter_context(ending_with_us(started[-1].process.pid))
        for node in started:
            await _ready(node)
        watching += [asyncio.create_task(_watch(node, say)) for node in started]
        yield started
    finally:
        for task in watching:
            task.cancel()
        await asyncio.gather(*watching, *(_end(node) for node in started), return_exceptions=True)


def _start(settings: Settings, name: str, port: int, folder: Path) -> Node:
    place = folder / name
    place.mkdir(parents=True, exist_ok=True, mode=0o700)
    own = dataclasses.replace(settings, node=name, port=port, data=place / "data", log_level="info")
    (place / "aparte.toml").write_text(_written(own), "utf-8")
    environment = {key: value for key, value in os.environ.items() if not key.startswith("APARTE_")}
    with (place / "log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", _SERVE, place / "aparte.toml"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=environment,
            cwd=place,
            start_new_session=True,  # Ctrl-C reaches the demo, which ends its nodes in order
        )
    return Node(name, f"http://{own.host}:{port}", place / "log", process)


def _written(settings: Settings) -> str:
    """The settings as a file: each that is not its default."""
    lines = []
    for field in dataclasses.fields(settings):
        value: Any = getattr(settings, field.name)
        if value != field.default:
            lines.append(
                f"{field.name} = {json.dumps(str(value) if isinstance(value, Path) else value, ensure_ascii=False)}"
            )
    return "\n".join(lines) + "\n"


async def _ready(node: Node) -> None:
    """Returns at the first 200 on /readyz. Raises Unavailable."""
    async with httpx2.AsyncClient(trust_env=False) as client:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(READY_SECONDS):
                while node.process.poll() is None:
                    with contextlib.suppress(httpx2.HTTPError):
                        if (await client.get(f"{node.url}/readyz")).status_code == 200:
                            return
                    await asyncio.sleep(0.05)
    raise Unavailable(f"{node.name} did not start. Its log, {node.log}, ends: {_last_line(node.log)}")


def _last_line(log: Path) -> str:
    return "".join(log.read_text(errors="replace").splitlines()[-1:])


async def _ended(node: Node) -> int:
    while (status := node.process.poll()) is None:  # noqa: ASYNC110 - a process that is waited for in a thread keeps it
        await asyncio.sleep(0.05)
    node.watch.close()  # at once: the number of its process may now become another's
    return status


async def _watch(node: Node, say: Say) -> None:
    status = await _ended(node)
    say(f"{node.name} has ended with status {status}; its people go on at another. Its log: {node.log}")


async def _end(node: Node) -> None:
    """In order, or else hard."""
    if node.process.poll() is None:
        node.process.terminate()
    try:
        async with asyncio.timeout(STOP_SECONDS):
            await _ended(node)
    except TimeoutError:
        node.process.kill()
        await _ended(node)
