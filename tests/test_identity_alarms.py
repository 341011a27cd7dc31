"""What raises an alarm: many wrong codes everywhere, one booking asked for again and again, and "this is not me"."""

from __future__ import annotations

import asyncio
import time

import pytest

from aparte.actions import expiry
from checking import asked, company_is_down, company_writes_otherwise, tries, wrong
from harness import BOOKING, DUPONT, JANSEN, OTHER_BOOKING, UNKNOWN_BOOKING, Server, Start

# ── the breaker ─────────────────────────────────────────────────────────────────────────────────────────────────


async def test_many_wrong_codes_anywhere_pause_all_codes(start: Start) -> None:
    async with start(breaker_failures=5, record_tries_per_day=100) as server:
        impostor, owner = await server.visitor(), await server.visitor()
        theirs, own = await impostor.open("Hello"), await owner.open("Hello")
        own_check, code = await asked(server, owner, own)
        check, other = await asked(server, impostor, theirs)
        for _ in range(5):
            assert await tries(impostor, theirs, check, wrong(other)) == "code_refused"
        for frame in (
            {"t": "code", "check": own_check, "code": code},
            {"t": "start_check", "reference": BOOKING},
            {"t": "resend", "check": own_check},
        ):
            answer = await owner.ask(**frame, conversation=own)
            assert answer["code"] == "checks_paused"
            assert 0 < answer["retry_after"] <= 300
        await owner.say(own, "And by telephone?")  # talk goes on
        server.skip(301)
        await owner.do("code", conversation=own, check=own_check, code=code)


async def test_a_right_code_does_not_count_against_the_breaker(start: Start) -> None:
    async with start(breaker_failures=5) as server:
        for _ in range(6):
            visitor = await server.visitor()
            thread = await visitor.open("Hello")
            check, code = await asked(server, visitor, thread)
            await visitor.do("code", conversation=thread, check=check, code=code)


# ── one booking, sprayed ────────────────────────────────────────────────────────────────────────────────────────


async def test_codes_for_one_booking_count_no_more_that_day(start: Start) -> None:
    """From many conversations; the owner is told the way out and can use it, since nothing else is locked."""
    async with start(record_tries_per_day=7, code_tries=5, breaker_failures=1000) as server:
        for _ in range(2):
            impostor = await server.visitor()
            thread = await impostor.open("Hello")
            check, code = await asked(server, impostor, thread)
            for _ in range(4):
                await tries(impostor, thread, check, wrong(code))
        owner = await server.visitor()
        thread = await owner.open("Hello")
        check, code = await asked(server, owner, thread)
        assert await tries(owner, thread, check, code) == "code_refused"
        assert "check.record_tries" in server.audited()
        await owner.say(thread, "It does not work. Could you telephone me?")
        server.skip(24 * 3600 + 1)
        check, code = await asked(server, owner, thread)
        await owner.do("code", conversation=thread, check=check, code=code)


@pytest.mark.parametrize("booking", [BOOKING, UNKNOWN_BOOKING])
async def test_letters_for_one_booking_slow_down_and_are_looked_at(start: Start, booking: str) -> None:
    async with start(record_sends_per_day=2) as server:
        claire = await server.agent()
        for number in range(3):
            visitor = await server.visitor()
            thread = await visitor.open("Hello")
            await claire.take(thread)
            await visitor.do("start_check", conversation=thread, reference=booking)
            card = await visitor.check("started")
            assert "late" not in card  # what the person sees is the same
            if number == 2:
                await claire.event("alarm", code="many_sends")
        [(delay,)] = server.rows(
            "SELECT next_at - created_at FROM outbox WHERE kind = 'check.letter' ORDER BY next_at - created_at DESC LIMIT 1"
        )
        assert 10 < delay <= 300
        assert "check.many_sends" in server.audited(thread)
        server.skip(301)
        if booking == BOOKING:  # slowed down, never locked out
            server.parts.ring()
            await server.mailbox.wait_for(DUPONT, after=2)


async def test_codes_for_one_booking_are_counted_together_however_it_is_typed(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with start(record_tries_per_day=4, breaker_failures=1000) as server:
        company_writes_otherwise(server, monkeypatch)
        impostor, owner = await server.visitor(), await server.visitor()
        thread, own = await impostor.open("Hello"), await owner.open("Hello")
        check, code = await asked(server, impostor, thread, "OX7T4P")
        for _ in range(4):
            await tries(impostor, thread, check, wrong(code))
        check, code = await asked(server, owner, own, "0X7T4P")
        assert await tries(owner, own, check, code) == "code_refused"
        assert "check.record_tries" in server.audited(own)


async def test_letters_for_one_booking_are_counted_together_however_it_is_typed(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with start(record_sends_per_day=2) as server:
        company_writes_otherwise(server, monkeypatch, "00X7T4")
        for typed in ("OOX7T4", "O0X7T4"):
            visitor = await server.visitor()
            await asked(server, visitor, await visitor.open("Hello"), typed)
        visitor, claire, thread = await server.meeting()
        await visitor.do("start_check", conversation=thread, reference="0OX7T4")
        waiting: list[tuple[float]] = []
        while not waiting:
            waiting = server.rows("SELECT next_at - created_at FROM outbox WHERE kind = 'letter' AND state = 'waiting'")
            await asyncio.sleep(0.01)
        assert 10 < waiting[0][0] <= 300
        await claire.settle()
        assert claire.heard("alarm") == []  # it would tell that the three are one, and exist


# ── what cannot be authenticated ────────────────────────────────────────────────────────────────────────────────


async def test_what_the_browser_told_is_not_needed_for_a_code(server: Server) -> None:
    visitor, _, thread = await server.meeting()
    server.change("UPDATE conversation SET about = ?", bytes(120))
    check, code = await asked(server, visitor, thread)
    await visitor.do("code", conversation=thread, check=check, code=code)


@pytest.mark.parametrize(("touched", "value"), [("outbox SET sealed", bytes(120)), ("identity_check SET tries", 4)])
async def test_a_code_that_can_never_leave_raises_an_alarm(server: Server, touched: str, value: object) -> None:
    visitor, claire, thread = await server.meeting()
    await company_is_down(server)
    await visitor.do("start_check", conversation=thread, reference=BOOKING)
    await claire.event("alarm", code="records_down")
    server.change(f"UPDATE {touched} = ?", value)
    server.parts.ring()
    await claire.event("alarm", code="unreadable")


# ── "this is not me" ────────────────────────────────────────────────────────────────────────────────────────────


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


async def test_a_letter_is_never_put_off_until_its_code_is_void(start: Start) -> None:
    async with start(code_seconds=60, record_sends_per_day=1) as server:
        for _ in range(6):
            visitor = await server.visitor()
            thread = await visitor.open("Hello")
            await visitor.do("start_check", conversation=thread, reference=BOOKING)
        delays = server.rows("SELECT next_at - created_at FROM outbox WHERE kind = 'check.letter'")
        assert max(delays) == (30.0,)


# ── how long a proof counts ─────────────────────────────────────────────────────────────────────────────────────


async def test_a_proof_ends_after_half_an_hour_of_silence(server: Server) -> None:
    visitor, claire, thread = await server.meeting()
    await server.prove(visitor, thread)
    server.skip(1790)
    await claire.do("show_record", conversation=thread)
    server.skip(11)
    assert await claire.refused("show_record", conversation=thread) == "needs_check"
    await visitor.say(thread, "Still there?")  # revives nothing
    assert (await visitor.event("standing", why="expired"))["body"]["standing"] == {"level": 0}
    assert await claire.refused("show_record", conversation=thread) == "needs_check"


async def test_a_proof_ends_after_two_hours_however_busy(server: Server) -> None:
    visitor, claire, thread = await server.meeting()
    await server.prove(visitor, thread)
    for _ in range(4):
        server.skip(1750)
        await visitor.say(thread, "Still here")
        await claire.do("show_record", conversation=thread)
    server.skip(201)
    assert await claire.refused("show_record", conversation=thread) == "needs_check"


async def test_a_proof_that_ended_is_taken_back_unasked(server: Server) -> None:
    visitor, claire, thread = await server.meeting()
    await server.prove(visitor, thread)
    server.skip(1801)
    await expiry.proofs_overdue(server.parts)
    for client in (visitor, claire):
        await client.event("standing", why="expired")
    assert server.rows("SELECT standing FROM conversation") == [(None,)]
    assert "level.down" in server.audited(thread)


async def test_a_clock_set_back_brings_nothing_to_life(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    visitor, claire, thread = await server.meeting()
    check, code = await asked(server, visitor, thread)
    server.skip(601)
    before = time.time() - 3600
    monkeypatch.setattr(time, "time", lambda: before)
    assert await tries(visitor, thread, check, code) == "code_refused"
    assert await claire.refused("show_record", conversation=thread) == "needs_check"
