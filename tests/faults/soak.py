"""Hours of ordinary life: people come, talk, are cut off now and then, and go; nodes are restarted. Nothing piles up.

What a server holds is looked at when everybody has gone, after each round.
"""

from __future__ import annotations

import asyncio
import contextlib
import statistics
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from faults import trouble
from faults.crowd import gathered
from faults.lab import Bench, Scenario
from faults.ledger import Verdict
from faults.proxy import Proxy, proxied
from faults.target import Target, settled_memory

ROUND_SECONDS: Final = 30.0
LEAST_ROUNDS: Final = 8
WARM: Final = 4  # the first of so many parts warms up; the last is compared with the end of the first
GUESTS: Final = 12
CUT_SHARE: Final = 0.05  # of the lines, every two seconds
PAUSE: Final = (0.05, 0.5)
# What counts as flat, against the end of the warm-up.
MOST_MEMORY: Final = 8 << 20  # bytes, and a tenth of what it was
MOST_FILES: Final = 4
MOST_THREADS: Final = 1


@dataclass(frozen=True)
class Held:
    """What a process holds."""

    memory: int
    files: int
    threads: int


async def _held(pid: int) -> Held:
    resident = await settled_memory(pid, 1.0)
    files = len(list(Path(f"/proc/{pid}/fd").iterdir()))
    return Held(resident, files, len(list(Path(f"/proc/{pid}/task").iterdir())))


@contextlib.asynccontextmanager
async def _alongside(work: asyncio.Task[None]) -> AsyncIterator[None]:
    """Goes on beside the block."""
    try:
        yield
        if work.done():
            work.result()
    finally:
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)


async def _cuts(bench: Bench, proxy: Proxy, count: list[int]) -> None:
    while True:
        await asyncio.sleep(2.0)
        for line in list(proxy.lines):
            if bench.rng.random() < CUT_SHARE:
                line.end(is_reset=bench.rng.random() < 0.5)
                count[0] += 1


async def _round(bench: Bench, target: Target, seconds: float, cuts: list[int]) -> Verdict:
    async with (
        proxied(lambda: target.some_address(bench.rng), bench.rng, ("none",)) as proxy,
        gathered(target, bench.rng, through=lambda _: proxy.address, guests=GUESTS) as crowd,
    ):
        async with _alongside(asyncio.create_task(_cuts(bench, proxy, cuts))):
            crowd.talk(PAUSE)
            await asyncio.sleep(seconds / 2)
            if target.nodes > 1:  # the first one lives through all of it, and is the one that is looked at
                await target.stop(1)
                await target.start(1)
            await asyncio.sleep(seconds / 2)
            await crowd.hush()
        return await crowd.judged()


async def run(bench: Bench) -> Verdict:
    verdict, held, cuts = Verdict(), list[Held](), [0]
    rounds = max(LEAST_ROUNDS, round(bench.soak / ROUND_SECONDS))
    async with bench.target() as target:
        await target.stop()
        await target.start()  # a first start makes and reads more than others
        began = time.monotonic()
        for number in range(rounds):
            verdict.add(await _round(bench, target, bench.soak / rounds, cuts))
            held.append(await _held(target.server.pid))
            now = held[-1]
            bench.say(f"round {number + 1}: {now.memory / (1 << 20):.1f} MiB, {now.files} files, {now.threads} threads")
            if not verdict.is_clean:
                return verdict
        compare(held, verdict)
        verdict.wrong += trouble.faults_logged(target)
        verdict.told.append(f"{(time.monotonic() - began) / 60:.1f} minutes, {cuts[0]} lines cut")
        if target.nodes > 1:
            verdict.told.append(f"{rounds} restarts of the other node")
    return verdict


def compare(held: list[Held], verdict: Verdict) -> None:
    """The last part of the rounds against the end of the first."""
    part = max(1, len(held) // WARM)
    warm, last = held[part - 1], held[-part:]
    memory = statistics.median(one.memory for one in last)
    files = statistics.median(one.files for one in last)
    threads = statistics.median(one.threads for one in last)
    if memory > warm.memory * 1.1 + MOST_MEMORY:
        verdict.fail(f"memory grew from {warm.memory >> 20} to {int(memory) >> 20} MiB")
    if files > warm.files + MOST_FILES:
        verdict.fail(f"open files grew from {warm.files} to {files:g}")
    if threads > warm.threads + MOST_THREADS:
        verdict.fail(f"threads grew from {warm.threads} to {threads:g}")
    verdict.told.append(
        f"memory {warm.memory / (1 << 20):.1f} → {memory / (1 << 20):.1f} MiB, files {warm.files} → {files:g}, "
        f"threads {warm.threads} → {threads:g}"
    )


SCENARIO: Final = Scenario("soak", "people come, talk, are cut off and go, again and again", run, ("sqlite", "nodes"))
