"""A network that lets no WebSocket through: the widget and the panel go on by requests, and nobody notices more than a moment.

Between the browser and the server stands what stands in such networks. It cuts the customer's upgrade off, and takes the
wish for it out of the agent's request; everything else it passes on as it is.

Watched to fail: a link that never turns; one that takes itself for cut off before it has turned; a policy of the page that forbids its requests; a packer that folds the line breaks
of the stream.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from playwright.async_api import Browser, expect

from browser import stage
from browser.people import Agent, Customer
from browser.stage import InProcess
from harness import Server, Start
from listening import peer

UPGRADE = re.compile(rb"^upgrade:", re.IGNORECASE | re.MULTILINE)
# Whether it was ever said that there is no connection.
WATCH = """new MutationObserver(() => { window.wasCut ||= document.body?.innerText.includes('No connection') })
    .observe(document, {subtree: true, childList: true, characterData: true})"""
WISH = re.compile(rb"^(upgrade|connection|sec-websocket-[a-z]+):.*\r\n", re.IGNORECASE | re.MULTILINE)


@dataclass
class Company:
    """The network's own proxy."""

    port: int = 0  # the server's
    upgrades: list[bytes] = field(default_factory=list)  # the first line of each request for one

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        head = await reader.readuntil(b"\r\n\r\n")
        if UPGRADE.search(head):
            self.upgrades.append(head.partition(b"\r\n")[0])
            if b" /ws/visitor " in head:
                writer.transport.abort()
                return
            head = WISH.sub(b"", head)
        there, back = await asyncio.open_connection("127.0.0.1", self.port)
        back.write(head)
        try:
            done = {asyncio.create_task(_pump(reader, back)), asyncio.create_task(_pump(there, writer))}
            await asyncio.wait(done, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.cancel()
            await asyncio.gather(*done, return_exceptions=True)
        finally:
            back.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(1 << 16):
        writer.write(data)
        await writer.drain()


@contextlib.asynccontextmanager
async def behind(start: Start) -> AsyncIterator[tuple[Company, Server]]:
    """The server behind such a proxy: its public address is the proxy's."""
    company = Company()
    async with peer(company.talk) as port, start(public_url=f"http://127.0.0.1:{port}") as server:
        company.port = server.settings.port
        yield company, server


async def test_a_customer_and_an_agent_talk_without_websockets(browser: Browser, start: Start) -> None:
    async with (
        behind(start) as (company, server),
        await stage.context(browser) as his,
        await stage.context(browser) as hers,
    ):
        place = InProcess(server)
        await his.add_init_script(WATCH)
        asked: list[str] = []
        for one in (his, hers):
            one.on("request", lambda request: asked.append(f"{request.method} {request.url}"))
        customer, agent = await Customer.talks(his, place), await Agent.arrives(hers, place)
        await customer.says("Can anybody hear me?")
        await agent.takes("Can anybody hear me?")
        await agent.replies("Loud and clear.")
        await customer.sees("Loud and clear.")
        assert not await customer.frame.evaluate("window.wasCut"), "it was never without a way"
        await customer.says("Good.")
        await expect(agent.bubble("Good.")).to_have_count(1)
        for log in (customer.log, agent.log):
            await expect(log.locator("article .prose")).to_have_text(
                ["Can anybody hear me?", "Loud and clear.", "Good."]
            )
        lines = list(server.app.state.streams._lines.values())
        assert sorted(owner.partition(" ")[0] for owner, _ in lines) == ["agent", "visitor"]
        assert len(company.upgrades) >= 6
        # No secret has been in an address, neither of the connection nor of the person.
        addresses = " ".join(asked)
        assert "/sse/visitor/frames" in addresses
        assert all(line.token not in addresses for _, line in lines)
        assert "?" not in " ".join(one for one in asked if "/sse/" in one)
        # The stream is cut, with everything on its way: each finds the way back, and what was written is there once.
        for _, line in lines:
            line.abort()
        await customer.writes("And now?")
        await expect(agent.bubble("And now?")).to_have_count(1)
        await expect(customer.bubble("And now?")).not_to_contain_text(customer.w["waiting"])
        await customer.sees("And now?")
