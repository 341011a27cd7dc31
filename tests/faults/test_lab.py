"""The laboratory's own report: what it counts, and the status that it ends with."""

from __future__ import annotations

from pathlib import Path

import pytest

from faults.lab import LONG_KILLS, Bench, Scenario, options, report, run_one
from faults.ledger import Verdict
from faults.scenarios import SCENARIOS
from faults.target import TARGETS


def bench(folder: Path) -> Bench:
    return Bench(folder, folder)


async def test_it_reports_a_clean_scenario(tmp_path: Path) -> None:
    async def run(_bench: Bench) -> Verdict:
        return Verdict(acknowledged=3)

    row = await run_one(Scenario("x", "nothing", run), bench(tmp_path))
    assert (row.is_clean, row.acknowledged, row.lost) == (True, 3, 0)


@pytest.mark.parametrize("wrong", ["lose", "double", "disorder", "fail"])
async def test_it_fails_for_anything_wrong(tmp_path: Path, wrong: str) -> None:
    async def run(_bench: Bench) -> Verdict:
        verdict = Verdict()
        getattr(verdict, wrong)("this")
        return verdict

    row = await run_one(Scenario("x", "nothing", run), bench(tmp_path))
    assert not row.is_clean
    assert row.lost + row.doubled + row.disordered == (0 if wrong == "fail" else 1)
    assert report([row]).row_count == 1


async def test_it_takes_a_crash_for_a_failure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async def run(_bench: Bench) -> Verdict:
        raise OSError("gone")

    row = await run_one(Scenario("x", "nothing", run), bench(tmp_path))
    assert row.wrong == ["OSError: gone"]
    assert "gone" in capsys.readouterr().err


def test_it_takes_its_options() -> None:
    chosen = options(["--short", "--kills", "7", "--seed", "3", "--only", "kills", "--json", "x.json"], SCENARIOS)
    assert (chosen.short, chosen.kills, chosen.seed, chosen.only) == (True, 7, 3, ["kills"])
    assert [kind for kind, _ in chosen.todo] == ["sqlite", "postgres", "nodes", "nodes-valkey"]
    names = [one.name for one in SCENARIOS]
    assert len(names) == len(set(names)) == 23
    assert LONG_KILLS == 500


def test_it_runs_on_each_kind_what_makes_sense_there() -> None:
    assert {kind for one in SCENARIOS for kind in one.targets} == set(TARGETS)
    assert [one.name for _, one in options(["--target", "nodes", "--only", "bell-cut"], SCENARIOS).todo] == ["bell-cut"]
    with pytest.raises(SystemExit):
        options(["--target", "sqlite", "--only", "bell-cut"], SCENARIOS)
