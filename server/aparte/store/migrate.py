"""Brings the data database to the newest schema, under a lock, before anything else touches it; and refuses one that
this version must not use.

Knows revisions. Must not know what the tables mean.

All migrations that are due run in one transaction, which both databases undo whole: a start that was killed in the
middle leaves the old schema, and the next start begins again.

Several versions run side by side while nodes are upgraded one after the other. So a database that a newer version has
migrated is used on, as long as the oldest revision that may use it (`min_version`, which each migration declares) is
not above our own.
"""

from __future__ import annotations

import fcntl
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, Engine, delete, insert, inspect, select, text

from aparte import postgres
from aparte.errors import BadSetting
from aparte.store.schema import store_info
from aparte.vault.ring import COPYING

HEAD: Final = "0001"  # a test holds this against the newest file in migrations/versions
MIN_VERSION: Final = "min_version"  # in store_info
_PATIENCE_SECONDS: Final = 600  # for another node to migrate first
_SCRIPTS: Final = Path(__file__).parent / "migrations"


@dataclass(frozen=True, slots=True)
class Found:
    """What a look at a database has found. `revision`: None in an empty one; `min_version`: the oldest that may use it,
    None where nobody has noted it; `copying`: what is noted of a copy into it that has not been finished."""

    revision: str | None
    min_version: str | None = None
    copying: str | None = None

    @property
    def is_older(self) -> bool:
        """Whether there is something to migrate."""
        return self.revision is None or self.revision < HEAD

    @property
    def is_newer(self) -> bool:
        """Whether a newer version has migrated it, so that it has more than this version knows of."""
        return self.revision is not None and self.revision > HEAD

    def why_not(self) -> str:
        """Why this version must not use it, and the fix; empty when it may."""
        if self.copying is not None:
            return (
                "The copy into this database has not been finished, so nothing may use it yet. Run aparte migrate-store "
                "again with the same settings: it goes on where it ended."
            )
        if self.is_newer and self.min_version is None:
            return _too_old(f"at {self.revision}")
        return why_too_old(self.min_version)


def why_too_old(min_version: str | None) -> str:
    """Why this version is too old for a database that notes this, and the fix; empty when it is not."""
    return "" if min_version is None or min_version <= HEAD else _too_old(f"for {min_version} or newer")


def _too_old(needs: str) -> str:
    return (
        f"A newer version of Aparté made this database what it is now ({needs}, and this version is {HEAD}). Install the "
        "newer version, or put back a copy from before the upgrade."
    )


def look(connection: Connection) -> Found:
    """What is there. Changes nothing."""
    if not inspect(connection).has_table("alembic_version"):
        return Found(None)
    revision = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    if revision is None:
        return Found(None)
    wanted = select(store_info).where(store_info.c.name.in_((MIN_VERSION, COPYING)))
    noted = {row.name: row.value for row in connection.execute(wanted)}
    return Found(str(revision), noted.get(MIN_VERSION), noted.get(COPYING))


def to_head(engine: Engine, folder: Path) -> None:
    """Migrates if need be. The lock file in `folder` keeps a second process from looking before the first is done:
    making a database, and switching it to its log, are the two things that SQLite does not let another wait for. On
    PostgreSQL the server keeps the lock, since nodes have no folder in common.

    Raises: BadSetting when this version must not use the database; nothing is changed then.
    """
    if engine.dialect.name == "postgresql":
        with engine.begin() as connection:
            migrated(connection)
        return
    with (folder / "migrate.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with engine.connect() as connection:
            found = _usable(connection)
        if found.is_older:
            with engine.begin() as connection:
                migrated(connection)


def migrated(connection: Connection) -> None:
    """Migrates in this transaction, alone. Raises as `to_head`."""
    postgres.alone(connection, "migrate", seconds=_PATIENCE_SECONDS)
    if not _usable(connection).is_older:
        return
    # Imported here: a start on an up-to-date store need not load the migration tool.
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
    newest = ScriptDirectory.from_config(config).get_revision("head").module
    connection.execute(delete(store_info).where(store_info.c.name == MIN_VERSION))
    connection.execute(insert(store_info), {"name": MIN_VERSION, "value": newest.min_version})


def _usable(connection: Connection) -> Found:
    found = look(connection)
    if why := found.why_not():
        raise BadSetting(why)
    return found
