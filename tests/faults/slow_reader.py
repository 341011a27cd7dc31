"""A client that says hello and then never reads, while everybody else writes to its conversation.

The server's memory stays bounded, the socket is ended, the others notice nothing, and the sleeper resumes whole.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import socket
import time
from pathlib import Path
from typing import Any, Final

import websockets

from clients import SITE, AgentDesk, Visitor, new_cid
from faults.lab import Bench, Scenario
from faults.ledger import Verdict, in_letters, numbered, shown
from faults.target import Target, alone, settled_memory

LONG_SLEEPERS: Final = 20
MESSAGES: Final = 800  # 12 MB to each reader; more than 500, so that those who wake up begin anew
FEW: Final = 400  # still 6 MB: more than outbox and line take together
MOST_GROWTH: Final = 5 << 20  # bytes of the server's memory for each sleeper: outbox, a page, and the line's own buffer
MANY: Final = 100
MOST_P99_OF_MANY: Final = 0.25  # seconds
BUSY: Final = 2.5  # load for each core, before it begins, from which on figures in seconds say nothing
MOST_P99: Final = 2.0  # seconds; a busy machine is not what is tried, a server that waits for a sleeper is


async def _falls_asleep(target: Target, visitor: Visitor, thread: str) -> Any:
    """Another screen of the same customer, on a line whose buffers are as small as they can be."""
    host, port = target.address()
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    raw.setblocking(False)
    await asyncio.get_running_loop().sock_connect(raw, (host, port))
    sleeper = await websockets.connect(
        f"ws://{host}:{port}/ws/visitor",
        sock=raw,
        origin=target.origin,  # type: ignore[arg-type]  # a NewType of str
        compression=None,
        ping_interval=None,
        max_queue=(2, 1),
        close_timeout=0.2,
    )
    hello = {"t": "hello", "v": 1, "site": SITE, "token": visitor.token, "conversation": thread}
    await sleeper.send(json.dumps(hello))
    await sleeper.recv()
    sleeper.transport.pause_reading()
    return sleeper


def _is_ended(target: Target, sleepers: list[Any]) -> bool:
    """Whether the server has let go of every sleeper's connection: it is no longer among those of its process."""
    ports = {one.local_address[1] for one in sleepers}
    held = set()
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        mine, theirs, state, inode = fields[1], fields[2], fields[3], fields[9]
        if int(mine[-4:], 16) == target.address()[1] and int(theirs[-4:], 16) in ports and inode != "0":
            held.add((theirs, state))
    return not held


async def _flood(desk: AgentDesk, thread: str, listener: Visitor, texts: list[str], verdict: Verdict) -> list[float]:
    """Says everything, one after the other; how long each took to the customer who listens."""
    delays = []
    for text in texts:
        began = time.monotonic()
        await desk.do("post", conversation=thread, text=text, cid=new_cid())
        await listener.event("message", text=text, seconds=20)
        listener._waiting.clear()
        listener.raw.clear()
        desk._waiting.clear()
        desk.raw.clear()
        delays.append(time.monotonic() - began)
        verdict.acknowledged += 1
    return delays


async def run(bench: Bench, *, messages: int = MESSAGES) -> Verdict:
    verdict = Verdict()
    count = int(bench.scaled(LONG_SLEEPERS, 3))
    async with alone(bench.template, bench.folder / "server") as target:
        server = target.server
        visitor, desk, thread = await server.meeting("Hello")
        before = await settled_memory(server.pid)
        sleepers = [await _falls_asleep(target, visitor, thread) for _ in range(count)]
        texts = [
            f"{in_letters(number)} ".ljust(4_000, "🙂")  # four bytes each
            for number in range(messages)
        ]
        delays = sorted(await _flood(desk, thread, visitor, texts, verdict))
        p99 = delays[int(len(delays) * 0.99)]
        grown = await settled_memory(server.pid) - before
        until = time.monotonic() + 30
        while not _is_ended(target, sleepers):
            if time.monotonic() > until:
                verdict.fail("a socket whose peer never reads is still there")
                break
            await asyncio.sleep(0.1)
        if p99 > MOST_P99:
            verdict.fail(f"p99 of the others is {p99 * 1000:.0f} ms")
        if grown > count * MOST_GROWTH + (16 << 20):
            verdict.fail(f"the server grew by {grown >> 20} MiB")
        await _wakes_up(target, sleepers, thread, visitor, verdict, texts)
        verdict.told.append(f"{count} sleepers, memory +{grown / (1 << 20):.1f} MiB, p99 {p99 * 1000:.0f} ms")
    return verdict


async def _wakes_up(
    target: Target, sleepers: list[Any], thread: str, visitor: Visitor, verdict: Verdict, texts: list[str]
) -> None:
    """What a sleeper finds in its line is a beginning of the conversation; the rest comes when it resumes."""
    for sleeper in sleepers[:3]:
        sleeper.transport.resume_reading()
        screen = []
        try:
            async with asyncio.timeout(20):
                async for data in sleeper:
                    frame = json.loads(data)
                    items = frame["items"] if frame["t"] == "events" else [frame] if frame["t"] == "event" else []
                    screen += [shown(item) for item in items]
        except websockets.ConnectionClosed:
            pass  # cut, as it must be
        except TimeoutError:
            verdict.fail("a line whose end never reads was not ended")
            return
        top = screen[-1].seq if screen else 0
        again = await target.server.visitor(
            token=visitor.token, conversation=thread, last_seq=top, epoch=visitor.welcome["epoch"]
        )
        while again.tops.get(thread, 0) < visitor.tops[thread]:
            await again.settle()
        if "reset" in again.types():
            screen = []  # more than 500 were missing: it begins anew with the last ones
        screen += [shown(event) for event in again._waiting if event["t"] == "event"]
        numbered("a sleeper that woke up", screen, verdict)
        last = [one.text for one in screen[-50:]]
        if last != texts[-50:]:
            verdict.lose("a sleeper that woke up does not see the last messages")


async def among_many(bench: Bench) -> Verdict:
    """One sleeper among a hundred who chat: what it costs the server, and how long the others wait."""
    verdict = Verdict()
    people, messages = int(bench.scaled(MANY, 20)), int(bench.scaled(FEW, 100))
    is_busy = os.getloadavg()[0] > BUSY * (os.cpu_count() or 1)
    async with alone(bench.template, bench.folder / "server") as target:
        server = target.server
        visitor, desk, thread = await server.meeting("Hello")
        crowd = [(one, await one.open("Hello")) for one in [await server.visitor() for _ in range(people)]]
        delays: list[float] = []
        chatting = [asyncio.create_task(_chat(one, its, delays)) for one, its in crowd]
        texts = [f"{in_letters(number)} ".ljust(4_000, "🙂") for number in range(messages)]
        await _flood(
            desk, thread, visitor, [f"w{text}"[:4_000] for text in texts], verdict
        )  # what grows at first has grown
        await _flood(desk, thread, visitor, [f"x{text}"[:4_000] for text in texts], verdict)
        before = await settled_memory(server.pid)
        delays.clear()
        sleeper = await _falls_asleep(target, visitor, thread)
        await _flood(desk, thread, visitor, texts, verdict)
        p99 = sorted(delays)[int(len(delays) * 0.99)]
        grown = await settled_memory(server.pid) - before
        for task in chatting:
            task.cancel()
        for error in await asyncio.gather(*chatting, return_exceptions=True):
            if not isinstance(error, asyncio.CancelledError):
                verdict.fail(f"somebody could not chat on: {error}")
        if not _is_ended(target, [sleeper]):
            verdict.fail("a socket whose peer never reads is still there")
        if grown > MOST_GROWTH:
            verdict.fail(f"the server grew by {grown >> 20} MiB")
        if p99 > MOST_P99_OF_MANY and not is_busy:
            verdict.fail(f"p99 of the others is {p99 * 1000:.0f} ms")
        verdict.told.append(f"one sleeper, {people} chat: memory {grown / (1 << 20):+.1f} MiB, p99 {p99 * 1000:.0f} ms")
        if is_busy:
            verdict.told.append("on a busy machine")
    return verdict


async def _chat(one: Visitor, thread: str, delays: list[float]) -> None:
    """A message every two seconds or so."""
    while True:
        await asyncio.sleep(random.uniform(1.0, 3.0))
        began = time.monotonic()
        await one.do("post", conversation=thread, text="Is anybody there?", cid=new_cid())
        delays.append(time.monotonic() - began)
        one._waiting.clear()
        one.raw.clear()


AMONG_MANY: Final = Scenario("one-asleep", "one client that never reads, among a hundred who chat", among_many)
SCENARIO: Final = Scenario("slow-reader", "clients that never read, while others write to them", run)
