"""The words of the product as data: levels of assurance, states, and who acts.

Pure. Must not know the store, the wire or the clock.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, StrEnum


class Level(IntEnum):
    """How sure we are of who speaks."""

    V0 = 0  # no evidence
    V1 = 1  # controls a typed address
    V2 = 2  # proven against the address on file, or the site's login
    V3 = 3  # V2 and a second, fresh proof


class Role(StrEnum):
    AGENT = "agent"
    SUPERVISOR = "supervisor"
    ADMIN = "admin"

    @property
    def leads(self) -> bool:
        """Whether this role may override for money and release a frozen conversation."""
        return self in (Role.SUPERVISOR, Role.ADMIN)


class State(StrEnum):
    """Of a conversation."""

    WAITING = "waiting"
    ASSIGNED = "assigned"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class Site:
    """One website that carries the widget."""

    id: str
    name: str
    origins: tuple[str, ...] = ()  # pages that may embed the widget, e.g. https://www.example.org
    desk: str = ""  # what the customer reads as the agents' role
    desks: tuple[tuple[str, str], ...] = ()  # language, and what is read in it instead
    accent: str = "#0b5cad"
    phone: str = ""  # the way out of a check
    formats: tuple[str, ...] = ()  # masks of booking references: X letter or digit, A letter, 9 digit
    link_hosts: tuple[str, ...] = ()  # hosts that an agent may link to
    records_url: str = ""
    records_key: str = ""
    records_secret: str = ""

    def desk_in(self, lang: str) -> str:
        """The agents' role for a reader of this language."""
        return dict(self.desks).get(lang, self.desk)


@dataclass(frozen=True, slots=True)
class Agent:
    """One colleague."""

    id: str
    name: str
    email: str
    role: Role
    is_disabled: bool = False


@dataclass(frozen=True, slots=True)
class VisitorCaller:
    """A visitor's proven session. `session` is what checks are bound to; `key` the hash of the secret it came with."""

    session: str
    visitor: str
    site: str
    key: bytes = b""


@dataclass(frozen=True, slots=True)
class AgentCaller:
    """An agent's proven session."""

    session: str
    agent: Agent


Caller = VisitorCaller | AgentCaller
