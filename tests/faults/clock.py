"""The machine's clock jumps, an hour forward and back, in flight and over a restart.

The store's time must never run backwards, the order of messages is that of their numbers, and nothing that expired comes
to life again. The server's process alone sees the other time: by libfaketime where the machine has it, else by a clock
that its interpreter is given before the program starts.
"""

from __future__ import annotations

import asyncio
import itertools
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from checking import asked
from clients import Visitor
from commandline import APARTE
from faults.crowd import gathered
from faults.lab import Bench, Scenario
from faults.ledger import Verdict
from faults.target import Target, alone

HOUR: Final = 3_600.0
LIBRARIES: Final = ("/usr/lib", "/usr/lib64", "/usr/local/lib")
# The file holds how many seconds the clock is off.
_INSIDE: Final = """
import os, time
real, place = time.time, os.environ["FAULTY_CLOCK"]
def faulty():
    with open(place) as file:
        return real() + float(file.read() or 0)
time.time = faulty
from aparte.cli import main
main(prog_name="aparte")
"""


@dataclass
class Clock:
    """The clock of one server process. `name` says how it is moved."""

    name: str
    place: Path
    command: tuple[str, ...]
    environ: dict[str, str]

    def set(self, seconds: float) -> None:
        """So far from the true time, from now on."""
        fresh = self.place.with_suffix(".new")
        fresh.write_text(f"{seconds:+.0f}\n")
        fresh.replace(self.place)  # whoever reads it meanwhile reads the one or the other


def libfaketime() -> Path | None:
    """The library that Debian's package of this name brings, for programs with threads."""
    found = [path for place in LIBRARIES for path in Path(place).glob("**/libfaketimeMT.so.1")]
    return found[0] if found else None


def clocks(folder: Path) -> list[Clock]:
    """Every way that this machine offers, the plain one last."""
    place = folder / "clock"
    plain = Clock("the interpreter's clock", place, (sys.executable, "-c", _INSIDE), {"FAULTY_CLOCK": str(place)})
    library = libfaketime()
    if library is None:
        return [plain]
    environ = {
        "LD_PRELOAD": str(library),
        "FAKETIME_TIMESTAMP_FILE": str(place),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "DONT_FAKE_MONOTONIC": "1",
    }
    return [Clock("libfaketime", place, APARTE, environ), plain]


async def _now(visitor: Visitor) -> float:
    await visitor.send("ping")
    return float((await visitor.expect("pos"))["now"])


async def try_clock(bench: Bench, clock: Clock, verdict: Verdict) -> None:
    """One server with one such clock: jumps while a crowd talks, then over a restart."""
    clock.set(0)
    folder = bench.folder / f"server {clock.name}".replace(" ", "-").replace("'", "")
    async with alone(bench.template, folder, command=clock.command, starts=False) as target:
        target.server.environ.update(clock.environ)
        await target.start()
        target.server.http.timeout = 10.0
        async with gathered(target, bench.rng) as crowd:
            crowd.talk((0.0, 0.05))
            visitor = await target.server.visitor()
            told = [await _now(visitor)]
            if abs(told[0] - time.time()) > 60:
                verdict.fail(f"the server begins {told[0] - time.time():.0f} s off")
            for jump in (HOUR, -HOUR, 2 * HOUR, -2 * HOUR, 0.0):  # at the end the company believes its clock again
                clock.set(jump)
                await asyncio.sleep(bench.scaled(3.0, 0.4))
                told.append(await _now(visitor))
            await visitor.leave()
            target.server.clients.clear()
            await crowd.hush()
            verdict.add(await crowd.judged())
            if told[1] - told[0] < HOUR:
                verdict.fail("the jump was not seen: the run says nothing")
            await _codes(target, clock, verdict, told)
        for before, after in itertools.pairwise(told):
            if after < before:
                verdict.fail(f"{clock.name}: the store's time went back by {before - after:.1f} s")
        _order(target, verdict)


async def _is_refused(visitor: Visitor, thread: str, check: str, code: str) -> bool:
    answer = await visitor.ask("code", conversation=thread, check=check, code=code)
    return bool(answer["t"] == "error" and answer["code"] == "code_refused")


async def _codes(target: Target, clock: Clock, verdict: Verdict, told: list[float]) -> None:
    """A code that expired by a jump stays expired when the clock goes back, also over a restart of the server."""
    visitor = await target.server.visitor()
    thread = await visitor.open("Hello")
    check, code = await asked(target.server, visitor, thread)
    forward = 5 * HOUR
    clock.set(forward)
    if not await _is_refused(visitor, thread, check, code):
        verdict.fail("a code counts after its time")
    told.append(await _now(visitor))
    clock.set(0)
    if not await _is_refused(visitor, thread, check, code):
        verdict.fail("a code came to life when the clock was set back")
    told.append(await _now(visitor))
    await visitor.leave()
    target.server.clients.clear()
    await target.stop()
    clock.set(-HOUR)
    await target.start()
    back = await target.server.visitor(token=visitor.token)
    told.append(await _now(back))
    if not await _is_refused(back, thread, check, code):
        verdict.fail("a code came to life when the server was restarted with the clock set back")


def _order(target: Target, verdict: Verdict) -> None:
    """In each conversation the times rise with the numbers."""
    wrong = target.server.rows(
        "SELECT COUNT(*) FROM event a JOIN event b ON a.conversation_id = b.conversation_id"
        " AND b.staff_seq = a.staff_seq + 1 WHERE b.at < a.at"
    )
    if wrong != [(0,)]:
        verdict.disorder(f"{wrong[0][0]} events are older than the one before them")


async def run(bench: Bench) -> Verdict:
    verdict = Verdict()
    for clock in clocks(bench.folder):
        bench.say(clock.name)
        await try_clock(bench, clock, verdict)
    verdict.told.append(" and ".join(clock.name for clock in clocks(bench.folder)))
    return verdict


SCENARIO: Final = Scenario("clock", "the machine's clock jumps by hours, in flight and over a restart", run)
