"""Copies an installation from SQLite, data and key ring, into two databases of PostgreSQL.

Knows rows as the bytes that they are. Must not open a sealed value, nor hold a key, nor write a file.

Both targets are marked in the transaction that makes their tables, and the marks are taken away at the very end: until
then nothing else uses them. Rows go over in the order of their keys, many to a commit, so a copy that was killed goes on
after the last row that is there. At the end both sides are read once more, and every table's rows must give one hash.

The copy is a store of its own: from then on the two may go different ways. So it gets an epoch of its own, and a browser
that has met the one never takes the other's numbers for what it knows, whichever is served.
"""

from __future__ import annotations

import contextlib
import hashlib
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Final, Literal

import msgspec
from sqlalchemy import (
    BigInteger,
    Boolean,
    Connection,
    Float,
    Integer,
    LargeBinary,
    MetaData,
    Row,
    Select,
    Table,
    delete,
    func,
    insert,
    inspect,
    select,
    text,
    tuple_,
    update,
)
from sqlalchemy.exc import DBAPIError

from aparte import postgres
from aparte.config import Database, Settings
from aparte.errors import BadSetting, StoreDown, Unreadable
from aparte.store import migrate
from aparte.store.engine import claim, copying_engine
from aparte.store.schema import metadata, store_info
from aparte.store.transaction import new_id
from aparte.vault import ring

BATCH: Final = 10_000  # rows in one commit
_STREAMED: Final = {"yield_per": 1_000}  # rows in memory
_COPIED_FROM: Final = "copied_from"  # in store_info: the epoch of the source
# Of the columns that are not text. A kind comes before the kind that it is one of.
_TYPES: Final = ((Boolean, "bool"), (BigInteger, "int8"), (Integer, "int4"), (Float, "float8"), (LargeBinary, "bytea"))
_ANEW: Final = "Make both databases anew and empty (dropdb, createdb), then run aparte migrate-store again."

Watch = Callable[[Literal["copied", "compared"], str, int, int], None]
"""Gets what has been done, the table, and how many of how many rows; at the end of each table too."""


@dataclass(frozen=True, slots=True)
class Compared:
    """A table on both sides: its rows, and SHA-256 over all of them in the order of their keys."""

    database: str  # data or keyring
    table: str
    rows: int
    sha256: str
    copied_rows: int
    copied_sha256: str

    @property
    def is_same(self) -> bool:
        """Whether both sides hold the same."""
        return (self.rows, self.sha256) == (self.copied_rows, self.copied_sha256)


@dataclass(frozen=True, slots=True)
class _Half:
    """The data or the key ring. `info`: its table of facts. `identity`: the fact that tells one installation from
    another; `origin`: the one by which a finished copy is known; `make`: makes the tables."""

    name: str
    file: Path
    place: Database
    tables: MetaData
    info: Table
    identity: str
    origin: str
    make: Callable[[Connection], object]


@dataclass(frozen=True, slots=True)
class _Open:
    """A half with both its sides. The source is seen in one state all the time; `version` is SQLite's own number for the
    state that others see."""

    half: _Half
    source: Connection
    target: Connection
    version: int


def copy(settings: Settings, watch: Watch) -> list[Compared]:
    """Copies the installation in `data` and `keyring` into `database_url` and `keyring_url`, or goes on with that.

    Returns: every table; nothing when the copy had been finished before. Where a table is not the same on both sides,
    the copy is not finished, and nothing may use it.
    Raises: BadSetting when there is nothing to copy, a server uses it, or a target holds anything else; StoreDown when a
    database is away; Unreadable when a row has not the form of its table.
    """
    halves = _halves(settings)
    with contextlib.ExitStack() as stack:
        stack.enter_context(claim(settings.data))
        opened = [stack.enter_context(_opened(half)) for half in halves]
        begun = [_is_begun(one) for one in opened]
        if not any(begun):
            return []
        for one in opened:
            with _telling(one.half):
                for table in one.half.tables.sorted_tables:
                    if table is not one.half.info:
                        _copy(one, table, watch)
        compared: list[Compared] = []
        for one in opened:
            with _telling(one.half):
                compared += [_compare(one, table, watch) for table in one.half.tables.sorted_tables]
        if all(table.is_same for table in compared):
            for one in opened:
                _require_unchanged(one)
            for one in opened:  # the data, without which nothing starts, come last
                with _telling(one.half), one.target.begin():
                    _finish(one)
        return compared


# ── what is copied, and where to ────────────────────────────────────────────────────────────────────────────


def places(settings: Settings) -> tuple[tuple[Path, Database], tuple[Path, Database]]:
    """What is copied into what: the data, and the key ring. Raises BadSetting when the settings do not name both."""
    data, keys = settings.database(), settings.ring()
    if not isinstance(data, Database) or not isinstance(keys, Database):
        raise BadSetting(
            "database_url and keyring_url: not set: name two empty databases, and leave data and keyring as they are: "
            "they say what is copied"
        )
    file = settings.data / "aparte.db"
    for name, path in (("data", file), ("keyring", settings.keyring)):
        if not path.is_file():
            raise BadSetting(f"{name}: there is nothing to copy at {path}: name the place that is used with SQLite")
    return (file, data), (settings.keyring, keys)


def _halves(settings: Settings) -> list[_Half]:
    data, keys = places(settings)
    info = ring.tables.tables["ring"]
    return [
        _Half("keyring", *keys, ring.tables, info, "id", "id", ring.make_tables),
        _Half("data", *data, metadata, store_info, "epoch", _COPIED_FROM, migrate.migrated),
    ]


@contextlib.contextmanager
def _opened(half: _Half) -> Iterator[_Open]:
    """Both sides, and nobody else who copies into this target."""
    with contextlib.ExitStack() as stack:
        source, target = copying_engine(half.file), postgres.engine(half.place, size=1)
        stack.callback(source.dispose)
        stack.callback(target.dispose)
        with _telling(half):
            one, other = stack.enter_context(source.connect()), stack.enter_context(target.connect())
            version = _version(one)
            if half.tables is metadata:
                _require_current(half, one)
            with other.begin():
                number = postgres.lock_number("migrate-store")
                if not other.execute(text("SELECT pg_try_advisory_lock(:number)"), {"number": number}).scalar():
                    raise BadSetting(f"Another aparte migrate-store copies into {half.place}. Let that one end.")
        yield _Open(half, one, other, version)


def _require_current(half: _Half, source: Connection) -> None:
    found = migrate.look(source)
    if why := found.why_not():
        raise BadSetting(why)
    if found.revision != migrate.HEAD:
        fix = (
            "start aparte serve once as before, without database_url and keyring_url"
            if found.is_older
            else "use the newer version that made it"
        )
        raise BadSetting(
            f"{half.file} is at {found.revision}, and this version copies what is at {migrate.HEAD}: {fix}"
        )


def _version(source: Connection) -> int:
    return int(source.exec_driver_sql("PRAGMA data_version").scalar_one())


def _require_unchanged(one: _Open) -> None:
    one.source.rollback()
    if _version(one.source) != one.version:
        raise BadSetting(f"{one.half.file} was changed while it was copied. Stop what uses it. {_ANEW}")


@contextlib.contextmanager
def _telling(half: _Half) -> Iterator[None]:
    """Turns what the drivers raise into a sentence for the operator, without a value of a row in it."""
    from psycopg import Error, IntegrityError  # an extra

    try:
        yield
    except (DBAPIError, sqlite3.Error, Error) as error:
        told = getattr(error, "orig", error)
        if isinstance(told, IntegrityError):
            raise BadSetting(f"Somebody else writes into {half.place}. {_ANEW}") from error
        if isinstance(told, sqlite3.Error):
            raise StoreDown(
                f"{half.file} cannot be read ({type(error).__name__}): look at it with aparte doctor"
            ) from error
        raise StoreDown(
            f"{postgres.why_not(half.place, error)}. Then run it again: it goes on where it ended."
        ) from error


# ── the marks ───────────────────────────────────────────────────────────────────────────────────────────────


def _facts(side: Connection, info: Table) -> dict[str, Any]:
    return {row.name: row.value for row in side.execute(select(info))}


def _is_begun(one: _Open) -> bool:
    """Marks an empty target, and knows a marked one again; False for a copy that is finished. Raises BadSetting for
    anything else."""
    half = one.half
    with _telling(half):
        source = _facts(one.source, half.info)
        if half.identity not in source:
            raise BadSetting(f"{half.file} holds no installation: name the place that is used with SQLite")
        mark = source[half.identity]
        with one.target.begin():
            if not inspect(one.target).get_table_names():
                half.make(one.target)
                one.target.execute(delete(half.info))
                noted = source | {ring.COPYING: mark}
                one.target.execute(insert(half.info), [{"name": k, "value": v} for k, v in noted.items()])
                return True
            found = _facts(one.target, half.info) if inspect(one.target).has_table(half.info.name) else {}
    if found.pop(ring.COPYING, None) == mark:
        if found != source:
            raise BadSetting(f"{half.file} has gone on since its copy into {half.place} was begun. {_ANEW}")
        return True
    if found.get(half.origin) == mark:
        return False
    raise BadSetting(f"{half.place} holds something else already, and was left as it is: name an empty database")


def _finish(one: _Open) -> None:
    """All that is left to do once the rows are there, in this transaction; then anybody may use them."""
    run, half = one.target.execute, one.half
    for table in half.tables.sorted_tables:
        if (counted := table.autoincrement_column) is not None:
            highest = func.max(counted)
            serial = func.pg_get_serial_sequence(table.name, counted.name)
            run(select(func.setval(serial, highest)).select_from(table).having(highest.is_not(None)))
        run(text(f"ANALYZE {_quoted(one, table)}"))
    run(delete(half.info).where(half.info.c.name == ring.COPYING))
    if half.origin != half.identity:
        name = half.info.c.name
        run(update(half.info).where(name == half.identity).values(name=half.origin))
        run(insert(half.info), {"name": half.identity, "value": new_id()})


# ── the rows ────────────────────────────────────────────────────────────────────────────────────────────────


def _copy(one: _Open, table: Table, watch: Watch) -> None:
    key = tuple(table.primary_key)
    with one.target.begin():
        done = _count(one.target, table)
        last = one.target.execute(select(*key).order_by(*(column.desc() for column in key)).limit(1)).first()
    total = _count(one.source, table)
    query = _in_order(table)
    if last is not None:
        query = query.where(tuple_(*key) > tuple_(*last))
    rows = iter(one.source.execute(query, execution_options=_STREAMED))
    names = ", ".join(map(one.target.dialect.identifier_preparer.format_column, table.columns))
    into = f"COPY {_quoted(one, table)} ({names}) FROM STDIN (FORMAT BINARY)"
    types = [_type(column.type) for column in table.columns]
    watch("copied", table.name, done, total)
    while done < total:
        with one.target.begin():
            came = _copy_some(one, into, types, islice(rows, BATCH))
        done += came
        watch("copied", table.name, done, total)
        if not came:
            break  # more is on the other side than shall be: comparing tells


def _copy_some(one: _Open, into: str, types: list[str], rows: Iterable[Row[Any]]) -> int:
    """Writes these rows; says how many."""
    from psycopg import DataError

    driver: Any = one.target.connection.driver_connection
    came = 0
    try:
        with driver.cursor() as cursor, cursor.copy(into) as copying:
            copying.set_types(types)
            for row in rows:
                copying.write_row(row)
                came += 1
    except (DataError, TypeError, OverflowError, UnicodeError) as error:
        raise Unreadable(
            f"A row in {one.half.file} has not the form that its table gives it, which PostgreSQL does not take: somebody "
            "changed it. Put the latest copy back in its place, and see what aparte doctor says."
        ) from error
    return came


def _compare(one: _Open, table: Table, watch: Watch) -> Compared:
    total = _count(one.source, table)

    def told(done: int) -> None:
        watch("compared", table.name, done, max(2 * total, done))

    rows, sha256 = _digest(one.source, one.half, table, told)
    with one.target.begin():
        copied_rows, copied_sha256 = _digest(one.target, one.half, table, lambda done: told(rows + done))
    watch("compared", table.name, rows + copied_rows, rows + copied_rows)
    return Compared(one.half.name, str(table.key), rows, sha256, copied_rows, copied_sha256)


def _digest(side: Connection, half: _Half, table: Table, told: Callable[[int], None]) -> tuple[int, str]:
    """How many rows, and a hash over each in its form as MessagePack, which keeps kind, length and every bit."""
    query = _in_order(table)
    if table is half.info:
        query = query.where(table.c.name != ring.COPYING)
    done, whole, encode = 0, hashlib.sha256(), msgspec.msgpack.Encoder().encode
    for row in side.execute(query, execution_options=_STREAMED):
        whole.update(encode(tuple(row)))
        done += 1
        if done % BATCH == 0:
            told(done)
    return done, whole.hexdigest()


def _count(side: Connection, table: Table) -> int:
    return int(side.execute(select(func.count()).select_from(table)).scalar_one())


def _in_order(table: Table) -> Select[Any]:
    """All rows in the order of their keys, the same on both sides: by numbers or by bytes. (The ring's facts, a handful
    of lower-case words, have the same order in any language.)"""
    return select(table).order_by(*table.primary_key)


def _quoted(one: _Open, table: Table) -> str:
    return one.target.dialect.identifier_preparer.format_table(table)


def _type(kind: object) -> str:
    return next((name for one, name in _TYPES if isinstance(kind, one)), "text")
