"""A disk without room: a small file system filled to the last byte, or files that may not grow where none can be made."""

from __future__ import annotations

import contextlib
import subprocess
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Final

import databases
import harness
from aparte.store import database_of
from attacks.test_outages import fill, forbid_growth
from faults import trouble
from faults.lab import Bench, Scenario
from faults.ledger import Verdict
from faults.target import alone
from pgserver import PostgresServer


@contextlib.contextmanager
def small_disk(place: Path, size: str = "16m") -> Iterator[bool]:
    """A file system of a few megabytes at `place`; False where none can be mounted."""
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={size},mode=777", "none", str(place)]
    is_mounted = subprocess.run(command, capture_output=True, check=False).returncode == 0
    try:
        yield is_mounted
    finally:
        if is_mounted:
            subprocess.run(["umount", "-l", str(place)], check=True)


@contextlib.asynccontextmanager
async def without_room(take: Callable[[], Callable[[], None]]) -> AsyncIterator[None]:
    give = take()
    try:
        yield
    finally:
        give()


async def on_postgres(bench: Bench) -> Verdict:
    """PostgreSQL's own disk, with a server of its own on it. Without room for its log it crashes, and whoever supervises
    it starts it again."""
    verdict = Verdict()
    with tempfile.TemporaryDirectory(prefix="aparte-", dir="/tmp") as short:
        Path(short).chmod(0o755)
        disk = Path(short) / "disk"
        with small_disk(disk, "192m") as is_mounted:
            if not is_mounted:
                verdict.told.append("no file system can be mounted here: not tried")
                return verdict
            with contextlib.closing(PostgresServer(fsync=True, place=disk)) as server, databases.on(server):
                template = bench.folder / "template"
                template.mkdir()
                databases.begin(template)
                await harness.prepare(template)
                async with alone(template, bench.folder / "server") as target:

                    def take() -> Callable[[], None]:
                        make_room = fill(disk)

                        def give() -> None:
                            make_room()
                            server.revive()

                        return give

                    first, second = without_room(take), without_room(take)
                    verdict.add(await trouble.both(bench, target, first, second))
                verdict.told.append(f"PostgreSQL was found ended {server.revived} times")
    return verdict


def _log_elsewhere(logs: Path, place: Path) -> None:
    """What the server says of a full disk needs room itself."""
    place.mkdir()
    logs.rmdir()
    logs.symlink_to(place)


async def run(bench: Bench) -> Verdict:
    if bench.kind == "postgres":
        return await on_postgres(bench)
    disk = bench.folder / "disk"
    with small_disk(disk) as is_mounted:
        async with alone(bench.template, disk / "server", starts=False) as target:
            _log_elsewhere(disk / "server" / "logs", bench.folder / "logs")
            await target.start()
            log = Path(f"{database_of(target.server.settings)}-wal")

            def in_flight() -> Callable[[], None]:
                return fill(disk) if is_mounted else forbid_growth(target.server.pid, log)

            verdict = Verdict()
            if is_mounted:
                verdict.add(
                    await trouble.both(bench, target, without_room(in_flight), without_room(lambda: fill(disk)))
                )
            else:  # a limit on a process cannot be set before it runs
                async with trouble.gathered(target, bench.rng) as crowd:
                    await trouble.in_flight(target, crowd, without_room(in_flight), verdict)
                    verdict.add(await crowd.judged())
            verdict.told.append("a full file system" if is_mounted else "files that may not grow")
            return verdict


SCENARIO: Final = Scenario("full-disk", "no room on the disk, in flight and at a start", run, ("sqlite", "postgres"))
