"""Twin of actions/following.py: what another node wrote reaches whoever follows here."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

import databases
from aparte import hub
from aparte.actions import following
from aparte.errors import StoreDown
from aparte.frames import AssignedBody, Face
from aparte.jobs import Jobs
from aparte.peers import SLOW
from aparte.store import Store, Tx
from aparte.views import event_for
from clients import AgentDesk, Visitor
from harness import Server, Start
from threads import append, make_thread, note, row_of


async def texts_in_order(client: Visitor | AgentDesk, wanted: list[str]) -> None:
    """Waits for these messages, and that nothing but them came, in this order and without a gap."""
    for text in wanted:
        await client.event("message", text=text)
    await client.settle()
    events = [frame for frame in map(json.loads, client.raw) if frame["t"] == "event" and frame["kind"] == "message"]
    assert [frame["body"]["text"] for frame in events][-len(wanted) :] == wanted
    assert client.wrong == []


async def test_what_another_node_wrote_is_read_before_what_comes_after_it(server: Server) -> None:
    visitor, claire, thread = await server.meeting()
    other = await Store.open(server.settings, server.store.vault)
    try:
        for number in range(3):
            await append(other, thread, f"elsewhere {number}")
    finally:
        await other.close()
    await visitor.say(thread, "here")
    for client in (visitor, claire):
        await texts_in_order(client, ["elsewhere 0", "elsewhere 1", "elsewhere 2", "here"])


async def test_a_hint_brings_what_another_node_wrote(server: Server) -> None:
    visitor, claire, thread = await server.meeting()
    other = await Store.open(server.settings, server.store.vault)
    try:
        await append(other, thread, "elsewhere")
        await note(other, thread, "hidden")
        await append(other, thread, "and again")
    finally:
        await other.close()
    row = await row_of(server.store, thread)
    server.parts.hub.hint(thread, row.staff_seq, row.visitor_seq)
    for client in (visitor, claire):
        await texts_in_order(client, ["elsewhere", "and again"])
    server.parts.hub.hint(thread, row.staff_seq, row.visitor_seq)  # once more, and late: nothing comes twice
    server.parts.hub.hint(thread, 1, 1)
    await visitor.settle()
    assert server.parts.hub.behind == set()


async def test_what_many_threads_have_missed_is_read_together(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """And each of their people gets all of it, and nothing of another's."""
    met = [await server.meeting(f"Hello {number}") for number in range(5)]
    other = await Store.open(server.settings, server.store.vault)
    try:
        for number, (_, _, thread) in enumerate(met):
            await note(other, thread, "hidden")
            for turn in range(number + 1):
                await append(other, thread, f"{number}, {turn}")
    finally:
        await other.close()
    read_along, refills = server.store.read_along, 0

    async def counted(query: Any, use: Any) -> Any:
        nonlocal refills
        refills += 1
        return await read_along(query, use)

    monkeypatch.setattr(server.store, "read_along", counted)
    await Jobs(server.parts)._positions()
    for number, (visitor, claire, _) in enumerate(met):
        for client in (visitor, claire):
            await texts_in_order(client, [f"{number}, {turn}" for turn in range(number + 1)])
            others = [f"{one}, 0" for one in range(len(met)) if one != number]
            assert not any(text in client.everything for text in others)
    assert refills == 1


@pytest.mark.both_ways
@pytest.mark.parametrize(("most", "length"), [(16, 10), (256, 4_000)])
async def test_much_that_was_missed_in_many_threads_ends_nobody_who_reads(
    start: Start, way: str, most: int, length: int
) -> None:
    """Neither many short texts nor the longest ones, on a socket and on a stream."""
    async with start(outbox_events=most) as server:
        odile = await server.agent("odile")
        threads = [(await make_thread(server.store))[1] for _ in range(4)]
        for thread in threads:
            await odile.watch(thread)
        other = await Store.open(server.settings, server.store.vault)
        try:
            for thread in threads:
                for number in range(40):
                    await append(other, thread, f"{thread} {number} ".ljust(length, "€"))
        finally:
            await other.close()
        await Jobs(server.parts)._positions()
        for thread in threads:
            await odile.event("message", text=f"{thread} 39 ".ljust(length, "€"))
        assert odile.socket.close_code is None
        assert odile.wrong == []
        assert server.parts.hub.turn.slow == 0


async def test_what_cannot_be_shown_in_one_thread_keeps_no_other_waiting(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.plants_a_fault()
    broken, _, first = await server.meeting("Hello 0")
    visitor, _, second = await server.meeting("Hello 1")
    other = await Store.open(server.settings, server.store.vault)
    try:
        await append(other, first, "broken")
        await append(other, second, "whole")
    finally:
        await other.close()

    def fails(caller: Any, lang: str, stored: Any, directory: Any) -> Any:
        if getattr(stored.body, "text", "") == "broken":
            raise ValueError("a fault of ours")
        return event_for(caller, lang, stored, directory)

    monkeypatch.setattr(hub, "event_for", fails)
    await Jobs(server.parts)._positions()
    await texts_in_order(visitor, ["whole"])
    assert await broken.closed() == SLOW


async def test_an_old_assignment_told_late_takes_the_thread_from_nobody_who_has_it_now(server: Server) -> None:
    """A supervisor is behind; the agent, who has come since, has read both assignments."""
    _, _, thread = await server.meeting()
    odile = await server.agent("odile")
    await odile.watch(thread)

    def hands_over(agent: str) -> Callable[[Tx], None]:
        def apply(tx: Tx) -> None:
            row = tx.conversation(thread)
            row.agent_id = agent
            tx.touch(row)
            tx.append(row, "assigned", AssignedBody(Face(agent, "Desk"), agent), sender=("system", ""), visible=True)

        return apply

    other = await Store.open(server.settings, server.store.vault)
    try:
        for name in ("claire", "marc"):
            await other.write(hands_over(server.agent_id(name)))
    finally:
        await other.close()
    marc = await server.agent("marc")
    await marc.watch(thread)
    await Jobs(server.parts)._positions()
    for name in ("claire", "marc"):
        await odile.event("assigned", agent_id=server.agent_id(name))
    await odile.do("note", conversation=thread, text="There?")
    await marc.event("note", text="There?")
    assert marc.heard("error") == []


async def test_positions_find_what_no_hint_told(server: Server) -> None:
    visitor, claire, thread = await server.meeting()
    other = await Store.open(server.settings, server.store.vault)
    try:
        await append(other, thread, "unheard")
    finally:
        await other.close()
    await Jobs(server.parts)._positions()
    for client in (visitor, claire):
        await texts_in_order(client, ["unheard"])


async def test_what_could_not_be_read_is_read_later(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    visitor, _, thread = await server.meeting()
    other = await Store.open(server.settings, server.store.vault)
    try:
        await append(other, thread, "elsewhere")
    finally:
        await other.close()
    read, failed = server.store.read, 0

    async def fails(_query: Any, _use: Any) -> Any:
        raise StoreDown

    async def fails_twice(query: Any) -> Any:
        nonlocal failed
        if "_missed" in str(query) and failed < 2:
            failed += 1
            raise StoreDown
        return await read(query)

    monkeypatch.setattr(server.store, "read_along", fails)
    monkeypatch.setattr(server.store, "read", fails_twice)
    await visitor.say(thread, "here")
    await texts_in_order(visitor, ["elsewhere", "here"])
    assert failed == 2


async def test_a_damaged_row_and_a_missing_event_keep_nothing_else_from_its_people(server: Server) -> None:
    """What the writer cannot read along, a reader does; nobody's message fails meanwhile."""
    damaged, _, first = await server.meeting("Hello 0")
    robbed, claire, second = await server.meeting("Hello 1")
    whole, _, third = await server.meeting("Hello 2")
    other = await Store.open(server.settings, server.store.vault)
    try:
        for thread in (first, second, third):
            await append(other, thread, "gone")
            await append(other, thread, "there")
    finally:
        await other.close()
    number = (await row_of(server.store, second)).staff_seq - 1
    databases.tamper(server.store, f"DELETE FROM event WHERE conversation_id = '{second}' AND staff_seq = {number}")
    jobs = Jobs(server.parts)
    await jobs._positions()
    await texts_in_order(whole, ["gone", "there"])
    for client in (robbed, claire):
        await client.event("unreadable")
        await texts_in_order(client, ["there"])
    await texts_in_order(damaged, ["gone", "there"])

    other = await Store.open(server.settings, server.store.vault)
    try:
        for thread in (first, third):
            await append(other, thread, "once more")
    finally:
        await other.close()
    databases.tamper(server.store, f"UPDATE conversation SET lang = CAST(x'ff' AS TEXT) WHERE id = '{first}'")
    server.parts.hub.hint(first, 100, 100)
    server.parts.hub.hint(third, 100, 100)
    await whole.say(third, "and here")
    await texts_in_order(whole, ["once more", "and here"])
    assert damaged.wrong == []


async def test_a_damaged_assignment_still_takes_the_thread_from_who_had_it(server: Server) -> None:
    _, claire, thread = await server.meeting()
    marc = server.agent_id("marc")
    other = await Store.open(server.settings, server.store.vault)

    def passed_on(tx: Tx) -> int:
        row = tx.conversation(thread)
        row.agent_id = marc
        tx.append(row, "assigned", AssignedBody(Face(marc, "Desk"), marc), sender=("system", ""), visible=True)
        return row.staff_seq

    try:
        number = await other.write(passed_on)
        where = f"conversation_id = '{thread}' AND staff_seq = {number}"
        databases.tamper(server.store, f"UPDATE event SET sealed = zeroblob(60) WHERE {where}")
        await append(other, thread, "not for Claire")
    finally:
        await other.close()
    await Jobs(server.parts)._positions()
    assert (await claire.expect("error", conversation=thread))["code"] == "not_found"
    await claire.settle()
    assert "not for Claire" not in claire.everything


async def test_what_is_long_goes_to_a_reader_and_what_is_short_does_not(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    met = [await server.meeting(f"Hello {number}") for number in range(2)]
    counts = (following.AT_A_TIME + 5, 1)
    other = await Store.open(server.settings, server.store.vault)
    try:
        for (_, _, thread), count in zip(met, counts, strict=True):
            for turn in range(count):
                await append(other, thread, f"elsewhere {turn}")
    finally:
        await other.close()
    read_along, along = server.store.read_along, list[Any]()

    async def noted(query: Any, use: Any) -> Any:
        found, rest = await read_along(query, use)
        along.extend(one.row.id for one in found)
        return found, rest

    monkeypatch.setattr(server.store, "read_along", noted)
    await Jobs(server.parts)._positions()
    for (visitor, claire, _), count in zip(met, counts, strict=True):
        for client in (visitor, claire):
            await texts_in_order(client, [f"elsewhere {turn}" for turn in range(count)])
    assert along[:2] == [met[1][2], met[1][2]]  # for both audiences
