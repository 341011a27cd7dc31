"""What an error of the database means: for all that waits, for one operation alone, or only for this try.

Knows the result codes of SQLite and the SQLSTATEs of PostgreSQL. Must not know what an operation does.
"""

from __future__ import annotations

import sqlite3
from typing import Final

from sqlalchemy.exc import DatabaseError, DBAPIError, IntegrityError, OperationalError

from aparte.errors import StoreDown, Unreadable

RETRY_SECONDS: Final = 1.0
# What befalls the database as a whole, by SQLite's primary result code. Anything else may lie in one row.
_EVERYBODYS: Final = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_PROTOCOL,
    }
)
# The same by PostgreSQL's classes: connection, room and memory, somebody ended it, the system, sign-in; and a server
# that takes no writes, such as one that stands by. A row that another holds (55P03) is of those alone who want it.
_EVERYBODYS_CLASSES: Final = frozenset({"08", "53", "57", "58", "28", "3D"})
_READ_ONLY: Final = "25006"
# Two transactions stood in each other's way; one was undone, and is simply run again.
_PASSING: Final = frozenset({"40001", "40P01"})
_TWIN: Final = "23505"
_HELD: Final = "55P03"
# What PostgreSQL says of bytes that it cannot make sense of: data, and its own files.
_ROWS_CLASSES: Final = frozenset({"22", "XX"})


def is_everybodys(error: BaseException) -> bool:
    """Whether it befell the database as a whole, so that nobody's work can be kept."""
    if not isinstance(error, DBAPIError):
        return False
    if error.connection_invalidated:
        return True
    state = _state(error)
    if state is not None:
        return state[:2] in _EVERYBODYS_CLASSES or state == _READ_ONLY
    code = _code(error)
    if code is None:
        # PostgreSQL's driver has no state for a server that it cannot reach; SQLite's own complaints are of a row.
        return isinstance(error, OperationalError) and not isinstance(error.orig, sqlite3.Error)
    return code in _EVERYBODYS


def is_of_a_row(error: DBAPIError) -> bool:
    """Whether something that the database holds cannot be read, so that the rest still may."""
    if is_everybodys(error):
        return False
    state = _state(error)
    return state is None or state[:2] in _ROWS_CLASSES


def is_passing(error: BaseException) -> bool:
    """Whether the same work may well be done when it is run again at once, since nothing of it was kept."""
    return isinstance(error, DBAPIError) and _state(error) in _PASSING


def is_held(error: BaseException) -> bool:
    """Whether another holds what it wanted, and did not let go in time."""
    return isinstance(error, DBAPIError) and _state(error) == _HELD


def is_lost(error: BaseException) -> bool:
    """Whether the connection is gone. Another may be had at once; whether a commit under way was kept nobody knows."""
    return isinstance(error, DBAPIError) and error.connection_invalidated


def is_race(error: BaseException) -> bool:
    """Whether a row stood in the way that another process may just have written: a second look finds it."""
    return isinstance(error, IntegrityError) and _state(error) == _TWIN


def told(error: Exception) -> Exception:
    """What the caller gets: no raw error of the database, but for a constraint that it broke."""
    if not isinstance(error, DatabaseError) or isinstance(error, IntegrityError):
        return error
    if _code(error) is not None or _state(error) is not None or error.connection_invalidated:
        return down(error)
    unreadable = Unreadable()  # a row that was tampered with; trying again would not help
    unreadable.__cause__ = error
    return unreadable


def name_of(error: Exception) -> str:
    """What the database calls it, such as SQLITE_FULL or 57P01, else its class. Nothing of a row is in that."""
    orig = getattr(error, "orig", None)
    return str(
        getattr(orig, "sqlite_errorname", None) or getattr(orig, "sqlstate", None) or type(orig or error).__name__
    )


def down(error: Exception) -> StoreDown:
    """The sentence for it, with its cause."""
    is_down = StoreDown(retry_after=RETRY_SECONDS)
    is_down.__cause__ = error
    return is_down


def _code(error: DBAPIError) -> int | None:
    """SQLite's primary result code. The driver's own complaints, such as of text that is not UTF-8, have none."""
    code: int | None = getattr(error.orig, "sqlite_errorcode", None)
    return None if code is None else code & 0xFF


def _state(error: DBAPIError) -> str | None:
    """PostgreSQL's SQLSTATE; None on SQLite, and where the server said nothing."""
    state: str | None = getattr(error.orig, "sqlstate", None)
    return state
