"""SCOREBOARD 1, 4 and 8 in short, over PostgreSQL: killed nodes and databases, a restart of each node in turn, and an
acknowledgement that waits for the commit. What is slower is in the laboratory alone.

Watched to fail: see docs/RELIABILITY.md, which says for each scenario what was planted.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

import databases
import harness
from clients import new_cid
from faults import kills, restarts
from faults.lab import Bench
from pgserver import PostgresServer

pytestmark = pytest.mark.parametrize("dialect", ["postgresql"], indirect=True)


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Prepared data on a server that may be killed, and that waits for its disk."""
    with contextlib.closing(PostgresServer(fsync=True)) as server, databases.on(server):
        template = databases.begin(tmp_path_factory.mktemp("template"))
        asyncio.run(harness.prepare(template))
        databases.keep()
        yield template


@pytest.fixture
def bench(dialect: str, postgres: Path, tmp_path: Path) -> Bench:
    return Bench(postgres, tmp_path, seed=2, size=0.02, kills=2, kind="postgres")


@pytest.mark.slow
async def test_two_nodes_lose_nothing_when_one_or_the_database_is_killed(bench: Bench) -> None:
    verdict = await kills.run(dataclasses.replace(bench, kind="nodes"))
    assert verdict.is_clean, str(verdict)
    assert verdict.acknowledged > 20
    assert "1 of PostgreSQL" in verdict.told[-1]
    assert "1 of node" in verdict.told[-1]


@pytest.mark.slow
async def test_two_nodes_are_restarted_in_turn_and_nobody_is_refused(bench: Bench) -> None:
    verdict = await restarts.rolling(dataclasses.replace(bench, kind="nodes"))
    assert verdict.is_clean, str(verdict)
    assert verdict.acknowledged > 20
    assert "0 wishes refused" in verdict.told[-1]


async def test_nothing_is_acknowledged_before_the_database_has_answered_the_commit(bench: Bench) -> None:
    async with bench.target(is_gated=True) as target:
        gate, server = target.gate, target.server
        assert gate is not None
        visitor, desk, thread = await server.meeting("Hello")
        gate.hold(b"COMMIT\0")
        for client in (visitor, desk):
            await client.send("post", conversation=thread, cid=new_cid(), text="A second word")
        await asyncio.sleep(1.0)
        assert gate.held > 0
        counted = "SELECT COUNT(*) FROM event WHERE conversation_id = ? AND kind = 'message'"
        assert server.rows(counted, thread)[0][0] > 1  # committed, and its answer is on its way
        for client in (visitor, desk):
            told = [json.loads(raw) for raw in client.raw]
            assert "A second word" not in [one["body"].get("text") for one in told if one["t"] == "event"]
            assert "ack" not in client.types()
        gate.mend()
        for client in (visitor, desk):
            await client.expect("ack")
