"""The two sockets, and their fallback over HTTP: size, rate, decode, hand to a verb, answer.

Every frame that may come in has a row in `visitor.RULES` or `agent.RULES` with who may send it and what it counts against;
a frame without a row fails at start. Knows the wire. Must not hold a rule of conduct.
"""

from __future__ import annotations

from typing import get_args

from aparte import frames
from aparte.ws import agent, visitor
from aparte.ws.connection import Limits, SocketEndpoint
from aparte.ws.stream import StreamEndpoint, Streams, line_of, take

__all__ = [
    "Limits",
    "SocketEndpoint",
    "StreamEndpoint",
    "Streams",
    "Unexpected",
    "check_declared",
    "line_of",
    "take",
]


class Unexpected(RuntimeError):
    """A frame type has no row, or a row no frame type, or a row contradicts itself. Raised at start."""


def check_declared() -> None:
    """Raises Unexpected when a frame may come in without a rule, a rule has no frame, or what is carried out at once
    counts against a limit that makes it wait or drops it."""
    for table, union in ((visitor.RULES, frames.FromVisitor), (agent.RULES, frames.FromAgent)):
        if set(table) != set(get_args(union)):
            raise Unexpected(f"frames without a rule: {set(table) ^ set(get_args(union))}")
        if wrong := [kind for kind, rule in table.items() if rule.at_once and rule.counts in ("typed", "looked")]:
            raise Unexpected(f"frames that are carried out at once, and may have to wait: {wrong}")
