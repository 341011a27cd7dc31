"""The demo: an airline's own server, a mailbox, the chat server on one node or several, and the story played on them.

Everything listens on loopback only. Knows how the servers find each other. Must not reach into any of them.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Final, get_args

import uvicorn
import uvloop
from rich.console import Console

from aparte import app, postgres
from aparte.actions import people, sites
from aparte.config import Settings, check_places
from aparte.demo import front, several
from aparte.demo.airline import CONNECTOR_PATH, create_airline
from aparte.demo.mailbox import Mailbox, mailbox_app
from aparte.demo.sockets import loopback_socket, port_of
from aparte.errors import BadInput
from aparte.frames import Lang
from aparte.model import Site
from aparte.store import opened
from aparte.vault import Vault

SITE: Final = "air"
STOPPED: Final = 130  # the status of a story that somebody ended
FIRST_PORT: Final = 8600  # chat and panel; the airline's page, the mailbox and several nodes take those after it
AGENTS: Final = (("Claire", "claire@air.example", "agent"), ("Noor", "noor@air.example", "supervisor"))


@dataclass(frozen=True, slots=True)
class Demo:
    """Where everything is, once it runs."""

    customer: str
    panel: str
    mailbox: str
    chat: str
    nodes: tuple[str, ...]  # the addresses of the chat's own servers; of one alone, the chat's
    agents: tuple[tuple[str, str, str], ...]  # e-mail, password, role
    settings: Settings
    letters: Mailbox

    @property
    def folder(self) -> Path:
        """Where all that is kept is, PostgreSQL's files too."""
        return self.settings.data.parent

    def line(self) -> str:
        """The one line of `--json`."""
        return json.dumps(
            {
                "customer": self.customer,
                "panel": self.panel,
                "mailbox": self.mailbox,
                "nodes": self.nodes,
                "agents": [
                    {"email": email, "password": password, "role": role} for email, password, role in self.agents
                ],
                "data": str(self.settings.data),
                "keyring": str(self.settings.keyring),
                "root_key": str(self.settings.root_key),
                "pid": os.getpid(),
            }
        )


def run(*, port: int | None, data: Path | None, as_json: bool, story: bool, nodes: int = 1) -> int:
    """Runs the demo until it is stopped; with `story`, until the story has been played.

    Args: port the first of the ports, 0 for free ones; data a folder to keep everything in, None for a temporary
    one that is removed; nodes how many chat servers: more than one are processes of their own, on PostgreSQL and Valkey.
    Returns the exit status: with `story`, 0 only when every step held.
    """
    folder = data.resolve() if data else None
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_run(port, folder, as_json=as_json, story=story, nodes=nodes))


async def _run(port: int | None, data: Path | None, *, as_json: bool, story: bool, nodes: int) -> int:
    console = Console(stderr=as_json, highlight=False)
    stop = asyncio.Event()
    # SIGHUP: the terminal was closed, and what was started here must not stay behind.
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)

    async def show(folder: Path) -> int:
        async with running(port, folder, nodes=nodes, say=say) as demo:
            if as_json:
                print(demo.line(), flush=True)
            else:
                _tell(console, demo, kept=data is not None)
            await stop.wait()
            return 0

    def say(what: str) -> None:
        console.print(f"[dim]{what}[/dim]", soft_wrap=True)

    with contextlib.ExitStack() as stack:
        folder = _folder(data, stack)
        # Nobody types the story's addresses, so any free ports do.
        work = asyncio.ensure_future(_play(port or 0, folder, console, nodes, say) if story else show(folder))
        stopping = asyncio.ensure_future(stop.wait())
        await asyncio.wait({work, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        work.cancel()  # also while it still starts
        try:
            return await work
        except asyncio.CancelledError:
            return STOPPED if story else 0


def _folder(data: Path | None, stack: contextlib.ExitStack) -> Path:
    """Where everything is kept. A new one lets others pass through to a part of their own, as PostgreSQL's account has
    one when we are root, and read nothing."""
    if data is not None and data.exists():
        return data
    folder = data or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="aparte-")))
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o711)
    return folder


async def _play(port: int, folder: Path, console: Console, nodes: int, say: several.Say) -> int:
    """The story in both languages, each from a fresh start, at which the airline renews its dates."""
    from aparte.demo import story

    for lang in get_args(Lang):
        async with running(port, folder, nodes=nodes, say=say) as demo:
            if not await story.play(demo, console, lang):
                return 1
    console.print("\n[green]Every step held.[/green]")
    return 0


@contextlib.asynccontextmanager
async def running(port: int | None, folder: Path, *, nodes: int, say: several.Say) -> AsyncIterator[Demo]:
    """All servers, from ready to stopped. Raises BadInput when a port is taken, Unavailable when one does not start."""
    async with contextlib.AsyncExitStack() as stack:
        chat_socket, airline_socket, mailbox_socket, *node_sockets = _bind(port, 3 + (nodes if nodes > 1 else 0))
        for bound in (chat_socket, airline_socket, mailbox_socket):
            stack.callback(bound.close)
        chat = f"http://127.0.0.1:{port_of(chat_socket)}"
        # Another host name than the chat's: to a browser, another site.
        airline = f"http://localhost:{port_of(airline_socket)}"
        letters = Mailbox()
        await letters.start()
        stack.push_async_callback(letters.stop)
        settings = settings_for(folder, port=port_of(chat_socket), smtp_port=letters.port)
        if nodes > 1:
            settings = replace(settings, public_url=chat)
            settings = await stack.enter_async_context(several.servers(settings, folder, say))
        agents, secret = await seed(settings, airline=airline)
        company = create_airline(chat_url=chat, site=SITE, secret=secret.encode(), today=date.today())  # noqa: DTZ011 - the traveller's day
        for small, bound in ((company, airline_socket), (mailbox_app(letters), mailbox_socket)):
            await stack.enter_async_context(_beside(small, bound))
        if nodes > 1:
            ports = [port_of(bound) for bound in node_sockets]
            for bound in node_sockets:
                bound.close()  # a node binds its port itself
            serving = await stack.enter_async_context(several.nodes(settings, ports, folder, say))
            await stack.enter_async_context(front.before(chat_socket, ports))
            addresses = tuple(node.url for node in serving)
        else:
            await stack.enter_async_context(_alone(settings, chat_socket))
            addresses = (chat,)
        mailbox = f"http://127.0.0.1:{port_of(mailbox_socket)}"
        yield Demo(airline, f"{chat}/panel", mailbox, chat, addresses, agents, settings, letters)


@contextlib.asynccontextmanager
async def _alone(settings: Settings, bound: socket.socket) -> AsyncIterator[None]:
    """The chat server in this process, from ready to ended."""
    stop, ready = asyncio.Event(), asyncio.Event()
    chatting = asyncio.create_task(app.run(settings, sockets=[bound], on_ready=ready.set, stop=stop))
    try:
        waiting = asyncio.create_task(ready.wait())
        await asyncio.wait({waiting, chatting}, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if chatting.done():
            await chatting
        yield
    finally:
        stop.set()
        await asyncio.gather(chatting, return_exceptions=True)


def _bind(port: int | None, count: int) -> list[socket.socket]:
    first = FIRST_PORT if port is None else port
    bound: list[socket.socket] = []
    try:
        bound.extend(loopback_socket(first and first + offset) for offset in range(count))
    except OSError as error:
        for one in bound:
            one.close()
        raise BadInput(f"One of the ports {first} to {first + count - 1} is taken. Give it others: --port 0") from error
    return bound


@contextlib.asynccontextmanager
async def _beside(application: object, bound: socket.socket) -> AsyncIterator[None]:
    """One of the small servers, in this process."""
    serving = asyncio.create_task(_serve(application, bound))
    try:
        yield
    finally:
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)


async def _serve(application: object, bound: socket.socket) -> None:
    config = uvicorn.Config(
        application,  # type: ignore[arg-type]  # an ASGI application
        loop="none",
        log_config=None,
        access_log=False,
        server_header=False,
        lifespan="off",
        timeout_graceful_shutdown=1,
    )
    server = app.Server(config)
    try:
        await server.serve(sockets=[bound])
    except asyncio.CancelledError:
        server.should_exit = True
        await server.shutdown(sockets=[bound])
        raise


def settings_for(folder: Path, *, port: int, smtp_port: int) -> Settings:
    """The demo's settings: three separate places under `folder`, mail to the demo's mailbox. Raises BadSetting."""
    settings = Settings(
        data=folder / "data",
        keyring=folder / "keyring" / "keyring.db",
        root_key=folder / "root-key" / "demo.key",
        port=port,
        smtp_host="127.0.0.1",
        smtp_port=smtp_port,
        smtp_security="none",
        mail_from="Air Aparté <no-reply@air.example>",
        # For a few people: within the files that every system lets a process open.
        connections_total=700,
        sockets_total=600,
        sockets_per_address=600,
        sockets_per_minute=6_000,
        opens_per_minute=1_000,
        logins_per_minute=100,
    )
    for place in (settings.data, settings.keyring.parent, settings.root_key.parent):
        place.mkdir(parents=True, exist_ok=True, mode=0o700)
    check_places(settings.data, settings.keyring, settings.root_key)
    return settings


async def seed(settings: Settings, *, airline: str) -> tuple[tuple[tuple[str, str, str], ...], str]:
    """Makes the site and the agents unless they are there, with this start's addresses. The agents' passwords and
    the connector's secret come from a key of the ring, so that they stay the same and are written nowhere."""
    make = Vault.open if await asyncio.to_thread(postgres.is_made, settings.ring(), "ring") else Vault.create
    vault = await asyncio.to_thread(lambda: make(keyring=settings.ring(), root_key=settings.root_key))
    async with opened(settings, vault) as store:
        secret = vault.mac("link", "demo", "connector").hex()
        await sites.add_site(
            store,
            Site(
                id=SITE,
                name="Air Aparté",
                origins=(airline,),
                desk="Bookings desk",
                desks=(("fr", "Service réservations"),),
                phone="+31 20 555 0199",
                formats=("XXXXXX",),
                link_hosts=(),
                records_url=f"{airline}{CONNECTOR_PATH}",
                records_key="airline-1",
                records_secret=secret,
            ),
        )
        known = {agent.email for agent in await people.list_agents(store)}
        agents = []
        for name, email, role in AGENTS:
            password = "-".join(_quarters(vault.mac("link", "demo", email).hex()[:16]))
            if email not in known:
                await people.add_agent(store, name, email, role, password)
            agents.append((email, password, role))
    return tuple(agents), secret


def _told_nodes(demo: Demo) -> str:
    if len(demo.nodes) == 1:
        return ""
    nodes = "\n                 ".join(demo.nodes)
    return f"  the nodes      {nodes}       [dim]behind the chat's address[/dim]\n"


def _quarters(text: str) -> list[str]:
    return [text[at : at + 4] for at in range(0, len(text), 4)]


def _tell(console: Console, demo: Demo, *, kept: bool) -> None:
    email, password, _ = demo.agents[0]
    chief, chief_password, _ = demo.agents[1]
    console.print(
        f"""
[bold]Aparté runs, on this machine only.[/bold] Open two windows:

  the customer   {demo.customer}   [dim]in French: {demo.customer}/fr[/dim]
  the agent      {demo.panel}
                 {email}   {password}
                 {chief}     {chief_password}   [dim](supervisor)[/dim]
  the mailbox    {demo.mailbox}       [dim]codes, in the language on file[/dim]
{_told_nodes(demo)}
The story: on the airline's page, ask to move flight booking [bold]QX7T4P[/bold]. In the
panel, claim the conversation, try to talk about the supplement, ask for a
check, unless the customer has begun it; the code is in the mailbox; then show
and change the booking.
Or let it play by itself: python3 server demo --story

{"Everything is kept in " + str(demo.settings.data.parent) if kept else "Nothing is kept after the end."}   Stop with Ctrl-C.
"""
    )
