"""What a server logs during a test, and that there was no fault of ours in it."""

from __future__ import annotations

import contextlib
import logging.handlers
from collections.abc import Iterator
from typing import Any, Final

import structlog.testing

EXPECTED: Final = {"event": "a fault was planted"}
FAULTS: Final = frozenset({"hub.fault", "jobs.fault", "ws.fault", "outbox.fault", "app.task_died"})


@contextlib.contextmanager
def no_faults() -> Iterator[list[Any]]:
    """Gives what is logged inside the block; fails when there was a fault that the product had to catch."""
    caught = logging.handlers.BufferingHandler(10_000)
    caught.setLevel(logging.ERROR)
    loggers = [logging.getLogger(name) for name in ("uvicorn.error", "asyncio")]
    for logger in loggers:
        logger.addHandler(caught)
    try:
        with structlog.testing.capture_logs() as logged:
            yield logged
    finally:
        for logger in loggers:
            logger.removeHandler(caught)
    if EXPECTED in logged:
        return
    assert [entry for entry in logged if entry["event"] in FAULTS] == []
    # The log itself leaves out that a text was not UTF-8: that is the sender's fault, and the socket was closed.
    told = [record.getMessage() for record in caught.buffer if not record.getMessage().startswith("Invalid UTF-8")]
    assert told == []
