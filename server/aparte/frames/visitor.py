"""What a visitor may send, and what both sides of a conversation may."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from aparte.frames.words import Cid, Frame, Id, Lang, Reference, Seq, Short, Slug, Text, Token


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
