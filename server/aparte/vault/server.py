"""The key ring in a PostgreSQL database of its own, for several nodes.

Knows how to be alone there and what deleting leaves behind. Must not know a key in clear.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from aparte import errors, postgres
from aparte.config import Database
from aparte.vault import ring
from aparte.vault.ring import Ring

CONNECTIONS: Final = 4
ALONE_SECONDS: Final = 5  # how long a writer waits for another process before the ring counts as down


class ServerRing(Ring):
    """As `Ring`. Whoever writes holds one lock of the database, as on SQLite."""

    def __init__(self, place: Database) -> None:
        """Args: place: a database that exists."""
        super().__init__(postgres.engine(place, size=CONNECTIONS, is_probed=True))
        self._database = place
        self._is_owed = False  # rows were deleted, and what they left has not been taken out

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """One transaction that holds the write lock from its first read; on the disk when the block ends."""
        with self._guarded(), self._engine.begin() as connection:
            postgres.alone(connection, "ring", seconds=ALONE_SECONDS)
            yield connection

    def _why(self, error: Exception) -> str:
        return f"The key ring {postgres.why_not(self._database, error)}."

    def scrub(self, needles: Sequence[bytes]) -> None:
        """Take the deleted rows out of the table. What that leaves behind, nobody can look for from here: bytes in the
        free space of a page until it is used again, in the server's log until that is, and in copies of both. See
        docs/OPERATIONS.md, which says how long to keep them.

        Raises: errors.StoreDown when it could not be done: run it again.
        """
        self._is_owed = self._is_owed or bool(needles)
        if not self._is_owed:
            return
        with self._guarded(), self._engine.connect() as connection:
            connection.execution_options(isolation_level="AUTOCOMMIT").execute(sa.text('VACUUM "key"'))
        self._is_owed = False


def ring_in(place: Database) -> ServerRing:
    """The ring of that database. Raises: errors.BadSetting when the driver is not installed, when there is none, or when
    the copy into it has not been finished; errors.StoreDown when the server cannot be reached."""
    found = ServerRing(place)
    try:
        with found.reading() as connection:
            noted = ring.values(connection) if sa.inspect(connection).has_table("ring") else None
        if noted is None:
            raise errors.BadSetting(
                f"There is no key ring in {place}. Correct the setting keyring_url; for a new installation run `aparte "
                "init`, and to bring one from SQLite `aparte migrate-store`."
            )
        if ring.COPYING in noted:
            raise errors.BadSetting(
                f"The copy into {place} has not been finished, so nothing may use it yet. Run aparte migrate-store again "
                "with the same settings: it goes on where it ended."
            )
    except BaseException:
        found.close()
        raise
    return found
