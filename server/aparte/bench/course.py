"""How long each measurement takes, and how a run shows what it is doing.

Knows counts, seconds and the terminal. Must not know what is measured.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from rich.console import Console
from rich.progress import Progress


@dataclass(frozen=True, slots=True)
class Extent:
    """How long each measurement takes. The defaults are what a figure needs to count; a test may ask for less."""

    rounds: int = 3
    seconds: float = 3.0  # of each round, on each of the servers
    turns: int = 4  # of a round: a shared machine is slower for a second, then quicker, and all must have their part
    light_seconds: float = 20.0
    idle: int = 5_000  # visitors
    starts: int = 5
    readers: int = 1_000
    events: int = 50  # said to them in each round
    repeats: int = 60  # of each wait on a short and a long history
    storm: int = 1_000  # visitors who come back at once
    pace_seconds: float = 6.0  # at each number of messages per second
    paces: tuple[int, ...] = (20, 100, 500, 1_000, 1_500, 2_000, 3_000, 4_000, 5_000, 6_000)  # until it is saturated


@contextlib.contextmanager
def step(console: Console, what: str) -> Iterator[None]:
    """Shows what is going on, and how long it took."""
    start = time.monotonic()
    with console.status(f"{what} …"):
        yield
    console.print(f"[dim]{what}: {time.monotonic() - start:.0f} s[/dim]")


@contextlib.contextmanager
def counted(console: Console, what: str, total: int) -> Iterator[Callable[[int], None]]:
    """Shows how far it has got."""
    start = time.monotonic()
    with Progress(console=console, transient=True) as shown:
        task = shown.add_task(what, total=total)
        yield lambda done: shown.update(task, completed=done)
    console.print(f"[dim]{what}: {time.monotonic() - start:.0f} s[/dim]")
