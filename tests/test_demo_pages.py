"""The demo's pages in a browser: nothing for axe to find, no sideways scroll, no trouble on the console."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import date
from pathlib import Path
from typing import Any, Literal

import pytest
from aiosmtplib import SMTP
from playwright.async_api import Browser, Page, ViewportSize, async_playwright
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route

from aparte.demo.airline import create_airline
from aparte.demo.mailbox import Mailbox, mailbox_app
from listening import chromium, serving

AXE = Path(__file__).parents[1] / "node_modules" / "axe-core" / "axe.min.js"
DESKTOP: ViewportSize = {"width": 1280, "height": 800}
PHONE: ViewportSize = {"width": 320, "height": 640}  # also what 400 % zoom makes of 1280


def axe() -> str:
    """The source of axe-core, which `python3 tests` installs; a bare pytest without it skips."""
    if not AXE.exists():
        pytest.skip("no axe-core here: `python3 tests` gets it")
    return AXE.read_text("utf-8")


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    axe()
    async with async_playwright() as playwright:
        started = await playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox", "--disable-gpu"])
        yield started
        await started.close()


async def findings(page: Page) -> list[Any]:
    """What axe finds, and what of the page cannot be seen without scrolling sideways."""
    await page.evaluate(axe())
    found: list[Any] = await page.evaluate(
        "axe.run().then((r) => r.violations.map((v) => [v.id, v.nodes.map((n) => n.html)]))"
    )
    for what in ("document.documentElement", "...document.querySelectorAll('.board')"):
        found += await page.evaluate(
            f"[{what}].filter((e) => e.scrollWidth > e.clientWidth).map((e) => ['too wide', e.className, e.scrollWidth])"
        )
    return found


def chat_host() -> Starlette:
    """In the place of the chat server: a loader that does nothing."""

    async def loader(_: object) -> Response:
        return Response("", media_type="text/javascript")

    return Starlette(routes=[Route("/widget.js", loader)])


async def put_a_letter(mailbox: Mailbox) -> None:
    """A letter with all that the page draws apart: a code, a long link, a language."""
    text = "Bonjour,\n\n    4821 7730\n\nhttp://127.0.0.1:8080/not-me/" + "x" * 43 + "\n"
    async with SMTP(hostname="127.0.0.1", port=mailbox.port, local_hostname="airline.example") as client:
        letter = f"Subject: Votre code\r\nContent-Language: fr\r\n\r\n{text}"
        await client.sendmail("no-reply@airline.example", ["m.dupont@example.org"], letter)


async def look(browser: Browser, addresses: list[str], until: str) -> list[Any]:
    """What is wrong with these pages, in both schemes, on a desktop and on a phone, once `until` is there."""
    found: list[Any] = []
    schemes: tuple[Literal["light", "dark"], ...] = ("light", "dark")
    for scheme in schemes:
        for size in (DESKTOP, PHONE):
            context = await browser.new_context(color_scheme=scheme, viewport=size)
            page = await context.new_page()
            page.on("console", lambda message: found.append(("console", message.text)))
            page.on("pageerror", lambda error: found.append(("error", str(error))))
            for address in addresses:
                await page.goto(address)
                await page.locator(until).first.wait_for()
                found.extend([(address, scheme, size["width"], one) for one in await findings(page)])
            await context.close()
    return found


@pytest.mark.slow
async def test_it_leaves_nothing_to_find_on_the_airlines_pages(browser: Browser) -> None:
    async with serving(chat_host()) as chat:
        app = create_airline(chat_url=chat, site="air", secret=bytes(32), today=date(2026, 12, 1))
        async with serving(app, host="localhost") as airline:
            assert await look(browser, [airline, f"{airline}/fr"], "footer") == []
            # What the pages' own tracker has told by now; the other hosts' pages carry none.
            assert await look(browser, [f"{airline}/tracker", f"{airline}/fr/tracker"], "#addresses li") == []


@pytest.mark.slow
async def test_it_leaves_nothing_to_find_on_the_mailbox_with_and_without_letters(browser: Browser) -> None:
    mailbox = Mailbox()
    await mailbox.start()
    async with serving(mailbox_app(mailbox)) as origin:
        assert await look(browser, [origin, f"{origin}/fr"], "#empty") == []
        await put_a_letter(mailbox)
        assert await look(browser, [origin, f"{origin}/fr"], "article") == []
    await mailbox.stop()
