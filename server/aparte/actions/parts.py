"""What the verbs work with, joined by `app.serve`.

Knows which parts there are. Must not build them.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from aparte.bell import Bell
from aparte.config import Settings
from aparte.delivery import Mailer
from aparte.frames import Option
from aparte.hub import Hub
from aparte.identity.life import Life
from aparte.limits import Crowd, Window
from aparte.metrics import Counts
from aparte.model import Level, Site
from aparte.peers import Peer
from aparte.policy import DEFAULT_POLICY, Freshness, Policy
from aparte.records import Records
from aparte.store import Store
from aparte.store.conversations import Signature
from aparte.vault import PasswordGate

MOST_SHOWN: Final = 1_000  # conversations whose shown options are remembered


def policy_of(settings: Settings) -> Policy:
    """The table of the gate with this installation's freshness."""
    freshness = dict(DEFAULT_POLICY.freshness)
    freshness[Level.V2] = Freshness(settings.assurance_idle_seconds, settings.assurance_seconds)
    return Policy(table=DEFAULT_POLICY.table, freshness=freshness, methods=DEFAULT_POLICY.methods)


@dataclass(slots=True)
class Marks:
    """One speaker's high-water marks since they were last stored, in visitor-stream numbers."""

    delivered: int = 0
    read: int = 0

    def rise(self, delivered: int, read: int) -> None:
        self.read = max(self.read, read)
        self.delivered = max(self.delivered, delivered, self.read)


class Shown(OrderedDict[str, tuple[str, tuple[Option, ...]]]):
    """What agents were shown last, and in which language; the conversation not shown for longest goes first."""

    def __setitem__(self, conversation: str, shown: tuple[str, tuple[Option, ...]]) -> None:
        super().__setitem__(conversation, shown)
        self.move_to_end(conversation)
        if len(self) > MOST_SHOWN:
            self.popitem(last=False)


@dataclass(slots=True)
class Node:
    """This node among others on the same store. Without a bell it is alone."""

    name: str
    bell: Bell | None = None
    elsewhere: set[str] = field(default_factory=set)  # agents who have the panel open at another node
    marked: set[tuple[str, bool]] = field(
        default_factory=set
    )  # conversations and sides whose marks another node raised
    renewed: set[str] = field(default_factory=set)  # visitors' sessions that may have another secret by now
    renewing: set[str] = field(default_factory=set)  # those that get it at this node just now
    seen: dict[str, Signature] = field(default_factory=dict)  # the open conversations as the last look found them
    leased: set[str] | None = None  # the agents whom this node has told the store of
    renewed_at: float = 0.0


@dataclass(slots=True)
class Parts:
    """One server's parts."""

    settings: Settings
    store: Store
    hub: Hub
    records: Records
    mailer: Mailer
    life: Life
    policy: Policy
    passwords: PasswordGate
    ring: Callable[[], None]  # wakes the outbox worker
    said: Window  # messages per visitor
    replied: Window  # messages per agent
    said_from: Window  # messages of visitors per address
    said_at: Crowd  # and per site, with a share for each address
    opened: Window  # new conversations per address
    opened_at: Crowd  # and per site
    typed: Window  # that somebody types, per person
    looked: Window  # histories and the like per person
    logins: Window  # sign-ins per address
    accounts: Window  # sign-ins per account, wherever from
    posted_bytes: int = 0  # of messages that wait for the store
    # By conversation and speaker: the agent's id, or "" for the visitor.
    marks: dict[tuple[str, str], Marks] = field(default_factory=dict)
    spoke: set[str] = field(default_factory=set)  # agents' sessions that did something since it was last noted
    # Agents' sockets between hello and welcome: the lines that changed meanwhile.
    greeted: dict[Peer, set[str]] = field(default_factory=dict)
    node: Node = field(default_factory=lambda: Node("alone"))
    counts: Counts = field(default_factory=Counts)
    options: Shown = field(default_factory=Shown)  # what an agent was shown, by conversation

    def can_check(self, site: Site) -> bool:
        """Whether anybody can be proven here: there is a system that has the addresses, and mail to send to them."""
        return bool(site.records_url and self.mailer.is_on)

    def online(self) -> set[str]:
        """The ids of the agents who have the panel open, at whichever node."""
        return self.hub.online() | self.node.elsewhere
