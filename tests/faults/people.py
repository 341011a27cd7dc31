"""People of the fault laboratory: they keep the client rule of PROTOCOL.md over any network, as the pages do.

An outbox whose wishes keep their `cid` over every retry; one wish under way at a time; resume from the last number;
resync on a gap; a line that is silent is left. What the pages do in seconds they do in tenths, so that a run is short.
Must not know what is done to the network or the server.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import httpx2
import websockets

from clients import SITE, new_cid, new_visitor_token
from faults.ledger import Frame, Kind, Ledger, Shown, Wish, shown
from streams import Stream

OPEN_SECONDS: Final = 4.0  # for handshake and welcome
SILENT_SECONDS: Final = 3.0  # without a word after which a line counts as dead
REQUEST_SECONDS: Final = 1.0  # for one request with frames
RETRY_SECONDS: Final = 2.5  # without an answer after which a wish is said again
DELAYS: Final = (0.05, 0.8)  # seconds before the next try to connect: the first ceiling, and the last
PATIENT: Final = (1.0, 30.0)  # as the pages
RESTART_DELAY: Final = 10.0  # the last ceiling after a restart that was announced
PASSING: Final = frozenset({"too_many", "unavailable", "store_down", "internal"})  # errors after which one tries again
LOST: Final = (OSError, EOFError, TimeoutError, websockets.WebSocketException, httpx2.HTTPError)


@dataclass
class Way:
    """How to get to the server now: asked anew for each connection, so that people can change nodes or networks."""

    address: Callable[[int], tuple[str, int]]  # of a node
    origin: str
    http: httpx2.AsyncClient
    silent_seconds: float = SILENT_SECONDS
    by_requests: bool = False  # server-sent events and POST instead of sockets
    nodes: int = 1
    node: int = 0
    delays: tuple[float, float] = DELAYS

    def turn(self) -> None:
        """To the next node: as behind a proxy, whoever comes back may come to any of them."""
        self.node = (self.node + 1) % self.nodes

    def url(self, scheme: str, path: str) -> str:
        host, port = self.address(self.node)
        return f"{scheme}://{host}:{port}{path}"

    async def post(self, path: str, cookie: str = "", body: object = None) -> httpx2.Response:
        headers = {"origin": self.origin, **({"cookie": cookie} if cookie else {})}
        return await self.http.post(self.url("http", path), json=body, headers=headers)


@dataclass(eq=False)
class Person:
    """Somebody who wants to say things and to see everything, whatever happens to the line."""

    name: str
    way: Way
    ledger: Ledger
    rng: random.Random
    outbox: deque[Wish] = field(default_factory=deque)
    screens: dict[str, list[Shown]] = field(default_factory=dict)
    tops: dict[str, int] = field(default_factory=dict)  # by conversation, the last number applied
    epoch: str = ""
    connections: int = 0
    resyncs: int = 0
    refused: list[Frame] = field(default_factory=list)  # errors that are final
    passing: Counter[str] = field(default_factory=Counter)  # errors after which the wish was said again, by code
    is_online: bool = False
    clock: float = 0.0  # the server's, as last told
    clock_faults: list[str] = field(default_factory=list)
    arrived: dict[str, float] = field(default_factory=dict)  # by event, when it first stood on a screen
    online_at: float = 0.0  # when the server last welcomed this person
    drains: int = 0

    def __post_init__(self) -> None:
        self._news = asyncio.Event()  # something to send, or an answer
        self._heard = 0.0
        self._answer: Frame | None = None
        self._task: asyncio.Task[None] | None = None
        self._socket: Any = None
        self._drained = asyncio.Event()
        self._drain = 0.0  # seconds over which a server that restarts wants its people spread
        self._has_left = False

    # ── what the laboratory asks of a person ──────────────────────────────────────────────────────────────────

    def start(self) -> None:
        self._task = asyncio.create_task(self._live(), name=self.name)

    async def leave(self) -> None:
        """Raises what went wrong inside, if anything did."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            if not self._task.cancelled() and (error := self._task.exception()) is not None:
                raise error
            self._task = None

    def check(self) -> None:
        """Raises what ended this person's life before its time."""
        if self._task is not None and self._task.done() and not self._task.cancelled():
            self._task.result()

    def say(self, text: str, *, thread: str = "", kind: Kind = "message") -> Wish:
        """Puts it into the outbox."""
        wish = self.ledger.wish(self.name, new_cid(), kind, text, thread)
        self.outbox.append(wish)
        self._news.set()
        return wish

    def has(self, thread: str, seq: int) -> bool:
        return self.tops.get(thread, 0) >= seq

    # ── the line ──────────────────────────────────────────────────────────────────────────────────────────────

    async def _live(self) -> None:
        tries = 0
        while True:
            try:
                await self._converse()
                tries = 0
            except LOST:
                tries = 0 if self.is_online else tries + 1
            has_left, self._has_left = self._has_left, False
            self.is_online = False
            self.way.turn()
            if not has_left:  # who has left of his own has waited for his moment
                first, most = self.way.delays
                most = min(most, RESTART_DELAY) if self._drain else most
                await asyncio.sleep(self.rng.uniform(0, max(self._drain, min(most, first * 2 ** min(tries, 10)))))

    async def _converse(self) -> None:
        """One connection, from hello to its end. Raises what `LOST` names."""
        self._heard = time.monotonic()
        async with asyncio.timeout(max(OPEN_SECONDS, self.way.silent_seconds / 4)):
            socket = self._socket = await self._connect()
        self._drained = asyncio.Event()
        work = [asyncio.create_task(step(socket)) for step in (self._read, self._speak, self._watch, self._obey)]
        try:
            done, _ = await asyncio.wait(work, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in work:
                task.cancel()
            await asyncio.gather(*work, return_exceptions=True)
            socket.transport.abort()

    async def _connect(self) -> Any:
        raise NotImplementedError

    async def _open(self, kind: str, **headers: str) -> Any:
        self.connections += 1
        if self.way.by_requests:
            way = self.way
            return Stream(way.url("http", ""), kind, way.origin, headers, http=way.http, seconds=REQUEST_SECONDS)
        return await websockets.connect(
            self.way.url("ws", f"/ws/{kind}"),
            origin=self.way.origin,  # type: ignore[arg-type]  # a NewType of str
            additional_headers=headers,
            proxy=None,
            compression=None,
            ping_interval=None,
            open_timeout=None,
            close_timeout=0.2,
        )

    async def _send(self, socket: Any, t: str, **fields: Any) -> None:
        await socket.send(json.dumps({"t": t, **fields}))

    async def _watch(self, socket: Any) -> None:
        """Leaves a line that has died without a word."""
        while time.monotonic() - self._heard < self.way.silent_seconds:
            await asyncio.sleep(self.way.silent_seconds / 5)
            if self.is_online:
                await self._send(socket, "ping")
        raise TimeoutError

    async def _obey(self, _socket: Any) -> None:
        """Leaves a server that restarts, at some moment of the time that it gives."""
        await self._drained.wait()
        await asyncio.sleep(self.rng.uniform(0, self._drain))
        self._has_left = True

    async def _read(self, socket: Any) -> None:
        async for data in socket:
            self._heard = time.monotonic()
            await self._take(socket, json.loads(data))

    async def _speak(self, socket: Any) -> None:
        """The outbox, one wish at a time, each until it is answered."""
        while True:
            if not self.is_online or not self.outbox:
                self._news.clear()
                if self.is_online and self.outbox:
                    continue
                await self._news.wait()
                continue
            wish = self.outbox[0]
            self._answer = None
            await self._say(socket, wish)
            until = time.monotonic() + max(RETRY_SECONDS, self.way.silent_seconds / 4)
            while self.outbox and self.outbox[0] is wish and self._answer is None:
                self._news.clear()
                try:
                    async with asyncio.timeout(until - time.monotonic()):
                        await self._news.wait()
                except TimeoutError:
                    break  # said again, under the same cid
            if self._answer is not None:
                self.passing[self._answer["code"]] += 1
                await asyncio.sleep(min(0.2, self._answer.get("retry_after") or 0.2))

    async def _say(self, socket: Any, wish: Wish) -> None:
        t = "note" if wish.kind == "note" else "post"
        await self._send(socket, t, cid=wish.cid, conversation=wish.thread, text=wish.text)

    # ── what comes ────────────────────────────────────────────────────────────────────────────────────────────

    async def _take(self, socket: Any, frame: Frame) -> None:
        kind = frame["t"]
        if "now" in frame:
            self._tell_time(frame["now"])
        if kind == "event":
            await self._event(socket, frame)
        elif kind == "events" and not frame.get("older"):
            for item in frame["items"]:
                await self._event(socket, item)
        elif kind == "reset":
            self.epoch = frame["epoch"]
            if not frame.get("resumed"):
                self.screens[frame["conversation"]] = []
                self.tops.pop(frame["conversation"], None)
        elif kind == "ack":
            self._acknowledged(frame["cid"], frame["seq"])
        elif kind == "error":
            self._error(frame)
        elif kind == "pos":
            for thread, top in frame.get("positions", {}).items():
                if thread in self.tops and top > self.tops[thread]:
                    await self._resync(socket, thread)
        elif kind == "drain":
            self.drains += 1
            self._drain = frame["after"]
            self._drained.set()
        else:
            await self._other(socket, frame)

    async def _other(self, socket: Any, frame: Frame) -> None:
        """What only visitors or only agents hear."""

    def _is_welcome(self) -> None:
        self.is_online, self.online_at, self._drain = True, time.monotonic(), 0.0
        self._news.set()

    async def _event(self, socket: Any, event: Frame) -> None:
        thread, seq = event["conversation"], event["seq"]
        top = self.tops.get(thread)
        if top is not None and seq <= top:
            return
        if top is not None and seq != top + 1:
            await self._resync(socket, thread)
            return
        self.tops[thread] = seq
        self.screens.setdefault(thread, []).append(shown(event))
        self.arrived.setdefault(event["id"], time.monotonic())
        if event.get("cid"):
            self._acknowledged(event["cid"], None)

    def _tell_time(self, now: float) -> None:
        """The server's clock never goes back; but two frames may have read it in another order than they came in."""
        if now < self.clock - 1.0:
            self.clock_faults.append(f"{self.name}: the server's clock went back by {self.clock - now:.3f} s")
        self.clock = max(now, self.clock)

    async def _resync(self, socket: Any, thread: str) -> None:
        self.resyncs += 1
        await self._send(socket, "resync", conversation=thread, last_seq=self.tops.get(thread, 0))

    def _acknowledged(self, cid: str, seq: int | None) -> None:
        """Shown as sent: by the answer, or since it came back as an event."""
        if self.outbox and self.outbox[0].cid == cid:
            wish = self.outbox.popleft()
        else:
            found = self.ledger.by_cid.get(cid)
            if found is None or found.who != self.name:
                return
            wish = found
        wish.is_acknowledged = True
        wish.seq = seq if seq is not None else wish.seq
        self._news.set()

    def _error(self, frame: Frame) -> None:
        if frame["code"] in PASSING or frame.get("retry_after"):
            self._answer = frame
        else:
            self.refused.append(frame)
            if self.outbox and self.outbox[0].cid == frame.get("cid"):
                self.outbox.popleft()
        self._news.set()


@dataclass(eq=False)
class Guest(Person):
    """A visitor of the company's website. Has one conversation, made by the first message."""

    token: str = field(default_factory=new_visitor_token)
    thread: str = ""

    async def _connect(self) -> Any:
        socket = await self._open("visitor")
        held = {"conversation": self.thread, "last_seq": self.tops.get(self.thread, 0)} if self.thread else {}
        await self._send(socket, "hello", v=1, site=SITE, token=self.token, epoch=self.epoch, **held)
        return socket

    async def _say(self, socket: Any, wish: Wish) -> None:
        if self.thread:
            wish.thread = self.thread
            await super()._say(socket, wish)
        else:
            await self._send(socket, "open", cid=wish.cid, text=wish.text)

    async def _other(self, socket: Any, frame: Frame) -> None:
        if frame["t"] == "welcome":
            if frame.get("conversation"):
                self._is_in(frame["conversation"]["id"])
            self.epoch = self.epoch or frame["epoch"]
            self._is_welcome()
        elif frame["t"] == "opened":
            self._is_in(frame["conversation"]["id"])
            self._acknowledged(frame["cid"], None)

    def _is_in(self, thread: str) -> None:
        if self.thread and self.thread != thread:
            self.refused.append({"code": f"a second conversation: {thread} after {self.thread}"})
        self.thread = thread
        for wish in self.ledger.wishes:
            if wish.who == self.name:
                wish.thread = thread


@dataclass(eq=False)
class Colleague(Person):
    """Somebody at the desk, with the panel open on some conversations."""

    cookie: str = ""
    watched: list[str] = field(default_factory=list)
    to_claim: list[str] = field(default_factory=list)
    _named: set[str] = field(default_factory=set)  # in this connection's hello

    async def _connect(self) -> Any:
        answer = await self.way.post("/api/ticket", self.cookie)
        if answer.status_code != 200:
            raise OSError(f"no ticket: {answer.status_code}")
        socket = await self._open("agent", cookie=self.cookie)
        held = {thread: self.tops.get(thread, 0) for thread in self.watched}
        self._named = set(held)
        ticket = answer.json()["ticket"]
        await self._send(socket, "hello", v=1, ticket=ticket, epoch=self.epoch, conversations=held)
        return socket

    async def _other(self, socket: Any, frame: Frame) -> None:
        if frame["t"] == "welcome":
            self.epoch = frame["epoch"]
            self._is_welcome()
            for thread in self.to_claim:
                await self._send(socket, "claim", cid=new_cid(), conversation=thread)
            for thread in [thread for thread in self.watched if thread not in self._named]:
                await self._send(socket, "watch", conversation=thread, last_seq=0)

    async def takes(self, thread: str, *, is_claimed: bool) -> None:
        """Opens a conversation, claimed first or not."""
        self.watched.append(thread)
        if is_claimed:
            self.to_claim.append(thread)
        if self._socket is not None and self.is_online:
            try:
                if is_claimed:
                    await self._send(self._socket, "claim", cid=new_cid(), conversation=thread)
                await self._send(self._socket, "watch", conversation=thread, last_seq=0)
            except LOST:
                pass  # the next hello names it
