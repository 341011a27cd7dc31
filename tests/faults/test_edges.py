"""SCOREBOARD 2, 6 and 34 in short: readers that never read, a browser in trouble, and the wire itself.

Watched to fail: see docs/RELIABILITY.md, which says for each scenario what was planted.
"""

from __future__ import annotations

import pytest

from faults import browser, conformance, floods, slow_reader, wire
from faults.lab import Bench
from faults.ledger import Verdict
from harness import Server, settings_in
from listening import chromium


@pytest.mark.slow
async def test_it_lets_go_of_readers_that_never_read(bench: Bench) -> None:
    verdict = await slow_reader.run(bench, messages=slow_reader.FEW)
    assert verdict.is_clean, str(verdict)
    assert verdict.acknowledged == slow_reader.FEW


@pytest.mark.slow
async def test_a_browser_in_trouble_sends_each_message_once(bench: Bench) -> None:
    chromium()  # a bare pytest skips without one
    verdict = await browser.run(bench, mishaps=5)
    assert verdict.is_clean, str(verdict)
    assert verdict.acknowledged > 5


async def test_it_speaks_websocket_at_its_own_socket(server: Server) -> None:
    assert await wire.try_all(server) == []


async def test_it_lives_through_frames_of_every_kind(bench: Bench) -> None:
    verdict = await floods.frames(bench, count=2_000, quiet=0.2)
    assert verdict.is_clean, str(verdict)


async def test_it_passes_the_suite(bench: Bench) -> None:
    if not conformance.has_suite():
        pytest.skip("kosoku has no wheel for this machine; the cases of wire.py stand for it")
    verdict = Verdict()
    await conformance.suite(settings_in(bench.folder), verdict, conformance.QUICK)
    assert verdict.is_clean, str(verdict)
