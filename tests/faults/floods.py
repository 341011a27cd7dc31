"""Three floods: raw frames of every kind, requests that never end, and log-ins. All the while two people talk.

The server lives, its memory and its sockets stay bounded, and those two notice little.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

from clients import AgentDesk, Visitor, new_cid
from faults import wire
from faults.lab import Bench, Scenario
from faults.ledger import Verdict, in_letters
from faults.slow_reader import BUSY
from faults.target import Target, alone, memory, settled_memory
from faults.trouble import faults_logged, ready
from harness import PASSWORD, email_of

LONG_FRAMES: Final = 1_000_000
AT_ONCE: Final = 12  # connections
BURST: Final = 4_000  # frames on one connection, at most
LONG_HALVES: Final = 2_000
LOGINS: Final = 1_000.0  # a second
LONG_SECONDS: Final = 60.0
MOST_GROWTH: Final = 64 << 20  # bytes of the server's memory
MOST_GROWTH_LOGINS: Final = 160 << 20  # two passwords at 46 MiB each are among them
MOST_P99: Final = 0.5  # seconds
QUIET_SECONDS: Final = 3.0  # of talk before
REAL: Final = {"trusted_proxies": "127.0.0.1", "logins_per_minute": 10}


class Talk:
    """Two people who talk, one message after the other, and look at their pages; how long each step took."""

    def __init__(self, target: Target, visitor: Visitor, desk: AgentDesk, thread: str, verdict: Verdict) -> None:
        self.delays: dict[str, list[float]] = {"chat": [], "panel": []}
        self.quiet: dict[str, float] = {}
        self.is_busy = False
        self._target = target
        self._people = visitor, desk
        self._thread = thread
        self._verdict = verdict

    async def run(self) -> None:
        visitor, desk = self._people
        number = 0
        while True:
            number += 1
            text = f"{in_letters(number)} is said"
            began = time.monotonic()
            await visitor.do("post", conversation=self._thread, text=text, cid=new_cid())
            await desk.event("message", text=text, seconds=20)
            self.delays["chat"].append(time.monotonic() - began)
            began = time.monotonic()
            await desk.do("post", conversation=self._thread, text=f"{text} too", cid=new_cid())
            await visitor.event("message", text=f"{text} too", seconds=20)
            assert (await self._target.server.http.get("/panel")).status_code == 200
            self.delays["panel"].append(time.monotonic() - began)
            self._verdict.acknowledged += 2
            for one in self._people:
                one._waiting.clear()
                one.raw.clear()
            await asyncio.sleep(0.02)

    def begins(self) -> None:
        """What was talked so far was in peace."""
        self.is_busy = os.getloadavg()[0] > BUSY * (os.cpu_count() or 1)
        self.quiet = {name: p99(delays) for name, delays in self.delays.items()}
        for delays in self.delays.values():
            delays.clear()

    def judged(self, verdict: Verdict) -> str:
        """The figures; fails when somebody had to wait."""
        told = []
        for name, delays in self.delays.items():
            if len(delays) < 10:
                verdict.fail(f"{name}: only {len(delays)} steps were possible")
                continue
            quiet, found = self.quiet[name], p99(delays)
            told.append(f"{name} p99 {found * 1000:.0f} ms ({quiet * 1000:.0f} before)")
            if found > MOST_P99 and not self.is_busy:
                verdict.fail(f"{name}: p99 is {found * 1000:.0f} ms, and was {quiet * 1000:.0f}")
        return ", ".join([*told, *["on a busy machine"] * self.is_busy])


def p99(delays: list[float]) -> float:
    return sorted(delays)[int(len(delays) * 0.99)] if delays else 0.0


@contextlib.asynccontextmanager
async def talked_over(
    target: Target, verdict: Verdict, most_growth: int, *, is_timed: bool = True, quiet: float = QUIET_SECONDS
) -> AsyncIterator[None]:
    """Two people talk as long as the block lasts; then the server's memory, sockets, log and readiness are looked at.

    Args: is_timed: how long they waited counts; quiet: seconds that they talk before.
    """
    visitor, desk, thread = await target.server.meeting("Hello")
    talk = Talk(target, visitor, desk, thread, verdict)
    talking = asyncio.create_task(talk.run())
    await asyncio.sleep(quiet)
    talk.begins()
    pid = target.server.pid
    before, sockets = memory(pid), _sockets(pid)
    try:
        yield
        if talking.done():
            verdict.fail(f"they could not talk on: {talking.exception()}")
    finally:
        talking.cancel()
        await asyncio.gather(talking, return_exceptions=True)
    grown = await settled_memory(pid, 1.0) - before
    if grown > most_growth:
        verdict.fail(f"the server grew by {grown >> 20} MiB")
    until = time.monotonic() + 15
    while _sockets(pid) > sockets + 4:
        if time.monotonic() > until:
            verdict.fail(f"{_sockets(pid) - sockets} sockets were left open")
            break
        await asyncio.sleep(0.2)
    verdict.told.append(f"memory +{grown / (1 << 20):.1f} MiB")
    if is_timed:
        verdict.told.append(talk.judged(verdict))
    for sentence in faults_logged(target):
        verdict.fail(sentence)
    if await ready(target) != 200:
        verdict.fail("the server is not ready afterwards")


def _sockets(pid: int) -> int:
    """How many a process has open."""
    found = 0
    for one in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            found += str(one.readlink()).startswith("socket:")
    return found


# ── frames ──────────────────────────────────────────────────────────────────────────────────────────────────────


def _harmless(rng: random.Random) -> list[bytes]:
    """Frames after which a connection goes on: some of each kind, to be thrown about."""
    made = [wire.frame(kind, rng.randbytes(rng.randrange(126))) for kind in (wire.PING, wire.PONG) for _ in range(40)]
    made += [wire.frame(wire.TEXT, wire.ASK)] * 20
    made += [
        wire.frame(wire.TEXT, json.dumps({"t": rng.choice(["ping", "post", "x"]), "x": n}).encode()) for n in range(20)
    ]
    made += [wire.frame(wire.BINARY, rng.randbytes(rng.randrange(2_000))) for _ in range(10)]
    for _ in range(30):  # a message in pieces, with pings between them
        cut = rng.randrange(1, len(wire.ASK))
        pieces = [wire.frame(wire.TEXT, wire.ASK[:cut], fin=False)]
        pieces += [wire.frame(wire.MORE, fin=False)] * rng.randrange(4)
        made.append(b"".join([*pieces, wire.frame(wire.PING), wire.frame(wire.MORE, wire.ASK[cut:])]))
    return made


def _endings(rng: random.Random) -> list[bytes]:
    """What ends a connection, or leaves it half-way."""
    made = [b"".join(case.writes) for case in wire.CASES if case.code is not None]
    made += [wire.frame(wire.TEXT, b"x", bits=rng.randrange(1, 8)) for _ in range(8)]
    made += [wire.frame(wire.MORE, fin=False) * 50, wire.frame(wire.TEXT, b"{", fin=False), b"\x81", rng.randbytes(400)]
    return made


async def _burst(target: Target, rng: random.Random, harmless: list[bytes], endings: list[bytes], most: int) -> int:
    """One connection's life; how many frames it sent."""
    raw = await wire.Raw.greeted(target.server)
    sent, count = 0, rng.randrange(1, most)
    reads = rng.random() < 0.8
    reading = asyncio.create_task(raw.reader.read(-1)) if reads else None
    with contextlib.suppress(ConnectionError, TimeoutError):
        async with asyncio.timeout(20):
            while sent < count and not raw.writer.transport.is_closing() and not raw.reader.at_eof():
                raw.writer.write(b"".join(rng.choices(harmless, k=50)))
                sent += 50
                await raw.writer.drain()
            raw.writer.write(rng.choice(endings))
            sent += 1
            match rng.randrange(3):
                case 0:
                    raw.writer.write_eof()  # half closed: it says no more, and would hear
                    await asyncio.sleep(0.05)
                case 1:
                    raw.writer.transport.abort()
                case _:
                    await raw.writer.drain()
    raw.writer.transport.abort()
    if reading is not None:
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
    return sent


async def frames(bench: Bench, *, count: int = 0, quiet: float = QUIET_SECONDS) -> Verdict:
    """A million of them, from this very process: so it tells nothing of how long anybody waits."""
    verdict = Verdict()
    wanted = count or int(bench.scaled(LONG_FRAMES, 20_000))
    harmless, endings = _harmless(bench.rng), _endings(bench.rng)
    sent = connections = 0

    async def one() -> None:
        nonlocal sent, connections
        rng = random.Random(bench.rng.random())
        while sent < wanted:
            try:
                more = await _burst(target, rng, harmless, endings, min(BURST, wanted // 4))
                sent += more
            except (ConnectionError, asyncio.IncompleteReadError):
                if not target.is_up():
                    raise
            connections += 1

    async def progress() -> None:
        while True:
            await asyncio.sleep(10)
            bench.say(f"{sent:,} frames on {connections:,} connections")

    async with (
        alone(bench.template, bench.folder / "server") as target,
        talked_over(target, verdict, MOST_GROWTH, is_timed=False, quiet=quiet),
    ):
        telling = asyncio.create_task(progress())
        await asyncio.gather(*(one() for _ in range(AT_ONCE)))
        telling.cancel()
    verdict.told.insert(0, f"{sent:,} frames on {connections:,} connections")
    return verdict


# ── requests that never end ─────────────────────────────────────────────────────────────────────────────────────


async def halves(bench: Bench, *, count: int = 0) -> Verdict:
    """More connections than there is room for, each with half a request, and some that drip."""
    verdict = Verdict()
    wanted = count or int(bench.scaled(LONG_HALVES, 200))
    most = wanted // 2
    settings = {
        "connections_total": most,
        "request_seconds": 5.0,
        "sockets_total": most,
        "sockets_unauthenticated": most,
        "sockets_per_address": most,
    }
    writers: list[asyncio.StreamWriter] = []
    async with alone(bench.template, bench.folder / "server", **settings) as target:
        async with talked_over(target, verdict, MOST_GROWTH):
            for number in range(wanted):
                with contextlib.suppress(ConnectionError):
                    _, writer = await asyncio.open_connection(*target.address())
                    writer.write([b"", b"GET /healthz HTTP/1.1\r\nHost: x\r\nX: "][number % 2])
                    writers.append(writer)
            bench.say(f"{len(writers):,} connections with half a request each, and room for {most:,}")
            held = _sockets(target.server.pid)
            if held > most + 300:
                verdict.fail(f"{held} sockets are open, where {most} connections are allowed")
            began = time.monotonic()
            late = await target.server.visitor()
            await late.open("I come late")
            told = f"{wanted:,} halves, {held:,} sockets; who came late spoke after {(time.monotonic() - began) * 1000:.0f} ms"
            for _ in range(20):
                for writer in writers:
                    if not writer.transport.is_closing():
                        writer.write(b"z")
                await asyncio.sleep(0.3)
        if _sockets(target.server.pid) > 100:
            verdict.fail("half a request is waited for without end")
        for writer in writers:
            writer.transport.abort()
    verdict.told.insert(0, told)
    return verdict


# ── log-ins ─────────────────────────────────────────────────────────────────────────────────────────────────────


async def logins(bench: Bench, *, seconds: float = 0.0, per_second: float = LOGINS) -> Verdict:
    """A wrong password again and again, each from an address of its own, while real people sign in."""
    verdict = Verdict()
    lasts = seconds or bench.scaled(LONG_SECONDS, 6)
    async with alone(bench.template, bench.folder / "server", **REAL) as target:
        server = target.server
        known = await _signs_in(target, "claire")
        device = known.headers.get_list("set-cookie")[1].partition(";")[0]
        async with talked_over(target, verdict, MOST_GROWTH_LOGINS):
            command = [sys.executable, "-m", "attacks.flooding", str(target.address()[1]), server.url]
            flood = await asyncio.create_subprocess_exec(*command, str(per_second), str(lasts), stdout=subprocess.PIPE)
            await asyncio.sleep(1.5)
            began = time.monotonic()
            answer = await _signs_in(target, "claire", device)
            waited = time.monotonic() - began
            if answer.status_code != 200 or waited > 5:
                verdict.fail(f"a known browser got {answer.status_code} after {waited:.1f} s")
            tries = 1
            while (await _signs_in(target, "marc", address=f"203.0.113.{tries % 250}")).status_code != 200:
                tries += 1
                if flood.returncode is not None:
                    tries = 0
                    break
                await asyncio.sleep(0.1)
            out, _ = await flood.communicate()
        answers: dict[str, int] = json.loads(out)
        wrong = sum(answers.values())
        if set(answers) - {"401", "429"}:
            verdict.fail(f"the flood was answered with {answers}")
        rate = wrong / lasts
        unknown = f"an unknown one at try {tries}" if tries else "an unknown one not before its end"
        verdict.told.insert(
            0, f"{wrong:,} log-ins, {rate:.0f} a second; a known browser was in after {waited:.1f} s, {unknown}"
        )
        if rate < per_second * 0.5:
            verdict.told.append("the machine could not send more")
    return verdict


async def _signs_in(target: Target, name: str, device: str = "", address: str = "203.0.113.251") -> Any:
    body = {"email": email_of(name), "password": PASSWORD}
    return await target.server.post("/api/login", body, cookie=device, **{"x-forwarded-for": address})


FRAMES: Final = Scenario(
    "frames", "raw frames of every kind: pieces, reserved bits, pings without end, half-closed", frames
)
HALVES: Final = Scenario("half-open", "requests that never end, on more connections than there is room for", halves)
LOG_INS: Final = Scenario("log-ins", "a thousand wrong passwords a second, from everywhere", logins)
