"""The whole product for a test: the real server, mailbox and airline on real sockets, and people who speak to it.

```python
async def test_it_greets(start: Start) -> None:
    async with start(code_tries=3) as server:              # settings by name; `server: Server` fixture = start()
        dupont = await server.visitor()                    # hello said; nothing exists for him yet
        thread = await dupont.open("Hello")                # the conversation's id
        claire = await server.agent("claire")              # signed in, ticket, hello
        await claire.take(thread)                          # claims and watches
        await claire.do("post", conversation=thread, text="Good morning!")      # waits for the ack
        said = await dupont.event("message", text="Good morning!")              # the next such event
        await server.prove(dupont, thread)                 # the whole check by the mailed code
```

`Client.expect(t, **fields)` takes the first frame that fits, whether it came already or comes within the time, and
leaves the others. `Client.event(kind, **body)` does so for events, live or out of a page. `do` waits for the
acknowledgement and fails on an error; `refused` waits for the error and fails on an acknowledgement. `everything` is
all text that ever came, for "no frame ever held …". Each client checks by itself that the events of a conversation
come without a gap and without doubles.

The data, keys and agents (`AGENTS`) are made once per run and copied for each server. `server.parts` are the live
parts, `server.skip(seconds)` moves the clock on,
`server.rows(sql)` reads the data database beside the server, and `server.change(sql)` tampers with it.
`server.logged` is what the server logged so far; a fault of ours in it (a traceback) fails the test at its end.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import sqlite3
from collections.abc import AsyncIterator
from datetime import date
from pathlib import Path
from typing import Any, Final, Protocol

import httpx2
import pytest
import websockets
from starlette.applications import Starlette

import databases
from aparte import app as server_app
from aparte.actions import people, sites
from aparte.actions.parts import Parts
from aparte.config import Database, Settings
from aparte.demo.airline import CONNECTOR_PATH, Airline, create_airline
from aparte.demo.mailbox import Mailbox
from aparte.demo.sockets import loopback_socket, port_of
from aparte.model import Site
from aparte.store import Store, database_of
from aparte.store import opened as store_opened
from aparte.vault import Vault
from clients import SECONDS, SITE, AgentDesk, Client, Frame, Visitor, new_visitor_token
from faultless import EXPECTED, no_faults
from hurrying import hurried
from listening import serving
from streams import Stream, Way

SECRET: Final = "s" * 40
PASSWORD: Final = "correct horse battery staple"
AGENTS: Final = {  # by first name: role
    "claire": "agent",
    "marc": "agent",
    "odile": "supervisor",
}
BOOKING: Final = "QX7T4P"  # the airline's own, on file for DUPONT
OTHER_BOOKING: Final = "LM2K9R"  # another person's, on file for JANSEN
MAILLESS_BOOKING: Final = "ZW8N3C"  # nothing on file
UNKNOWN_BOOKING: Final = "AA1BB2"
DUPONT: Final = "m.dupont@example.org"
JANSEN: Final = "a.jansen@example.org"


def email_of(name: str) -> str:
    return f"{name}@airline.example"


# ── what servers start from ─────────────────────────────────────────────────────────────────────────────────────


def site(airline_port: int = 9) -> Site:
    """The airline as a site of the chat server."""
    return Site(
        SITE,
        "Air Aparté",
        origins=(f"http://localhost:{airline_port}",),
        desk="Bookings desk",
        desks=(("fr", "Service des réservations"),),
        phone="+31 20 555 0100",
        formats=("XXXXXX",),
        link_hosts=("airline.example",),
        records_url=f"http://127.0.0.1:{airline_port}{CONNECTOR_PATH}",
        records_key="airline-1",
        records_secret=SECRET,
    )


def settings_in(folder: Path, **chosen: Any) -> Settings:
    """Settings with their three places in `folder`, and limits that a fast test does not meet by accident."""
    given: dict[str, Any] = {
        "logins_per_minute": 600,
        "opens_per_minute": 1_000,
        "address_messages_per_10s": 1_000_000,
        "sockets_per_minute": 1_000_000,
        "reads_per_10s": 100_000,
        **databases.urls(folder),
        **chosen,
    }
    return Settings(
        data=folder / "data", keyring=folder / "ring" / "ring.db", root_key=folder / "root" / "key", **given
    )


async def prepare(folder: Path) -> None:
    """Makes data, key ring and root key with one site and the agents, to be copied for each server."""
    settings = settings_in(folder)
    for path in (settings.keyring, settings.root_key):
        path.parent.mkdir(mode=0o700, parents=True)  # an empty folder for the ring, where it is in a database
    async with opened(settings, new=True) as store:
        await sites.add_site(store, site())
        for name, role in AGENTS.items():
            await people.add_agent(store, name.capitalize(), email_of(name), role, PASSWORD)


def opened(settings: Settings, *, new: bool = False) -> contextlib.AbstractAsyncContextManager[Store]:
    """The store alone, without a server."""
    vault = (Vault.create if new else Vault.open)(keyring=settings.ring(), root_key=settings.root_key)
    return store_opened(settings, vault)


# ── the server ──────────────────────────────────────────────────────────────────────────────────────────────────


class Start(Protocol):
    """The `start` fixture: a server with these settings; `again` names the folder of one that has stopped."""

    def __call__(
        self, *, again: Path | None = None, **chosen: Any
    ) -> contextlib.AbstractAsyncContextManager[Server]: ...


@dataclasses.dataclass(eq=False)
class Server:
    """A running server with its mailbox and airline."""

    settings: Settings
    folder: Path
    app: Starlette
    mailbox: Mailbox
    airline: Airline
    airline_url: str
    http: httpx2.AsyncClient
    tracker: Any
    logged: list[Any]
    way: Way = "socket"  # how people speak to it
    clients: list[Client] = dataclasses.field(default_factory=list)

    @property
    def url(self) -> str:
        return self.settings.addressed()[0]

    @property
    def parts(self) -> Parts:
        parts: Parts = self.app.state.parts
        return parts

    @property
    def store(self) -> Store:
        return self.parts.store

    def skip(self, seconds: float) -> None:
        """Moves the store's clock on, and the machine's as the store sees it."""
        wall, self.store._last = self.store.wall, self.store.now() + seconds
        self.store.wall = lambda: wall() + seconds  # type: ignore[method-assign]  # this machine's clock runs ahead

    def asked(self, patch: pytest.MonkeyPatch, word: str) -> list[Any]:
        """Gets what the store is asked from now on by a function of this name."""
        asked: list[Any] = []
        read = self.store.read

        async def counted(query: Any) -> Any:
            asked.append(query) if word in query.__qualname__ else None
            return await read(query)

        patch.setattr(self.store, "read", counted)
        return asked

    def plants_a_fault(self) -> None:
        """Lets this test log a fault: it has planted one."""
        self.logged.append(EXPECTED)

    # ── looking into the database, and tampering with it ────────────────────────────────────────────────────

    def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """What a query beside the server finds in the data database."""
        if isinstance(place := self.settings.database(), Database):
            return databases.rows(place, query, *values)
        with contextlib.closing(sqlite3.connect(database_of(self.settings), timeout=5)) as database:
            return database.execute(query, values).fetchall()

    def change(self, statement: str, *values: object) -> None:
        """Does what somebody with access to the database could do. Fails when no row was touched."""
        if isinstance(place := self.settings.database(), Database):
            assert databases.change(place, statement, *values) > 0, statement
            return
        with contextlib.closing(sqlite3.connect(database_of(self.settings), timeout=5)) as database, database:
            assert database.execute(statement, values).rowcount > 0, statement

    def audited(self, thread: str = "") -> list[str]:
        """The actions in the audit log, in order; with a conversation, its own."""
        where = "WHERE conversation_id = ?" if thread else ""
        return [
            row[0] for row in self.rows(f"SELECT action FROM audit {where} ORDER BY id", *([thread] * bool(thread)))
        ]

    # ── people ──────────────────────────────────────────────────────────────────────────────────────────────

    def agent_id(self, name: str) -> str:
        return next(one.id for one in self.store.directory.agents.values() if one.email == email_of(name))

    async def visitor(self, *, hello: bool = True, address: str = "", **said: Any) -> Visitor:
        """A visitor's socket, from an address as a trusted proxy says it. `said` goes into the hello: token, site, …"""
        socket = await self.socket("visitor", headers={"x-forwarded-for": address} if address else {})
        visitor = Visitor(socket, str(said.pop("token", "") or new_visitor_token()))
        self.clients.append(visitor)
        if hello:
            await visitor.hello(**said)
        return visitor

    async def agent(self, name: str = "claire", **said: Any) -> AgentDesk:
        """Signs in, takes a ticket and says hello; `said` goes into the hello: conversations, epoch."""
        cookie = await self.sign_in(name)
        return await self.agent_again(cookie, **said)

    async def agent_again(self, cookie: str, **said: Any) -> AgentDesk:
        """Another socket of a signed-in agent."""
        ticket = await self.ticket(cookie)
        desk = AgentDesk(await self.socket("agent", cookie=cookie), cookie)
        self.clients.append(desk)
        await desk.hello(ticket=ticket, **said)
        return desk

    async def sign_in(self, name: str = "claire", password: str = PASSWORD) -> str:
        """The agent's cookie, as a browser would send it back."""
        answer = await self.post("/api/login", {"email": email_of(name), "password": password})
        assert answer.status_code == 200, answer.text
        return str(answer.headers["set-cookie"].partition(";")[0])

    async def ticket(self, cookie: str) -> str:
        answer = await self.post("/api/ticket", cookie=cookie)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["ticket"])

    async def post(
        self, path: str, body: object = None, *, cookie: str = "", origin: str | None = "", **headers: str
    ) -> httpx2.Response:
        """An unsafe request. `origin`: the server's own unless given; None: the header is absent."""
        sent = dict(headers)
        if origin is not None:
            sent["origin"] = origin or self.url
        if cookie:
            sent["cookie"] = cookie
        return await self.http.post(path, json=body, headers=sent)

    async def socket(self, kind: str, *, origin: str | None = "", cookie: str = "", url: str = "", **more: Any) -> Any:
        """A bare WebSocket to /ws/visitor or /ws/agent, of this server or of the one at `url`; or what stands for one."""
        headers = {**({"cookie": cookie} if cookie else {}), **more.pop("headers", {})}
        if self.way == "http":
            return Stream(url or self.url, kind, self.url if origin == "" else origin, headers)
        return await websockets.connect(
            f"{(url or self.url).replace('http', 'ws', 1)}/ws/{kind}",
            origin=self.url if origin == "" else origin,  # type: ignore[arg-type]  # a NewType of str
            additional_headers=headers,
            proxy=None,
            close_timeout=1,
            **more,
        )

    async def everybody_leaves(self) -> None:
        """Closes every client's socket; fails when one of them met a gap or a double."""
        for client in self.clients:
            await client.leave()
        self.clients.clear()

    # ── ways that many tests go ─────────────────────────────────────────────────────────────────────────────

    async def meeting(self, text: str = "Hello") -> tuple[Visitor, AgentDesk, str]:
        """A visitor who wrote, an agent who has the conversation open, and its id."""
        visitor, desk = await self.visitor(), await self.agent()
        thread = await visitor.open(text)
        await desk.take(thread)
        await visitor.settle()
        return visitor, desk, thread

    async def code(self, to: str = DUPONT, *, after: int = 0) -> str:
        """The code of the first letter to this address whose number is above `after`."""
        letter = await self.mailbox.wait_for(to, after=after, seconds=SECONDS)
        assert letter.code, letter.text
        return letter.code

    @property
    def letters(self) -> int:
        """How many letters came so far: what `code(after=…)` wants."""
        return self.mailbox.letters[-1].number if self.mailbox.letters else 0

    async def prove(self, visitor: Visitor, thread: str, booking: str = BOOKING, to: str = DUPONT) -> Frame:
        """Asks for a code and types it in; returns the event that says what is proven."""
        before = self.letters
        ack = await visitor.do("start_check", conversation=thread, reference=booking)
        check = (await visitor.expect("event", kind="check", seq=ack["seq"]))["body"]["check"]["id"]
        await visitor.do("code", conversation=thread, check=check, code=await self.code(to, after=before))
        return await visitor.event("standing")


@contextlib.asynccontextmanager
async def running(folder: Path, way: Way = "socket", **chosen: Any) -> AsyncIterator[Server]:
    """A server over the prepared `folder`, with a mailbox and an airline of its own; all end with the block."""
    async with contextlib.AsyncExitStack() as stack:
        stack.enter_context(hurried())
        bound = stack.enter_context(contextlib.closing(loopback_socket(int(chosen.pop("port", 0)))))
        mailbox = Mailbox()
        await mailbox.start()
        stack.push_async_callback(mailbox.stop)
        mail = {
            "smtp_host": "127.0.0.1",
            "smtp_port": mailbox.port,
            "smtp_security": "none",
            "mail_from": "a@b.example",
        }
        settings = settings_in(folder, **{"port": port_of(bound), **mail, **chosen})
        company = create_airline(
            chat_url=settings.addressed()[0], site=SITE, secret=SECRET.encode(), today=date.today(), key_id="airline-1"
        )
        company_side = serving(company, host="localhost")
        airline_url = await company_side.__aenter__()
        logged = stack.enter_context(no_faults())  # only now: making the airline's server sets up logging anew
        tasks: list[asyncio.Task[None]] = []
        stop, ready = asyncio.Event(), asyncio.Event()

        async def end() -> None:
            stop.set()
            # Each server looks only now and then whether it shall end, so they end side by side.
            await asyncio.gather(*tasks, company_side.__aexit__(None, None, None))

        stack.push_async_callback(end)
        app = server_app.create_app(settings)
        tasks.append(
            asyncio.create_task(server_app.serve(app, settings, sockets=[bound], on_ready=ready.set, stop=stop))
        )
        await _until(ready, tasks[0])
        http = await stack.enter_async_context(
            httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port_of(bound)}", verify=False)
        )
        parts: Parts = app.state.parts
        await sites.add_site(parts.store, site(int(airline_url.rpartition(":")[2])))
        server = Server(
            settings, folder, app, mailbox, company.state.airline, airline_url, http, company.state.tracker, logged, way
        )
        stack.push_async_callback(server.everybody_leaves)
        yield server


async def _until(ready: asyncio.Event, task: asyncio.Task[None]) -> None:
    waiting = asyncio.create_task(ready.wait())
    await asyncio.wait({waiting, task}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    if task.done():
        task.result()
        raise AssertionError("the server ended before it was ready")


def starter(template: Path, folder: Path, way: Way = "socket") -> Start:
    """What the `start` fixture gives."""
    number = 0

    def start(*, again: Path | None = None, **chosen: Any) -> contextlib.AbstractAsyncContextManager[Server]:
        nonlocal number
        number += 1
        place = again or folder / f"server-{number}"
        if again is None:
            databases.copied(template, place)
        return running(place, way, **chosen)

    return start
