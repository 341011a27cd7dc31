"""WebSocket conformance (RFC 6455) of the server's own protocol class: the suite of Autobahn's cases, by kosoku.

The cases want an echo, so a bare echo stands behind what `aparte.app.server_for` configures. `wire.py` holds the cases
that need no echo against the real server.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import logging
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from typing import Any, Final

from starlette.types import Receive, Scope, Send

from aparte import app as server_app
from aparte.config import Settings
from aparte.demo.sockets import loopback_socket, port_of
from faults import wire
from faults.lab import Bench, Scenario
from faults.ledger import Verdict
from faults.target import alone
from harness import settings_in

LEFT_OUT: Final = {
    "7.1.5": "the library answers a close in the middle of a message with 1002, where the case wants 1000",
    "12.*": "no compression is offered: it would tell the length of what it shares a connection with",
    "13.*": "as above",
}
LONGEST: Final = 64 << 20  # bytes of a message: the suite's largest; the product's own limit is tried in `wire`
QUICK: Final = ("1.*", "2.*", "3.*", "4.*", "5.*", "6.1.*", "6.2.*", "6.3.*", "7.*", "10.*")


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Says everything back."""
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        kind = "text" if message.get("text") is not None else "bytes"
        await send({"type": "websocket.send", kind: message[kind]})


@contextlib.asynccontextmanager
async def echoing(settings: Settings) -> AsyncIterator[str]:
    """An echo under the product's own configuration; gives its address."""
    server = server_app.server_for(echo, settings)  # type: ignore[arg-type]  # any ASGI application will do
    server.config.lifespan = "off"
    server.config.ws_max_size = LONGEST
    with contextlib.closing(loopback_socket()) as bound:
        task = asyncio.create_task(server.serve([bound]))
        while not server.started:  # noqa: ASYNC110 - the library has no event for it
            await asyncio.sleep(0.01)
        try:
            yield f"ws://127.0.0.1:{port_of(bound)}"
        finally:
            server.should_exit = True
            await task


@contextlib.asynccontextmanager
async def _silence() -> AsyncIterator[None]:
    """Each text that is not UTF-8 is logged with its traceback by the library; here they are the point."""
    logger = logging.getLogger("uvicorn.error")
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(before)


def has_suite() -> bool:
    """There are wheels of kosoku for the usual machines alone."""
    return importlib.util.find_spec("kosoku") is not None


async def suite(settings: Settings, verdict: Verdict, cases: Sequence[str] | None = None) -> None:
    """Runs the cases and counts them by outcome."""
    import kosoku

    results: list[Any]
    async with _silence(), echoing(settings) as address:
        try:
            results = await kosoku.run_fuzzingclient(
                address, list(cases) if cases else None, exclude_cases=list(LEFT_OUT), concurrency=2
            )
        except kosoku.FailureError as error:
            results = list(error.results)
    for one in results:
        if not one.passed:
            said = f"{one.behavior.value}, close {one.behavior_close.value} {one.remote_close_code}"
            verdict.fail(f"case {one.case_id}: {said}: {' '.join(one.description.split())}")
    counts = Counter(one.behavior.value for one in results)
    told = ", ".join(f"{count} {name.lower()}" for name, count in sorted(counts.items()))
    verdict.told.append(f"{len(results)} cases of the suite: {told}")


async def run(bench: Bench, *, cases: Sequence[str] | None = None) -> Verdict:
    verdict = Verdict()
    async with alone(bench.template, bench.folder / "server") as target:
        wrong = await wire.try_all(target.server)
        for sentence in wrong:
            verdict.fail(sentence)
        verdict.told.append(f"{len(wire.CASES)} cases at the real server")
    if has_suite():
        await suite(settings_in(bench.folder / "echo"), verdict, cases)
    else:
        verdict.told.append("no kosoku on this machine: the suite was not run")
    return verdict


SCENARIO: Final = Scenario("conformance", "RFC 6455: every case of the Autobahn suite, and our own", run)
