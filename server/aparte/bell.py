"""The bell between nodes: it says that something happened and where, never what was said.

It only hints. A hint that is lost costs seconds, since each node also looks by itself; so nothing waits for the bell, and
a bell that is down stops nobody. Knows its two carriers. Must not know frames, rows or who listens to what.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import Any, Final, Protocol

import msgspec
import structlog

from aparte.errors import BadSetting

CHANNEL: Final = "aparte_bell"
AT_ONCE: Final = 100  # hints in one call: PostgreSQL takes 8,000 bytes, and one hint has at most 60
MOST: Final = 10_000  # hints that wait while the bell is down; what is beyond them is found by looking
BEAT_SECONDS: Final = 3.0  # how often a node rings even with nothing to say, and hears itself
SILENCE_SECONDS: Final = 10.0  # without hearing even itself, it takes the line for dead
AGAIN_SECONDS: Final = 5.0  # between two tries to connect, at most

log = structlog.get_logger("aparte.bell")


class Written(msgspec.Struct, frozen=True, array_like=True, tag="w"):
    """A conversation has got to these numbers of its two streams."""

    conversation: str
    staff_top: int
    visitor_top: int


class Typing(msgspec.Struct, frozen=True, array_like=True, tag="t"):
    """Somebody types: staff, or the visitor."""

    conversation: str
    staff: bool


class Marked(msgspec.Struct, frozen=True, array_like=True, tag="m"):
    """Staff's or the visitor's marks rose: how far, the store says."""

    conversation: str
    staff: bool


class Renewed(msgspec.Struct, frozen=True, array_like=True, tag="r"):
    """A visitor's session has another secret: sockets that came with the one before count no more."""

    session: str


Hint = Written | Typing | Marked | Renewed


class Line(Protocol):
    """An open connection to a carrier."""

    async def send(self, payload: str) -> None:
        """Calls it out to every node, this one included."""

    def hear(self) -> AsyncGenerator[str]:
        """What is called out, until the connection ends. To be closed before it."""


Carrier = Callable[[], contextlib.AbstractAsyncContextManager[Line]]


class _Call(msgspec.Struct, array_like=True):
    node: str
    hints: list[Hint]


_decoder = msgspec.json.Decoder(_Call)


class Bell:
    """One node's end of the bell.

    Args: node: this node's name, unlike any other's; carrier: connects, see `postgres` and `valkey`.
    """

    def __init__(self, node: str, carrier: Carrier) -> None:
        self.is_up = False
        self.lost = 0  # times that the line was, or could not be had at the first try
        self.sent = 0  # hints, and those of other nodes
        self.heard = 0
        self._node = node
        self._carrier = carrier
        self._waiting: dict[Hint, None] = {}
        self._due = asyncio.Event()
        self._heard_at = 0.0

    def ring(self, hint: Hint) -> None:
        """Tells the other nodes. Never waits; while the bell is down, typing is not kept, nor what is too much."""
        if self.is_up or (not isinstance(hint, Typing) and len(self._waiting) < MOST):
            self._waiting[hint] = None
            self._due.set()

    async def run(self, heard: Callable[[Hint], None], connected: Callable[[], None]) -> None:
        """Rings and listens until cancelled, and connects again whenever the line is lost.

        Args: heard: gets each hint of another node; connected: called whenever the line stands (again), since what
        was rung meanwhile is lost.
        """
        tries = 0
        while True:
            try:
                async with self._carrier() as line:
                    tries = 0
                    await self._use(line, heard, connected)
            except Exception as error:  # noqa: BLE001 - whatever the carrier's library raises: the line is lost
                if not tries:  # told once, until it is back
                    self.lost += 1
                    log.warning("bell.lost", error=type(error).__name__)
            finally:
                self.is_up = False
            await asyncio.sleep(random.uniform(0.1, min(AGAIN_SECONDS, 0.25 * 2**tries)))  # noqa: S311 - spread only
            tries = min(tries + 1, 10)

    async def _use(self, line: Line, heard: Callable[[Hint], None], connected: Callable[[], None]) -> None:
        self._heard_at = time.monotonic()
        self.is_up = True
        log.info("bell.connected")
        connected()
        working = [asyncio.ensure_future(work) for work in (self._listen(line, heard), self._send(line))]
        try:
            await asyncio.wait(working, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in working:
                task.cancel()
            ended = await asyncio.gather(*working, return_exceptions=True)
        for error in ended:
            if isinstance(error, Exception):
                raise error
        raise ConnectionError("the line ended")

    async def _listen(self, line: Line, heard: Callable[[Hint], None]) -> None:
        async with contextlib.aclosing(line.hear()) as calls:
            async for payload in calls:
                self._heard_at = time.monotonic()
                try:
                    call = _decoder.decode(payload)
                except (msgspec.MsgspecError, UnicodeError):
                    log.warning("bell.unreadable")  # a newer node, or a stranger on the channel
                    continue
                if call.node != self._node:
                    self.heard += len(call.hints)
                    for hint in call.hints:
                        heard(hint)

    async def _send(self, line: Line) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(BEAT_SECONDS):
                    await self._due.wait()
            self._due.clear()
            if time.monotonic() - self._heard_at > SILENCE_SECONDS:
                raise ConnectionError("nothing is heard, not even this node")
            hints = list(self._waiting)
            self._waiting.clear()
            for start in range(0, max(1, len(hints)), AT_ONCE):
                call = _Call(self._node, hints[start : start + AT_ONCE])
                async with asyncio.timeout(SILENCE_SECONDS):
                    await line.send(msgspec.json.encode(call).decode())
                self.sent += len(call.hints)


async def hears_itself(node: str, carrier: Carrier) -> float:
    """Rings once with nothing to say, on the channel of all nodes, and waits to hear it. Returns: seconds from the one to
    the other. Raises: TimeoutError when it is not heard; what the carrier raises."""
    async with asyncio.timeout(SILENCE_SECONDS), carrier() as line:
        begun = time.monotonic()
        await line.send(msgspec.json.encode(_Call(node, [])).decode())
        async with contextlib.aclosing(line.hear()) as calls:
            async for payload in calls:
                with contextlib.suppress(msgspec.MsgspecError, UnicodeError):  # of somebody else
                    if _decoder.decode(payload).node == node:
                        return time.monotonic() - begun
    raise ConnectionError("the line ended")


# ── carriers ────────────────────────────────────────────────────────────────────────────────────────────────


class _Postgres:
    """NOTIFY on one connection, LISTEN on another: none of them is in a transaction that writes."""

    def __init__(self, speaking: Any, listening: Any) -> None:
        self._speaking = speaking
        self._listening = listening

    async def send(self, payload: str) -> None:
        await self._speaking.execute("SELECT pg_notify(%s, %s)", (CHANNEL, payload))

    async def hear(self) -> AsyncGenerator[str]:
        # The library's own way sets up and takes down a wait for each call, at five times the cost.
        loop, came, session = asyncio.get_running_loop(), asyncio.Event(), self._listening.pgconn
        socket = session.socket  # asked for now: a lost one has none
        loop.add_reader(socket, came.set)
        came.set()  # something may have come with the answer to LISTEN
        try:
            while True:
                await came.wait()
                came.clear()
                session.consume_input()
                while (call := session.notifies()) is not None:
                    yield call.extra.decode()
        finally:
            loop.remove_reader(socket)


def postgres(conninfo: Callable[[], str]) -> Carrier:
    """The bell over the database's own server. Args: conninfo: gives libpq's, with whatever it needs to get in."""
    from psycopg import AsyncConnection  # an extra: only who has several nodes needs it

    @contextlib.asynccontextmanager
    async def connect() -> AsyncIterator[Line]:
        async with (
            await AsyncConnection.connect(conninfo(), autocommit=True) as speaking,
            await AsyncConnection.connect(conninfo(), autocommit=True) as listening,
        ):
            await listening.execute(f"LISTEN {CHANNEL}")
            yield _Postgres(speaking, listening)

    return connect


class _Valkey:
    """Publish and subscribe."""

    def __init__(self, client: Any, channel: Any) -> None:
        self._client = client
        self._channel = channel

    async def send(self, payload: str) -> None:
        await self._client.publish(CHANNEL, payload)

    async def hear(self) -> AsyncGenerator[str]:
        async for message in self._channel.listen():
            if message["type"] == "message":
                yield message["data"].decode()


def valkey(url: str, password: Callable[[], str | None] = lambda: None) -> Carrier:
    """The bell over Valkey or Redis, for many nodes. Args: url: redis:// or rediss://. Raises BadSetting when its client is
    not installed."""
    try:
        from redis.asyncio import Redis  # an extra, as above
    except ImportError as error:
        raise BadSetting(
            "bell_url needs the client of Valkey: install it with pip install 'aparte[valkey]', or from "
            "requirements-postgres.lock; or leave bell_url out, and PostgreSQL carries the hints"
        ) from error

    @contextlib.asynccontextmanager
    async def connect() -> AsyncIterator[Line]:
        async with (
            Redis.from_url(url, password=password(), socket_connect_timeout=5) as client,
            client.pubsub() as channel,
        ):
            await channel.subscribe(CHANNEL)
            yield _Valkey(client, channel)

    return connect
