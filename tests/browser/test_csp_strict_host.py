"""A host page as strict as they come: the chat's script and frame are allowed, and nothing else of anybody."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from playwright.async_api import Browser, Page, expect
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

import harness
from aparte.actions import sites
from browser import stage
from browser.people import Customer
from harness import Start
from listening import serving

PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>A strict page</title>
<link rel="icon" href="data:,"><script src="/report.js"></script></head>
<body><h1>Strict</h1><script async src="{chat}/widget.js" data-site="air"></script></body></html>"""
# The page's own file: it notes what the page's policy stops.
REPORT = "window.stopped = []; addEventListener('securitypolicyviolation', (e) => stopped.push(e.violatedDirective + ' ' + e.blockedURI));"


def company(chat: str, trusted: str) -> Starlette:
    """The company's server, with one page and its policy."""
    policy = (
        f"default-src 'none'; script-src {chat}/widget.js 'self'; frame-src {chat}; style-src 'none'; img-src data:; "
        f"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; {trusted}"
    )

    async def page(_: Request) -> Response:
        return Response(PAGE.format(chat=chat), media_type="text/html", headers={"content-security-policy": policy})

    async def report(_: Request) -> Response:
        return Response(REPORT, media_type="text/javascript")

    return Starlette(routes=[Route("/", page), Route("/report.js", report)])


@asynccontextmanager
async def strict(browser: Browser, start: Start, trusted: str = "") -> AsyncIterator[Page]:
    """The strict page in a browser, on an origin that the site lists."""
    async with (
        start() as server,
        serving(company(server.url, trusted), host="localhost") as origin,
        await stage.context(browser) as context,
    ):
        await sites.add_site(server.store, dataclasses.replace(harness.site(), origins=(origin,)))
        page = await context.new_page()
        await page.goto(origin)
        yield page


@pytest.mark.parametrize(
    "trusted",
    ["", "require-trusted-types-for 'script'; trusted-types 'none';"],
    ids=["strict", "with trusted types"],
)
async def test_it_works_on_a_page_with_a_strict_policy(browser: Browser, start: Start, trusted: str) -> None:
    async with strict(browser, start, trusted) as page:
        customer = Customer(page)
        await customer.opens()
        box = await customer.launcher.button.bounding_box()
        assert box and (box["width"], box["height"]) == (56, 56), "its style sheet is applied"
        frame = await page.locator("aparte-chat iframe").bounding_box()
        assert frame and frame["width"] == 400
        await customer.says("Does it work here?")
        await customer.field.press("Escape")
        await expect(customer.launcher.button).to_be_focused()
        assert await page.evaluate("stopped") == []


async def test_it_is_noticed_when_the_policy_stops_something(browser: Browser, start: Start) -> None:
    """So that the empty list above means something."""
    async with strict(browser, start) as page:
        await page.evaluate(
            "document.body.append(Object.assign(document.createElement('iframe'), {src: '/elsewhere'}))"
        )
        await page.wait_for_function("stopped.length > 0")
        assert (await page.evaluate("stopped"))[0].startswith("frame-src")
