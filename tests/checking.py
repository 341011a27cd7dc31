"""Steps of a check by code that several tests take: start it and read the letter, type codes, right and wrong."""

from __future__ import annotations

import asyncio
import dataclasses

import pytest

from aparte.actions import sites
from aparte.demo.bookings import Airline, Booking
from clients import SECONDS, Visitor
from harness import BOOKING, Server, site


async def asked(server: Server, visitor: Visitor, thread: str, booking: str = BOOKING) -> tuple[str, str]:
    """Starts a check of Mr Dupont's booking; its id and the code from the letter."""
    before = server.letters
    ack = await visitor.do("start_check", conversation=thread, reference=booking)
    check = (await visitor.expect("event", kind="check", seq=ack["seq"]))["body"]["check"]["id"]
    return check, await server.code(after=before)


def wrong(code: str) -> str:
    """A code that is not this one."""
    return f"{(int(code) + 1) % 10**8:08d}"


async def tries(visitor: Visitor, thread: str, check: str, code: str) -> str:
    return await visitor.refused("code", conversation=thread, check=check, code=code)


async def letters_left(server: Server) -> None:
    """Waits until nothing is due to leave any more."""
    async with asyncio.timeout(SECONDS):
        while server.rows("SELECT count(*) FROM outbox WHERE state = 'waiting'") != [(0,)]:  # noqa: ASYNC110 (a row)
            await asyncio.sleep(0.01)


def company_writes_otherwise(server: Server, monkeypatch: pytest.MonkeyPatch, theirs: str = "0X7-T4P") -> None:
    """Mr Dupont's booking has another reference on the company's side, which forgives an O for a 0 and the dash."""
    airline = server.airline
    airline.bookings = {theirs: dataclasses.replace(airline.bookings[BOOKING], reference=theirs)}

    def normal(reference: str) -> str:
        return reference.upper().replace("O", "0").replace("-", "")

    def forgiving(_: Airline, reference: str) -> Booking | None:
        return airline.bookings[theirs] if normal(reference) == normal(theirs) else None

    monkeypatch.setattr(Airline, "find", forgiving)


async def company_is_down(server: Server) -> None:
    """The connector's address leads nowhere from now on."""
    await sites.add_site(server.store, site(9))
