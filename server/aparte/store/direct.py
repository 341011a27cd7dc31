"""Statements that run for every message, compiled once and handed to the driver as they are.

The toolkit's own way builds statement, dictionary and processors anew each time: a third of the writer's time. Knows
statements and drivers. Must not know what a column means: only values that the driver takes and gives as they are
(text, numbers, bytes, nothing; a truth value comes back as a number) may pass here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import itemgetter
from typing import Any

from sqlalchemy import BindParameter, Connection, CursorResult, bindparam
from sqlalchemy.sql import ClauseElement, Select


class Direct:
    """One statement.

    Args: statement: with a bind parameter for each value; pick: makes, of names, what takes a row's values in that
    order: `itemgetter` for mappings, `attrgetter` for objects. There are at least two names.
    """

    def __init__(self, statement: ClauseElement, pick: Callable[..., Callable[[Any], Any]] = itemgetter) -> None:
        self._statement = statement
        self._pick = pick
        self._compiled: dict[str, tuple[str, Callable[[Any], Any]]] = {}

    def run(self, connection: Connection, values: Mapping[str, Any]) -> CursorResult[Any]:
        """Executes it once."""
        sql, take = self._for(connection)
        return connection.exec_driver_sql(sql, take(values))

    def run_for(self, connection: Connection, rows: Iterable[Any]) -> None:
        """Executes it for each row."""
        sql, take = self._for(connection)
        connection.exec_driver_sql(sql, [take(row) for row in rows])

    def _for(self, connection: Connection) -> tuple[str, Callable[[Any], Any]]:
        name = connection.dialect.name
        if name not in self._compiled:
            self._compiled[name] = self._compile(connection)
        return self._compiled[name]

    def _compile(self, connection: Connection) -> tuple[str, Callable[[Any], Any]]:
        compiled: Any = self._statement.compile(dialect=connection.dialect)
        if compiled.positiontup is not None:
            return str(compiled), self._pick(*compiled.positiontup)
        # A driver that names its parameters.
        names = tuple(compiled.binds)
        take = self._pick(*names)
        return str(compiled), lambda row: dict(zip(names, take(row), strict=True))


class Among:
    """A query for the rows whose value is among some. It is compiled for 2, 4, 8 … values, and a shorter list is filled
    up with its last, so that there are few forms of it.

    Args: make: the query, given the bind parameters to look among.
    """

    def __init__(self, make: Callable[[Sequence[BindParameter[Any]]], Select[Any]]) -> None:
        self._make = make
        self._sizes: dict[int, tuple[Direct, list[str]]] = {}

    def run(self, connection: Connection, values: Sequence[Any]) -> CursorResult[Any]:
        """Executes it. There is at least one value."""
        size = max(2, 1 << (len(values) - 1).bit_length())
        if size not in self._sizes:
            names = [f"among_{number}" for number in range(size)]
            self._sizes[size] = Direct(self._make([bindparam(name) for name in names])), names
        query, names = self._sizes[size]
        filled = [*values, *[values[-1]] * (size - len(values))]
        return query.run(connection, dict(zip(names, filled, strict=True)))
