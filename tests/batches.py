"""Writes that the writer finds waiting together."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import threading
from collections.abc import AsyncIterator
from typing import Any

from sqlalchemy import event

from aparte.store import Store


@contextlib.asynccontextmanager
async def one_batch(store: Store) -> AsyncIterator[list[str]]:
    """What is written inside the block waits, and is committed together at its end; gives the statements run."""
    go, said = threading.Event(), list[str]()
    driver: Any = await store.write(lambda tx: tx.connection.connection.driver_connection)
    is_sqlite = isinstance(driver, sqlite3.Connection)

    blocking = asyncio.create_task(store.write(lambda _tx: go.wait(10)))
    await asyncio.sleep(0.05)
    if is_sqlite:
        driver.set_trace_callback(said.append)
    else:
        event.listen(store._writing, "commit", lambda _connection: said.append("COMMIT"))
    try:
        yield said
    finally:
        asyncio.get_running_loop().call_later(0.05, go.set)
    await blocking


async def together(store: Store, *writes: Any) -> tuple[list[Any], list[str]]:
    """The results, or errors, of writes that were committed in one batch; and the statements of that commit."""
    async with one_batch(store) as said:
        tasks = [asyncio.create_task(write) for write in writes]
        await asyncio.sleep(0.02)
    results = await asyncio.gather(*tasks, return_exceptions=True)
    return results, said[said.index("COMMIT") + 1 :]
