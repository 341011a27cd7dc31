"""The bell between two nodes: cut in flight, and away at the start. It only hints, so it costs seconds and no message."""

from __future__ import annotations

import asyncio
import time
from typing import Final

from faults import trouble
from faults.crowd import Crowd, gathered
from faults.lab import Bench, Scenario
from faults.ledger import Verdict
from faults.target import NODES, Target

LONG_SECONDS: Final = 60.0
LOOK_SECONDS: Final = 5.0  # what `actions.nodes` promises without a bell
SLACK_SECONDS: Final = 1.5  # for what it found to be read and sent, on a busy machine
BACK_SECONDS: Final = (
    12.0  # a line that is cut is tried again after 5 s at most, twice where the first try meets the cut
)
RUNG_SECONDS: Final = 0.5  # the median with a bell: far below what looking brings
PAUSE: Final = (0.05, 0.4)


def _times(target: Target, event: str) -> int:
    """How often the nodes have logged it."""
    return sum(server.log.read_text(errors="replace").count(f'"{event}"') for server in target.servers)


async def _is_back(target: Target, before: int, verdict: Verdict) -> None:
    """Every node has its bell again, `before` times having been said before."""
    until = time.monotonic() + BACK_SECONDS
    while _times(target, "bell.connected") < before + target.nodes:
        if time.monotonic() > until:
            verdict.fail(f"the bell is not back after {BACK_SECONDS:g} s")
            return
        await asyncio.sleep(0.1)


async def _rings(crowd: Crowd, seconds: float, verdict: Verdict, when: str) -> None:
    """What is said in these seconds is at the other node as fast as only a bell brings it."""
    since = time.monotonic()
    crowd.talk(PAUSE)
    await asyncio.sleep(seconds)
    await crowd.hush()
    verdict.add(await crowd.judged())
    lags = crowd.lags(since, time.monotonic())
    median = lags[len(lags) // 2] if lags else float("inf")
    if median > RUNG_SECONDS:
        verdict.fail(f"{when}: half of what was said took {median:.1f} s to the other node; nobody rings")
    verdict.told.append(f"{when}: median {median * 1000:.0f} ms")


async def _one_sided(crowd: Crowd, seconds: float) -> None:
    """Customers talk, then the desk does: who writes himself finds by that what he has missed."""
    for who in (crowd.guests, [*crowd.agents, crowd.lead]):
        crowd.talk(PAUSE, who=who)
        await asyncio.sleep(seconds / 2)
        await crowd.hush()


async def _looks(crowd: Crowd, since: float, verdict: Verdict, when: str) -> None:
    """What was said since then came within the time of a look, and did take it: the bell was really away."""
    lags = crowd.lags(since, time.monotonic())
    worst = lags[-1] if lags else 0.0
    if worst > LOOK_SECONDS + SLACK_SECONDS:
        verdict.fail(f"{when}: something took {worst:.1f} s to the other node")
    if worst < RUNG_SECONDS:
        verdict.fail(f"{when}: nothing took longer than {worst:.2f} s: the run says nothing")
    verdict.told.append(f"{when}: {len(lags)} events, the slowest after {worst:.1f} s")


async def cut(bench: Bench, *, seconds: float = 0.0) -> Verdict:
    seconds = seconds or bench.scaled(LONG_SECONDS, 16.0)
    verdict = Verdict()
    async with bench.target(is_gated=True) as target, gathered(target, bench.rng) as crowd:
        assert target.gate is not None
        await _rings(crowd, 1.0, verdict, "before")
        bench.say("the bell is cut")
        since = time.monotonic()
        target.cut_bell()
        await _one_sided(crowd, seconds)
        if not await trouble.becomes(target, 200):
            verdict.fail("a server without its bell says that it is not ready")
        before = _times(target, "bell.connected")
        target.gate.mend()
        bench.say("the bell is back")
        at = time.monotonic()
        verdict.add(await crowd.judged())
        caught_up = time.monotonic() - at
        if caught_up > LOOK_SECONDS + SLACK_SECONDS:
            verdict.fail(f"caught up only {caught_up:.1f} s after the bell was back")
        await _looks(crowd, since, verdict, f"cut for {seconds:g} s")
        verdict.told.append(f"caught up {caught_up:.1f} s after")
        await _is_back(target, before, verdict)
        await _rings(crowd, 1.0, verdict, "afterwards")
        verdict.acknowledged = crowd.ledger.acknowledged  # each judgement counts all of them
        if not _times(target, "bell.lost"):
            verdict.fail("no node has said in its log that the bell is lost")
        verdict.wrong += trouble.faults_logged(target)
    return verdict


async def away_at_start(bench: Bench) -> Verdict:
    """The nodes serve by looking until the bell comes."""
    verdict = Verdict()
    async with bench.target(is_gated=True, starts=False) as target:
        assert target.gate is not None
        target.cut_bell()
        for node in range(target.nodes):
            await target.start(node)  # which returns when it is ready
        async with gathered(target, bench.rng) as crowd:
            since = time.monotonic()
            await _one_sided(crowd, bench.scaled(20.0, 16.0))
            verdict.add(await crowd.judged())
            await _looks(crowd, since, verdict, "without a bell")
            target.gate.mend()
            await _is_back(target, 0, verdict)
            await _rings(crowd, 1.0, verdict, "with it")
            verdict.acknowledged = crowd.ledger.acknowledged
        if not _times(target, "bell.lost"):
            verdict.fail("no node has said in its log that there is no bell")
        verdict.wrong += trouble.faults_logged(target)
    return verdict


CUT: Final = Scenario("bell-cut", "no node hears another for a while", cut, NODES)
AWAY: Final = Scenario("bell-away-at-start", "two nodes start while their bell is away", away_at_start, NODES)
