"""Twin of jobs.py and actions/expiry.py: what happens when nobody asks."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from contextlib import closing

import pytest
import structlog.testing

from aparte.actions import expiry, people
from aparte.errors import AparteError, StoreDown, TooMany
from aparte.jobs import Jobs
from aparte.peers import Peer
from clients import AgentDesk, new_cid
from harness import PASSWORD, Server, Start, email_of


async def end_of_session(server: Server, desk: AgentDesk, how: str) -> None:
    match how:
        case "sign-out":
            assert (await server.post("/api/logout", cookie=desk.cookie)).status_code == 204
        case "disabled":
            await people.set_disabled(server.store, email_of("claire"))
        case "password":
            await people.set_password(server.store, email_of("claire"), "another long password")
        case "too old":
            server.change("UPDATE agent_session SET expires_at = 1")
        case "idle":
            server.change("UPDATE agent_session SET seen_at = 1")


@pytest.mark.parametrize("how", ["sign-out", "disabled", "password", "too old", "idle"])
async def test_a_session_that_ended_hears_nothing_after_a_second(server: Server, how: str) -> None:
    visitor, claire, thread = await server.meeting()
    second = await server.agent_again(claire.cookie)
    await end_of_session(server, claire, how)
    async with asyncio.timeout(1):
        assert await claire.closed() == 4401
        assert await second.closed() == 4401
    await visitor.say(thread, "Who hears this?")
    assert "Who hears this?" not in claire.everything + second.everything
    assert (await server.http.get("/api/me", headers={"cookie": claire.cookie})).status_code == 204
    assert (await server.post("/api/ticket", cookie=claire.cookie)).status_code == 401
    with pytest.raises(Exception, match="403"):
        await server.socket("agent", cookie=claire.cookie)


@pytest.mark.parametrize("how", ["sign-out", "disabled", "password", "too old", "idle"])
async def test_a_session_that_ended_before_hello_hears_nothing(server: Server, how: str) -> None:
    """A socket that waits with its hello is in nobody's list of open ones: hello itself has to ask."""
    visitor = await server.visitor()
    thread = await visitor.open("Who hears this?")
    cookie = await server.sign_in()
    ticket = await server.ticket(cookie)
    desk = AgentDesk(await server.socket("agent", cookie=cookie), cookie)
    await end_of_session(server, desk, how)
    await desk.send("hello", v=1, ticket=ticket, conversations={thread: 0})
    assert await desk.closed() == 4401
    assert desk.types() == ["error"]
    assert "Who hears this?" not in desk.everything


async def test_it_ends_the_session_that_ended_and_no_other(server: Server) -> None:
    claire, elsewhere = await server.agent(), await server.agent()
    marc = await server.agent("marc")
    await end_of_session(server, claire, "sign-out")
    assert await claire.closed() == 4401
    await asyncio.sleep(0.6)  # longer than between two looks
    for desk in (elsewhere, marc):
        await desk.settle()
    assert PASSWORD not in elsewhere.everything


async def test_an_agent_at_work_stays_signed_in_and_one_who_has_left_does_not(start: Start) -> None:
    async with start(session_idle_seconds=300) as server:
        _, claire, thread = await server.meeting()
        marc = await server.agent("marc")
        for _ in range(3):
            server.skip(200)
            await claire.reply(thread, "One moment")
            await marc.settle()  # his panel is open and asks whether the line lives
            await Jobs(server.parts)._seen()
        assert await marc.closed() == 4401
        await claire.reply(thread, "Here it is")
        await server.agent_again(claire.cookie)


@pytest.mark.parametrize("frame", ["note", "post"])
async def test_who_is_cut_is_heard_no_more(server: Server, monkeypatch: pytest.MonkeyPatch, frame: str) -> None:
    """Not even while the end of the socket is still on its way."""
    _, claire, thread = await server.meeting()
    [peer] = server.parts.hub.agents()
    close, go = peer.close, asyncio.Event()

    async def late(code: int) -> None:
        await go.wait()
        await close(code)

    monkeypatch.setattr(peer, "close", late)
    peer.cut(4401)
    await claire.send(frame, conversation=thread, cid=new_cid(), text="Am I heard?")
    await asyncio.sleep(0.5)
    go.set()
    assert await claire.closed() == 4401
    assert server.rows("SELECT count(*) FROM event WHERE sender_kind = 'agent'") == [(0,)]


async def test_many_peers_are_told_in_turns(server: Server) -> None:
    """Whatever else the loop has to do goes on in between."""
    sockets = [await server.visitor() for _ in range(3)]
    [first, *_] = server.parts.hub.peers
    crowd = [Peer(first.line, first.close, 10_000, 1 << 24, 2.0) for _ in range(2_000)]
    server.parts.hub.peers.update(crowd)
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    counting = asyncio.create_task(count())
    await Jobs(server.parts)._positions()
    counting.cancel()
    server.parts.hub.peers.difference_update(crowd)
    assert turns > 5
    for visitor in sockets:
        await visitor.expect("pos")


async def test_visitors_are_told_whether_somebody_is_at_the_desk(server: Server) -> None:
    visitor = await server.visitor()
    assert "online" not in visitor.welcome["site"]
    claire = await server.agent()
    assert (await visitor.expect("desk"))["online"]
    assert (await server.visitor()).welcome["site"]["online"]
    marc = await server.agent("marc")
    heard = await claire.expect("presence")
    while {one["name"] for one in heard["agents"] if one.get("online")} != {"Claire", "Marc"}:
        heard = await claire.expect("presence")
    for desk in (claire, marc):
        await desk.leave()
    assert not (await visitor.expect("desk")).get("online")


async def test_a_new_agent_is_seen_without_a_restart(server: Server) -> None:
    claire = await server.agent()
    await people.add_agent(server.store, "Nora", "nora@airline.example", "agent", PASSWORD)
    server.parts.store.directory.version -= 1  # as when another process had added her
    heard = await claire.expect("presence")
    while "Nora" not in {one["name"] for one in heard["agents"]}:
        heard = await claire.expect("presence")


def keys(server: Server) -> dict[str, int]:
    """How many keys of people and of conversations are kept."""
    with closing(sqlite3.connect(server.settings.keyring)) as ring:
        found = dict(ring.execute("SELECT kind, count(*) FROM key GROUP BY kind"))
    return {kind: count for kind, count in found.items() if kind in ("person", "conversation")}


async def test_what_was_closed_long_ago_is_forgotten(start: Start) -> None:
    async with start(retention_days=1) as server:
        visitor, claire, thread = await server.meeting("Forget me")
        kept = await server.visitor()
        other = await kept.open("Keep me")
        await server.prove(visitor, thread)
        await claire.do("close", conversation=thread)
        assert keys(server) == {"person": 2, "conversation": 2}
        server.skip(24 * 3600 - 60)
        assert await expiry.retention(server.parts) == 0
        await kept.say(other, "I am still here")
        server.skip(120)
        assert await expiry.retention(server.parts) == 1
        assert server.rows("SELECT id FROM conversation") == [(other,)]
        for table in ("event", "identity_check", "outbox"):
            assert server.rows(f"SELECT * FROM {table} WHERE conversation_id = ?", thread) == []
        assert (
            server.rows("SELECT count(*) FROM visitor") == server.rows("SELECT count(*) FROM visitor_session") == [(1,)]
        )
        assert keys(server) == {"person": 1, "conversation": 1}
        token = next((json.loads(data)["token"] for data in visitor.raw if '"t":"token"' in data), visitor.token)
        again = await server.visitor(token=token)
        assert "conversation" not in again.welcome
        assert "conversation.forget" in server.audited(thread)
        assert await expiry.retention(server.parts) == 0


async def test_trouble_that_stays_is_told_once(server: Server) -> None:
    trouble: list[AparteError | None] = [StoreDown(), StoreDown(), TooMany(), None, StoreDown(), None]
    done = asyncio.Event()

    async def work() -> None:
        if not trouble:
            done.set()
            return
        if (one := trouble.pop(0)) is not None:
            raise one

    task = asyncio.create_task(Jobs(server.parts)._every(0.01, work))
    async with asyncio.timeout(5):
        await done.wait()
    task.cancel()
    told = [entry["code"] for entry in server.logged if entry["event"] == "jobs.round"]
    assert told == ["store_down", "too_many", "store_down"]


async def test_a_fault_ends_no_work_for_good(server: Server) -> None:
    rounds: list[int] = []

    async def work() -> None:
        rounds.append(1)
        if len(rounds) < 3:
            raise ValueError("a fault of ours")

    with structlog.testing.capture_logs() as logged:
        task = asyncio.create_task(Jobs(server.parts)._every(0.01, work))
        while len(rounds) < 4:
            assert not task.done()
            await asyncio.sleep(0.01)
        task.cancel()
    assert [entry["event"] for entry in logged].count("jobs.fault") == 2
