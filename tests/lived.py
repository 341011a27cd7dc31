"""An installation on SQLite in which everything has happened once, to be copied elsewhere.

Knows the story and what is left of it. Must not know how it is copied.
"""

from __future__ import annotations

import contextlib
import dataclasses
import sqlite3
from pathlib import Path
from typing import Any, Final

import psycopg

import databases
import harness
import pgserver
from aparte.config import Settings
from clients import Visitor
from harness import JANSEN, OTHER_BOOKING

CANARIES: Final = ("Wilhelmina Kanarek would like to move", "Zanzibar is lovely in May", "Mind the Quokka in row 7")
HELD: Final = f"Your booking {OTHER_BOOKING} is confirmed."


@dataclasses.dataclass(frozen=True)
class Lived:
    """What is left: the folder, and what the browser of the visitor who asked to move remembers."""

    folder: Path
    token: str
    thread: str
    last_seq: int
    epoch: str

    @property
    def remembered(self) -> dict[str, Any]:
        """What that browser says when it comes back."""
        return {"token": self.token, "conversation": self.thread, "last_seq": self.last_seq, "epoch": self.epoch}


async def live(folder: Path) -> Lived:
    """Makes it, by the product's own ways, in an empty folder."""
    await harness.prepare(folder)
    async with harness.running(folder) as server:
        visitor, desk, thread = await server.meeting(CANARIES[0])
        await server.prove(visitor, thread)
        await desk.reply(thread, CANARIES[1])
        await desk.do("note", conversation=thread, text=CANARIES[2])
        other = await server.visitor()
        second = await other.open(f"Booking {OTHER_BOOKING}, what is its state?")
        await desk.take(second)
        assert (await desk.reply(second, HELD)).get("held")
        before = server.letters
        ack = await other.do("start_check", conversation=second, reference=OTHER_BOOKING)
        check = (await other.expect("event", kind="check", seq=ack["seq"]))["body"]["check"]["id"]
        await server.code(JANSEN, after=before)
        await other.refused("code", conversation=second, check=check, code="00000000")
        await server.agent("odile")
        await visitor.settle()
        left = Lived(folder, visitor.token, thread, visitor.tops[thread], server.store.epoch)
    with contextlib.closing(sqlite3.connect(folder / "data" / "aparte.db")) as data, data:
        # What only several nodes, and a crash at a bad moment, leave behind.
        data.execute("INSERT INTO presence VALUES ('somebody', 'a node', 12.5)")
        data.execute("INSERT INTO erasure VALUES (7)")
    return left


def copied(left: Lived, folder: Path) -> Lived:
    """For one test."""
    return dataclasses.replace(left, folder=databases.copied(left.folder, folder))


def with_target(folder: Path, **chosen: Any) -> Settings:
    """The folder's settings, with two empty databases in them."""
    server = pgserver.shared()
    names = [server.make(), server.make()]
    databases._made.extend(names)
    (folder / databases._FILE).write_text("\n".join(names))
    return harness.settings_in(folder, **chosen)


Rows = dict[str, list[tuple[Any, ...]]]


def rows_on_sqlite(*files: Path) -> Rows:
    """Every row of every table, as the driver gives it."""
    found: Rows = {}
    for file in files:
        with contextlib.closing(sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True)) as database:
            names = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            found |= {name: sorted(database.execute(f"SELECT * FROM {name}"), key=repr) for name in names}
    return found


def rows_on_postgresql(folder: Path) -> Rows:
    """The same of a folder's databases, columns in SQLite's order, truth as 0 and 1."""
    found: Rows = {}
    server = pgserver.shared()
    for name in (folder / databases._FILE).read_text().splitlines():
        with psycopg.connect(host=str(server.folder), user="postgres", dbname=name) as connection:
            tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
            for (table,) in tables:
                rows = connection.execute(f'SELECT * FROM "{table}"'.encode()).fetchall()
                found[table] = sorted(
                    (tuple(int(v) if v is True or v is False else v for v in row) for row in rows), key=repr
                )
    return found


async def come_back(server: harness.Server, left: Lived) -> Visitor:
    """The visitor's browser, as if nothing had been."""
    return await server.visitor(**left.remembered)
