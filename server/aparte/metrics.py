"""Counting, so cheap that it may stand on the way of every message: plain numbers, read when somebody asks for them.

There are no locks: each number has one thread that changes it, and who reads it from another sees it a moment old. Knows
sums and buckets. Must not know the parts that count, nor in which form the numbers are shown: that is `exposition`.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass, field
from typing import Final

SECONDS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
OPERATIONS: Final = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000)


class Histogram:
    """How many values were at most each bound and above the one before it, and the sum of all."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        """Args: bounds: rising. Values above the last one are counted too."""
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def note(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def note_since(self, begun: list[float], now: float) -> None:
        """As `note`, for each of these the time from when it began until now. Args: begun: at least one, in order."""
        bucket = bisect_left(self.bounds, now - begun[0])
        if bucket == bisect_left(self.bounds, now - begun[-1]):  # as of nearly every batch
            self.counts[bucket] += len(begun)
        else:
            for one in begun:
                self.counts[bisect_left(self.bounds, now - one)] += 1
        self.total += len(begun) * now - sum(begun)


class Commits:
    """What one writer has done. Its thread counts the commits, the event loop the acknowledgements."""

    __slots__ = ("acknowledged", "failed", "operations", "seconds", "trouble")

    def __init__(self) -> None:
        self.operations = Histogram(OPERATIONS)
        self.seconds = Histogram(SECONDS)
        self.acknowledged = Histogram(SECONDS)  # from a message's arrival until its sender was answered
        self.failed = 0  # of which nothing was kept
        self.trouble = ""  # why the last one failed; empty when it was kept

    def note(self, operations: int, seconds: float) -> None:
        """One that was kept."""
        self.operations.note(operations)
        self.seconds.note(seconds)
        self.trouble = ""

    def fail(self, why: str) -> None:
        self.failed += 1
        self.trouble = why


@dataclass(frozen=True, slots=True)
class Standing:
    """What is in the outbox of one kind: rows that wait, rows given up, and the age of the oldest that should have left."""

    waiting: int = 0
    failed: int = 0
    oldest_seconds: float = 0.0


@dataclass(slots=True)
class Counts:
    """What one server counts beside its writer, its hub and its bell. The event loop alone changes it."""

    received: int = 0  # frames
    refusals: Counter[str] = field(default_factory=Counter)  # by the error's code
    turned_away: Counter[str] = field(default_factory=Counter)  # sockets that did not come to be, by the reason
    lag: Histogram = field(default_factory=lambda: Histogram(SECONDS))  # how late the event loop came to its timers
    outbox: dict[str, Standing] = field(default_factory=dict)  # by kind, as the last look found it; empty: not known
