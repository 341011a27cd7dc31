"""Twin of actions/inbox.py: who sees which line, and what it says."""

from __future__ import annotations

from typing import Any

import pytest

from aparte.actions import inbox
from aparte.actions.parts import Parts
from aparte.errors import StoreDown
from aparte.frames import Entry
from aparte.model import AgentCaller
from clients import AgentDesk
from harness import BOOKING, Server, Start
from threads import make_thread

pytestmark = pytest.mark.both_stores


async def line(desk: AgentDesk, thread: str, **fields: Any) -> dict[str, Any]:
    """The first line of this conversation that has these fields."""
    while True:
        entry: dict[str, Any] = (await desk.expect("inbox"))["entry"]
        if entry["id"] == thread and all(entry.get(name) == value for name, value in fields.items()):
            return entry


async def test_it_shows_the_queue_oldest_first_and_the_own_ones(server: Server) -> None:
    threads = []
    for number in range(3):
        visitor = await server.visitor()
        threads.append(await visitor.open(f"Hello {number}", name=f"Person {number}"))
    claire = await server.agent()
    assert [entry["id"] for entry in claire.welcome["inbox"]] == threads
    first = claire.welcome["inbox"][0]
    assert (first["site"], first["number"], first["state"], first["name"]) == ("air", 1, "waiting", "Person 0")
    assert (first["snippet"], first["snippet_from"], first["unread"]) == ("Hello 0", "visitor", 1)
    await claire.take(threads[1])
    marc, odile = await server.agent("marc"), await server.agent("odile")
    assert [entry["id"] for entry in marc.welcome["inbox"]] == [threads[0], threads[2]]
    assert {entry["id"] for entry in odile.welcome["inbox"]} == set(threads)
    again = await server.agent_again(claire.cookie)
    assert [entry["id"] for entry in again.welcome["inbox"]] == [threads[0], threads[2], threads[1]]


async def test_it_tells_of_new_lines_and_of_lines_that_go(server: Server) -> None:
    claire, marc, odile = [await server.agent(name) for name in ("claire", "marc", "odile")]
    visitor = await server.visitor()
    thread = await visitor.open("Hello")
    for desk in (claire, marc, odile):
        assert (await line(desk, thread))["snippet"] == "Hello"
    await claire.do("claim", conversation=thread)
    await line(claire, thread, state="assigned", agent=server.agent_id("claire"))
    await marc.expect("gone", conversation=thread)
    await line(odile, thread, state="assigned")
    await visitor.say(thread, "Are you there?")
    await line(claire, thread, snippet="Are you there?", unread=2)
    await marc.settle()
    assert "Are you there?" not in marc.everything


async def test_many_lines_at_once_end_nobody_who_reads(start: Start) -> None:
    """Watched to fail where a full outbox is not written before its reader is called slow."""
    async with start(outbox_events=16) as server:
        odile = await server.agent("odile")
        threads = [(await make_thread(server.store))[1] for _ in range(150)]
        server.parts.hub.changed |= set(threads)
        await inbox.refresh(server.parts)
        await odile.settle()
        assert odile.socket.close_code is None
        assert server.parts.hub.turn.slow == 0
        assert all(thread in odile.everything for thread in threads)


async def test_a_line_says_what_waits_at_the_gate_and_what_is_proven(server: Server) -> None:
    visitor, claire, thread = await server.meeting()
    await claire.reply(thread, f"Your booking {BOOKING} is confirmed.")
    await line(claire, thread, held=1)
    assert "confirmed" not in str([one for one in claire.raw if '"t":"inbox"' in one])
    await server.prove(visitor, thread)
    await line(claire, thread, level=2, snippet=f"Your booking {BOOKING} is confirmed.")


async def test_a_snippet_is_short(server: Server) -> None:
    visitor, claire = await server.visitor(), await server.agent()
    thread = await visitor.open("x" * 4000)
    assert (await line(claire, thread))["snippet"] == "x" * 120


async def test_a_touched_row_spoils_its_own_line_alone(start: Start) -> None:
    async with start() as server:
        for number in range(2):
            await (await server.visitor()).open(f"Hello {number}", name="Dupont")
        server.change("UPDATE conversation SET about = x'00' WHERE number = 1")
        server.change(
            "UPDATE event SET sealed = x'00' WHERE conversation_id = (SELECT id FROM conversation WHERE number = 1)"
        )
        claire = await server.agent()
        first, second = claire.welcome["inbox"]
        assert (first.get("name", ""), first.get("snippet", "")) == ("", "")
        assert (second["name"], second["snippet"]) == ("Dupont", "Hello 1")
        reset = await claire.watch(second["id"])
        assert reset["view"]["entry"]["name"] == "Dupont"
        reset = await claire.watch(first["id"])  # and it can still be opened
        assert reset["view"]["entry"].get("name", "") == ""
        await claire.event("unreadable")


async def test_it_loses_no_line_to_a_store_that_is_down_once(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    claire, visitor = await server.agent(), await server.visitor()
    read, down = server.store.read, [True]

    async def sick(query: Any) -> Any:
        if down and "refresh" in query.__qualname__:
            down.clear()
            raise StoreDown
        return await read(query)

    monkeypatch.setattr(server.store, "read", sick)
    thread = await visitor.open("Hello")
    assert (await line(claire, thread))["snippet"] == "Hello"
    assert not down


async def test_no_line_comes_before_the_welcome(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    visitor = await server.visitor()
    thread = await visitor.open("Hello")
    lines = inbox.lines

    async def slow(parts: Parts, caller: AgentCaller) -> list[Entry]:
        found = await lines(parts, caller)
        await visitor.say(thread, "Is anybody there?")
        await inbox.refresh(parts)
        return found

    monkeypatch.setattr(inbox, "lines", slow)
    claire = await server.agent()
    assert '"t":"welcome"' in claire.raw[0]
    assert claire.welcome["inbox"][0]["snippet"] == "Hello"
    assert (await line(claire, thread))["snippet"] == "Is anybody there?"
    assert server.parts.greeted == {}


async def test_it_counts_the_wait_from_the_oldest_message_without_an_answer(server: Server) -> None:
    visitor = await server.visitor()
    claire = await server.agent()
    thread = await visitor.open("Hello")
    asked = (await line(claire, thread))["since"]
    server.skip(60)
    await claire.take(thread)
    assert (await line(claire, thread, state="assigned"))["since"] == asked
    await visitor.say(thread, "Are you there?")
    server.skip(60)
    held = (await claire.reply(thread, f"Your booking {BOOKING} is confirmed."))["held"]
    assert (await line(claire, thread, held=1))["since"] == asked  # what is held is no answer
    await claire.do("drop_held", conversation=thread, held=held)
    await claire.reply(thread, "Good morning")
    await visitor.say(thread, "My booking")
    anew = (await line(claire, thread, snippet="My booking"))["since"]
    assert anew >= asked + 120
    server.skip(60)
    await claire.do("close", conversation=thread)
    await visitor.say(thread, "One more thing")
    assert (await line(claire, thread, state="waiting"))["since"] >= anew + 60  # closed is as good as answered
