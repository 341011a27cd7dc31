"""A bad network between the crowd and the server: delayed, dripped, cut in mid-frame, reset, half-open."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Final

from faults.crowd import gathered
from faults.lab import Bench, Scenario
from faults.ledger import Verdict
from faults.proxy import FAULTS, Address, Fault, proxied
from faults.target import ALL

LONG_SECONDS: Final = 120.0
# Each request is a connection of its own, so a wish meets the weather many times on its way.
MILDER: Final[tuple[Fault, ...]] = (*FAULTS, *["none"] * 8)  # type: ignore[list-item]  # a Fault as it stands there


async def run(bench: Bench, *, seconds: float = 0.0, by_requests: bool = False) -> Verdict:
    """Talks through the storm, then lets the sky clear and judges. `by_requests`: without sockets."""
    seconds = seconds or bench.scaled(LONG_SECONDS)
    async with bench.target() as target, contextlib.AsyncExitStack() as stack:
        # A socket goes to any node; one by requests has all of them at one, as a proxy must see to.
        ways: list[Callable[[], Address]] = (
            [partial(target.address, node) for node in range(target.nodes)]
            if by_requests
            else [lambda: target.some_address(bench.rng)] * target.nodes
        )
        faults = MILDER if by_requests else FAULTS
        proxies = [await stack.enter_async_context(proxied(way, bench.rng, faults)) for way in ways]
        crowd = await stack.enter_async_context(
            gathered(target, bench.rng, through=lambda node: proxies[node].address, by_requests=by_requests)
        )
        crowd.talk()
        until = asyncio.get_running_loop().time() + seconds
        while (left := until - asyncio.get_running_loop().time()) > 0:
            await asyncio.sleep(min(5.0, left))
            taken = sum(proxy.taken for proxy in proxies)
            bench.say(f"{crowd.ledger.acknowledged} acknowledged over {taken} connections")
        await crowd.hush()
        for proxy in proxies:
            proxy.clear()
        verdict = await crowd.judged()
        met = sum((proxy.met for proxy in proxies), Counter[str]())
        taken = sum(proxy.taken for proxy in proxies)
        resyncs = sum(person.resyncs for person in crowd.people)
        verdict.told.append(f"{taken} connections, {resyncs} gaps found by clients")
        verdict.told.append(", ".join(f"{count} {fault}" for fault, count in sorted(met.items())))
        for fault in FAULTS:
            if not met.get(fault):
                verdict.fail(f"no connection met {fault}: the run was too short to say anything")
        return verdict


async def run_by_requests(bench: Bench) -> Verdict:
    """As `run`, where no WebSocket gets through."""
    return await run(bench, by_requests=True)


SCENARIO: Final = Scenario("network", "delayed, dripped, cut in mid-frame, reset, half-open connections", run, ALL)
BY_REQUESTS: Final = Scenario("fallback", "the same, over server-sent events and POST", run_by_requests, ALL)
