"""No wait grows with the history. A whole session is played, and what happens by itself is done, on a store with a
short history and on one with a long one, and the work of each statement is counted, not timed: on SQLite the steps of
its machine, on PostgreSQL the rows that its plan looked at."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import sqlalchemy.pool
from sqlalchemy import event, text

import databases
import harness
import pgserver
from aparte.actions import expiry, inbox, marks, nodes
from aparte.bench import growth
from aparte.config import Database
from aparte.jobs import Jobs
from aparte.store import Store
from checking import asked, letters_left, wrong
from clients import SITE
from harness import BOOKING, Server

LONG: Final = 1_500  # conversations of two messages; one of the short history has none
STEP: Final = 10  # of SQLite's machine, which has some ten for each row that it visits
SPARED: Final = 400  # steps in tens, or rows: less than a third of a look at the long history

# Rows of the other tables that grow with it, one for each conversation.
MORE: Final = (
    "INSERT INTO outbox SELECT id, 'letter', id, key_id, about, 'done', 1, created_at, created_at FROM conversation",
    "INSERT INTO held SELECT id, id, 1, 'released' FROM conversation",
    "INSERT INTO tally (scope, key, at) SELECT 'seeded', about, created_at FROM conversation",
    "INSERT INTO identity_check SELECT id, id, '', NULL, about, 'expired', NULL, 0, created_at, created_at FROM conversation",
    # What nobody ever closed: a third is held by an agent, a third waits.
    "UPDATE conversation SET state = 'assigned', agent_id = (SELECT min(id) FROM agent) WHERE number % 3 = 0",
    "UPDATE conversation SET state = 'waiting' WHERE number % 3 = 1",
)


class Work:
    """The most that each form of a statement has cost, in rows on PostgreSQL and in steps on SQLite."""

    def __init__(self) -> None:
        self.most: dict[str, int] = {}

    def note(self, statement: str, cost: int) -> None:
        form = re.sub(
            r"\(\s*\?(, \?)*\s*\)", "(?)", re.sub(r"\bx'[^']*'|'[^']*'|\$\d+|\b\d+(\.\d+)?\b", "?", statement)
        )
        form = re.sub(r"(\(\?\), )+\(\?\)", "(?)", re.sub(r"\s+", " ", form))
        self.most[form] = max(cost, self.most.get(form, 0))

    def watch(self, line: Any, _record: Any = None) -> None:
        """Counts the steps of a connection to SQLite."""
        if not isinstance(line, sqlite3.Connection):
            return
        running, steps = "", 0

        def trace(statement: str) -> None:
            nonlocal running, steps
            if not statement.startswith("--"):  # a trigger's own
                self.note(running, steps)
                running, steps = statement, 0

        def step() -> int:
            nonlocal steps
            steps += 1
            return 0

        line.set_trace_callback(trace)
        line.set_progress_handler(step, STEP)

    @contextlib.contextmanager
    def counting(self, place: Any) -> Iterator[None]:
        """All that is asked of a database whose connections are opened in this block."""
        if isinstance(place, Database):
            server = pgserver.shared()
            for name, value in _EXPLAINED.items():
                server.run(f"ALTER DATABASE {place.name} SET {name} = '{value}'")
            log = server.folder / "log"
            start = log.stat().st_size
            yield
            self._read(log.read_bytes()[start:].decode())
            return
        event.listen(sqlalchemy.pool.Pool, "connect", self.watch)
        try:
            yield
        finally:
            event.remove(sqlalchemy.pool.Pool, "connect", self.watch)

    def _read(self, log: str) -> None:
        for found in re.finditer(r" plan:\n", log):
            told = json.JSONDecoder().raw_decode(log[found.end() :].lstrip())[0]
            self.note(told["Query Text"], _rows(told["Plan"]))


# The server writes each plan with what came of it into its log.
_EXPLAINED: Final = {
    "session_preload_libraries": "auto_explain",
    "auto_explain.log_min_duration": "0",
    "auto_explain.log_analyze": "on",
    "auto_explain.log_format": "json",
}


def _rows(plan: dict[str, Any]) -> int:
    """How many rows the plan has looked at, those included that it threw away."""
    seen = plan.get("Actual Rows", 0) + sum(size for name, size in plan.items() if name.startswith("Rows Removed by"))
    return int(seen * plan.get("Actual Loops", 1)) + sum(map(_rows, plan.get("Plans", ())))


async def _lengthen(store: Store) -> None:
    await growth.add(store, SITE, LONG * growth.TURNS)
    for statement in MORE:
        await store.write(lambda tx, statement=statement: tx.connection.execute(text(statement)))  # type: ignore[misc]  # bound now


async def _session(server: Server) -> str:
    """What people do in a conversation, from its first word to its last. Returns: its id."""
    visitor, claire, thread = await server.meeting("Good morning, I want to move my flight")
    await claire.reply(thread, f"Your booking {BOOKING} is confirmed.")  # held
    await claire.do("note", conversation=thread, text="Calls for the second time")
    await claire.do("note", conversation=thread, text="Has a cello")
    check, code = await asked(server, visitor, thread)
    await visitor.refused("code", conversation=thread, check=check, code=wrong(code))
    await visitor.do("code", conversation=thread, check=check, code=code)
    await visitor.event("standing")
    record = await claire.do("show_record", conversation=thread)
    await claire.do("change", conversation=thread, option=record["options"][0]["id"])
    await letters_left(server)
    for number in range(4):
        await visitor.say(thread, f"And question number {number}?")
    await claire.send("mark", conversation=thread, delivered=4, read=3)
    await visitor.send("history", conversation=thread, before=4)
    await visitor.expect("events", older=True)
    back = await server.visitor(token=visitor.token, conversation=thread, last_seq=2)
    await back.settle()
    back.tops[thread] = 1
    await back.send("resync", conversation=thread, last_seq=1)
    await back.settle()
    await server.agent_again(claire.cookie, conversations={thread: 2})
    odile = await server.agent("odile")
    await odile.watch(thread)
    await asyncio.sleep(0.6)  # marks are written, lines of the inbox told
    link = str(server.mailbox.letters[-1].link).partition("#")[2]
    assert (await server.post("/api/not-me", {"token": link})).status_code < 300
    await odile.do("unfreeze", conversation=thread, reason="It was him")
    await claire.do("transfer", conversation=thread, agent=server.agent_id("marc"))
    await odile.do("close", conversation=thread)
    await visitor.say(thread, "One more thing")
    assert (await server.post("/api/logout", cookie=claire.cookie)).status_code == 204
    return thread


async def _by_itself(server: Server, thread: str) -> None:
    """Everything that is done by the clock, once."""
    parts, jobs = server.parts, Jobs(server.parts)
    parts.hub.changed.add(thread)
    await inbox.refresh(parts)
    await marks.store(parts)
    for work in (jobs._sessions, jobs._seen, jobs._presence, jobs._directory, jobs._positions):
        await work()
    await nodes.look(parts)
    await nodes.share_presence(parts)
    await expiry.checks_overdue(parts)
    await expiry.proofs_overdue(parts)
    await expiry.retention(parts)
    await parts.store.keep_time()


async def _played(prepared: Path, place: Path, *, is_long: bool) -> dict[str, int]:
    settings = harness.settings_in(databases.copied(prepared, place))
    if is_long:
        async with harness.opened(settings) as store:
            await _lengthen(store)
    work = Work()
    with work.counting(settings.database()):
        async with harness.running(place) as server:
            await _by_itself(server, await _session(server))
    return work.most


@pytest.mark.both_stores
async def test_no_statement_costs_more_on_a_long_history(
    prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(growth, "TURNS", 2)
    monkeypatch.setattr(inbox, "MOST_LINES", 5)
    monkeypatch.setattr(nodes, "_MOST_OPEN", 5)
    short = await _played(prepared, tmp_path / "short", is_long=False)
    long = await _played(prepared, tmp_path / "long", is_long=True)
    seen = " ".join(long)
    for table in ("event", "conversation", "outbox", "audit", "tally", "visitor_session", "identity_check", "held"):
        assert re.search(rf'\b(FROM|INTO) "?{table}\b', seen), f"nothing was asked of {table}"
    grown = {form: (short.get(form, 0), cost) for form, cost in long.items() if cost > 2 * short.get(form, 0) + SPARED}
    assert grown == {}
