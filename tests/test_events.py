"""Twin of store/events.py: two gapless streams, and rows that somebody else has touched are never shown as true."""

from __future__ import annotations

import re
from typing import Any

import pytest

from aparte.frames import MessageBody
from aparte.store import Store, Tx, events
from databases import tamper
from threads import append, make_thread, note, row_of, stream, texts

pytestmark = pytest.mark.both_stores


def change(store: Store, *statements: str, **values: Any) -> None:
    """Does what somebody with access to the database could do."""
    for statement in statements:
        named = re.findall(r":(\w+)", statement)
        tamper(store, re.sub(r":\w+", "?", statement), *(values[name] for name in named))


async def talk(store: Store) -> str:
    """Four messages with a note between them: m1, m2, (note), m3, m4."""
    _, thread = await make_thread(store)
    await append(store, thread, "m1")
    await append(store, thread, "m2", sender="agent")
    await note(store, thread, "hidden")
    await append(store, thread, "m3")
    await append(store, thread, "m4", sender="agent")
    return thread


async def test_it_numbers_both_streams_without_a_gap(store: Store) -> None:
    thread = await talk(store)
    staff, visitor = await stream(store, thread), await stream(store, thread, for_visitor=True)
    assert [one.staff_seq for one in staff] == [1, 2, 3, 4, 5]
    assert [one.visitor_seq for one in staff] == [1, 2, None, 3, 4]
    assert texts(staff) == ["m1", "m2", "hidden", "m3", "m4"]
    assert [one.visitor_seq for one in visitor] == [1, 2, 3, 4]
    assert texts(visitor) == ["m1", "m2", "m3", "m4"]


async def test_it_looks_for_an_answer_among_the_last_events_alone(store: Store) -> None:
    """However much somebody writes to whom nobody answers, a line of the inbox costs no more."""
    _, thread = await make_thread(store)
    await append(store, thread, "an answer, long ago", sender="agent")
    for number in range(events.FAR + 20):
        await append(store, thread, f"m{number}")
    looked_back = await store.read(lambda c: events.unanswered_since(c, [thread]))
    assert looked_back[thread] == (await stream(store, thread))[21].at


async def test_it_reads_what_a_newer_version_has_written_more_of(store: Store) -> None:
    _, thread = await make_thread(store)

    def newer(tx: Tx) -> None:
        stored = tx.append(
            tx.conversation(thread), "message", MessageBody("Hello"), sender=("agent", "x"), visible=True
        )
        stored.raw = b'{"text":"Hello","tone":"warm"}'

    await store.write(newer)
    assert texts(await stream(store, thread)) == ["Hello"]


@pytest.mark.parametrize(
    ("ask", "expected"),
    [
        ({"after": 0, "limit": 2}, [1, 2]),
        ({"after": 3, "limit": 10}, [4, 5]),
        ({"after": 5, "limit": 10}, []),
        ({"after": 99, "limit": 10}, []),
        ({"before": 6, "limit": 2}, [4, 5]),
        ({"before": 3, "limit": 10}, [1, 2]),
        ({"before": 99, "limit": 2}, [4, 5]),
        ({"before": 1, "limit": 10}, []),
        ({"before": 0, "limit": 10}, []),
    ],
)
async def test_it_pages_both_ways(store: Store, ask: dict[str, int], expected: list[int]) -> None:
    thread = await talk(store)
    row = await row_of(store, thread)
    found = await store.read(lambda c: events.page(c, store.vault, row, for_visitor=False, **ask))  # type: ignore[arg-type]  # keywords
    assert [one.staff_seq for one in found] == expected


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE event SET sender_kind = 'agent' WHERE staff_seq = 1",
        "UPDATE event SET sender_id = 'somebody else' WHERE staff_seq = 1",
        "UPDATE event SET kind = 'note' WHERE staff_seq = 1",
        "UPDATE event SET kind = 'a kind that is not there' WHERE staff_seq = 1",
        "UPDATE event SET at = at - 3600 WHERE staff_seq = 1",
        "UPDATE event SET id = 'AAAAAAAAAAAAAAAAAAAAAA' WHERE staff_seq = 1",
        "UPDATE event SET sealed = (SELECT sealed FROM event WHERE staff_seq = 4) WHERE staff_seq = 1",
        "UPDATE event SET sealed = x'00' WHERE staff_seq = 1",
        "UPDATE event SET sealed = x'' WHERE staff_seq = 1",
        "UPDATE event SET sealed = substr(sealed, 1, length(sealed) - 1) WHERE staff_seq = 1",
        "DELETE FROM event WHERE staff_seq = 1",
    ],
)
async def test_it_shows_a_touched_row_as_unreadable_in_its_place(store: Store, statement: str) -> None:
    await shows_as_unreadable(store, statement)


@pytest.mark.sqlite_alone
@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE event SET sealed = CAST(sealed || x'00' AS BLOB) WHERE staff_seq = 1",
        "UPDATE event SET sealed = 'text' WHERE staff_seq = 1",
        "UPDATE event SET sealed = 7 WHERE staff_seq = 1",
    ],
)
async def test_it_shows_a_row_of_another_type_as_unreadable_in_its_place(store: Store, statement: str) -> None:
    await shows_as_unreadable(store, statement)


async def shows_as_unreadable(store: Store, statement: str) -> None:
    thread = await talk(store)
    change(store, statement)
    assert texts(await stream(store, thread)) == ["unreadable", "m2", "hidden", "m3", "m4"]
    assert texts(await stream(store, thread, for_visitor=True)) == ["unreadable", "m2", "m3", "m4"]


async def test_it_shows_swapped_rows_as_unreadable(store: Store) -> None:
    thread = await talk(store)
    change(
        store,
        "UPDATE event SET staff_seq = 99, visitor_seq = 99 WHERE staff_seq = 1",
        "UPDATE event SET staff_seq = 1, visitor_seq = 1 WHERE staff_seq = 4",
        "UPDATE event SET staff_seq = 4, visitor_seq = 3 WHERE staff_seq = 99",
    )
    assert texts(await stream(store, thread)) == ["unreadable", "m2", "hidden", "unreadable", "m4"]
    assert texts(await stream(store, thread, for_visitor=True)) == ["unreadable", "m2", "unreadable", "m4"]


async def test_it_shows_a_row_of_another_conversation_as_unreadable(store: Store) -> None:
    thread, other = await talk(store), await talk(store)
    change(
        store,
        "DELETE FROM event WHERE conversation_id = :thread AND staff_seq = 1",
        thread=thread,
    )
    change(
        store,
        "UPDATE event SET conversation_id = :thread WHERE conversation_id = :other AND staff_seq = 1",
        thread=thread,
        other=other,
    )
    assert texts(await stream(store, thread)) == ["unreadable", "m2", "hidden", "m3", "m4"]
    assert texts(await stream(store, other)) == ["unreadable", "m2", "hidden", "m3", "m4"]


async def test_it_shows_another_key_as_unreadable(store: Store) -> None:
    thread, other = await talk(store), await talk(store)
    change(
        store,
        "UPDATE conversation SET key_id = (SELECT key_id FROM conversation WHERE id = :other) WHERE id = :thread",
        thread=thread,
        other=other,
    )
    assert texts(await stream(store, thread)) == ["unreadable"] * 5
    assert texts(await stream(store, other)) == ["m1", "m2", "hidden", "m3", "m4"]


async def test_it_shows_a_hidden_row_that_was_made_visible_as_unreadable(store: Store) -> None:
    """Somebody with the database alone cannot show a note to the visitor."""
    thread = await talk(store)
    change(store, "UPDATE event SET visitor_seq = 5 WHERE staff_seq = 3", "UPDATE conversation SET visitor_seq = 5")
    assert texts(await stream(store, thread, for_visitor=True)) == ["m1", "m2", "m3", "m4", "unreadable"]
    assert "hidden" not in texts(await stream(store, thread))


async def test_it_shows_a_visible_row_that_was_hidden_as_unreadable(store: Store) -> None:
    thread = await talk(store)
    change(store, "UPDATE event SET visitor_seq = NULL WHERE staff_seq = 1")
    assert texts(await stream(store, thread, for_visitor=True)) == ["unreadable", "m2", "m3", "m4"]
    assert texts(await stream(store, thread))[0] == "unreadable"


async def test_it_shows_a_cut_tail_as_unreadable(store: Store) -> None:
    thread = await talk(store)
    change(store, "DELETE FROM event WHERE staff_seq >= 4")
    assert texts(await stream(store, thread)) == ["m1", "m2", "hidden", "unreadable", "unreadable"]
