"""One connection as the handlers see it, and the rule that each frame needs.

Knows a peer and its caller. Must not know the wire's order of things.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import structlog

from aparte import frames
from aparte.actions.messages import Written, submit_post
from aparte.actions.parts import Parts
from aparte.errors import AparteError, NotFound, NotSignedIn, TooMany
from aparte.limits import Window
from aparte.model import AgentCaller, Site, VisitorCaller
from aparte.peers import Peer

log = structlog.get_logger("aparte.ws")
RETRY_SECONDS: Final = 1.0  # after which the store may have room again


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
    tasks: set[asyncio.Task[None]] = field(default_factory=set)
    posted: int = 0  # messages handed to the store and not answered yet
    _settled: asyncio.Event | None = None

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
        if isinstance(self.peer.caller, AgentCaller):
            self.parts.spoke.add(self.peer.caller.session)
        self.peer.say(frames.Ack(cid, written.conversation, written.seq, written.at, written.held))

    def post(self, cid: str, conversation: str, text: str, caller: VisitorCaller | AgentCaller) -> None:
        """Hands a message to the store, and acknowledges it once it is safe: the next frame need not wait for it.

        Raises TooMany when too many, or too much text, waits for the store already.
        """
        parts, size = self.parts, sys.getsizeof(text)
        if parts.posted_bytes + size > parts.settings.write_queue_bytes:
            raise TooMany(retry_after=RETRY_SECONDS)

        def answer(written: Written, error: BaseException | None) -> None:
            self.posted -= 1
            parts.posted_bytes -= size
            if error is None:
                self.acknowledge(cid, written)
            else:
                self.fail(error, cid)
            if not self.posted and self._settled is not None:
                self._settled.set()

        submit_post(parts, caller, conversation, cid, text, answer)
        self.posted += 1
        parts.posted_bytes += size

    async def settled(self) -> None:
        """Waits until every message handed over has its answer: another frame is carried out after them."""
        if self.posted:
            self._settled = asyncio.Event()
            await self._settled.wait()
            self._settled = None

    def fail(self, error: BaseException, cid: str) -> None:
        """Tells what became of a frame. A fault of ours must not end the conversation; the log has it."""
        if isinstance(error, AparteError):
            self.refuse(error, cid=cid)
            return
        log.error("ws.fault", error=type(error).__name__, exc_info=error)
        self.refuse(AparteError(), cid=cid)

    def refuse(self, error: AparteError, *, cid: str = "", conversation: str = "") -> None:
        self.parts.counts.refusals[error.code] += 1
        wait = error.retry_after or 0.0
        self.peer.say(frames.Error(error.code, str(error), cid, conversation, wait))


Handler = Callable[[Socket, Any], Awaitable[None] | None]


@dataclass(frozen=True, slots=True)
class Rule:
    """`counts`: what the frame counts against besides the socket's own rate; `typed` beyond the limit is dropped and
    `looked` waits, the others are refused. `aside`: runs beside the next frames, since it waits for another system.
    `at_once`: returns nothing to wait for, and counts against what refuses."""

    run: Handler
    counts: Literal["said", "replied", "opened", "typed", "looked", "frames"] = "frames"
    aside: bool = False
    at_once: bool = False
