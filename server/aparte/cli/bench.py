"""`aparte bench`.

Knows its options. Must not know how anything is measured.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

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
@click.option("--nodes", is_flag=True, help="Measure two nodes on one PostgreSQL against one (extra: cluster).")
@click.option(
    "--soak",
    type=click.FloatRange(0, 1_440),
    default=0.0,
    metavar="MINUTES",
    help="Let people talk for so long, and see whether the server grows.",
)
@click.option(
    "--pictures",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Draw latency against load into this folder and, with --seed, waits against the length of the history.",
)
@click.option(
    "--store",
    type=click.Choice(("sqlite", "postgres")),
    default="sqlite",
    show_default=True,
    help="What to measure on; PostgreSQL is started for the run (extra: cluster).",
)
def bench(**asked: Any) -> None:
    """Measure speed, latency, memory, start and sizes, in a server process of its own, and print one table.

    \b
    Examples:
      aparte bench
      aparte bench --rounds 5 --check --json figures.json
      aparte bench --dialogues dialogues.jsonl --data ./kept
      aparte bench --seed 1000000 --pictures ./pictures
      aparte bench --nodes --soak 60
    """
    from aparte import logs

    logs.configure("warning")
    sys.exit(parts.measure(**asked))
