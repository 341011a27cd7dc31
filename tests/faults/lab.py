"""The laboratory: runs scenarios one after the other, with progress, and prints one table; see `--help`.

Knows the scenarios by name. Must not know what they do.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import tempfile
import time
import traceback
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table

import harness
from faults.ledger import Verdict
from faults.target import TARGETS, Target

SHORT_KILLS: Final = 20
LONG_KILLS: Final = 500
MOST_SECONDS: Final = 3 * 3_600.0  # for one scenario: something hangs


@dataclass
class Bench:
    """What a scenario works with."""

    template: Path  # prepared data, to be copied
    folder: Path  # its own, empty
    seed: int = 1
    size: float = 1.0  # how much of everything: 1 is the long form
    kills: int = LONG_KILLS
    kind: str = "sqlite"
    say: Callable[[str], None] = lambda _sentence: None
    rng: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)

    def target(self, name: str = "server", **chosen: Any) -> AbstractAsyncContextManager[Target]:
        """An installation of its own in the scenario's folder."""
        return TARGETS[self.kind](self.template, self.folder / name, **chosen)

    def scaled(self, most: float, least: float = 1) -> float:
        """So much of something in the long form, and no less than `least` in a shorter one."""
        return max(least, most * self.size)


Run = Callable[[Bench], Awaitable[Verdict]]


@dataclass(frozen=True)
class Scenario:
    """A name for `--only`, what is done in one line, and how."""

    name: str
    what: str
    run: Run


@dataclass
class Row:
    """A line of the report."""

    name: str
    what: str
    acknowledged: int
    lost: int
    doubled: int
    disordered: int
    seconds: float
    is_clean: bool
    wrong: list[str]
    told: list[str]


async def run_one(scenario: Scenario, bench: Bench) -> Row:
    """Runs a scenario; what it raises is its failure, not the laboratory's."""
    began = time.monotonic()
    verdict = Verdict()
    try:
        async with asyncio.timeout(MOST_SECONDS):
            verdict = await scenario.run(bench)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - any fault of one is a line in the report of all
        traceback.print_exc()
        verdict.fail(f"{type(error).__name__}: {error}")
    seconds = time.monotonic() - began
    return Row(
        scenario.name,
        scenario.what,
        verdict.acknowledged,
        verdict.lost,
        verdict.doubled,
        verdict.disordered,
        round(seconds, 1),
        verdict.is_clean,
        verdict.wrong,
        verdict.told,
    )


def report(rows: list[Row]) -> Table:
    table = Table(title="What was tried, and what came of it")
    for name in ("scenario", "what was done"):
        table.add_column(name, overflow="fold")
    for name in ("acknowledged", "lost", "doubled", "out of order", "seconds"):
        table.add_column(name, justify="right")
    table.add_column("")
    for row in rows:
        counts = (f"{row.acknowledged:,}", str(row.lost), str(row.doubled), str(row.disordered), f"{row.seconds:.0f}")
        done = "; ".join([row.what, *row.told])
        table.add_row(row.name, done, *counts, "ok" if row.is_clean else "FAILED")
    return table


def options(arguments: list[str], names: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python3 tests/faults", description="Tries to make the server lose messages.")
    parser.add_argument("--short", action="store_true", help="a few minutes' worth instead of all of it")
    parser.add_argument("--kills", type=int, help=f"how often the server is killed ({LONG_KILLS}; {SHORT_KILLS} short)")
    parser.add_argument("--seed", type=int, default=1, help="another run of the dice (1)")
    parser.add_argument("--only", action="append", choices=names, metavar="NAME", help=f"one of: {', '.join(names)}")
    parser.add_argument("--json", type=Path, metavar="FILE", help="writes the rows of the report there, too")
    parser.add_argument("--target", choices=sorted(TARGETS), default="sqlite", help="what it is done to (sqlite)")
    return parser.parse_args(arguments)


def main(arguments: list[str]) -> int:
    """Runs what was asked for. Returns: the exit status, 1 when anything was lost, doubled, out of order or failed."""
    from faults.scenarios import SCENARIOS

    chosen = options(arguments, [one.name for one in SCENARIOS])
    console = Console(width=None if sys.stdout.isatty() else 150)
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="aparte-faults-") as place:
        template = Path(place) / "template"
        template.mkdir()
        asyncio.run(harness.prepare(template))
        todo = [one for one in SCENARIOS if not chosen.only or one.name in chosen.only]
        for number, scenario in enumerate(todo, 1):
            folder = Path(place) / scenario.name
            folder.mkdir()
            print(f"[{number}/{len(todo)}] {scenario.name}: {scenario.what}", flush=True)
            began = time.monotonic()

            def say(sentence: str, began: float = began) -> None:
                print(f"    {time.monotonic() - began:6.1f} s  {sentence}", flush=True)

            bench = Bench(
                template,
                folder,
                seed=chosen.seed,
                size=0.1 if chosen.short else 1.0,
                kills=chosen.kills or (SHORT_KILLS if chosen.short else LONG_KILLS),
                kind=chosen.target,
                say=say,
            )
            row = asyncio.run(run_one(scenario, bench))
            rows.append(row)
            for sentence in row.wrong[:20]:
                print(f"    WRONG: {sentence}", flush=True)
    console.print(report(rows))
    if chosen.json is not None:
        told = {"seed": chosen.seed, "is_short": chosen.short, "target": chosen.target}
        chosen.json.write_text(json.dumps({**told, "rows": [asdict(row) for row in rows]}, indent=1) + "\n")
    return 0 if all(row.is_clean for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
