"""The laboratory: runs scenarios one after the other, with progress, and prints one table; see `--help`.

Knows the scenarios by name. Must not know what they do.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import random
import sys
import tempfile
import time
import traceback
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table

import databases
import harness
from aparte.bench.servers import raise_file_limit
from faults.ledger import Verdict
from faults.target import TARGETS, Target
from pgserver import PostgresServer

SHORT_KILLS: Final = 20
LONG_KILLS: Final = 500
OTHER_KILLS: Final = 100  # of the targets with PostgreSQL, in the long form
SOAK_MINUTES: Final = 5.0
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
    soak: float = SOAK_MINUTES * 60  # seconds
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
    """A name for `--only`, what is done in one line, how, and to what kinds of installation."""

    name: str
    what: str
    run: Run
    targets: tuple[str, ...] = ("sqlite",)


@dataclass
class Row:
    """A line of the report."""

    name: str
    target: str
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
        bench.kind,
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
    for name in ("scenario", "target", "what was done"):
        table.add_column(name, overflow="fold")
    for name in ("acknowledged", "lost", "doubled", "out of order", "seconds"):
        table.add_column(name, justify="right")
    table.add_column("")
    for row in rows:
        counts = (f"{row.acknowledged:,}", str(row.lost), str(row.doubled), str(row.disordered), f"{row.seconds:.0f}")
        done = "; ".join([row.what, *row.told])
        table.add_row(row.name, row.target, done, *counts, "ok" if row.is_clean else "FAILED")
    return table


def options(arguments: list[str], scenarios: tuple[Scenario, ...]) -> argparse.Namespace:
    """What was asked for; `todo` is what is to run, as pairs of a kind of installation and a scenario."""
    names = [one.name for one in scenarios]
    parser = argparse.ArgumentParser(
        prog="python3 tests/faults",
        description="Tries to make the server lose messages.",
        epilog="Example: python3 tests/faults --target nodes --only kills --kills 60",
    )
    parser.add_argument("--short", action="store_true", help="a few minutes' worth instead of all of it")
    kills = f"how often something is killed ({LONG_KILLS} on sqlite, {OTHER_KILLS} elsewhere; {SHORT_KILLS} short)"
    parser.add_argument("--kills", type=int, help=kills)
    parser.add_argument("--soak", type=float, metavar="HOURS", help=f"how long it soaks ({SOAK_MINUTES:g} minutes)")
    parser.add_argument("--seed", type=int, default=1, help="another run of the dice (1)")
    parser.add_argument("--only", action="append", choices=names, metavar="NAME", help=f"one of: {', '.join(names)}")
    parser.add_argument("--json", type=Path, metavar="FILE", help="writes the rows of the report there, too")
    parser.add_argument("--target", action="append", choices=list(TARGETS), help="what it is done to (all of them)")
    chosen = parser.parse_args(arguments)
    chosen.todo = [
        (kind, one)
        for kind in (chosen.target or TARGETS)
        for one in scenarios
        if kind in one.targets and (not chosen.only or one.name in chosen.only)
    ]
    if not chosen.todo:
        parser.error(f"{', '.join(chosen.only)} makes no sense on {', '.join(chosen.target)}")
    return chosen


def _bench(chosen: argparse.Namespace, template: Path, folder: Path, kind: str) -> Bench:
    """What a scenario of this run works with."""
    folder.mkdir()
    began = time.monotonic()

    def say(sentence: str) -> None:
        print(f"    {time.monotonic() - began:6.1f} s  {sentence}", flush=True)

    kills = SHORT_KILLS if chosen.short else LONG_KILLS if kind == "sqlite" else OTHER_KILLS
    size = 0.1 if chosen.short else 1.0
    return Bench(
        template,
        folder,
        seed=chosen.seed,
        size=size,
        kills=chosen.kills or kills,
        kind=kind,
        soak=chosen.soak * 3_600 if chosen.soak else SOAK_MINUTES * 60 * size,
        say=say,
    )


@contextlib.contextmanager
def _templates(place: Path, kinds: set[str]) -> Iterator[dict[str, Path]]:
    """Prepared data for each kind of installation, on SQLite and on a PostgreSQL that waits for its disk."""
    found: dict[str, Path] = {}
    with contextlib.ExitStack() as stack:
        if kinds - {"sqlite"}:
            database = stack.enter_context(contextlib.closing(PostgresServer(fsync=True)))
            stack.enter_context(databases.on(database))
        for dialect in ("sqlite", "postgresql"):
            if not any((kind == "sqlite") == (dialect == "sqlite") for kind in kinds):
                continue
            template = place / f"template-{dialect}"
            template.mkdir()
            if dialect == "postgresql":
                databases.begin(template)
            asyncio.run(harness.prepare(template))
            found |= {kind: template for kind in kinds if (kind == "sqlite") == (dialect == "sqlite")}
        yield found


def main(arguments: list[str]) -> int:
    """Runs what was asked for. Returns: the exit status, 1 when anything was lost, doubled, out of order or failed."""
    from faults.scenarios import SCENARIOS

    chosen = options(arguments, SCENARIOS)
    raise_file_limit()
    console = Console(width=None if sys.stdout.isatty() else 150)
    rows: list[Row] = []
    with (
        tempfile.TemporaryDirectory(prefix="aparte-faults-") as place,
        _templates(Path(place), {kind for kind, _ in chosen.todo}) as templates,
    ):
        for number, (kind, scenario) in enumerate(chosen.todo, 1):
            print(f"[{number}/{len(chosen.todo)}] {scenario.name} on {kind}: {scenario.what}", flush=True)
            bench = _bench(chosen, templates[kind], Path(place) / f"{scenario.name}-{kind}", kind)
            row = asyncio.run(run_one(scenario, bench))
            rows.append(row)
            for sentence in row.wrong[:20]:
                print(f"    WRONG: {sentence}", flush=True)
    console.print(report(rows))
    if chosen.json is not None:
        told = {"seed": chosen.seed, "is_short": chosen.short}
        chosen.json.write_text(json.dumps({**told, "rows": [asdict(row) for row in rows]}, indent=1) + "\n")
    return 0 if all(row.is_clean for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
