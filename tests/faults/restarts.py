"""Nodes that go while others stay: restarted in turn under load, or killed for good."""

from __future__ import annotations

import asyncio
import time
from typing import Final

from faults import trouble
from faults.crowd import Crowd, gathered
from faults.lab import Bench, Scenario
from faults.ledger import Verdict
from faults.target import NODES, Target

END_SECONDS: Final = 25.0  # from SIGTERM to the end of the process
READY_SECONDS: Final = 30.0  # and to the next one's readiness
AWAY_SECONDS: Final = 5.0  # after which people whose node is gone are served by another


async def _restart(target: Target, node: int, crowd: Crowd, verdict: Verdict) -> tuple[float, float]:
    """By SIGTERM and a start; how long it took to end, and until it was ready again."""
    began = time.monotonic()
    here = [one for one in crowd.people if one.is_online and one.way.node == node]
    drains = {one.name: one.drains for one in here}
    status = await target.stop(node)
    ended = time.monotonic() - began
    if status != 0:
        verdict.fail(f"node {node} ended with status {status}")
    if ended > END_SECONDS:
        verdict.fail(f"node {node} took {ended:.1f} s to end")
    untold = [one.name for one in here if one.drains == drains[one.name]]
    if untold:
        verdict.fail(f"node {node} ended without a word to {untold}")
    await target.start(node)
    ready = time.monotonic() - began
    if ready > READY_SECONDS:
        verdict.fail(f"node {node} was ready again only after {ready:.1f} s")
    return ended, ready


async def rolling(bench: Bench) -> Verdict:
    """Each node in turn, while everybody talks: nobody need notice more than a moment."""
    verdict, took = Verdict(), list[tuple[float, float]]()
    rounds = int(bench.scaled(5, 1))
    async with bench.target() as target, gathered(target, bench.rng) as crowd:
        crowd.talk((0.0, 0.1))
        for number in range(rounds):
            for node in range(target.nodes):
                await asyncio.sleep(1.0)
                before = crowd.ledger.acknowledged
                took.append(await _restart(target, node, crowd, verdict))
                bench.say(f"round {number + 1}, node {node}: ended after %.1f s, ready after %.1f s" % took[-1])
                if crowd.ledger.acknowledged == before:
                    verdict.fail(f"nobody was served while node {node} restarted")
        await crowd.hush()
        verdict.add(await crowd.judged())
        refused = sum(sum(one.passing.values()) for one in crowd.people)
        verdict.wrong += trouble.faults_logged(target)
    slowest = [max(times) for times in zip(*took, strict=True)]
    told = f"{len(took)} restarts, ended after {slowest[0]:.1f} s and ready after {slowest[1]:.1f} s at most"
    verdict.told.append(f"{told}, {refused} wishes refused")
    return verdict


async def killed(bench: Bench) -> Verdict:
    """One is killed and stays away: its people go on at the other."""
    verdict = Verdict()
    for node in (0, 1):
        async with bench.target(f"killed-{node}") as target, gathered(target, bench.rng) as crowd:
            crowd.talk((0.0, 0.1))
            await asyncio.sleep(bench.scaled(5.0, 1.0))
            here = [one for one in crowd.people if one.way.node == node]
            await target.kill(node)
            at = time.monotonic()
            while not all(one.is_online and one.online_at > at for one in here):
                if time.monotonic() > at + trouble.PATIENCE:
                    verdict.fail(f"not back at the other node: {[one.name for one in here if not one.is_online]}")
                    break
                await asyncio.sleep(0.02)
            away = time.monotonic() - at
            if away > AWAY_SECONDS:
                verdict.fail(f"people of node {node} were served again only after {away:.1f} s")
            await asyncio.sleep(bench.scaled(20.0, 1.0))  # with its lease running out meanwhile, in the long form
            await crowd.hush()
            verdict.add(await crowd.judged())
            verdict.wrong += trouble.faults_logged(target)
            verdict.told.append(f"node {node}: its {len(here)} people were back after {away:.1f} s")
    return verdict


ROLLING: Final = Scenario("rolling-restart", "two nodes restarted in turn under load", rolling, NODES)
KILLED: Final = Scenario("node-killed", "one of two nodes is killed and stays away", killed, NODES)
