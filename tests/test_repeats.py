"""A frame that comes twice, because its answer was lost: it is answered as the first time and does nothing more."""

from __future__ import annotations

import pytest

from harness import BOOKING, DUPONT, Server


@pytest.mark.parametrize("who", ["visitor", "agent"])
async def test_a_repeated_end_closes_nothing_that_was_opened_again(server: Server, who: str) -> None:
    """Its acknowledgement was lost, the customer wrote, and the screen sends it again by itself."""
    visitor = await server.visitor()
    thread = await visitor.open("Hello")
    odile = await server.agent("odile")
    await odile.take(thread)
    one, frame = (visitor, "end") if who == "visitor" else (odile, "close")
    first = await one.do(frame, conversation=thread)
    await visitor.say(thread, "One more thing")
    again = await one.do(frame, conversation=thread, cid=first["cid"])
    assert again == first
    assert server.rows("SELECT state FROM conversation") == [("waiting",)]
    await one.do(frame, conversation=thread)  # another wish is another matter
    assert server.rows("SELECT state FROM conversation") == [("closed",)]


async def test_repeated_wishes_get_their_first_answers_whatever_came_between(server: Server) -> None:
    visitor = await server.visitor()
    opened = await visitor.do("open", text="Hello")
    thread = opened["conversation"]["id"]
    claire, odile = await server.agent(), await server.agent("odile")
    claimed = await claire.do("claim", conversation=thread)
    asked = await claire.do("ask_check", conversation=thread)
    started = await visitor.do("start_check", conversation=thread, reference=BOOKING)
    resent = await visitor.do("resend", conversation=thread, check=(await visitor.check("started"))["id"])
    await server.mailbox.wait_for(DUPONT)
    link = str(server.mailbox.letters[-1].link).partition("#")[2]
    assert (await server.post("/api/not-me", {"token": link})).status_code == 200
    await visitor.event("frozen")
    top = server.rows("SELECT staff_seq FROM conversation")
    assert (await visitor.do("open", text="Hello", cid=opened["cid"]))["conversation"]["id"] == thread
    assert await visitor.do("start_check", conversation=thread, reference=BOOKING, cid=started["cid"]) == started
    check = server.rows("SELECT id FROM identity_check")[0][0]
    assert await visitor.do("resend", conversation=thread, check=check, cid=resent["cid"]) == resent
    assert await claire.do("ask_check", conversation=thread, cid=asked["cid"]) == asked
    assert await visitor.refused("start_check", conversation=thread, reference=BOOKING) == "frozen"
    assert server.rows("SELECT staff_seq FROM conversation") == top
    freed = await odile.do("unfreeze", conversation=thread, reason="He called us")
    given = await claire.do("transfer", conversation=thread, agent=server.agent_id("marc"))
    top = server.rows("SELECT staff_seq FROM conversation")
    # It is no longer hers: what she did is told again all the same, and to nobody else.
    again = {"conversation": thread, "agent": server.agent_id("marc")}
    assert await claire.do("transfer", **again, cid=given["cid"]) == given
    assert await claire.do("claim", conversation=thread, cid=claimed["cid"]) == claimed
    assert await (await server.agent()).refused("transfer", **again) == "not_found"
    assert await odile.do("unfreeze", conversation=thread, reason="He called us", cid=freed["cid"]) == freed
    assert await odile.refused("close", conversation=thread, cid=freed["cid"]) == "cid_conflict"
    assert server.rows("SELECT staff_seq FROM conversation") == top
