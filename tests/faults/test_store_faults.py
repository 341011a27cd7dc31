"""SCOREBOARD 7 and 9 in short: a full disk, a locked database, a read-only place, a clock that jumps.

Watched to fail: see docs/RELIABILITY.md, which says for each scenario what was planted.
"""

from __future__ import annotations

import pytest

from faults import clock, full_disk, locked, read_only
from faults.lab import Bench
from faults.ledger import Verdict

pytestmark = pytest.mark.slow


async def test_it_goes_through_a_full_disk_and_starts_after_one(bench: Bench) -> None:
    verdict = await full_disk.run(bench)
    assert verdict.is_clean, str(verdict)
    assert verdict.acknowledged > 20


async def test_it_goes_through_a_locked_database_and_starts_after_one(bench: Bench) -> None:
    verdict = await locked.run(bench)
    assert verdict.is_clean, str(verdict)
    assert verdict.acknowledged > 20


async def test_it_goes_through_a_read_only_place_and_starts_after_one(bench: Bench) -> None:
    verdict = await read_only.run(bench, with_folder=False)  # tests/attacks has the folder
    assert verdict.is_clean, str(verdict)
    assert verdict.acknowledged > 20


async def test_its_time_never_runs_backwards(bench: Bench) -> None:
    verdict = Verdict()
    await clock.try_clock(bench, clock.clocks(bench.folder)[-1], verdict)
    assert verdict.is_clean, str(verdict)
    assert verdict.acknowledged > 20
