"""The fixtures that tests of the running product share; see harness.py."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

pytest.register_assert_rewrite("harness", "clients", "threads")

import databases  # noqa: E402 - as below
import harness  # noqa: E402 (what it asserts is told in full only when it is imported after the line above)
from aparte.store import Store  # noqa: E402 - as above
from harness import Server, Start  # noqa: E402 - as above
from streams import Way  # noqa: E402 - as above

HERE = Path(__file__).parent


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test that is marked `both_stores` runs over SQLite and over PostgreSQL; one that is marked `both_ways` over
    sockets and, once more, over server-sent events and POST."""
    marked = metafunc.definition.get_closest_marker
    if marked("both_ways"):
        found = [("sqlite", "socket"), ("sqlite", "http")]
        if marked("both_stores") and not marked("sqlite_alone"):
            found.append(("postgresql", "socket"))
        metafunc.parametrize(("dialect", "way"), found, ids=["-".join(one) for one in found], indirect=True)
    elif "dialect" in metafunc.fixturenames and not marked("sqlite_alone"):
        if marked("both_stores"):
            metafunc.parametrize("dialect", ["sqlite", "postgresql"], indirect=True)
        elif marked("postgresql_alone"):
            metafunc.parametrize("dialect", ["postgresql"], indirect=True)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Workers are given a file at a time, in this order: a long one that begins last would keep one of them busy while
    the others have nothing left to do. First those with slow tests, then those that start programs and browsers."""
    if not hasattr(config, "workerinput"):
        return  # one process does one after the other, as they are written
    slow = Counter(item.path for item in items if item.get_closest_marker("slow"))
    every = Counter(item.path for item in items)
    items.sort(key=lambda item: (-slow[item.path], item.path.parent == HERE, -every[item.path], str(item.path)))


@pytest.fixture
def dialect(request: pytest.FixtureRequest) -> Iterator[str]:
    """The store that this test is about."""
    asked = str(getattr(request, "param", "sqlite"))
    if asked == "postgresql" and databases.programs() is None:
        if databases.NAMED in os.environ:
            pytest.fail(f"{databases.NAMED} names no PostgreSQL")
        pytest.skip("there is no PostgreSQL here; `python3 tests` gets one")
    yield asked
    databases.drop_all()


@pytest.fixture(scope="session")
def prepared_on_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("template")
    asyncio.run(harness.prepare(folder))
    return folder


@pytest.fixture(scope="session")
def prepared_on_postgresql(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = databases.begin(tmp_path_factory.mktemp("template"))
    asyncio.run(harness.prepare(folder))
    databases.keep()
    return folder


@pytest.fixture
def prepared(dialect: str, request: pytest.FixtureRequest) -> Path:
    """Data, key ring and root key with one site and the agents: for `harness.copied`, never opened."""
    folder: Path = request.getfixturevalue(f"prepared_on_{dialect}")
    return folder


@pytest.fixture
def way(request: pytest.FixtureRequest) -> Way:
    """How people speak to the server."""
    return getattr(request, "param", "socket")


@pytest.fixture
def start(prepared: Path, tmp_path: Path, way: Way) -> Start:
    """Starts a server with settings of one's own: `async with start(code_tries=2) as server`."""
    return harness.starter(prepared, tmp_path, way)


@pytest.fixture
async def server(start: Start) -> AsyncIterator[Server]:
    """A server with the usual settings."""
    async with start() as running:
        yield running


@pytest.fixture
async def store(prepared: Path, tmp_path: Path) -> AsyncIterator[Store]:
    """The store alone, over the prepared data."""
    async with harness.opened(harness.settings_in(databases.copied(prepared, tmp_path / "alone"))) as opened:
        yield opened
