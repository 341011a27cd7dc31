"""Twin of actions/gate.py: what of a conversation is read to judge an agent's text, and what that changes."""

from __future__ import annotations

import pytest

from aparte.topics import references
from harness import BOOKING, OTHER_BOOKING, Server

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
    await visitor.say(thread, f"no, my booking is {BOOKING}, and not {OTHER_BOOKING}")
    asked = []
    monkeypatch.setattr("aparte.topics._speaks_of", lambda *rest: asked.append(rest))
    view = (await claire.watch(thread))["view"]
    assert view["references"] == [BOOKING, OTHER_BOOKING]
    assert asked == []  # what the messages are about is not asked
