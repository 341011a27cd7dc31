"""Empties the outbox: takes what is due, hands it to whoever sends that kind, and tries again later if need be.

Knows rows, retries and waiting. Must not know what a letter says or what a record is.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Final

import structlog

from aparte.errors import AparteError, Unavailable, Unreadable
from aparte.store import Store, outbox
from aparte.store.outbox import Row

FIRST_RETRY: Final = 1.0  # seconds; doubled each time
LONGEST_RETRY: Final = 60.0
AT_ONCE: Final = 8  # rows under way together
IDLE_SECONDS: Final = 30.0  # a look even if nobody rang
LEASE_SECONDS: Final = 20.0  # for which a row is taken; renewed while it is under way, over when the process dies

log = structlog.get_logger("aparte.outbox")
Handler = Callable[[Row], Awaitable[None]]
Trouble = Callable[[Row, Unavailable], Awaitable[None]]


class OutboxWorker:
    """At least once: a handler may see a row again after a crash, with the same id.

    A handler returns when the row is done, raises Unavailable to be called again later, and any other AparteError
    when no later try can succeed. A fault of ours is tried again later too: a repair may come.
    """

    def __init__(
        self, store: Store, handlers: Mapping[str, Handler], *, trouble: Trouble, failed: Handler, patience: float
    ) -> None:
        """Args: trouble is told of a row's first failed try; failed of a row given up; patience in seconds."""
        self._store = store
        self._handlers = handlers
        self._trouble = trouble
        self._failed = failed
        self._patience = patience
        self._bell = asyncio.Event()
        self._busy: set[asyncio.Task[None]] = set()

    def ring(self) -> None:
        """There is something new."""
        self._bell.set()

    async def run(self) -> None:
        """Works until cancelled."""
        try:
            while True:
                self._bell.clear()
                wait = await self._round()
                # Not `wait_for`: before Python 3.12 it loses a cancellation that comes with the bell, and the server
                # would wait for its end for ever.
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(wait):
                        await self._bell.wait()
        finally:
            for task in self._busy:
                task.cancel()
            await asyncio.gather(*self._busy, return_exceptions=True)

    async def _round(self) -> float:
        now = self._store.now()
        try:
            rows = await self._store.read(lambda c: outbox.due(c, self._store.vault, now, AT_ONCE - len(self._busy)))
            following = await self._store.read(outbox.next_due)
        except AparteError as error:
            log.warning("outbox.unreadable", code=error.code)
            return FIRST_RETRY
        except Exception as error:  # a fault of ours must not end the sending for good; the log has it
            log.exception("outbox.fault", error=type(error).__name__)
            return FIRST_RETRY
        for row in rows:
            task = asyncio.create_task(self._take(row))
            self._busy.add(task)
            task.add_done_callback(self._done)
        if following is None:
            return IDLE_SECONDS
        return max(0.05, min(IDLE_SECONDS, following - now)) if following > now else 1.0

    def _done(self, task: asyncio.Task[None]) -> None:
        self._busy.discard(task)
        self.ring()

    async def _take(self, row: Row) -> None:
        try:
            until = self._store.now() + LEASE_SECONDS
            if not await self._store.write(lambda tx: outbox.hold(tx, row.id, row.next_at, until)):
                return  # another task or node has it, or has just ended it
            keeping = asyncio.create_task(self._keep(row, until))
            try:
                await self._try(row)
            finally:
                keeping.cancel()
                await asyncio.gather(keeping, return_exceptions=True)
        except AparteError as error:
            # The store itself could not be written: the row is still there and due.
            log.warning("outbox.store", code=error.code, row=row.id)
            await asyncio.sleep(FIRST_RETRY)
        except Exception as error:  # told here, where the row is known; the next look tries again
            log.exception("outbox.fault", kind=row.kind, row=row.id, error=type(error).__name__)
            await asyncio.sleep(FIRST_RETRY)

    async def _keep(self, row: Row, until: float) -> None:
        """Renews the lease while the row is under way, and lets go of it when it is left undone."""
        try:
            while True:
                await asyncio.sleep(LEASE_SECONDS / 3)
                later = self._store.now() + LEASE_SECONDS
                with contextlib.suppress(AparteError):  # a store that is down; the next turn tries again
                    if not await self._store.write(partial(outbox.hold, outbox_id=row.id, seen=until, until=later)):
                        return  # it was put off or ended
                    until = later
        finally:
            # Whatever ended or put off the row has changed when it is due, so this finds only what was left.
            with contextlib.suppress(AparteError):
                now = self._store.now()
                await self._store.write(partial(outbox.hold, outbox_id=row.id, seen=until, until=now))

    async def _try(self, row: Row) -> None:
        if not row.is_whole:
            await self._give_up(row, Unreadable())
            return
        try:
            await self._handlers[row.kind](row)
        except Unavailable as error:
            await self._later(row, error)
        except AparteError as error:
            await self._give_up(row, error)
        except Exception as error:  # a fault of ours must not spin, nor stop the other rows; the log has it
            log.exception("outbox.fault", kind=row.kind, row=row.id, error=type(error).__name__)
            await self._later(row, Unavailable())
        else:
            await self._store.write(lambda tx: outbox.end(tx, row.id, "done"))

    async def _later(self, row: Row, error: Unavailable) -> None:
        if self._store.now() - row.created_at > self._patience:
            await self._give_up(row, error)
            return
        delay = min(LONGEST_RETRY, FIRST_RETRY * 2.0**row.attempts)
        log.warning("outbox.retry", kind=row.kind, row=row.id, code=error.code, attempts=row.attempts + 1)
        at = self._store.now() + delay
        await self._store.write(lambda tx: outbox.retry(tx, row.id, row.attempts + 1, at))
        if row.attempts == 0:
            await self._trouble(row, error)

    async def _give_up(self, row: Row, error: AparteError) -> None:
        log.error("outbox.failed", kind=row.kind, row=row.id, code=error.code)
        await self._store.write(lambda tx: outbox.end(tx, row.id, "failed"))
        await self._failed(row)
