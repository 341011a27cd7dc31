"""Where a run's installations are: in folders, or in the databases of a PostgreSQL of the run's own.

Knows folders and that server. Must not know what is measured.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from aparte.backing import PostgresServer
from aparte.bench import servers
from aparte.bench.servers import Installation

_SETTINGS: Final = {"jit": "off"}  # all else is as PostgreSQL comes: what it acknowledges is on the disk


@dataclass(frozen=True, slots=True)
class Ground:
    """The folder of a run and, where the data shall not lie in it, the server that has them."""

    folder: Path
    postgres: PostgresServer | None = None

    def make(self, name: str = "") -> Installation:
        """A new installation. Args: name: of its folder, and of its databases. Raises BadInput."""
        urls = {}
        if self.postgres is not None:
            database = f"bench_{name.replace('/', '_')}"
            self.postgres.provide(database, f"{database}_keys")
            urls = {"database_url": self.postgres.url(database), "keyring_url": self.postgres.url(f"{database}_keys")}
        return servers.make(self.folder / name, urls)

    @contextlib.contextmanager
    def on_postgres(self) -> Iterator[Ground]:
        """The same ground with a PostgreSQL, started for this block unless there is one. Raises BadInput, Unavailable."""
        if self.postgres is not None:
            yield self
            return
        # Not in the folder of the run: for root, another account runs the server, and may not enter there.
        place = Path(tempfile.mkdtemp(prefix="aparte-bench-pg-"))
        try:
            with contextlib.closing(PostgresServer(place, settings=_SETTINGS)) as server:
                server.start()
                yield Ground(self.folder, server)
        finally:
            shutil.rmtree(place, ignore_errors=True)
