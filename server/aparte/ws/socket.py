"""One connection as the handlers see it, and the rule that each frame needs.

Knows a peer and its caller. Must not know the wire's order of things.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from aparte import frames
from aparte.actions.messages import Written
from aparte.actions.parts import Parts
from aparte.errors import AparteError, NotFound, NotSignedIn
from aparte.hub import Peer
from aparte.limits import Window
from aparte.model import AgentCaller, Site, VisitorCaller


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
