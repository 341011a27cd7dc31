"""Builds the parts and joins them: the one place that does.

Knows every part. Must not hold a rule of conduct.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import os
import secrets
import signal
import socket
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any, Final

import structlog
import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException

from aparte import api, assets, bell, frames, leaving, lines, pages, postgres, ws
from aparte.actions import acts, checks, following, marks, nodes
from aparte.actions.parts import Node, Parts, policy_of
from aparte.actions.rates import ACCOUNT_LOGINS
from aparte.config import Database, Settings, read_secret
from aparte.delivery import Mailer
from aparte.errors import AparteError, BadSetting, NotFound
from aparte.headers import SecurityHeaders
from aparte.hub import Hub
from aparte.identity.life import Life
from aparte.jobs import Jobs
from aparte.limits import Crowd, Places, Window
from aparte.outbox import OutboxWorker
from aparte.records import Records
from aparte.routes import ROUTES, check_routes, route
from aparte.store import Store
from aparte.vault import PasswordGate, Vault

log = structlog.get_logger("aparte.app")
GARBAGE: Final = 20_000  # objects made and not freed since the last look for cycles
END_SECONDS: Final = 25.0  # from the signal to the end of the process, whatever hangs


# ── the application ─────────────────────────────────────────────────────────────────────────────────────────


async def _keep_time(store: Store) -> None:
    """What expired since the jobs last did this stays expired when the next start finds the clock set back."""
    try:
        await store.keep_time()
    except AparteError as error:
        log.warning("app.time_not_kept", code=error.code)  # some seconds are lost, and the end must go on


@contextlib.asynccontextmanager
async def _joined(settings: Settings) -> AsyncIterator[tuple[Parts, list[asyncio.Task[None]]]]:
    """Opens vault and store, starts the background work, ends it all in the opposite order. Gives the work's tasks
    too: none of them ends by itself."""
    async with contextlib.AsyncExitStack() as stack:
        vault = Vault.open(keyring=settings.ring(), root_key=settings.root_key)
        stack.callback(vault.close)
        node = node_of(settings)  # before anything is changed
        store = await Store.open(settings, vault, alone=True)
        stack.push_async_callback(store.close)
        stack.push_async_callback(_keep_time, store)
        passwords = PasswordGate(queue=settings.login_queue)
        stack.callback(passwords.close)
        records = Records(settings)
        stack.push_async_callback(records.close)
        parts = Parts(
            settings=settings,
            store=store,
            hub=Hub(store.directory),
            records=records,
            mailer=Mailer(settings),
            life=Life(settings),
            policy=policy_of(settings),
            passwords=passwords,
            ring=lambda: worker.ring(),  # noqa: PLW0108 - the worker is made below, with these parts
            said=Window(settings.messages_per_10s, 10.0),
            replied=Window(settings.agent_messages_per_10s, 10.0),
            said_from=Window(settings.address_messages_per_10s, 10.0),
            said_at=Crowd(settings.site_messages_per_10s, settings.node_messages_per_10s, 10.0),
            opened=Window(settings.opens_per_minute, 60.0),
            opened_at=Crowd(settings.site_opens_per_minute, settings.node_opens_per_minute, 60.0),
            typed=Window(settings.typing_per_10s, 10.0),
            looked=Window(settings.reads_per_10s, 10.0),
            logins=Window(settings.logins_per_minute, 60.0),
            accounts=Window(settings.logins_per_minute * ACCOUNT_LOGINS, 60.0),
            node=node,
        )
        worker = OutboxWorker(
            store,
            {
                "check.letter": lambda row: checks.look_up(parts, row),
                "letter": lambda row: checks.send_letter(parts, row),
                "act.change": lambda row: acts.carry_out(parts, row),
            },
            trouble=lambda row, error: acts.trouble(parts, row, error),
            failed=lambda row: acts.given_up(parts, row),
            patience=float(settings.code_seconds),
        )
        store.listen(lambda events: following.published(parts, events))
        if node.bell is not None:
            await nodes.look(parts)  # before anybody comes, for whom each open conversation would count as changed
        tasks = [asyncio.create_task(work) for work in (worker.run(), Jobs(parts).run())]
        for task in tasks:
            task.add_done_callback(_died)
        try:
            yield parts, tasks
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await _last_marks(parts)


def node_of(settings: Settings) -> Node:
    """Who this node is, and how it hears the others: on SQLite it is alone. Raises BadSetting without the bell's driver."""
    name = f"{settings.node_name()}-{secrets.token_hex(4)}"  # two on one host are two
    place = settings.database()
    if not isinstance(place, Database):
        return Node(name)
    if settings.bell_url:
        file = settings.bell_password_file
        return Node(name, bell.Bell(name, bell.valkey(settings.bell_url, lambda: read_secret(file) if file else None)))
    return Node(name, bell.Bell(name, bell.postgres(lambda: postgres.conninfo(place))))


async def _last_marks(parts: Parts) -> None:
    """What was read just before the end is kept, and this node's agents are at the desk no longer."""
    try:
        await marks.store(parts)
        if parts.node.bell is not None:
            await nodes.leave(parts)
    except AparteError as error:
        log.warning("app.marks_lost", code=error.code)


def _died(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and task.exception() is not None:
        log.error("app.task_died", error=repr(task.exception()), exc_info=task.exception())


def create_app(settings: Settings) -> Starlette:
    """The ASGI application, which `serve` gives its parts. Raises ws.Unexpected when a route or frame has no declared
    policy."""
    handlers: dict[Any, Any] = {
        NotFound: pages.or_page(api.refused),
        404: pages.or_page(api.http_error),
        AparteError: api.refused,
        HTTPException: api.http_error,
        Exception: api.fault,
    }
    app = Starlette(routes=[route(one) for one in ROUTES], exception_handlers=handlers)
    app.state.assets = assets.load()
    app.state.limits = ws.Limits(Places(settings.sockets_per_address), Window(settings.sockets_per_minute, 60.0))
    app.state.streams = ws.Streams()
    app.state.readiness = pages.Readiness()
    app.state.token = read_secret(settings.metrics_token_file) if settings.metrics_token_file else ""
    app.state.draining = False
    app.router.redirect_slashes = False
    ws.check_declared()
    check_routes(app)
    return app


# ── the server ──────────────────────────────────────────────────────────────────────────────────────────────


class Server(uvicorn.Server):
    """Leaves signals to `run`: the library would end the process by the signal instead of with status 0."""

    @contextlib.contextmanager
    def capture_signals(self) -> Any:
        yield


def server_for(app: Starlette, settings: Settings) -> Server:
    """The configured HTTP and WebSocket server of an application."""
    # Outside of everything, so that the answer to a fault of ours has them too.
    headed = SecurityHeaders(app, secure=settings.addressed()[0].startswith("https://"))
    request, line = lines.protocols(
        connections=lines.room(settings.connections_total),
        request_seconds=settings.request_seconds,
        frames_per_10s=settings.frames_per_10s,
        stalled_seconds=settings.stalled_seconds,
    )
    config = uvicorn.Config(
        headed,
        loop="none",
        http=request,
        ws=line,
        ws_max_size=frames.FRAME_BYTES,
        ws_per_message_deflate=False,
        proxy_headers=False,
        server_header=False,
        date_header=True,
        access_log=False,
        log_config=None,
        timeout_graceful_shutdown=2,  # with the rest of a goodbye within END_SECONDS
        lifespan="off",
    )
    return Server(config)


async def goodbye(app: Starlette) -> None:
    """Readiness off, no new sockets, and everybody moves on or is sent away."""
    app.state.draining = True
    hub: Hub = app.state.parts.hub
    seconds = leaving.seconds_for(hub)
    log.info("app.drain", sockets=len(hub.peers), seconds=seconds)
    await leaving.send_away(hub, seconds)


def _end_hard() -> None:
    log.error("app.end_hard", seconds=END_SECONDS)
    os._exit(1)  # what is committed is safe, and what is not was never acknowledged


def _calm_collector() -> None:
    """What was loaded stays, so the collector need not walk through it again; and a batch of messages makes thousands of
    short-lived objects, which reference counts free. At Python's own threshold this took 6 % of the time under load."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(GARBAGE)


def bind(settings: Settings) -> list[socket.socket]:
    """Sockets at every address of `host` and `port`, which nobody can reach yet.

    Raises: BadSetting when another program listens there, or the address is not this machine's.
    """
    with contextlib.ExitStack() as stack:
        try:
            found = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
            bound = []
            for family, kind, protocol, _, address in dict.fromkeys(found):
                bound.append(one := stack.enter_context(socket.socket(family, kind, protocol)))
                one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # over what an ended server left behind
                if family == socket.AF_INET6:
                    one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)  # the other family has its own
                one.bind(address)
        except OSError as error:
            raise _taken(settings, error) from error
        stack.pop_all()
        return bound


def _taken(settings: Settings, error: OSError) -> BadSetting:
    return BadSetting(
        f"host = {settings.host}, port = {settings.port}: {error.strerror}: end the program that uses it, or set another"
    )


async def run(
    settings: Settings,
    *,
    sockets: list[socket.socket] | None = None,
    on_ready: Callable[[], None] | None = None,
    stop: asyncio.Event | None = None,
) -> None:
    """Serves until SIGTERM, SIGINT or `stop`.

    Args: sockets already bound, instead of host and port; on_ready is called once requests are answered.
    Raises: what `bind`, and opening the vault or the store, raise, before any request is answered; BadSetting when a
        newer version has shut this one out.
    """
    await serve(create_app(settings), settings, sockets=sockets, on_ready=on_ready, stop=stop)


async def serve(
    app: Starlette,
    settings: Settings,
    *,
    sockets: list[socket.socket] | None = None,
    on_ready: Callable[[], None] | None = None,
    stop: asyncio.Event | None = None,
) -> None:
    """As `run`, for an application that the caller has made and wants to keep hold of."""
    bound = sockets or bind(settings)  # first: nothing is to be changed beneath a server that runs
    ending = stop or asyncio.Event()
    hard = threading.Timer(END_SECONDS, _end_hard)  # a thread: the loop itself may be what hangs
    hard.daemon = True

    def end() -> None:
        if stop is None and not ending.is_set():  # the process is ours to end
            hard.start()
        ending.set()

    if stop is None:
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, end)
    try:
        async with _joined(settings) as (parts, tasks):
            app.state.parts, app.state.tasks = parts, tasks
            parts.store.on_outdated = end  # its people go on at the newer nodes
            if not ending.is_set():
                await _answering(app, server_for(app, settings), bound, ending, on_ready)
                end()
        log.info("app.ended")
    except OSError as error:
        if error.errno == errno.EADDRINUSE:  # another was begun at the same time, and listens since
            raise _taken(settings, error) from error
        raise
    finally:
        hard.cancel()
        for one in bound:
            one.close()
    if parts.store.outdated:  # whoever starts it again is told the same
        raise BadSetting(parts.store.outdated)


async def _answering(
    app: Starlette,
    server: Server,
    bound: list[socket.socket],
    ending: asyncio.Event,
    on_ready: Callable[[], None] | None,
) -> None:
    """Answers requests until `ending`, and says goodbye. Raises OSError when another program has come to listen there."""
    for one in bound:
        one.listen(server.config.backlog)  # the loop that we use keeps such an error to itself
    serving = asyncio.create_task(server.serve(bound))
    waiting = asyncio.create_task(ending.wait())
    try:
        while not server.started and not serving.done():  # noqa: ASYNC110 - the library has no event for it
            await asyncio.sleep(0.01)
        _calm_collector()
        if server.started and on_ready is not None:
            on_ready()
        await asyncio.wait({serving, waiting}, return_when=asyncio.FIRST_COMPLETED)
        await goodbye(app)
    finally:
        server.should_exit = True
        waiting.cancel()
        await serving
