"""The processes that are measured: an installation of the bench's own, `aparte serve` on it, and the echo beside it.

Knows folders, settings, processes and what Linux tells of them. Must not know what is sent to them.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import http.client
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

from aparte.actions import people, sites
from aparte.backing import ending_with_us
from aparte.config import Settings
from aparte.errors import BadInput, Unavailable
from aparte.model import Site
from aparte.store import Store, opened
from aparte.vault import Vault

SITE: Final = "bench"
AGENTS: Final = 10
PASSWORD: Final = "measured twice, and cut once"  # noqa: S105 - of an installation that lives for one run, on loopback
READY_SECONDS: Final = 60.0
STOP_SECONDS: Final = 40.0
MOST_FILES: Final = 65_536
_TICKS: Final = os.sysconf("SC_CLK_TCK")

# The load is many people behind one address, and each far quicker than a person.
RAISED: Final[dict[str, int]] = {
    "messages_per_10s": 100_000,
    "agent_messages_per_10s": 100_000,
    "address_messages_per_10s": 1_000_000,
    "site_messages_per_10s": 1_000_000,
    "node_messages_per_10s": 1_000_000,
    "opens_per_minute": 100_000,
    "site_opens_per_minute": 100_000,
    "node_opens_per_minute": 100_000,
    "reads_per_10s": 100_000,
    "frames_per_10s": 1_000_000,
    "sockets_per_minute": 1_000_000,
    "sockets_per_address": 20_000,
    "sockets_unauthenticated": 20_000,
    "logins_per_minute": 600,
}


@dataclass(frozen=True, slots=True)
class Installation:
    """The folders of one run, and the port that its server, or one of its servers, listens on."""

    folder: Path
    settings: Settings
    name: str = "serve"  # of this server among those on the same store

    @property
    def port(self) -> int:
        return self.settings.port

    @property
    def origin(self) -> str:
        return self.settings.addressed()[0]

    @property
    def config_file(self) -> Path:
        return self.folder / f"{self.name}.toml"

    @property
    def logs(self) -> Path:
        return self.folder / "logs"

    def opened(self) -> contextlib.AbstractAsyncContextManager[Store]:
        """The store, while no server runs on it."""
        return opened(self.settings, Vault.open(keyring=self.settings.ring(), root_key=self.settings.root_key))


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def make(folder: Path, urls: Mapping[str, str] = MappingProxyType({})) -> Installation:
    """Folders, keys, database, one site and its agents. Raises BadInput when something is in the folder already.

    Args: urls: the settings that lead to PostgreSQL's databases, instead of files in the folder.
    """
    folder = folder.resolve()
    if folder.exists() and any(folder.iterdir()):
        raise BadInput(f"{folder} is not empty. Name a new folder, so that nothing old is mixed with what is measured.")
    for name in ("", "data", "keyring", "key", "logs", "tmp"):
        (folder / name).mkdir(parents=True, exist_ok=True, mode=0o700)
    settings = Settings(
        data=folder / "data",
        keyring=folder / "keyring" / "keyring.db",
        root_key=folder / "key" / "root.key",
        port=free_port(),
        **urls,  # type: ignore[arg-type]  # mypy takes every value of a mapping for every field
        **RAISED,  # type: ignore[arg-type]  # as above
    )
    made = _configured(Installation(folder, settings), urls)
    Vault.create(keyring=settings.ring(), root_key=settings.root_key).close()
    asyncio.run(_people(made))
    return made


def beside(made: Installation, name: str) -> Installation:
    """Another node on the same store, on a port of its own."""
    urls = {"database_url": made.settings.database_url, "keyring_url": made.settings.keyring_url}
    folder = made.folder / name
    folder.mkdir(mode=0o700)
    settings = dataclasses.replace(made.settings, data=folder, port=free_port())
    return _configured(Installation(made.folder, settings, name), urls)


def _configured(made: Installation, urls: Mapping[str, str]) -> Installation:
    settings = made.settings
    texts = {name: str(getattr(settings, name)) for name in ("data", "keyring", "root_key")}
    lines = [f"{name} = {json.dumps(value)}" for name, value in {**texts, **urls}.items()]
    lines += [f"{name} = {value}" for name, value in {"port": settings.port, **RAISED}.items()]
    made.config_file.write_text("\n".join(lines) + "\n", "utf-8")
    return made


async def _people(made: Installation) -> None:
    async with made.opened() as store:
        # A connector is named, so that the gate has something to guard; nobody asks it anything.
        site = Site(
            SITE,
            "Bench",
            origins=(made.origin,),
            desk="Bench desk",
            formats=("XXXXXX",),
            records_url="http://127.0.0.1:9/records",
            records_key="bench",
            records_secret="b" * 40,
        )
        await sites.add_site(store, site)
    await hire(made, range(AGENTS))


async def hire(made: Installation, numbers: Iterable[int]) -> None:
    """Adds agents."""
    async with made.opened() as store:
        for number in numbers:
            await people.add_agent(store, f"Agent {number}", email(number), "agent", PASSWORD)


def email(number: int) -> str:
    return f"agent{number}@bench.example"


# ── processes ───────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(slots=True)
class Running:
    """A server process and what the kernel says of it."""

    process: subprocess.Popen[bytes]
    name: str

    def cpu_seconds(self) -> float:
        """User and system time of all its threads so far, in steps of one tick (0.01 s)."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS

    def resident(self) -> int:
        """Bytes of memory that are its own or shared with others (RSS)."""
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        raise Unavailable(f"The {self.name} process has ended.")

    def handles(self) -> int:
        """Open files, sockets among them."""
        return len(list(Path(f"/proc/{self.process.pid}/fd").iterdir()))

    def threads(self) -> int:
        return len(list(Path(f"/proc/{self.process.pid}/task").iterdir()))

    def require_alive(self) -> None:
        """Raises Unavailable."""
        if self.process.poll() is not None:
            raise Unavailable(f"The {self.name} process ended with status {self.process.returncode}.")


@dataclass(frozen=True, slots=True)
class Together:
    """Several processes, counted as one."""

    all: tuple[Running, ...]
    name: str = "nodes"

    def cpu_seconds(self) -> float:
        return sum(one.cpu_seconds() for one in self.all)

    def require_alive(self) -> None:
        for one in self.all:
            one.require_alive()


@contextlib.contextmanager
def process(name: str, arguments: list[str], logs: Path, temporary: Path) -> Iterator[Running]:
    """A Python process of ours, whose output goes to a file in `logs`; ended in order at the end."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("APARTE_")}
    environment["TMPDIR"] = str(temporary)
    with (logs / f"{name}.log").open("ab") as log:
        started = subprocess.Popen(
            [sys.executable, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=environment,
            cwd=temporary,
            start_new_session=True,  # Ctrl-C reaches the bench, which ends the server in order
        )
        try:
            with ending_with_us(started.pid):
                yield Running(started, name)
        finally:
            started.send_signal(signal.SIGTERM)
            try:
                started.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                started.kill()
                started.wait()


_SERVE: Final = "from aparte.cli import main; main(['serve', '--config', {file!r}])"


@contextlib.contextmanager
def serve(made: Installation) -> Iterator[Running]:
    """`aparte serve` on the installation, ready. Raises Unavailable with the place of its log."""
    with serving(made) as running:
        wait_ready(running, made)
        yield running


@contextlib.contextmanager
def serving(made: Installation) -> Iterator[Running]:
    """`aparte serve`, just started."""
    program = _SERVE.format(file=str(made.config_file))
    with process(made.name, ["-c", program], made.logs, made.folder / "tmp") as running:
        yield running


def wait_ready(running: Running, made: Installation) -> None:
    """Returns at the first 200 on /readyz. Raises Unavailable."""
    until = time.monotonic() + READY_SECONDS
    while time.monotonic() < until:
        if running.process.poll() is not None:
            break
        with contextlib.suppress(OSError, http.client.HTTPException):
            if status_of(made.port, "/readyz") == 200:
                return
        time.sleep(0.003)
    raise Unavailable(f"The server did not become ready. Its log: {made.logs / made.name}.log")


def status_of(port: int, path: str) -> int:
    """The status of a GET. Raises OSError, HTTPException."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    finally:
        connection.close()


@contextlib.contextmanager
def echo(made: Installation) -> Iterator[tuple[Running, int]]:
    """The echo server and its port, ready. Raises Unavailable."""
    port = free_port()
    with process("echo", ["-m", "aparte.bench.echo", str(port)], made.logs, made.folder / "tmp") as running:
        until = time.monotonic() + READY_SECONDS
        while True:
            running.require_alive()
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            if time.monotonic() > until:
                raise Unavailable(f"The echo server did not start. Its log: {made.logs / 'echo.log'}")
            time.sleep(0.01)
        yield running, port


def raise_file_limit() -> int:
    """Lets this process, and the servers that it starts, open as many files as it may. Returns: how many."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_FILES)
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return wanted
