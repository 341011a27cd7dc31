"""What an agent may send."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, field

from aparte.frames.words import MAX_WATCHED, Cid, Frame, Id, Lang, Reference, Seq, Short, Text

Reason = Annotated[str, Meta(min_length=3, max_length=200)]


class AgentHello(Frame, tag="hello"):
    """First frame. `ticket` comes from POST /api/ticket; `conversations` are the open tabs with their last number."""

    v: int
    ticket: Annotated[str, Meta(max_length=300)]
    epoch: Short = ""
    conversations: Annotated[dict[Id, Seq], Meta(max_length=MAX_WATCHED)] = field(default_factory=dict)


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
    reason: Reason


class ShowRecord(Frame, tag="show_record"):
    """Asks for the proven record; answered by `record`. `lang`: what its reader speaks, if not the conversation's."""

    cid: Cid
    conversation: Id
    lang: Lang | None = None


class Change(Frame, tag="change"):
    """The act: changes the proven record to one of its options."""

    cid: Cid
    conversation: Id
    option: Annotated[str, Meta(min_length=1, max_length=100)]


class Unfreeze(Frame, tag="unfreeze"):
    """A supervisor lets a frozen conversation go on: with a reason; audited."""

    cid: Cid
    conversation: Id
    reason: Reason
