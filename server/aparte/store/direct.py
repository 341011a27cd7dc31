"""Statements that run for every message, compiled once and handed to the driver as they are.

The toolkit's own way builds statement, dictionary, context and result anew each time: a third of the writer's time.
Knows statements and drivers. Must not know what a column means: only values that the driver takes and gives as they
are (text, numbers, bytes, nothing; from SQLite a truth value comes back as a number) may pass here.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import BindParameter, Connection, Dialect, bindparam
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql import ClauseElement, Select

from aparte import postgres

AT_ONCE: Final = 32  # rows in one statement of PostgreSQL: each number of them is a statement that it keeps
_dialect: Callable[..., Dialect] = PGDialect_psycopg  # which has no types
_NUMBERED: Final = _dialect(paramstyle="numeric_dollar")  # $1: with %s the driver would rewrite long ones each time


class Direct:
    """One statement. Args: statement: with a bind parameter for each value; order: their names, as values are given.

    Raises at its first use: ValueError when the parameters stand in another order.
    """

    def __init__(self, statement: ClauseElement, order: Sequence[str]) -> None:
        self._statement = statement
        self._order = order
        self._compiled: dict[str, str] = {}

    def rows(self, connection: Connection, values: Sequence[Any]) -> list[Any]:
        """Executes a query once; returns its rows as tuples. Raises DBAPIError."""
        with self._executed(connection, values) as cursor:
            found: list[Any] = cursor.fetchall()
            return found

    def run(self, connection: Connection, values: Sequence[Any]) -> None:
        """Executes it once. Raises DBAPIError."""
        with self._executed(connection, values):
            pass

    def run_for(self, connection: Connection, rows: Sequence[Sequence[Any]]) -> None:
        """Executes it for each row of values. Raises DBAPIError."""
        sql = self._for(connection)
        _begin(connection)
        with _cursor(connection, sql) as cursor:
            cursor.executemany(sql, rows)

    @contextlib.contextmanager
    def _executed(self, connection: Connection, values: Sequence[Any]) -> Iterator[Any]:
        sql = self._for(connection)
        _begin(connection)
        with _cursor(connection, sql) as cursor:
            cursor.execute(sql, values)
            yield cursor

    def _for(self, connection: Connection) -> str:
        name = connection.dialect.name
        sql = self._compiled.get(name)
        if sql is None:
            dialect = _NUMBERED if postgres.is_postgres(connection) else connection.dialect
            compiled: Any = self._statement.compile(dialect=dialect)
            if list(compiled.positiontup) != list(self._order):
                raise ValueError(f"{compiled} takes {compiled.positiontup}")
            sql = self._compiled[name] = str(compiled)
        return sql


class Many:
    """A statement that is due for many rows. SQLite runs it for each; PostgreSQL gets the rows of a batch in one, which
    costs a fifth of that.

    Args: make: the statement for some rows, given of each its bind parameters by name; names: of a row's values, in order.
    """

    def __init__(
        self, make: Callable[[Sequence[Mapping[str, BindParameter[Any]]]], ClauseElement], names: Sequence[str]
    ) -> None:
        self._make = make
        self._names = names
        self._sizes: dict[int, Direct] = {}

    def run(self, connection: Connection, rows: Sequence[Sequence[Any]]) -> None:
        """Raises DBAPIError."""
        if not postgres.is_postgres(connection):
            self._of(1).run_for(connection, rows)
            return
        for start in range(0, len(rows), AT_ONCE):
            some = rows[start : start + AT_ONCE]
            self._of(len(some)).run(connection, [value for row in some for value in row])

    def _of(self, size: int) -> Direct:
        made = self._sizes.get(size)
        if made is None:
            rows: list[dict[str, BindParameter[Any]]] = [
                {name: bindparam(f"{name}_{number}") for name in self._names} for number in range(size)
            ]
            order = [one.key for row in rows for one in row.values()]
            made = self._sizes[size] = Direct(self._make(rows), order)
        return made


def execute(connection: Connection, sql: str) -> Any:
    """Executes a statement as it is, in a transaction or not; returns the first value of its first row, if it has one.
    Raises DBAPIError."""
    with _cursor(connection, sql) as cursor:
        cursor.execute(sql)
        row = cursor.fetchone() if cursor.description else None
        return row[0] if row else None


def _begin(connection: Connection) -> None:
    """As the toolkit does before a first statement."""
    if not connection.in_transaction():
        connection.begin()


def _open(connection: Connection) -> Any:
    if not postgres.is_postgres(connection):
        return connection.connection.cursor()
    from psycopg import RawCursor  # an extra: only who has PostgreSQL needs it

    return RawCursor(connection.connection.driver_connection)  # type: ignore[arg-type]  # the toolkit knows only that it is one


@contextlib.contextmanager
def _cursor(connection: Connection, sql: str) -> Iterator[Any]:
    """A cursor of the driver in this connection's transaction. Its errors come out as the toolkit's own."""
    driver: Any = connection.dialect.loaded_dbapi
    try:
        with contextlib.closing(_open(connection)) as cursor:
            yield cursor
    except driver.Error as error:
        is_gone = connection.dialect.is_disconnect(error, connection.connection.driver_connection, None)
        if is_gone:
            connection.invalidate(error)
            connection.engine.dispose()  # what else it holds was made before the server went away
        raise DBAPIError.instance(
            sql,
            None,
            error,
            driver.Error,
            hide_parameters=True,
            connection_invalidated=is_gone,
            dialect=connection.dialect,
        ) from error


class Among:
    """A query for the rows whose value is among some. It is compiled for 2, 4, 8 … values, and a shorter list is filled
    up with its last, so that there are few forms of it.

    Args: make: the query, given the bind parameters to look among.
    """

    def __init__(self, make: Callable[[Sequence[BindParameter[Any]]], Select[Any]]) -> None:
        self._make = make
        self._sizes: dict[int, Direct] = {}

    def rows(self, connection: Connection, values: Sequence[Any]) -> list[Any]:
        """Executes it; returns its rows as tuples. There is at least one value. Raises DBAPIError."""
        size = max(2, 1 << (len(values) - 1).bit_length())
        query = self._sizes.get(size)
        if query is None:
            names = [f"among_{number}" for number in range(size)]
            query = self._sizes[size] = Direct(self._make([bindparam(name) for name in names]), names)
        return query.rows(connection, [*values, *[values[-1]] * (size - len(values))])
