"""What happens when nobody asks: inbox lines, marks, presence, positions, expiry, retention, ended sessions.

Knows how often. Must not judge: it calls verbs.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable
from typing import Any, Final

import structlog

from aparte.actions import expiry, following, inbox, marks, nodes, rates, reading, tokens
from aparte.actions.parts import Parts
from aparte.errors import AparteError
from aparte.frames import DeskState, Pos, Presence
from aparte.model import AgentCaller
from aparte.peers import Peer
from aparte.store import Connection, Tx, keeping, outbox, people

log = structlog.get_logger("aparte.jobs")
SIGNED_OUT: Final = 4401
_AT_ONCE: Final = 500
_IN_A_TURN: Final = 200  # peers that are told something in one turn of the loop: some milliseconds
LOOK_SECONDS: Final = 5.0  # between two looks at the outbox, for the metrics
SLOW_SECONDS: Final = 30.0  # between two lines of the log about slow sockets
PAUSE_SECONDS: Final = 0.02  # nobody sees so short a wait, and the first of many does not wait
AGAIN_SECONDS: Final = 0.5  # after a read that failed


async def _in_turns(peers: Iterable[Peer]) -> AsyncIterator[Peer]:
    """All of them, with the loop's other work in between: thousands at once would make every message wait."""
    for number, peer in enumerate(list(peers), 1):
        yield peer
        if number % _IN_A_TURN == 0:
            await asyncio.sleep(0)


class Jobs:
    """The periodic work of one server."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._online: set[str] | None = None
        self._down_at: float | None = None  # since when the log knows the store to be down
        self._slow = 0  # sockets ended for slowness that the log knows of

    async def run(self) -> None:
        """Works until cancelled."""
        parts = self._parts
        await asyncio.gather(
            self._refill(),
            self._every(0.4, lambda: inbox.refresh(parts)),
            self._every(0.5, self._sessions),
            self._every(0.5, lambda: marks.store(parts)),
            self._every(20.0, self._seen),
            self._every(1.0, self._presence),
            self._every(2.0, self._directory),
            self._every(5.0, lambda: expiry.checks_overdue(parts)),
            self._every(5.0, lambda: expiry.proofs_overdue(parts)),
            self._every(60.0, lambda: rates.forget(parts)),
            self._every(15.0, self._positions),
            self._every(15.0, parts.store.keep_time),
            self._every(0.5, self._trouble),
            self._every(SLOW_SECONDS, self._slowness),
            self._every(3600.0, lambda: expiry.retention(parts), first=60.0),
            *self._for_metrics(),
            *self._among_nodes(),
        )

    def _for_metrics(self) -> list[Coroutine[Any, Any, None]]:
        """What only who asks for the metrics needs."""
        if self._parts.settings.metrics_token_file is None:
            return []
        return [self._every(LOOK_SECONDS, self._outbox, first=0.0)]

    def _among_nodes(self) -> list[Coroutine[Any, Any, None]]:
        """What only several nodes need."""
        parts, called = self._parts, asyncio.Event()
        if parts.node.bell is None:
            return []
        return [
            parts.node.bell.run(lambda hint: nodes.heard(parts, hint), called.set),
            self._look(called),
            self._every(0.5, lambda: nodes.tell_marks(parts)),
            self._every(0.5, lambda: tokens.cut_replaced(parts)),
        ]

    async def _look(self, called: asyncio.Event) -> None:
        """Looks every few seconds, and at once when the bell was away and is back."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(nodes.LOOK_SECONDS):
                    await called.wait()
            called.clear()
            await self._try(lambda: nodes.look(self._parts))

    async def _refill(self) -> None:
        """Fills the gaps of live sockets, as soon as there are some."""
        hub, called = self._parts.hub, asyncio.Event()
        hub.on_behind = called.set
        while True:
            await called.wait()
            called.clear()
            await self._try(lambda: following.refill(self._parts))
            await asyncio.sleep(PAUSE_SECONDS)  # at a busy node the next one then reads for many messages at once
            if hub.behind and not called.is_set():
                await asyncio.sleep(AGAIN_SECONDS)
                called.set()

    async def _every(
        self, seconds: float, work: Callable[[], Awaitable[object]], *, first: float | None = None
    ) -> None:
        wait = seconds if first is None else first
        loop, lag, trouble = asyncio.get_running_loop(), self._parts.counts.lag, ""
        while True:
            due = loop.time() + wait
            await asyncio.sleep(wait)
            lag.note(max(0.0, loop.time() - due))
            wait = seconds
            trouble = await self._try(work, trouble)

    async def _try(self, work: Callable[[], Awaitable[object]], before: str = "") -> str:
        """Returns the code of what went wrong. Args: before: of the time before, which is not told again."""
        try:
            await work()
        except AparteError as error:
            # The next round tries again; a store that is down is told to people by what they do.
            if error.code != before:
                log.warning("jobs.round", code=error.code)
            return error.code
        except Exception as error:  # a fault of ours must not end the work for good; the log has it
            log.exception("jobs.fault", error=type(error).__name__)
        return ""

    async def _sessions(self) -> None:
        """Ends the sockets of agents whose session ended: signed out, disabled, new password, too old."""
        parts = self._parts
        peers = parts.hub.agents()
        if not peers:
            return
        hashes = {bytes.fromhex(peer.caller.session) for peer in peers if isinstance(peer.caller, AgentCaller)}
        now, idle = parts.store.now(), parts.settings.session_idle_seconds
        good = await parts.store.read(lambda c: people.good_sessions(c, list(hashes), now, idle))
        for peer in peers:
            if isinstance(peer.caller, AgentCaller) and bytes.fromhex(peer.caller.session) not in good:
                peer.cut(SIGNED_OUT)

    async def _seen(self) -> None:
        """An agent at work keeps the session from idling out; one whose panel is only open does not."""
        parts = self._parts
        spoke, parts.spoke = parts.spoke, set()
        if not spoke:
            return
        hashes, idle = [bytes.fromhex(one) for one in spoke], parts.settings.session_idle_seconds

        def apply(tx: Tx) -> None:
            for one in sorted(people.good_sessions(tx.connection, hashes, tx.now, idle)):  # as at every other node
                people.see_agent_session(tx, one)

        try:
            await parts.store.write(apply)
        except BaseException:
            parts.spoke |= spoke  # noted with the next round
            raise

    async def _presence(self) -> None:
        """Who is at the desk, told when it changes."""
        hub = self._parts.hub
        if self._parts.node.bell is not None:
            await nodes.share_presence(self._parts)
        online = self._parts.online()
        if online == self._online:
            return
        was_open, self._online = bool(self._online), online
        presence = Presence(reading.colleagues(self._parts))
        async for peer in _in_turns(hub.peers):
            if isinstance(peer.caller, AgentCaller):
                peer.say(presence, lasting=False)
            elif was_open != bool(online):
                peer.say(DeskState(bool(online)), lasting=False)

    async def _outbox(self) -> None:
        """Looks what is in the outbox, for the metrics."""
        store, counts = self._parts.store, self._parts.counts
        try:
            counts.outbox = await store.read(lambda c: outbox.standing(c, store.now()))
        except AparteError:
            counts.outbox = {}  # not known
            raise

    async def _trouble(self) -> None:
        """Tells when the store goes down, with what the database calls the reason, and when it is back."""
        why, now = self._parts.store.commits.trouble, time.monotonic()
        if why and self._down_at is None:
            self._down_at = now
            log.error("store.down", error=why)
        elif not why and self._down_at is not None:
            log.info("store.up", seconds=round(now - self._down_at, 1))
            self._down_at = None

    async def _slowness(self) -> None:
        ended = self._parts.hub.turn.slow - self._slow
        if ended:
            self._slow += ended
            log.warning("hub.slow", sockets=ended)

    async def _directory(self) -> None:
        if await self._parts.store.refresh():
            self._online = None

    async def _positions(self) -> None:
        """Tells every peer the top numbers of its threads, as the store has them."""
        parts = self._parts
        wanted = list({thread for peer in parts.hub.peers for thread in peer.watched})
        tops: dict[str, tuple[int, int]] = {}
        for start in range(0, len(wanted), _AT_ONCE):
            some = wanted[start : start + _AT_ONCE]

            def query(connection: Connection, some: list[str] = some) -> dict[str, tuple[int, int]]:
                return keeping.tops(connection, some)

            tops.update(await parts.store.read(query))
        for thread, (visitor_top, staff_top) in tops.items():
            parts.hub.hint(thread, staff_top, visitor_top)  # whatever else was missed, this finds it
        now = parts.store.now()
        async for peer in _in_turns(parts.hub.peers):
            staff = isinstance(peer.caller, AgentCaller)
            positions = {thread: tops[thread][1 if staff else 0] for thread in peer.watched if thread in tops}
            peer.say(Pos(now, positions), lasting=False)
