"""Twin of actions/following.py: back into a thread without a gap, whatever happened meanwhile."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Callable, Iterable
from typing import Any

import pytest
import websockets

from aparte.actions import following
from aparte.jobs import Jobs
from aparte.peers import Peer
from clients import AgentDesk, Visitor, new_cid
from harness import Server, Start
from threads import append, note


def last(client: Visitor | AgentDesk, thread: str) -> dict[str, Any]:
    """What the browser says of itself when it comes back."""
    return {"conversation": thread, "last_seq": client.tops[thread], "epoch": client.welcome["epoch"]}


def numbers(client: Visitor | AgentDesk) -> list[int]:
    """The numbers of all events that came, in order of arrival."""
    found: list[int] = []
    for data in client.raw:
        frame = json.loads(data)
        if frame["t"] == "event":
            found.append(frame["seq"])
        elif frame["t"] == "events" and not frame.get("older"):
            found += [item["seq"] for item in frame["items"]]
    return found


async def grow(server: Server, thread: str, count: int, *, words: str = "text") -> None:
    await asyncio.gather(*(append(server.store, thread, f"{words} {number}") for number in range(count)))


# ── coming back ─────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.both_ways
async def test_a_visitor_gets_what_was_missed_and_nothing_else(server: Server) -> None:
    visitor, claire, thread = await server.meeting()
    await visitor.settle()
    mine = last(visitor, thread)
    await visitor.leave()
    for text in ("one", "two"):
        await claire.reply(thread, text)
        await claire.do("note", conversation=thread, text="between")
    again = await server.visitor(token=visitor.token, **mine)
    await again.settle()
    assert numbers(again) == [mine["last_seq"] + 1, mine["last_seq"] + 2]
    assert "reset" not in again.types()
    assert [one["body"]["text"] for one in again.heard("message")] == ["one", "two"]


async def test_a_visitor_who_missed_nothing_gets_nothing(server: Server) -> None:
    visitor, _, thread = await server.meeting()
    await visitor.settle()
    again = await server.visitor(token=visitor.token, **last(visitor, thread))
    await again.settle()
    assert numbers(again) == []
    assert "reset" not in again.types()


@pytest.mark.both_ways
async def test_what_a_visitor_holds_is_reset_when_it_cannot_be_right(server: Server) -> None:
    visitor, _, thread = await server.meeting()
    held: list[dict[str, Any]] = [{"epoch": "another"}, {"epoch": ""}, {"last_seq": 99}, {"last_seq": 0}]
    for said in held:
        mine = {**last(visitor, thread), **said}
        again = await server.visitor(token=visitor.token, hello=False)
        await again.send("hello", v=1, site="air", token=visitor.token, **mine)
        view = (await again.expect("reset", conversation=thread))["view"]
        await again.settle()
        assert numbers(again) == list(range(1, view["top"] + 1)), said


@pytest.mark.both_ways
@pytest.mark.parametrize(("missed", "is_reset"), [(500, False), (501, True)])
async def test_a_gap_of_more_than_500_is_reset(server: Server, missed: int, is_reset: bool) -> None:
    visitor, claire, thread = await server.meeting()
    await visitor.settle()
    await claire.settle()
    mine, hers = last(visitor, thread), claire.tops[thread]
    await visitor.leave()
    await claire.leave()
    server.clients.clear()
    await grow(server, thread, missed)
    again = await server.visitor(token=visitor.token, **mine)
    await again.settle()
    top = mine["last_seq"] + missed
    assert numbers(again) == (list(range(top - 99, top + 1)) if is_reset else list(range(top - missed + 1, top + 1)))
    assert ("reset" in again.types()) == is_reset
    desk = await server.agent_again(claire.cookie, conversations={thread: hers}, epoch=claire.welcome["epoch"])
    reset = await desk.expect("reset")
    await desk.settle()
    assert bool(reset.get("resumed")) != is_reset
    assert numbers(desk)[-1] == hers + missed
    assert len(numbers(desk)) == (100 if is_reset else missed)


@pytest.mark.both_ways
async def test_an_agent_comes_back_to_the_open_tabs(server: Server) -> None:
    visitor, claire, thread = await server.meeting()
    await claire.settle()
    mine = {"conversations": {thread: claire.tops[thread]}, "epoch": claire.welcome["epoch"]}
    await claire.leave()
    server.clients.remove(claire)
    await visitor.say(thread, "Are you there?")
    desk = await server.agent_again(claire.cookie, **mine)
    assert (await desk.expect("reset", conversation=thread))["resumed"]
    await desk.event("message", text="Are you there?")
    await visitor.say(thread, "Hello?")
    await desk.event("message", text="Hello?")


@pytest.mark.both_ways
async def test_an_agent_who_may_no_longer_see_it_is_told_so(server: Server) -> None:
    _, claire, thread = await server.meeting()
    marc = await server.sign_in("marc")
    desk = await server.agent_again(marc, conversations={thread: 1, "t" * 22: 1})
    for one in (thread, "t" * 22):
        assert (await desk.expect("error", conversation=one))["code"] == "not_found"
    await claire.reply(thread, "Between us")
    await desk.settle()
    assert "Between us" not in desk.everything


@pytest.mark.both_ways
async def test_nothing_is_missed_or_doubled_while_coming_in(start: Start) -> None:
    """Messages flow while sockets join: each joins somewhere else, and all see the same row of numbers."""
    async with start(sockets_per_address=100) as server:
        visitor, claire, thread = await server.meeting()
        pouring = asyncio.create_task(grow(server, thread, 400))
        tabs = [await server.visitor(token=visitor.token) for _ in range(12)]
        await pouring
        await append(server.store, thread, "the end")
        for client in (visitor, claire, *tabs):
            await client.event("message", text="the end")
            found = numbers(client)
            assert found == list(range(found[0], found[0] + len(found)))
            assert found[-1] == (claire if client is claire else visitor).tops[thread]


@pytest.mark.both_ways
@pytest.mark.parametrize("words", ["x" * 500, "🙂" * 3900, "\1" * 3900])
async def test_a_long_backlog_does_not_overflow_a_small_outbox(start: Start, words: str) -> None:
    """Texts of the greatest length, as UTF-8 and as JSON: a page of a hundred of them is 1.5 or 2.3 MiB."""
    async with start(outbox_events=16, outbox_bytes=128 << 10) as server:
        visitor, _, thread = await server.meeting()
        mine = last(visitor, thread)
        await visitor.leave()
        server.clients.remove(visitor)
        for _ in range(30):
            await grow(server, thread, 4, words=words)
        again = await server.visitor(token=visitor.token, **mine)
        async with asyncio.timeout(5):
            while again.tops.get(thread, 0) < mine["last_seq"] + 120:
                await again.settle()
        await again.send("history", conversation=thread, before=100)
        page = await again.expect("events", older=True)
        assert page["items"][-1]["seq"] == 99
        assert page["more"]
        assert again.socket.close_code is None


class StuckLine:
    """A connection that takes nothing until it is let go."""

    is_open = True

    def __init__(self) -> None:
        self.came = b""
        self.has_room = False
        self.on_room: Callable[[], None] | None = None

    def let_go(self) -> None:
        self.has_room = True
        if self.on_room is not None:
            self.on_room()

    def write_texts(self, texts: Iterable[bytes]) -> None:
        self.came += b"".join(texts)

    def abort(self) -> None:
        self.let_go()

    async def close(self, _code: int) -> None:
        self.abort()


async def test_a_backlog_that_waits_for_a_slow_agent_ends_with_the_right_to_see_it(start: Start) -> None:
    async with start(outbox_bytes=128 << 10) as server:
        visitor = await server.visitor()
        thread = await visitor.open("Hello")
        await visitor.leave()
        await grow(server, thread, 60, words="x" * 3900)
        claire = await server.agent()
        await claire.do("claim", conversation=thread)
        line = StuckLine()
        peer = Peer(line, line.close, 256, 128 << 10, 5.0, server.parts.hub.agents()[0].caller)
        server.parts.hub.join(peer)
        coming = asyncio.create_task(following.follow(server.parts, peer, thread, 0, ""))
        await asyncio.sleep(0.3)
        assert not coming.done()
        await claire.do("transfer", conversation=thread, agent=server.agent_id("marc"))
        line.let_go()
        await asyncio.wait_for(coming, 2)
        await asyncio.sleep(0.1)
        server.parts.hub.leave(peer)
        assert b"x 0" in line.came
        assert b"x 59" not in line.came


async def test_a_conversation_is_shown_once_there_is_room_behind_the_inbox(server: Server) -> None:
    """Watched to fail where it does not wait: the socket was ended as if its reader were slow."""
    _, _, thread = await server.meeting()
    line = StuckLine()
    peer = Peer(line, line.close, 4, 128 << 10, 5.0, server.parts.hub.agents()[0].caller)
    for _ in range(4):
        peer.push(b"{}")
    coming = asyncio.create_task(following.follow(server.parts, peer, thread, 0, ""))
    await asyncio.sleep(0.3)
    assert peer.ending is None
    line.let_go()
    await asyncio.wait_for(coming, 2)
    await asyncio.sleep(0.1)
    server.parts.hub.unwatch(peer, thread)
    assert b'"t":"reset"' in line.came
    assert peer.ending is None


async def test_hidden_events_alone_are_no_backlog(server: Server) -> None:
    visitor, claire, thread = await server.meeting()
    await visitor.settle()
    for number in range(3):
        await note(server.store, thread, f"note {number}")
    again = await server.visitor(token=visitor.token, **last(visitor, thread))
    await claire.reply(thread, "After the notes")
    await again.event("message", text="After the notes")
    assert "note 1" not in again.everything


# ── looking back, and finding a gap ─────────────────────────────────────────────────────────────────────────────


@pytest.mark.both_ways
async def test_history_comes_in_pages(server: Server) -> None:
    visitor, claire, thread = await server.meeting()
    await visitor.settle()
    await claire.settle()
    await grow(server, thread, 250)
    await note(server.store, thread, "a note")
    for client, top in ((visitor, 252), (claire, 253)):
        seen: list[int] = []
        before = top + 1
        while True:
            await client.send("history", conversation=thread, before=before)
            page = await client.expect("events", older=True)
            found = [item["seq"] for item in page["items"]]
            assert found == sorted(found)
            assert len(found) <= 100
            seen = found + seen
            before = found[0]
            assert len(found) == 100 or not page.get("more")
            if not page.get("more"):
                break
        assert seen == list(range(1, top + 1))
    assert "a note" not in visitor.everything


@pytest.mark.both_ways
async def test_a_client_that_finds_a_gap_asks_again(server: Server) -> None:
    visitor, claire, thread = await server.meeting()
    await claire.reply(thread, "one")
    await visitor.event("message", text="one")
    top = visitor.tops[thread]
    visitor.tops[thread] = 1
    await visitor.send("resync", conversation=thread, last_seq=1)
    await visitor.event("message", text="one")
    assert visitor.tops[thread] == top
    await claire.reply(thread, "two")
    await visitor.event("message", text="two")


@pytest.mark.both_ways
async def test_positions_are_told_as_the_store_has_them(server: Server) -> None:
    visitor, claire, thread = await server.meeting()
    await visitor.settle()
    await claire.do("note", conversation=thread, text="a note")
    await Jobs(server.parts)._positions()
    assert (await visitor.expect("pos"))["positions"] == {thread: 2}
    assert (await claire.expect("pos"))["positions"] == {thread: 3}


# ── one who does not read ───────────────────────────────────────────────────────────────────────────────────────


async def test_one_who_never_reads_is_cut_and_the_others_go_on(start: Start) -> None:
    async with start(stalled_seconds=0.5, outbox_bytes=256 << 10) as server:
        visitor, claire, thread = await server.meeting()
        narrow = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        narrow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        narrow.connect(("127.0.0.1", server.settings.port))
        narrow.setblocking(False)
        deaf = await websockets.connect(
            f"{server.url.replace('http', 'ws')}/ws/visitor", origin=server.url, sock=narrow, max_queue=1
        )
        await deaf.send(json.dumps({"t": "hello", "v": 1, "site": "air", "token": visitor.token}))
        await asyncio.sleep(0.2)
        assert len(server.parts.hub.peers) == 3
        for _ in range(150):
            await grow(server, thread, 15, words="x" * 3900)
            await visitor.settle()
            if any(peer.ending for peer in server.parts.hub.peers):
                break
        async with asyncio.timeout(3):
            while len(server.parts.hub.peers) > 2:  # noqa: ASYNC110 (the server's own set)
                await asyncio.sleep(0.05)
        await claire.reply(thread, "Still here")
        await visitor.event("message", text="Still here")
        deaf.transport.abort()
        again = await server.visitor(token=visitor.token, **last(visitor, thread))  # it resumes whole
        await again.settle()
        assert "reset" not in again.types()


async def test_who_comes_back_in_another_language_reads_the_desks_name_in_it(server: Server) -> None:
    visitor, _, thread = await server.meeting("Hello")
    again = await server.visitor(token=visitor.token, lang="fr")
    assert again.welcome["conversation"]["agent"]["role"] == "Service des réservations"
    for _ in range(2):  # after the welcome, and when it is read anew
        reset = await again.expect("reset", conversation=thread)
        assert reset["view"]["agent"]["role"] == "Service des réservations"
        await again.send("resync", conversation=thread, last_seq=10_000)


async def test_who_comes_back_in_another_language_reads_who_answers_in_it(server: Server) -> None:
    visitor, claire, thread = await server.meeting("Hello")
    again = await server.visitor(token=visitor.token, lang="fr")
    await again.settle()
    await claire.do("transfer", conversation=thread, agent=server.agent_id("odile"))
    for reader, desk in ((again, "Service des réservations"), (visitor, "Bookings desk")):
        for name in ("Claire", "Odile"):  # what was, and live
            assert (await reader.event("assigned"))["body"] == {"agent": {"name": name, "role": desk}}


async def test_an_opening_that_is_repeated_in_another_language_is_answered_in_it(server: Server) -> None:
    visitor, claire = await server.visitor(), await server.agent()
    opening = {"cid": new_cid(), "text": "Hello"}
    await claire.take((await visitor.do("open", **opening))["conversation"]["id"])
    again = await server.visitor(token=visitor.token, lang="fr")
    assert (await again.do("open", **opening))["conversation"]["agent"]["role"] == "Service des réservations"
