"""What `aparte doctor` looks at in PostgreSQL.

Knows the server's settings that the promises rest on. Must not change anything, nor print.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from aparte.config import Database

_OLDEST: Final = 130_000
# What may not be turned off: a commit that was answered must outlive a power cut, and a page must be whole.
_DURABLE: Final = ("fsync", "full_page_writes", "synchronous_commit")


def look(name: str, place: Database) -> Iterator[tuple[str, bool, str]]:
    """Whether this database can be reached, written to, and keeps what it acknowledged: name, ok, what to do."""
    from sqlalchemy.exc import SQLAlchemyError

    from aparte import postgres

    line = postgres.engine(place, size=1)
    try:
        with line.connect() as connection:
            ask = connection.exec_driver_sql
            version = int(str(ask("SHOW server_version_num").scalar()))
            encoding = ask("SHOW server_encoding").scalar()
            is_standby = ask("SELECT pg_is_in_recovery()").scalar()
            may_make = ask("SELECT has_schema_privilege(current_schema(), 'CREATE')").scalar()
            weak = [f"{one} = {was}" for one in _DURABLE if (was := ask(f"SHOW {one}").scalar()) == "off"]
    except SQLAlchemyError as error:
        yield name, False, postgres.why_not(place, error)
        return
    finally:
        line.dispose()
    if version < _OLDEST:
        yield name, False, f"{place}: PostgreSQL {version // 10_000} is too old: take {_OLDEST // 10_000} or newer"
    elif encoding != "UTF8":
        yield name, False, f"{place}: its encoding is {encoding}: make it with createdb --encoding UTF8"
    elif is_standby:
        yield name, False, f"{place}: this server only follows another: name the one that is written to"
    elif not may_make:
        yield name, False, f"{place}: this account may not make tables: make it the owner of the database"
    else:
        yield name, True, f"{place}, PostgreSQL {version // 10_000}"
    says = "fsync, full_page_writes and synchronous_commit are on"
    yield (
        f"durability of {name}",
        not weak,
        f"{', '.join(weak)}: turn that on in the server's settings, or a power cut takes messages" if weak else says,
    )
