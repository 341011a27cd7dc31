"""Twin of identity/ and actions/checks.py: who may prove what, how often, and what nobody learns on the way."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path

import pytest

from aparte.actions import expiry, tokens
from aparte.identity import METHODS, email_code
from aparte.identity.life import has_shape, normal_reference
from aparte.store import people
from checking import asked, tries, wrong
from clients import SITE, Visitor, new_cid, new_visitor_token
from harness import (
    BOOKING,
    JANSEN,
    OTHER_BOOKING,
    UNKNOWN_BOOKING,
    Server,
    Start,
)


async def test_no_check_is_offered_or_asked_for_where_none_can_succeed(start: Start) -> None:
    async with start(smtp_host="", mail_from="") as server:
        visitor, claire, thread = await server.meeting()
        assert not claire.welcome["sites"][0].get("checks")
        await visitor.say(thread, f"Please move my flight {BOOKING}")
        for asked in ({}, {"reference": BOOKING}):
            assert await claire.refused("ask_check", conversation=thread, **asked) == "bad_state"
        assert await visitor.refused("start_check", conversation=thread, reference=BOOKING) == "bad_state"
        await claire.reply(thread, f"Your booking {BOOKING} is confirmed.")
        await claire.event("held", code="needs_check")
        await visitor.settle()
        assert visitor.heard("check") == []
    async with start() as server:
        assert (await server.agent()).welcome["sites"][0]["checks"]


async def test_agents_alone_learn_how_booking_numbers_look(server: Server) -> None:
    visitor, claire, _ = await server.meeting()
    assert claire.welcome["sites"][0]["formats"] == ["XXXXXX"]
    assert "formats" not in visitor.welcome["site"]


async def test_a_code_typed_into_the_conversation_is_not_kept(server: Server) -> None:
    visitor, claire, thread = await server.meeting()
    await visitor.say(thread, "not yet: 1234 5678")
    _, code = await asked(server, visitor, thread)
    await visitor.say(thread, f"my code is {code[:4]} {code[4:]}")
    message = await claire.event("message", text="my code is [code removed]")
    assert message["body"]["removed"] == ["check_code"]
    assert "not yet: 1234 5678" in claire.everything
    assert code not in claire.everything
    assert f"{code[:4]} {code[4:]}" not in claire.everything


# ── the code ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_there_is_one_method_and_its_code_has_eight_digits() -> None:
    assert set(METHODS) == {"email_code"}
    assert email_code.DIGITS == 8


async def test_the_code_goes_to_the_address_on_file_and_proves_the_booking(server: Server) -> None:
    visitor, claire, thread = await server.meeting()
    check, code = await asked(server, visitor, thread)
    assert re.fullmatch(r"\d{8}", code)
    await visitor.do("code", conversation=thread, check=check, code=code)
    await visitor.check("verified")
    standing = (await visitor.event("standing"))["body"]
    assert standing["why"] == "code"
    assert standing["standing"]["level"] == 2
    assert standing["standing"]["contact"] == "m•••••@e••••••.org"  # masked, and only now
    assert (await claire.event("standing"))["body"]["standing"]["reference"] == BOOKING
    view = (await claire.watch(thread))["view"]
    assert (view["standing"]["level"], view["entry"]["level"]) == (2, 2)
    log = server.audited(thread)
    for action in ("check.start", "check.try", "check.success", "level.up"):
        assert action in log


async def test_booking_and_code_may_be_typed_as_people_type(start: Start) -> None:
    async with start(record_sends_per_day=50) as server:
        for booking, form in (
            ("qx7t4p", "{0} {1}"),
            (" QX7 T4P ", "{0}-{1}"),
            ("QX7-T4P", " {0}{1} "),
            (BOOKING, "arabic"),
            (BOOKING, "fullwidth"),
        ):
            visitor = await server.visitor()
            thread = await visitor.open("Hello")
            check, code = await asked(server, visitor, thread, booking)
            zero = {"arabic": 0x0660, "fullwidth": 0xFF10}.get(form)
            typed = form.format(code[:4], code[4:]) if zero is None else "".join(chr(zero + int(one)) for one in code)
            await visitor.do("code", conversation=thread, check=check, code=typed)
            await visitor.check("verified")


async def test_the_letter_says_nothing_of_the_conversation(server: Server) -> None:
    visitor, claire = await server.visitor(), await server.agent()
    thread = await visitor.open(f"I am Maurice Dupont and want to fly to Toronto, booking {BOOKING}", name="Maurice")
    await claire.take(thread)
    await asked(server, visitor, thread)
    letter = server.mailbox.letters[-1]
    for word in ("Maurice", "Dupont", "Toronto", BOOKING, "Claire", thread):
        assert word.lower() not in letter.text.lower() + letter.subject.lower()
        assert all(word.lower() not in value.lower() for name, value in letter.headers if name.lower() != "to")
    assert letter.link
    assert letter.link.startswith(f"{server.url}/not-me?site=air#")


# ── tries ───────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_five_tries_and_no_more(server: Server) -> None:
    visitor, claire, thread = await server.meeting()
    check, code = await asked(server, visitor, thread)
    for left in (4, 3, 2, 1):
        assert await tries(visitor, thread, check, wrong(code)) == "code_refused"
        assert (await visitor.check("started"))["tries_left"] == left
    assert await tries(visitor, thread, check, wrong(code)) == "code_refused"
    await visitor.check("failed")
    await claire.event("alarm", code="tries_used")
    assert await tries(visitor, thread, check, code) == "code_refused"  # the right one comes too late
    assert server.rows("SELECT tries, state, code_mac FROM identity_check") == [(5, "failed", None)]
    log = server.audited(thread)
    assert (log.count("check.try"), log.count("check.wrong"), log.count("check.lock")) == (5, 5, 1)
    assert "check.success" not in log


async def test_the_last_try_may_be_the_right_one(server: Server) -> None:
    visitor, _, thread = await server.meeting()
    check, code = await asked(server, visitor, thread)
    for _ in range(4):
        await tries(visitor, thread, check, wrong(code))
    await visitor.do("code", conversation=thread, check=check, code=code)
    await visitor.check("verified")


async def test_guesses_at_once_are_counted_one_by_one(start: Start) -> None:
    """Two hundred guesses from four sockets at once: five are tried, and the code is not found out."""
    async with start(messages_per_10s=10_000, frames_per_10s=10_000) as server:
        visitor, _, thread = await server.meeting()
        check, code = await asked(server, visitor, thread)
        tabs = [visitor, *[await server.visitor(token=visitor.token) for _ in range(3)]]
        guesses = [wrong(code)] * 5 + [code] * 195
        answers = await asyncio.gather(
            *(
                tabs[number % 4].ask("code", conversation=thread, check=check, code=guess)
                for number, guess in enumerate(guesses)
            )
        )
        verified = [answer for answer in answers if answer["t"] == "ack"]
        [(tried, state)] = server.rows("SELECT tries, state FROM identity_check")
        assert tried <= 5
        assert len(verified) == (1 if state == "verified" else 0)
        assert server.audited(thread).count("check.try") == tried


async def test_a_resend_brings_another_code_and_no_new_tries(server: Server) -> None:
    visitor, _, thread = await server.meeting()
    check, first = await asked(server, visitor, thread)
    await tries(visitor, thread, check, wrong(first))
    await tries(visitor, thread, check, wrong(first))
    before = server.letters
    await visitor.do("resend", conversation=thread, check=check)
    second = await server.code(after=before)
    assert await tries(visitor, thread, check, first) == "code_refused"  # an earlier code
    assert server.rows("SELECT tries FROM identity_check") == [(3,)]
    await visitor.do("code", conversation=thread, check=check, code=second)
    await visitor.check("verified")


async def test_a_repeated_request_sends_one_letter(server: Server) -> None:
    visitor, _, thread = await server.meeting()
    cid = new_cid()
    acks = [await visitor.do("start_check", conversation=thread, cid=cid, reference=BOOKING) for _ in range(3)]
    assert acks[0] == acks[1] == acks[2]
    await server.code()
    await visitor.settle()
    assert server.rows("SELECT count(*) FROM outbox WHERE kind = 'check.letter'") == [(1,)]


async def test_three_letters_in_a_quarter_of_an_hour(server: Server) -> None:
    visitor, _, thread = await server.meeting()
    check, _ = await asked(server, visitor, thread)
    for left in (1, 0):
        before = server.letters
        await visitor.do("resend", conversation=thread, check=check)
        await server.code(after=before)
        cards = [one["body"]["check"].get("sends_left", 0) for one in visitor.heard("check")]
        assert cards[-1] == left
    for frame in ({"t": "resend", "check": check}, {"t": "start_check", "reference": BOOKING}):
        answer = await visitor.ask(**frame, conversation=thread)
        assert answer["code"] == "too_many"
        assert 880 < answer["retry_after"] <= 900
    assert server.letters == 3
    server.skip(900)
    await visitor.do("start_check", conversation=thread, reference=BOOKING)
    await server.code(after=3)


# ── what it is bound to ─────────────────────────────────────────────────────────────────────────────────────────


async def test_a_code_counts_once(server: Server) -> None:
    visitor, _, thread = await server.meeting()
    check, code = await asked(server, visitor, thread)
    await visitor.do("code", conversation=thread, check=check, code=code)
    assert await tries(visitor, thread, check, code) == "code_refused"


async def test_a_code_does_not_outlive_its_time(server: Server) -> None:
    visitor, _, thread = await server.meeting()
    check, code = await asked(server, visitor, thread)
    server.skip(601)
    assert await tries(visitor, thread, check, code) == "code_refused"
    await expiry.checks_overdue(server.parts)
    await visitor.check("expired")
    assert await visitor.refused("resend", conversation=thread, check=check) == "bad_state"
    assert "check.expire" in server.audited(thread)


async def test_a_code_counts_just_before_its_time_is_over(server: Server) -> None:
    visitor, _, thread = await server.meeting()
    check, code = await asked(server, visitor, thread)
    server.skip(590)
    await visitor.do("code", conversation=thread, check=check, code=code)


async def test_a_code_is_worth_nothing_in_another_conversation(server: Server) -> None:
    visitor, claire, thread = await server.meeting()
    check, code = await asked(server, visitor, thread)
    thief = await server.visitor()
    own = await thief.open("Hello")
    await claire.take(own)
    assert await tries(thief, own, check, code) == "code_refused"
    assert await tries(thief, thread, check, code) == "not_found"
    await thief.do("start_check", conversation=own, reference=BOOKING)
    assert await tries(thief, own, (await thief.check("started"))["id"], code) == "code_refused"
    await visitor.do("code", conversation=thread, check=check, code=code)  # the owner is not hurt


async def test_a_code_is_worth_nothing_for_another_check(server: Server) -> None:
    visitor, _, thread = await server.meeting()
    check, code = await asked(server, visitor, thread)
    other, _ = await _asked_for_jansen(server, visitor, thread)
    assert await tries(visitor, thread, check, code) == "code_refused"
    assert await tries(visitor, thread, other, code) == "code_refused"


async def _asked_for_jansen(server: Server, visitor: Visitor, thread: str) -> tuple[str, str]:
    before = server.letters
    await visitor.do("start_check", conversation=thread, reference=OTHER_BOOKING)
    check = (await visitor.check("started"))["id"]
    return check, await server.code(JANSEN, after=before)


async def test_a_code_counts_in_the_browser_that_asked_alone(server: Server) -> None:
    """The same person on a second device: another session, the same conversation."""
    visitor, _, thread = await server.meeting()
    check, code = await asked(server, visitor, thread)
    token, [(person,)] = new_visitor_token(), server.rows("SELECT visitor_id FROM conversation")
    hashed = tokens.token_hash(server.store.vault, token)
    await server.store.write(lambda tx: people.add_visitor_session(tx, "s" * 22, person, SITE, hashed))
    second = await server.visitor(token=token)
    assert second.welcome["conversation"]["id"] == thread
    assert await tries(second, thread, check, code) == "code_refused"
    assert await second.refused("resend", conversation=thread, check=check) == "bad_state"
    await visitor.do("code", conversation=thread, check=check, code=code)
    assert server.audited(thread).count("check.try") == 1


async def test_a_code_is_not_moved_to_another_row(server: Server) -> None:
    """Somebody with the database gives the hash of a code they know to another check."""
    visitor, _, thread = await server.meeting()
    check, _ = await asked(server, visitor, thread)
    thief = await server.visitor()
    own = await thief.open("Hello")
    theirs, code = await _asked_for_jansen(server, thief, own)
    server.change(
        "UPDATE identity_check SET code_mac = (SELECT code_mac FROM identity_check WHERE id = ?) WHERE id = ?",
        theirs,
        check,
    )
    assert await tries(visitor, thread, check, code) == "code_refused"


async def test_a_level_is_not_raised_in_the_database(server: Server) -> None:
    visitor, claire, thread = await server.meeting()
    thief, other = await server.visitor(), ""
    other = await thief.open("Hello")
    await claire.take(other)
    await server.prove(visitor, thread)
    server.change(
        "UPDATE conversation SET standing = (SELECT standing FROM conversation WHERE id = ?) WHERE id = ?",
        thread,
        other,
    )
    assert await claire.refused("show_record", conversation=other) == "needs_check"
    assert "standing" not in (await claire.watch(other))["view"]


async def test_all_refusals_of_a_code_are_one(server: Server) -> None:
    visitor, _, thread = await server.meeting()
    check, code = await asked(server, visitor, thread)
    absent = "a" * 22
    answers = [
        await visitor.ask("code", conversation=thread, check=one, code=typed)
        for one, typed in (
            (check, wrong(code)),
            (check, ""),
            (check, "not a code"),
            (check, code[:7]),
            (absent, code),
        )
    ]
    for answer in answers:
        answer.pop("cid")
    assert all(answer == answers[0] for answer in answers)


# ── which booking ───────────────────────────────────────────────────────────────────────────────────────────────


async def test_another_booking_number_takes_the_place_of_a_mistyped_one(server: Server) -> None:
    visitor, _, thread = await server.meeting()
    await visitor.do("start_check", conversation=thread, reference=UNKNOWN_BOOKING.lower())
    mistyped = await visitor.check("started")
    assert (mistyped["own"], mistyped["reference"]) == (True, UNKNOWN_BOOKING)  # his own input, in its normal form
    await visitor.do("start_check", conversation=thread, reference=BOOKING)
    assert (await visitor.check("ended"))["id"] == mistyped["id"]
    running = await visitor.check("started")
    assert running["reference"] == BOOKING
    assert running["sends_left"] == mistyped["sends_left"] - 1  # another number gives no more letters
    await visitor.do("code", conversation=thread, check=running["id"], code=await server.code())


async def test_what_the_agent_gave_stays_with_staff(server: Server) -> None:
    visitor, claire, thread = await server.meeting()
    await claire.do("ask_check", conversation=thread, reference=BOOKING)
    card = await visitor.check("started")
    assert {"own", "reference"}.isdisjoint(card)
    await visitor.do("start_check", conversation=thread, reference="")  # once more, of whatever it is about
    await visitor.check("ended")
    assert {"own", "reference"}.isdisjoint(await visitor.check("started"))
    again = await server.visitor(token=visitor.token)
    assert {"own", "reference"}.isdisjoint(again.welcome["conversation"]["check"])
    for screen in (visitor, again):
        assert BOOKING not in screen.everything


async def test_what_the_customer_gave_stays_his_when_he_asks_again(server: Server) -> None:
    visitor, _, thread = await server.meeting()
    await visitor.say(thread, f"I want to move my flight, booking {BOOKING}")
    await visitor.check("offered")
    for _ in range(2):
        await visitor.do("start_check", conversation=thread, reference="")
        card = await visitor.check("started")
        assert (card["own"], card["reference"]) == (True, BOOKING)


@pytest.mark.parametrize("reference", ["ABC", "QX7T4P7", "QX7T4É", "../../", "QX7T4"])
async def test_a_number_of_another_form_is_refused_at_once(server: Server, reference: str) -> None:
    visitor, claire, thread = await server.meeting()
    assert await visitor.refused("start_check", conversation=thread, reference=reference) == "bad_reference"
    assert await claire.refused("ask_check", conversation=thread, reference=reference) == "bad_reference"
    assert server.rows("SELECT count(*) FROM identity_check") == [(0,)]  # and counts as no letter


REFERENCES = json.loads(
    (Path(__file__).parent / "data" / "references.json").read_text("utf-8")
)  # the panel's tests too


@pytest.mark.parametrize(("reference", "formats", "fits"), REFERENCES)
def test_the_form_of_a_reference_is_by_the_masks(reference: str, formats: list[str], fits: bool) -> None:
    assert has_shape(normal_reference(reference), tuple(formats)) is fits
