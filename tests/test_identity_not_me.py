"""What "this is not me" does: what the link in a letter ends, what it tells, and what it leaves alone."""

from __future__ import annotations

import time

import pytest

from checking import asked, company_writes_otherwise, tries
from harness import BOOKING, JANSEN, OTHER_BOOKING, Server, Start


async def link_of(server: Server) -> str:
    """What the link in the last letter carries."""
    return str(server.mailbox.letters[-1].link).partition("#")[2]


async def test_not_me_kills_the_check_freezes_and_alarms(server: Server) -> None:
    visitor, claire, thread = await server.meeting()
    check, code = await asked(server, visitor, thread)
    pressed = time.monotonic()
    answer = await server.post("/api/not-me", {"token": await link_of(server)})
    assert (answer.status_code, answer.json()) == (200, {"used": False})
    await claire.event("alarm", code="not_me", seconds=5)
    assert time.monotonic() - pressed < 5
    for client in (visitor, claire):
        await client.check("killed")
        await client.event("frozen")
    assert await visitor.refused("code", conversation=thread, check=check, code=code) == "frozen"
    for frame in ({"t": "post", "text": "Hello?"}, {"t": "start_check", "reference": BOOKING}):
        assert await visitor.refused(**frame, conversation=thread) == "frozen"
    for frame in ({"t": "post", "text": "Hello?"}, {"t": "show_record"}, {"t": "ask_check"}):
        assert await claire.refused(**frame, conversation=thread) == "frozen"
    assert server.audited(thread)[-1] == "check.not_me" or "check.not_me" in server.audited(thread)


async def test_not_me_takes_back_what_was_proven(server: Server) -> None:
    visitor, claire, thread = await server.meeting()
    await server.prove(visitor, thread)
    for _ in range(2):  # pressed again, it says the same
        assert (await server.post("/api/not-me", {"token": await link_of(server)})).json() == {"used": True}
    await claire.event("alarm", code="not_me_used")
    assert (await visitor.event("standing", why="not_me"))["body"]["standing"] == {"level": 0}
    odile = await server.agent("odile")
    assert await claire.refused("unfreeze", conversation=thread, reason="He called us") == "not_found"
    await odile.do("unfreeze", conversation=thread, reason="He called us")
    await visitor.event("unfrozen")
    await claire.event("note", text="He called us", reason="unfreeze")
    assert "He called us" not in visitor.everything
    assert await claire.refused("show_record", conversation=thread) == "needs_check"
    await visitor.say(thread, "Here I am again")
    assert {"level.down", "conversation.unfreeze"} <= set(server.audited(thread))


async def test_not_me_acts_once_and_for_its_own_link_alone(server: Server) -> None:
    visitor, _, thread = await server.meeting()
    await asked(server, visitor, thread)
    good = await link_of(server)
    check, _, keyed = good.partition(".")
    for token in ("x", check, f"{check}.", f"{check}.{'0' * 32}", f"{'a' * 22}.{keyed}", good + "0", good[:-1]):
        assert (await server.post("/api/not-me", {"token": token})).status_code == 404
    assert (await server.http.get(f"/not-me?token={good}")).status_code in (200, 404)
    await visitor.settle()
    assert visitor.heard("frozen") == []
    for _ in range(2):
        assert (await server.post("/api/not-me", {"token": good})).json() == {"used": False}
    await visitor.event("frozen")
    await visitor.settle()
    assert visitor.heard("frozen") == []


async def test_not_me_of_an_earlier_letter_ends_the_check_under_way_too(server: Server) -> None:
    visitor, claire, thread = await server.meeting()
    await asked(server, visitor, thread)
    first = await link_of(server)
    check, code = await asked(server, visitor, thread)
    second = await link_of(server)
    await server.post("/api/not-me", {"token": first})
    await claire.event("alarm", code="not_me")
    odile = await server.agent("odile")
    await odile.do("unfreeze", conversation=thread, reason="He called us")
    assert await tries(visitor, thread, check, code) == "code_refused"
    await server.post("/api/not-me", {"token": second})
    await claire.event("alarm", code="not_me")


async def test_not_me_of_an_earlier_letter_tells_that_a_later_code_was_used(server: Server) -> None:
    visitor, claire, thread = await server.meeting()
    await asked(server, visitor, thread)
    first = await link_of(server)
    check, code = await asked(server, visitor, thread)
    await visitor.do("code", conversation=thread, check=check, code=code)
    server.skip(7201)  # what was proven is long over, what was seen is not
    assert (await server.post("/api/not-me", {"token": first})).json() == {"used": True}
    await claire.event("alarm", code="not_me_used")


async def test_not_me_of_a_later_letter_tells_that_the_code_of_an_earlier_one_was_used(server: Server) -> None:
    """Also when the earlier one has said so already, and its check is killed."""
    visitor, claire, thread = await server.meeting()
    await server.prove(visitor, thread)
    first = await link_of(server)
    await asked(server, visitor, thread)
    second = await link_of(server)
    for link in (first, second, first, second):
        assert (await server.post("/api/not-me", {"token": link})).json() == {"used": True}
    for _ in range(2):
        await claire.event("alarm", code="not_me_used")
    await claire.settle()
    assert claire.heard("alarm") == []


async def test_not_me_tells_that_a_code_was_used_after_it_was_pressed_first(server: Server) -> None:
    visitor, claire, thread = await server.meeting()
    await asked(server, visitor, thread)
    link = await link_of(server)
    assert (await server.post("/api/not-me", {"token": link})).json() == {"used": False}
    odile = await server.agent("odile")
    await odile.do("unfreeze", conversation=thread, reason="He called us")
    await visitor.event("unfrozen")
    await server.prove(visitor, thread)
    for _ in range(2):
        assert (await server.post("/api/not-me", {"token": link})).json() == {"used": True}
    await visitor.event("standing", why="not_me")  # taken back
    await visitor.event("frozen")
    for code in ("not_me", "not_me_used"):
        await claire.event("alarm", code=code)
    await claire.settle()
    assert claire.heard("alarm") == []


async def test_not_me_pressed_again_ends_what_was_proven_since(server: Server) -> None:
    visitor, claire, thread = await server.meeting()
    await server.prove(visitor, thread)
    link = await link_of(server)
    odile = await server.agent("odile")
    for _ in range(2):
        assert (await server.post("/api/not-me", {"token": link})).json() == {"used": True}
        await claire.event("alarm", code="not_me_used")
        assert server.rows("SELECT is_frozen, standing FROM conversation") == [(1, None)]
        await odile.do("unfreeze", conversation=thread, reason="He called us")
        await visitor.event("unfrozen")
        await server.prove(visitor, thread)


async def test_not_me_pressed_again_says_nothing_of_another_booking_that_was_proven_since(server: Server) -> None:
    visitor, claire, thread = await server.meeting()
    await server.prove(visitor, thread)
    link = await link_of(server)
    await server.post("/api/not-me", {"token": link})
    odile = await server.agent("odile")
    await odile.do("unfreeze", conversation=thread, reason="He called us")
    await server.prove(visitor, thread, OTHER_BOOKING, JANSEN)
    assert (await server.post("/api/not-me", {"token": link})).json() == {"used": True}
    assert (await claire.do("show_record", conversation=thread))["reference"] == OTHER_BOOKING
    # Asked for once more, beside what is proven, it is his booking again.
    await visitor.do("start_check", conversation=thread, reference=BOOKING)
    await server.post("/api/not-me", {"token": link})
    assert server.rows("SELECT is_frozen, standing FROM conversation") == [(1, None)]


async def test_not_me_pressed_again_ends_what_cannot_be_authenticated(server: Server) -> None:
    visitor, _, thread = await server.meeting()
    await server.prove(visitor, thread)
    link = await link_of(server)
    await server.post("/api/not-me", {"token": link})
    odile = await server.agent("odile")
    await odile.do("unfreeze", conversation=thread, reason="He called us")
    await server.prove(visitor, thread, OTHER_BOOKING, JANSEN)
    server.change("UPDATE conversation SET standing = zeroblob(60)")
    await server.post("/api/not-me", {"token": link})
    assert server.rows("SELECT is_frozen, standing FROM conversation") == [(1, None)]


async def test_not_me_knows_a_booking_however_it_was_typed(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    async with start() as server:
        company_writes_otherwise(server, monkeypatch)
        visitor, claire, thread = await server.meeting()
        check, code = await asked(server, visitor, thread, "OX7T4P")
        await visitor.do("code", conversation=thread, check=check, code=code)
        await asked(server, visitor, thread, "0X7T4P")
        assert (await server.post("/api/not-me", {"token": await link_of(server)})).json() == {"used": True}
        await claire.event("alarm", code="not_me_used")


@pytest.mark.parametrize(("column", "value"), [("state", "ended"), ("record_index", bytes(32))])
async def test_not_me_is_not_calmed_by_a_row_that_was_changed(server: Server, column: str, value: object) -> None:
    visitor, claire, thread = await server.meeting()
    await server.prove(visitor, thread)
    await asked(server, visitor, thread)
    server.change(f"UPDATE identity_check SET {column} = ? WHERE state = 'verified'", value)
    assert (await server.post("/api/not-me", {"token": await link_of(server)})).json() == {"used": True}
    await claire.event("alarm", code="not_me_used")


async def test_not_me_of_another_booking_is_not_alarmed_by_what_was_used_for_this_one(server: Server) -> None:
    visitor, claire, thread = await server.meeting()
    await server.prove(visitor, thread)
    before = server.letters
    await visitor.do("start_check", conversation=thread, reference=OTHER_BOOKING)
    await server.mailbox.wait_for(JANSEN, after=before)
    assert (await server.post("/api/not-me", {"token": await link_of(server)})).json() == {"used": False}
    await claire.event("alarm", code="not_me")


async def test_not_me_of_a_check_that_cannot_be_read_alarms_once(server: Server) -> None:
    visitor, claire, thread = await server.meeting()
    await asked(server, visitor, thread)
    server.change("UPDATE identity_check SET tries = 4")
    for _ in range(3):
        assert (await server.post("/api/not-me", {"token": await link_of(server)})).json() == {"used": True}
    await claire.event("alarm", code="not_me_used")  # that it was not is not known
    await claire.settle()
    assert claire.heard("alarm") == []
    await visitor.event("frozen")
