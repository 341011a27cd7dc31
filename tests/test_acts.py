"""Twin of actions/acts.py: the record is shown and changed for its proven owner, and for nobody else."""

from __future__ import annotations

import asyncio
import json

import pytest

from aparte.actions import acts, checks, sites
from aparte.errors import RecordsDown
from aparte.model import Site
from aparte.store import outbox
from checking import asked, company_is_down, company_writes_otherwise, letters_left
from clients import AgentDesk, Visitor, new_cid
from harness import BOOKING, JANSEN, OTHER_BOOKING, Server, Start, site


async def proven(server: Server) -> tuple[Visitor, AgentDesk, str]:
    visitor, claire, thread = await server.meeting("I want to move my flight to next Tuesday")
    await server.prove(visitor, thread)
    return visitor, claire, thread


def company_is_back(server: Server) -> Site:
    return site(int(server.airline_url.rpartition(":")[2]))


async def test_the_record_is_shown_to_the_agent_who_asks(server: Server) -> None:
    visitor, claire, thread = await proven(server)
    record = await claire.do("show_record", conversation=thread)
    assert record["reference"] == BOOKING
    assert {"label": "To", "value": "Toronto (YYZ)"} in record["lines"]
    assert [one["supplement"]["amount"] for one in record["options"]] == [5800, 8400]
    await visitor.settle()
    await claire.watch(thread)
    await claire.settle()
    assert "Toronto" not in visitor.everything
    assert claire.everything.count("YYZ") == 1  # it is told to who asked, once, and is no event
    assert "gate.allow" in server.audited(thread)


async def test_the_record_is_kept_nowhere(server: Server) -> None:
    _, claire, thread = await proven(server)
    tops = server.rows("SELECT staff_seq FROM conversation")
    await claire.do("show_record", conversation=thread)
    assert server.rows("SELECT staff_seq FROM conversation") == tops


@pytest.mark.parametrize("frame", [{"t": "show_record"}, {"t": "change", "option": "x"}])
async def test_nothing_is_opened_before_the_check(server: Server, frame: dict[str, str]) -> None:
    visitor, claire, thread = await server.meeting(f"Booking {BOOKING}, please move it")
    assert await claire.refused(**frame, conversation=thread) == "needs_check"
    odile = await server.agent("odile")
    assert await odile.refused(**frame, conversation=thread) == "needs_check"  # nor for a supervisor
    await visitor.do("start_check", conversation=thread, reference=BOOKING)
    assert await claire.refused(**frame, conversation=thread) == "needs_check"
    assert server.audited(thread).count("gate.refuse") == 3


async def test_the_record_is_the_one_that_the_company_named(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its form of the reference is carried by every later request, and is what an agent's text is compared with."""
    company_writes_otherwise(server, monkeypatch)
    visitor, claire, thread = await server.meeting()
    standing = await server.prove(visitor, thread, "OX7 T4P")
    assert "reference" not in standing["body"]["standing"]
    assert (await claire.event("standing"))["body"]["standing"]["reference"] == "0X7-T4P"
    record = await claire.do("show_record", conversation=thread)
    assert record["reference"] == "0X7-T4P"
    assert "held" not in await claire.reply(thread, "Booking 0X7T4P leaves at noon")
    assert (await claire.reply(thread, f"Booking {OTHER_BOOKING} leaves at noon"))["held"]
    await claire.do("change", conversation=thread, option=record["options"][0]["id"])
    assert (await claire.event("act", state="done"))["body"]["reference"] == "0X7-T4P"


async def test_the_companys_form_is_shown_to_nobody_before_the_proof(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would tell that the record exists."""
    company_writes_otherwise(server, monkeypatch)
    visitor, claire, thread = await server.meeting()
    await asked(server, visitor, thread, "OX7T4P")
    await claire.watch(thread)
    await claire.settle()
    assert "0X7-T4P" not in claire.everything + visitor.everything


async def test_a_new_check_of_another_record_opens_that_one_alone(server: Server) -> None:
    visitor, claire, thread = await proven(server)
    await server.prove(visitor, thread, OTHER_BOOKING, JANSEN)
    record = await claire.do("show_record", conversation=thread)
    assert record["reference"] == OTHER_BOOKING
    held = await claire.reply(thread, f"Booking {BOOKING} leaves on Tuesday.")
    assert held["held"]


async def test_an_option_of_another_record_changes_nothing(server: Server) -> None:
    visitor, claire, thread = await proven(server)
    option = (await claire.do("show_record", conversation=thread))["options"][0]["id"]
    await server.prove(visitor, thread, OTHER_BOOKING, JANSEN)
    before = dict(server.airline.bookings)
    await claire.do("change", conversation=thread, option=option)
    await claire.event("act", state="failed")
    assert server.airline.bookings == before


async def test_the_change_reaches_the_airline_once(server: Server) -> None:
    visitor, claire, thread = await proven(server)
    before = server.airline.bookings[BOOKING]
    option = (await claire.do("show_record", conversation=thread))["options"][0]
    cid = new_cid()
    acks = [await claire.do("change", conversation=thread, cid=cid, option=option["id"]) for _ in range(3)]
    assert acks[0] == acks[1] == acks[2]
    asked = await claire.event("act", state="asked")
    assert asked["body"]["label"] == option["label"]
    assert "vseq" not in asked
    done = (await visitor.event("act", state="done"))["body"]
    assert done["due"] == {"amount": 5800, "currency": "EUR"}
    assert "reference" not in done
    assert (await claire.event("act", state="done"))["body"]["reference"] == BOOKING
    await letters_left(server)
    after = server.airline.bookings[BOOKING]
    assert (after.departs - before.departs).days == 7
    assert (after.changes, after.due) == (1, 5800)
    await visitor.settle()
    assert visitor.heard("act") == []
    assert (await claire.do("show_record", conversation=thread))["options"] == []  # an economy ticket moves once
    assert {"act.change", "act.change_done"} <= set(server.audited(thread))


async def test_each_reads_the_record_and_its_change_in_their_own_language(server: Server) -> None:
    visitor, claire, thread = await proven(server)
    shown = [
        await claire.do("show_record", conversation=thread, **lang) for lang in ({}, {"lang": "en"}, {"lang": "fr"})
    ]
    assert [record["lines"][3]["label"] for record in shown] == ["To", "To", "À"]
    assert [record["lang"] for record in shown] == ["en", "en", "fr"]
    option = shown[2]["options"][0]
    await claire.do("change", conversation=thread, option=option["id"])
    asked = (await claire.event("act", state="asked"))["body"]
    told = {"label": option["label"], "departs": option["departs"], "lang": "fr"}
    assert told.items() <= asked.items()
    # The customer began in English: the words that the agent chose by are not theirs, the departure can be said anew.
    done = (await visitor.event("act", state="done"))["body"]
    assert (done["departs"], done["lang"], done["title"]) == (option["departs"], "en", "Amsterdam – Toronto")
    assert "label" not in done
    assert (await claire.event("act", state="done"))["body"]["departs"] == option["departs"]


async def test_a_change_chosen_in_the_customers_language_keeps_the_companys_words(server: Server) -> None:
    visitor, claire, thread = await proven(server)
    option = (await claire.do("show_record", conversation=thread, lang="en"))["options"][0]
    await claire.do("change", conversation=thread, option=option["id"])
    done = (await visitor.event("act", state="done"))["body"]
    assert (done["label"], done["lang"]) == (option["label"], "en")


async def test_a_change_that_is_carried_out_again_after_a_crash_happens_once(server: Server) -> None:
    """The row comes back although the airline has done it: the same key, the same answer."""
    _, claire, thread = await proven(server)
    option = (await claire.do("show_record", conversation=thread))["options"][0]["id"]
    await company_is_down(server)
    await claire.do("change", conversation=thread, option=option)
    await claire.event("alarm", code="records_down")
    [row] = await server.store.read(lambda c: outbox.due(c, server.store.vault, server.store.now() + 60, 9))
    await sites.add_site(server.store, company_is_back(server))
    for _ in range(2):
        await acts.carry_out(server.parts, row)
    booking = server.airline.bookings[BOOKING]
    assert (booking.changes, booking.due) == (1, 5800)


async def test_a_change_waits_for_a_company_that_does_not_answer(server: Server) -> None:
    visitor, claire, thread = await proven(server)
    option = (await claire.do("show_record", conversation=thread))["options"][0]["id"]
    await company_is_down(server)
    assert await claire.refused("show_record", conversation=thread) == "records_down"
    await claire.do("change", conversation=thread, option=option)
    await claire.event("alarm", code="records_down")
    await visitor.say(thread, "Is it done?")  # talk goes on
    await visitor.settle()
    assert visitor.heard("act") == []
    assert server.airline.bookings[BOOKING].changes == 0
    await sites.add_site(server.store, company_is_back(server))
    await visitor.event("act", state="done")
    assert server.airline.bookings[BOOKING].changes == 1


async def test_a_change_is_given_up_when_the_proof_has_ended(server: Server) -> None:
    visitor, claire, thread = await proven(server)
    option = (await claire.do("show_record", conversation=thread))["options"][0]["id"]
    await company_is_down(server)
    await claire.do("change", conversation=thread, option=option)
    await claire.event("alarm", code="records_down")
    server.skip(1801)
    await sites.add_site(server.store, company_is_back(server))
    server.parts.ring()
    failed = await claire.event("act", state="failed")
    # The company was called once: whether it heard is not known here, and nobody is told otherwise.
    assert failed["body"]["code"] == "not_known"
    await visitor.settle()
    assert visitor.heard("act") == []
    assert server.airline.bookings[BOOKING].changes == 0


async def test_a_change_is_never_called_undone_after_a_first_call(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The company makes it, its answer is lost, and the patience of the outbox ends with this very try."""
    async with start() as server:
        visitor, claire, thread = await proven(server)
        option = (await claire.do("show_record", conversation=thread))["options"][0]["id"]
        really = server.parts.records.change

        async def unheard(*arguments, **more):  # type: ignore[no-untyped-def]  # hands anything on
            await really(*arguments, **more)
            server.skip(server.settings.code_seconds + 1)
            raise RecordsDown

        monkeypatch.setattr(server.parts.records, "change", unheard)
        await claire.do("change", conversation=thread, option=option)
        failed = await claire.event("act", state="failed")
        assert server.airline.bookings[BOOKING].changes == 1
        assert failed["body"]["code"] == "not_known"
        await visitor.settle()
        assert visitor.heard("act") == []


async def test_a_change_is_not_called_undone_because_the_connector_was_taken_away(server: Server) -> None:
    _, claire, thread = await proven(server)
    option = (await claire.do("show_record", conversation=thread))["options"][0]["id"]
    await company_is_down(server)
    await claire.do("change", conversation=thread, option=option)
    await claire.event("alarm", code="records_down")
    await sites.add_site(server.store, Site("air", "Air Aparté", formats=("XXXXXX",)))
    server.parts.ring()
    assert (await claire.event("act", state="failed"))["body"]["code"] == "not_known"


async def test_a_change_is_given_up_when_the_conversation_froze(server: Server) -> None:
    _, claire, thread = await proven(server)
    option = (await claire.do("show_record", conversation=thread))["options"][0]["id"]
    await company_is_down(server)
    await claire.do("change", conversation=thread, option=option)
    await claire.event("alarm", code="records_down")
    link = str(server.mailbox.letters[-1].link).partition("#")[2]
    assert (await server.post("/api/not-me", {"token": link})).status_code == 200
    await sites.add_site(server.store, company_is_back(server))
    server.parts.ring()
    await claire.event("act", state="failed")
    assert server.airline.bookings[BOOKING].changes == 0


async def test_an_option_that_is_gone_is_told(server: Server) -> None:
    _, claire, thread = await proven(server)
    await claire.do("change", conversation=thread, option="an option that is not offered")
    failed = await claire.event("act", state="failed")
    assert failed["body"]["code"]
    assert "act.change_failed" in server.audited(thread)


@pytest.mark.parametrize("meanwhile", ["time passes", "this is not me"])
async def test_the_gate_is_asked_again_after_the_company_answered(
    server: Server, monkeypatch: pytest.MonkeyPatch, meanwhile: str
) -> None:
    _, claire, thread = await proven(server)
    details = server.parts.records.details

    async def slowly(*arguments):  # type: ignore[no-untyped-def]  # hands anything on
        found = await details(*arguments)
        if meanwhile == "time passes":
            server.skip(1801)
        else:
            await checks.not_me(server.parts, str(server.mailbox.letters[-1].link).partition("#")[2])
        return found

    monkeypatch.setattr(type(server.parts.records), "details", lambda _self, *arguments: slowly(*arguments))
    assert await claire.refused("show_record", conversation=thread) == "needs_check"
    await claire.settle()
    assert "Toronto" not in claire.everything


async def test_other_frames_go_on_while_the_company_thinks(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    _, claire, thread = await proven(server)
    go = asyncio.Event()

    async def thinking(*_arguments):  # type: ignore[no-untyped-def]  # hands anything on
        await go.wait()
        raise RecordsDown

    monkeypatch.setattr(type(server.parts.records), "details", thinking)
    cid = new_cid()
    await claire.send("show_record", cid=cid, conversation=thread)
    await claire.reply(thread, "One moment")
    go.set()
    assert (await claire.expect("error", cid=cid))["code"] == "records_down"


async def test_a_site_without_a_connector_says_so(server: Server) -> None:
    visitor, claire, thread = await proven(server)
    await sites.add_site(server.store, Site("air", "Air Aparté", formats=("XXXXXX",)))
    assert await claire.refused("show_record", conversation=thread) == "bad_state"
    assert await visitor.refused("start_check", conversation=thread, reference=BOOKING) == "bad_state"


async def test_a_change_that_was_asked_can_be_read_after_a_restart(start: Start) -> None:
    async with start() as server:
        visitor, claire, thread = await proven(server)
        option = (await claire.do("show_record", conversation=thread))["options"][0]["id"]
        await company_is_down(server)
        await claire.do("change", conversation=thread, option=option)
        await claire.event("alarm", code="records_down")
        token, folder = visitor.token, server.folder
        for data in visitor.raw:
            frame = json.loads(data)
            token = frame["token"] if frame["t"] == "token" else token
    async with start(again=folder) as server:
        visitor = await server.visitor(token=token)
        await visitor.event("act", state="done", seconds=10)
        assert server.airline.bookings[BOOKING].changes == 1


async def test_a_change_asked_for_one_booking_never_reaches_another(server: Server) -> None:
    visitor, claire, thread = await proven(server)
    option = (await claire.do("show_record", conversation=thread))["options"][0]["id"]
    await company_is_down(server)
    await claire.do("change", conversation=thread, option=option)
    await claire.event("alarm", code="records_down")
    await sites.add_site(server.store, company_is_back(server))
    # Another booking is proven before the change is tried again.
    before = dict(server.airline.bookings)
    await server.prove(visitor, thread, OTHER_BOOKING, JANSEN)
    server.parts.ring()
    await claire.event("act", state="failed", seconds=20)
    assert server.airline.bookings == before


async def test_one_change_at_a_time(server: Server) -> None:
    _, claire, thread = await proven(server)
    option = (await claire.do("show_record", conversation=thread))["options"][0]["id"]
    await company_is_down(server)
    await claire.do("change", conversation=thread, option=option)
    assert await claire.refused("change", conversation=thread, option=option) == "bad_state"


async def test_it_holds_a_reference_in_groups_that_the_customer_named_before(server: Server) -> None:
    visitor, claire, thread = await server.meeting()
    text = f"{BOOKING[:3]} {BOOKING[3:]}: all is well"
    await claire.reply(thread, text)
    await visitor.event("message", text=text)  # nobody has named it: it could be anything
    await visitor.say(thread, f"It is {BOOKING}")
    ack = await claire.reply(thread, f"So {text}")
    assert (await claire.event("held", held=ack["held"]))["body"]["code"] == "needs_check"
    await visitor.settle()
    assert f"So {text}" not in visitor.everything
