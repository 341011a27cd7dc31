"""More than 300 payloads in everything that a person can write: nothing of it ever runs, or is more than text."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from html.parser import HTMLParser

import httpx2
import pytest
from playwright.async_api import Browser, BrowserContext, Frame, Page, expect

from browser import payloads, stage
from browser.people import Agent, Customer
from browser.stage import Demo, InProcess
from harness import Server, Start

# In every page and frame, before its own scripts. What a policy stops was already a fault of ours.
TRAP = """
window.hits = [];
window.ran = (what) => hits.push('ran ' + what);
addEventListener('securitypolicyviolation', (e) => hits.push(`stopped ${e.violatedDirective} ${e.sample} ${e.blockedURI}`));
for (const name of ['alert', 'confirm', 'prompt']) window[name] = (what) => hits.push(name + ' ' + what);
"""
DIRECTIONS = re.compile("[\u202a-\u202e\u2066-\u2069]")
# Elements and attributes that no text of a person may bring about.
FOREIGN = """() => [...document.querySelectorAll('*')].filter((it) =>
    /^(script|iframe|object|embed|video|audio|marquee|math|base|meta|template|noscript|frameset|table|img)$/i.test(it.localName) && it.closest('#app')
    || [...it.attributes].some(({name, value}) => /^on/i.test(name) || name === 'srcdoc' || /^\\s*(javascript|data|vbscript):/i.test(value) && it.closest('#app'))
  ).map((it) => it.outerHTML.slice(0, 200))"""
LINKS = (
    "(it) => [...it.querySelectorAll('.prose a')].map((a) => [a.getAttribute('href'), a.rel, a.target, a.textContent])"
)


@asynccontextmanager
async def trapped(browser: Browser) -> AsyncIterator[BrowserContext]:
    """A browser whose pages note what runs; at the end nothing must have."""
    async with await stage.context(browser) as context:
        await context.add_init_script(TRAP)
        yield context
        for page in context.pages:
            assert page.frames
            for frame in page.frames:
                assert await frame.evaluate("hits") == [], frame.url
                assert await frame.evaluate(FOREIGN) == [], frame.url


@asynccontextmanager
async def roomy(start: Start) -> AsyncIterator[tuple[Server, InProcess]]:
    """A server whose limits are not what is tested here."""
    async with start(
        messages_per_10s=10_000, agent_messages_per_10s=10_000, frames_per_10s=100_000, sockets_per_address=2_000
    ) as server:
        yield server, InProcess(server)


async def pokes(where: Frame | Page) -> None:
    """What a script could wait for: the mouse over it, a press on it, the focus in it, its animation."""
    await where.evaluate(
        """() => { for (const it of document.querySelectorAll('#app .prose, #app .prose *')) {
            for (const name of ['mouseover', 'mouseenter', 'pointerenter', 'focus', 'animationstart', 'toggle', 'error', 'load'])
                it.dispatchEvent(new Event(name, {bubbles: name !== 'load'}));
            if (it.localName !== 'a') it.click?.();
        } }"""
    )


async def test_it_counts_its_payloads() -> None:
    assert len(set(payloads.texts())) == len(payloads.texts()) >= 300


async def test_it_runs_nothing_of_what_is_said(browser: Browser, start: Start) -> None:
    """As the customer's messages, the agent's replies (sent or held) and notes, in widget and panel."""
    messages = payloads.packed(payloads.texts())
    async with roomy(start) as (server, place), trapped(browser) as his, trapped(browser) as hers:
        customer = await Customer.talks(his, place)
        agent = await Agent.arrives(hers, place)
        await customer.says("Good morning")
        await agent.takes("Good morning")
        for message in messages:
            await customer.writes(message)
            await expect(customer.field).to_have_value("")
        await expect(customer.log.locator("article.mine:not(.pending)")).to_have_count(len(messages) + 1)
        for message in messages:
            await agent.replies(message)
        thread = server.rows("SELECT id FROM conversation")[0][0]
        desk = await server.agent("odile")
        for message in messages:
            await desk.do("note", conversation=thread, text=message)
        # Held ones too stand in the panel, with their text.
        drawn = agent.log.locator("article")
        await expect(drawn).to_have_count(1 + 3 * len(messages))
        answered = len(messages) - await agent.held.count()  # which no longer changes: all of the above is drawn
        await expect(customer.log.locator("article.theirs")).to_have_count(answered)
        await pokes(customer.frame)
        await pokes(agent.page)
        await _links_are_safe(await customer.log.evaluate(LINKS))
        await _links_are_safe(await agent.log.evaluate(LINKS))
        for text in (await customer.log.inner_text(), await agent.log.inner_text()):
            assert "<img src=x onerror=ran(" in text, "it is shown as it was written"
            assert DIRECTIONS.search(text) is None


async def _links_are_safe(links: list[list[str]]) -> None:
    assert len(links) >= len(payloads.GOOD_LINKS)
    for href, rel, target, text in links:
        assert re.fullmatch(r"(?i)https?://[a-z0-9.:-]+([/?#].*)?", href), href
        assert rel == "noopener noreferrer nofollow"
        assert target == "_blank"
        assert text == href, "where it leads is what is read"
    shown = {href for href, *_ in links}
    assert [bad for bad in payloads.BAD_LINKS if bad in shown] == []


@pytest.mark.slow
async def test_it_runs_nothing_of_names_titles_and_addresses(browser: Browser, start: Start) -> None:
    """Each visitor with payloads for a name, a page's title and address, and a first message."""
    texts = payloads.texts()
    async with roomy(start) as (server, place), trapped(browser) as hers:
        agent = await Agent.arrives(hers, place)

        async def comes(at: int) -> None:
            visitor = await server.visitor()
            name, title = texts[at + 1 - len(texts)][:80], "".join(texts[at : at + 2])[:200]
            await visitor.open(texts[at][:500], name=name, page=f"https://x.example/{texts[at][:400]}", title=title)

        for first in range(0, len(texts), 40):
            await asyncio.gather(*(comes(at) for at in range(first, min(first + 40, len(texts)), 2)))
            await server.everybody_leaves()
        lines = agent.inbox.get_by_role("listitem")
        await expect(lines).to_have_count((len(texts) + 1) // 2)
        for at in range(0, await lines.count(), 8):
            await lines.nth(at).get_by_role("button").click()
            await expect(agent.log.locator("article")).to_have_count(1)
            await agent.page.keyboard.press("Escape")
        assert "onerror=ran(" in await agent.inbox.inner_text()
        assert DIRECTIONS.search(await agent.page.locator("body").inner_text()) is None


class Inline(HTMLParser):
    """Collects what a page holds inline: scripts that run, styles, handlers."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Called for each element."""
        given = dict(attrs)
        if tag == "style" or (tag == "script" and "src" not in given and given.get("type") != "application/json"):
            self.found.append(tag)
        self.found += [name for name in given if name == "style" or name.startswith("on")]


@pytest.mark.parametrize("path", ["/frame/air", "/chat/air", "/chat/air?lang=fr", "/panel", "/not-me"])
async def test_it_serves_no_inline_script_nor_style(demo: Demo, path: str) -> None:
    async with httpx2.AsyncClient(trust_env=False) as client:
        answer = await client.get(demo.chat + path)
        assert answer.status_code == 200
        parser = Inline()
        parser.feed(answer.text)
        assert parser.found == []
        policy = answer.headers["content-security-policy"]
        assert "unsafe" not in policy
        assert "script-src 'self'" in policy
        assert "style-src 'self'" in policy
        assert "require-trusted-types-for 'script'" in policy
