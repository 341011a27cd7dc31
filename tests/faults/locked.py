"""A database whose lock another process holds: a backup tool, an administrator with a shell."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

from aparte.store import database_of
from faults import trouble
from faults.lab import Bench, Scenario
from faults.ledger import Verdict
from faults.target import alone

LONG_SECONDS: Final = 30.0
_HOLD: Final = """
import sqlite3, sys
held = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=20)
held.execute("BEGIN EXCLUSIVE")
print("held", flush=True)
sys.stdin.read()
held.execute("ROLLBACK")
"""


@contextlib.asynccontextmanager
async def locked(database: Path, seconds: float) -> AsyncIterator[None]:
    """Another process holds the write lock until the block ends, and so long at least."""
    holder = await asyncio.create_subprocess_exec(sys.executable, "-c", _HOLD, str(database), stdin=PIPE, stdout=PIPE)
    assert holder.stdout is not None
    assert await holder.stdout.readline() == b"held\n"
    until = asyncio.get_running_loop().time() + seconds
    try:
        yield
        await asyncio.sleep(until - asyncio.get_running_loop().time())
    finally:
        await holder.communicate(b"")  # which closes its input


async def run(bench: Bench, *, seconds: float = 0.0) -> Verdict:
    seconds = seconds or bench.scaled(LONG_SECONDS, 3.0)
    async with alone(bench.template, bench.folder / "server") as target:
        database = database_of(target.server.settings)
        return await trouble.both(bench, target, locked(database, seconds), locked(database, 0.0))


SCENARIO: Final = Scenario("locked", "another process holds the database's lock, in flight and at a start", run)
