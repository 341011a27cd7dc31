"""What every run measures, and what it must be: speed, latency, fan-out, sizes, memory, start.

Knows the rows and their bounds. Must not know how a socket, a process or a page is dealt with.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from typing import Final

import uvloop
from rich.console import Console

from aparte.bench import fan, load, servers, storm, weigh
from aparte.bench.course import Extent, step
from aparte.bench.report import Row, quantile
from aparte.bench.servers import Installation, Running
from aparte.bench.talk import Desk
from aparte.errors import Unavailable

MIB: Final = 1 << 20
KB: Final = 1_000
PER_SECOND: Final = 20.0


def measured(console: Console, made: Installation, extent: Extent) -> list[Row]:
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
        with step(console, "sizes as served"):
            rows += _sizes(made)
    with servers.serve(made) as server, step(console, f"{idle:,} idle visitors"):
        rows += uvloop.run(_memory(made, server, idle))
    with step(console, f"{extent.starts} starts"):
        rows.append(starts(made, extent.starts))
    return rows + _storm(console, made, extent.storm)


def _storm(console: Console, made: Installation, count: int) -> list[Row]:
    absent = asyncio.run(storm.crowd(made, count))
    with servers.serve(made) as server, step(console, f"{count:,} visitors come back at once"):
        came = uvloop.run(storm.come_back(made, server, absent))
    name = f"{count:,} visitors at once after a restart"
    return [
        Row(f"{name}, until all are back", came.seconds, "s", 30, 5, better="less"),
        Row(f"{name}, each", came.cpu_seconds / count * 1e3, "ms of processor time"),
        Row(
            f"{name}, others' messages meanwhile, p99", quantile(came.took, 0.99) * 1e3, "ms", None, 500, better="less"
        ),
    ]


async def _speed(
    console: Console, made: Installation, extent: Extent, server: Running, echo: Running, port: int
) -> list[Row]:
    desk, hall = Desk(made), load.Hall()
    floors, paths = [], []
    with step(console, f"{load.SENDERS // 2} visitors and their agents come in"):
        await desk.open()
        await hall.open((made, desk))
    async with load.echo_senders(port) as senders:
        for number in range(1, extent.rounds + 1):
            with step(console, f"round {number} of {extent.rounds}: echo, then whole path"):
                floor, path = [], []
                for _ in range(extent.turns):
                    floor.append(await load.round_of(senders, echo, extent.seconds / extent.turns))
                    path.append(await load.round_in(server, extent.seconds / extent.turns, hall))
                floors.append(load.together(floor))
                paths.append(load.together(path))
    with step(console, f"{PER_SECOND:g} messages per second"):
        took = await hall.trickle(server, per_second=PER_SECOND, seconds=extent.light_seconds)
    if len(took) < int(PER_SECOND * extent.light_seconds):
        raise Unavailable("Not every message reached the other side.")
    hall.close()
    with step(console, f"one event to {extent.readers:,} readers"):
        fanned = await _fan_out(made, extent, desk, server, echo, port)
    ratios = [path.per_cpu_second / floor.per_cpu_second for path, floor in zip(paths, floors, strict=True)]
    wall = statistics.median(one.per_second for one in paths)
    return [
        Row(
            "echo floor, 100 sockets",
            statistics.median(one.per_cpu_second for one in floors),
            "round trips per CPU-second",
        ),
        Row(
            "whole path, 100 senders", statistics.median(one.per_cpu_second for one in paths), "messages per CPU-second"
        ),
        Row("whole path against echo, median of the rounds", statistics.median(ratios), "", 0.18, 0.25, better="more"),
        Row("whole path, 100 senders, by the clock", wall, "messages per second"),
        Row("latency at 20 messages per second, p50", quantile(took, 0.50) * 1e3, "ms", 3, 2, better="less"),
        Row("latency at 20 messages per second, p99", quantile(took, 0.99) * 1e3, "ms", 8, 5, better="less"),
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


def starts(made: Installation, count: int) -> Row:
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
