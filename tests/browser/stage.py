"""Where the browser tests play: one browser for all, and the demo as a process of its own.

Knows how to start and end both. The browser keeps storage apart by site, as people's browsers do: Playwright's own
choice of features would switch that off.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import socket
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, Protocol
from urllib.parse import urlsplit

from playwright.async_api import Browser, BrowserContext, Playwright, ViewportSize

from commandline import APARTE, clean_environment
from harness import AGENTS, PASSWORD, Server, email_of
from listening import chromium

Lang = Literal["en", "fr"]
Device = Literal["desktop", "phone"]

MILLISECONDS: Final = 10_000  # how long anything is waited for, on a slow machine
DESKTOP: Final[ViewportSize] = {"width": 1280, "height": 800}
PHONE: Final[ViewportSize] = {"width": 390, "height": 844}
FLAGS: Final = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # The last such flag counts, so this one replaces Playwright's, which names third-party storage partitioning.
    "--disable-features=MediaRouter,OptimizationHints,PaintHolding",
)


async def launch(playwright: Playwright) -> Browser:
    """The browser, with storage partitioned by site."""
    return await playwright.chromium.launch(executable_path=chromium(), args=list(FLAGS))


async def context(browser: Browser, device: Device = "desktop", lang: Lang = "en", **more: Any) -> BrowserContext:
    """A person's browser: nothing in it from before."""
    is_phone = device == "phone"
    made = await browser.new_context(
        **{
            "viewport": PHONE if is_phone else DESKTOP,
            "is_mobile": is_phone,
            "has_touch": is_phone,
            "locale": "fr-FR" if lang == "fr" else "en-GB",
            "reduced_motion": "reduce",
            **more,
        }
    )
    made.set_default_timeout(MILLISECONDS)
    return made


async def until(holds: Callable[[], bool], what: str) -> None:
    """Waits for what Playwright's own expectations cannot look at: frames, and what was heard on the wire."""
    for _ in range(MILLISECONDS // 50):
        if holds():
            return
        await asyncio.sleep(0.05)
    raise AssertionError(f"not within {MILLISECONDS} ms: {what}")


class Place(Protocol):
    """Where people go: a company's page, and the panel with its accounts."""

    @property
    def panel(self) -> str: ...

    def page(self, lang: Lang) -> str: ...

    def agent(self, role: str = "agent") -> tuple[str, str]: ...


@dataclass(frozen=True)
class InProcess:
    """A server of harness.py, with settings of its own, as such a place."""

    server: Server

    @property
    def panel(self) -> str:
        return f"{self.server.url}/panel"

    def page(self, lang: Lang) -> str:
        """The airline's page in one language."""
        return self.server.airline_url + ("/fr" if lang == "fr" else "/")

    def agent(self, role: str = "agent") -> tuple[str, str]:
        """E-mail address and password of the first with this role."""
        name = next(name for name, its in AGENTS.items() if its == role)
        return email_of(name), PASSWORD


@dataclass
class Demo:
    """`aparte demo`, running. Its addresses stay the same when it is killed and started again."""

    folder: Path
    first_port: int
    process: Process | None = None
    line: dict[str, Any] = field(default_factory=dict)

    @property
    def airline(self) -> str:
        return str(self.line["customer"])

    @property
    def chat(self) -> str:
        """The chat server's origin."""
        address = urlsplit(self.line["panel"])
        return f"{address.scheme}://{address.netloc}"

    @property
    def panel(self) -> str:
        return str(self.line["panel"])

    @property
    def mailbox(self) -> str:
        return str(self.line["mailbox"])

    @property
    def origins(self) -> set[str]:
        return {self.airline, self.chat, self.mailbox}

    def page(self, lang: Lang) -> str:
        """The airline's page in one language."""
        return self.airline + ("/fr" if lang == "fr" else "/")

    def agent(self, role: str = "agent") -> tuple[str, str]:
        """E-mail address and password of the agent or the supervisor."""
        found = next(one for one in self.line["agents"] if one["role"] == role)
        return found["email"], found["password"]

    async def start(self) -> None:
        """Runs until it says where everything is."""
        self.process = await asyncio.create_subprocess_exec(
            *APARTE, "demo", "--json", "--port", str(self.first_port), "--data", str(self.folder),
            stdin=DEVNULL, stdout=PIPE, stderr=PIPE, env=clean_environment(),
        )  # fmt: skip
        assert self.process.stdout is not None
        said = await asyncio.wait_for(self.process.stdout.readline(), 30)
        assert said, (await self.process.communicate())[1].decode()
        self.line = json.loads(said)

    async def end(self, how: int = signal.SIGTERM) -> None:
        """Ends it and waits; with SIGKILL nothing of it has a chance to tidy up."""
        assert self.process is not None
        if self.process.returncode is None:
            self.process.send_signal(how)
        await self.process.communicate()


def three_free_ports() -> int:
    """The first of three ports in a row that were free a moment ago."""
    while True:
        with contextlib.ExitStack() as stack:
            first = stack.enter_context(contextlib.closing(socket.socket()))
            first.bind(("127.0.0.1", 0))
            port = first.getsockname()[1]
            try:
                for offset in (1, 2):
                    stack.enter_context(contextlib.closing(socket.socket())).bind(("127.0.0.1", port + offset))
            except (OSError, OverflowError):
                continue
            return int(port)


@contextlib.asynccontextmanager
async def playing(folder: Path) -> AsyncIterator[Demo]:
    """The demo, from ready to stopped."""
    demo = Demo(folder, three_free_ports())
    await demo.start()
    try:
        yield demo
    finally:
        await demo.end()
