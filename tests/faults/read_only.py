"""Files and folders that may not be written: in flight the open files are still the server's; a start is refused.

A mounted file system cannot be made read-only under a process that has files of it open, so that is tried at a start
alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

from attacks.test_outages import BOUND
from commandline import APARTE
from faults import trouble
from faults.crowd import gathered
from faults.lab import Bench, Scenario
from faults.ledger import Verdict
from faults.target import alone


@contextlib.asynccontextmanager
async def read_only_folder(folder: Path) -> AsyncIterator[None]:
    """Neither the folder nor its files may be written."""
    modes = {path: path.stat().st_mode for path in (folder, *folder.iterdir())}
    for path in modes:
        path.chmod(0o500 if path.is_dir() else 0o400)
    try:
        yield
    finally:
        for path, mode in modes.items():
            if path.exists():
                path.chmod(mode)


@contextlib.asynccontextmanager
async def read_only_file_system(folder: Path, verdict: Verdict) -> AsyncIterator[None]:
    """The folder is on a file system that is mounted for reading alone; the folder's own rights where we may not mount."""
    if subprocess.run(["mount", "--bind", folder, folder], capture_output=True, check=False).returncode != 0:
        verdict.told.append("no file system could be mounted here")
        async with read_only_folder(folder):
            yield
        return
    try:
        subprocess.run(["mount", "-o", "remount,ro,bind", folder], check=True)
        yield
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


async def run(bench: Bench, *, with_folder: bool = True) -> Verdict:
    """`with_folder`: a start is tried in a read-only folder too, not only on a read-only file system."""
    verdict = Verdict()
    # Root may write anywhere; the server runs without that right.
    may_bind = (
        subprocess.run([sys.executable, "-c", BOUND, "/bin/true"], capture_output=True, check=False).returncode == 0
    )
    command = (sys.executable, "-c", BOUND, *APARTE) if may_bind else APARTE
    async with alone(bench.template, bench.folder / "server", command=command) as target:
        data = target.server.settings.data
        async with gathered(target, bench.rng) as crowd:
            crowd.talk()
            before = crowd.ledger.acknowledged
            async with read_only_folder(data):
                await asyncio.sleep(1.0)
            if crowd.ledger.acknowledged == before:
                verdict.fail("a read-only folder stopped a server whose files are open")
            await crowd.hush()
            places = [read_only_file_system(data, verdict), *([read_only_folder(data)] if with_folder else [])]
            for place in places:
                crowd.talk()
                await trouble.at_start(target, place, verdict)
                await crowd.hush()
            verdict.add(await crowd.judged())
    return verdict


SCENARIO: Final = Scenario(
    "read-only", "a folder and a file system that may not be written, in flight and at a start", run
)
