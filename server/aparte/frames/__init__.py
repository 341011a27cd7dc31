"""The wire vocabulary: one type per frame, strict decode, encode, sizes, version.

Knows what may cross a socket and how it is written. Must not know who is asking, the store or the clock.
docs/PROTOCOL.md has a row for every frame here (a test demands it).

Names of fields are short words; every time is epoch seconds (float); every `seq` counts in the reader's own
stream: the visitor stream for a visitor, the staff stream for an agent. `vseq` is the visitor-stream number of
an event that both see; delivered and read marks are always given in it.
"""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec
from msgspec import Struct

from aparte.errors import BadFrame, TooLong
from aparte.frames.agent import (
    AgentHello,
    AskCheck,
    Change,
    Claim,
    Close,
    DropHeld,
    Note,
    Override,
    ShowRecord,
    Transfer,
    Unfreeze,
    Unwatch,
    Watch,
)
from aparte.frames.bodies import (
    BODIES,
    STAFF_ONLY,
    ActBody,
    AlarmBody,
    AssignedBody,
    CheckBody,
    ClosedBody,
    DroppedBody,
    EmptyBody,
    HeldBody,
    MessageBody,
    NoteBody,
    StandingBody,
)
from aparte.frames.parts import (
    CheckCard,
    Colleague,
    Entry,
    Face,
    Line,
    Money,
    Option,
    Page,
    Privacy,
    Sender,
    SiteFace,
    StaffView,
    Standing,
    VisitorView,
)
from aparte.frames.server import (
    Ack,
    AgentWelcome,
    DeskState,
    Drain,
    Error,
    Event,
    Events,
    InboxEntry,
    InboxGone,
    Marks,
    NewToken,
    Opened,
    Pos,
    Presence,
    Record,
    SomeoneTypes,
    StaffReset,
    VisitorReset,
    VisitorWelcome,
)
from aparte.frames.visitor import (
    Code,
    End,
    History,
    Mark,
    Open,
    Ping,
    Post,
    Resend,
    Resync,
    StartCheck,
    TokenKept,
    Typing,
    VisitorHello,
)
from aparte.frames.words import (
    FRAME_BYTES,
    MAX_WATCHED,
    MESSAGE_CHARS,
    PAGE_EVENTS,
    RESUME_EVENTS,
    VERSION,
    Cid,
    Frame,
    Id,
    Lang,
    Part,
    Reference,
    Seq,
    Short,
    Slug,
    Text,
    Token,
)

__all__ = [
    "BODIES",
    "FRAME_BYTES",
    "MAX_WATCHED",
    "MESSAGE_CHARS",
    "PAGE_EVENTS",
    "RESUME_EVENTS",
    "STAFF_ONLY",
    "VERSION",
    "Ack",
    "ActBody",
    "AgentHello",
    "AgentWelcome",
    "AlarmBody",
    "AskCheck",
    "AssignedBody",
    "Change",
    "CheckBody",
    "CheckCard",
    "Cid",
    "Claim",
    "Close",
    "ClosedBody",
    "Code",
    "Colleague",
    "DeskState",
    "Drain",
    "DropHeld",
    "DroppedBody",
    "EmptyBody",
    "End",
    "Entry",
    "Error",
    "Event",
    "Events",
    "Face",
    "Frame",
    "FromAgent",
    "FromVisitor",
    "HeldBody",
    "History",
    "Id",
    "InboxEntry",
    "InboxGone",
    "Lang",
    "Line",
    "Mark",
    "Marks",
    "MessageBody",
    "Money",
    "NewToken",
    "Note",
    "NoteBody",
    "Open",
    "Opened",
    "Option",
    "Override",
    "Page",
    "Part",
    "Ping",
    "Pos",
    "Post",
    "Presence",
    "Privacy",
    "Record",
    "Reference",
    "Resend",
    "Resync",
    "Sender",
    "Seq",
    "Short",
    "ShowRecord",
    "SiteFace",
    "Slug",
    "SomeoneTypes",
    "StaffReset",
    "StaffView",
    "Standing",
    "StandingBody",
    "StartCheck",
    "Text",
    "ToAgent",
    "ToVisitor",
    "Token",
    "TokenKept",
    "Transfer",
    "Typing",
    "Unfreeze",
    "Unwatch",
    "VisitorHello",
    "VisitorReset",
    "VisitorView",
    "VisitorWelcome",
    "Watch",
    "cid_of",
    "decode_agent",
    "decode_visitor",
    "encode",
]

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
# Nobody types these: they hide what is written from its reader, and take six bytes each on the wire.
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")


def _decode(decoder: msgspec.json.Decoder[Any], data: str | bytes) -> Any:
    if len(data) > FRAME_BYTES:
        raise BadFrame("A frame holds at most 64 KiB.")
    try:
        frame = decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise BadFrame() from error
    text = getattr(frame, "text", None)
    if text is not None:
        if len(text) > MESSAGE_CHARS:
            raise TooLong()
        _require_plain(text)
    if isinstance(frame, Open):
        _require_plain(frame.name)
        _require_plain(frame.title)
    elif isinstance(frame, Override):
        _require_plain(frame.reason)
    return frame


def _require_plain(text: str) -> None:
    if _CONTROL.search(text) is not None:
        raise BadFrame("A text holds no control characters but line breaks (U+000A) and tabs.")


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
