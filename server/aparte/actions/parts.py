"""What the verbs work with, joined by `app.create_app`.

Knows which parts there are. Must not build them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from aparte.config import Settings
from aparte.delivery import Mailer
from aparte.frames import Option
from aparte.hub import Hub
from aparte.identity.life import Life
from aparte.limits import Window
from aparte.model import Level
from aparte.policy import DEFAULT_POLICY, Freshness, Policy
from aparte.records import Records
from aparte.store import Store
from aparte.vault import PasswordGate

SYSTEM: Final = ("system", "")


def policy_of(settings: Settings) -> Policy:
    """The table of the gate with this installation's freshness."""
    freshness = dict(DEFAULT_POLICY.freshness)
    freshness[Level.V2] = Freshness(settings.assurance_idle_seconds, settings.assurance_seconds)
    return Policy(table=DEFAULT_POLICY.table, freshness=freshness, methods=DEFAULT_POLICY.methods)


@dataclass(slots=True)
class Marks:
    """High-water marks that rose since they were last stored."""

    visitor_delivered: int = 0
    visitor_read: int = 0
    staff_delivered: int = 0
    staff_read: int = 0


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
    logins: Window  # sign-ins per address
    accounts: Window  # sign-ins per account, wherever from
    marks: dict[str, Marks] = field(default_factory=dict)
    options: dict[str, tuple[Option, ...]] = field(default_factory=dict)  # what an agent was shown, by conversation
