"""SCOREBOARD 18: knowing a booking is not being its owner.

An impostor gives the right booking number, name and birth date. Nothing of the booking may reach anybody's screen, not
even the masked address; whoever is proven for one booking gets nothing of another; what is proven in one conversation
counts in no other, and editing the database proves nothing.

Watched to fail: a gate that asks for no level, or compares no records; a proof and a code that are bound to nothing,
a code that is not bound to its record or to the session; a token that lives on after the next; the masked address on
the card; an alarm for a booking that is not there; a refusal without its audit line; a proof that activity revives.
"""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta

from aparte.actions import tokens
from aparte.address import mask
from aparte.vault import new_token
from clients import SITE, AgentDesk, Client, Visitor
from harness import BOOKING, DUPONT, JANSEN, MAILLESS_BOOKING, OTHER_BOOKING, UNKNOWN_BOOKING, Server, Start

KNOWN = "My booking is QX7T4P, name Dupont, born 4 March 1961. Please move my flight to the Tuesday after."


def of_booking(server: Server, reference: str) -> list[str]:
    """What the company holds about a booking, as any screen would write it; what a customer can know is left out."""
    booking = server.airline.bookings[reference]
    details = server.airline.details(booking, "en")
    words = [str(line["value"]) for line in details["lines"]]  # type: ignore[attr-defined]  # JSON of the airline
    words += [str(option["id"]) for option in details["options"]]  # type: ignore[attr-defined]  # JSON
    words += [booking.passenger, booking.flight, str(details["title"])]
    if booking.email:
        words += [booking.email, booking.email.partition("@")[0], mask(booking.email)]
    words += [f"{booking.departs + timedelta(days=days):%Y-%m-%d}" for days in (0, 7, 9)]
    return [word for word in words if len(word) > 3 and word not in ("Economy", "none")]


def heard(people: list[Client], words: list[str], *, said: str = "") -> list[str]:
    """Which of these words came to anybody, apart from those that somebody said there."""
    came = "\n".join(one.everything for one in people)
    came += came.encode().decode("unicode_escape", "ignore")
    return [word for word in words if word in came and word not in said]


async def both(server: Server, text: str) -> tuple[Visitor, AgentDesk, AgentDesk, str]:
    visitor, desk, thread = await server.meeting(text)
    lead = await server.agent("odile")
    await lead.watch(thread)
    return visitor, desk, lead, thread


async def test_the_words_that_must_not_be_heard_are_real_ones(server: Server) -> None:
    visitor, desk, thread = await server.meeting("Hello")
    await server.prove(visitor, thread)
    await desk.do("show_record", conversation=thread)
    assert len(of_booking(server, BOOKING)) > 8
    assert len(heard([visitor, desk], of_booking(server, BOOKING))) > 8


async def test_the_right_number_name_and_birth_date_prove_nothing(server: Server) -> None:
    visitor, desk, lead, thread = await both(server, KNOWN)
    everybody: list[Client] = [visitor, desk, lead]
    assert await desk.refused("show_record", conversation=thread) == "needs_check"
    assert await lead.refused("show_record", conversation=thread) == "needs_check"
    option = server.airline.details(server.airline.bookings[BOOKING], "en")["options"][0]["id"]  # type: ignore[index]  # JSON
    assert await desk.refused("change", conversation=thread, option=option) == "needs_check"
    held = await desk.reply(thread, "Your flight to Toronto is on Tuesday, Mr Dupont. The supplement is 58 euros.")
    assert held["held"]
    await desk.do("ask_check", conversation=thread, reference=BOOKING)
    card = await visitor.check("started")
    letter = await server.mailbox.wait_for(DUPONT)
    for guess in ("00000000", "04031961", "QX7T4P"):
        assert await visitor.refused("code", conversation=thread, check=card["id"], code=guess) == "code_refused"
    assert await desk.refused("show_record", conversation=thread) == "needs_check"
    for one in everybody:
        await one.settle()
    said = KNOWN + "Your flight to Toronto is on Tuesday, Mr Dupont. The supplement is 58 euros."
    assert heard(everybody, of_booking(server, BOOKING), said=said) == []
    assert heard(everybody, [str(letter.code)]) == []
    assert not any(frame["body"]["standing"]["level"] for one in everybody for frame in one.heard("standing"))
    assert "supplement" not in visitor.everything
    assert server.audited(thread).count("gate.refuse") >= 4
    assert {"gate.hold", "check.request", "check.wrong"} <= set(server.audited(thread))
    assert "level.up" not in server.audited(thread)
    assert server.airline.bookings[BOOKING].changes == 0


async def test_a_check_tells_nobody_whether_a_booking_exists(server: Server) -> None:
    for reference in (BOOKING, OTHER_BOOKING, MAILLESS_BOOKING, UNKNOWN_BOOKING):
        visitor, desk, lead, thread = await both(server, "Hello")
        await desk.do("ask_check", conversation=thread, reference=reference)
        card = await visitor.check("started")
        await visitor.refused("code", conversation=thread, check=card["id"], code="12345678")
        for one in (visitor, desk, lead):
            await one.settle()
        cards = [frame["body"]["check"] for frame in desk.heard("check")]
        shape = [(one["state"], sorted(one), one.get("tries_left"), one.get("late")) for one in cards]
        assert shape == [
            ("started", ["id", "named", "reference", "sends_left", "state", "tries_left", "until"], 5, None),
            ("started", ["id", "named", "reference", "sends_left", "state", "tries_left", "until"], 4, None),
        ]
        assert desk.heard("alarm") == []


async def test_who_is_proven_for_one_booking_gets_nothing_of_another(server: Server) -> None:
    visitor, desk, lead, thread = await both(server, "Hello")
    await server.prove(visitor, thread)
    await visitor.say(thread, f"And my friend's booking is {OTHER_BOOKING}, can you move it too?")
    held = await desk.reply(thread, f"Booking {OTHER_BOOKING} leaves on Monday.")
    assert (await desk.event("held"))["body"]["code"] == "other_record"
    assert (
        await desk.refused("override", conversation=thread, held=held["held"], reason="they travel together")
        == "denied"
    )
    shown = await desk.do("show_record", conversation=thread)
    assert shown["reference"] == BOOKING
    other = server.airline.details(server.airline.bookings[OTHER_BOOKING], "en")["options"][0]["id"]  # type: ignore[index]  # JSON
    await desk.do("change", conversation=thread, option=other)
    told = await desk.event("act", state="failed", seconds=10)
    assert told["body"]["code"]
    for one in (visitor, desk, lead):
        await one.settle()
    everybody: list[Client] = [visitor, desk, lead]
    own = " ".join(of_booking(server, BOOKING))
    secret = [word for word in of_booking(server, OTHER_BOOKING) if word not in own and word != other]
    assert len(secret) > 4
    assert heard(everybody, secret) == []
    assert f"Booking {OTHER_BOOKING}" not in visitor.everything
    assert server.airline.bookings[OTHER_BOOKING].changes == 0


async def test_a_held_text_about_another_booking_stays_held_after_the_check(server: Server) -> None:
    visitor, desk, thread = await server.meeting("Hello")
    own = await desk.reply(thread, f"Your booking {BOOKING} is fine.")
    other = await desk.reply(thread, f"Booking {OTHER_BOOKING} is fine as well.")
    await server.prove(visitor, thread)
    assert (await visitor.event("message", text=f"Your booking {BOOKING} is fine."))["body"]
    await desk.settle()
    await visitor.settle()
    assert own["held"]
    assert other["held"]
    assert OTHER_BOOKING not in visitor.everything
    assert server.rows("SELECT state FROM held WHERE id = ?", other["held"]) == [("held",)]


async def test_a_new_check_for_another_booking_takes_the_first_proof_nowhere(server: Server) -> None:
    visitor, desk, thread = await server.meeting("Hello")
    await server.prove(visitor, thread)
    await visitor.do("start_check", conversation=thread, reference=OTHER_BOOKING)
    card = await visitor.check("started")
    await server.mailbox.wait_for(JANSEN)
    assert await visitor.refused("code", conversation=thread, check=card["id"], code="00000000") == "code_refused"
    answer = await desk.ask("show_record", conversation=thread)
    assert answer.get("reference", BOOKING) == BOOKING
    assert heard([visitor, desk], [mask(JANSEN), JANSEN]) == []


async def test_a_proof_and_a_code_count_in_no_other_conversation(server: Server) -> None:
    owner, desk, thread = await server.meeting("Hello")
    impostor = await server.visitor()
    theirs = await impostor.open(KNOWN)
    await desk.take(theirs)
    await impostor.do("start_check", conversation=theirs, reference=BOOKING)
    card = await impostor.check("started")
    first = await server.code()
    await owner.do("start_check", conversation=thread, reference=BOOKING)
    own = await owner.check("started")
    code = await server.code(after=1)
    for check in (card["id"], own["id"]):
        assert await impostor.refused("code", conversation=theirs, check=check, code=code) == "code_refused"
    assert await owner.refused("code", conversation=thread, check=own["id"], code=first) == "code_refused"
    await owner.do("code", conversation=thread, check=own["id"], code=code)
    await owner.event("standing")
    assert await impostor.refused("code", conversation=theirs, check=card["id"], code=code) == "code_refused"
    assert await desk.refused("show_record", conversation=theirs) == "needs_check"
    await desk.reply(theirs, "Your flight to Toronto is booked.")
    await desk.event("held")
    await impostor.settle()
    assert heard([impostor], of_booking(server, BOOKING), said=KNOWN) == []


# ── with the database in hand ───────────────────────────────────────────────────────────────────────────────────


TRICKS = {
    "copies the proof": "UPDATE conversation SET standing = (SELECT standing FROM conversation WHERE id = :good) WHERE id = :bad",
    "copies the proof and its key": (
        "UPDATE conversation SET (standing, key_id) = (SELECT standing, key_id FROM conversation WHERE id = :good) "
        "WHERE id = :bad"
    ),
    "writes a proof in clear": (
        """UPDATE conversation SET standing = CAST('{"level":2,"session":"","record":"","reference":"QX7T4P","""
        """"contact":"","since":4000000000}' AS BLOB) WHERE id = :bad AND :good != ''"""
    ),
    "writes a level": "UPDATE conversation SET standing = 3 WHERE id = :bad AND :good != ''",
    "changes one bit": (
        "UPDATE conversation SET standing = (SELECT CAST(substr(standing, 1, 60) || x'00' || substr(standing, 62) AS BLOB) "
        "FROM conversation WHERE id = :good) WHERE id = :bad"
    ),
    "writes verified into the check": "UPDATE identity_check SET state = 'verified' WHERE conversation_id = :bad AND :good != ''",
    "gives the proven conversation to the impostor": (
        "UPDATE conversation SET visitor_id = (SELECT visitor_id FROM conversation WHERE id = :good), "
        "standing = (SELECT standing FROM conversation WHERE id = :good) WHERE id = :bad"
    ),
}


async def test_editing_the_database_proves_nothing(start: Start) -> None:
    async with start(record_sends_per_day=50) as server:
        owner, desk, thread = await server.meeting("Hello")
        await server.prove(owner, thread)
        for trick, statement in TRICKS.items():
            impostor = await server.visitor()
            theirs = await impostor.open(KNOWN)
            await desk.take(theirs)
            await impostor.do("start_check", conversation=theirs, reference=BOOKING)
            await impostor.check("started")
            server.change(statement.replace(":good", f"'{thread}'").replace(":bad", f"'{theirs}'"))
            answer = await desk.ask("show_record", conversation=theirs)
            assert (answer["t"], answer.get("code")) in {("error", "needs_check"), ("error", "unreadable")}, trick
            held = await desk.ask("post", conversation=theirs, text="Your flight to Toronto is booked.")
            assert held.get("held") or held["t"] == "error", trick
            again = await server.visitor(hello=False, token=impostor.token)
            await again.send("hello", v=1, site=SITE, token=impostor.token)
            await asyncio.sleep(0.1)
            assert '"level":2' not in again.everything, trick
            await desk.settle()
            assert "Toronto" not in impostor.everything, trick
        assert (await desk.do("show_record", conversation=thread))["reference"] == BOOKING


async def test_a_proof_written_back_after_it_ended_counts_no_more(server: Server) -> None:
    visitor, desk, thread = await server.meeting("Hello")
    await server.prove(visitor, thread)
    ((standing,),) = server.rows("SELECT standing FROM conversation WHERE id = ?", thread)
    server.skip(1801)
    assert await desk.refused("show_record", conversation=thread) == "needs_check"
    server.change("UPDATE conversation SET standing = ? WHERE id = ?", standing, thread)
    assert await desk.refused("show_record", conversation=thread) == "needs_check"
    server.skip(7200)
    now = server.store.now()
    server.change("UPDATE conversation SET standing = ?, active_at = ? WHERE id = ?", standing, now, thread)
    assert await desk.refused("show_record", conversation=thread) == "needs_check"


async def test_a_check_moved_to_another_session_or_record_does_not_open(server: Server) -> None:
    impostor, _, theirs = await server.meeting(KNOWN)
    await impostor.do("start_check", conversation=theirs, reference=OTHER_BOOKING)
    own = await impostor.check("started")
    code = await server.code(JANSEN)
    owner = await server.visitor()
    thread = await owner.open("Hello")
    await owner.do("start_check", conversation=thread, reference=BOOKING)
    await owner.check("started")
    await server.mailbox.wait_for(DUPONT)
    # The thief of the database turns the check that he can answer into one of another's record.
    server.change(
        "UPDATE identity_check SET record_index = (SELECT record_index FROM identity_check WHERE conversation_id = ?) "
        "WHERE id = ?",
        thread,
        own["id"],
    )
    assert await impostor.refused("code", conversation=theirs, check=own["id"], code=code) == "code_refused"
    assert "level.up" not in server.audited(theirs)


async def test_the_same_persons_other_browser_cannot_answer(server: Server) -> None:
    visitor, _, thread = await server.meeting("Hello")
    await visitor.do("start_check", conversation=thread, reference=BOOKING)
    card = await visitor.check("started")
    code = await server.code()
    token = new_token()
    server.change(
        "INSERT INTO visitor_session SELECT ?, visitor_id, site_id, ?, NULL, created_at - 1, seen_at FROM visitor_session",
        "B" * 22,
        tokens.token_hash(server.store.vault, token),
    )
    other = await server.visitor(token=token)
    assert other.welcome["conversation"]["id"] == thread
    assert await other.refused("code", conversation=thread, check=card["id"], code=code) == "code_refused"
    await visitor.do("code", conversation=thread, check=card["id"], code=code)


async def test_who_takes_a_session_over_has_no_proof(server: Server) -> None:
    """A proof is the session's that made it: an older token is void once the newer one is kept."""
    visitor, _, thread = await server.meeting("Hello")
    await server.prove(visitor, thread)
    new = (await visitor.expect("token"))["token"]
    await visitor.send("token_kept")
    await visitor.settle()
    thief = await server.visitor(token=visitor.token)
    assert "conversation" not in thief.welcome
    assert json.dumps(thief.welcome).find("standing") < 0
    assert await thief.refused("post", conversation=thread, text="It is me") == "not_found"
    owner = await server.visitor(token=new)
    assert owner.welcome["conversation"]["standing"]["level"] == 2
    guesser = await server.visitor(token=new_token())
    assert "conversation" not in guesser.welcome
