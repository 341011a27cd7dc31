"""`aparte bench`: measures this machine with a server process of its own and prints one table.

Knows the order of the measurements and what each figure must be. Must not know how a socket, a process or a page is
dealt with.
"""

from __future__ import annotations

import contextlib
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

from rich.console import Console

from aparte.bench import asked, replay, report, usual
from aparte.bench.course import Extent
from aparte.bench.ground import Ground
from aparte.bench.pictures import Picture, Points, drawn
from aparte.errors import Unavailable

__all__ = ["Extent", "run"]


def run(
    *,
    dialogues: Path | None = None,
    data: Path | None = None,
    json_file: Path | None = None,
    check: bool = False,
    rounds: int = 3,
    seed: int = 0,
    nodes: bool = False,
    soak: float = 0.0,
    pictures: Path | None = None,
    store: str = "sqlite",
    extent: Extent | None = None,
) -> int:
    """Measures, prints the table, and keeps what it was told to keep.

    Args: dialogues: a file to replay; data: a new folder for data, key ring and logs, kept afterwards; json_file:
    gets the rows; check: whether a missed figure makes the status 1; rounds: of echo and whole path; extent: instead
    of `rounds`; seed: messages of a long history to compare a short one with; nodes: whether two are measured against
    one; soak: minutes of it; pictures: a folder that gets drawings; store: `sqlite`, or `postgres` for all of it.
    Returns: the exit status. Raises: BadInput for a file or folder that cannot be used; Unavailable when the server
    under test fails.
    """
    if not Path("/proc/self/stat").exists():
        raise Unavailable("The measurements need Linux: memory and processor time are read from /proc.")
    # Fewer rounds mean that somebody is in a hurry.
    extent = extent or Extent(rounds, idle=5_000 if rounds >= 3 else 1_000)
    console = Console(stderr=True, highlight=False)
    spoken = None if dialogues is None else replay.read(dialogues)
    with _ended_in_order(), _folder(data) as folder, _ground(folder, store) as ground:
        made = ground.make()
        rows = usual.measured(console, made, extent)
        if spoken is not None:
            rows += asked.replayed(console, made, spoken)
        if seed:
            # A picture of two points would show no course.
            sizes = (max(1, seed // 1_000), max(1, seed // 10), seed) if pictures else (seed,)
            found, waits = asked.grown(console, ground, sizes, extent)
            rows += found
            if pictures is not None:
                _draw(console, pictures / "growth.svg", _growth_picture(waits))
        if nodes:
            rows += asked.together(console, ground, extent)
        if pictures is not None:
            found, points = asked.loaded(console, made, extent)
            rows += found
            _draw(console, pictures / "load.svg", _load_picture(points))
        if soak:
            rows += asked.soaked(console, made, soak)
        report.show(Console(highlight=False), rows)
        if json_file is not None:
            report.write(json_file, rows)
        if data is not None:
            console.print(f"Kept: {made.folder} (data, keyring, key, logs)")
    missed = report.missed(rows)
    for row in missed:
        console.print(f"[red]missed:[/red] {row.name}")
    return 1 if check and missed else 0


@contextlib.contextmanager
def _ended_in_order() -> Iterator[None]:
    """SIGTERM unwinds as Ctrl-C does, so that no server is left behind."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextlib.contextmanager
def _folder(data: Path | None) -> Iterator[Path]:
    if data is not None:
        yield data
        return
    with tempfile.TemporaryDirectory(prefix="aparte-bench-") as folder:
        yield Path(folder)


@contextlib.contextmanager
def _ground(folder: Path, store: str) -> Iterator[Ground]:
    ground = Ground(folder)
    if store == "sqlite":
        yield ground
        return
    with ground.on_postgres() as on_postgres:
        yield on_postgres


# ── pictures ────────────────────────────────────────────────────────────────────────────────────────────────────


def _draw(console: Console, path: Path, picture: Picture) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(drawn(picture), "utf-8")
    console.print(f"Drawn: {path}")


def _growth_picture(waits: Mapping[str, Points]) -> Picture:
    return Picture("What people wait for, as the history grows", "messages in the store", "milliseconds", waits)


def _load_picture(points: Mapping[str, Points]) -> Picture:
    title = "From send to the other side's screen, durable, as load grows"
    return Picture(title, "messages per second, at an even pace", "milliseconds", points)
