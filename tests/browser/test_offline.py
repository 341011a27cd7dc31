"""Each message once, whatever happens between pressing Enter and the answer; and what is not sent is seen to be so."""

from __future__ import annotations

import asyncio
import json
import re
import signal
from pathlib import Path

import pytest
from playwright.async_api import Browser, BrowserContext, Route, WebSocketRoute, expect

from browser import stage
from browser.people import REFERENCE, Agent, Customer
from browser.stage import Demo

SOCKETS = re.compile("/ws/(visitor|agent)$")


class Tap:
    """Stands between a person's screen and the server's socket: lets everything through, or swallows one direction or both."""

    def __init__(self) -> None:
        self.is_speaking = True  # what the screen says gets through
        self.is_hearing = True  # and what the server says
        self.spoken: list[str] = []

    @classmethod
    async def on(cls, context: BrowserContext) -> Tap:
        tap = cls()
        await context.route_web_socket(SOCKETS, tap._join)
        return tap

    def _join(self, line: WebSocketRoute) -> None:
        server = line.connect_to_server()

        def to_server(data: str | bytes) -> None:
            self.spoken.append(str(data))
            if self.is_speaking:
                server.send(data)

        def to_client(data: str | bytes) -> None:
            if self.is_hearing:
                line.send(data)

        line.on_message(to_server)
        server.on_message(to_client)


async def stands(customer: Customer, agent: Agent, texts: list[str]) -> None:
    """Each text once and in this order, for the customer and for the agent, and nothing waits."""
    for log in (customer.log, agent.log):
        await expect(log.locator("article .prose")).to_have_text(texts)
    await expect(customer.log.get_by_text(customer.w["waiting"])).to_have_count(0)
    await expect(customer.log.get_by_text(customer.w["late"])).to_have_count(0)


async def guard_on_its_way(his: BrowserContext) -> asyncio.Event:
    """What looks at texts before they leave does not come before this is set."""
    come = asyncio.Event()

    async def later(route: Route) -> None:
        await come.wait()
        await route.continue_()

    await his.route("**/guard*.js*", later)
    return come


async def test_a_message_goes_once_while_what_looks_at_it_is_still_on_its_way(browser: Browser, demo: Demo) -> None:
    async with await stage.context(browser) as his, await stage.context(browser) as hers:
        come = await guard_on_its_way(his)
        customer, agent = await Customer.talks(his, demo), await Agent.arrives(hers, demo)
        await customer.writes("Is this seat free?")
        await customer.field.press("Enter")
        await customer.field.press_sequentially(" By the window")
        await expect(customer.log.get_by_role("article")).to_have_count(0)
        come.set()
        await expect(customer.bubble("Is this seat free?")).to_be_visible()
        await expect(customer.field).to_have_value(" By the window")
        await customer.field.press("Enter")
        await agent.takes("By the window")
        await stands(customer, agent, ["Is this seat free?", "By the window"])


async def test_nothing_goes_of_a_text_that_was_changed_while_what_looks_at_it_is_on_its_way(
    browser: Browser, demo: Demo
) -> None:
    async with await stage.context(browser) as his, await stage.context(browser) as hers:
        come = await guard_on_its_way(his)
        customer, agent = await Customer.talks(his, demo), await Agent.arrives(hers, demo)
        await customer.writes("Seat 12A, please")
        await customer.field.press("Home")
        await customer.field.press_sequentially("A window: ")
        async with his.expect_event("response", lambda answer: "/guard" in answer.url):
            come.set()
        await expect(customer.field).to_have_value("A window: Seat 12A, please")
        await customer.field.press("Enter")
        await expect(customer.field).to_have_value("")
        await agent.takes("A window: Seat 12A, please")
        await stands(customer, agent, ["A window: Seat 12A, please"])


async def test_it_keeps_what_is_written_offline_and_sends_it_once(browser: Browser, demo: Demo) -> None:
    async with await stage.context(browser) as his, await stage.context(browser) as hers:
        customer, agent = await Customer.talks(his, demo), await Agent.arrives(hers, demo)
        await customer.says("Before the tunnel")
        await agent.takes("Before the tunnel")
        await his.set_offline(True)
        await customer.writes("In the tunnel")
        await customer.writes("Still in it")
        await expect(customer.frame.get_by_role("status").filter(has_text=customer.w["offline"])).to_be_visible()
        for text in ("In the tunnel", "Still in it"):
            await expect(customer.bubble(text)).to_contain_text(customer.w["waiting"])
        await expect(agent.bubble("tunnel")).to_have_count(1)
        await his.set_offline(False)
        await stands(customer, agent, ["Before the tunnel", "In the tunnel", "Still in it"])
        await expect(customer.frame.get_by_text(customer.w["offline"])).to_have_count(0)


async def test_it_says_after_ten_seconds_that_it_is_not_sent_and_tries_again(browser: Browser, demo: Demo) -> None:
    """The line looks whole and nothing comes through: half-open, as after a change of network."""
    async with await stage.context(browser) as his, await stage.context(browser) as hers:
        await his.clock.install()
        tap = await Tap.on(his)
        customer, agent = await Customer.talks(his, demo), await Agent.arrives(hers, demo)
        await customer.says("First")
        await agent.takes("First")
        tap.is_speaking = False
        await customer.writes("Into the void")
        await expect(customer.bubble("Into the void")).to_contain_text(customer.w["waiting"])
        await his.clock.fast_forward(9_000)
        await expect(customer.bubble("Into the void")).to_contain_text(customer.w["waiting"])
        await his.clock.fast_forward(2_000)
        await expect(customer.bubble("Into the void")).to_contain_text(customer.w["late"])
        tap.is_speaking = True
        await his.clock.fast_forward(11_000)
        await stands(customer, agent, ["First", "Into the void"])
        cids = [json.loads(frame)["cid"] for frame in tap.spoken if "Into the void" in frame]
        assert len(cids) >= 2 and len(set(cids)) == 1, "the same message again, not another"


async def test_it_sends_once_when_the_answer_is_lost_with_the_page(browser: Browser, demo: Demo) -> None:
    """The first message of all: it arrived, the page was reloaded, and no second conversation comes of it."""
    async with await stage.context(browser) as his, await stage.context(browser) as hers:
        tap = await Tap.on(his)
        customer, agent = await Customer.talks(his, demo), await Agent.arrives(hers, demo)
        tap.is_hearing = False
        await customer.writes("Arrived and reloaded")
        await expect(agent.line("Arrived and reloaded")).to_have_count(1)
        await expect(customer.bubble("Arrived and reloaded")).to_contain_text(customer.w["waiting"])
        await customer.page.reload()
        tap.is_hearing = True
        await customer.opens()
        await agent.takes("Arrived and reloaded")
        tap.is_hearing = False
        await customer.writes("And a second")
        await expect(agent.bubble("And a second")).to_have_count(1)
        await customer.page.reload()
        tap.is_hearing = True
        await customer.opens()
        await stands(customer, agent, ["Arrived and reloaded", "And a second"])
        await expect(agent.line("And a second")).to_have_count(1)
        await expect(agent.inbox.get_by_role("button", name=agent.w["queue"])).to_contain_text("0")


async def test_it_sends_what_had_not_left_when_the_page_was_reloaded(browser: Browser, demo: Demo) -> None:
    async with await stage.context(browser) as his, await stage.context(browser) as hers:
        tap = await Tap.on(his)
        customer, agent = await Customer.talks(his, demo), await Agent.arrives(hers, demo)
        tap.is_speaking = False
        await customer.writes("Never left")
        await customer.writes("Nor this")
        await expect(customer.bubble("Nor this")).to_contain_text(customer.w["waiting"])
        await customer.page.reload()
        tap.is_speaking = True
        await customer.opens()
        await agent.takes("Nor this")
        await stands(customer, agent, ["Never left", "Nor this"])


async def test_it_is_one_conversation_in_two_tabs(browser: Browser, demo: Demo) -> None:
    async with await stage.context(browser) as his, await stage.context(browser) as hers:
        one, two = await Customer.talks(his, demo), await Customer.talks(his, demo)
        agent = await Agent.arrives(hers, demo)
        await one.says("From the first tab")
        await two.sees("From the first tab")
        await agent.takes("From the first tab")
        await two.says("From the second tab")
        await agent.replies("To both")
        texts = ["From the first tab", "From the second tab", "To both"]
        await stands(one, agent, texts)
        await stands(two, agent, texts)


async def test_it_takes_up_what_a_tab_left_unsent(browser: Browser, demo: Demo) -> None:
    """The tab that wrote it is gone before it could send: another one does, when it is sure of that."""
    async with await stage.context(browser) as his, await stage.context(browser) as hers:
        customer = await Customer.talks(his, demo)
        agent = await Agent.arrives(hers, demo)
        await customer.says("Hello")
        await agent.takes("Hello")
        await his.set_offline(True)
        await customer.writes("Left behind")
        await expect(customer.bubble("Left behind")).to_contain_text(customer.w["waiting"])
        await customer.page.close()
        await his.set_offline(False)
        again = await Customer.talks(his, demo)
        await stands(again, agent, ["Hello", "Left behind"])


@pytest.mark.slow
async def test_it_loses_nothing_when_the_server_is_killed(browser: Browser, tmp_path: Path) -> None:
    """`kill -9` again and again while both sides write."""
    async with (
        stage.playing(tmp_path) as demo,
        await stage.context(browser) as his,
        await stage.context(browser) as hers,
    ):
        customer, agent = await Customer.talks(his, demo), await Agent.arrives(hers, demo)
        await customer.says("Message 0")
        await agent.takes("Message 0")
        for round_ in (1, 2):
            await customer.writes(f"Before the fall {round_}")
            await demo.end(signal.SIGKILL)
            await customer.writes(f"Nobody there {round_}")
            await expect(customer.bubble(f"Nobody there {round_}")).to_contain_text(customer.w["waiting"])
            await expect(customer.frame.get_by_text(customer.w["offline"])).to_be_visible()
            await demo.start()
            await expect(customer.log.get_by_text(customer.w["waiting"])).to_have_count(0, timeout=20_000)
        await agent.replies("All there?")
        said = [text for round_ in (1, 2) for text in (f"Before the fall {round_}", f"Nobody there {round_}")]
        await expect(agent.bubble("All there?")).to_have_count(1)
        await customer.sees("All there?")
        await stands(customer, agent, ["Message 0", *said, "All there?"])
        await customer.page.reload()
        await customer.opens()
        await stands(customer, agent, ["Message 0", *said, "All there?"])


async def test_it_shows_the_card_as_soon_as_it_can_be_fetched(browser: Browser, demo: Demo) -> None:
    """The part of the widget that draws cards is fetched when a conversation begins, and the network may go just then."""
    async with await stage.context(browser) as his:
        refused: list[str] = []

        async def refuse(route: Route) -> None:
            refused.append(route.request.url)
            await route.abort()

        await his.route("**/cards*", refuse)
        customer = await Customer.talks(his, demo)
        await customer.says(f"My booking is {REFERENCE}")
        await expect(customer.log.get_by_text(customer.w["fetching"])).to_be_visible()
        await expect(customer.card).to_have_count(0)
        assert refused
        await his.unroute("**/cards*")
        await expect(customer.card).to_be_visible()
        await expect(customer.log.get_by_text(customer.w["fetching"])).to_have_count(0)
        await customer.page.reload()
        await customer.opens()
        await expect(customer.card).to_be_visible()


async def test_it_has_the_card_when_the_network_goes_before_it_is_offered(browser: Browser, demo: Demo) -> None:
    async with await stage.context(browser) as his, await stage.context(browser) as hers:
        customer, agent = await Customer.talks(his, demo), await Agent.arrives(hers, demo)
        await customer.says("Only a question")
        await agent.takes("Only a question")
        await his.route("**/a/**", lambda route: route.abort())  # no file any more, and the socket stays
        await agent.opens_the_check()
        await agent.press("ask", agent.dialog).click()
        await expect(customer.card).to_be_visible()


BROKEN = {
    "throws at every touch": "Object.defineProperty(window, 'localStorage', { get() { throw new DOMException('no', 'SecurityError'); } });",
    "is full": "Storage.prototype.setItem = () => { throw new DOMException('full', 'QuotaExceededError'); };",
}


@pytest.mark.parametrize("script", BROKEN.values(), ids=BROKEN.keys())
async def test_it_lives_in_memory_where_storage_is_refused_and_says_so(
    browser: Browser, demo: Demo, script: str
) -> None:
    async with await stage.context(browser) as his, await stage.context(browser) as hers:
        await his.add_init_script(script)
        customer, agent = await Customer.talks(his, demo), await Agent.arrives(hers, demo)
        await customer.says("Without a memory")
        await expect(customer.log.get_by_text(customer.w["no storage"])).to_have_count(1)
        await agent.takes("Without a memory")
        await agent.replies("Welcome all the same")
        await customer.sees("Welcome all the same")
        await customer.says("Thank you")
        await stands(customer, agent, ["Without a memory", "Welcome all the same", "Thank you"])


@pytest.mark.parametrize("lang", ["en", "fr"])
async def test_it_stops_a_card_number_before_it_leaves(browser: Browser, demo: Demo, lang: stage.Lang) -> None:
    async with await stage.context(browser, lang=lang) as his:
        sent: list[str] = []
        page = await his.new_page()
        page.on("websocket", lambda line: line.on("framesent", lambda data: sent.append(str(data))))
        customer = Customer(page, lang)
        await page.goto(demo.page(lang))
        await customer.opens()
        await customer.writes("My card is 4111 1111 1111 1111, thanks")
        await expect(customer.frame.get_by_role("alert").filter(has_text=customer.w["card"])).to_be_visible()
        await expect(customer.log.get_by_role("article")).to_have_count(0)
        assert [frame for frame in sent if "1111" in frame] == []
        assert await customer.frame.evaluate("JSON.stringify(localStorage)") == "{}"
        await customer.frame.get_by_role("button", name=customer.w["take out"]).click()
        await expect(customer.field).to_be_focused()
        await customer.field.press("Enter")
        await customer.sees("My card is …, thanks")
        await stage.until(lambda: any("My card is …" in frame for frame in sent), "the message on the wire")
        # Frames leave in order: had the number left too, it would be here by now.
        assert [frame for frame in sent if "1111" in frame] == []


async def test_it_names_another_way_when_the_conversation_does_not_come_up(browser: Browser, demo: Demo) -> None:
    async with await stage.context(browser) as his:
        await his.clock.install()
        await his.route("**/frame/**", lambda route: route.abort("connectionrefused"))
        customer = await Customer.arrives(his, demo)
        await customer.launcher.press()
        said = customer.page.get_by_role("alert")
        await expect(said).to_be_hidden()
        await his.clock.fast_forward(7_000)
        await expect(said).to_contain_text("cannot be opened just now")
        await expect(said.get_by_role("link", name="+31205550199")).to_have_attribute("href", "tel:+31205550199")
        await expect(customer.page.locator("aparte-chat iframe")).to_be_hidden()
        await his.unroute("**/frame/**")
        await customer.launcher.press()
        await customer.opens()
        await expect(said).to_be_hidden()


async def test_what_is_refused_late_shows_an_agent_what_can_be_done_about_it(browser: Browser, demo: Demo) -> None:
    async with await stage.context(browser) as his, await stage.context(browser) as hers:
        await hers.clock.install()
        tap = await Tap.on(hers)
        customer, agent = await Customer.talks(his, demo), await Agent.arrives(hers, demo)
        await customer.says("QX7T4P. " + "A long story. " * 250)
        await agent.takes("QX7T4P.")
        await customer.card.get_by_role("button", name=customer.w["send code"]).click()
        owner = await his.new_page()
        await owner.goto(demo.mailbox)
        await owner.goto(str(await owner.get_by_role("article").first.get_by_role("link").get_attribute("href")))
        tap.is_speaking = False
        await agent.field.fill("Into the void")
        await agent.field.press("Enter")
        await owner.get_by_role("button").click()
        await expect(agent.page.get_by_text("Frozen after an alarm")).to_be_visible()
        tap.is_speaking = True
        await hers.clock.fast_forward(11_000)
        refused = agent.page.get_by_role("article").filter(has_text="Into the void")
        await expect(refused).to_contain_text("Not sent.")
        for name in ("Try again", "Edit", "Discard"):
            await expect(refused.get_by_role("button", name=name)).to_be_in_viewport(ratio=1)


async def test_an_agent_is_told_that_the_other_language_cannot_be_fetched_and_gets_it_later(
    browser: Browser, demo: Demo
) -> None:
    async with await stage.context(browser) as hers:
        agent = await Agent.arrives(hers, demo)
        await hers.route("**/words.fr*", lambda route: route.abort("connectionrefused"))
        await agent.page.get_by_role("button", name="Français").click()
        await expect(agent.page.get_by_role("alert")).to_contain_text("This does not work now.")
        await expect(agent.inbox.get_by_role("button", name=agent.w["queue"])).to_be_visible()
        await hers.unroute("**/words.fr*")
        await agent.speaks("fr")
        await expect(agent.inbox.get_by_role("button", name=agent.w["queue"])).to_be_visible()


async def test_a_node_of_the_version_before_is_believed_that_it_stopped(browser: Browser, demo: Demo) -> None:
    """While nodes are upgraded one by one, "this is not me" may be answered with 204: stopped, and no more said."""
    async with await stage.context(browser) as hers:

        async def older(route: Route) -> None:
            await route.fulfill(status=204)

        await hers.route("**/api/not-me", older)
        page = await hers.new_page()
        await page.goto(f"{demo.chat}/not-me?site=air#check.proof")
        await page.get_by_role("button").click()
        await expect(page.get_by_role("status")).to_contain_text("Stopped. The code is worthless now")
        await expect(page.get_by_role("button")).to_have_count(0)
