"""`kill -9`, again and again, while a crowd talks over a bad network: of a node, and of PostgreSQL where it is there.

After each kill: everything that was ever acknowledged is there, once, in the same order on every screen.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from typing import Final

from faults.crowd import gathered
from faults.lab import Bench, Scenario
from faults.ledger import Verdict
from faults.proxy import Fault, proxied
from faults.target import ALL, Target

ROUND: Final = 10  # kills that one crowd lives through, so that its histories stay short enough to read each time
# Half of the lines are whole, so that the server is under load when it dies.
WEATHER: Final[tuple[Fault, ...]] = ("none", "none", "none", "latency", "cut", "reset")
DATABASE_EACH: Final = 3  # one of so many kills is PostgreSQL's, where there is one


async def _kill_node(bench: Bench, target: Target) -> str:
    node = bench.rng.randrange(target.nodes)
    await target.kill(node)
    if target.nodes > 1:
        await asyncio.sleep(bench.rng.uniform(0.0, 0.5))  # the others go on meanwhile
    if bench.rng.random() < 0.2:  # and once more while it starts
        await target.start(node, is_ready=False)
        await asyncio.sleep(bench.rng.uniform(0.0, 0.6))
        await target.kill(node)
    await target.start(node)
    return f"node {node}"


async def _kill_database(bench: Bench, target: Target) -> str:
    """Its first process alone, whose others then end by themselves; or all at once and without a word to the disk."""
    how = bench.rng.choice(("KILL", "QUIT"))
    await target.leave_database(how)
    await asyncio.sleep(bench.rng.uniform(0.0, 0.5))
    await target.find_database()
    return f"PostgreSQL by SIG{how}"


async def run(bench: Bench) -> Verdict:
    """`bench.kills` kills in rounds."""
    verdict, killed = Verdict(), Counter[str]()
    async with bench.target() as target:
        while killed.total() < bench.kills and verdict.is_clean:
            now = min(ROUND, bench.kills - killed.total())
            async with (
                proxied(lambda: target.some_address(bench.rng), bench.rng, WEATHER) as proxy,
                gathered(target, bench.rng, through=lambda _, p=proxy: p.address) as crowd,
            ):
                for _ in range(now):
                    began = time.monotonic()
                    crowd.talk()
                    # Sometimes before anybody is back, sometimes in full swing.
                    await asyncio.sleep(bench.rng.choice((0.05, 0.3, 0.8)) * bench.rng.uniform(0.5, 1.5))
                    is_database = target.database is not None and killed.total() % DATABASE_EACH == 1
                    what = await (_kill_database if is_database else _kill_node)(bench, target)
                    await crowd.hush()
                    so_far = await crowd.judged()
                    killed[what] += 1
                    took = f"{time.monotonic() - began:.1f} s"
                    bench.say(f"kill {killed.total()}, {what}: {so_far.acknowledged} acknowledged, {took}")
                    if not so_far.is_clean:
                        break
                verdict.add(so_far)
    verdict.told.append(f"{killed.total()} kills")
    if len(killed) > 1:
        verdict.told.append(", ".join(f"{count} of {what}" for what, count in sorted(killed.items())))
    return verdict


SCENARIO: Final = Scenario("kills", "SIGKILL under load over a bad network", run, ALL)
