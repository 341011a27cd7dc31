"""`aparte bench`.

Knows its options. Must not know how anything is measured.
"""

from __future__ import annotations

import sys
from pathlib import Path

import click

from aparte.cli import parts


@click.command(short_help="Measure this machine against what is promised.")
@click.option(
    "--dialogues",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="FILE",
    help="Replay dialogues too: one JSON object per line, with id and turns of from and text.",
)
@click.option(
    "--data", type=click.Path(path_type=Path, file_okay=False), metavar="DIR", help="Keep data, key ring and logs here."
)
@click.option(
    "--json",
    "json_file",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write the rows here as JSON.",
)
@click.option("--check", is_flag=True, help="Status 1 when a figure that must hold does not.")
@click.option("--rounds", type=click.IntRange(1, 100), default=3, show_default=True, help="Rounds; the median counts.")
@click.option(
    "--seed",
    type=click.IntRange(0, 100_000_000),
    default=0,
    metavar="N",
    help="Compare a store of N messages with a nearly empty one; a million takes some minutes.",
)
def bench(
    dialogues: Path | None, data: Path | None, json_file: Path | None, check: bool, rounds: int, seed: int
) -> None:
    """Measure speed, latency, memory, start and sizes, in a server process of its own, and print one table.

    \b
    Examples:
      aparte bench
      aparte bench --rounds 5 --check --json figures.json
      aparte bench --dialogues dialogues.jsonl --data ./kept
      aparte bench --seed 1000000
    """
    from aparte import logs

    logs.configure("warning")
    sys.exit(parts.measure(dialogues=dialogues, data=data, json_file=json_file, check=check, rounds=rounds, seed=seed))
