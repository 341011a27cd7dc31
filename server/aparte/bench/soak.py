"""A soak: people talk at an even pace and come and go, for as long as asked, and the server must not grow.

Knows how to keep it busy and what to look at. Must not know what a good figure is.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from aparte.bench.load import Hall
from aparte.bench.servers import Installation, Running
from aparte.bench.talk import Desk, new_token, visitor
from aparte.errors import Unavailable

PER_SECOND: Final = 50.0  # messages
COMING_SECONDS: Final = 0.5  # between two visitors who look in and leave again
WARM_UP: Final = 0.2  # of the time: what is filled once and then stays, such as caches, has been filled
LOOKS: Final = 40  # at the server, evenly over the time
LEAST_LOOKS: Final = 5
SHORTEST: Final = 0.1  # seconds between two of them


@dataclass(slots=True)
class Seen:
    """What was looked at, by name: one value for each look."""

    values: dict[str, list[float]] = field(default_factory=dict)

    def look(self, server: Running) -> None:
        looked = {"resident memory": server.resident(), "open handles": server.handles(), "threads": server.threads()}
        for name, value in looked.items():
            self.values.setdefault(name, []).append(value)

    def ends(self, name: str) -> tuple[float, float]:
        """Its medians over the first tenth after the warm-up and over the last tenth."""
        counted = self.values[name][int(len(self.values[name]) * WARM_UP) :]
        tenth = max(1, len(counted) // 10)
        return statistics.median(counted[:tenth]), statistics.median(counted[-tenth:])


async def run(made: Installation, server: Running, seconds: float, progress: Callable[[int], None]) -> Seen:
    """Keeps the server busy for so long. Args: progress: gets how many seconds are over. Raises Unavailable."""
    desk, hall, seen = Desk(made), Hall(), Seen()
    await desk.open()
    await hall.open((made, desk))
    over = asyncio.Event()
    coming = asyncio.create_task(_come_and_go(made, over))
    try:
        start = time.monotonic()
        looks = max(LEAST_LOOKS, min(LOOKS, int(seconds)))
        for number in range(1, looks + 1):
            left = max(SHORTEST, start + seconds * number / looks - time.monotonic())
            took = await hall.trickle(server, per_second=PER_SECOND, seconds=left)
            if len(took) < int(PER_SECOND * left):
                raise Unavailable("Not every message reached the other side.")
            seen.look(server)
            progress(int(time.monotonic() - start))
            if coming.done():
                coming.result()
    finally:
        over.set()  # not cancelled: the loop would not close over a half-open socket
        await asyncio.wait({coming})
        hall.close()
    coming.result()
    return seen


async def _come_and_go(made: Installation, over: asyncio.Event) -> None:
    while not over.is_set():
        talk = await visitor(made, new_token())
        await asyncio.sleep(COMING_SECONDS)
        talk.wire.cut()
