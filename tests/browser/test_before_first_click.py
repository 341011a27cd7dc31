"""Before the visitor's first click ever: nothing stored, no socket, one request. After it: one boolean on the page."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.async_api import Browser, BrowserContext, Frame, Page, Response, expect

from browser import stage
from browser.people import Customer
from browser.stage import Demo

KEPT = """async () => ({
    local: Object.entries(localStorage), session: Object.entries(sessionStorage),
    databases: (await indexedDB.databases()).map((one) => one.name),
    caches: window.caches ? await caches.keys() : [],
    workers: navigator.serviceWorker ? (await navigator.serviceWorker.getRegistrations()).length : 0,
})"""
NOTHING = {"local": [], "session": [], "databases": [], "caches": [], "workers": 0}


async def kept(where: Page | Frame) -> dict[str, Any]:
    """All that a page can keep in a browser, of this origin and in this partition."""
    found: dict[str, Any] = await where.evaluate(KEPT)
    return found


async def watched(context: BrowserContext, demo: Demo, path: str = "") -> tuple[Customer, list[str], list[str]]:
    """A visitor, with the paths that are asked of the chat server from now on, and the sockets."""
    page = await context.new_page()
    asked: list[str] = []
    sockets: list[str] = []
    page.on(
        "request",
        lambda request: asked.append(urlsplit(request.url).path) if request.url.startswith(demo.chat) else None,
    )
    page.on("websocket", lambda socket: sockets.append(socket.url))
    await page.goto(demo.page("en") + path)
    await page.wait_for_load_state("load")
    customer = Customer(page)
    await expect(customer.launcher.button).to_be_visible()
    return customer, asked, sockets


async def test_it_keeps_and_asks_nothing_before_the_first_click(browser: Browser, demo: Demo) -> None:
    async with await stage.context(browser) as context:
        customer, asked, sockets = await watched(context, demo)
        await customer.launcher.button.hover()
        await customer.launcher.button.focus()
        await customer.page.wait_for_load_state("networkidle")  # for half a second nothing is under way
        assert asked == ["/widget.js"]
        assert sockets == []
        assert customer.frame == customer.page.main_frame, "no frame yet"
        assert await kept(customer.page) == NOTHING
        assert await context.cookies() == []
        # What the chat host itself may have kept, seen from the chat host.
        await customer.page.goto(f"{demo.chat}/healthz")
        assert await kept(customer.page) == NOTHING


async def test_it_keeps_one_boolean_on_the_page_and_nothing_in_the_frame_until_something_is_said(
    browser: Browser, demo: Demo
) -> None:
    async with await stage.context(browser) as context:
        customer, _, sockets = await watched(context, demo)
        await customer.opens()
        await expect(customer.frame.get_by_text(customer.w["hello"])).to_be_visible()
        await stage.until(lambda: len(sockets) == 1, "one socket")
        assert await kept(customer.page) == {**NOTHING, "local": [["aparte", "1"]]}
        assert await kept(customer.frame) == NOTHING
        await customer.says("Good morning")
        names = [name for name, _ in (await kept(customer.frame))["local"]]
        assert names == ["aparte:air:token"], "the message itself is not kept once it is acknowledged"
        assert await kept(customer.page) == {**NOTHING, "local": [["aparte", "1"]]}
        assert await context.cookies() == []


LINKS = """() => {
    const links = { plain: "", saves: 'download=""', other: 'target="help"', blank: 'target="_blank"', prevented: "" };
    for (const [id, more] of Object.entries(links))
        document.body.insertAdjacentHTML("beforeend", `<p style="margin-top: 90vh"><a id=${id} href="#never" data-aparte ${more}>${id}</a></p>`);
    document.querySelector("#prevented").addEventListener("click", (event) => event.preventDefault());
    window.led = [];  // hears a click after the chat has; then nothing comes of it
    addEventListener("click", (event) => { led.push(!event.defaultPrevented); event.preventDefault(); });
}"""


async def test_a_marked_link_opens_the_conversation_unless_the_browser_is_asked_for_something_else(
    browser: Browser, demo: Demo
) -> None:
    async with await stage.context(browser) as context:
        customer = await Customer.arrives(context, demo)
        page = customer.page
        await expect(customer.launcher.button).to_be_visible()
        await page.evaluate(LINKS)
        await page.locator("#plain").click(modifiers=["Alt"])
        for name in ("saves", "other", "blank", "prevented"):
            await page.locator(f"#{name}").click()
        assert await page.evaluate("led") == [True, True, True, True, False]
        await customer.launcher.is_called(customer.w["open"])
        await customer.opens(by=page.locator("#plain"))
        assert (await page.evaluate("led"))[5:] == [False]
        await page.evaluate("scrollTo({ top: 0, behavior: 'instant' })")
        await customer.field.press("Escape")
        await expect(page.locator("#plain")).to_be_focused()
        assert await page.evaluate("scrollY") == 0, "the page stays where it was"


@pytest.mark.parametrize("lang", ["en", "fr"])
async def test_it_fetches_25_kilobytes_at_most_to_open(browser: Browser, demo: Demo, lang: stage.Lang) -> None:
    """As the wire has it: what a browser really asks for, from the page's script to the open conversation."""
    async with await stage.context(browser, lang=lang) as context:
        fetched: list[Response] = []
        page = await context.new_page()
        page.on("response", lambda it: fetched.append(it) if it.url.startswith(demo.chat) else None)
        await page.goto(demo.page(lang))
        customer = Customer(page, lang)
        await customer.opens()
        await expect(customer.frame.get_by_text(customer.w["hello"])).to_be_visible()
        await page.wait_for_load_state("networkidle")
        opened = {urlsplit(it.url).path: (await it.request.sizes())["responseBodySize"] for it in fetched}
        assert [path for path in opened if "cards" in path or "guard" in path] == []
        assert 15_000 < sum(opened.values()) <= 25_000, opened
        await customer.says("Good morning")
        await page.wait_for_load_state("networkidle")
        later = [urlsplit(it.url).path.rpartition("/")[2] for it in fetched[len(opened) :]]
        assert sorted(later) == [f"cards.{lang}.min.js", "cards.min.js", "guard.min.js"], "and each of these once"


async def test_it_opens_no_socket_on_the_next_page_when_nothing_was_said(browser: Browser, demo: Demo) -> None:
    async with await stage.context(browser) as context:
        customer = await Customer.talks(context, demo)
        await customer.page.close()
        again, asked, sockets = await watched(context, demo)
        await stage.until(lambda: "/frame/air" in asked, "the frame is there for the badge")
        await stage.until(lambda: again.frame != again.page.main_frame, "and has its page")
        await expect(again.frame.get_by_text(again.w["hello"])).to_be_attached()
        await again.page.wait_for_load_state("networkidle")
        assert sockets == []


async def test_it_partitions_the_frames_storage_by_the_page_that_holds_it(browser: Browser, demo: Demo) -> None:
    """That the browser of these tests does so, without which the others would prove less."""
    async with await stage.context(browser) as context:
        customer = await Customer.talks(context, demo)
        await customer.says("Good morning")
        hosted = await context.new_page()
        await hosted.goto(f"{demo.chat}/chat/air")
        assert (await kept(hosted))["local"] == []
        await expect(hosted.get_by_text(customer.w["hello"])).to_be_visible()
