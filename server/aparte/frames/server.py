"""What the server says."""

from __future__ import annotations

from typing import Literal

import msgspec

from aparte.frames.parts import Colleague, Entry, Line, Option, Privacy, Sender, SiteFace, StaffView, VisitorView
from aparte.frames.words import Frame


class VisitorWelcome(Frame, tag="welcome"):
    """The answer to a visitor's hello. Without a conversation nothing exists yet."""

    v: int
    epoch: str
    now: float
    site: SiteFace
    privacy: Privacy
    conversation: VisitorView | None = None


class AgentWelcome(Frame, tag="welcome"):
    """The answer to an agent's hello: the inbox snapshot."""

    v: int
    epoch: str
    now: float
    me: Colleague
    sites: list[SiteFace]
    agents: list[Colleague]
    inbox: list[Entry]


class VisitorReset(Frame, tag="reset"):
    """Forget what you hold of this conversation: this is its state now; a page of its last events follows."""

    conversation: str
    epoch: str
    view: VisitorView


class StaffReset(Frame, tag="reset"):
    """The same, to an agent. Every answer to `watch` begins with it, whether or not events are resumed:
    `resumed` says that what you hold is still right and only the view is new."""

    conversation: str
    epoch: str
    view: StaffView
    resumed: bool = False


class Event(Frame, tag="event"):
    """A lasting change, in order. `kind` names the body (see BODIES)."""

    conversation: str
    seq: int
    id: str
    kind: str
    at: float
    sender: Sender
    body: msgspec.Raw
    cid: str = ""
    vseq: int = 0  # to staff only, when the visitor sees the event too


class Events(Frame, tag="events"):
    """A page of events in rising order. `top` is the stream's top number now; `older` marks an answer to `history`."""

    conversation: str
    items: list[Event]
    top: int
    older: bool = False
    more: bool = False  # to `history`: there is something before the first item


class Ack(Frame, tag="ack"):
    """It is durable. `seq` in the sender's stream (0 when nothing was appended); `held` names a held message."""

    cid: str
    conversation: str
    seq: int
    at: float
    held: str = ""


class Opened(Frame, tag="opened"):
    """The answer to `open`: durable; events follow from number 1."""

    cid: str
    conversation: VisitorView


class Error(Frame, tag="error"):
    """`code` is stable (docs/PROTOCOL.md); `cid` names what it answers; go on after `retry_after` seconds."""

    code: str
    sentence: str
    cid: str = ""
    conversation: str = ""
    retry_after: float = 0.0


class SomeoneTypes(Frame, tag="typing"):
    conversation: str
    who: Literal["visitor", "staff"]


class Marks(Frame, tag="marks"):
    """The other side's marks."""

    conversation: str
    who: Literal["visitor", "staff"]
    delivered: int
    read: int


class Pos(Frame, tag="pos"):
    """Top numbers of the open threads, every 15 s: silent loss is found while connected."""

    now: float
    positions: dict[str, int] = msgspec.field(default_factory=dict)


class NewToken(Frame, tag="token"):
    """A new session secret after a step up. Store it, then say `token_kept`."""

    token: str


class DeskState(Frame, tag="desk"):
    """Whether an agent is at the desk now."""

    online: bool


class InboxEntry(Frame, tag="inbox"):
    """A line of this agent's inbox is new or has changed."""

    entry: Entry


class InboxGone(Frame, tag="gone"):
    """A conversation left this agent's inbox (claimed by a colleague, transferred, closed)."""

    conversation: str


class Presence(Frame, tag="presence"):
    agents: list[Colleague]


class Record(Frame, tag="record"):
    """The company's record in `lang`, shown after V2 only and stored nowhere here."""

    cid: str
    conversation: str
    reference: str
    title: str
    state: str
    lines: list[Line]
    options: list[Option]
    lang: str = ""  # empty: from a node of the version before


class Drain(Frame, tag="drain"):
    """The server is about to restart: reconnect at a random moment within `after` seconds."""

    after: float
