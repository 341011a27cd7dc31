"""`aparte bench`: measures this machine with a server process of its own and prints one table.

Knows the order of the measurements and what each figure must be. Must not know how a socket, a process or a page is
dealt with.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import uvloop
from rich.console import Console
from rich.progress import Progress

from aparte.bench import fan, growth, load, replay, report, scan, servers, weigh
from aparte.bench.replay import Counts, Dialogue
from aparte.bench.report import Row
from aparte.bench.servers import Installation, Running
from aparte.bench.talk import Desk
from aparte.errors import Unavailable

STARTS: Final = 5
MIB: Final = 1 << 20
KB: Final = 1_000
PER_SECOND: Final = 20.0


@dataclass(frozen=True, slots=True)
class Extent:
    """How long each measurement takes. The defaults are what a figure needs to count; a test may ask for less."""

    rounds: int = 3
    seconds: float = 3.0  # of each round, on each of the two servers
    light_seconds: float = 20.0
    idle: int = 5_000  # visitors
    starts: int = STARTS
    readers: int = fan.READERS
    events: int = 50  # said to them in each round
    repeats: int = 60  # of each wait on a short and a long history


def run(
    *,
    dialogues: Path | None = None,
    data: Path | None = None,
    json_file: Path | None = None,
    check: bool = False,
    rounds: int = 3,
    seed: int = 0,
    extent: Extent | None = None,
) -> int:
    """Measures, prints the table, and keeps what it was told to keep.

    Args: dialogues: a file to replay; data: a new folder for data, key ring and logs, kept afterwards; json_file:
    gets the rows; check: whether a missed figure makes the status 1; rounds: of echo and whole path; extent: instead
    of `rounds`; seed: messages of a long history to compare a short one with.
    Returns: the exit status. Raises: BadInput for a file or folder that cannot be used; Unavailable when the server
    under test fails.
    """
    if not Path("/proc/self/stat").exists():
        raise Unavailable("The measurements need Linux: memory and processor time are read from /proc.")
    # Fewer rounds mean that somebody is in a hurry.
    extent = extent or Extent(rounds, idle=5_000 if rounds >= 3 else 1_000)
    console = Console(stderr=True, highlight=False)
    spoken = None if dialogues is None else replay.read(dialogues)
    with _ended_in_order(), _folder(data) as folder:
        made = servers.make(folder)
        rows = _measure(console, made, extent)
        if spoken is not None:
            rows += _replayed(console, made, spoken)
        if seed:
            rows += _grown(console, made.folder / "growth", seed, extent)
        report.show(Console(highlight=False), rows)
        if json_file is not None:
            report.write(json_file, rows)
        if data is not None:
            console.print(f"Kept: {made.folder} (data, keyring, key, logs)")
    missed = report.missed(rows)
    for row in missed:
        console.print(f"[red]missed:[/red] {row.name}")
    return 1 if check and missed else 0


@contextlib.contextmanager
def _ended_in_order() -> Iterator[None]:
    """SIGTERM unwinds as Ctrl-C does, so that no server is left behind."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextlib.contextmanager
def _folder(data: Path | None) -> Iterator[Path]:
    if data is not None:
        yield data
        return
    with tempfile.TemporaryDirectory(prefix="aparte-bench-") as folder:
        yield Path(folder)


@contextlib.contextmanager
def _step(console: Console, what: str) -> Iterator[None]:
    """Shows what is going on, and how long it took."""
    start = time.monotonic()
    with console.status(f"{what} …"):
        yield
    console.print(f"[dim]{what}: {time.monotonic() - start:.0f} s[/dim]")


def _measure(console: Console, made: Installation, extent: Extent) -> list[Row]:
    raised = ", ".join(f"{name} = {value:,}" for name, value in servers.RAISED.items())
    console.print(f"[dim]The server runs with raised limits: {raised}[/dim]")
    files = servers.raise_file_limit()
    idle = min(extent.idle, max(10, files - 500))
    if idle < extent.idle:
        console.print(f"[yellow]Only {files:,} files may be open (ulimit -n): {idle:,} idle visitors instead.[/yellow]")
    rows: list[Row] = []
    with servers.serve(made) as server:
        with servers.echo(made) as (echo, port):
            rows += uvloop.run(_speed(console, made, extent, server, echo, port))
        with _step(console, "sizes as served"):
            rows += _sizes(made)
    with servers.serve(made) as server, _step(console, f"{idle:,} idle visitors"):
        rows += uvloop.run(_memory(made, server, idle))
    with _step(console, f"{extent.starts} starts"):
        rows.append(_starts(made, extent.starts))
    return rows


async def _speed(
    console: Console, made: Installation, extent: Extent, server: Running, echo: Running, port: int
) -> list[Row]:
    desk, hall = Desk(made), load.Hall()
    floors, paths = [], []
    with _step(console, f"{load.SENDERS // 2} visitors and their agents come in"):
        await desk.open()
        await hall.open(made, desk)
    async with load.echo_senders(port) as senders:
        for number in range(1, extent.rounds + 1):
            with _step(console, f"round {number} of {extent.rounds}: echo, then whole path"):
                floors.append(await load.round_of(senders, echo, extent.seconds))
                paths.append(await hall.round(server, extent.seconds))
    with _step(console, f"{PER_SECOND:g} messages per second"):
        took = await hall.trickle(server, per_second=PER_SECOND, seconds=extent.light_seconds)
    hall.close()
    with _step(console, f"one event to {extent.readers:,} readers"):
        fanned = await _fan_out(made, extent, desk, server, echo, port)
    ratios = [path.per_cpu_second / floor.per_cpu_second for path, floor in zip(paths, floors, strict=True)]
    floor = statistics.median(one.per_cpu_second for one in floors)
    path = statistics.median(one.per_cpu_second for one in paths)
    wall = statistics.median(one.per_second for one in paths)
    return [
        Row("echo floor, 100 sockets", floor, "round trips per CPU-second"),
        Row("whole path, 100 senders", path, "messages per CPU-second"),
        Row("whole path against echo, median of the rounds", statistics.median(ratios), "", 0.18, 0.25, better="more"),
        Row("whole path, 100 senders, by the clock", wall, "messages per second"),
        Row("latency at 20 messages per second, p50", _quantile(took, 0.50) * 1e3, "ms", 3, 2, better="less"),
        Row("latency at 20 messages per second, p99", _quantile(took, 0.99) * 1e3, "ms", 8, 5, better="less"),
        *fanned,
    ]


async def _fan_out(
    made: Installation, extent: Extent, desk: Desk, server: Running, echo: Running, port: int
) -> list[Row]:
    crowd, speaker = await fan.floor(port, extent.readers)
    tabs, agent, conversation = await fan.product(made, desk, extent.readers)
    floors, ours = [], []
    try:
        for _ in range(max(3, extent.rounds)):
            floors.append(await fan.at_floor(crowd, speaker, echo, extent.events))
            ours.append(await fan.at_product(tabs, agent, conversation, server, extent.events))
    finally:
        for wire in (*crowd.wires, *tabs.wires, speaker, agent.wire):
            wire.cut()
    ratios = [one.per_cpu_second / floor.per_cpu_second for one, floor in zip(ours, floors, strict=True)]
    name = f"one event to {extent.readers:,} readers"
    return [
        Row(name, statistics.median(one.per_cpu_second for one in ours), "deliveries per CPU-second"),
        Row(f"{name}, against sending in a loop", statistics.median(ratios), "", 0.7, 0.9, better="more"),
    ]


def _quantile(ordered: list[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


async def _memory(made: Installation, server: Running, count: int) -> list[Row]:
    await asyncio.sleep(1.0)
    rest = server.resident()
    wires = await load.idle_visitors(made, count)
    await asyncio.sleep(2.0)
    server.require_alive()
    grown = server.resident() - rest
    gone = sum(one.ended.done() for one in wires)
    for one in wires:
        one.cut()
    if gone:
        raise Unavailable(f"The server ended {gone} of {count} idle sockets while nothing was said.")
    return [
        Row("process at rest", rest / MIB, "MiB", 90, 60, better="less"),
        Row(f"memory per idle visitor, {count:,} of them", grown / count / 1024, "KiB", 48, 36, better="less"),
    ]


def _starts(made: Installation, count: int) -> Row:
    took = []
    for _ in range(count):
        start = time.monotonic()
        with servers.serving(made) as server:
            servers.wait_ready(server, made)
            took.append(time.monotonic() - start)
    return Row(f"start to ready, median of {count}", statistics.median(took), "s", 1.5, 0.8, better="less")


def _sizes(made: Installation) -> list[Row]:
    loader, widget, later, panel = weigh.sizes(made)
    return [
        Row("loader, gzip", loader / KB, "KB", 3, 2, better="less"),
        Row("widget opened, loader included, gzip", widget / KB, "KB", 25, 16, better="less"),
        Row("fetched later, with the first words typed, gzip", later / KB, "KB"),
        Row("panel, gzip", panel / KB, "KB", 60, 45, better="less"),
    ]


# ── a long history ──────────────────────────────────────────────────────────────────────────────────────────


def _grown(console: Console, folder: Path, messages: int, extent: Extent) -> list[Row]:
    small, big = servers.make(folder / "small"), servers.make(folder / "big")
    with _counted(console, f"seeding {messages:,} messages", messages) as progress:
        growth.fill(big, messages, progress)
    with (
        servers.serve(small),
        servers.serve(big),
        _counted(console, "short and long history in turn", extent.repeats) as progress,
    ):
        waits = growth.compare(small, big, extent.repeats, progress)
    rows = []
    for name, (short, long) in waits.items():
        rows.append(Row(f"{name}, store of {messages:,} messages", long * 1e3, "ms"))
        rows.append(Row(f"{name}, against a store of {growth.LONG}", long / short, "times", 2, 1.2, better="less"))
    with _step(console, f"{extent.starts} starts of each"):
        starts = _starts(big, extent.starts)
        short_start = _starts(small, extent.starts).value
    rows.append(Row(f"start to ready, store of {messages:,} messages", starts.value, "s", 1.5, 0.8, better="less"))
    rows.append(
        Row("start to ready, against a short history", starts.value / short_start, "times", 2, 1.2, better="less")
    )
    return rows


@contextlib.contextmanager
def _counted(console: Console, what: str, total: int) -> Iterator[Callable[[int], None]]:
    """Shows how far it has got."""
    start = time.monotonic()
    with Progress(console=console, transient=True) as shown:
        task = shown.add_task(what, total=total)
        yield lambda done: shown.update(task, completed=done)
    console.print(f"[dim]{what}: {time.monotonic() - start:.0f} s[/dim]")


# ── dialogues ───────────────────────────────────────────────────────────────────────────────────────────────


def _replayed(console: Console, made: Installation, spoken: list[Dialogue]) -> list[Row]:
    with servers.serve(made) as server:
        with _step(console, f"{len(spoken):,} dialogues"):
            counts, canaries = uvloop.run(_replay(made, spoken))
            server.require_alive()
        texts = {turn.text for one in spoken for turn in one.turns}
        long_enough = sum(len(text.encode()) >= scan.SHORTEST for text in texts)
        with _step(console, f"looking for {long_enough:,} texts in what is kept, the server running"):
            found = scan.found_in(scan.files(made.folder), texts | set(canaries))
    with _step(console, "looking again, the server ended"):
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
