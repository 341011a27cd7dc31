"""SCOREBOARD 1, 5 and 8's neighbours in short: nothing lost, nothing twice, one order on every screen.

Watched to fail: see docs/RELIABILITY.md, which says for each scenario what was planted.
"""

from __future__ import annotations

import pytest

from faults import kills, machine, network
from faults.lab import Bench

pytestmark = pytest.mark.slow


async def test_it_loses_nothing_on_a_bad_network(bench: Bench) -> None:
    verdict = await network.run(bench, seconds=6.0)
    assert verdict.is_clean, str(verdict)
    assert verdict.acknowledged > 20


async def test_it_loses_nothing_on_a_bad_network_without_sockets(bench: Bench) -> None:
    verdict = await network.run(bench, seconds=3.0, by_requests=True)
    assert verdict.is_clean, str(verdict)
    assert verdict.acknowledged > 10


async def test_it_loses_nothing_when_it_is_killed(bench: Bench) -> None:
    verdict = await kills.run(bench)
    assert verdict.is_clean, str(verdict)
    assert verdict.acknowledged > 20


async def test_it_behaves_like_the_model(bench: Bench) -> None:
    verdict = await machine.run(bench, examples=8)
    assert verdict.is_clean, str(verdict)
    assert verdict.acknowledged > 50
