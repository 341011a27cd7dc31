"""What `aparte doctor` looks at in PostgreSQL, and in the bell between nodes.

Knows the server's settings that the promises rest on. Must not change anything, nor print.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Iterator
from typing import Final
from urllib.parse import urlsplit

from aparte import errors
from aparte.config import Database, Settings, read_secret

_OLDEST: Final = 130_000
# What may not be turned off: a commit that was answered must outlive a power cut, and a page must be whole.
_DURABLE: Final = ("fsync", "full_page_writes", "synchronous_commit")
# Nodes reckon by their own clocks when a code expires and who is at the desk, and a lease is 15 seconds long.
_APART_SECONDS: Final = 5.0
# What is wrong with a Valkey or Redis and what to do, by the classes of its driver's errors, the special ones first.
_BELL_WRONG: Final = (
    ("NoPermissionError", "may not be rung: let its account publish and subscribe on the channel aparte_bell"),
    ("AuthenticationError", "refuses the sign-in: correct the user in bell_url, or the password in bell_password_file"),
    ("AuthenticationWrongNumberOfArgsError", "has no password: leave bell_password_file out"),
    ("TimeoutError", "does not answer: see that it runs, and that bell_url leads to it"),
    ("ConnectionError", "cannot be reached: see that it runs, and that bell_url leads to it"),
)


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


def clock(place: Database) -> str:
    """What is wrong between this machine's clock and that of the database's server, with the fix; empty when nothing is,
    or when the server cannot be asked: that is told elsewhere."""
    from sqlalchemy.exc import SQLAlchemyError

    from aparte import postgres

    line = postgres.engine(place, size=1)
    try:
        with line.connect() as connection:
            before = time.time()
            theirs = float(str(connection.exec_driver_sql("SELECT extract(epoch FROM clock_timestamp())").scalar()))
            ours = (before + time.time()) / 2
    except SQLAlchemyError:
        return ""
    finally:
        line.dispose()
    if abs(ours - theirs) <= _APART_SECONDS:
        return ""
    where = "behind" if ours < theirs else "ahead of"
    return f"{abs(ours - theirs):.0f} s {where} the database's server: let every machine keep its clock by NTP"


def bell(settings: Settings) -> tuple[bool, str]:
    """Whether the bell between nodes really rings: ok, what was seen or is to be done."""
    from aparte import bell, postgres

    place, file = settings.database(), settings.bell_password_file
    assert isinstance(place, Database)
    where = f"Valkey or Redis at {urlsplit(settings.bell_url).netloc}" if settings.bell_url else f"{place}"
    try:
        if settings.bell_url:
            carrier = bell.valkey(settings.bell_url, lambda: read_secret(file) if file else None)
        else:
            carrier = bell.postgres(lambda: postgres.conninfo(place))
        took = asyncio.run(bell.hears_itself(f"doctor-{secrets.token_hex(4)}", carrier))
    except errors.AparteError as error:
        return False, str(error)
    except Exception as error:  # noqa: BLE001 - whatever a carrier's driver raises; only its class is told
        return False, f"{where}: {_why_silent(settings, error)}"
    return True, f"{where}: rings, and hears itself after {took * 1_000:.1f} ms"


def _why_silent(settings: Settings, error: Exception) -> str:
    kinds = [kind.__name__ for kind in type(error).__mro__]
    if type(error) is TimeoutError:
        cause = (
            "a pool between gives each call another connection"
            if not settings.bell_url
            else "something between takes it"
        )
        return f"what is rung is not heard: {cause}: connect to the server itself"
    if settings.bell_url:
        other = f"{kinds[0]}: see that it is a Valkey or Redis of its own"
        return next((wrong for kind, wrong in _BELL_WRONG if kind in kinds), other)
    if "too many connections" in str(error):
        return "too many connections: the bell takes two for each node; raise the limit of the account or of the server"
    return f"{kinds[0]}: mend what is said of the database first"
