"""What each audience may see of an event: the one place that turns stored bodies into frames for a reader.

Knows, field by field, what is a visitor's and what is staff's. Must not know sockets or SQL.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, cast

import msgspec

from aparte.frames import (
    STAFF_ONLY,
    ActBody,
    AssignedBody,
    CheckBody,
    CheckCard,
    Event,
    Face,
    MessageBody,
    Part,
    Sender,
    Standing,
    StandingBody,
)
from aparte.model import Agent, AgentCaller, Caller, Site
from aparte.store import Directory, Stored

_replace: Any = msgspec.structs.replace
_VISITOR: Final = Sender(kind="visitor")
_SYSTEM: Final = Sender(kind="system")


def face(agent: Agent | None, site: Site | None, lang: str) -> Face:
    """The agent card that the customer sees: the server's word, never an agent's or a visitor's."""
    return Face(name=agent.name if agent else "", role=_desk(site, lang))


def _desk(site: Site | None, lang: str) -> str:
    return (site.desk_in(lang) or site.name) if site else ""


def _message(body: MessageBody) -> Part:
    return _replace(body, held="") if body.held else body


def card_for_visitor(card: CheckCard) -> CheckCard:
    """A check as the visitor may see it: with no other reference than the one that he gave."""
    return card if card.own else cast("CheckCard", _replace(card, reference=""))


def standing_for_visitor(standing: Standing) -> Standing:
    """What is proven as the visitor may see it: without the company's reference."""
    return cast("Standing", _replace(standing, reference=""))


_FOR_VISITOR: Final[dict[str, Callable[[Any], Part]]] = {
    "message": _message,
    "assigned": lambda body: AssignedBody(body.agent),
    "closed": lambda body: body,
    "reopened": lambda body: body,
    "check": lambda body: CheckBody(card_for_visitor(body.check)),
    "standing": lambda body: StandingBody(standing_for_visitor(body.standing), body.why),
    "frozen": lambda body: body,
    "unfrozen": lambda body: body,
    "act": lambda body: ActBody(
        body.act, body.state, body.title, body.label, body.due, departs=body.departs, lang=body.lang
    ),
    "unreadable": lambda body: body,
}


def _raw(stored: Stored, body: Part) -> msgspec.Raw:
    """The body as JSON; made once, as long as a reader sees it whole."""
    return msgspec.Raw(stored.raw if body is stored.body and stored.raw else msgspec.json.encode(body))


def event_for(caller: Caller, lang: str, stored: Stored, directory: Directory) -> Event:
    """The event as this reader has it. Args: lang: what a visitor reads now, who may have changed it since."""
    if isinstance(caller, AgentCaller):
        return staff_event(stored, directory)
    return visitor_event(stored, directory, directory.sites.get(caller.site), lang)


def visitor_event(stored: Stored, directory: Directory, site: Site | None = None, lang: str = "") -> Event:
    """The event as the visitor stream has it. A kind that has no row above never reaches a visitor. Args: lang: the
    language in which the site's desk is named; without a site it is named as it was then."""
    if stored.kind in STAFF_ONLY or stored.visitor_seq is None:
        raise LookupError(f"an event of kind {stored.kind} is not for visitors")
    if stored.sender_kind == "visitor":
        sender = _VISITOR
    elif stored.sender_kind == "agent":
        agent = directory.agents.get(stored.sender_id)
        sender = Sender(kind="agent", name=agent.name if agent else "")
    else:
        sender = _SYSTEM
    body = _FOR_VISITOR[stored.kind](stored.body)
    if isinstance(body, AssignedBody) and site:
        body = AssignedBody(Face(body.agent.name, _desk(site, lang)))
    return Event(
        stored.conversation,
        stored.visitor_seq,
        stored.id,
        stored.kind,
        stored.at,
        sender,
        _raw(stored, body),
        stored.cid if stored.sender_kind == "visitor" else "",
    )


def staff_event(stored: Stored, directory: Directory) -> Event:
    """The event as the staff stream has it."""
    if stored.sender_kind == "visitor":
        sender = _VISITOR
    elif stored.sender_kind == "agent":
        agent = directory.agents.get(stored.sender_id)
        sender = Sender(
            kind="agent",
            name=agent.name if agent else "",
            role=agent.role.value if agent else "",
            id=stored.sender_id,
        )
    else:
        sender = _SYSTEM
    return Event(
        stored.conversation,
        stored.staff_seq,
        stored.id,
        stored.kind,
        stored.at,
        sender,
        _raw(stored, stored.body),
        stored.cid,
        stored.visitor_seq or 0,
    )
