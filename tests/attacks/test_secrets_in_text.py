"""SCOREBOARD 23: a card number, security code or IBAN is never kept, sent or logged whole, whatever way it comes in.

Every disguise of tests/data/disguises.json goes through every field of the running server that takes a text. The
guard's own tests hold what is found; these hold that no way leads past it.

Watched to fail: each path without the guard (message, reply, note, reason, and what opens a conversation); a second half
that is not read after the first, in notes, in one commit, or after the other side's text; a repeat that is judged by the
cleaned text; a reference and an option that are taken with a card in them.
"""

from __future__ import annotations

import itertools
import json
import unicodedata
from pathlib import Path
from typing import Any

import pytest

from aparte.store import conversations, events
from clients import Client, Visitor, new_cid, new_visitor_token
from harness import BOOKING, Server, Start

DISGUISES = json.loads((Path(__file__).parents[1] / "data" / "disguises.json").read_text())
# What holds NUL is no frame at all; see test_hostile_frames.py.
CASES = [case for case in DISGUISES if "\x00" not in case["text"]]
SECRETS = [case for case in CASES if case["found"]]
HARMLESS = [case for case in CASES if not case["found"]]
CARD = "4242424242424242"
# The networks' public test numbers that the disguises are made of.
NUMBERS = (
    CARD,
    "5555555555554444",
    "2223003122003222",
    "378282246310005",
    "30569309025904",
    "6011111111111117",
    "3530111333300000",
    "6205500000000000004",
    "6759649826438453",
    "4222222222222",
)
LONGER = [case["text"] for case in HARMLESS if len(case["text"]) > 16 and CARD in case["text"].replace(" ", "")]
RAISED = {"messages_per_10s": 100_000, "agent_messages_per_10s": 100_000, "frames_per_10s": 100_000}
TALK = "Thank you very much"  # between two cases, so that none completes the one before
BROWSER = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0)"


def digits(text: str) -> str:
    """All digits of a text, in any script: read without the guard's own reader."""
    values = (unicodedata.digit(one, None) for one in unicodedata.normalize("NFKC", text))
    return "".join(str(value) for value in values if value is not None)


def whole_numbers(text: str) -> list[str]:
    """The card numbers that stand whole in a text."""
    found = digits(text)
    return [number for number in NUMBERS if number in found]


def strings(value: Any) -> list[str]:
    """Every text in a frame."""
    if isinstance(value, dict):
        return [text for one in value.values() for text in strings(one)]
    if isinstance(value, list):
        return [text for one in value for text in strings(one)]
    return [value] if isinstance(value, str) else []


def is_leak(text: str) -> bool:
    """Whether a card number stands whole in a text, other than as a piece of a longer, harmless one."""
    return bool(whole_numbers(text)) and not any(one in text for one in LONGER)


def heard_whole(people: list[Client]) -> list[str]:
    return [text for one in people for raw in one.raw for text in strings(json.loads(raw)) if is_leak(text)]


async def kept_whole(server: Server) -> list[str]:
    """Card numbers in what the store would read out: every event, and what the browser told."""

    def query(connection: Any) -> list[str]:
        found = []
        for (thread,) in server.rows("SELECT id FROM conversation"):
            row = conversations.find(connection, thread)
            assert row is not None
            about = conversations.about(server.store.vault, row)
            found += [about.name, about.page, about.title, about.browser]
            for stored in events.page(connection, server.store.vault, row, for_visitor=False, limit=10_000):
                assert stored.kind != "unreadable"
                found += [str(getattr(stored.body, "text", ""))]
        return found

    texts = await server.store.read(query)
    assert len(texts) > 4
    return [text for text in texts if is_leak(text)]


def test_the_reader_of_these_tests_sees_the_numbers() -> None:
    seen = [case for case in SECRETS if "previous" not in case and whole_numbers(case["text"])]
    assert len(seen) >= 60
    assert not any(is_leak(case["clean"]) for case in CASES)
    assert {number for case in SECRETS for number in whole_numbers(case["text"])} >= set(NUMBERS)


# ── every field ─────────────────────────────────────────────────────────────────────────────────────────────────


def events_of(client: Client) -> list[dict[str, Any]]:
    """The events that came: live, or with the pages of who has just come in."""
    found = []
    for frame in map(json.loads, client.raw):
        found += [frame] if frame["t"] == "event" else frame["items"] if frame["t"] == "events" else []
    return found


async def last_text(client: Client, kinds: tuple[str, ...]) -> str:
    """The latest text of these kinds."""
    await client.settle()
    return str(next(one["body"]["text"] for one in reversed(events_of(client)) if one["kind"] in kinds))


async def say_all(writer: Client, way: str, thread: str, cases: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Sends each case, after the message before it, without waiting for each; returns the cases by client id."""
    sent = {}
    for number, case in enumerate(cases):
        cid = new_cid()
        sent[cid] = case
        await writer.send(way, conversation=thread, text=case.get("previous", TALK), cid=new_cid())
        await writer.send(way, conversation=thread, text=case["text"], cid=cid)
        if number % 20 == 19:
            await writer.settle()
    await writer.expect("ack", cid=cid)  # a ping is answered at once, and a message when it is stored
    return sent


@pytest.mark.parametrize("way", ["visitor's", "agent's", "note"])
async def test_no_message_carries_a_secret(start: Start, way: str) -> None:
    async with start(**RAISED) as server:
        visitor, desk, thread = await server.meeting("Hello")
        writer: Client = visitor if way == "visitor's" else desk
        sent = await say_all(writer, "note" if way == "note" else "post", thread, CASES)
        await desk.settle()
        bodies = {one["cid"]: one["body"] for one in events_of(desk) if one.get("cid")}
        assert [case["name"] for cid, case in sent.items() if bodies[cid]["text"] != case["clean"]] == []
        if way == "visitor's":
            own = {one["cid"]: one["body"] for one in events_of(visitor) if one.get("cid")}
            assert [case["name"] for cid, case in sent.items() if own[cid]["text"] != case["clean"]] == []
            assert [case["name"] for cid, case in sent.items() if own[cid].get("removed", []) != case["found"]] == []
        assert heard_whole([visitor, desk]) == []
        assert await kept_whole(server) == []
        assert whole_numbers(" ".join(map(str, server.rows("SELECT detail, actor_id FROM audit")))) == []


async def test_nothing_that_opens_a_conversation_carries_a_secret(start: Start) -> None:
    async with start(sockets_per_address=1000, **RAISED) as server:
        lead = await server.agent("odile")
        short = [case for case in CASES if "previous" not in case and len(case["text"]) <= 80]
        first = [case for case in CASES if "previous" not in case]
        wrong = []
        for at in range(0, len(first), 4):
            by_field = {
                "text": first[at],
                **{
                    field: (short + short)[at + step] for step, field in enumerate(("name", "title", "page", "browser"))
                },
            }
            given = {field: case["text"] for field, case in by_field.items()}
            told = given.pop("browser")
            given["page"] = f"https://www.airline.example/pay/{given['page']}/now?card={CARD}#{CARD}"
            browser = f"{BROWSER} {told if told.isascii() and told.isprintable() else CARD}"
            visitor = Visitor(await server.socket("visitor", user_agent_header=browser), new_visitor_token())
            server.clients.append(visitor)
            await visitor.hello()
            thread = await visitor.open(given.pop("text"), **given)
            view = (await lead.watch(thread))["view"]
            page = await lead.expect("events", conversation=thread)
            said = next(one for one in page["items"] if one["kind"] == "message")["body"]["text"]
            shown = {"text": said, "name": view["entry"].get("name", ""), "title": view["page"].get("title", "")}
            wrong += [f"{field}: {text!r}" for field, text in shown.items() if text != by_field[field]["clean"]]
            wrong += [f"page: {view['page']['url']}"] if is_leak(view["page"]["url"]) else []
            wrong += [f"browser: {view['browser']}"] if is_leak(view["browser"]) else []
        assert wrong == []
        assert heard_whole([lead]) == []
        assert await kept_whole(server) == []


async def test_no_reason_for_an_override_carries_a_secret(start: Start) -> None:
    async with start(**RAISED) as server:
        visitor, desk, thread = await server.meeting("Hello")
        lead = await server.agent("odile")
        cases = [case for case in CASES if "previous" not in case and 3 <= len(case["text"]) <= 200][::3]
        for case in cases:
            held = (await desk.reply(thread, "Your flight to Toronto is booked."))["held"]
            await lead.do("override", conversation=thread, held=held, reason=case["text"])
        await desk.settle()
        notes = [one["body"]["text"] for one in events_of(desk) if one["kind"] == "note"]
        assert len(notes) == len(cases)
        assert [case["name"] for case, text in zip(cases, notes, strict=True) if text != case["clean"]] == []
        assert heard_whole([visitor, desk, lead]) == []
        assert await kept_whole(server) == []


@pytest.mark.parametrize("text", [CARD, "4242 4242 4242 4242", "٤٢٤٢٤٢٤٢٤٢٤٢٤٢٤٢", "NL91ABNA0417164300"])
async def test_a_secret_is_no_reference_and_no_option(server: Server, text: str) -> None:
    visitor, desk, thread = await server.meeting("Hello")
    assert await visitor.refused("start_check", conversation=thread, reference=text) == "bad_reference"
    assert await desk.refused("ask_check", conversation=thread, reference=text) == "bad_reference"
    await server.prove(visitor, thread, BOOKING)
    answer = await desk.ask("change", conversation=thread, option=text)
    await desk.settle()
    assert heard_whole([visitor, desk]) == []
    assert answer["t"] == "error"
    assert server.rows("SELECT 1 FROM outbox WHERE kind = 'act.change'") == []


# ── two messages, and what happens between ──────────────────────────────────────────────────────────────────────

FIRST, SECOND, CLEAN = "My card is 4242 4242", "4242 4242, thanks", "[card ending 4242], thanks"


async def test_a_number_in_two_messages_is_seen_through_a_retry_and_a_reconnect(server: Server) -> None:
    visitor, desk, thread = await server.meeting("Hello")
    one, two = new_cid(), new_cid()
    await visitor.send("post", conversation=thread, text=FIRST, cid=one)
    await visitor.leave()  # the answer is lost
    again = await server.visitor(token=visitor.token, conversation=thread)
    first = await again.do("post", conversation=thread, text=FIRST, cid=one)
    second = await again.do("post", conversation=thread, text=SECOND, cid=two)
    await again.leave()
    third = await server.visitor(token=visitor.token, conversation=thread)
    assert (await third.do("post", conversation=thread, text=SECOND, cid=two))["seq"] == second["seq"]
    assert (await third.do("post", conversation=thread, text=FIRST, cid=one))["seq"] == first["seq"]
    await desk.event("message", text=FIRST)
    await desk.event("message", text=CLEAN)
    for client in (third, desk):
        await client.settle()
        assert SECOND not in client.everything
    assert desk.heard("message")[1:] == []


async def test_a_repeat_is_recognised_by_what_was_received(server: Server) -> None:
    visitor, _, thread = await server.meeting("Hello")
    cid = new_cid()
    await visitor.do("post", conversation=thread, text=f"Pay with {CARD}", cid=cid)
    assert (await visitor.do("post", conversation=thread, text=f"Pay with {CARD}", cid=cid))["t"] == "ack"
    code = await visitor.refused("post", conversation=thread, text="Pay with [card ending 4242]", cid=cid)
    assert code == "cid_conflict"


@pytest.mark.parametrize("between", ["an answer", "the end", "a note", "a transfer", "another conversation"])
async def test_a_number_in_two_messages_is_seen_whatever_comes_between(server: Server, between: str) -> None:
    visitor, desk, thread = await server.meeting("Hello")
    await visitor.say(thread, FIRST)
    match between:
        case "an answer":
            await desk.reply(thread, "One moment")
        case "the end":
            await visitor.do("end", conversation=thread)
        case "a note":
            await desk.do("note", conversation=thread, text="Why would she write that?")
        case "a transfer":
            await desk.do("transfer", conversation=thread, agent=server.agent_id("odile"))
        case _:
            await (await server.visitor()).open("Something else entirely")
    await visitor.say(thread, SECOND)
    await visitor.event("message", text=CLEAN)
    assert SECOND not in visitor.everything


async def test_a_number_in_the_first_message_and_the_second_is_seen(server: Server) -> None:
    visitor = await server.visitor()
    thread = await visitor.open(FIRST)
    await visitor.say(thread, SECOND)
    await visitor.event("message", text=CLEAN)


async def test_a_number_in_messages_sent_without_waiting_is_seen(start: Start) -> None:
    """They may be written in one commit, before any of them can be read back."""
    async with start(**RAISED) as server:
        visitor, desk, thread = await server.meeting("Hello")
        other = await server.visitor(token=visitor.token)
        for number in range(20):
            await visitor.say(thread, TALK)
            halves = [(visitor, FIRST), (visitor if number % 2 else other, SECOND)]
            for client, text in halves:
                await client.send("post", conversation=thread, text=text, cid=new_cid())
            for client, _ in halves:
                await client.expect("ack")
        await desk.settle()
        texts = [frame["body"]["text"] for frame in desk.heard("message")]
        assert len(texts) >= 60
        for before, text in itertools.pairwise(texts):
            assert CARD not in digits(before + text), (before, text)


async def test_a_number_in_two_replies_is_seen_when_the_first_is_held(server: Server) -> None:
    _, desk, thread = await server.meeting("Hello")
    held = await desk.reply(thread, "Your booking is paid with 4242 4242")
    assert held["held"]
    await desk.reply(thread, SECOND)
    assert await last_text(desk, ("message", "held")) == CLEAN


async def test_a_number_in_two_notes_is_seen(server: Server) -> None:
    _, desk, thread = await server.meeting("Hello")
    await desk.do("note", conversation=thread, text=FIRST)
    await desk.reply(thread, "One moment please")
    await desk.do("note", conversation=thread, text=SECOND)
    assert await last_text(desk, ("note",)) == CLEAN
