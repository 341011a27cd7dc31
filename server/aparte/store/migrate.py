"""Brings the data database to the newest schema, under a lock, before anything else touches it.

Knows revisions. Must not know what the tables mean.
"""

from __future__ import annotations

import fcntl
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, Engine, inspect, text

from aparte import postgres
from aparte.errors import BadSetting

HEAD: Final = "0001"  # a test holds this against the newest file in migrations/versions
_PATIENCE_SECONDS: Final = 600  # for another node to migrate first
_SCRIPTS: Final = Path(__file__).parent / "migrations"


def current(engine: Engine) -> str | None:
    """The revision that the database is at; None for an empty one."""
    with engine.connect() as connection:
        return _revision(connection)


def is_newer(revision: str | None) -> bool:
    """Whether a newer version of this program made the database."""
    return revision is not None and revision > HEAD


def _refuse_newer(revision: str | None) -> None:
    if is_newer(revision):
        raise BadSetting(
            f"A newer version of Aparté made this database (it is at {revision}). Install that version, or put back a "
            "copy from before."
        )


def to_head(engine: Engine, folder: Path) -> None:
    """Migrates if need be. The lock file in `folder` keeps a second process from looking before the first is done:
    making a database, and switching it to its log, are the two things that SQLite does not let another wait for. On
    PostgreSQL the server keeps the lock, since nodes have no folder in common, and all is done in one transaction."""
    if engine.dialect.name == "postgresql":
        with engine.begin() as connection:
            postgres.alone(connection, "migrate", seconds=_PATIENCE_SECONDS)
            _to_head(connection)
        return
    with (folder / "migrate.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if current(engine) != HEAD:
            with engine.begin() as connection:
                _to_head(connection)


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    found = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return None if found is None else str(found)


def _to_head(connection: Connection) -> None:
    revision = _revision(connection)
    _refuse_newer(revision)
    if revision == HEAD:
        return
    # Imported here: a start on an up-to-date store need not load the migration tool.
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
