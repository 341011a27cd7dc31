"""The wire vocabulary: one type per frame, strict decode, encode, sizes, version.

Knows what may cross a socket and how it is written. Must not know who is asking, the store or the clock.
docs/PROTOCOL.md has a row for every frame here (a test demands it).

Names of fields are short words; every time is epoch seconds (float); every `seq` counts in the reader's own
stream: the visitor stream for a visitor, the staff stream for an agent. `vseq` is the visitor-stream number of
an event that both see; delivered and read marks are always given in it.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, TypeVar

import msgspec
from msgspec import Meta, Struct

from .errors import BadFrame, TooLong

VERSION: Final = 1
FRAME_BYTES: Final = 64 * 1024  # inbound; the socket server refuses more before we see it
MESSAGE_CHARS: Final = 4_000  # code points, everywhere
PAGE_EVENTS: Final = 100  # events in one page of history or backlog
RESUME_EVENTS: Final = 500  # a larger gap gives a reset instead of a backlog
MAX_WATCHED: Final = 100  # conversations one agent socket may watch

Id = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{22}\Z")]
Cid = Annotated[str, Meta(pattern=r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z")]
Token = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{43}\Z")]
Slug = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9-]{0,39}\Z")]
# Twice the limit in code points is let through here, so that an over-long text gets `too_long`, which names its cid.
Text = Annotated[str, Meta(min_length=1, max_length=2 * MESSAGE_CHARS)]
Short = Annotated[str, Meta(max_length=200)]
Reference = Annotated[str, Meta(max_length=40)]
Seq = Annotated[int, Meta(ge=0, le=2**53 - 1)]
Lang = Literal["en", "fr"]


class Frame(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, tag_field="t"):
    """The root of all frames; `t` on the wire names the type."""


# ── from a visitor ──────────────────────────────────────────────────────────────────────────────────────────


class VisitorHello(Frame, tag="hello"):
    """First frame. `token` is made by the browser (256 random bits); nothing is created for it before `open`."""

    v: int
    site: Slug
    token: Token
    lang: Lang = "en"
    conversation: Id | None = None
    last_seq: Seq = 0
    epoch: Short = ""


class Open(Frame, tag="open"):
    """The first message: makes the person, the keys and the conversation. `cid` serves both."""

    cid: Cid
    text: Text
    name: Annotated[str, Meta(max_length=80)] = ""
    page: Annotated[str, Meta(max_length=2000)] = ""  # kept without query and fragment
    title: Short = ""


class Post(Frame, tag="post"):
    """A message, by a visitor or an agent."""

    cid: Cid
    conversation: Id
    text: Text


class Typing(Frame, tag="typing"):
    """Ephemeral; carries no text. Sent at most every 3 s while typing."""

    conversation: Id


class Mark(Frame, tag="mark"):
    """High-water marks of the sender, in visitor-stream numbers. They only rise."""

    conversation: Id
    delivered: Seq = 0
    read: Seq = 0


class History(Frame, tag="history"):
    """Asks for the page of events before number `before`; answered by `events` with `older` set."""

    conversation: Id
    before: Seq


class Resync(Frame, tag="resync"):
    """The client found a gap: asks for everything after `last_seq`."""

    conversation: Id
    last_seq: Seq


class StartCheck(Frame, tag="start_check"):
    """The customer asks for the code of the check that the thread shows, naming the booking."""

    cid: Cid
    conversation: Id
    reference: Reference


class Code(Frame, tag="code"):
    """One try at the code."""

    cid: Cid
    conversation: Id
    check: Id
    code: Annotated[str, Meta(max_length=20)]


class Resend(Frame, tag="resend"):
    """Another letter for the same check; gives no new tries."""

    cid: Cid
    conversation: Id
    check: Id


class End(Frame, tag="end"):
    """The customer ends the conversation."""

    cid: Cid
    conversation: Id


class TokenKept(Frame, tag="token_kept"):
    """The browser has stored the token of the `token` frame; the one before is void from now on."""


class Ping(Frame, tag="ping"):
    """Keeps middle boxes awake; answered by `pos`."""


# ── from an agent ───────────────────────────────────────────────────────────────────────────────────────────


class AgentHello(Frame, tag="hello"):
    """First frame. `ticket` comes from POST /api/ticket; `conversations` are the open tabs with their last number."""

    v: int
    ticket: Annotated[str, Meta(max_length=300)]
    epoch: Short = ""
    conversations: Annotated[dict[Id, Seq], Meta(max_length=MAX_WATCHED)] = {}


class Watch(Frame, tag="watch"):
    """Opens a conversation on this socket: answered by `reset` or `events`, then live events."""

    conversation: Id
    last_seq: Seq = 0


class Unwatch(Frame, tag="unwatch"):
    conversation: Id


class Claim(Frame, tag="claim"):
    cid: Cid
    conversation: Id


class Note(Frame, tag="note"):
    """An internal note: staff stream only."""

    cid: Cid
    conversation: Id
    text: Text


class Transfer(Frame, tag="transfer"):
    cid: Cid
    conversation: Id
    agent: Id


class Close(Frame, tag="close"):
    cid: Cid
    conversation: Id


class AskCheck(Frame, tag="ask_check"):
    """With a reference the code goes out at once; without one the customer's card asks for it."""

    cid: Cid
    conversation: Id
    reference: Reference = ""


class DropHeld(Frame, tag="drop_held"):
    """Takes a held message back (to edit it or to leave it unsaid)."""

    cid: Cid
    conversation: Id
    held: Id


class Override(Frame, tag="override"):
    """Lets a held message go against the gate: with a reason; for money a supervisor's; audited."""

    cid: Cid
    conversation: Id
    held: Id
    reason: Annotated[str, Meta(min_length=3, max_length=200)]


class ShowRecord(Frame, tag="show_record"):
    """Asks for the proven record; answered by `record`."""

    cid: Cid
    conversation: Id


class Change(Frame, tag="change"):
    """The act: changes the proven record to one of its options."""

    cid: Cid
    conversation: Id
    option: Annotated[str, Meta(min_length=1, max_length=100)]


class Unfreeze(Frame, tag="unfreeze"):
    """A supervisor lets a frozen conversation go on."""

    cid: Cid
    conversation: Id


FromVisitor = (
    VisitorHello | Open | Post | Typing | Mark | History | Resync | StartCheck | Code | Resend | End | TokenKept | Ping
)
FromAgent = (
    AgentHello
    | Watch
    | Unwatch
    | Claim
    | Post
    | Note
    | Transfer
    | Close
    | Typing
    | Mark
    | History
    | Resync
    | AskCheck
    | DropHeld
    | Override
    | ShowRecord
    | Change
    | Unfreeze
    | Ping
)


# ── parts of what the server says ───────────────────────────────────────────────────────────────────────────


class Part(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """A piece of a frame, not a frame."""


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
    yet and is tried again."""

    id: str
    state: Literal["offered", "started", "failed", "expired", "killed", "verified", "ended"]
    until: float = 0.0
    tries_left: int = 0
    sends_left: int = 0
    named: bool = False
    late: bool = False
    reference: str = ""  # staff readers only


class Standing(Part):
    """What has been proven, and until when it counts if the customer is silent from now on."""

    level: int
    until: float = 0.0
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
    since: float  # waiting since, or assigned since
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
    references: list[str] = []  # booking references noticed in the customer's messages, newest first
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


# ── what the server says ────────────────────────────────────────────────────────────────────────────────────


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
    positions: dict[str, int] = {}


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
    """The company's record, shown after V2 only and stored nowhere here."""

    cid: str
    conversation: str
    reference: str
    title: str
    state: str
    lines: list[Line]
    options: list[Option]


class Drain(Frame, tag="drain"):
    """The server is about to restart: reconnect at a random moment within `after` seconds."""

    after: float


# ── bodies of events ────────────────────────────────────────────────────────────────────────────────────────


class MessageBody(Part):
    text: str
    removed: list[str] = []  # what the guard took out: card, security_code, iban
    held: str = ""  # staff readers: the held message that this one releases


class NoteBody(Part):
    text: str


class HeldBody(Part):
    held: str
    text: str
    code: str  # why: needs_check, other_record, asks_secret, foreign_link
    topic: str


class DroppedBody(Part):
    held: str


class AssignedBody(Part):
    """`agent` is a Face for the visitor; staff readers also see the ids."""

    agent: Face
    agent_id: str = ""
    by: str = ""  # staff readers: the colleague's name when it was a transfer


class ClosedBody(Part):
    by: Literal["visitor", "agent", "system"]


class EmptyBody(Part):
    pass


class CheckBody(Part):
    check: CheckCard


class StandingBody(Part):
    standing: Standing
    why: Literal["code", "expired", "not_me", "changed_session"]


class AlarmBody(Part):
    code: str  # not_me, many_sends, tries_used, mail_refused, records_down


class ActBody(Part):
    """A change of the record: asked (staff only), done (both), failed (staff only)."""

    act: Literal["change"]
    state: Literal["asked", "done", "failed"]
    title: str = ""
    label: str = ""
    due: Money | None = None
    code: str = ""
    reference: str = ""  # staff readers only


BODIES: Final[dict[str, type[Part]]] = {
    "message": MessageBody,
    "note": NoteBody,
    "held": HeldBody,
    "dropped": DroppedBody,
    "assigned": AssignedBody,
    "closed": ClosedBody,
    "reopened": EmptyBody,
    "check": CheckBody,
    "standing": StandingBody,
    "frozen": EmptyBody,
    "unfrozen": EmptyBody,
    "alarm": AlarmBody,
    "act": ActBody,
    "unreadable": EmptyBody,
}
STAFF_ONLY: Final = frozenset({"note", "held", "dropped", "alarm"})

ToVisitor = (
    VisitorWelcome
    | VisitorReset
    | Event
    | Events
    | Ack
    | Opened
    | Error
    | SomeoneTypes
    | Marks
    | Pos
    | NewToken
    | DeskState
    | Drain
)
ToAgent = (
    AgentWelcome
    | StaffReset
    | Event
    | Events
    | Ack
    | Error
    | SomeoneTypes
    | Marks
    | Pos
    | InboxEntry
    | InboxGone
    | Presence
    | Record
    | Drain
)

_from_visitor: msgspec.json.Decoder[Any] = msgspec.json.Decoder(FromVisitor)
_from_agent: msgspec.json.Decoder[Any] = msgspec.json.Decoder(FromAgent)
_encoder = msgspec.json.Encoder()
_P = TypeVar("_P", bound=Part)


def _decode(decoder: msgspec.json.Decoder[Any], data: str | bytes) -> Any:
    if len(data) > FRAME_BYTES:
        raise BadFrame("A frame holds at most 64 KiB.")
    try:
        # A lone surrogate in an escape cannot be stored or sent on, so the frame is refused whole.
        frame = decoder.decode(data)
        _encoder.encode(frame)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise BadFrame() from error
    text = getattr(frame, "text", None)
    if text is not None:
        if len(text) > MESSAGE_CHARS:
            raise TooLong()
        if "\x00" in text:
            raise BadFrame("A message cannot hold the character U+0000.")
    return frame


def decode_visitor(data: str | bytes) -> FromVisitor:
    """One frame from a visitor. Raises BadFrame or TooLong; never anything else."""
    frame: FromVisitor = _decode(_from_visitor, data)
    return frame


def decode_agent(data: str | bytes) -> FromAgent:
    """One frame from an agent. Raises BadFrame or TooLong; never anything else."""
    frame: FromAgent = _decode(_from_agent, data)
    return frame


def cid_of(data: str | bytes) -> str:
    """The cid that a refused frame names, so that its sender can tell which one it was; "" when it names none."""
    try:
        named = msgspec.json.decode(data, type=_Named)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return ""
    return named.cid


class _Named(Struct):
    cid: Cid = ""


def encode(frame: Frame | Part) -> bytes:
    """The frame as JSON bytes."""
    return _encoder.encode(frame)
