"""Many people and a restart: they come back spread over time, read little each, and lose nothing.

They wait as the pages do, in whole seconds.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from typing import Final

import httpx2

import databases
from faults import trouble
from faults.lab import Bench, Scenario
from faults.ledger import Ledger, Verdict, in_letters, numbered
from faults.people import PATIENT, Guest, Way
from faults.target import Target

LONG_SOCKETS: Final = 2_000
SPREAD_SECONDS: Final = 10.0  # for that many; the server asks for 150 a second
READY_SECONDS: Final = 30.0  # from SIGTERM until it is ready again
OPEN_SECONDS: Final = 180.0  # for so many of them to get there
BACK_SECONDS: Final = 180.0
AT_ONCE: Final = 50
SILENT_SECONDS: Final = 40.0
# Of PostgreSQL, for each who comes back: whatever the length of the conversation.
MOST_TRANSACTIONS: Final = 12
MOST_ROWS: Final = 60


def _work(target: Target) -> tuple[int, int]:
    """What the data database has done so far: transactions, and rows that indexes have found."""
    if target.database is None:
        return 0, 0
    name = target.server.settings.database().name
    query = "SELECT xact_commit + xact_rollback, tup_fetched FROM pg_stat_database WHERE datname = %s"
    found = databases.server().run(query, name)
    return int(found[0][0]), int(found[0][1])


async def _quiet(target: Target) -> tuple[int, int]:
    """As `_work`, once the sessions have told what they did."""
    await asyncio.sleep(2.0)
    return _work(target)


async def _opened(people: list[Guest]) -> None:
    """Everybody is there and has a conversation; so many at a time."""
    for start in range(0, len(people), AT_ONCE):
        some = people[start : start + AT_ONCE]
        for number, one in enumerate(some, start):
            one.start()
            one.say(f"Hello says {in_letters(number)}")
        async with asyncio.timeout(OPEN_SECONDS):
            while any(one.outbox or not one.thread for one in some):  # noqa: ASYNC110 - people's own state
                await asyncio.sleep(0.02)


async def run(bench: Bench, *, sockets: int = 0) -> Verdict:
    count = sockets or int(bench.scaled(LONG_SOCKETS))
    verdict, ledger = Verdict(), Ledger()
    limits = httpx2.Limits(max_keepalive_connections=0)
    async with bench.target() as target, httpx2.AsyncClient(verify=False, limits=limits) as http:
        people = []
        for number in range(count):
            # All of them at the first node, as behind a proxy that has only that.
            way = Way(lambda _: target.address(0), target.origin, http, SILENT_SECONDS, delays=PATIENT)
            rng = random.Random(bench.rng.random())
            people.append(Guest(f"visitor {in_letters(number)}", way, ledger, rng))
        try:
            await _opened(people)
            bench.say(f"{count} people are there")
            await _restart(bench, target, people, verdict)
            await _whole(people, ledger, verdict)
        finally:
            await asyncio.gather(*(one.leave() for one in people))
        verdict.wrong += trouble.faults_logged(target)
    return verdict


async def _restart(bench: Bench, target: Target, people: list[Guest], verdict: Verdict) -> None:
    before = await _quiet(target)
    began = time.monotonic()
    waiting = asyncio.create_task(target.stop())
    for one in people:  # said while the server goes: none of it may be lost
        one.say(f"{one.name} says that he is still here")
    status = await waiting
    ended = time.monotonic() - began
    await target.start()
    ready = time.monotonic() - began
    bench.say(f"ended after {ended:.1f} s, ready after {ready:.1f} s")
    if status != 0:
        verdict.fail(f"it ended with status {status}")
    if ready > READY_SECONDS:
        verdict.fail(f"ready again only after {ready:.1f} s")
    untold = sum(not one.drains for one in people)
    if untold:
        verdict.fail(f"{untold} people were not asked to move on")
    until = time.monotonic() + BACK_SECONDS
    while any(one.online_at < began + ended or one.outbox for one in people):
        if time.monotonic() > until:
            away = sum(one.online_at < began + ended for one in people)
            verdict.fail(f"{away} people are not back after {BACK_SECONDS:g} s")
            break
        await asyncio.sleep(0.05)
    times = sorted(one.online_at - began for one in people)
    busiest = max(Counter(int(one) for one in times).values())
    spread = times[-1] - times[0]
    if len(people) >= LONG_SOCKETS and spread < SPREAD_SECONDS:
        verdict.fail(f"they came back within {spread:.1f} s")
    after = await _quiet(target)
    each = [(now - then) / len(people) for then, now in zip(before, after, strict=True)]
    if each[0] > MOST_TRANSACTIONS or each[1] > MOST_ROWS:
        verdict.fail(f"each who came back cost {each[0]:.1f} transactions and {each[1]:.1f} rows")
    half, most = times[len(times) // 2], times[int(len(times) * 0.95)]
    verdict.told.append(
        f"{len(people)} people: ended after {ended:.1f} s, ready after {ready:.1f} s; the first back after "
        f"{times[0]:.1f} s, half after {half:.1f} s, 95 % after {most:.1f} s, the last after {times[-1]:.1f} s; "
        f"at most {busiest} in a second"
    )
    if target.database is not None:
        verdict.told.append(f"for each {each[0]:.1f} transactions and {each[1]:.1f} rows")


async def _whole(people: list[Guest], ledger: Ledger, verdict: Verdict) -> None:
    """Every screen has what its owner said, once and in order."""
    for one in people:
        screen = one.screens.get(one.thread, [])
        numbered(one.name, screen, verdict)
        texts = [shown.text for shown in screen if shown.kind == "message"]
        wishes = [wish.text for wish in ledger.of(one.thread)]
        verdict.acknowledged += sum(wish.is_acknowledged for wish in ledger.of(one.thread))
        if sorted(texts) != sorted(set(texts)):
            verdict.double(f"{one.name}: {texts}")
        elif [text for text in texts if text in wishes] != wishes:
            verdict.lose(f"{one.name} sees {texts} instead of {wishes}")


SCENARIO: Final = Scenario("restart-crowd", "many people, and a restart", run, ("sqlite", "postgres"))
