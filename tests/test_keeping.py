"""Twin of store/keeping.py: what is looked for every few seconds is found without reading everything."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from sqlalchemy import Connection, event

from aparte.config import Database
from aparte.store import Store, checks, keeping

pytestmark = pytest.mark.both_stores


@pytest.mark.parametrize(
    ("look", "index"),
    [
        (keeping.with_proof, "ix_conversation_proven"),
        (lambda connection: checks.overdue(connection, 1.0, 10), "ix_identity_check_due"),
    ],
)
async def test_it_finds_what_is_due_by_an_index(store: Store, look: Callable[[Connection], object], index: str) -> None:
    def plan(connection: Connection) -> str:
        asked: list[tuple[str, tuple[object, ...]]] = []

        def note(_c: object, _cursor: object, statement: str, values: tuple[object, ...], *_rest: object) -> None:
            asked.append((statement, values))

        event.listen(connection, "before_cursor_execute", note)
        look(connection)
        event.remove(connection, "before_cursor_execute", note)
        explain = "EXPLAIN QUERY PLAN"
        if isinstance(store.place, Database):
            connection.exec_driver_sql("SET LOCAL enable_seqscan = off")  # with few rows it reads them all
            explain = "EXPLAIN"
        rows = connection.exec_driver_sql(f"{explain} {asked[-1][0]}", asked[-1][1]).all()
        return " ".join(row[-1] for row in rows)

    assert index in await store.read(plan)
