"""The scalar types of the wire, its limits, and the root of frames and their parts."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from msgspec import Meta, Struct

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


class Part(Struct, frozen=True, omit_defaults=True):
    """A piece of a frame that the server sends, not a frame. One that a newer version has stored may have more fields."""
