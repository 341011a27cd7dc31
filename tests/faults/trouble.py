"""What the three faults of the store's place share: how a crowd goes through one in flight, and a server starts in one.

Must not know what the trouble is.
"""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import AbstractAsyncContextManager
from typing import Final

import httpx2

from faultless import FAULTS
from faults.crowd import Crowd, gathered
from faults.lab import Bench
from faults.ledger import Verdict
from faults.target import Target

PATIENCE: Final = 30.0  # seconds until something that must come has come; whoever leaves a line before is told nothing
Trouble = AbstractAsyncContextManager[object]


async def ready(target: Target, node: int = 0) -> int:
    """The status of a node's `/readyz`; 0 when nobody answers."""
    try:
        return (await target.servers[node].http.get("/readyz")).status_code
    except httpx2.TransportError:
        return 0


async def becomes(target: Target, status: int) -> bool:
    """Whether every node comes to answer so, within the time."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        if {await ready(target, node) for node in range(target.nodes)} == {status}:
            return True
        await asyncio.sleep(0.1)
    return False


def faults_logged(target: Target) -> list[str]:
    """A sentence for each fault of its own that a server wrote into its log."""
    wrong = []
    lines = [line for one in target.servers for line in one.log.read_text(errors="replace").splitlines()]
    for line in lines:
        try:
            event = json.loads(line)["event"]
        except ValueError:  # a sentence; or a line that a full disk cut
            event = line
        if event in FAULTS or (not line.startswith("{") and "Traceback" in line):
            wrong.append(f"the server logged a fault: {line[:300]}")
    return wrong


async def in_flight(target: Target, crowd: Crowd, trouble: Trouble, verdict: Verdict, *, hold: float = 1.0) -> None:
    """A crowd talks, the trouble comes, everybody is refused with a reason, nothing more is acknowledged; it goes; and
    everybody talks on without anybody's help."""
    crowd.talk()
    await asyncio.sleep(0.5)
    before = {person.name: person.passing["store_down"] for person in crowd.people}
    async with trouble:
        until = time.monotonic() + PATIENCE
        # What fits into what was allocated before is rightly acknowledged until then.
        while any(one.passing["store_down"] == before[one.name] for one in crowd.people):
            if time.monotonic() > until:
                silent = [one.name for one in crowd.people if one.passing["store_down"] == before[one.name]]
                verdict.fail(f"not told that nothing can be stored: {silent}")
                break
            await asyncio.sleep(0.05)
        acknowledged = crowd.ledger.acknowledged
        await asyncio.sleep(hold)
        if crowd.ledger.acknowledged != acknowledged:
            verdict.fail(f"{crowd.ledger.acknowledged - acknowledged} acknowledged while nothing could be stored")
        if not await becomes(target, 503):
            verdict.fail("the server says that it is ready while nothing can be stored")
    until = time.monotonic() + PATIENCE
    while crowd.ledger.acknowledged == acknowledged and time.monotonic() < until:  # noqa: ASYNC110 (counted elsewhere)
        await asyncio.sleep(0.05)
    await crowd.hush()
    if not await becomes(target, 200):
        verdict.fail("the server is not ready again after the trouble")
    verdict.told.append(f"in flight: refused {sum(one.passing['store_down'] for one in crowd.people)} times")


async def at_start(target: Target, trouble: Trouble, verdict: Verdict) -> None:
    """A server that is started in trouble says so: it ends with a sentence, or it is not ready. Afterwards it starts."""
    await target.stop()
    seen = target.server.log.stat().st_size
    async with trouble:
        await target.start(is_ready=False)
        process = target.server.process
        assert process is not None
        until = time.monotonic() + PATIENCE
        status: int | None = None
        while (status := process.poll()) is None and await ready(target) == 0 and time.monotonic() < until:  # noqa: ASYNC110 (a process)
            await asyncio.sleep(0.1)
        said = target.server.log.read_bytes()[seen:].decode(errors="replace")
        sentences = [line for line in said.splitlines() if line and not line.startswith("{")]
        if status is not None:
            if status == 0 or not sentences or "Traceback" in "\n".join(sentences):
                verdict.fail(f"the start ended with {status} and said {said[-500:]!r}")
            verdict.told.append(f"at start: ends with {status}: {sentences[-1] if sentences else ''}")
            target.server.process = None
        else:
            answer = await ready(target)
            verdict.told.append(f"at start: runs, /readyz {answer}")
            if answer != 503:
                verdict.fail(f"it runs in trouble, and /readyz answers {answer or 'nothing'}")
    if target.server.process is None:
        await target.start()
    elif not await becomes(target, 200):
        verdict.fail("the server is not ready again after the trouble")


async def both(bench: Bench, target: Target, first: Trouble, second: Trouble, *, guests: int = 3) -> Verdict:
    """In flight, then at a start; then everything that was ever acknowledged is held against the screens."""
    verdict = Verdict()
    async with gathered(target, bench.rng, guests=guests, silent_seconds=PATIENCE) as crowd:
        bench.say("in flight")
        await in_flight(target, crowd, first, verdict)
        verdict.add(await crowd.judged())
        bench.say("at a start")
        verdict.acknowledged = 0  # they are counted again below
        crowd.talk()
        await at_start(target, second, verdict)
        await crowd.hush()
        verdict.add(await crowd.judged())
    verdict.wrong += faults_logged(target)
    if target.database is None and target.server.rows("PRAGMA integrity_check") != [("ok",)]:
        verdict.fail("the database is not whole")
    return verdict
