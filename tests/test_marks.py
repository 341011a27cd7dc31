"""Twin of actions/marks.py: delivered and read only rise, and nobody has read what was not sent."""

from __future__ import annotations

from typing import Any

import pytest

from aparte.actions import marks
from aparte.errors import StoreDown
from harness import Server, Start

pytestmark = pytest.mark.both_stores


def stored(server: Server) -> dict[str, int]:
    names = ("visitor_delivered", "visitor_read", "staff_delivered", "staff_read", "unread")
    return dict(zip(names, server.rows(f"SELECT {', '.join(names)} FROM conversation")[0], strict=True))


async def test_each_side_hears_of_the_other(server: Server) -> None:
    visitor, claire, thread = await server.meeting()
    await claire.reply(thread, "Hello!")
    await visitor.event("message", text="Hello!")
    await visitor.send("mark", conversation=thread, delivered=3, read=2)
    assert await claire.expect("marks") == {
        "t": "marks",
        "conversation": thread,
        "who": "visitor",
        "delivered": 3,
        "read": 2,
    }
    await claire.send("mark", conversation=thread, read=1)
    heard = await visitor.expect("marks")
    assert (heard["who"], heard["delivered"], heard["read"]) == ("staff", 1, 1)  # what is read was delivered


async def test_they_never_fall(server: Server) -> None:
    visitor, claire, thread = await server.meeting()
    for read in (2, 1, 0):
        await visitor.send("mark", conversation=thread, read=read)
    assert (await claire.expect("marks"))["read"] == 2
    await visitor.send("mark", conversation=thread, read=1)
    await visitor.settle()
    await marks.store(server.parts)
    await claire.settle()
    assert "marks" not in claire.types()
    assert (stored(server)["visitor_read"], stored(server)["visitor_delivered"]) == (2, 2)


async def test_nobody_has_read_what_was_not_sent(server: Server) -> None:
    visitor, claire, thread = await server.meeting()
    await visitor.settle()
    await visitor.send("mark", conversation=thread, read=2**53 - 1)
    assert (await claire.expect("marks"))["read"] == 2
    await marks.store(server.parts)
    assert stored(server)["visitor_read"] == 2


async def test_they_survive_a_restart(start: Start) -> None:
    async with start() as server:
        visitor, claire, thread = await server.meeting()
        await visitor.say(thread, "Anybody?")
        await claire.event("message", text="Anybody?")
        assert stored(server)["unread"] == 2
        await claire.send("mark", conversation=thread, read=3)
        await visitor.expect("marks")
        await visitor.send("mark", conversation=thread, read=2)
        await visitor.settle()
        await marks.store(server.parts)
        assert stored(server)["unread"] == 0
        token, folder = visitor.token, server.folder
    async with start(again=folder) as server:
        view = (await server.visitor(token=token)).welcome["conversation"]
        assert (view["delivered"], view["read"], view["mine"]) == (3, 3, 2)
        claire = await server.agent()
        view = (await claire.watch(thread))["view"]
        assert (view["read"], view["mine"]) == (2, 3)


async def test_it_counts_what_staff_have_not_read(server: Server) -> None:
    visitor, claire, thread = await server.meeting()
    for text in ("one", "two", "three"):
        await visitor.say(thread, text)
        await claire.event("message", text=text)
    await claire.send("mark", conversation=thread, read=4)  # Hello, assigned, one, two
    await visitor.expect("marks")
    await marks.store(server.parts)
    assert stored(server)["unread"] == 1
    line = await claire.expect("inbox")
    while line["entry"].get("unread") != 1:
        line = await claire.expect("inbox")


async def test_they_wait_for_a_store_that_is_down(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    visitor, _, thread = await server.meeting()
    await visitor.settle()
    write, down = server.store.write, True

    async def sick(*arguments: Any, **options: Any) -> Any:
        if down:
            raise StoreDown
        return await write(*arguments, **options)

    monkeypatch.setattr(server.store, "write", sick)
    await visitor.send("mark", conversation=thread, read=2)
    await visitor.settle()
    with pytest.raises(StoreDown):
        await marks.store(server.parts)
    down = False
    await marks.store(server.parts)
    assert stored(server)["visitor_read"] == 2


async def test_it_tells_the_visitor_nothing_of_what_is_hidden(server: Server) -> None:
    visitor, desk, thread = await server.meeting()
    for _ in range(3):
        await desk.do("note", conversation=thread, text="between us")
    await desk.send("mark", conversation=thread, delivered=999, read=999)
    told = await visitor.expect("marks")
    assert (told["who"], told["delivered"], told["read"]) == ("staff", 2, 2)  # the message, and who answers
    assert visitor.tops[thread] == 2


async def test_it_counts_only_who_has_the_conversation(server: Server) -> None:
    visitor, desk, thread = await server.meeting()
    odile = await server.agent("odile")
    await odile.watch(thread)
    await odile.send("mark", conversation=thread, delivered=2, read=2)
    await odile.settle()
    await marks.store(server.parts)
    assert server.rows("SELECT staff_read, unread FROM conversation") == [(0, 1)]
    await visitor.settle()
    assert "marks" not in visitor.types()
    await desk.send("mark", conversation=thread, delivered=2, read=1)
    assert (await visitor.expect("marks"))["read"] == 1
    assert server.rows("SELECT staff_read, unread FROM conversation") == [(1, 0)]


async def test_it_passes_over_what_was_forgotten(server: Server) -> None:
    visitor, _, thread = await server.meeting()
    other = await server.visitor()
    second = await other.open("Hello too")
    await visitor.send("mark", conversation=thread, delivered=1, read=1)
    await visitor.settle()
    server.change("DELETE FROM conversation WHERE id = ?", thread)
    await other.send("mark", conversation=second, delivered=1, read=1)
    await other.settle()
    await marks.store(server.parts)
    assert server.parts.marks == {}
    assert server.rows("SELECT visitor_read FROM conversation") == [(1,)]


async def test_what_was_read_just_before_the_end_is_kept(start: Start) -> None:
    async with start() as server:
        visitor, _, thread = await server.meeting()
        server.app.state.tasks[1].cancel()  # the jobs: nothing else stores it
        await visitor.send("mark", conversation=thread, read=2)
        await visitor.settle()
        assert stored(server)["visitor_read"] == 0
        folder = server.folder
    async with start(again=folder) as server:
        assert stored(server)["visitor_read"] == 2


async def test_a_mark_from_the_future_does_not_hide_what_comes(server: Server) -> None:
    visitor, claire, thread = await server.meeting()
    await visitor.send("mark", conversation=thread, read=2**53 - 1)
    await visitor.settle()
    await claire.reply(thread, "Not read yet")
    await marks.store(server.parts)
    assert stored(server)["visitor_read"] == 2
