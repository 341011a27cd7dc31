"""Twin of actions/messages.py: what is said, what is held, what is taken out."""

from __future__ import annotations

import asyncio

import pytest

from clients import AgentDesk, Visitor, new_cid
from harness import BOOKING, DUPONT, JANSEN, OTHER_BOOKING, Server, Start
from pairs import until

pytestmark = pytest.mark.both_stores

ABOUT_BOOKING = f"Your booking {BOOKING} is confirmed."
ABOUT_MONEY = "There is a 58 euro supplement; shall we charge the card on file?"
CARD = "4111 1111 1111 1111"


async def held(claire: AgentDesk, thread: str, text: str) -> str:
    """An agent's message that the gate must hold; its id."""
    ack = await claire.reply(thread, text)
    assert ack.get("held"), ack
    event = await claire.event("held", held=ack["held"])
    assert event["body"]["text"] == text
    return str(ack["held"])


async def hears_nothing(visitor: Visitor, *texts: str) -> None:
    await visitor.settle()
    for text in texts:
        assert text not in visitor.everything


# ── two streams ─────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_note_leaves_no_trace_with_the_visitor(server: Server) -> None:
    visitor, claire, thread = await server.meeting()
    before = visitor.tops[thread]
    await claire.do("note", conversation=thread, text="looks tired")
    await claire.event("note", text="looks tired")
    await claire.reply(thread, "Hello!")
    said = await visitor.event("message", text="Hello!")
    assert said["seq"] == before + 1
    assert (await claire.event("message", text="Hello!"))["vseq"] == said["seq"]
    await hears_nothing(visitor, "tired")


async def test_a_card_number_split_over_two_notes_is_not_kept_whole(server: Server) -> None:
    visitor, claire, thread = await server.meeting()
    first, second = CARD[:10], CARD[10:]
    await claire.do("note", conversation=thread, text=f"She reads out {first}")
    await claire.event("note", text=f"She reads out {first}")
    await visitor.say(thread, "and something else")  # between them
    await claire.do("note", conversation=thread, text=f"{second} it goes on")
    kept = (await claire.event("note"))["body"]["text"]
    assert "it goes on" in kept
    assert second[:6] not in kept


async def test_two_notes_in_one_commit_are_read_together(server: Server) -> None:
    _, claire, thread = await server.meeting()
    await claire.send("note", conversation=thread, cid=new_cid(), text=CARD[:10])
    await claire.do("note", conversation=thread, text=CARD[10:])
    await claire.event("note", text=CARD[:10])
    assert CARD[10:16] not in (await claire.event("note"))["body"]["text"]


@pytest.mark.both_ways
async def test_the_sender_sees_the_own_message_as_everybody_does(server: Server) -> None:
    visitor, claire, thread = await server.meeting()
    cid = new_cid()
    ack = await visitor.do("post", conversation=thread, cid=cid, text="Bonjour, ça va ? 🙂")
    for client in (visitor, claire):
        event = await client.event("message", text="Bonjour, ça va ? 🙂")
        assert event["cid"] == cid
    assert ack["seq"] == visitor.tops[thread]


@pytest.mark.both_ways
async def test_a_repeat_is_acknowledged_and_shown_once(server: Server) -> None:
    visitor, claire, thread = await server.meeting()
    cid = new_cid()
    acks = [await visitor.do("post", conversation=thread, cid=cid, text="Once") for _ in range(3)]
    assert acks[0] == acks[1] == acks[2]
    await claire.event("message", text="Once")
    for client in (visitor, claire):
        await client.settle()
        assert [one["body"] for one in client.heard("message") if one["body"]["text"] == "Once"] in (
            [],
            [{"text": "Once"}],
        )
    assert claire.heard("message") == [one for one in claire.heard("message") if one["body"]["text"] != "Once"]
    assert await visitor.refused("post", conversation=thread, cid=cid, text="Twice") == "cid_conflict"


async def test_a_repeat_is_known_by_what_was_sent_not_by_what_was_kept(server: Server) -> None:
    """The guard changes what is stored; the retry brings the same text again and must not conflict."""
    visitor, _, thread = await server.meeting()
    cid, text = new_cid(), f"My card is {CARD}."
    acks = [await visitor.do("post", conversation=thread, cid=cid, text=text) for _ in range(2)]
    assert acks[0] == acks[1]


async def test_two_people_may_use_one_cid(server: Server) -> None:
    visitor, claire, thread = await server.meeting()
    cid = new_cid()
    await visitor.do("post", conversation=thread, cid=cid, text="Mine")
    await claire.do("post", conversation=thread, cid=cid, text="Mine too")
    await visitor.event("message", text="Mine too")


async def test_a_repeat_of_a_held_message_names_it(server: Server) -> None:
    _, claire, thread = await server.meeting()
    cid = new_cid()
    acks = [await claire.do("post", conversation=thread, cid=cid, text=ABOUT_MONEY) for _ in range(2)]
    assert acks[0] == acks[1]
    assert server.rows("SELECT id FROM held") == [(acks[0]["held"],)]
    await claire.do("drop_held", conversation=thread, held=acks[1]["held"])


# ── the gate ────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_it_holds_talk_of_booking_and_money_until_the_check(server: Server) -> None:
    visitor, claire, thread = await server.meeting()
    ids = [await held(claire, thread, text) for text in (ABOUT_MONEY, ABOUT_BOOKING)]
    await claire.reply(thread, "One moment please.")
    await visitor.event("message", text="One moment please.")
    await hears_nothing(visitor, ABOUT_MONEY, ABOUT_BOOKING, *ids)
    await server.prove(visitor, thread)
    for one, text in zip(ids, (ABOUT_MONEY, ABOUT_BOOKING), strict=True):
        assert (await visitor.event("message", text=text))["body"] == {"text": text}
        assert (await claire.event("message", text=text))["body"] == {"text": text, "held": one}
    await hears_nothing(visitor, *ids)
    assert server.rows("SELECT state FROM held") == [("released",)] * 2
    assert server.rows("SELECT held FROM conversation") == [(0,)]
    log = server.audited(thread)
    assert log.count("gate.hold") == 2
    assert log.count("gate.allow") == 2
    assert not (await claire.reply(thread, f"Again: {ABOUT_BOOKING}")).get("held")


async def test_a_released_message_is_sealed_anew_for_its_place(server: Server) -> None:
    visitor, claire, thread = await server.meeting()
    await held(claire, thread, ABOUT_BOOKING)
    await server.prove(visitor, thread)
    await visitor.event("message", text=ABOUT_BOOKING)
    server.change(
        "UPDATE event SET sealed = (SELECT sealed FROM event WHERE kind = 'held') "
        "WHERE kind = 'message' AND sender_kind = 'agent'"
    )
    again = await server.visitor(token=visitor.token)
    await again.event("unreadable")
    await hears_nothing(again, ABOUT_BOOKING)


async def test_it_holds_what_quotes_another_record_even_after_the_check(server: Server) -> None:
    visitor, claire, thread = await server.meeting()
    text = f"Booking {OTHER_BOOKING} is confirmed."
    await held(claire, thread, text)
    await server.prove(visitor, thread)
    ack = await claire.reply(thread, f"And {text}")
    assert (await claire.event("held", held=ack["held"]))["body"]["code"] == "other_record"
    await hears_nothing(visitor, OTHER_BOOKING)
    assert server.rows("SELECT held FROM conversation") == [(2,)]
    await server.prove(visitor, thread, OTHER_BOOKING, JANSEN)
    await visitor.event("message", text=text)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("What is the security code on the back of your card?", "asks_secret"),
        ("Please pay at https://payments.evil.example/now", "foreign_link"),
    ],
)
async def test_it_holds_what_staff_never_say(server: Server, text: str, code: str) -> None:
    visitor, claire, thread = await server.meeting()
    await server.prove(visitor, thread)  # no check makes it right
    one = await held(claire, thread, text)
    await claire.settle()
    assert f'"code": "{code}"' in claire.everything or f'"code":"{code}"' in claire.everything
    assert await claire.refused("override", conversation=thread, held=one, reason="I want to") == "denied"
    await hears_nothing(visitor, text)
    assert server.rows("SELECT state FROM held") == [("held",)]


async def test_an_agent_may_override_for_a_booking_and_the_reason_stays(server: Server) -> None:
    visitor, claire, thread = await server.meeting()
    one = await held(claire, thread, ABOUT_BOOKING)
    await claire.do("override", conversation=thread, held=one, reason="He stands before me")
    await visitor.event("message", text=ABOUT_BOOKING)
    await claire.event("note", text="He stands before me", reason="override")
    await hears_nothing(visitor, "stands before")
    assert "gate.override" in server.audited(thread)
    assert await claire.refused("override", conversation=thread, held=one, reason="again") == "not_found"


async def test_for_money_it_needs_a_supervisor(server: Server) -> None:
    visitor, claire, thread = await server.meeting()
    one = await held(claire, thread, ABOUT_MONEY)
    assert await claire.refused("override", conversation=thread, held=one, reason="Please let me") == "denied"
    await hears_nothing(visitor, ABOUT_MONEY)
    odile = await server.agent("odile")
    await odile.do("override", conversation=thread, held=one, reason="I know the customer")
    await visitor.event("message", text=ABOUT_MONEY)
    log = server.audited(thread)
    assert log.index("gate.override_refused") < log.index("gate.override")


async def test_a_held_message_is_taken_back_once(server: Server) -> None:
    visitor, claire, thread = await server.meeting()
    one = await held(claire, thread, ABOUT_MONEY)
    await claire.do("drop_held", conversation=thread, held=one)
    await claire.event("dropped", held=one)
    assert await claire.refused("drop_held", conversation=thread, held=one) == "not_found"
    await server.prove(visitor, thread)
    await hears_nothing(visitor, ABOUT_MONEY)
    assert server.rows("SELECT held FROM conversation") == [(0,)]


async def test_a_held_message_belongs_to_its_conversation(server: Server) -> None:
    _, claire, thread = await server.meeting()
    one = await held(claire, thread, ABOUT_BOOKING)
    other = await (await server.visitor()).open("Hello")
    await claire.take(other)
    assert await claire.refused("override", conversation=other, held=one, reason="because") == "not_found"
    assert await claire.refused("drop_held", conversation=other, held=one) == "not_found"


async def test_a_customers_message_is_never_held_and_brings_the_card(server: Server) -> None:
    visitor, claire, thread = await server.meeting()
    await visitor.say(thread, f"I want to move my flight, booking {BOOKING}")
    assert (await visitor.check("offered"))["named"]
    assert (await claire.check("offered"))["reference"] == BOOKING
    await visitor.say(thread, f"My booking is {BOOKING}")
    await visitor.settle()
    assert visitor.heard("check") == []  # one card is enough
    assert server.letters == 0  # and nothing leaves before somebody asks


# ── secrets ─────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_card_is_taken_out(server: Server) -> None:
    visitor, claire, thread = await server.meeting()
    await visitor.say(thread, f"It is {CARD}, thank you")
    for client in (visitor, claire):
        said = await client.event("message", removed=["card"])
        assert "thank you" in said["body"]["text"]
        assert "1111" in said["body"]["text"]  # the last four stay
        assert "1111 1111" not in client.everything


async def test_an_agents_card_is_taken_out(server: Server) -> None:
    visitor, claire, thread = await server.meeting()
    ack = await claire.reply(thread, f"It is {CARD}, thank you")
    await claire.event("held" if ack.get("held") else "message")
    assert "thank you" in claire.everything
    assert "1111 1111" not in claire.everything + visitor.everything


@pytest.mark.parametrize("between", [False, True])
async def test_a_card_split_over_two_messages_is_taken_out(server: Server, between: bool) -> None:
    visitor, claire, thread = await server.meeting()
    await visitor.say(thread, "4111 1111")
    if between:
        await claire.reply(thread, "Yes?")
    await visitor.say(thread, "1111 1111")
    await claire.settle()
    said = [one["body"] for one in claire.heard("message") if "1111" in one["body"]["text"]]
    assert said[0] == {"text": "4111 1111"}  # the first half stays, and the documentation says so
    assert said[1]["removed"] == ["card"]
    assert "1111 1111" not in said[1]["text"]


async def test_no_side_way_keeps_a_card(server: Server) -> None:
    visitor, claire = await server.visitor(), await server.agent("odile")
    thread = await visitor.open("Hello", name=CARD, title=f"Paid with {CARD}")
    view = await claire.take(thread)
    await claire.do("note", conversation=thread, text=f"note {CARD}")
    one = await held(claire, thread, ABOUT_BOOKING)
    await claire.do("override", conversation=thread, held=one, reason=f"reason {CARD}")
    await claire.settle()
    assert "4111" not in claire.everything
    assert "1111 1111" not in str(view) + claire.everything + visitor.everything


# ── limits and trouble ──────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.both_ways
async def test_a_limit_says_when_to_go_on(start: Start) -> None:
    async with start(messages_per_10s=3, agent_messages_per_10s=4) as server:
        visitor, claire, thread = await server.meeting()
        for _ in range(3):
            await visitor.say(thread, "Hello?")
        answer = await visitor.ask("post", conversation=thread, text="Hello?")
        assert answer["code"] == "too_many"
        assert 0 < answer["retry_after"] <= 10
        answers = [await claire.ask("post", conversation=thread, text="Yes") for _ in range(5)]
        assert [answer["t"] for answer in answers][-1] == "error"
        stranger = await server.visitor()
        await stranger.open("Me too")  # another's limit is not mine


@pytest.mark.both_ways
@pytest.mark.sqlite_alone
async def test_a_full_disk_is_told_and_the_retry_is_shown_once(start: Start) -> None:
    async with start(messages_per_10s=1000) as server:
        await _full_disk(server)


async def _full_disk(server: Server) -> None:
    visitor, claire, thread = await server.meeting()

    async def most(pages: str) -> int:
        def run(tx):  # type: ignore[no-untyped-def]  # a planted fault
            return tx.connection.exec_driver_sql(f"PRAGMA {pages}").scalar_one()

        return int(await server.store.write(run))

    await most(f"max_page_count={await most('page_count')}")
    cids = [new_cid() for _ in range(40)]
    text = "x" * 3900
    answers = [await visitor.ask("post", conversation=thread, cid=cid, text=text) for cid in cids[:20]]
    down = [answer for answer in answers if answer["t"] == "error"]
    assert down
    assert {answer["code"] for answer in down} == {"store_down"}
    assert all(answer["retry_after"] > 0 for answer in down)
    assert (await server.http.get("/healthz")).status_code == 200
    await most("max_page_count=1000000")
    assert (await server.http.get("/readyz")).status_code == 200
    for cid in cids[:20]:
        await visitor.do("post", conversation=thread, cid=cid, text=text)
    await claire.settle()
    assert [one["cid"] for one in claire.heard("message") if one["body"]["text"] == text] == cids[:20]
    assert len(claire.heard("message")) == 21


async def test_a_frozen_conversation_takes_notes_alone(server: Server) -> None:
    visitor, claire, thread = await server.meeting()
    await visitor.do("start_check", conversation=thread, reference=BOOKING)
    letter = await server.mailbox.wait_for(DUPONT)
    await server.post("/api/not-me", {"token": str(letter.link).partition("#")[2]})
    await visitor.event("frozen")
    assert await visitor.refused("post", conversation=thread, text="Hello?") == "frozen"
    assert await claire.refused("post", conversation=thread, text="Hello?") == "frozen"
    await claire.do("note", conversation=thread, text="Telephoned him")


async def test_what_is_stored_is_acknowledged_again_whatever_became_of_the_conversation(server: Server) -> None:
    _, claire, thread = await server.meeting()
    cid = new_cid()
    first = await claire.do("post", conversation=thread, cid=cid, text="Until tomorrow.")
    await claire.do("close", conversation=thread)
    second = await claire.do("post", conversation=thread, cid=cid, text="Until tomorrow.")
    assert second["seq"] == first["seq"]


@pytest.mark.both_ways
async def test_posts_follow_one_another_and_what_comes_after_them_waits(server: Server) -> None:
    visitor, desk, thread = await server.meeting("Hello")
    texts = [f"number {number}" for number in range(20)]
    for text in texts:
        await visitor.send("post", conversation=thread, text=text, cid=new_cid())
    await visitor.send("history", conversation=thread, before=10_000)
    page = await visitor.expect("events", older=True)
    assert [one["body"]["text"] for one in page["items"] if one["kind"] == "message"] == ["Hello", *texts]
    assert sum(raw.startswith('{"t":"ack"') for raw in visitor.raw) >= 20
    await desk.settle()


@pytest.mark.both_ways
async def test_a_refused_post_among_others_harms_none(server: Server) -> None:
    visitor, _, thread = await server.meeting("Hello")
    cids = [new_cid() for _ in range(3)]
    await visitor.send("post", conversation=thread, text="one", cid=cids[0])
    await visitor.send("post", conversation="A" * 22, text="two", cid=cids[1])
    await visitor.send("post", conversation=thread, text="three", cid=cids[2])
    assert (await visitor.expect("error", cid=cids[1]))["code"] == "not_found"
    assert [(await visitor.expect("ack", cid=cid))["t"] for cid in (cids[0], cids[2])] == ["ack", "ack"]
    await visitor.settle()


async def test_a_fault_of_ours_in_one_answer_keeps_no_other_from_its_own(server: Server) -> None:
    visitor, _, thread = await server.meeting("Hello")
    faults: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: faults.append(context))

    def breaks(_result: object, _error: object) -> None:
        raise ZeroDivisionError

    server.store.submit(lambda _tx: None, breaks)
    await visitor.do("post", conversation=thread, text="after it")
    await until(lambda: bool(faults))  # on PostgreSQL it goes in a commit of its own, which may be the later one
    assert [type(fault["exception"]) for fault in faults] == [ZeroDivisionError]
