"""Steps of a check by code that several tests take: start it and read the letter, type codes, right and wrong."""

from __future__ import annotations

import asyncio

from aparte.actions import sites
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


async def company_is_down(server: Server) -> None:
    """The connector's address leads nowhere from now on."""
    await sites.add_site(server.store, site(9))
