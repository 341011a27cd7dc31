"""The planted tracker: it must see all that a page's script can, or its seeing nothing would prove nothing.

The chat host here is a stand-in of a few lines: a loader that draws in a closed shadow root and checks where messages
come from, and a frame that holds a secret text.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import date
from typing import Any

import httpx2
from playwright.async_api import Frame, Page, async_playwright, expect
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from aparte.demo.airline import create_airline
from aparte.demo.tracked import KEPT
from listening import chromium, serving

LOADER = """
const host = document.createElement("div");
const shadow = host.attachShadow({mode: "closed"});
shadow.innerHTML = "<p>drawn-in-the-shadow</p>";
const frame = document.createElement("iframe");
const chat = new URL(document.currentScript.src).origin;
frame.src = chat + "/frame";
frame.title = "chat";
shadow.append(frame);
document.body.append(host);
addEventListener("message", (event) => {
  if (event.source !== frame.contentWindow || event.origin !== chat) return;
  window.believed = event.data;
  frame.contentWindow.postMessage({said: "to-the-frame"}, chat);
});
"""
FRAME = b"""<!doctype html><title>secret-title</title><p>secret-in-the-frame</p><input aria-label="words">
<script>
addEventListener("message", (event) => { document.body.append("heard " + event.data.said); });
parent.postMessage({said: "from-the-frame"}, "*");
localStorage.setItem("kept", "secret-in-storage");
</script>"""


def chat_host() -> Starlette:
    async def loader(_: Request) -> Response:
        return Response(LOADER, media_type="text/javascript")

    async def frame(_: Request) -> Response:
        return Response(FRAME, media_type="text/html")

    return Starlette(routes=[Route("/widget.js", loader), Route("/frame", frame)])


@asynccontextmanager
async def opened() -> AsyncIterator[tuple[Page, str]]:
    """The airline's page in a browser, on another host name than the chat; and the airline's origin."""
    async with serving(chat_host()) as chat, async_playwright() as playwright:
        app = create_airline(chat_url=chat, site="air", secret=bytes(32), today=date(2026, 11, 26))
        async with serving(app, host="localhost") as origin:
            browser = await playwright.chromium.launch(
                executable_path=chromium(), args=["--no-sandbox", "--disable-gpu"]
            )
            page = await (await browser.new_context()).new_page()
            await page.goto(origin)
            await page.wait_for_function("window.believed !== undefined")
            try:
                yield page, origin
            finally:
                await browser.close()


def inner(page: Page) -> Frame:
    """The chat's frame, which stands in a closed shadow root."""
    return page.frames[1]


async def seen(page: Page) -> dict[str, str]:
    """All that the tracker holds, one text for each way of seeing."""
    await page.evaluate("__tracker.sweep()")
    entries: list[dict[str, Any]] = await page.evaluate("__tracker.seen")
    ways: dict[str, str] = {}
    for entry in entries:
        ways[entry["how"]] = ways.get(entry["how"], "") + entry["what"] + "\n"
    return ways


# What is done on the page, the way in which the tracker must see it, and what it must see.
DEEDS = (
    ("document.body.append('a-late-text')", "text", "a-late-text"),
    ("document.body.append('a-late-text')", "change", "a-late-text"),
    ("document.body.dataset.word = 'an-attribute'", "attribute data-word", "an-attribute"),
    ("document.title = 'a-new-title'", "title", "a-new-title"),
    ("history.pushState(null, '', '/#a-new-place')", "address", "a-new-place"),
    ("localStorage.setItem('a', 'kept-here')", "storage set", "kept-here"),
    ("sessionStorage.b = 'kept-there'", "session storage", "kept-there"),
    ("document.cookie = 'c=a-cookie'", "cookie", "a-cookie"),
    ("fetch('/?asked-for', {method: 'POST', body: 'sent-along'}).catch(() => 0)", "fetch", "sent-along"),
    ("new XMLHttpRequest().open('GET', '/?by-xhr')", "xhr open", "by-xhr"),
    ("try { new WebSocket(`ws://${location.host}/?by-socket`) } catch {}", "new WebSocket", "by-socket"),
    ("window.postMessage('to-myself', '*')", "window message", "to-myself"),
    ("window.postMessage('to-myself', '*')", "message", "to-myself"),
    ("{ const c = new MessageChannel(); c.port1.postMessage('by-port'); }", "port message", "by-port"),
    ("new BroadcastChannel('x').postMessage('to-all')", "broadcast", "to-all"),
    ("JSON.stringify({word: 'as-json'})", "json stringify", "as-json"),
    ("new TextEncoder().encode('as-bytes')", "text encode", "as-bytes"),
    ("new Image().src = '/static/logo.svg?a-picture'", "timing resource", "a-picture"),
    ("window.a_global_name = 1", "global", "a_global_name"),
)


async def test_it_sees_what_happens_on_the_page() -> None:
    async with opened() as (page, _):
        for script, _, _ in DEEDS:
            await page.evaluate(script)
        await page.wait_for_timeout(300)
        ways = await seen(page)
    assert [(how, what) for _, how, what in DEEDS if what not in ways.get(how, "")] == []


async def test_it_sees_keys_and_values_and_closed_shadows() -> None:
    async with opened() as (page, _):
        await page.evaluate("document.body.prepend(document.createElement('input'))")
        await page.locator("body > input").press_sequentially("typed-here")
        ways = await seen(page)
        assert all(f'"key":"{letter}"' in ways["keydown"] for letter in "typedhr")
        assert "typed-here" in ways["input"]
        assert "typed-here" in ways["value"]
        assert "drawn-in-the-shadow" in ways["text"]


async def test_it_sees_the_messages_of_loader_and_frame_without_breaking_them() -> None:
    async with opened() as (page, _):
        await inner(page).get_by_text("heard to-the-frame").wait_for()
        ways = await seen(page)
        assert "to-the-frame" in ways["message to a frame"]
        assert "from-the-frame" in ways["message"]
        assert await page.evaluate("window.believed") == {"said": "from-the-frame"}


async def test_it_cannot_see_into_the_frame() -> None:
    async with opened() as (page, _):
        frame = inner(page)
        await frame.get_by_text("secret-in-the-frame").wait_for()
        await frame.get_by_label("words").press_sequentially("secret-words")
        ways = await seen(page)
        assert "secret" not in "".join(ways.values())
        assert ways["frame text refused"] == "SecurityError\n"  # it did try


async def test_it_sends_what_it_saw_to_the_airline() -> None:
    async with opened() as (page, origin):
        await page.evaluate("document.body.append('a-text-that-was-beaconed')")
        await page.evaluate("__tracker.sweep()")
        async with httpx2.AsyncClient(trust_env=False) as client:
            for _ in range(40):
                told = (await client.get(f"{origin}/tracker/seen")).text
                if "a-text-that-was-beaconed" in told:
                    break
                await page.wait_for_timeout(100)
        assert "a-text-that-was-beaconed" in told
        assert "A calmer way to fly." in told


# ── the page that tells of it ───────────────────────────────────────────────────────────────────────────────────


async def reported(page: Page, origin: str) -> Page:
    """The page about the tracker, once it has told what stands on the airline's page."""
    await page.evaluate("__tracker.sweep()")
    told = await page.context.new_page()
    await told.goto(f"{origin}/tracker")
    await expect(told.locator("#addresses")).to_contain_text(origin)
    return told


async def test_a_visitor_reads_what_it_saw_and_that_it_did_not_get_in() -> None:
    async with opened() as (page, origin):
        await inner(page).get_by_label("words").press_sequentially("secret-words")
        await page.get_by_role("link", name="Ask us something").click()
        await page.evaluate("document.body.prepend(document.createElement('input'))")
        await page.locator("body > input").press_sequentially("xyz")
        told = await reported(page, origin)
        assert "/widget.js" in await told.locator("#addresses").inner_text()
        await expect(told.locator("#clicks")).to_contain_text("Ask us something")
        await expect(told.locator("#keys")).to_contain_text("x y z")
        await expect(told.locator("#messages")).to_contain_text('→  {"said":"to-the-frame"}')
        await expect(told.locator("#messages")).to_contain_text('←  {"said":"from-the-frame"}')
        await expect(told.get_by_role("heading", name="Of the conversation, not one character")).to_be_visible()
        await expect(told.locator("#refused")).to_contain_text("its text")
        search = told.get_by_label("A word of your conversation")
        for word, found in (("secret", "Not in any of the "), ("calmer way", "In ")):
            await search.fill(word)
            await expect(told.get_by_role("status")).to_contain_text(found)
        await expect(told.locator("#finds")).to_contain_text("A calmer way to fly.")
        await told.get_by_text("All notes, as they were recorded").click()
        assert await told.locator("#raw dt").count() > 100


# Each way into the frame, and what it gives of one that has not loaded yet.
INTO = {
    "document": "<html><head></head><body></body></html>",
    "text": None,
    "address": "about:blank",
    "name": None,
    "title": None,
    "storage": "{}",
}


async def test_a_frame_that_has_not_loaded_yet_is_no_conversation() -> None:
    async with opened() as (page, origin):
        await page.evaluate("localStorage.setItem('kept', 'by-the-page')")
        await page.evaluate("document.body.append(document.createElement('iframe'))")
        told = await reported(page, origin)
        ways = await seen(page)
        given = {way: ways.get(f"frame {way}", "").removesuffix("\n") or None for way in INTO}
        assert given == INTO
        await expect(told.get_by_role("heading", name="not one character")).to_be_visible()


async def test_its_page_says_so_when_it_got_in_and_goes_on_past_what_is_kept() -> None:
    async with opened() as (page, origin), httpx2.AsyncClient(trust_env=False) as client:
        told = await reported(page, origin)
        await page.close()
        asked: list[str] = []
        told.on("request", lambda request: asked.append(request.url.partition("?after=")[2]))
        leaks = [{"how": f"frame {way}", "what": f"secret-by-{way}"} for way in INTO]
        await client.post(f"{origin}/tracker", json=[{"how": "text", "what": "x"}] * KEPT)
        await client.post(f"{origin}/tracker", json=leaks)
        await expect(told.get_by_role("heading", name="It got into the conversation")).to_be_visible()
        assert await told.locator("#leaked li").all_inner_texts() == [f"frame {way}: secret-by-{way}" for way in INTO]
        await expect(told.get_by_role("heading", name="not one character")).to_be_hidden()
        await expect(told.locator("#count")).to_have_text("20,000 notes")
        await expect(told.locator("#dropped")).to_contain_text("oldest were dropped")
        await client.post(f"{origin}/tracker", json=[{"how": "click", "what": '{"at":"<b>the-newest</b>"}'}])
        await expect(told.locator("#clicks")).to_contain_text("the-newest")
        assert len(set(asked)) > 1
        assert all(int(after) > 0 for after in asked)  # the news alone
