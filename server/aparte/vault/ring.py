"""The key ring's own database: wrapped keys, and how to be rid of one for good.

Knows rows of wrapped bytes, SQLite's log and its pages; PostgreSQL is in `vault.server`. Must not know a key in clear:
nothing here encrypts.
"""

from __future__ import annotations

import abc
import os
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from aparte import errors

FORMAT: Final = b"1"  # of the tables and of what is bound in a wrap
BUSY_SECONDS: Final = 5.0  # how long a writer waits for another process before the ring counts as down
_CHUNK: Final = 1 << 16  # bytes read at a time while looking for traces: no other thread waits longer than for one
_WORD: Final = 8
NEEDLE_BYTES: Final = 2 * _WORD - 1  # of a trace; a blob's core has 28
_RANDOM_BITS: Final = 20  # of a key id; the rest is milliseconds, good until the year 2248
COPYING: Final = "copying"  # among the named values, as long as a copy from another ring has not been finished

_OWN: Final = "kind IN ('installation', 'purpose')"  # written out, since no planner sees through a value

tables = sa.MetaData()
_key = sa.Table(
    "key",
    tables,
    sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True, autoincrement=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("owner", sa.Text, nullable=False),
    sa.Column("wrapper", sa.BigInteger, nullable=False, index=True),
    sa.Column("wrapped", sa.LargeBinary, nullable=False),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    # The ring's own keys, a dozen among those of everybody who ever wrote: a start reads no others.
    sa.Index("ix_key_own", "kind", sqlite_where=sa.text(_OWN), postgresql_where=sa.text(_OWN)),
)
_ring = sa.Table(
    "ring",
    tables,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("value", sa.LargeBinary, nullable=False),
)


class Row(NamedTuple):
    """A wrapped key. `wrapper` is the id of the key that wraps it; `created_at` in milliseconds since 1970, UTC."""

    id: int
    kind: str
    owner: str
    wrapper: int
    wrapped: bytes
    created_at: int


class Ring(abc.ABC):
    """The ring's database. Safe to use from several threads; each transaction takes a connection of its own.

    Every method raises errors.StoreDown when the database cannot be read or written.
    """

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        self._is_closed = False
        self._last_id = 0
        self._id_lock = threading.Lock()

    def close(self) -> None:
        """Let go of the database. Using the ring afterwards raises errors.StoreDown."""
        self._is_closed = True
        self._engine.dispose()

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """One consistent view of the ring."""
        with self._guarded(), self._engine.connect() as connection:
            yield connection

    @abc.abstractmethod
    def writing(self) -> AbstractContextManager[Connection]:
        """One transaction that holds the write lock from its first read; on the disk when the block ends."""

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        if self._is_closed:
            raise errors.StoreDown("The key ring is closed: the server is stopping. Try again in a moment.")
        try:
            yield
        except (sa.exc.SQLAlchemyError, sqlite3.Error, OSError) as error:
            raise errors.StoreDown(self._why(error)) from error

    @abc.abstractmethod
    def _why(self, error: Exception) -> str:
        """The sentence for an error of the database."""

    def new_ids(self, count: int) -> list[int]:
        """Ids for new keys: rising, and never used twice, not even after an old copy of the ring was put back.

        A plain counter would start again at the old copy's number, and forgetting an old key would then destroy a new
        one. So an id is the time in milliseconds and 20 random bits.
        """
        with self._id_lock:
            base = (time.time_ns() // 1_000_000 << _RANDOM_BITS) | int.from_bytes(os.urandom(3), "big") >> 4
            first = max(base, self._last_id + 1)
            self._last_id = first + count - 1
        return list(range(first, first + count))

    def destroy(self, key: int, kinds: Sequence[str], inner: str) -> list[Row]:
        """Delete a key and what it wraps. Until `scrub` has run, traces are on the disk.

        Args: kinds: what `key` may be; inner: the kind that goes with it.
        Returns: the deleted rows; none when there was no such key.
        """
        if not _is_id(key):
            return []
        with self.writing() as tx:
            itself = (_key.c.id == key) & _key.c.kind.in_(kinds)
            which = itself | ((_key.c.wrapper == key) & (_key.c.kind == inner))
            gone = [Row(*row) for row in tx.execute(sa.select(_key).where(which))]
            tx.execute(sa.delete(_key).where(which))
        return gone

    @abc.abstractmethod
    def scrub(self, needles: Sequence[bytes]) -> None:
        """Remove what destroyed rows have left. Args: needles: the part of each that would betray it.

        Raises: errors.StoreDown when that failed: run it again.
        """


class FileRing(Ring):
    """The ring in a file of its own, by SQLite."""

    def __init__(self, path: Path, *, busy_seconds: float = BUSY_SECONDS) -> None:
        """Args: path: a file that exists (see `prepare`); busy_seconds: see BUSY_SECONDS."""
        super().__init__(_engine(path, busy_seconds))
        self._path = path
        self._place = _place(path)
        self._writing = self._engine.execution_options(is_writing=True)
        self._scrub_lock = threading.Lock()
        self._file: int | None = None
        self._unproven: list[bytes] = []  # what a scrub that failed was looking for

    def close(self) -> None:
        """Let go of the files. Using the ring afterwards raises errors.StoreDown."""
        super().close()
        with self._scrub_lock:
            if self._file is not None:
                os.close(self._file)
                self._file = None

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """One transaction that holds the write lock from its first read; on the disk when the block ends."""
        with self._guarded(), self._writing.begin() as connection:
            yield connection
            if _place(self._path) != self._place:
                # SQLite would go on writing to the file that we opened, and a key in it is gone with our last descriptor.
                raise errors.StoreDown(
                    f"The key ring {self._path} was moved, removed or replaced. Put the very file back, or restart."
                )

    def _why(self, error: Exception) -> str:
        return f"The key ring {self._path} cannot be used. Check the file, its folder's rights and the free space."

    def scrub(self, needles: Sequence[bytes]) -> None:
        """Empty the write-ahead log and prove that these byte runs are nowhere in the ring's files.

        Args: needles: the part of each destroyed row that would betray it.
        Raises: errors.StoreDown when another process keeps the log busy, or traces stay: run it again.
        """
        with self._guarded(), self._scrub_lock:
            self._unproven.extend(needles)
            self._truncate()
            if self._has_traces():
                # Secure delete overwrites a deleted row, not the copies that a split page may have left in its gap.
                self._run("VACUUM")
                self._truncate()
                if self._has_traces():
                    raise errors.StoreDown(
                        f"A destroyed key left traces in {self._path}. Stop what else has it open and erase again."
                    )
            self._unproven.clear()

    def _truncate(self) -> None:
        busy, *_ = self._run("PRAGMA wal_checkpoint(TRUNCATE)")
        if busy:
            raise errors.StoreDown(
                f"The key is destroyed, but the log beside {self._path} is in use and keeps a trace. "
                "Stop what else reads the key ring and erase again."
            )

    def _run(self, statement: str) -> tuple[Any, ...]:
        # Neither a checkpoint nor VACUUM may run inside a transaction.
        raw = self._engine.raw_connection()
        try:
            cursor = raw.cursor()
            cursor.execute(statement)
            return tuple(cursor.fetchone() or ())
        finally:
            raw.close()

    def _has_traces(self) -> bool:
        # The descriptor stays open: closing any descriptor of this file would drop the locks that SQLite holds on it
        # for this process (POSIX), and another process could then write at the same time. The log carries no locks.
        if self._file is None:
            self._file = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        if find(self._file, self._unproven):
            return True
        log = os.open(f"{self._path}-wal", os.O_RDONLY | os.O_CLOEXEC)
        try:
            return find(log, self._unproven)
        finally:
            os.close(log)


def _place(path: Path) -> tuple[int, int]:
    """Which file the path names now; (0, 0) when it names none."""
    try:
        found = path.stat()
    except OSError:
        return 0, 0
    return found.st_dev, found.st_ino


def prepare(path: Path) -> None:
    """Make an empty file of mode 0600 for the ring, and its folder, unless they exist.

    Raises: errors.BadSetting when it cannot be made.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise errors.BadSetting(
            f"The key ring cannot be made at {path}: {error.strerror}. "
            "Set keyring to a file in a folder that this account may write to."
        ) from error


def make_tables(tx: Connection) -> bool:
    """Make the tables in this transaction. Returns False when the ring was made before."""
    if sa.inspect(tx).has_table(_ring.name):
        return False
    tables.create_all(tx)
    return True


def values(tx: Connection) -> dict[str, bytes]:
    """The ring's named values: format, id, root, check; and COPYING."""
    return {row.name: row.value for row in tx.execute(sa.select(_ring.c.name, _ring.c.value))}


def set_values(tx: Connection, new: dict[str, bytes]) -> None:
    """Write named values over what was there."""
    tx.execute(sa.delete(_ring).where(_ring.c.name.in_(list(new))))
    tx.execute(sa.insert(_ring), [{"name": name, "value": value} for name, value in new.items()])


def add(tx: Connection, rows: Sequence[Row]) -> None:
    """Write new keys, if any."""
    if rows:  # an empty list would be taken for one row of defaults
        tx.execute(sa.insert(_key), [row._asdict() for row in rows])


def own(tx: Connection) -> list[Row]:
    """The keys of the installation and of the purposes."""
    return [Row(*row) for row in tx.execute(sa.select(_key).where(sa.text(_OWN)))]


_inner = sa.select(_key.c.wrapper).where(_key.c.id == sa.bindparam("wanted")).scalar_subquery()
_with_wrapper = sa.select(_key).where((_key.c.id == sa.bindparam("wanted")) | (_key.c.id == _inner))


def with_wrapper(tx: Connection, key: int) -> dict[int, Row]:
    """The key and, where the ring holds it, the key that wraps it, by id; empty when it does not exist."""
    if not _is_id(key):
        return {}
    return {row.id: Row(*row) for row in tx.execute(_with_wrapper, {"wanted": key})}


def find(handle: int, needles: Sequence[bytes]) -> bool:
    """Whether an open file holds one of these byte runs, wherever in it. One pass for all of them, however many.

    Args: needles: at least NEEDLE_BYTES each. Raises: ValueError for a shorter one.
    """
    if any(len(needle) < NEEDLE_BYTES for needle in needles):
        raise ValueError(f"a trace is looked for by {NEEDLE_BYTES} bytes and more")
    # Wherever a needle lies, one of the words at its first eight places is the file's at a multiple of eight.
    words = {word for needle in needles for at in range(_WORD) for word in _words(needle[at : at + _WORD])}
    overlap = -(-max(map(len, needles), default=0) // _WORD) * _WORD
    at, kept = 0, b""
    while needles and (chunk := os.pread(handle, _CHUNK, at)):
        window = kept + chunk
        if not words.isdisjoint(_words(window)) and any(needle in window for needle in needles):
            return True
        at += len(chunk)
        kept = window[-overlap:]
    return False


def _words(window: bytes) -> memoryview[int]:
    """Its whole words, as numbers."""
    return memoryview(window)[: len(window) // _WORD * _WORD].cast("Q")


def _is_id(key: object) -> bool:
    # The id comes from a row that may have been tampered with; SQLite would raise an error of its own on larger ones.
    return type(key) is int and 0 < key < 1 << 63


def _engine(path: Path, busy_seconds: float) -> sa.Engine:
    engine = sa.create_engine(
        sa.URL.create("sqlite", database=str(path)),
        connect_args={"timeout": busy_seconds, "check_same_thread": False},
        hide_parameters=True,  # an error's text must not carry a wrapped key into a log
    )

    @sa.event.listens_for(engine, "connect")
    def prepare_connection(dbapi: Any, _record: Any) -> None:
        # The driver would begin a transaction only at the first write, and two readers would then overwrite each other.
        dbapi.isolation_level = None
        for pragma in (
            "journal_mode=WAL",
            "synchronous=FULL",  # a key must be on the disk before the first row that needs it
            "secure_delete=ON",
            "temp_store=MEMORY",  # VACUUM would copy the ring into the temporary folder
            "trusted_schema=OFF",
        ):
            dbapi.execute(f"PRAGMA {pragma}")

    @sa.event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        is_writing = connection.get_execution_options().get("is_writing", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if is_writing else "BEGIN")

    return engine
