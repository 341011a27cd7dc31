"""A connection from its handshake to its end: origin, limits, hello, frames, answers.

Knows the order of things on the wire. Must not hold a rule of conduct.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Coroutine
from dataclasses import dataclass
from typing import Any, Final, Literal

from starlette.types import Receive, Scope, Send

from aparte import auth, frames
from aparte.actions import following, inbox, reading, tokens
from aparte.actions.parts import Parts
from aparte.errors import AparteError, BadFrame, BadInput, BadOrigin, NotFound, NotSignedIn, TooMany
from aparte.limits import Places, Window
from aparte.model import AgentCaller, VisitorCaller
from aparte.peers import Line, Peer
from aparte.ws import agent, visitor
from aparte.ws.socket import Rule, Socket

CLOSE_LIMIT: Final = 4429
CLOSE_HELLO: Final = 4408  # no valid hello in time
CLOSE_BUSY: Final = 1013
CLOSE_DENIED: Final = 4403


@dataclass(slots=True)
class Limits:
    """What all sockets of one server share."""

    addresses: Places
    begun: Window  # new sockets per address
    waiting: int = 0  # sockets that have not said hello
    total: int = 0


class SocketEndpoint:
    """An ASGI application for one kind of caller. `parts` and `limits` hang on the Starlette application."""

    def __init__(self, kind: Literal["visitor", "agent"]) -> None:
        self.kind = kind

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        parts: Parts = scope["app"].state.parts
        limits: Limits = scope["app"].state.limits
        headers = auth.headers_of(scope)
        address = auth.address_of(scope, headers, parts.settings)
        settings = parts.settings
        is_agent = self.kind == "agent"
        await receive()  # websocket.connect
        try:
            auth.require_origin(headers, auth.panel_origin(settings) if is_agent else auth.chat_origin(settings))
        except BadOrigin:
            parts.counts.turned_away["origin"] += 1
            await send({"type": "websocket.close", "code": CLOSE_DENIED})  # before the handshake ends: HTTP 403
            return
        is_ending = scope["app"].state.draining
        if is_ending or limits.total >= settings.sockets_total or limits.waiting >= settings.sockets_unauthenticated:
            parts.counts.turned_away["draining" if is_ending else "full"] += 1
            await send({"type": "websocket.close", "code": CLOSE_BUSY})
            return
        if limits.begun.take(address, time.monotonic()) is not None or not limits.addresses.enter(address):
            parts.counts.turned_away["address"] += 1
            await send({"type": "websocket.close", "code": CLOSE_LIMIT})
            return
        limits.total += 1
        try:
            # Only now is the database asked: a forged cookie takes a place as anything else does.
            caller = await auth.agent_of(parts, headers) if is_agent else None
            await send({"type": "websocket.accept"})
            socket = _socket(parts, scope, send, address, headers)
            await _serve(socket, limits, receive, caller)
        except NotSignedIn:
            parts.counts.turned_away["session"] += 1
            await send({"type": "websocket.close", "code": CLOSE_DENIED})
        finally:
            limits.total -= 1
            limits.addresses.leave(address)


def _socket(parts: Parts, scope: Scope, send: Send, address: str, headers: auth.Headers) -> Socket:
    settings = parts.settings

    line: Line = scope["aparte.line"]

    async def close(code: int) -> None:
        await send({"type": "websocket.close", "code": code})

    peer = Peer(
        line,
        close,
        settings.outbox_events,
        settings.outbox_bytes,
        settings.stalled_seconds,
        turn=parts.hub.turn,
    )
    return Socket(parts, peer, address, headers.get("user-agent", ""), Window(settings.frames_per_10s, 10.0))


async def _serve(socket: Socket, limits: Limits, receive: Receive, caller: AgentCaller | None) -> None:
    parts, peer = socket.parts, socket.peer
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
        await asyncio.gather(peer.ended(), *socket.tasks, return_exceptions=True)


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
    parts.counts.received += 1
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
    # Asked again: the handshake may be seconds old. From the join on, `jobs` asks for as long as the socket lives.
    await auth.keep_alive(parts, caller)
    peer.caller = caller
    parts.greeted[peer] = set()
    parts.hub.join(peer)
    try:
        lines = await inbox.lines(parts, caller)
        peer.shown.update(line.id for line in lines)
        peer.say(await reading.agent_welcome(parts, caller, lines))
    finally:
        parts.hub.changed |= parts.greeted.pop(peer)
    for thread, last_seq in hello.conversations.items():
        try:
            await following.follow(parts, peer, thread, last_seq, hello.epoch)
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
    peer.lang = hello.lang
    found = await auth.visitor_of(parts, site.id, hello.token)
    peer.caller = found[0] if found else None
    parts.hub.join(peer)
    welcome = await reading.visitor_welcome(parts, site, found[0] if found else None, hello.lang)
    peer.say(welcome)
    if found and welcome.conversation:
        same = hello.conversation == welcome.conversation.id
        last_seq = hello.last_seq if same else 0
        await following.follow(parts, peer, welcome.conversation.id, last_seq, hello.epoch)
    if found and found[1].came_with == "next":
        await tokens.keep(parts, found[0], peer)
    elif found and found[1].came_with == "old":
        # Asked again: another tab may have kept the newer token since we looked, and before we were among the peers.
        if await auth.visitor_of(parts, site.id, hello.token) is None:
            raise NotSignedIn()
        peer.say(frames.NewToken(tokens.following(parts.store.vault, found[1].id, found[1].current)))


async def _listen(socket: Socket, receive: Receive) -> None:
    ears = _Ears(socket)
    socket.peer.line.on_text = ears.hear_at_once
    try:
        while socket.peer.ending is None:
            data = await _next(receive)
            if data is None or socket.peer.ending is not None:
                return  # who was cut while we waited is heard no more
            ears.is_busy = True
            await ears.hear(data)
            ears.is_busy = False
    finally:
        socket.peer.line.on_text = None


class _Ears:
    """What hears the frames of one socket: one after another, and the most frequent ones without a detour."""

    def __init__(self, socket: Socket) -> None:
        is_agent = isinstance(socket.peer.caller, AgentCaller)
        self.is_busy = False  # with a frame that is waited for
        self._socket = socket
        self._decode = frames.decode_agent if is_agent else frames.decode_visitor
        self._table = agent.RULES if is_agent else visitor.RULES

    def hear_at_once(self, text: str) -> bool:
        """Carries out a frame that needs no waiting, as it comes from the line. False: it is to go the longer way."""
        socket = self._socket
        if self.is_busy or socket.peer.ending is not None:
            return False
        try:
            frame = self._decode(text)
        except BadInput:
            return False  # told there
        rule = self._table[type(frame)]
        if not rule.at_once:
            return False
        if not self._is_too_fast():
            try:
                _count(socket, rule)
                rule.run(socket, frame)
            except Exception as error:  # noqa: BLE001 - told to the person; a fault of ours ends no connection
                socket.fail(error, getattr(frame, "cid", ""))
        return True

    async def hear(self, data: str | bytes) -> None:
        """Carries out a frame."""
        socket, cid = self._socket, ""
        if self._is_too_fast():
            return
        try:
            if not isinstance(data, str):
                raise BadFrame("Frames are text.")
            frame = self._decode(data)
            cid = getattr(frame, "cid", "")
            rule = self._table[type(frame)]
            while wait := _count(socket, rule):
                if rule.counts == "typed":
                    return  # it may drop
                await asyncio.sleep(wait)
            if not rule.at_once:
                await socket.settled()
            waiting = rule.run(socket, frame)
            if waiting is not None and rule.aside:
                _aside(socket, waiting, cid)
            elif waiting is not None:
                await waiting
        except BadInput as error:
            socket.refuse(error, cid=cid or frames.cid_of(data))
        except Exception as error:  # noqa: BLE001 - as above
            socket.fail(error, cid)

    def _is_too_fast(self) -> bool:
        socket = self._socket
        socket.parts.counts.received += 1
        if socket.rate.take("", time.monotonic()) is None:
            return False
        socket.refuse(TooMany(retry_after=10.0))
        socket.peer.end(CLOSE_LIMIT)
        return True


def _aside(socket: Socket, work: Awaitable[None], cid: str) -> None:
    async def run() -> None:
        try:
            await work
        except Exception as error:  # noqa: BLE001 - as above
            socket.fail(error, cid)

    coroutine: Coroutine[Any, Any, None] = run()
    task = asyncio.create_task(coroutine)
    socket.tasks.add(task)
    task.add_done_callback(socket.tasks.discard)


def _count(socket: Socket, rule: Rule) -> float | None:
    """Counts the frame against what its rule says. Raises TooMany with the time to wait; gives it for what need not be
    refused."""
    parts, now = socket.parts, time.monotonic()
    match rule.counts:
        case "frames":
            return None
        case "typed" | "looked":
            window = parts.typed if rule.counts == "typed" else parts.looked
            return window.take(_person(socket), now)
        case "replied":
            wait = parts.replied.take(socket.agent.agent.id, now)
        case _:
            site = socket.site.id if socket.site else ""
            if rule.counts == "said":
                wait = parts.said.take(_person(socket), now)
            else:
                wait = parts.opened.take(socket.address, now) or parts.opened_at.take(site, socket.address, now)
            wait = wait or parts.said_from.take(socket.address, now) or parts.said_at.take(site, socket.address, now)
    if wait is not None:
        raise TooMany(retry_after=wait)
    return None


def _person(socket: Socket) -> str:
    caller = socket.peer.caller
    if isinstance(caller, AgentCaller):
        return caller.agent.id
    return caller.visitor if isinstance(caller, VisitorCaller) else f"address {socket.address}"
