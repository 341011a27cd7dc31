"""Twin of actions/gate.py: what of a conversation is read to judge an agent's text, and what that changes."""

from __future__ import annotations

import pytest

from aparte.topics import references
from harness import BOOKING, OTHER_BOOKING, UNKNOWN_BOOKING, Server

IN_CAPITALS = "MOVE MY FLIGHT TO LONDON 1 " * 100  # words of six letters, which could be references


@pytest.fixture
def searched(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The texts that are searched for references."""
    find, texts = references.find, list[str]()

    def counted(cased: str, *rest: object, **named: object) -> tuple[str, ...]:
        texts.append(cased)
        return find(cased, *rest, **named)  # type: ignore[arg-type]  # as they came

    monkeypatch.setattr(references, "find", counted)
    return texts


async def test_an_agents_capitals_do_not_have_the_customers_messages_searched(
    server: Server, searched: list[str]
) -> None:
    visitor, claire, thread = await server.meeting(f"it is {BOOKING}")
    await visitor.say(thread, f"yes, {BOOKING}")
    for _ in range(4):
        await visitor.say(thread, IN_CAPITALS)
    searched.clear()
    assert not (await claire.reply(thread, "PLEASE WAIT A MOMENT")).get("held")
    assert searched == ["PLEASE WAIT A MOMENT"]
    searched.clear()
    spaced = f"{BOOKING[:3]} {BOOKING[3:]} IS ALL RIGHT"
    ack = await claire.reply(thread, spaced)
    assert (await claire.event("held", held=ack["held"]))["body"]["code"] == "needs_check"
    assert searched == [spaced, f"yes, {BOOKING}"]  # and no older one: there is nothing left to find


async def test_a_thread_that_is_opened_shows_the_references_that_the_customer_named(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    visitor, claire, thread = await server.meeting(f"it is {OTHER_BOOKING}")
    await visitor.say(thread, f"no, my booking is {UNKNOWN_BOOKING}, and not {OTHER_BOOKING}")
    await server.prove(visitor, thread)
    assert not (await claire.reply(thread, f"Booking {BOOKING} is confirmed.")).get("held")  # the agent's own words
    asked = []
    monkeypatch.setattr("aparte.topics._speaks_of", lambda *rest: asked.append(rest))
    view = (await claire.watch(thread))["view"]
    assert view["references"] == [UNKNOWN_BOOKING, OTHER_BOOKING]
    assert asked == []  # what the messages are about is not asked


async def test_no_strangers_address_leaves_before_or_after_the_check(server: Server) -> None:
    texts = (
        "Your e-mail is pay@phish.com",
        "Your e-mail is pay+now@phish.com",
        "Your 2nd e-mail is pay@phish.com",
        "Please write to your new mail: help+air@phish.com",
        "Votre mail: aide+1@phish.com",
    )
    visitor, claire, thread = await server.meeting("Hello, I am at dupont+air@mail.example, not at pay@phish.com.au")
    for is_proven in (False, True):
        if is_proven:
            await server.prove(visitor, thread)
        for text in texts:
            ack = await claire.reply(thread, text)
            assert (await claire.event("held", held=ack["held"]))["body"]["code"] == "foreign_link"
    await visitor.settle()
    assert "@phish.com" not in visitor.everything.replace("@phish.com.au", "")


async def test_the_address_that_the_customer_wrote_is_read_back(server: Server) -> None:
    visitor, claire, thread = await server.meeting("Hello, I am at Dupont+Air@mail.example.")
    noted = "I have noted dupont+air@mail.example, thank you."
    assert not (await claire.reply(thread, noted)).get("held")
    await visitor.event("message", text=noted)
    confirmed = "Your 2nd e-mail is dupont+air@mail.example"  # that would tell what is on file
    ack = await claire.reply(thread, confirmed)
    assert (await claire.event("held", held=ack["held"]))["body"]["code"] == "needs_check"
    await server.prove(visitor, thread)
    await visitor.event("message", text=confirmed)


async def test_an_address_that_only_an_agent_wrote_is_a_strangers(server: Server) -> None:
    visitor, claire, thread = await server.meeting()
    await claire.do("note", conversation=thread, text="pay@phish.com")
    for _ in range(2):
        ack = await claire.reply(thread, "I have noted pay@phish.com")
        assert (await claire.event("held", held=ack["held"]))["body"]["code"] == "foreign_link"
    await claire.do("drop_held", conversation=thread, held=ack["held"])
    await visitor.say(thread, "It is pay@phish.com")  # hers after all
    assert not (await claire.reply(thread, "I have noted pay@phish.com")).get("held")
