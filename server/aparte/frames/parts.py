"""The pieces that frames of the server are made of."""

from __future__ import annotations

from typing import Literal

from msgspec import field

from aparte.frames.words import Part


class Money(Part):
    amount: int  # minor units: 5800 is 58.00
    currency: str  # ISO 4217


class Face(Part):
    """The agent card as the customer sees it: from the server only."""

    name: str
    role: str  # the desk's words, e.g. "Bookings desk"


class Colleague(Part):
    id: str
    name: str
    role: str  # agent | supervisor | admin
    online: bool = False


class Sender(Part):
    """`kind`: visitor, agent, system. `name` and `role` for an agent; `id` for staff readers only."""

    kind: Literal["visitor", "agent", "system"]
    name: str = ""
    role: str = ""
    id: str = ""


class CheckCard(Part):
    """The live check of a conversation. `state`: offered (asks for the booking number), started (a code is on its
    way), failed (tries used up), expired, killed (not me), verified, ended (another took its place). `named`: a
    booking number is known already, so that `start_check` may leave it empty. `late`: the letter could not leave
    yet and is tried again. `own`: the customer gave the booking number for it."""

    id: str
    state: Literal["offered", "started", "failed", "expired", "killed", "verified", "ended"]
    until: float = 0.0
    tries_left: int = 0
    sends_left: int = 0
    named: bool = False
    late: bool = False
    own: bool = False
    reference: str = ""  # staff readers; the customer when it is `own`


class Standing(Part):
    """What has been proven, and until when it counts if the customer is silent from now on. Each message of the
    customer moves `until` to `idle` seconds after it, but never beyond `most`."""

    level: int
    until: float = 0.0
    most: float = 0.0
    idle: int = 0
    contact: str = ""  # masked; after V2 only
    reference: str = ""  # staff readers only


class VisitorView(Part):
    """A conversation as the visitor stream knows it."""

    id: str
    state: Literal["waiting", "assigned", "closed"]
    top: int
    frozen: bool = False
    agent: Face | None = None
    check: CheckCard | None = None
    standing: Standing | None = None
    delivered: int = 0  # by staff
    read: int = 0
    mine: int = 0  # what this visitor has read


class SiteFace(Part):
    id: str
    name: str
    desk: str = ""
    accent: str = ""
    phone: str = ""
    online: bool = False  # an agent is at the desk now
    checks: bool = False  # to agents only: a check can be asked for
    formats: list[str] = field(default_factory=list)  # to agents only: the masks of `Site.formats`


class Privacy(Part):
    """What the privacy card says."""

    host: str
    kept_days: int


class Page(Part):
    url: str = ""
    title: str = ""


class Entry(Part):
    """A line of the inbox."""

    id: str
    site: str
    number: int
    state: Literal["waiting", "assigned", "closed"]
    top: int
    since: float  # of the customer's oldest message without an answer; of the state when there is none
    updated: float
    name: str = ""  # as the visitor says; proves nothing
    agent: str = ""
    snippet: str = ""
    snippet_from: str = ""
    unread: int = 0
    level: int = 0
    frozen: bool = False
    held: int = 0


class StaffView(Part):
    """A conversation as its agent sees it: the inbox line and the person column."""

    entry: Entry
    lang: str = "en"
    page: Page = Page()
    browser: str = ""
    created: float = 0.0
    check: CheckCard | None = None
    standing: Standing | None = None
    references: list[str] = field(
        default_factory=list
    )  # booking references noticed in the customer's messages, newest first
    delivered: int = 0  # by the visitor
    read: int = 0
    mine: int = 0  # read by staff


class Line(Part):
    label: str
    value: str


class Option(Part):
    id: str
    label: str
    departs: str
    supplement: Money
