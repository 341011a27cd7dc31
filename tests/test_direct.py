"""Twin of store/direct.py: many rows in one statement, on a database that takes them so."""

from __future__ import annotations

import pytest

from aparte.store import Store, Tx, direct
from clients import new_cid
from threads import appending, make_thread, row_of, stream, texts

pytestmark = pytest.mark.both_stores


async def test_a_commit_of_more_rows_than_a_statement_takes_keeps_each_in_its_place(store: Store) -> None:
    """Whole rows, some without what others have, and messages with a client id beside events without."""
    many = direct.AT_ONCE + 3
    threads = [(await make_thread(store))[1] for _ in range(many)]

    def apply(tx: Tx) -> None:
        for number, thread in enumerate(threads):
            row = tx.conversation(thread)
            row.standing = b"seen" if number % 2 else None
            row.is_frozen, row.check_id, row.held = bool(number % 3), "c" * 22 if number % 2 else None, number
            appending(thread, f"number {number}", new_cid())(tx)

    await store.write(apply)
    for number, thread in enumerate(threads):
        row = await row_of(store, thread)
        assert row.standing == (b"seen" if number % 2 else None)
        assert (row.is_frozen, row.held, bool(row.check_id)) == (bool(number % 3), number, bool(number % 2))
        assert row.visitor_seq == row.staff_seq == len(await stream(store, thread))
        assert texts(await stream(store, thread))[-1] == f"number {number}"


async def test_mere_messages_of_many_conversations_raise_their_numbers_alone(store: Store) -> None:
    many = direct.AT_ONCE + 3
    threads = [(await make_thread(store))[1] for _ in range(many)]
    before = [await row_of(store, thread) for thread in threads]

    def apply(tx: Tx) -> None:
        for thread in threads[: many - 1]:
            appending(thread, "Hello", new_cid())(tx)

    await store.write(apply)
    after = [await row_of(store, thread) for thread in threads]
    assert [now.staff_seq - then.staff_seq for then, now in zip(before, after, strict=True)] == [1] * (many - 1) + [0]
    assert all(now.updated_at > then.updated_at for then, now in zip(before[:-1], after[:-1], strict=True))
    assert (after[-1].updated_at, after[-1].state) == (before[-1].updated_at, before[-1].state)
