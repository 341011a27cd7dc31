"""The one writer: a thread that commits whatever is waiting, together, and only then answers.

Knows batches, savepoints and commits. Must not know what an operation means.

Plain appends of a batch share their reads and their writes, and what is read along goes beside them. Everything else
runs under a savepoint of its own, and on PostgreSQL, where others write at the same time, in a commit of its own. When a
batch fails for a reason of one operation, it is rolled back and run again one by one, so that a poisoned operation never
takes its neighbours with it.
"""

from __future__ import annotations

import asyncio
import queue
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from aparte import postgres
from aparte.errors import AparteError, StoreDown, TooMany
from aparte.metrics import Commits
from aparte.store import direct, failures
from aparte.store.events import Stored
from aparte.store.transaction import Recent, Tx
from aparte.vault import Vault

T = TypeVar("T")
R = TypeVar("R")
RETRY_SECONDS: Final = failures.RETRY_SECONDS
GATHER_SECONDS: Final = 0.005
"""Between two commits on PostgreSQL, in which more comes together: each costs some five round trips, whatever is in it.
SQLite's are cheap. What comes after a rest does not wait."""
AGAIN: Final = 4  # times that a commit is tried again when another node stood in its way, or its connection was gone

Answer = Callable[[Any, BaseException | None], None]
"""Gets an operation's result, or its error, in the event loop."""


@dataclass(slots=True)
class _Job:
    apply: Callable[[Tx], Any]
    answer: Answer
    conversation: str | None  # named for a plain append
    key: bytes | None
    is_read: bool = False
    begun: float = field(default_factory=time.monotonic)

    @property
    def is_plain(self) -> bool:
        return self.conversation is not None or self.is_read


@dataclass(slots=True)
class _Done:
    job: _Job
    result: Any = None
    error: BaseException | None = None


class _ReadFailed(Exception):
    """The transaction is spoilt by what was read along with it."""


class Writer:
    """Runs operations in commit order.

    Args: engine: one durable connection; clock: epoch seconds, never backwards; publish: called in the event loop
    with a commit's events, in order, before any of its callers is answered but who reads along; most: operations in
    one commit; waiting: operations that may wait before more are refused.
    """

    def __init__(
        self,
        engine: Engine,
        vault: Vault,
        *,
        clock: Callable[[], float],
        publish: Callable[[list[Stored]], None],
        most: int,
        waiting: int,
    ) -> None:
        self._engine = engine
        self._is_sqlite = engine.dialect.name == "sqlite"
        self._vault = vault
        self._clock = clock
        self._publish = publish
        self._most = most
        self._waiting = waiting
        self._recent = Recent()
        self._line: Connection | None = None
        self._version: int | None = None  # of the database, where it tells whether others have written
        self._queue: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._is_closed = False
        self._is_committing = False
        self._is_away = False  # the database failed one of this batch in a way that befalls all
        self._is_hurried = False  # somebody holds a row that one of this batch has waited for in vain
        self.commits = Commits()

    def start(self) -> None:
        """Begins to work for the running event loop."""
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)
        self._thread.start()

    async def stop(self) -> None:
        """Commits what is waiting, then ends. Whoever comes later is told at once: nobody would answer."""
        self._is_closed = True
        if self._thread is not None:
            self._queue.put(None)
            await asyncio.to_thread(self._thread.join)
            self._thread = None

    async def run(self, apply: Callable[[Tx], T], *, conversation: str | None = None, key: bytes | None = None) -> T:
        """Runs `apply` in a transaction; returns its result once that is durable.

        Args: conversation: names the row when `apply` is a plain append to it; key: its cid key.
        Raises: what `apply` raises (nothing of it is kept then); StoreDown; TooMany when too much is waiting.
        """
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self.submit(apply, partial(_settle, future), conversation=conversation, key=key)
        return await future

    async def read_along(self, query: Callable[[Connection], T], use: Callable[[T], R]) -> R:
        """Runs `query` beside the next commit's appends, and `use` with its result in the event loop, before that
        commit's events are published; returns what `use` does. It is told after the commit, so it may have seen rows of
        that one. Raises StoreDown when it could not be read in this way, whatever the reason; what `use` raises."""
        future: asyncio.Future[R] = asyncio.get_running_loop().create_future()

        def answer(result: T, error: BaseException | None) -> None:
            try:
                _settle(future, use(result) if error is None else None, error)
            except Exception as fault:  # noqa: BLE001 - it is its caller's
                _settle(future, None, fault)

        self._require_open()
        self._queue.put(_Job(lambda tx: query(tx.connection), answer, None, None, is_read=True))
        return await future

    def submit(
        self, apply: Callable[[Tx], Any], answer: Answer, *, conversation: str | None = None, key: bytes | None = None
    ) -> None:
        """As `run`, for a caller that has nothing to wait for. Raises StoreDown, TooMany; `answer` gets the rest."""
        self._require_open()
        if self._queue.qsize() >= self._waiting:
            raise TooMany(retry_after=RETRY_SECONDS)
        self._queue.put(_Job(apply, answer, conversation, key))

    def _require_open(self) -> None:
        if self._loop is None:
            raise StoreDown("The store is not started.")
        if self._is_closed:
            raise StoreDown(retry_after=RETRY_SECONDS)

    @property
    def queued(self) -> int:
        """How many operations wait for their commit."""
        return self._queue.qsize()

    # ── the thread ───────────────────────────────────────────────────────────────────────────────────────

    def _run(self) -> None:
        ending, ended = False, 0.0
        while not ending:
            jobs: list[_Job] = []
            job = self._queue.get()
            if not self._is_sqlite:
                time.sleep(max(0.0, ended + GATHER_SECONDS - time.monotonic()))
            while True:
                if job is None:
                    ending = True
                    break
                jobs.append(job)
                if len(jobs) >= self._most:
                    break
                try:
                    job = self._queue.get_nowait()
                except queue.Empty:
                    break
            self._is_hurried = self._is_away = False
            for some in self._parted(jobs):
                if not self._is_away:
                    done, published = self._commit(some)
                else:  # nor would the rest be kept, and each would wait as long to find that out
                    done, published = [_Done(job, error=StoreDown(retry_after=RETRY_SECONDS)) for job in some], []
                assert self._loop is not None
                self._loop.call_soon_threadsafe(self._answer, done, published)
            ended = time.monotonic()
        self._let_go()

    def _parted(self, jobs: list[_Job]) -> list[list[_Job]]:
        """What goes into one commit. On PostgreSQL a row that was changed is locked until the commit: with several
        operations in it, each of two nodes would sooner or later hold what the other waits for. The rows of plain appends
        are known before, and locked in one order; any other operation goes alone, since it locks what it meets."""
        if self._is_sqlite:  # nobody else writes meanwhile
            return [jobs] if jobs else []
        plain = sorted((job for job in jobs if job.is_plain), key=lambda job: job.conversation or "")
        return [*([plain] if plain else []), *([job] for job in jobs if not job.is_plain)]

    def _answer(self, done: list[_Done], published: list[Stored]) -> None:
        # What was read comes before the events that follow it.
        done.sort(key=lambda one: not one.job.is_read)
        reads = sum(one.job.is_read for one in done)
        self._tell(done[:reads])
        try:
            if published:
                self._publish(published)
        finally:
            # It is durable, whatever became of telling the others: the loop's own handler logs that.
            self._tell(done[reads:])
            if begun := [one.job.begun for one in done if one.job.conversation is not None and one.error is None]:
                self.commits.acknowledged.note_since(begun, time.monotonic())

    def _tell(self, done: list[_Done]) -> None:
        for one in done:
            try:
                one.job.answer(one.result, one.error)
            except Exception as error:  # noqa: BLE001 - a fault of ours in one answer must not keep the others from theirs
                asyncio.get_running_loop().call_exception_handler({"message": "answer", "exception": error})

    def _commit(self, jobs: list[_Job]) -> tuple[list[_Done], list[Stored]]:
        reads = [_Done(job, error=StoreDown(retry_after=RETRY_SECONDS)) for job in jobs if job.is_read]
        writes = [job for job in jobs if not job.is_read]
        try:
            begun = time.monotonic()
            try:
                kept = self._patiently(jobs, together=True)
            except _ReadFailed:  # what somebody else can read as well is in nobody's way
                done, published = self._commit(writes) if writes else ([], [])
                return [*reads, *done], published
            except Exception as error:  # one of them cannot be written: each is tried alone, and told
                if failures.is_everybodys(error):
                    raise  # one by one would fail as well
                self._is_hurried |= failures.is_held(error)
                done, published = self._patiently(writes, together=False)
                kept = [*reads, *done], published
            written = [one for one in kept[0] if not one.job.is_read]
            if any(one.error is None for one in written):  # of a refusal alone the disk may never have heard
                self.commits.note(len(written), time.monotonic() - begun)
            return kept
        except Exception as error:  # noqa: BLE001 - the thread must live; every caller is told, nothing was kept
            is_of_database = isinstance(error, DBAPIError)
            if writes:
                self._is_away = is_of_database and failures.is_everybodys(error)
                self.commits.fail(failures.name_of(error))
            told = failures.down(error) if is_of_database else error
            return [*reads, *(_Done(job, error=told) for job in writes)], []

    def _patiently(self, jobs: list[_Job], *, together: bool) -> tuple[list[_Done], list[Stored]]:
        """As `_attempt`, and again where that helps. A commit during which the connection was lost is not repeated:
        it may have been kept."""
        for again in range(AGAIN):
            try:
                return self._attempt(jobs, together=together)
            except DBAPIError as error:
                if not failures.is_passing(error) and (self._is_committing or not failures.is_lost(error)):
                    raise
            # Two nodes that stood in each other's way shall not meet again in step.
            time.sleep(random.uniform(0.0, 0.01 * (again + 1)))  # noqa: S311 - no secret hangs on it
        return self._attempt(jobs, together=together)

    def _attempt(self, jobs: list[_Job], *, together: bool) -> tuple[list[_Done], list[Stored]]:
        try:
            return self._in_one_commit(jobs, together=together)
        except BaseException:
            self._recent.clear()  # what was rolled back must not be remembered as said
            self._let_go()
            raise

    def _in_one_commit(self, jobs: list[_Job], *, together: bool) -> tuple[list[_Done], list[Stored]]:
        self._is_committing = False
        if self._line is None:
            self._line = self._engine.connect()  # kept: to take it from the pool for each commit costs more than BEGIN
        connection = self._line
        with connection.begin():
            self._require_fresh(connection)
            if self._is_hurried:
                postgres.hurry(connection)
            tx = Tx(connection, self._vault, self._clock(), self._recent)
            if together:
                plain = [job for job in jobs if job.conversation is not None]
                tx.prefetch(
                    {job.conversation for job in plain if job.conversation},
                    [job.key for job in plain if job.key],
                )
            done = [_plain(tx, job) if together and job.is_plain else self._alone(tx, connection, job) for job in jobs]
            tx.flush()
            self._is_committing = True
        if self._version is not None:
            tx.remember()
        return done, tx.published

    def _alone(self, tx: Tx, connection: Connection, job: _Job) -> _Done:
        tx.flush()
        error = self._under_savepoint(tx, connection, job)
        if isinstance(error, Exception) and failures.is_race(error):
            error = self._under_savepoint(tx, connection, job)  # what another node has just written is seen now
        return error if isinstance(error, _Done) else _Done(job, error=failures.told(error))

    def _under_savepoint(self, tx: Tx, connection: Connection, job: _Job) -> _Done | Exception:
        """What came of it; or its error, and nothing of it is kept."""
        published = len(tx.published)
        savepoint = connection.begin_nested()
        try:
            result = job.apply(tx)
            tx.flush()
            savepoint.commit()
            return _Done(job, result)
        except Exception as error:  # told to its own caller; the neighbours go on
            if failures.is_everybodys(error) or failures.is_passing(error):
                raise  # nobody's work can be kept
            savepoint.rollback()
            tx.forget(published)
            if failures.is_held(error):
                self._is_hurried = True  # or all the others who want it would wait as long, one after the other
                postgres.hurry(connection)
            return error

    def _require_fresh(self, connection: Connection) -> None:
        """Forgets the remembered rows when somebody else has written since the last commit. SQLite tells, and lets
        nobody write between this and our commit; elsewhere rows are read, and locked, each time."""
        if not self._is_sqlite:
            return
        version = direct.execute(connection, "PRAGMA data_version")
        if version != self._version:
            self._recent.forget_rows()
            self._version = version

    def _let_go(self) -> None:
        if self._line is not None:
            self._line.close()
            self._line = self._version = None


def _settle(future: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
    if future.done():
        return  # its caller went away; what was written stays
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(result)


def _plain(tx: Tx, job: _Job) -> _Done:
    """A refusal that noted nothing is its caller's alone; whatever else fails spoils the batch."""
    if job.is_read:
        try:
            return _Done(job, job.apply(tx))
        except Exception as error:  # whatever it is, the appends of its transaction are to be run without it
            raise _ReadFailed from error
    before = tx.size()
    try:
        return _Done(job, job.apply(tx))
    except AparteError as error:
        if tx.size() != before:
            raise
        return _Done(job, error=error)
