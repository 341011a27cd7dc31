"""Where a test's installation keeps its data: in its folder, or in a database of the tests' own PostgreSQL.

A folder with a file `database` in it belongs to the database of that name, and a copy of the folder gets a copy of it.
Data and key ring share one database here, which `config.load` would refuse: to copy two takes twice the time. For a
server in a process of its own they are two.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pgserver
from aparte.config import Database
from aparte.config.database import database_from
from aparte.store import Store, migrate
from aparte.store.engine import writing_engine
from pgserver import NAMED, PostgresServer, programs

__all__ = [
    "NAMED",
    "begin",
    "change",
    "copied",
    "drop_all",
    "dumped",
    "keep",
    "migrated_at_once",
    "on",
    "place_of",
    "programs",
    "rows",
    "server",
    "tamper",
    "urls",
]

_FILE: Final = "database"
_made: list[str] = []
_own: list[PostgresServer] = []


def server() -> PostgresServer:
    """The one that is used now."""
    return _own[-1] if _own else pgserver.shared()


@contextlib.contextmanager
def on(own: PostgresServer) -> Iterator[None]:
    """Inside the block this server is used instead of the one that all tests share: it may be stopped and killed. What
    is made on it goes with it."""
    before = list(_made)
    _own.append(own)
    try:
        yield
    finally:
        _own.remove(own)
        _made[:] = before


def begin(folder: Path) -> Path:
    """Lets the data of this empty folder be in a new, empty database. Returns: the folder."""
    name = server().make()
    _made.append(name)
    (folder / _FILE).write_text(name)
    return folder


def copied(prepared: Path, place: Path, *, apart: bool = False) -> Path:
    """A copy of an installation that nobody has open. Args: apart: with a database for the key ring alone. Returns: its
    place."""
    shutil.copytree(prepared, place, dirs_exist_ok=True)
    if (prepared / _FILE).exists():
        names = [server().make((prepared / _FILE).read_text()) for _ in range(1 + apart)]
        _made.extend(names)
        (place / _FILE).write_text("\n".join(names))
    return place


def keep() -> None:
    """What was made so far is not this test's alone."""
    _made.clear()


def drop_all() -> None:
    """Removes what this test has made."""
    while _made:
        server().drop(_made.pop())


def urls(folder: Path) -> dict[str, str]:
    """The settings that lead to the folder's database; none on SQLite."""
    if not (folder / _FILE).exists():
        return {}
    found = [server().url(name) for name in (folder / _FILE).read_text().splitlines()]
    return {"database_url": found[0], "keyring_url": found[-1]}


def dumped(folder: Path, into: Path) -> Path:
    """Writes every row of the folder's databases, and the server's log, into files, as the bytes that they are."""
    import psycopg

    into.mkdir(exist_ok=True)
    own = server()
    shutil.copy(own.folder / "log", into / "log")
    for name in (folder / _FILE).read_text().splitlines():
        for (table,) in own.run("SELECT tablename FROM pg_tables WHERE schemaname = 'public'", database=name):
            with (
                psycopg.connect(host=str(own.folder), user="postgres", dbname=name) as connection,
                connection.cursor().copy(f'COPY "{table}" TO STDOUT (FORMAT binary)'.encode()) as rows_,
                (into / f"{name}.{table}").open("wb") as file,
            ):
                for part in rows_:
                    file.write(part)
    return into


def rows(place: Database, query: str, *values: object) -> list[tuple[Any, ...]]:
    """What a query finds, or what a statement returns. Args: query: with a question mark for each value."""
    return server().run(_spoken(query), *values, database=place.name)


def change(place: Database, statement: str, *values: object) -> int:
    """Does what somebody with access to the database could do. Returns: how many rows that touched."""
    return len(rows(place, f"{statement} RETURNING 1", *values))


def _spoken(query: str) -> str:
    """The query as PostgreSQL has it: values, and bytes that are written out."""
    query = query.replace("?", "%s")
    query = re.sub(r"x'([0-9a-f]*)'", r"decode('\1', 'hex')", query)
    return re.sub(r"zeroblob\((\d+)\)", r"decode(repeat('00', \1), 'hex')", query)


def tamper(store: Store, statement: str, *values: object) -> None:
    """Does what somebody with access to the data database of this store could do. Fails when no row was touched."""
    if isinstance(store.place, Database):
        assert change(store.place, statement, *values) > 0, statement
        return
    with contextlib.closing(sqlite3.connect(store.place)) as database, database:
        assert database.execute(statement, values).rowcount > 0, statement


def place_of(folder: Path) -> Database:
    """The database of a folder."""
    return database_from(urls(folder)["database_url"], None)


def migrated_at_once(place: Path | Database, folder: Path) -> list[Exception]:
    """Four nodes begin at the same moment on one database. Returns: what went wrong."""
    wrong: list[Exception] = []
    at_once = threading.Barrier(4)

    def begin() -> None:
        engine = writing_engine(place)
        at_once.wait()
        try:
            migrate.to_head(engine, folder)
        except Exception as error:  # noqa: BLE001 - told to the test
            wrong.append(error)
        finally:
            engine.dispose()

    all_of_them = [threading.Thread(target=begin) for _ in range(4)]
    for one in all_of_them:
        one.start()
    for one in all_of_them:
        one.join()
    return wrong
