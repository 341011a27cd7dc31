"""What a run measures when it is asked to, and what it must be: a long history, load, a soak, nodes, dialogues.

Knows the rows and their bounds. Must not know how a socket, a process or a page is dealt with.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import statistics
from collections.abc import Sequence
from typing import Final

import uvloop
from rich.console import Console

from aparte.bench import growth, load, replay, report, scan, servers, soak
from aparte.bench.course import Extent, counted, step
from aparte.bench.ground import Ground
from aparte.bench.load import Hall
from aparte.bench.replay import Counts, Dialogue
from aparte.bench.report import Row
from aparte.bench.servers import AGENTS, Installation, Running
from aparte.bench.talk import Desk
from aparte.bench.usual import MIB, starts

SATURATED: Final = 0.25  # seconds that half of the messages take: more come than are served

Points = list[tuple[float, float]]


def grown(
    console: Console, ground: Ground, sizes: Sequence[int], extent: Extent
) -> tuple[list[Row], dict[str, Points]]:
    """Waits on stores of so many messages more than the short history has, each against the short one.

    Returns: the rows, for the longest; and of each wait its points: messages in the store, and milliseconds.
    """
    stores = []
    for size in (0, *sizes):
        with counted(console, f"seeding {size:,} messages", size) as progress:
            stores.append(growth.fill(ground.make(f"growth/{size}"), size, progress))
    with contextlib.ExitStack() as stack:
        started = [(stack.enter_context(servers.serving(filled.made)), filled.made) for filled in stores]
        for running, made in started:
            servers.wait_ready(running, made)
        progress = stack.enter_context(counted(console, "short and long histories in turn", extent.repeats))
        waits = growth.compare(stores, extent.repeats, progress)
    rows = []
    for name, took in waits.items():
        rows.append(Row(f"{name}, store of {sizes[-1]:,} messages", took[-1] * 1e3, "ms"))
        rows.append(_against(f"{name}, against a store of {growth.LONG}", took[-1] / took[0]))
    with step(console, f"{extent.starts} starts of each"):
        ready = [starts(filled.made, extent.starts).value for filled in (stores[0], stores[-1])]
    rows.append(Row(f"start to ready, store of {sizes[-1]:,} messages", ready[1], "s", 1.5, 0.8, better="less"))
    rows.append(_against("start to ready, against a short history", ready[1] / ready[0]))
    held = [growth.LONG, *(growth.LONG + size for size in sizes)]
    return rows, {name: list(zip(held, (one * 1e3 for one in took), strict=True)) for name, took in waits.items()}


def _against(name: str, ratio: float) -> Row:
    return Row(name, ratio, "times", 2, 1.2, better="less")


# ── load, and time ──────────────────────────────────────────────────────────────────────────────────────────


def loaded(console: Console, made: Installation, extent: Extent) -> tuple[list[Row], dict[str, Points]]:
    """Latency at more and more messages per second, until they come faster than they are served.

    Returns: the rows; and the points of p50 and p99: messages per second, and milliseconds.
    """
    with servers.serve(made) as server:
        return uvloop.run(_loaded(console, made, server, extent))


async def _loaded(
    console: Console, made: Installation, server: Running, extent: Extent
) -> tuple[list[Row], dict[str, Points]]:
    desk, hall = Desk(made), Hall()
    await desk.open()
    await hall.open((made, desk))
    rows: list[Row] = []
    points: dict[str, Points] = {"p50": [], "p99": []}
    for pace in extent.paces:
        took, is_saturated = list[float](), False
        with step(console, f"{pace:,} messages per second"):
            for seconds in (min(1.0, extent.pace_seconds), extent.pace_seconds):  # the first do not count
                took = await hall.trickle(server, per_second=pace, seconds=seconds)
                is_saturated = len(took) < int(pace * seconds) or report.quantile(took, 0.5) > SATURATED
                if is_saturated:
                    break
        if is_saturated:
            console.print(f"[dim]{pace:,} messages per second are more than the server takes here[/dim]")
            break
        for name, share in (("p50", 0.5), ("p99", 0.99)):
            value = report.quantile(took, share) * 1e3
            rows.append(Row(f"latency at {pace:,} messages per second under load, {name}", value, "ms"))
            points[name].append((pace, value))
    hall.close()
    return rows, points


def soaked(console: Console, made: Installation, minutes: float) -> list[Row]:
    """Whether the server grows while people talk and come and go for so long."""
    seconds = minutes * 60
    with (
        servers.serve(made) as server,
        counted(console, f"a soak of {minutes:g} minutes", int(seconds)) as progress,
    ):
        seen = uvloop.run(soak.run(made, server, seconds, progress))
    rows = []
    for name in seen.values:
        first, last = seen.ends(name)
        per, unit = (MIB, "MiB") if name == "resident memory" else (1, "")
        rows.append(Row(f"{name} at the end of {minutes:g} minutes", last / per, unit))
        rows.append(
            Row(f"{name} at the end, against after the warm-up", last / first, "times", 1.1, 1.02, better="less")
        )
    return rows


# ── two nodes ───────────────────────────────────────────────────────────────────────────────────────────────


def together(console: Console, ground: Ground, extent: Extent) -> list[Row]:
    """Two nodes on one PostgreSQL against one, as fast as it goes and each with as many people: with people spread over
    both as a proxy spreads them, and with the visitors on one and their agents on the other, so that every message
    crosses. Raises BadInput, Unavailable."""
    with ground.on_postgres() as on_postgres:
        made = on_postgres.make("nodes")
        other = servers.beside(made, "second")
        asyncio.run(servers.hire(made, range(AGENTS, 5 * AGENTS)))  # each hall has its own
        with servers.serve(made) as first, servers.serve(other) as second:
            alone, spread, crossing = uvloop.run(_together(console, made, other, first, second, extent))
    rows = [
        Row("one node on PostgreSQL, a message", statistics.median(alone) * 1e6, "µs of processor time"),
    ]
    for name, took, must in (("people spread over both", spread, 1.3), ("every message crosses", crossing, None)):
        ratio = statistics.median(two / one for two, one in zip(took, alone, strict=True))
        rows.append(Row(f"two nodes, {name}, both against one", ratio, "times", must, 1.1, better="less"))
    return rows


async def _together(
    console: Console, made: Installation, other: Installation, first: Running, second: Running, extent: Extent
) -> list[list[float]]:
    """Seconds of processor time for each message, in each round: on one node, spread over both, crossing."""
    both = (made, made), (other, other)  # where visitors are, and where their agents
    arranged: list[tuple[tuple[Running, ...], list[tuple[tuple[Installation, Installation], ...]]]] = [
        ((first,), [((made, made),)]),
        ((first, second), [both, both]),
        ((first, second), [((made, other),), ((other, made),)]),
    ]
    opened = []
    numbers = itertools.count(step=AGENTS)
    for nodes, places in arranged:
        with step(console, f"{len(places) * load.SENDERS // 2} visitors and their agents come in"):
            halls = [await _hall(next(numbers), there) for there in places]
        opened.append((servers.Together(nodes), halls, list[float]()))
    for number in range(1, extent.rounds + 1):
        with step(console, f"round {number} of {extent.rounds}: one node, then two"):
            samples: list[list[load.Sample]] = [[] for _ in opened]
            for _ in range(extent.turns):
                for turns, (together, halls, _took) in zip(samples, opened, strict=True):
                    turns.append(await load.round_in(together, extent.seconds / extent.turns, *halls))
            for turns, (_nodes, _halls, took) in zip(samples, opened, strict=True):
                took.append(1 / load.together(turns).per_cpu_second)
    for _, halls, _took in opened:
        for hall in halls:
            hall.close()
    return [took for _, _, took in opened]


async def _hall(first: int, places: tuple[tuple[Installation, Installation], ...]) -> Hall:
    """Args: first: number of the first agent."""
    hall, desks = Hall(), [Desk(at) for _, at in places]
    for desk in desks:
        await desk.open(first=first)
    await hall.open(*zip((at for at, _ in places), desks, strict=True))
    return hall


# ── dialogues ───────────────────────────────────────────────────────────────────────────────────────────────


def replayed(console: Console, made: Installation, spoken: list[Dialogue]) -> list[Row]:
    with servers.serve(made) as server:
        with step(console, f"{len(spoken):,} dialogues"):
            counts, canaries = uvloop.run(_replay(made, spoken))
            server.require_alive()
        texts = {turn.text for one in spoken for turn in one.turns}
        long_enough = sum(len(text.encode()) >= scan.SHORTEST for text in texts)
        with step(console, f"looking for {long_enough:,} texts in what is kept, the server running"):
            found = scan.found_in(scan.files(made.folder), texts | set(canaries))
    with step(console, "looking again, the server ended"):
        found = {**scan.found_in(scan.files(made.folder), texts | set(canaries)), **found}
    for path in sorted(set(found.values())):
        console.print(f"[red]texts in clear:[/red] {path}")
    if counts.codes:
        console.print(f"[dim]refused turns, by code: {counts.codes}[/dim]")
    rows = [
        Row("dialogues replayed", len(spoken)),
        Row("turns said in them", counts.said),
        report.none_of("turns lost", counts.lost),
        report.none_of("turns doubled", counts.doubled),
        report.none_of("turns out of order", counts.out_of_order),
        Row("turns held by the gate", counts.held),
        report.none_of("turns held and yet seen by the visitor", counts.seen_though_held),
        Row("turns cleaned by the guard", counts.cleaned),
        Row("turns refused, too long", counts.codes.get("too_long", 0)),
        report.none_of("turns refused for another reason", counts.refused - counts.codes.get("too_long", 0)),
    ]
    if counts.general:
        share = 100 * counts.general_held / counts.general
        rows.append(Row("agents' turns held where every turn is general", share, "%", 1, None, better="under"))
    return [
        *rows,
        report.none_of(f"texts found in clear, of {long_enough:,}", sum(text not in canaries for text in found)),
        report.none_of(f"canaries found in clear, of {len(canaries)}", sum(text in canaries for text in found)),
    ]


async def _replay(made: Installation, spoken: list[Dialogue]) -> tuple[Counts, list[str]]:
    desk = Desk(made)
    await desk.open()
    canaries = await replay.plant(made, desk)
    return await replay.play(made, desk, spoken), canaries
