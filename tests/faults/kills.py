"""`kill -9`, again and again, while a crowd talks over a bad network.

After each kill: everything that was ever acknowledged is there, once, in the same order on every screen.
"""

from __future__ import annotations

import asyncio
import time
from typing import Final

from faults.crowd import gathered
from faults.lab import Bench, Scenario
from faults.ledger import Verdict
from faults.proxy import Fault, proxied

ROUND: Final = 10  # kills that one crowd lives through, so that its histories stay short enough to read each time
# Half of the lines are whole, so that the server is under load when it dies.
WEATHER: Final[tuple[Fault, ...]] = ("none", "none", "none", "latency", "cut", "reset")


async def run(bench: Bench) -> Verdict:
    """`bench.kills` kills in rounds."""
    verdict, killed = Verdict(), 0
    async with bench.target() as target:
        while killed < bench.kills and verdict.is_clean:
            now = min(ROUND, bench.kills - killed)
            async with (
                proxied(target.address, bench.rng, WEATHER) as proxy,
                gathered(target, bench.rng, through=lambda p=proxy: p.address) as crowd,
            ):
                for _ in range(now):
                    began = time.monotonic()
                    crowd.talk()
                    # Sometimes before anybody is back, sometimes in full swing.
                    await asyncio.sleep(bench.rng.choice((0.05, 0.3, 0.8)) * bench.rng.uniform(0.5, 1.5))
                    await target.kill()
                    if bench.rng.random() < 0.2:  # and once more while it starts
                        await target.start(is_ready=False)
                        await asyncio.sleep(bench.rng.uniform(0.0, 0.6))
                        await target.kill()
                    await target.start()
                    await crowd.hush()
                    so_far = await crowd.judged()
                    killed += 1
                    bench.say(f"kill {killed}: {so_far.acknowledged} acknowledged, {time.monotonic() - began:.1f} s")
                    if not so_far.is_clean:
                        break
                verdict.add(so_far)
    verdict.told.append(f"{killed} kills")
    return verdict


SCENARIO: Final = Scenario("kills", "SIGKILL under load over a bad network", run)
