"""A database whose lock another process holds: a backup tool, an administrator with a shell. On PostgreSQL all tables,
then a row."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from asyncio.subprocess import PIPE
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import psycopg

from aparte.store import database_of
from aparte.store.schema import metadata
from faults import trouble
from faults.crowd import Crowd, gathered
from faults.lab import Bench, Scenario
from faults.ledger import Verdict
from faults.people import Person
from faults.target import Target, alone

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


@contextlib.asynccontextmanager
async def held(target: Target, statement: str, seconds: float) -> AsyncIterator[None]:
    """Another session of PostgreSQL holds what the statement locks, until the block ends, and so long at least."""
    assert target.database is not None
    place = target.server.settings.database()
    until = asyncio.get_running_loop().time() + seconds
    line = await psycopg.AsyncConnection.connect(host=str(target.database.folder), user="postgres", dbname=place.name)
    async with line, line.transaction():
        await line.execute(statement.encode())
        yield
        await asyncio.sleep(until - asyncio.get_running_loop().time())


async def _row_held(bench: Bench, target: Target, seconds: float, verdict: Verdict) -> None:
    """One conversation's row alone: its people are told, and those of the others go on."""
    async with gathered(target, bench.rng, silent_seconds=trouble.PATIENCE) as crowd:
        first, others = crowd.guests[0], crowd.guests[1:]
        crowd.talk((0.0, 0.1))
        held_row = f"SELECT * FROM conversation WHERE id = '{first.thread}' FOR UPDATE"
        before = Counter(wish.who for wish in crowd.ledger.wishes if wish.is_acknowledged)
        async with held(target, held_row, seconds):
            mine = sum(wish.is_acknowledged for wish in crowd.ledger.of(first.thread))
            until = asyncio.get_running_loop().time() + trouble.PATIENCE
            while not (first.passing["store_down"] and all(_said(crowd, one) > before[one.name] for one in others)):
                if asyncio.get_running_loop().time() > until:
                    told = [(one.name, _said(crowd, one) - before[one.name]) for one in others]
                    verdict.fail(f"while a row was held: told {first.passing['store_down']} times; others said {told}")
                    break
                await asyncio.sleep(0.05)
            if sum(wish.is_acknowledged for wish in crowd.ledger.of(first.thread)) != mine:
                verdict.fail("something was acknowledged in a conversation whose row another held")
        await crowd.hush()
        verdict.add(await crowd.judged())


def _said(crowd: Crowd, person: Person) -> int:
    return sum(wish.is_acknowledged for wish in crowd.ledger.wishes if wish.who == person.name)


async def run(bench: Bench, *, seconds: float = 0.0) -> Verdict:
    seconds = seconds or bench.scaled(LONG_SECONDS, 3.0)
    async with alone(bench.template, bench.folder / "server") as target:
        if target.database is None:
            database = database_of(target.server.settings)
            return await trouble.both(bench, target, locked(database, seconds), locked(database, 0.0))
        every = f"LOCK TABLE {', '.join(metadata.tables)} IN EXCLUSIVE MODE"
        verdict = await trouble.both(bench, target, held(target, every, seconds), held(target, every, 0.0))
        bench.say("one row")
        await _row_held(bench, target, seconds, verdict)
        return verdict


SCENARIO: Final = Scenario(
    "locked", "another holds the database's lock, in flight and at a start", run, ("sqlite", "postgres")
)
