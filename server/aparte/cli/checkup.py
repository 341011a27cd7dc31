"""What `aparte doctor` looks at, one function for each thing.

Knows how each part shows that it is well. Must not change anything, nor print.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import socket
import stat
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from aparte import config, errors
from aparte.cli import mailing, servers
from aparte.config import Database, Settings

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from aparte.model import Agent, Site
    from aparte.store import migrate

# Below this the writer may soon be refused room; a day of a busy desk is some tens of megabytes.
_FREE_BYTES: Final = 500 << 20
_NOT_BEFORE: Final = 1_767_225_600  # 2026-01-01: an earlier clock has lost its time
_AHEAD_SECONDS: Final = 120.0  # a file written so far in the future was written by another clock
# What to do about a SQLite database that cannot be read, by the beginning of its error's name.
_FIXES: Final = (
    ("SQLITE_BUSY", "another program holds it: end that one"),
    ("SQLITE_READONLY", "let the server's account write it, on a disk that may be written"),
    ("SQLITE_CANTOPEN", "let the server's account write it, on a disk that may be written"),
    ("SQLITE_FULL", "make room on the disk"),
)
# No company uses it: the answer "no such record" is the proof that address, key and clock are right.
_NO_RECORD: Final = "DOCTOR0"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line: what was looked at, whether it is well, and what was seen or is to be done. `doubt`: it is well only if it
    is meant so."""

    name: str
    ok: bool
    says: str
    doubt: bool = False


def all_of(settings: Settings) -> list[Finding]:
    """Every finding about this installation, in the order in which they should be mended."""
    found = [Finding("settings", True, "understood, and none contradicts another")]
    looks: tuple[Callable[[Settings], Iterator[Finding]], ...] = (
        _places, _keys, _store, _bell, _clock, _disk, _address, _mail, _connectors,
    )  # fmt: skip
    for look in looks:
        found.extend(look(settings))
    return found


def _places(settings: Settings) -> Iterator[Finding]:
    ring = settings.ring()
    of_ring = () if isinstance(ring, Database) else (("keyring folder", ring.parent, 0o700), ("keyring", ring, 0o600))
    for name, path, mode in (
        ("data", settings.data, 0o700),
        *of_ring,
        ("root_key folder", settings.root_key.parent, 0o700),
        ("root_key", settings.root_key, 0o400),
    ):
        try:
            state = path.stat()
        except OSError as error:
            yield Finding(name, False, f"{path}: {error.strerror}: {_put_back(settings)}")
            continue
        shown = stat.S_IMODE(state.st_mode)
        if state.st_mode & 0o077:
            yield Finding(name, False, f"{path}: others may use it (mode {shown:04o}): run chmod {mode:04o} {path}")
        elif mode & ~state.st_mode:
            yield Finding(name, False, f"{path}: the server needs more (mode {shown:04o}): run chmod {mode:04o} {path}")
        elif state.st_uid not in (os.geteuid(), 0) or not os.access(path, os.R_OK):
            yield Finding(name, False, f"{path}: belongs to another account: run chown for the account of the server")
        else:
            yield Finding(name, True, str(path))


def _put_back(settings: Settings) -> str:
    """What to do about a part that is missing. Beside data or keys `aparte init` makes no new one."""
    ring = settings.ring()
    if (settings.data / "aparte.db").exists() or isinstance(ring, Database) or ring.exists():
        return "put it back from its copy, or correct the setting"
    return "run aparte init"


def _keys(settings: Settings) -> Iterator[Finding]:
    if not all(one.ok for one in _places(settings) if one.name in ("root_key", "keyring")):
        return  # told of the places: once that is mended, the next look is at what is in them
    ring = settings.ring()
    if isinstance(ring, Database):
        found = [Finding(*one) for one in servers.look("keyring", ring)]
        yield from found
        if not found[0].ok:
            return
    why = _why_locked(settings)
    yield Finding("keys", not why, why or "the root key opens the key ring")


def _why_locked(settings: Settings) -> str:
    """Why the keys cannot be used, with the fix; empty when they can."""
    from aparte.vault import Vault

    try:
        Vault.open(keyring=settings.ring(), root_key=settings.root_key).close()
    except errors.AparteError as error:
        return str(error)
    return ""


def _store(settings: Settings) -> Iterator[Finding]:
    from sqlalchemy.exc import SQLAlchemyError

    from aparte.store import failures, migrate
    from aparte.store.engine import reading_engine

    database = settings.database()
    if isinstance(database, Database):
        found = [Finding(*one) for one in servers.look("database", database)]
        yield from found
        if found[0].ok:
            with _reading(settings) as engine, engine.connect() as connection:
                yield _migrations(migrate.look(connection))
        return
    if not database.is_file():
        yield Finding("database", False, f"{database}: not there: {_put_back(settings)}")
        return
    # Asked of the file itself: the store's own connections would switch it over.
    with database.open("rb") as file:
        is_wal = file.read(20)[18:] == b"\x02\x02"
    engine = reading_engine(database, 1)
    try:
        with engine.connect() as connection:
            synchronous = connection.exec_driver_sql("PRAGMA synchronous").scalar()
            health = connection.exec_driver_sql("PRAGMA quick_check(1)").scalar()
            schema = migrate.look(connection)
    except SQLAlchemyError as error:  # its text quotes statements: only its name is told
        name = failures.name_of(error)
        fix = next((fix for start, fix in _FIXES if name.startswith(start)), "restore the last copy")
        yield Finding("database", False, f"{database}: cannot be read ({name}): {fix}")
        return
    finally:
        engine.dispose()
    if health != "ok":
        yield Finding("database", False, f"{database}: damaged: stop the server and restore the last copy")
    else:
        yield Finding("database", True, str(database))
    # 2 is FULL, 3 EXTRA: SQLite documents both as safe against a power cut in WAL mode.
    is_durable = is_wal and synchronous in (2, 3)
    yield Finding(
        "durability",
        is_durable,
        "write-ahead log, synchronous FULL"
        if is_durable
        else f"write-ahead log {is_wal}, synchronous {synchronous}: move data to a local disk and start the server once",
    )
    yield _migrations(schema)


def _migrations(schema: migrate.Found) -> Finding:
    from aparte.store import migrate

    if why := schema.why_not():
        return Finding("migrations", False, why)
    at = f"at {schema.revision}"
    if schema.is_older:
        return Finding("migrations", False, f"{at}, and this version needs {migrate.HEAD}: start aparte serve once")
    also = f", by a newer version; this one, which knows {migrate.HEAD}, may still use it" if schema.is_newer else ""
    return Finding("migrations", True, at + also)


@contextlib.contextmanager
def _reading(settings: Settings) -> Iterator[Engine]:
    """A reader's connection alone: opening the store would migrate it. Raises errors.StoreDown when it cannot be read."""
    from sqlalchemy.exc import SQLAlchemyError

    from aparte.store.engine import reading_engine

    place = settings.database()
    if not isinstance(place, Database) and not place.is_file():
        raise errors.StoreDown("there is no database to find them in")
    engine = reading_engine(place, 1)
    try:
        yield engine
    except SQLAlchemyError as error:
        raise errors.StoreDown("the database cannot be read") from error
    finally:
        engine.dispose()


def _bell(settings: Settings) -> Iterator[Finding]:
    if isinstance(settings.database(), Database):  # else this node is alone, and there is no bell
        yield Finding("bell", *servers.bell(settings))


def _clock(settings: Settings) -> Iterator[Finding]:
    from aparte.store import AHEAD_SECONDS

    now = time.time()
    newest = max((path.stat().st_mtime for path in settings.data.glob("*") if path.is_file()), default=0.0)
    if now < _NOT_BEFORE:
        yield Finding("clock", False, "shows a time long past: set it, and let the system keep it by NTP")
    elif newest > now + _AHEAD_SECONDS:
        behind = int(newest - now)
        yield Finding("clock", False, f"{behind} s behind the newest data: set it, and let the system keep it by NTP")
    elif isinstance(place := settings.database(), Database) and (apart := servers.clock(place)):
        yield Finding("clock", False, apart)
    elif (ahead := _kept_time(settings) - now) > AHEAD_SECONDS:
        says = f"the data's time is {ahead / 86_400:.0f} days ahead, and nothing is deleted for its age"
        yield Finding("clock", False, f"{says}: set the clock if it is wrong, else see the last table in OPERATIONS")
    else:
        yield Finding("clock", True, time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(now)))


def _kept_time(settings: Settings) -> float:
    """The time that the server remembered last; 0 where it cannot be read, which the look at the database tells."""
    from aparte.store import kept_time

    try:
        with _reading(settings) as engine, engine.connect() as connection:
            return kept_time(connection)
    except errors.StoreDown:
        return 0.0


def _disk(settings: Settings) -> Iterator[Finding]:
    ring = settings.ring()
    of_ring = () if isinstance(ring, Database) else (("disk of keyring", ring.parent),)
    for name, path in (("disk of data", settings.data), *of_ring):
        if not path.is_dir():
            continue
        if os.statvfs(path).f_flag & os.ST_RDONLY:
            yield Finding(
                name, False, f"{path}: on a file system that is mounted for reading alone: mount it for writing"
            )
            continue
        free = shutil.disk_usage(path).free
        shown = f"{free / (1 << 30):.1f} GiB free"
        enough = free >= _FREE_BYTES
        yield Finding(name, enough, shown if enough else f"{shown}: make room, at least {_FREE_BYTES >> 20} MiB")


def _address(settings: Settings) -> Iterator[Finding]:
    for name, url in (("public_url", settings.public_url), ("panel_url", settings.panel_url)):
        host = urlsplit(url).hostname
        if host is None:
            continue
        try:
            socket.getaddrinfo(host, None)
        except OSError:
            yield Finding(name, False, f"{url}: the name is not known: make a DNS record for {host}")
        else:
            yield Finding(name, True, url)
    if not settings.public_url:
        says = f"{settings.addressed()[0]}, for this machine only"
        public = [(one.id, url) for one in _readable_sites(settings) for url in one.origins if config.is_public(url)]
        if public:
            says += f", though site {public[0][0]} is on {public[0][1]}: set public_url"
        yield Finding("public_url", True, says, bool(public))


def _mail(settings: Settings) -> Iterator[Finding]:
    if settings.smtp_host:
        yield Finding("mail", *mailing.look(settings))
    else:
        yield _no_mail(settings)


def _no_mail(settings: Settings) -> Finding:
    """Right for a site without a booking system; for one with it, what it is there for does not happen."""
    says = "no smtp_host: no letters leave, and checks by e-mail are not offered"
    connected = [one.id for one in _readable_sites(settings) if one.records_url]
    if connected:
        says += f", though {', '.join(connected)} has a booking system: set smtp_host and mail_from"
    return Finding("mail", True, says, bool(connected))


_NO_BOOKINGS = (
    "no booking system: nobody can be verified, and what agents say of bookings and payments waits for a reason"
)


def _connectors(settings: Settings) -> Iterator[Finding]:
    from aparte.records import connector_of

    if _why_locked(settings):
        return  # told of the keys, without which no site can be read
    try:
        sites, agents = _listed(settings)
    except errors.AparteError as error:
        yield Finding("sites", False, str(error))
        return
    able = sum(not one.is_disabled for one in agents)
    says = f"{able} may sign in" if able else "none yet who may sign in: run aparte agent add"
    yield Finding("agents", True, says, not able)
    if not sites:
        yield Finding("sites", False, "none yet: run aparte site add")
    for one in sites:
        try:
            connector = connector_of(one)
            says = asyncio.run(_ask(settings, one)) if connector else _NO_BOOKINGS
        except errors.AparteError as error:
            yield Finding(f"site {one.id}", False, f"{one.records_url}: {error}")
        else:
            if not one.origins:
                says += "; and no page may show it, since it has no --origin: run aparte site add with --replace"
            yield Finding(f"site {one.id}", True, says, not one.origins)


def _readable_sites(settings: Settings) -> list[Site]:
    """None where they cannot be read, which the look at the sites tells."""
    try:
        return _listed(settings)[0]
    except errors.AparteError:
        return []


def _listed(settings: Settings) -> tuple[list[Site], list[Agent]]:
    from aparte.store import migrate, people, sites
    from aparte.vault import Vault

    with (
        _reading(settings) as engine,
        contextlib.closing(Vault.open(keyring=settings.ring(), root_key=settings.root_key)) as vault,
        engine.connect() as connection,
    ):
        schema = migrate.look(connection)
        if schema.is_older or schema.why_not():
            raise errors.StoreDown("the database must be migrated first")
        return sites.sites(connection, vault), people.agents(connection, vault)


async def _ask(settings: Settings, one: Site) -> str:
    from aparte.records import Records, connector_of

    records = Records(settings)
    connector = connector_of(one)
    try:
        if connector is not None:
            await records.find(connector, _NO_RECORD)
    finally:
        await records.close()
    return f"{one.records_url} answers, and its signature holds"
