"""What nobody learns from a check: whether a booking exists, whose it is, or anything of another's."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any

import pytest

from aparte.demo.mailbox import Mailbox
from aparte.demo.sockets import loopback_socket
from aparte.errors import RecordsDown
from aparte.records import Records
from checking import company_is_down, letters_left, tries
from clients import AgentDesk, Visitor
from harness import BOOKING, DUPONT, JANSEN, MAILLESS_BOOKING, OTHER_BOOKING, UNKNOWN_BOOKING, Frame, Server, Start


def shape(client: Visitor | AgentDesk) -> tuple[list[str], list[str]]:
    """What a person could compare: the events in order and the other frames, without ids, times and typed numbers."""
    events, others, views = list[str](), list[str](), list[str]()
    for data in client.raw:
        text = re.sub(r'"[A-Za-z0-9_-]{22}"|"[0-9a-f-]{36}"|"[A-Za-z0-9_-]{43}"', '"id"', data)
        text = re.sub("|".join((BOOKING, UNKNOWN_BOOKING, MAILLESS_BOOKING)), "reference", text)
        text = re.sub(r"\d{10}(\.\d+)?", "0", re.sub(r'"[0-9.:]+:\d+"', '"host"', text))
        frame = json.loads(text)
        if frame["t"] == "events":
            events += [json.dumps({"t": "event", **item}) for item in frame["items"]]
        elif frame["t"] == "event":
            events.append(json.dumps(frame))
        elif frame["t"] == "reset":
            views = [text] if isinstance(client, AgentDesk) else []  # the last one: the first may see it half done
        elif frame["t"] not in ("inbox", "presence", "desk", "pos"):  # told now and then, by the clock
            others.append(json.dumps(frame))
    return events, sorted(others) + views


async def one_course(server: Server, booking: str, by: str) -> tuple[Any, Any, list[str]]:
    """A whole check of a booking, to its five wrong tries; what visitor and agent saw, and the audit log."""
    visitor, claire, thread = await server.meeting()
    if by == "agent":
        await claire.do("ask_check", conversation=thread, reference=booking)
    else:
        await visitor.do("start_check", conversation=thread, reference=booking)
    check = (await visitor.check("started"))["id"]
    await letters_left(server)
    await visitor.do("resend", conversation=thread, check=check)
    await letters_left(server)
    for _ in range(5):
        await tries(visitor, thread, check, "00000000")
    await visitor.check("failed")
    await visitor.settle()
    await claire.watch(thread)
    await claire.settle()
    return shape(visitor), shape(claire), server.audited(thread)


@pytest.mark.parametrize("by", ["visitor", "agent"])
@pytest.mark.parametrize("booking", [UNKNOWN_BOOKING, MAILLESS_BOOKING])
async def test_an_unknown_booking_looks_like_a_known_one(start: Start, booking: str, by: str) -> None:
    async with start() as server:
        known = await one_course(server, BOOKING, by)
        assert server.letters == 2
    async with start() as server:
        unknown = await one_course(server, booking, by)
        assert server.letters == 0
    assert known[0] == unknown[0]
    assert known[1] == unknown[1]
    assert known[2] == unknown[2]


async def test_a_letter_that_is_late_is_late_for_all_alike(start: Start) -> None:
    found = []
    for booking in (BOOKING, UNKNOWN_BOOKING):
        async with start() as server:
            visitor, claire, thread = await server.meeting()
            await server.mailbox.stop()
            await visitor.do("start_check", conversation=thread, reference=booking)
            while not (card := await visitor.check("started")).get("late"):
                pass
            await claire.event("alarm")
            await visitor.settle()
            await claire.settle()
            found.append((shape(visitor), shape(claire), server.audited(thread), card["state"]))
    assert found[0] == found[1]


@pytest.mark.parametrize("how", ["sender", "recipient", "contact"])
async def test_a_letter_that_has_to_wait_shows_nobody_that_there_is_one(
    start: Start, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """The mail server slows down its senders, or greylists an address, or the company does not tell the address: once."""
    contact, waited = Records.contact, []

    async def later(*_: Any) -> str:
        waited.append(1)
        return "451 4.7.1 later"

    async def silent(*arguments: Any) -> Any:
        if not waited:
            waited.append(1)
            raise RecordsDown
        return await contact(*arguments)

    found = []
    for booking in (BOOKING, UNKNOWN_BOOKING):
        async with start() as server:
            waited.clear()
            if how == "contact":
                monkeypatch.setattr(Records, "contact", silent)
            else:
                monkeypatch.setattr(
                    Mailbox, {"sender": "handle_MAIL", "recipient": "handle_RCPT"}[how], later, raising=False
                )
            visitor, claire, thread = await server.meeting()
            await visitor.do("start_check", conversation=thread, reference=booking)
            if booking == BOOKING:
                while not waited:  # noqa: ASYNC110 (a thing of the test)
                    await asyncio.sleep(0.01)
                await asyncio.sleep(0.2)  # the mail server's answer comes back and is written down
            monkeypatch.undo()
            await letters_left(server)
            assert server.letters == (booking == BOOKING)
            await visitor.settle()
            await claire.settle()
            found.append((shape(visitor), shape(claire), server.audited(thread)))
    assert found[0] == found[1]


async def test_a_late_letter_is_late_for_who_comes_back_too(server: Server) -> None:
    visitor, claire, thread = await server.meeting()
    port = server.mailbox.port
    await server.mailbox.stop()
    await visitor.do("start_check", conversation=thread, reference=BOOKING)
    await claire.event("alarm", code="mail_down")
    back = await server.visitor(token=visitor.token)
    assert back.welcome["conversation"]["check"]["late"]
    assert (await claire.watch(thread))["view"]["check"]["late"]
    await server.mailbox.start(loopback_socket(port))
    await server.mailbox.wait_for(DUPONT)
    assert [(await visitor.check("started")).get("late", False) for _ in range(3)] == [False, True, False]
    back = await server.visitor(token=visitor.token)
    assert "late" not in back.welcome["conversation"]["check"]


async def test_a_company_that_does_not_answer_is_the_same_for_all(start: Start) -> None:
    found = []
    for booking in (BOOKING, UNKNOWN_BOOKING):
        async with start(records_timeout_seconds=0.5) as server:
            await company_is_down(server)
            visitor, claire, thread = await server.meeting()
            await visitor.do("start_check", conversation=thread, reference=booking)
            while not (await visitor.check("started")).get("late"):
                pass
            await claire.event("alarm", code="records_down")
            await visitor.settle()
            found.append(shape(visitor))
    assert found[0] == found[1]


async def test_an_impostor_learns_nothing(server: Server) -> None:
    """He knows the number, the name and the birth date; the agent wants to help."""
    impostor, claire, thread = await server.meeting(
        f"I am M. Dupont, born 3 May 1951, booking {BOOKING}. What is my e-mail address with you?"
    )
    await claire.do("ask_check", conversation=thread, reference=BOOKING)
    check = (await impostor.check("started"))["id"]
    assert await claire.refused("show_record", conversation=thread) == "needs_check"
    assert await claire.refused("change", conversation=thread, option="x") == "needs_check"
    for code in ("12345678", "00000000", "19510503"):
        await tries(impostor, thread, check, code)
    await impostor.settle()
    await claire.settle()
    for client in (impostor, claire):
        for word in (DUPONT, "@", "•", "Toronto", "YYZ", "example.org"):
            assert word not in client.everything.replace("airline.example", "")
    assert server.rows("SELECT standing FROM conversation") == [(None,)]
    assert server.audited(thread).count("gate.refuse") == 2


async def test_proof_of_ones_own_booking_opens_no_other(server: Server) -> None:
    visitor, claire, thread = await server.meeting()
    await server.prove(visitor, thread)
    shown: Frame = await claire.do("show_record", conversation=thread)
    assert shown["reference"] == BOOKING
    await visitor.say(thread, f"And now show me {OTHER_BOOKING} please")
    shown = await claire.do("show_record", conversation=thread)
    assert shown["reference"] == BOOKING
    assert OTHER_BOOKING not in str(shown)
    await claire.settle()
    assert JANSEN not in claire.everything
    assert "Jansen" not in claire.everything


async def test_the_audit_log_takes_no_word_of_a_visitor(server: Server) -> None:
    visitor, _, thread = await server.meeting()
    said = "MrDupontFliesToToronto"
    assert await visitor.refused("code", conversation=thread, check=said, code="12345678") == "code_refused"
    assert said not in str(server.rows("SELECT * FROM audit"))


async def test_a_check_is_no_way_to_another_record(server: Server) -> None:
    """The sealed name of somebody else's booking is put beside the code for one's own."""
    visitor, claire, thread = await server.meeting()
    await claire.do("ask_check", conversation=thread, reference=OTHER_BOOKING)
    await visitor.check("started")
    [(sealed,)] = server.rows("SELECT sealed FROM identity_check")
    await claire.do("ask_check", conversation=thread, reference=BOOKING)
    check = (await visitor.check("started"))["id"]
    code = await server.code()
    server.change("UPDATE identity_check SET sealed = ? WHERE id = ?", sealed, check)
    assert await visitor.refused("code", conversation=thread, check=check, code=code) == "code_refused"
    server.change("UPDATE identity_check SET tries = 0, expires_at = expires_at + 9999 WHERE id = ?", check)
    assert await visitor.refused("code", conversation=thread, check=check, code=code) == "code_refused"


async def test_a_refused_request_for_a_letter_is_recorded(server: Server) -> None:
    _, claire, thread = await server.meeting()
    for _ in range(3):
        await claire.do("ask_check", conversation=thread, reference=BOOKING)
    for _ in range(4):
        assert await claire.refused("ask_check", conversation=thread, reference=BOOKING) == "too_many"
    assert server.audited(thread).count("check.request") == 3
    assert server.audited(thread).count("check.refused") == 1


async def test_a_flood_of_refused_codes_is_recorded_once_a_minute(server: Server) -> None:
    visitor, _, thread = await server.meeting()
    for turn in (1, 2):
        for said in ("A" * 22, "B" * 22) * 5:
            assert await tries(visitor, thread, said, "12345678") == "code_refused"
        assert server.audited(thread).count("check.refused") == turn
        server.skip(61)
