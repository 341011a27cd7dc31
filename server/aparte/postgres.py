"""Connections to PostgreSQL, with the settings that the promises rest on; the store and the key ring share them.

Knows the driver and the server's settings. Must not know tables, nor show a password.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, Final

from sqlalchemy import URL, Connection, Engine, create_engine, event, inspect, text
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.pool import QueuePool

from aparte.config import Database, read_secret
from aparte.errors import AparteError, BadSetting, StoreDown

LOCK_MILLISECONDS: Final = 2_000  # how long a transaction waits for a row of another before its person is told
HURRIED_MILLISECONDS: Final = 50  # and the others of its commit, once one has waited in vain
CONNECT_SECONDS: Final = 5
PREPARED: Final = 400  # statements that a connection keeps: one for each number of rows that goes in one
SILENT_SECONDS: Final = 10  # a line on which nothing is heard for so long is given up

# Per connection, whatever the server's own settings say.
_ALWAYS: Final = {
    "synchronous_commit": "on",  # a commit that was answered is on the disk
    "lock_timeout": str(LOCK_MILLISECONDS),
    "idle_in_transaction_session_timeout": "60000",  # a process that hangs must not keep its rows for good
    # A statement that was planned over an empty table would read the whole of it for ever after: all of ours have an index.
    "enable_seqscan": "off",
}
_READING: Final = {"default_transaction_read_only": "on", "default_transaction_isolation": "repeatable\\ read"}
_LINE: Final[dict[str, Any]] = {
    "connect_timeout": CONNECT_SECONDS,
    "keepalives_idle": SILENT_SECONDS // 2,
    "keepalives_interval": 2,
    "keepalives_count": 2,
    "tcp_user_timeout": SILENT_SECONDS * 1_000,
    "client_encoding": "utf8",
    "application_name": "aparte",
}


def engine(place: Database, *, size: int, is_reading: bool = False, is_probed: bool = False) -> Engine:
    """Up to `size` connections.

    Args: is_reading: each transaction sees one state of the database and changes nothing; is_probed: a connection is
        tried before its use, for callers that cannot run their work again on another.
    Raises: BadSetting when the driver is not installed.
    """
    options = _ALWAYS | (_READING if is_reading else {})
    arguments = _LINE | dict(place.options) | {"options": " ".join(f"-c {name}={is_}" for name, is_ in options.items())}
    if place.host:
        arguments["host"] = place.host
    try:
        made = create_engine(
            URL.create("postgresql+psycopg", username=place.user or None, port=place.port, database=place.name),
            poolclass=QueuePool,
            pool_size=size,
            max_overflow=0,
            pool_pre_ping=is_probed,
            use_native_hstore=False,  # a question at each first connection, about a type that we have not
            paramstyle="format",  # store.direct gives values by their place
            hide_parameters=True,  # an error message must not carry values into a log
            connect_args=arguments,
            execution_options={"is_reading": is_reading},
        )
    except ImportError as error:
        raise BadSetting(
            "database_url needs the driver of PostgreSQL: install it with pip install 'aparte[postgres]', or from "
            "requirements-postgres.lock"
        ) from error

    @event.listens_for(made, "do_connect")
    def on_do_connect(_dialect: Any, _record: Any, _positional: Any, named: dict[str, Any]) -> None:
        # Read anew each time: the file may hold another password by then. It is in no URL and no error.
        if place.password_file is not None:
            try:
                named["password"] = read_secret(place.password_file)
            except AparteError as error:
                raise OperationalError("connect", None, error) from error

    @event.listens_for(made, "connect")
    def on_connect(line: Any, _record: Any) -> None:
        line.prepared_max = PREPARED

    return made


def conninfo(place: Database) -> str:
    """What the bell's lines need to connect by themselves, under a name of their own in the server's list. It has the
    password in it: never to be shown."""
    from psycopg.conninfo import make_conninfo  # an extra

    password = read_secret(place.password_file) if place.password_file is not None else None
    named = {
        "dbname": place.name,
        "user": place.user,
        "host": place.host,
        "port": place.port,
        "password": password,
        "application_name": "aparte-bell",
    }
    return make_conninfo(**{key: one for key, one in (_LINE | dict(place.options) | named).items() if one})


def is_made(place: Path | Database, table: str) -> bool:
    """Whether what belongs there was made before: the file exists, or the database has this table. Raises StoreDown, with
    the fix, when the database cannot be reached."""
    if isinstance(place, Path):
        return place.exists()
    line = engine(place, size=1)
    try:
        with line.connect() as connection:
            return inspect(connection).has_table(table)
    except DBAPIError as error:
        raise StoreDown(why_not(place, error)) from error
    finally:
        line.dispose()


def why_not(place: Database, error: Exception) -> str:
    """A sentence for the operator: why this database could not be opened, and the fix."""
    said = str(getattr(error, "orig", error)).strip().partition("\n")[0]
    # What the driver says about connecting names host, account and database; of a statement only the class is told.
    if isinstance(error, DBAPIError) and isinstance(error.orig, AparteError):
        return f"{place}: {error.orig}"  # the file of the password
    told = said[:300] if isinstance(error, DBAPIError) and not error.statement else type(error).__name__
    for word, fix in _FIXES:
        if word in told:
            return f"{place}: {told}: {fix}"
    return f"{place}: {told}: compare the address with the server's own, and see that it runs"


_FIXES: Final = (
    ("password authentication failed", "correct the user in the address, or the password in its file"),
    ("no password supplied", "name the file of the password in database_password_file or keyring_password_file"),
    ("no pg_hba.conf entry", "let this account in by the server's pg_hba.conf"),
    ("role", "make the account with createuser, or name another in the address"),
    ("database", "make it with createdb, owned by this account, or name another in the address"),
    ("permission denied", "make this account the owner of the database"),
    ("SSL", "compare sslmode and sslrootcert with what the server offers"),
)


def hurry(connection: Connection) -> None:
    """Until this transaction ends it waits for others only HURRIED_MILLISECONDS."""
    connection.execute(text(f"SET LOCAL lock_timeout = '{HURRIED_MILLISECONDS}ms'"))


def is_postgres(connection: Connection) -> bool:
    return connection.dialect.name == "postgresql"


def lock_number(*parts: str | bytes) -> int:
    """A number for the server's advisory locks: 63 bits over what shall be done by one at a time."""
    whole = hashlib.sha256()
    for part in parts:
        raw = part.encode() if isinstance(part, str) else part
        whole.update(len(raw).to_bytes(4, "big") + raw)
    return int.from_bytes(whole.digest()[:8], "big") >> 1


_LOCK: Final = text("SELECT pg_advisory_xact_lock(:number)")


def alone(connection: Connection, *parts: str | bytes, seconds: int = 0) -> None:
    """Until this transaction ends, no other that asks for the same parts goes on. Nothing on SQLite: whoever writes
    there is alone.

    Args: seconds: to wait for another, instead of LOCK_MILLISECONDS. Raises OperationalError when that was not enough.
    """
    if not is_postgres(connection):
        return
    if seconds:
        connection.execute(text(f"SET LOCAL lock_timeout = '{int(seconds)}s'"))
    connection.execute(_LOCK, {"number": lock_number(*parts)})
