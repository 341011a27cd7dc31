"""The fixtures of the browser tests; see stage.py and people.py.

All of them live in one event loop, since a browser belongs to the loop that started it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser, async_playwright, expect

from browser import stage
from browser.stage import Demo


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Every test of this folder runs in the session's loop, where the browser is."""
    here = pytest.mark.asyncio(loop_scope="session")
    for item in items:
        if "browser" in item.path.parent.name:
            item.add_marker(here, append=False)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    """One browser for all; each person gets a context of their own."""
    expect.set_options(timeout=stage.MILLISECONDS)
    async with async_playwright() as playwright:
        started = await stage.launch(playwright)
        yield started
        await started.close()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def demo(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Demo]:
    """The demo, one for each module of tests."""
    async with stage.playing(tmp_path_factory.mktemp("demo")) as playing:
        yield playing
