"""The server as operators run it: `aparte serve` in a process of its own, whose files, log and end a test can watch.

Mailbox and airline stay in the test's process. Everything that the server could leave behind lies in one folder:
data, key ring, root key, temporary files, log.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import httpx2
from starlette.applications import Starlette
from starlette.types import ASGIApp

import databases
from aparte.actions import sites
from aparte.demo.airline import create_airline
from aparte.demo.mailbox import Mailbox
from aparte.demo.sockets import loopback_socket, port_of
from aparte.model import Site
from aparte.store import directory_changed
from aparte.store import sites as site_rows
from commandline import APARTE, clean_environment
from harness import SECRET, SITE, Server, opened, settings_in, site
from listening import serving

START_SECONDS = 60.0  # on a machine that has much else to do


@dataclass(eq=False)
class Outside(Server):
    """As `harness.Server`, without its inner parts: they are another process's."""

    process: subprocess.Popen[bytes] | None = None
    command: Sequence[str] = APARTE
    environ: dict[str, str] = field(default_factory=dict)

    @property
    def log(self) -> Path:
        return self.folder / "logs" / "serve.log"

    @property
    def temporary(self) -> Path:
        return self.folder / "tmp"

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    async def begin(self) -> None:
        """Starts the process and returns when it is ready."""
        self.launch()
        until = time.monotonic() + START_SECONDS
        while True:
            assert self.process is not None
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < until, "not ready in time"
            with contextlib.suppress(httpx2.TransportError):
                if (await self.http.get("/readyz")).status_code == 200:
                    return
            await asyncio.sleep(0.03)

    def launch(self) -> None:
        """Starts the process."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*self.command, "serve"],
                env=clean_environment() | self.environ,
                cwd=self.temporary,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    async def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Ends the process and returns its status."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(number)
        status = await asyncio.to_thread(self.process.wait, 30)
        self.process = None
        self.clients.clear()  # their sockets ended with it
        return status


@contextlib.asynccontextmanager
async def outside(
    template: Path,
    folder: Path,
    *,
    company: Callable[[Starlette], ASGIApp] = lambda app: app,
    sites_too: Sequence[Site] = (),
    starts: bool = True,
    command: Sequence[str] = APARTE,
    **chosen: Any,
) -> AsyncIterator[Outside]:
    """A server process over a copy of the prepared `template` in `folder`.

    Args: company wraps the airline's application; sites_too are added; starts False leaves the first start to the
    test; command is what `serve` is said to; the rest are settings.
    """
    databases.copied(template, folder, apart=True)
    for name in ("logs", "tmp"):
        (folder / name).mkdir()
    async with contextlib.AsyncExitStack() as stack:
        mailbox = Mailbox()
        await mailbox.start()
        stack.push_async_callback(mailbox.stop)
        with contextlib.closing(loopback_socket()) as probe:
            port = port_of(probe)
        values: dict[str, Any] = {
            "port": port,
            "smtp_host": "127.0.0.1",
            "smtp_port": mailbox.port,
            "smtp_security": "none",
            "mail_from": "a@b.example",
            "logins_per_minute": 600,
            "opens_per_minute": 1_000,
            "address_messages_per_10s": 1_000_000,
            "sockets_per_minute": 1_000_000,
            "reads_per_10s": 100_000,
            **chosen,
        }
        settings = settings_in(folder, **values)
        airline = create_airline(
            chat_url=settings.addressed()[0], site=SITE, secret=SECRET.encode(), today=date.today(), key_id="airline-1"
        )
        airline_url = await stack.enter_async_context(serving(company(airline), host="localhost"))
        async with opened(settings) as store:
            for one in (site(int(airline_url.rpartition(":")[2])), *sites_too):
                await sites.add_site(store, one)
        environ = {f"APARTE_{name.upper()}": str(value) for name, value in values.items()} | {
            "APARTE_DATA": str(settings.data),
            "APARTE_KEYRING": str(settings.keyring),
            "APARTE_ROOT_KEY": str(settings.root_key),
            **{f"APARTE_{name.upper()}": url for name, url in databases.urls(folder).items()},
            "TMPDIR": str(folder / "tmp"),
            "PYTHONPATH": os.pathsep.join(_import_path()),
        }
        http = await stack.enter_async_context(httpx2.AsyncClient(base_url=f"http://127.0.0.1:{settings.port}"))
        server = Outside(
            settings=settings,
            folder=folder,
            app=airline,
            mailbox=mailbox,
            airline=airline.state.airline,
            airline_url=airline_url,
            http=http,
            tracker=airline.state.tracker,
            logged=[],
            command=command,
            environ=environ,
        )
        try:
            if starts:
                await server.begin()
            yield server
            if server.process is not None:
                await server.everybody_leaves()
        finally:
            if server.process is not None:
                server.process.kill()
                await asyncio.to_thread(server.process.wait)


def _import_path() -> list[str]:
    """Where this process found the package, for a child that starts in another folder."""
    import aparte

    return [str(Path(aparte.__file__).parent.parent)]


async def company_at(server: Server, port: int) -> None:
    """The company's system answers at another port from now on."""

    def move(tx: Any) -> None:
        site_rows.put_site(tx, site(port))
        directory_changed(tx)

    await server.store.write(move)
    await server.store.refresh()


def airline_port(server: Server) -> int:
    return int(server.airline_url.rpartition(":")[2])


__all__ = ["Outside", "airline_port", "company_at", "outside"]
