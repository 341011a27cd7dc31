"""The two sockets: size, rate, decode, hand to a verb, answer.

Every frame that may come in has a row in `VISITOR` or `AGENT` with who may send it and what it counts against;
a frame without a row fails at start. Knows the wire. Must not hold a rule of conduct.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, Final, Literal, get_args

import structlog
from sqlalchemy import Connection
from starlette.types import Receive, Scope, Send

from aparte import auth, frames
from aparte.actions import acts, checks, door, inbox, marks, messages, reading, threads
from aparte.actions.messages import Written
from aparte.actions.parts import Parts
from aparte.errors import AparteError, BadFrame, BadInput, BadOrigin, NotFound, NotSignedIn, TooMany
from aparte.hub import Peer
from aparte.limits import Places, Window
from aparte.model import AgentCaller, Site, VisitorCaller

log = structlog.get_logger("aparte.ws")
CLOSE_LIMIT: Final = 4429
CLOSE_HELLO: Final = 4408  # no valid hello in time
CLOSE_BUSY: Final = 1013


class Unexpected(RuntimeError):
    """A frame type has no row, or a row has no frame type. Raised at start."""


@dataclass(slots=True)
class Limits:
    """What all sockets of one server share."""

    addresses: Places
    waiting: int = 0  # sockets that have not said hello
    total: int = 0


@dataclass(slots=True)
class Socket:
    """One connection: its peer, and what the handlers need to know."""

    parts: Parts
    peer: Peer
    address: str
    browser: str
    rate: Window
    site: Site | None = None
    token: str = ""
    lang: Literal["en", "fr"] = "en"
    last_typing: float = 0.0
    tasks: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def visitor(self) -> VisitorCaller:
        """Raises NotFound before the first message has made a visitor."""
        if not isinstance(self.peer.caller, VisitorCaller):
            raise NotFound()
        return self.peer.caller

    @property
    def agent(self) -> AgentCaller:
        if not isinstance(self.peer.caller, AgentCaller):
            raise NotSignedIn()
        return self.peer.caller

    def require_watched(self, conversation: str) -> None:
        """Watching is what passing the door leaves behind. Raises NotFound."""
        if conversation not in self.peer.watched:
            raise NotFound()

    def acknowledge(self, cid: str, written: Written) -> None:
        self.peer.say(frames.Ack(cid, written.conversation, written.seq, written.at, written.held))

    def refuse(self, error: AparteError, *, cid: str = "", conversation: str = "") -> None:
        wait = error.retry_after or 0.0
        self.peer.say(frames.Error(error.code, str(error), cid, conversation, wait))


Handler = Callable[[Socket, Any], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Rule:
    """`counts`: what the frame counts against besides the socket's own rate. `aside`: runs beside the next frames,
    since it waits for another system."""

    run: Handler
    counts: Literal["said", "replied", "opened", "frames"] = "frames"
    aside: bool = False


# ── visitor ─────────────────────────────────────────────────────────────────────────────────────────────────


async def _open(socket: Socket, frame: frames.Open) -> None:
    assert socket.site is not None
    opening = threads.Opening(
        frame.cid, frame.text, frame.name, frame.page, frame.title, socket.browser[:300], socket.lang
    )
    opened = await threads.open_thread(socket.parts, socket.site.id, socket.token, opening)
    socket.peer.caller = opened.caller
    thread = opened.written.conversation

    def view(connection: Connection) -> frames.VisitorView:
        return reading.visitor_view(socket.parts, connection, door.see(connection, opened.caller, thread))

    socket.peer.say(frames.Opened(frame.cid, await socket.parts.store.read(view)))
    await reading.follow(socket.parts, socket.peer, thread, 0, socket.parts.store.epoch)


async def _say(socket: Socket, frame: frames.Post) -> None:
    written = await messages.post(socket.parts, socket.visitor, frame.conversation, frame.cid, frame.text)
    socket.acknowledge(frame.cid, written)


async def _visitor_types(socket: Socket, frame: frames.Typing) -> None:
    socket.require_watched(frame.conversation)
    socket.parts.hub.tell(frame.conversation, frames.SomeoneTypes(frame.conversation, "visitor"), staff=True)


async def _mark(socket: Socket, frame: frames.Mark) -> None:
    socket.require_watched(frame.conversation)
    marks.note(socket.parts, socket.peer, frame)


async def _history(socket: Socket, frame: frames.History) -> None:
    socket.peer.say(await reading.history(socket.parts, socket.peer, frame.conversation, frame.before))


async def _resync(socket: Socket, frame: frames.Resync) -> None:
    socket.require_watched(frame.conversation)
    epoch = socket.parts.store.epoch
    await reading.follow(socket.parts, socket.peer, frame.conversation, frame.last_seq, epoch)


async def _start_check(socket: Socket, frame: frames.StartCheck) -> None:
    written = await checks.start(socket.parts, socket.visitor, frame.conversation, frame.reference)
    socket.acknowledge(frame.cid, written)


async def _code(socket: Socket, frame: frames.Code) -> None:
    written, token = await checks.answer(socket.parts, socket.visitor, frame.conversation, frame.check, frame.code)
    socket.acknowledge(frame.cid, written)
    socket.peer.say(frames.NewToken(token))


async def _resend(socket: Socket, frame: frames.Resend) -> None:
    socket.acknowledge(frame.cid, await checks.resend(socket.parts, socket.visitor, frame.conversation, frame.check))


async def _end(socket: Socket, frame: frames.End) -> None:
    socket.acknowledge(frame.cid, await threads.close(socket.parts, socket.visitor, frame.conversation))


async def _token_kept(socket: Socket, _frame: frames.TokenKept) -> None:
    await threads.keep_token(socket.parts, socket.visitor)


async def _ping(socket: Socket, _frame: frames.Ping) -> None:
    positions = {thread: watch.sent for thread, watch in socket.peer.watched.items()}
    socket.peer.say(frames.Pos(socket.parts.store.now(), positions), lasting=False)


async def _again(_socket: Socket, _frame: Any) -> None:
    raise BadFrame("Hello was said already.")


VISITOR: Final[dict[type, Rule]] = {
    frames.VisitorHello: Rule(_again),
    frames.Open: Rule(_open, counts="opened"),
    frames.Post: Rule(_say, counts="said"),
    frames.Typing: Rule(_visitor_types),
    frames.Mark: Rule(_mark),
    frames.History: Rule(_history),
    frames.Resync: Rule(_resync),
    frames.StartCheck: Rule(_start_check, counts="said"),
    frames.Code: Rule(_code, counts="said"),
    frames.Resend: Rule(_resend, counts="said"),
    frames.End: Rule(_end, counts="said"),
    frames.TokenKept: Rule(_token_kept),
    frames.Ping: Rule(_ping),
}


# ── agent ───────────────────────────────────────────────────────────────────────────────────────────────────


async def _watch(socket: Socket, frame: frames.Watch) -> None:
    if len(socket.peer.watched) >= frames.MAX_WATCHED and frame.conversation not in socket.peer.watched:
        raise TooMany("Too many conversations are open on this screen. Close some tabs.")
    epoch = socket.parts.store.epoch
    await reading.follow(socket.parts, socket.peer, frame.conversation, frame.last_seq, epoch)


async def _unwatch(socket: Socket, frame: frames.Unwatch) -> None:
    socket.parts.hub.unwatch(socket.peer, frame.conversation)


async def _claim(socket: Socket, frame: frames.Claim) -> None:
    socket.acknowledge(frame.cid, await threads.claim(socket.parts, socket.agent, frame.conversation))


async def _reply(socket: Socket, frame: frames.Post) -> None:
    written = await messages.post(socket.parts, socket.agent, frame.conversation, frame.cid, frame.text)
    socket.acknowledge(frame.cid, written)


async def _note(socket: Socket, frame: frames.Note) -> None:
    written = await messages.note(socket.parts, socket.agent, frame.conversation, frame.cid, frame.text)
    socket.acknowledge(frame.cid, written)


async def _transfer(socket: Socket, frame: frames.Transfer) -> None:
    written = await threads.transfer(socket.parts, socket.agent, frame.conversation, frame.agent)
    socket.acknowledge(frame.cid, written)


async def _close(socket: Socket, frame: frames.Close) -> None:
    socket.acknowledge(frame.cid, await threads.close(socket.parts, socket.agent, frame.conversation))


async def _agent_types(socket: Socket, frame: frames.Typing) -> None:
    socket.require_watched(frame.conversation)
    socket.parts.hub.tell(frame.conversation, frames.SomeoneTypes(frame.conversation, "staff"), staff=False)


async def _ask_check(socket: Socket, frame: frames.AskCheck) -> None:
    written = await checks.ask(socket.parts, socket.agent, frame.conversation, frame.reference)
    socket.acknowledge(frame.cid, written)


async def _drop_held(socket: Socket, frame: frames.DropHeld) -> None:
    written = await messages.drop_held(socket.parts, socket.agent, frame.conversation, frame.held)
    socket.acknowledge(frame.cid, written)


async def _override(socket: Socket, frame: frames.Override) -> None:
    written = await messages.override(socket.parts, socket.agent, frame.conversation, frame.held, frame.reason)
    socket.acknowledge(frame.cid, written)


async def _show_record(socket: Socket, frame: frames.ShowRecord) -> None:
    socket.peer.say(await acts.show_record(socket.parts, socket.agent, frame.cid, frame.conversation))


async def _change(socket: Socket, frame: frames.Change) -> None:
    written = await acts.change(socket.parts, socket.agent, frame.cid, frame.conversation, frame.option)
    socket.acknowledge(frame.cid, written)


async def _unfreeze(socket: Socket, frame: frames.Unfreeze) -> None:
    socket.acknowledge(frame.cid, await threads.unfreeze(socket.parts, socket.agent, frame.conversation))


AGENT: Final[dict[type, Rule]] = {
    frames.AgentHello: Rule(_again),
    frames.Watch: Rule(_watch),
    frames.Unwatch: Rule(_unwatch),
    frames.Claim: Rule(_claim, counts="replied"),
    frames.Post: Rule(_reply, counts="replied"),
    frames.Note: Rule(_note, counts="replied"),
    frames.Transfer: Rule(_transfer, counts="replied"),
    frames.Close: Rule(_close, counts="replied"),
    frames.Typing: Rule(_agent_types),
    frames.Mark: Rule(_mark),
    frames.History: Rule(_history),
    frames.Resync: Rule(_resync),
    frames.AskCheck: Rule(_ask_check, counts="replied"),
    frames.DropHeld: Rule(_drop_held, counts="replied"),
    frames.Override: Rule(_override, counts="replied"),
    frames.ShowRecord: Rule(_show_record, counts="replied", aside=True),
    frames.Change: Rule(_change, counts="replied"),
    frames.Unfreeze: Rule(_unfreeze, counts="replied"),
    frames.Ping: Rule(_ping),
}


def check_declared() -> None:
    """Raises Unexpected when a frame may come in without a rule, or a rule has no frame."""
    for table, union in ((VISITOR, frames.FromVisitor), (AGENT, frames.FromAgent)):
        if set(table) != set(get_args(union)):
            raise Unexpected(f"frames without a rule: {set(table) ^ set(get_args(union))}")


# ── the connection ──────────────────────────────────────────────────────────────────────────────────────────


class SocketEndpoint:
    """An ASGI application for one kind of caller. `parts` and `limits` hang on the Starlette application."""

    def __init__(self, kind: Literal["visitor", "agent"]) -> None:
        self._kind = kind

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        parts: Parts = scope["app"].state.parts
        limits: Limits = scope["app"].state.limits
        headers = auth.headers_of(scope)
        address = auth.address_of(scope, headers, parts.settings.trusted_proxies)
        caller: AgentCaller | None = None
        await receive()  # websocket.connect
        try:
            if self._kind == "agent":
                auth.require_origin(headers, auth.panel_origin(parts.settings))
                caller = await auth.agent_of(parts, headers)
            else:
                auth.require_origin(headers, auth.chat_origin(parts.settings))
        except (BadOrigin, NotSignedIn):
            await send({"type": "websocket.close", "code": 4403})  # before the handshake ends: HTTP 403
            return
        settings = parts.settings
        if limits.total >= settings.sockets_total or limits.waiting >= settings.sockets_unauthenticated:
            await send({"type": "websocket.close", "code": CLOSE_BUSY})
            return
        if not limits.addresses.enter(address):
            await send({"type": "websocket.close", "code": CLOSE_LIMIT})
            return
        limits.total += 1
        try:
            await send({"type": "websocket.accept"})
            socket = _socket(parts, scope, send, address, headers)
            await _serve(socket, limits, receive, caller)
        finally:
            limits.total -= 1
            limits.addresses.leave(address)


def _socket(parts: Parts, scope: Scope, send: Send, address: str, headers: auth.Headers) -> Socket:
    settings = parts.settings

    async def write(data: str) -> None:
        await send({"type": "websocket.send", "text": data})

    async def close(code: int) -> None:
        await send({"type": "websocket.close", "code": code})

    peer = Peer(
        write,
        close,
        scope.get("aparte.abort", _nothing),
        settings.outbox_events,
        settings.outbox_bytes,
        settings.stalled_seconds,
    )
    return Socket(parts, peer, address, headers.get("user-agent", ""), Window(settings.frames_per_10s, 10.0))


def _nothing() -> None:
    """Where the server cannot cut a connection, its own time-outs do."""


async def _serve(socket: Socket, limits: Limits, receive: Receive, caller: AgentCaller | None) -> None:
    parts, peer = socket.parts, socket.peer
    writer = asyncio.create_task(_write(peer))
    try:
        limits.waiting += 1
        try:
            is_in = await _hello(socket, receive, caller)
        finally:
            limits.waiting -= 1
        if is_in:
            await _listen(socket, receive)
    finally:
        parts.hub.leave(peer)
        for task in socket.tasks:
            task.cancel()
        if peer.ending is None:
            writer.cancel()
        await asyncio.gather(writer, *socket.tasks, return_exceptions=True)


async def _write(peer: Peer) -> None:
    try:
        await peer.write()
    except Exception as error:  # noqa: BLE001 - the peer went away in mid-send: its reader ends the socket
        log.debug("ws.gone", error=type(error).__name__)
        peer.end(CLOSE_BUSY)


async def _next(receive: Receive) -> str | bytes | None:
    """The next frame's data; None when the connection is over."""
    message = await receive()
    if message["type"] != "websocket.receive":
        return None
    data: str | bytes | None = message.get("text")
    return data if data is not None else message.get("bytes", b"")


async def _hello(socket: Socket, receive: Receive, caller: AgentCaller | None) -> bool:
    parts, peer = socket.parts, socket.peer
    try:
        async with asyncio.timeout(parts.settings.hello_seconds):
            data = await _next(receive)
    except TimeoutError:
        peer.end(CLOSE_HELLO)
        return False
    if data is None:
        return False
    try:
        if not isinstance(data, str):
            raise BadFrame("Frames are text.")
        if caller is not None:
            await _agent_hello(socket, caller, data)
        else:
            await _visitor_hello(socket, data)
    except AparteError as error:
        socket.refuse(error)
        peer.end(error.close)
        return False
    return True


async def _agent_hello(socket: Socket, caller: AgentCaller, data: str) -> None:
    hello = frames.decode_agent(data)
    if not isinstance(hello, frames.AgentHello) or hello.v != frames.VERSION:
        raise BadFrame("The first frame is a hello of version 1.")
    auth.require_ticket(socket.parts, caller, hello.ticket)
    parts, peer = socket.parts, socket.peer
    peer.caller = caller
    parts.hub.peers.add(peer)
    await auth.keep_alive(parts, caller)
    lines = await inbox.lines(parts, caller)
    peer.shown.update(line.id for line in lines)
    peer.say(await reading.agent_welcome(parts, caller, lines))
    for thread, last_seq in hello.conversations.items():
        try:
            await reading.follow(parts, peer, thread, last_seq, hello.epoch)
        except NotFound as error:
            socket.refuse(error, conversation=thread)


async def _visitor_hello(socket: Socket, data: str) -> None:
    hello = frames.decode_visitor(data)
    if not isinstance(hello, frames.VisitorHello) or hello.v != frames.VERSION:
        raise BadFrame("The first frame is a hello of version 1.")
    parts, peer = socket.parts, socket.peer
    site = parts.store.directory.sites.get(hello.site)
    if site is None:
        raise NotFound("This chat does not exist.")
    socket.site, socket.token, socket.lang = site, hello.token, hello.lang
    found = await auth.visitor_of(parts, site.id, hello.token)
    peer.caller = found[0] if found else None
    parts.hub.peers.add(peer)
    welcome = await reading.visitor_welcome(parts, site, found[0] if found else None)
    peer.say(welcome)
    if found and found[1] == "next":
        await threads.keep_token(parts, found[0])
    elif found and found[1] == "old":
        peer.say(frames.NewToken(await threads.renew_token(parts, found[0])))
    if found and welcome.conversation:
        same = hello.conversation == welcome.conversation.id
        last_seq = hello.last_seq if same else 0
        await reading.follow(parts, peer, welcome.conversation.id, last_seq, hello.epoch)


async def _listen(socket: Socket, receive: Receive) -> None:
    parts, peer = socket.parts, socket.peer
    is_agent = isinstance(peer.caller, AgentCaller)
    decode = frames.decode_agent if is_agent else frames.decode_visitor
    table = AGENT if is_agent else VISITOR
    while peer.ending is None:
        data = await _next(receive)
        if data is None:
            return
        if socket.rate.take("", time.monotonic()) is not None:
            socket.refuse(TooMany(retry_after=10.0))
            peer.end(CLOSE_LIMIT)
            return
        cid = ""
        try:
            if not isinstance(data, str):
                raise BadFrame("Frames are text.")
            frame = decode(data)
            cid = getattr(frame, "cid", "")
            rule = table[type(frame)]
            _count(parts, socket, rule)
            if rule.aside:
                _aside(socket, rule.run(socket, frame), cid)
            else:
                await rule.run(socket, frame)
        except BadInput as error:
            socket.refuse(error, cid=cid or frames.cid_of(data))
        except AparteError as error:
            socket.refuse(error, cid=cid)
        except Exception as error:  # a fault of ours must not end the conversation; the log has it
            log.exception("ws.fault", error=type(error).__name__)
            socket.refuse(AparteError(), cid=cid)


def _aside(socket: Socket, work: Awaitable[None], cid: str) -> None:
    async def run() -> None:
        try:
            await work
        except AparteError as error:
            socket.refuse(error, cid=cid)

    coroutine: Coroutine[Any, Any, None] = run()
    task = asyncio.create_task(coroutine)
    socket.tasks.add(task)
    task.add_done_callback(socket.tasks.discard)


def _count(parts: Parts, socket: Socket, rule: Rule) -> None:
    """Raises TooMany with the time to wait."""
    if rule.counts == "frames":
        return
    caller = socket.peer.caller
    if rule.counts == "replied":
        wait = parts.replied.take(socket.agent.agent.id, time.monotonic())
    else:
        key = caller.visitor if isinstance(caller, VisitorCaller) else f"address {socket.address}"
        wait = parts.said.take(key, time.monotonic())
    if wait is not None:
        raise TooMany(retry_after=wait)
