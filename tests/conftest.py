"""The fixtures that tests of the running product share; see harness.py."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

pytest.register_assert_rewrite("harness", "clients", "threads")

import harness  # noqa: E402 (what it asserts is told in full only when it is imported after the line above)
from aparte.store import Store  # noqa: E402 - as above
from harness import Server, Start  # noqa: E402 - as above


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data, key ring and root key with one site and the agents: to be copied, never opened."""
    folder = tmp_path_factory.mktemp("template")
    asyncio.run(harness.prepare(folder))
    return folder


@pytest.fixture
def start(prepared: Path, tmp_path: Path) -> Start:
    """Starts a server with settings of one's own: `async with start(code_tries=2) as server`."""
    return harness.starter(prepared, tmp_path)


@pytest.fixture
async def server(start: Start) -> AsyncIterator[Server]:
    """A server with the usual settings."""
    async with start() as running:
        yield running


@pytest.fixture
async def store(prepared: Path, tmp_path: Path) -> AsyncIterator[Store]:
    """The store alone, over the prepared data."""
    shutil.copytree(prepared, tmp_path / "alone")
    async with harness.opened(harness.settings_in(tmp_path / "alone")) as opened:
        yield opened
