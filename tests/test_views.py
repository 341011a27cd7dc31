"""Twin of views.py: what each audience may see, field by field, against a list written by hand."""

from __future__ import annotations

import json
from typing import Any, get_type_hints

import msgspec
import pytest

from aparte.frames import (
    BODIES,
    STAFF_ONLY,
    ActBody,
    AlarmBody,
    AssignedBody,
    CheckBody,
    CheckCard,
    ClosedBody,
    DroppedBody,
    EmptyBody,
    Face,
    HeldBody,
    MessageBody,
    Money,
    NoteBody,
    Part,
    Standing,
    StandingBody,
)
from aparte.model import Agent, Role, Site
from aparte.store import Directory, Stored
from aparte.views import card_for_visitor, face, staff_event, visitor_event
from harness import DUPONT, Server, email_of

# Every field of every body, with a value that is not its default.
CARD = CheckCard(
    id="c",
    state="started",
    until=2.0,
    tries_left=3,
    sends_left=2,
    named=True,
    late=True,
    own=True,
    reference="REFERENCE",
)
STANDING = Standing(level=2, until=2.0, most=3.0, idle=4, contact="m•••••@e••••••.org", reference="REFERENCE")
FULL: dict[str, Part] = {
    "message": MessageBody("text", ["card"], "held-id"),
    "note": NoteBody("text", "override"),
    "held": HeldBody("held-id", "text", "needs_check", "booking"),
    "dropped": DroppedBody("held-id"),
    "assigned": AssignedBody(Face("Claire", "Desk"), "agent-id", "Marc"),
    "closed": ClosedBody("agent"),
    "reopened": EmptyBody(),
    "check": CheckBody(CARD),
    "standing": StandingBody(STANDING, "code"),
    "frozen": EmptyBody(),
    "unfrozen": EmptyBody(),
    "alarm": AlarmBody("not_me"),
    "act": ActBody(
        "change", "done", "title", "label", Money(5800, "EUR"), "code", "REFERENCE", "2026-12-08T14:05", "fr"
    ),
    "unreadable": EmptyBody(),
}

CARD_FIELDS = {
    f"check.{name}"
    for name in ("id", "state", "until", "tries_left", "sends_left", "named", "late", "own", "reference")
}
STANDING_FIELDS = {f"standing.{name}" for name in ("level", "until", "most", "idle", "contact")} | {"why"}
VISITOR_BODY: dict[str, set[str]] = {
    "message": {"text", "removed"},
    "assigned": {"agent.name", "agent.role"},
    "closed": {"by"},
    "reopened": set(),
    "check": CARD_FIELDS,
    "standing": STANDING_FIELDS,
    "frozen": set(),
    "unfrozen": set(),
    "act": {"act", "state", "title", "label", "due.amount", "due.currency", "departs", "lang"},
    "unreadable": set(),
}
STAFF_BODY: dict[str, set[str]] = {
    **VISITOR_BODY,
    "message": {"text", "removed", "held"},
    "note": {"text", "reason"},
    "held": {"held", "text", "code", "topic"},
    "dropped": {"held"},
    "assigned": {"agent.name", "agent.role", "agent_id", "by"},
    "standing": STANDING_FIELDS | {"standing.reference"},
    "alarm": {"code"},
    "act": {*VISITOR_BODY["act"], "code", "reference"},
}
EVENT = {"t", "conversation", "seq", "id", "kind", "at"}
VISITOR_HEAD = {
    "visitor": EVENT | {"sender.kind", "cid"},
    "agent": EVENT | {"sender.kind", "sender.name"},
    "system": EVENT | {"sender.kind"},
}
STAFF_HEAD = {
    "visitor": EVENT | {"sender.kind", "cid", "vseq"},
    "agent": EVENT | {"sender.kind", "sender.name", "sender.role", "sender.id", "cid", "vseq"},
    "system": EVENT | {"sender.kind", "cid", "vseq"},
}

CLAIRE = Agent("agent-id", "Claire", "claire@airline.example", Role.SUPERVISOR)
DIRECTORY = Directory({"air": Site("air", "Air", desk="Desk")}, {"agent-id": CLAIRE})


def paths(value: Any, before: str = "") -> set[str]:
    """The names of all fields, dotted; of lists, those of their items."""
    if isinstance(value, dict):
        return {path for name, one in value.items() for path in paths(one, f"{before}.{name}" if before else name)}
    if isinstance(value, list):
        found = {path for one in value for path in paths(one, before)}
        return found or {before}
    return {before}


def stored(kind: str, sender: str) -> Stored:
    ids = {"visitor": "person-id", "agent": "agent-id", "system": ""}
    return Stored("t", 7, 4, "i", kind, sender, ids[sender], 1.0, FULL[kind], "the-cid")


def seen(view: Any, kind: str, sender: str) -> tuple[set[str], set[str]]:
    """The fields of the event's head and of its body, as they go over the wire."""
    frame = json.loads(msgspec.json.encode(view(stored(kind, sender), DIRECTORY)))
    body = frame.pop("body")
    return paths(frame), paths(body) if body else set()


def test_a_visitor_sees_no_other_reference_than_the_own() -> None:
    card = msgspec.structs.replace(CARD, own=False)
    assert card_for_visitor(card) == msgspec.structs.replace(card, reference="")
    assert card_for_visitor(CARD) is CARD


def test_the_lists_are_whole() -> None:
    assert set(FULL) == set(BODIES) == set(STAFF_BODY)
    assert set(VISITOR_BODY) == set(BODIES) - STAFF_ONLY
    for kind, body in FULL.items():
        fields = msgspec.structs.fields(body)
        assert all(getattr(body, one.name) not in (one.default, []) for one in fields), kind
        assert {one.name for one in fields} == set(get_type_hints(BODIES[kind])), kind
    for part in (CARD, STANDING):
        assert all(getattr(part, one.name) not in (one.default, []) for one in msgspec.structs.fields(part))


@pytest.mark.parametrize("sender", ["visitor", "agent", "system"])
@pytest.mark.parametrize("kind", sorted(VISITOR_BODY))
def test_a_visitor_sees_these_fields_and_no_others(kind: str, sender: str) -> None:
    assert seen(visitor_event, kind, sender) == (VISITOR_HEAD[sender], VISITOR_BODY[kind])


@pytest.mark.parametrize("sender", ["visitor", "agent", "system"])
@pytest.mark.parametrize("kind", sorted(STAFF_BODY))
def test_staff_see_these_fields_and_no_others(kind: str, sender: str) -> None:
    assert seen(staff_event, kind, sender) == (STAFF_HEAD[sender], STAFF_BODY[kind])


@pytest.mark.parametrize("kind", sorted(STAFF_ONLY))
def test_a_hidden_kind_never_becomes_a_visitors_event(kind: str) -> None:
    with pytest.raises(LookupError):
        visitor_event(stored(kind, "agent"), DIRECTORY)


def test_an_event_of_the_staff_stream_alone_never_becomes_a_visitors() -> None:
    hidden = stored("act", "agent")
    hidden.visitor_seq = None
    with pytest.raises(LookupError):
        visitor_event(hidden, DIRECTORY)


def test_each_audience_reads_its_own_numbers() -> None:
    one = stored("message", "visitor")
    assert visitor_event(one, DIRECTORY).seq == 4
    assert (staff_event(one, DIRECTORY).seq, staff_event(one, DIRECTORY).vseq) == (7, 4)


def test_the_agent_card_is_the_servers_word() -> None:
    assert face(CLAIRE, DIRECTORY.sites["air"], "en") == Face("Claire", "Desk")
    assert face(CLAIRE, Site("b", "Shop", desk="Desk", desks=(("fr", "Service"),)), "fr") == Face("Claire", "Service")
    assert face(CLAIRE, Site("b", "Shop"), "fr") == Face("Claire", "Shop")
    assert face(None, None, "en") == Face("", "")


def test_the_desk_is_named_in_the_readers_language() -> None:
    one = stored("assigned", "system")
    site = Site("b", "Shop", desk="Counter", desks=(("fr", "Service"),))
    for lang, desk in (("en", "Counter"), ("fr", "Service")):
        body = json.loads(bytes(visitor_event(one, DIRECTORY, site, lang).body))
        assert body == {"agent": {"name": "Claire", "role": desk}}
    assert json.loads(bytes(visitor_event(one, DIRECTORY).body))["agent"]["role"] == "Desk"


# ── the whole story, over the wire ──────────────────────────────────────────────────────────────────────────────

VIEW = {"id", "state", "top", "frozen", "agent.name", "agent.role", "delivered", "read", "mine"}
VIEW |= CARD_FIELDS | (STANDING_FIELDS - {"why"})
SITE_FACE = {"id", "name", "desk", "accent", "phone", "online"}
ERROR = {"t", "code", "sentence", "cid", "conversation", "retry_after"}
FROM_SERVER: dict[str, set[str]] = {
    "welcome": {"t", "v", "epoch", "now", "privacy.host", "privacy.kept_days"}
    | {f"site.{name}" for name in SITE_FACE}
    | {f"conversation.{name}" for name in VIEW},
    "reset": {"t", "conversation", "epoch"} | {f"view.{name}" for name in VIEW},
    "ack": {"t", "cid", "conversation", "seq", "at"},
    "opened": {"t", "cid"} | {f"conversation.{name}" for name in VIEW},
    "error": ERROR,
    "typing": {"t", "conversation", "who"},
    "marks": {"t", "conversation", "who", "delivered", "read"},
    "pos": {"t", "now", "positions"},
    "token": {"t", "token"},
    "desk": {"t", "online"},
    "drain": {"t", "after"},
}


def check_visitors_frame(frame: dict[str, Any]) -> None:
    if frame["t"] == "events":
        for item in frame["items"]:
            check_visitors_frame({"t": "event", **item})
        assert set(frame) <= {"t", "conversation", "items", "top", "older", "more"}
    elif frame["t"] == "event":
        body = frame.pop("body")
        assert paths(frame) <= VISITOR_HEAD[frame["sender"]["kind"]], frame
        assert (paths(body) if body else set()) <= VISITOR_BODY[frame["kind"]], body
    else:
        if frame["t"] == "pos":
            frame["positions"] = 0  # its names are conversations
        assert paths(frame) <= FROM_SERVER[frame["t"]], frame


async def test_a_visitor_hears_nothing_of_staffs_in_the_whole_story(server: Server) -> None:
    visitor, claire, thread = await server.meeting("I want to move my flight, booking QX7T4P. My name is Dupont.")
    await claire.reply(thread, "Good morning!")
    await claire.do("note", conversation=thread, text="a note of staff's")
    await claire.send("typing", conversation=thread)
    await claire.reply(thread, "There is a 58 euro supplement; shall we charge the card on file?")
    held = await claire.event("held")
    await claire.reply(thread, "Your booking QX7T4P is confirmed, to be dropped.")
    dropped = await claire.event("held")
    await claire.do("drop_held", conversation=thread, held=dropped["body"]["held"])
    await claire.do("ask_check", conversation=thread)
    await server.prove(visitor, thread)
    await claire.do("show_record", conversation=thread)
    await claire.do("transfer", conversation=thread, agent=server.agent_id("odile"))
    odile = await server.agent("odile")
    await odile.watch(thread)
    await odile.do("close", conversation=thread)
    await visitor.event("closed")
    await visitor.say(thread, "One more thing")
    await visitor.send("mark", conversation=thread, read=3)
    await visitor.settle()
    again = await server.visitor(token=visitor.token)
    await again.settle()
    for client in (visitor, again):
        for data in client.raw:
            check_visitors_frame(json.loads(data))
        secret = ["a note of staff's", "to be dropped", held["body"]["held"], DUPONT]
        secret += [email_of(name) for name in ("claire", "odile")]
        secret += [server.agent_id(name) for name in ("claire", "odile")]
        secret += [claire.cookie.partition("=")[2], odile.cookie.partition("=")[2], visitor.token]
        for one in secret:
            assert one not in client.everything
    kinds = {json.loads(data).get("kind") for data in visitor.raw}
    assert {"message", "assigned", "check", "standing", "closed", "reopened"} <= kinds
