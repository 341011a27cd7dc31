"""Connections to the data database, with the settings that the promises rest on.

Knows SQLite's pragmas and how its transactions begin; what PostgreSQL needs is in `postgres`. Must not know tables.
"""

from __future__ import annotations

import fcntl
import sqlite3
from pathlib import Path
from typing import IO, Any, Final

from sqlalchemy import Engine, create_engine, event
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import NullPool, QueuePool

from aparte import postgres
from aparte.config import Database
from aparte.errors import BadSetting
from aparte.store import direct

BUSY_MILLISECONDS: Final = 2_000  # how long a writer waits for a lock before the person is told
CACHE_KIB: Final = 16_384  # of the writer
READER_CACHE_KIB: Final = 2_048  # of each reader: what it holds is void with the writer's next commit
WAL_PAGES: Final = 4_000  # a checkpoint each ~16 MiB of log


def _prepare(connection: sqlite3.Connection, cache_kib: int) -> None:
    # The driver's own transaction handling begins a transaction only at the first write, which loses updates
    # between a read and the write that follows from it. We begin transactions ourselves.
    connection.isolation_level = None
    run = connection.execute
    run("PRAGMA journal_mode=WAL")
    run("PRAGMA synchronous=FULL")
    run(f"PRAGMA cache_size=-{cache_kib}")
    run(f"PRAGMA wal_autocheckpoint={WAL_PAGES}")
    run("PRAGMA secure_delete=ON")
    run("PRAGMA temp_store=MEMORY")
    run("PRAGMA foreign_keys=ON")


def writing_engine(database: Path | Database) -> Engine:
    """One connection that commits durably: WAL, synchronous=FULL, BEGIN IMMEDIATE; on PostgreSQL synchronous_commit.

    On SQLite it commits nothing to a file that was moved, removed or replaced meanwhile: SQLite would go on writing to it, and
    what was acknowledged would be gone with the process. The commit raises OperationalError until it is put back.
    """
    if isinstance(database, Database):
        return postgres.engine(database, size=1)
    engine = _engine(database, begin="BEGIN IMMEDIATE", size=1, cache_kib=CACHE_KIB)
    opened: list[tuple[int, int]] = []

    @event.listens_for(engine, "connect")
    def on_connect(_connection: sqlite3.Connection, _record: Any) -> None:
        opened[:] = [_place(database)]

    @event.listens_for(engine, "commit")
    def on_commit(_connection: Any) -> None:
        if opened != [_place(database)]:
            raise OperationalError("COMMIT", None, FileNotFoundError("the database is not in its place"))

    return engine


def _place(database: Path) -> tuple[int, int]:
    """Which file the path names now; (0, 0) when it names none."""
    try:
        found = database.stat()
    except OSError:
        return 0, 0
    return found.st_dev, found.st_ino


def reading_engine(database: Path | Database, size: int) -> Engine:
    """`size` connections for readers beside the writer; each transaction sees one state of the database."""
    if isinstance(database, Database):
        return postgres.engine(database, size=size, is_reading=True)
    return _engine(database, begin="BEGIN", size=size, cache_kib=READER_CACHE_KIB)


def copying_engine(file: Path) -> Engine:
    """One connection to a SQLite file, which it cannot change. It must exist."""
    address = f"{file.absolute().as_uri()}?mode=ro"
    engine = create_engine(
        "sqlite://",
        creator=lambda: sqlite3.connect(address, uri=True, isolation_level=None, check_same_thread=False),
        poolclass=QueuePool,
        pool_size=1,
        max_overflow=0,
        hide_parameters=True,
    )

    @event.listens_for(engine, "begin")
    def on_begin(connection: Any) -> None:
        connection.exec_driver_sql("BEGIN")

    return engine


def claim(data: Path) -> IO[str]:
    """Takes the data folder for this process, until what this returns is closed: on SQLite, live connections of two
    servers would not hear each other. Raises BadSetting when a server has it."""
    claimed = (data / "serve.lock").open("w")
    try:
        fcntl.flock(claimed, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        claimed.close()
        raise BadSetting(f"Another aparte serve uses {data}. Stop it, or set another data.") from error
    return claimed


def _engine(database: Path, *, begin: str, size: int, cache_kib: int) -> Engine:
    engine = create_engine(
        f"sqlite:///{database}",
        poolclass=QueuePool if size else NullPool,
        pool_size=size,
        max_overflow=0,
        hide_parameters=True,  # an error message must not carry values into a log
        connect_args={"check_same_thread": False, "timeout": BUSY_MILLISECONDS / 1_000},
    )

    @event.listens_for(engine, "connect")
    def on_connect(connection: sqlite3.Connection, _record: Any) -> None:
        _prepare(connection, cache_kib)

    @event.listens_for(engine, "begin")
    def on_begin(connection: Any) -> None:
        direct.execute(connection, begin)

    return engine
