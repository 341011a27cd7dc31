"""The bodies of events, by kind."""

from __future__ import annotations

from typing import Final, Literal

from msgspec import field

from aparte.frames.parts import CheckCard, Face, Money, Standing
from aparte.frames.words import Part


class MessageBody(Part):
    text: str
    removed: list[str] = field(default_factory=list)  # what was taken out: card, security_code, iban, check_code
    held: str = ""  # staff readers: the held message that this one releases


class NoteBody(Part):
    text: str
    reason: Literal["", "override", "unfreeze"] = ""  # the deed of its writer that it gives the reason of


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
    by: Literal["visitor", "agent"]


class EmptyBody(Part):
    pass


class CheckBody(Part):
    check: CheckCard


class StandingBody(Part):
    standing: Standing
    why: Literal["code", "expired", "not_me"]


class AlarmBody(Part):
    code: str  # not_me, not_me_used, many_sends, tries_used, record_tries, mail_down, records_down


class ActBody(Part):
    """A change of the record: asked (staff only), done (both), failed (staff only). `title` and `label` are the
    company's words, in `lang`; whoever reads another language words `departs`."""

    act: Literal["change"]
    state: Literal["asked", "done", "failed"]
    title: str = ""
    label: str = ""
    due: Money | None = None
    code: str = ""
    reference: str = ""  # staff readers only
    departs: str = ""  # of what was chosen, local time at the place of departure: 2026-12-08T14:05
    lang: str = ""  # empty: what the conversation began in


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
