"""Twin of actions/threads.py and door.py: opening, claiming, transferring, ending a conversation."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

import databases
from aparte.config import Database
from clients import new_cid, new_visitor_token
from harness import Server, Start

pytestmark = pytest.mark.both_stores

EVERYTHING = ("visitor", "visitor_session", "conversation", "event", "outbox", "identity_check", "tally")


def counted(server: Server) -> dict[str, int]:
    return {table: server.rows(f"SELECT count(*) FROM {table}")[0][0] for table in EVERYTHING}


def ring_of(server: Server) -> object:
    """All that is in the key ring."""
    place = server.settings.ring()
    return databases.rows(place, "SELECT * FROM key") if isinstance(place, Database) else place.read_bytes()


# ── opening ─────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_it_creates_nothing_before_the_first_message(server: Server) -> None:
    nothing, audit = counted(server), server.audited()
    keys = server.store.vault
    ring = ring_of(server)
    visitor = await server.visitor()
    thread = "t" * 22
    for frame in (
        {"t": "typing", "conversation": thread},
        {"t": "mark", "conversation": thread, "read": 1},
        {"t": "history", "conversation": thread, "before": 10},
        {"t": "resync", "conversation": thread, "last_seq": 0},
        {"t": "start_check", "cid": new_cid(), "conversation": thread, "reference": "QX7T4P"},
        {"t": "code", "cid": new_cid(), "conversation": thread, "check": thread, "code": "12345678"},
        {"t": "resend", "cid": new_cid(), "conversation": thread, "check": thread},
        {"t": "end", "cid": new_cid(), "conversation": thread},
        {"t": "token_kept"},
        {"t": "post", "cid": new_cid(), "conversation": thread, "text": "Hello"},
    ):
        await visitor.socket.send(json.dumps(frame))
        assert (await visitor.expect("error"))["code"] == "not_found", frame
    await visitor.settle()
    assert set(nothing.values()) == {0}
    assert counted(server) == nothing
    assert server.audited() == audit
    assert ring_of(server) == ring
    assert keys is server.store.vault
    await visitor.open("Hello")
    assert counted(server)["conversation"] == 1


async def test_it_makes_one_room_of_a_double_click(server: Server) -> None:
    visitor, cid = await server.visitor(), new_cid()
    for _ in range(3):
        await visitor.send("open", cid=cid, text="Hello")
    opened = [await visitor.expect("opened", cid=cid) for _ in range(3)]
    assert len({one["conversation"]["id"] for one in opened}) == 1
    assert counted(server) | {"outbox": 0, "tally": 0} == {**dict.fromkeys(EVERYTHING, 0)} | {
        "visitor": 1,
        "visitor_session": 1,
        "conversation": 1,
        "event": 1,
    }


async def test_it_makes_one_room_of_a_lost_answer(server: Server) -> None:
    """The browser never hears `opened`, connects again with its token, and sends the same again."""
    token, cid = new_visitor_token(), new_cid()
    first = await server.visitor(token=token)
    await first.send("open", cid=cid, text="Hello")
    await first.expect("opened")
    first.socket.transport.abort()
    again = await server.visitor(token=token)
    assert again.welcome["conversation"]["top"] == 1
    opened = await again.do("open", cid=cid, text="Hello")
    assert opened["conversation"]["id"] == again.welcome["conversation"]["id"]
    assert counted(server)["conversation"] == counted(server)["event"] == 1


async def test_it_makes_one_room_of_two_tabs_that_open_at_once(server: Server) -> None:
    token = new_visitor_token()
    tabs = [await server.visitor(token=token) for _ in range(2)]
    threads = await asyncio.gather(*(tab.open(f"Hello {number}") for number, tab in enumerate(tabs)))
    assert threads[0] == threads[1]
    assert counted(server)["conversation"] == counted(server)["visitor"] == 1
    assert counted(server)["event"] == 2


async def test_it_refuses_another_first_message_under_the_same_cid(server: Server) -> None:
    visitor, cid = await server.visitor(), new_cid()
    await visitor.open("Hello", cid=cid)
    assert await visitor.refused("open", cid=cid, text="Something else") == "cid_conflict"


async def test_it_keeps_of_the_page_what_names_nobody(server: Server) -> None:
    visitor, claire = await server.visitor(), await server.agent()
    page = "https://dupont:secret@airline.example/changes/?booking=QX7T4P&fbclid=1#me"
    thread = await visitor.open("Hello", page=page, title="Changes", name="M. Dupont")
    view = (await claire.take(thread))["view"]
    assert view["page"] == {"url": "https://airline.example/changes/", "title": "Changes"}
    assert view["entry"]["name"] == "M. Dupont"


@pytest.mark.parametrize("page", ["javascript:alert(1)", "data:text/html,x", "file:///etc/passwd", "nonsense", "//x"])
async def test_it_keeps_no_page_that_is_none(page: str) -> None:
    from aparte.actions.threads import without_query

    assert without_query(page) == ""


async def test_a_visitors_token_opens_its_own_site_alone(server: Server) -> None:
    from aparte.actions import sites
    from harness import site

    shop = site()
    await sites.add_site(server.store, type(shop)(id="shop", name="Shop"))
    visitor = await server.visitor()
    await visitor.open("Hello")
    elsewhere = await server.visitor(token=visitor.token, site="shop")
    assert "conversation" not in elsewhere.welcome
    assert await elsewhere.refused("open", text="Hello") == "not_found"
    assert counted(server)["conversation"] == 1


# ── the door ────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_another_visitor_cannot_tell_a_thread_from_nothing(server: Server) -> None:
    visitor, _, thread = await server.meeting()
    stranger = await server.visitor()
    own = await stranger.open("I am somebody else")
    absent = "t" * 22
    for frame in (
        {"t": "post", "text": "Hello"},
        {"t": "start_check", "reference": "QX7T4P"},
        {"t": "code", "check": absent, "code": "12345678"},
        {"t": "resend", "check": absent},
        {"t": "end"},
    ):
        answers = []
        for one in (thread, absent):
            answer = await stranger.ask(**frame, conversation=one)
            answers.append({**answer, "cid": ""})
        assert answers[0] == answers[1]
        assert answers[0]["code"] == "not_found"
    for frame in (
        {"t": "typing"},
        {"t": "mark", "read": 1},
        {"t": "history", "before": 5},
        {"t": "resync", "last_seq": 0},
    ):
        answers = []
        for one in (thread, absent):
            await stranger.send(**frame, conversation=one)
            answers.append(await stranger.expect("error"))
        assert answers[0] == answers[1]
    hello = await server.visitor(hello=False)
    await hello.hello(conversation=thread, last_seq=0)
    assert "conversation" not in hello.welcome
    assert thread not in stranger.everything + hello.everything
    assert own != thread
    await visitor.settle()
    assert "typing" not in visitor.types()


async def test_an_agent_reaches_the_queue_and_the_own_ones_alone(server: Server) -> None:
    _, _, thread = await server.meeting()  # Claire's
    marc, absent = await server.agent("marc"), "t" * 22
    ways: list[dict[str, Any]] = [
        {"t": "post", "text": "Hello"},
        {"t": "note", "text": "Hello"},
        {"t": "transfer", "agent": server.agent_id("marc")},
        {"t": "close"},
        {"t": "claim"},
        {"t": "ask_check"},
        {"t": "show_record"},
        {"t": "change", "option": "x"},
        {"t": "drop_held", "held": absent},
        {"t": "override", "held": absent, "reason": "because"},
        {"t": "unfreeze", "reason": "because"},
    ]
    for frame in ways:
        answers = [{**await marc.ask(**frame, conversation=one), "cid": ""} for one in (thread, absent)]
        assert answers[0] == answers[1], frame
        assert answers[0]["code"] == "not_found"
    for frame in ({"t": "watch"}, {"t": "history", "before": 3}, {"t": "resync", "last_seq": 0}, {"t": "typing"}):
        answers = []
        for one in (thread, absent):
            await marc.send(**frame, conversation=one)
            answers.append({**await marc.expect("error"), "conversation": ""})  # at most the one that was asked for
        assert answers[0] == answers[1], frame
    assert "Hello" not in marc.everything


async def test_an_agent_may_look_at_the_queue_but_not_write_there(server: Server) -> None:
    visitor, marc = await server.visitor(), await server.agent("marc")
    thread = await visitor.open("Anybody here?")
    await marc.watch(thread)
    await marc.event("message", text="Anybody here?")
    assert await marc.refused("post", conversation=thread, text="Hello") == "bad_state"
    assert await marc.refused("ask_check", conversation=thread) == "bad_state"
    assert server.audited(thread) == ["conversation.read"]


async def test_a_supervisor_reaches_everything_and_it_is_recorded(server: Server) -> None:
    visitor, _, thread = await server.meeting()
    odile = await server.agent("odile")
    assert thread in {line["id"] for line in odile.welcome["inbox"]}
    await odile.watch(thread)
    await odile.reply(thread, "Odile here.")
    await visitor.event("message", text="Odile here.")
    assert "conversation.read" in server.audited(thread)


# ── claiming and giving on ──────────────────────────────────────────────────────────────────────────────────────


async def test_two_agents_cannot_both_have_it(server: Server) -> None:
    visitor = await server.visitor()
    claire, marc = await server.agent("claire"), await server.agent("marc")
    for number in range(5):
        visitor = await server.visitor()
        thread = await visitor.open(f"Hello {number}")
        answers = await asyncio.gather(*(one.ask("claim", conversation=thread) for one in (claire, marc)))
        assert sorted(answer["t"] for answer in answers) == ["ack", "error"]
        await visitor.event("assigned")
        await visitor.settle()
        assert visitor.heard("assigned") == []


async def test_a_repeated_claim_is_no_second_one(server: Server) -> None:
    visitor, claire, thread = await server.meeting()
    await claire.do("claim", conversation=thread)
    await visitor.event("assigned")
    await visitor.settle()
    assert visitor.heard("assigned") == []


async def test_what_is_not_in_the_queue_is_not_claimed(server: Server) -> None:
    visitor, claire, thread = await server.meeting()
    odile = await server.agent("odile")
    assert await odile.refused("claim", conversation=thread) == "bad_state"  # a lead takes it by transfer
    await claire.do("close", conversation=thread)
    for desk in (claire, odile):
        assert await desk.refused("claim", conversation=thread) == "bad_state"
    await visitor.settle()
    assert [one["body"]["agent"]["name"] for one in visitor.heard("assigned")] == ["Claire"]


async def test_the_visitor_reads_who_answers(server: Server) -> None:
    visitor, _, _ = await server.meeting()
    assigned = await visitor.event("assigned")
    assert assigned["body"] == {"agent": {"name": "Claire", "role": "Bookings desk"}}


async def test_it_is_given_to_a_colleague_and_leaves_the_screen(server: Server) -> None:
    visitor, claire, thread = await server.meeting()
    marc = await server.agent("marc")
    await visitor.event("assigned")
    await claire.expect("inbox")
    await claire.do("transfer", conversation=thread, agent=server.agent_id("marc"))
    await claire.expect("gone", conversation=thread)
    line = await marc.expect("inbox")
    assert (line["entry"]["id"], line["entry"]["agent"]) == (thread, server.agent_id("marc"))
    assert (await visitor.event("assigned"))["body"]["agent"]["name"] == "Marc"
    await marc.watch(thread)
    assert (await marc.event("assigned", by="Claire"))["body"]["agent_id"] == server.agent_id("marc")
    await marc.reply(thread, "Marc here.")
    await claire.settle()
    assert "Marc here." not in claire.everything
    assert await claire.refused("post", conversation=thread, text="And me?") == "not_found"
    assert server.audited(thread) == ["conversation.claim", "conversation.transfer"]


async def test_a_screen_that_lost_a_conversation_is_told_and_may_follow_it_again(server: Server) -> None:
    """Passed on and back: the open tab must not go deaf, nor take what it last saw for what is."""
    visitor, claire, thread = await server.meeting()
    marc = await server.agent("marc")
    await claire.do("transfer", conversation=thread, agent=server.agent_id("marc"))
    told = await claire.expect("error", conversation=thread)
    assert (told["code"], told.get("cid", "")) == ("not_found", "")
    assert server.agent_id("marc") == (await marc.expect("inbox"))["entry"]["agent"]
    await claire.send("watch", conversation=thread, last_seq=1)
    assert (await claire.expect("error", conversation=thread))["code"] == "not_found"
    await marc.do("transfer", conversation=thread, agent=server.agent_id("claire"))
    await claire.expect("inbox")
    await claire.watch(thread, claire.tops[thread])
    await visitor.say(thread, "Are you back?")
    await claire.event("message", text="Are you back?")


async def test_it_is_not_given_to_nobody(server: Server) -> None:
    from aparte.actions import people
    from harness import email_of

    _, claire, thread = await server.meeting()
    assert await claire.refused("transfer", conversation=thread, agent="a" * 22) == "not_found"
    await people.set_disabled(server.store, email_of("marc"))
    assert await claire.refused("transfer", conversation=thread, agent=server.agent_id("marc")) == "not_found"


# ── ending and beginning again ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("who", ["visitor", "agent"])
async def test_either_side_ends_it_once(server: Server, who: str) -> None:
    visitor, claire, thread = await server.meeting()
    one, frame = (visitor, "end") if who == "visitor" else (claire, "close")
    await claire.expect("inbox")
    await one.do(frame, conversation=thread)
    await one.do(frame, conversation=thread)
    for client in (visitor, claire):
        await client.event("closed", by=who)
        await client.settle()
        assert client.heard("closed") == []
    await claire.expect("gone", conversation=thread)
    assert await claire.refused("post", conversation=thread, text="Hello?") == "bad_state"
    assert await claire.refused("transfer", conversation=thread, agent=server.agent_id("marc")) == "bad_state"


async def test_it_opens_again_in_the_queue_when_the_customer_writes(server: Server) -> None:
    visitor, claire, thread = await server.meeting()
    marc = await server.agent("marc")
    await claire.do("close", conversation=thread)
    await visitor.say(thread, "One more thing")
    await visitor.event("reopened")
    await visitor.event("message", text="One more thing")
    line = await marc.expect("inbox")
    assert (line["entry"]["id"], line["entry"]["state"]) == (thread, "waiting")
    await marc.take(thread)
    await marc.reply(thread, "Marc here.")
    await visitor.event("message", text="Marc here.")
    assert server.rows("SELECT count(*) FROM conversation") == [(1,)]


async def test_ending_it_ends_what_was_proven(server: Server) -> None:
    visitor, claire, thread = await server.meeting()
    await server.prove(visitor, thread)
    await claire.do("close", conversation=thread)
    assert (await visitor.event("standing"))["body"]["standing"] == {"level": 0}
    await visitor.say(thread, "One more thing")
    await claire.take(thread)
    assert await claire.refused("show_record", conversation=thread) == "needs_check"


async def test_ending_it_ends_a_check_that_is_under_way(server: Server) -> None:
    visitor, claire, thread = await server.meeting()
    await visitor.do("start_check", conversation=thread, reference="QX7T4P")
    check, code = (await visitor.check("started"))["id"], await server.code()
    await claire.do("close", conversation=thread)
    await visitor.check("ended")
    await visitor.say(thread, "One more thing")
    assert await visitor.refused("code", conversation=thread, check=check, code=code) == "code_refused"


async def test_it_bounds_how_often_one_address_begins(start: Start) -> None:
    async with start(opens_per_minute=2, messages_per_10s=100) as server:
        for _ in range(2):
            thread = await (await server.visitor()).open("Hello")
        third = await server.visitor()
        answer = await third.ask("open", text="Hello")
        assert answer["code"] == "too_many"
        assert 50 < answer["retry_after"] <= 60
        assert server.rows("SELECT count(*) FROM conversation") == [(2,)]
        assert thread


async def test_who_only_looks_on_does_not_show(server: Server) -> None:
    visitor, claire, thread = await server.meeting()
    odile = await server.agent("odile")
    await odile.watch(thread)
    await odile.send("typing", conversation=thread)
    await odile.settle()
    await visitor.settle()
    assert "typing" not in visitor.types()
    await claire.send("typing", conversation=thread)
    await visitor.expect("typing")
