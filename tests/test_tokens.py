"""The visitor's session secret and its renewal after a step up."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from aparte import auth
from aparte.actions import following
from clients import Visitor, new_cid
from harness import BOOKING, DUPONT, Server

pytestmark = pytest.mark.both_stores


async def again(server: Server, token: str) -> Visitor:
    """Another tab, or another browser, that comes with this secret."""
    other = await server.visitor(hello=False)
    other.token = token
    return other


async def test_it_gives_every_tab_the_same_next_secret(server: Server) -> None:
    visitor, _, thread = await server.meeting()
    await server.prove(visitor, thread)
    offered = (await visitor.expect("token"))["token"]
    other = await again(server, visitor.token)  # whose own `token` frame was lost
    await other.hello()
    assert (await other.expect("token"))["token"] == offered != visitor.token


async def test_it_cuts_who_came_with_the_older_secret(server: Server) -> None:
    visitor, claire, thread = await server.meeting()
    thief = await again(server, visitor.token)
    await thief.hello()
    await server.prove(visitor, thread)
    await visitor.expect("token")
    await visitor.send("token_kept")
    assert await thief.closed() == 4401
    await claire.reply(thread, "Still here?")
    await visitor.event("message", text="Still here?")


async def test_it_cuts_who_is_still_on_the_way_in(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """The older secret was good when it came, and its socket does not watch anything yet."""
    visitor, _, thread = await server.meeting()
    await server.prove(visitor, thread)
    await visitor.expect("token")
    thief, go = await again(server, visitor.token), asyncio.Event()

    async def late(*_: Any) -> None:
        await go.wait()

    monkeypatch.setattr(following, "follow", late)
    await thief.hello()
    await visitor.send("token_kept")
    assert await thief.closed() == 4401
    go.set()


async def test_it_cuts_who_was_found_and_had_not_come_in(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    visitor, _, thread = await server.meeting()
    await server.prove(visitor, thread)
    await visitor.expect("token")
    find, found, go = auth.visitor_of, asyncio.Event(), asyncio.Event()

    async def late(*arguments: Any) -> Any:
        session = await find(*arguments)
        if not found.is_set():
            found.set()
            await go.wait()
        return session

    monkeypatch.setattr(auth, "visitor_of", late)
    thief = await again(server, visitor.token)
    await thief.send("hello", v=1, site="air", token=visitor.token)
    await found.wait()
    await visitor.send("token_kept")
    await visitor.settle()
    go.set()
    assert await thief.closed() == 4401


async def test_the_older_secret_finds_nothing_afterwards(server: Server) -> None:
    visitor, _, thread = await server.meeting()
    await server.prove(visitor, thread)
    offered = (await visitor.expect("token"))["token"]
    await visitor.send("token_kept")
    await visitor.settle()
    old, new = await again(server, visitor.token), await again(server, offered)
    assert "conversation" not in await old.hello()
    assert (await new.hello())["conversation"]["id"] == thread


async def test_a_saved_secret_counts_without_being_confirmed(server: Server) -> None:
    visitor, _, thread = await server.meeting()
    await server.prove(visitor, thread)
    offered = (await visitor.expect("token"))["token"]  # stored, and the line broke before `token_kept`
    new = await again(server, offered)
    assert (await new.hello())["conversation"]["standing"]["level"] == 2
    await new.settle()
    old = await again(server, visitor.token)
    assert "conversation" not in await old.hello()


async def test_nothing_is_proven_in_a_conversation_that_has_ended(server: Server) -> None:
    visitor, claire, thread = await server.meeting()
    await claire.do("ask_check", conversation=thread, reference=BOOKING)
    check = (await visitor.check("started"))["id"]
    code = await server.code(DUPONT)
    held = await claire.reply(thread, "There is a 58 euro supplement; shall we charge the card on file?")
    await claire.do("close", conversation=thread)
    await claire.event("dropped", held=held["held"])
    assert await visitor.refused("code", conversation=thread, check=check, code=code) == "bad_state"
    assert await visitor.refused("start_check", conversation=thread, reference=BOOKING) == "bad_state"


async def test_a_repeated_code_counts_once_and_is_answered_alike(server: Server) -> None:
    visitor, claire, thread = await server.meeting()
    await claire.do("ask_check", conversation=thread, reference=BOOKING)
    check = (await visitor.check("started"))["id"]
    code = await server.code(DUPONT)
    wrong, right = new_cid(), new_cid()
    for _ in range(4):
        assert await visitor.refused("code", cid=wrong, conversation=thread, check=check, code="0") == "code_refused"
    assert server.rows("SELECT tries FROM identity_check") == [(1,)]
    for _ in range(2):
        await visitor.do("code", cid=right, conversation=thread, check=check, code=code)
    assert server.audited(thread).count("check.success") == 1
