"""The store: one durable writer, readers beside it, a clock that never runs backwards.

Knows how to open, migrate, read and write the data database. Must not judge, publish or know the web.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Final, TypeVar

from sqlalchemy import BigInteger, Connection, Float, String, case, cast, insert, select, update
from sqlalchemy.exc import DBAPIError

from aparte import postgres
from aparte.config import Database, Settings
from aparte.errors import StoreDown
from aparte.metrics import Commits
from aparte.model import Agent, Site
from aparte.store import failures, migrate, people, sites
from aparte.store.engine import claim, reading_engine, writing_engine
from aparte.store.events import Stored
from aparte.store.schema import store_info
from aparte.store.transaction import Tx, cid_key, new_id
from aparte.store.writer import Answer, Writer
from aparte.vault import Vault

__all__ = ["Answer", "Connection", "Directory", "Store", "Stored", "Tx", "cid_key", "new_id"]

T = TypeVar("T")
R = TypeVar("R")
READERS: Final = 4
AHEAD_SECONDS: Final = 86_400.0
"""When the store's time is farther ahead of the machine's clock than this, nothing is deleted for its age."""


@dataclass(slots=True)
class Directory:
    """The sites and agents, in memory: few, and needed for each frame."""

    sites: dict[str, Site] = field(default_factory=dict)
    agents: dict[str, Agent] = field(default_factory=dict)
    version: int = -1


def database_of(settings: Settings) -> Path:
    """The data database's file, on SQLite."""
    return settings.data / "aparte.db"


class Store:
    """Open with `await Store.open(…)`, end with `await close()`."""

    def __init__(self, settings: Settings, vault: Vault) -> None:
        self._settings = settings
        self.vault = vault
        self.directory = Directory()
        self.epoch = ""
        self.outdated = ""  # why this version may use the database no longer, once `refresh` has found that
        self._last, self._ticked = 0.0, time.monotonic()
        self._clock = threading.Lock()
        self._claim: IO[str] | None = None
        self._listener: Callable[[list[Stored]], None] = _nobody
        self.on_outdated: Callable[[], None] = _nothing
        self.place = database = settings.database()
        self._writing = writing_engine(database)
        self._reading = reading_engine(database, READERS)
        self._readers = ThreadPoolExecutor(READERS, "store-reader")
        self._writer = Writer(
            self._writing,
            vault,
            clock=self.now,
            publish=self._publish,
            most=settings.write_batch,
            waiting=settings.write_queue,
        )

    @classmethod
    async def open(cls, settings: Settings, vault: Vault, *, alone: bool = False) -> Store:
        """Opens the data database, made or migrated first if need be.

        Args: alone: for a server, which takes the data folder until the store is closed, before anything is changed.
        Raises: StoreDown, Unreadable; BadSetting when this version must not use it, or another server has the folder.
        """
        store = cls(settings, vault)
        try:
            await asyncio.to_thread(store._prepare, alone)
            store._writer.start()
            await store.refresh()
        except BaseException as error:
            await store.close()
            if not isinstance(error, (DBAPIError, OSError)):
                raise
            why = (
                postgres.why_not(store.place, error)
                if isinstance(store.place, Database)
                else f"The database in {settings.data} cannot be opened ({failures.name_of(error)}). aparte doctor says what to do."
            )
            raise StoreDown(why) from error
        return store

    def _prepare(self, alone: bool) -> None:
        self._settings.data.mkdir(parents=True, exist_ok=True, mode=0o700)
        if alone:
            self._claim = claim(self._settings.data)
        migrate.to_head(self._writing, self._settings.data)
        with self._writing.begin() as connection:
            postgres.alone(connection, "store_info")  # two nodes may begin at once
            found = {row.name: row.value for row in connection.execute(select(store_info))}
            if "epoch" not in found:
                found = {"epoch": new_id(), "clock": "0", "directory": "0"}
                connection.execute(insert(store_info), [{"name": k, "value": v} for k, v in found.items()])
        self.epoch = found["epoch"]
        self._last, self._ticked = float(found["clock"]), time.monotonic()

    async def close(self) -> None:
        """Commits what is waiting, then closes."""
        await self._writer.stop()
        self._dispose()

    def _dispose(self) -> None:
        self._readers.shutdown(wait=True)
        self._reading.dispose()
        self._writing.dispose()
        if self._claim is not None:
            self._claim.close()

    def listen(self, listener: Callable[[list[Stored]], None]) -> None:
        """`listener` gets each commit's events, in commit order, in the event loop."""
        self._listener = listener

    def _publish(self, events: list[Stored]) -> None:
        self._listener(events)

    # ── time ─────────────────────────────────────────────────────────────────────────────────────────────

    def now(self) -> float:
        """Epoch seconds that never run backwards, not over a restart either (to the last `keep_time`).

        When the machine's clock is set back, time goes on from where it was: standing still would keep alive what
        shall expire. Any thread may ask.
        """
        with self._clock:
            ticked = time.monotonic()
            self._last = max(self.wall(), self._last + ticked - self._ticked)
            self._ticked = ticked
            return self._last

    def ahead(self) -> float:
        """By how many seconds `now` is ahead of the machine's clock: that one was once wrong, or is wrong now."""
        return self.now() - self.wall()

    @staticmethod
    def wall() -> float:
        """The machine's clock, in epoch seconds."""
        return time.time()

    async def keep_time(self) -> None:
        """Remembers the time, so that a clock set back cannot bring an expired thing to life. A node whose clock is
        behind writes what another remembered."""

        def apply(tx: Tx) -> None:
            kept = store_info.c.value
            latest = case((cast(kept, Float) < tx.now, repr(tx.now)), else_=kept)
            tx.connection.execute(update(store_info).where(store_info.c.name == "clock").values(value=latest))

        await self.write(apply)

    # ── reading and writing ──────────────────────────────────────────────────────────────────────────────

    async def read(self, query: Callable[[Connection], T]) -> T:
        """Runs `query` on a reader's connection. Raises StoreDown, and what `query` raises."""

        def run() -> T:
            with self._reading.connect() as connection:
                return query(connection)

        def twice() -> T:
            try:
                return run()
            except DBAPIError as error:
                if not failures.is_lost(error):
                    raise
            return run()  # the server was away, and may be back: on a new connection

        try:
            return await asyncio.get_running_loop().run_in_executor(self._readers, twice)
        except DBAPIError as error:
            raise StoreDown(retry_after=1.0) from error

    async def read_along(self, query: Callable[[Connection], T], use: Callable[[T], R]) -> R:
        """As `read`, with the writer's next commit: at a busy server it needs no transaction of its own. Raises StoreDown
        for many reasons for which `read` does not, and what `use` raises. See Writer.read_along."""
        return await self._writer.read_along(query, use)

    async def write(self, apply: Callable[[Tx], T], *, conversation: str | None = None, key: bytes | None = None) -> T:
        """Runs `apply` in the writer; returns once it is durable. See Writer.run."""
        self._require_current()
        return await self._writer.run(apply, conversation=conversation, key=key)

    def submit(
        self, apply: Callable[[Tx], Any], answer: Answer, *, conversation: str | None = None, key: bytes | None = None
    ) -> None:
        """As `write`, but calls `answer` instead of being waited for. See Writer.submit."""
        self._require_current()
        self._writer.submit(apply, answer, conversation=conversation, key=key)

    def _require_current(self) -> None:
        if self.outdated:
            raise StoreDown(retry_after=failures.RETRY_SECONDS)

    async def off_loop(self, work: Callable[..., T], *arguments: object) -> T:
        """Runs blocking work, such as forgetting a key, on a reader's thread."""
        return await asyncio.get_running_loop().run_in_executor(self._readers, lambda: work(*arguments))

    @property
    def commits(self) -> Commits:
        """What the writer has done."""
        return self._writer.commits

    @property
    def queued(self) -> int:
        """How many operations wait for the writer."""
        return self._writer.queued

    # ── the directory ────────────────────────────────────────────────────────────────────────────────────

    async def refresh(self) -> bool:
        """Reads sites and agents anew if they changed, also by another process; says whether they did. Looks as well
        whether a newer version has meanwhile shut this one out: from then on nothing is written."""

        def query(connection: Connection) -> tuple[str, Directory | None]:
            wanted = store_info.c.name.in_(("directory", migrate.MIN_VERSION))
            noted = {row.name: row.value for row in connection.execute(select(store_info).where(wanted))}
            outdated, version = migrate.why_too_old(noted.get(migrate.MIN_VERSION)), int(noted["directory"])
            if outdated or version == self.directory.version:
                return outdated, None
            return "", Directory(
                {one.id: one for one in sites.sites(connection, self.vault)},
                {one.id: one for one in people.agents(connection, self.vault)},
                version,
            )

        self.outdated, found = await self.read(query)
        if self.outdated:
            self.on_outdated()
        if found is None:
            return False
        self.directory.sites, self.directory.agents = found.sites, found.agents
        self.directory.version = found.version
        return True


@contextlib.asynccontextmanager
async def opened(settings: Settings, vault: Vault) -> AsyncIterator[Store]:
    """The store without a server, until the block ends, and the vault with it. Raises: as `Store.open`."""
    try:
        store = await Store.open(settings, vault)
        try:
            yield store
        finally:
            await store.close()
    finally:
        vault.close()


def kept_time(connection: Connection) -> float:
    """The time that was last remembered by `Store.keep_time`."""
    return float(connection.execute(select(store_info.c.value).where(store_info.c.name == "clock")).scalar_one())


def directory_changed(tx: Tx) -> None:
    """To be called by whatever changes a site or an agent."""
    # One statement, so that no other's change between a look and a step can be lost.
    version = cast(cast(store_info.c.value, BigInteger) + 1, String)
    tx.connection.execute(update(store_info).where(store_info.c.name == "directory").values(value=version))


def _nobody(_events: list[Stored]) -> None:
    """Nobody listens: a command-line tool writes without live connections."""


def _nothing() -> None:
    """A command-line tool ends soon enough by itself."""
