"""A PostgreSQL that goes, and one that is there and does not answer: nothing is acknowledged that is not stored."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Final

from faults import trouble
from faults.crowd import gathered
from faults.lab import Bench, Scenario
from faults.ledger import Verdict
from faults.target import ON_POSTGRES, Target

LONG_SECONDS: Final = 20.0
SLOW_SECONDS: Final = 0.1  # for each answer


@contextlib.asynccontextmanager
async def _away(target: Target, how: str, seconds: float) -> AsyncIterator[None]:
    """The server is stopped until the block ends, and so long at least."""
    await target.leave_database(how)
    until = asyncio.get_running_loop().time() + seconds
    try:
        yield
        await asyncio.sleep(until - asyncio.get_running_loop().time())
    finally:
        await target.find_database()


async def run(bench: Bench, *, ways: tuple[str, ...] = ("INT", "QUIT", "KILL")) -> Verdict:
    """Stopped as an operator does, and crashed; each time in flight and at a start."""
    verdict = Verdict()
    for how in ways:
        async with bench.target(f"away-{how}") as target:
            first, second = _away(target, how, bench.scaled(LONG_SECONDS, 2.0)), _away(target, how, 0.0)
            bench.say(f"SIG{how}")
            verdict.add(await trouble.both(bench, target, first, second))
    return verdict


@contextlib.asynccontextmanager
async def _silent(target: Target, seconds: float) -> AsyncIterator[None]:
    assert target.gate is not None
    target.gate.silence()
    try:
        yield
        await asyncio.sleep(seconds)
    finally:
        target.gate.mend()


async def slow(bench: Bench) -> Verdict:
    """Every answer late; then none at all for a while, with the lines standing."""
    verdict = Verdict()
    async with bench.target(is_gated=True) as target:
        assert target.gate is not None
        async with gathered(target, bench.rng, silent_seconds=trouble.PATIENCE) as crowd:
            target.gate.slow(SLOW_SECONDS)
            crowd.talk()
            before = crowd.ledger.acknowledged
            await asyncio.sleep(bench.scaled(LONG_SECONDS, 3.0))
            if crowd.ledger.acknowledged == before:
                verdict.fail("nothing was acknowledged over a slow line")
            verdict.told.append(f"{crowd.ledger.acknowledged - before} acknowledged while each answer was late")
            target.gate.mend()
            async with _silent(target, bench.scaled(LONG_SECONDS, 3.0)):
                await asyncio.sleep(0.2)  # what was answered before is told
                before = crowd.ledger.acknowledged
                if not await trouble.becomes(target, 503):
                    verdict.fail("the server says that it is ready while its database does not answer")
                if crowd.ledger.acknowledged != before:
                    verdict.fail(f"{crowd.ledger.acknowledged - before} acknowledged that nobody can have stored")
            await crowd.hush()
            verdict.add(await crowd.judged())
            if not await trouble.becomes(target, 200):
                verdict.fail("the server is not ready again")
        verdict.wrong += trouble.faults_logged(target)
    return verdict


AWAY: Final = Scenario("database-away", "PostgreSQL is stopped and crashed, in flight and at a start", run, ON_POSTGRES)
SLOW: Final = Scenario("database-silent", "PostgreSQL answers late, then not at all", slow, ("postgres",))
