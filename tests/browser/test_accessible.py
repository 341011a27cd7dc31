"""Nothing for axe to find on any screen, in both languages and colour schemes; keyboard, focus, live regions, zoom."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, expect

from browser import stage
from browser.looking import Findings, tab_stops
from browser.people import REFERENCE, Agent, Customer, code_from
from browser.stage import Demo, Device, Lang
from browser.words import SAID

ZOOMED = {"width": 320, "height": 256}  # what 400 % makes of 1280 × 1024


@pytest.mark.parametrize(("lang", "device"), [("en", "desktop"), ("fr", "phone")], ids=["english", "french"])
@pytest.mark.slow
async def test_it_leaves_axe_nothing_to_find_on_any_screen(
    browser: Browser, tmp_path: Path, lang: Lang, device: Device
) -> None:
    """One long visit, stopping at every screen on the way."""
    seen = Findings(f"{lang}-{device}")
    said = SAID[lang]
    async with (
        stage.playing(tmp_path) as demo,
        await stage.context(browser, device, lang) as his,
        await stage.context(browser, "desktop", lang) as hers,
    ):
        agent = await _agent_arrives(seen, await hers.new_page(), demo, lang)
        customer = await Customer.arrives(his, demo, lang)
        await seen.look("airline", customer.page)
        await customer.opens(by=customer.page.get_by_role("link", name=customer.w["ask us"]))
        await expect(customer.frame.get_by_text(customer.w["hello"])).to_be_visible()
        await seen.look("widget empty", customer.frame)
        await seen.look("airline with the widget", customer.page)
        await _asks(seen, customer, agent, said)
        mailbox = await his.new_page()
        await mailbox.goto(demo.mailbox + ("/fr" if lang == "fr" else "/"))
        await seen.look("mailbox empty", mailbox)
        await _is_checked(seen, customer, agent, mailbox, said)
        await _changes(seen, customer, agent)
        await _ends(seen, customer, agent)
        await _is_stopped(seen, customer, agent, mailbox)
    assert seen.looks >= 36
    assert seen.found == []


async def _agent_arrives(seen: Findings, page: Page, demo: Demo, lang: Lang) -> Agent:
    agent = Agent(page, demo, lang)
    told: list[str] = []
    page.on("console", lambda message: told.append(message.text))
    await page.goto(demo.panel)
    await expect(page.get_by_label(agent.w["email"])).to_be_focused()
    assert told == [], "that nobody is signed in yet is no error"
    await seen.look("panel log-in", page)
    await page.get_by_label(agent.w["email"]).fill("nobody@air.example")
    await page.get_by_label(agent.w["password"]).fill("wrong")
    await page.get_by_role("button", name=agent.w["sign in"]).click()
    await expect(page.get_by_role("alert")).not_to_be_empty()
    await expect(page.get_by_label(agent.w["password"])).to_be_focused()
    await seen.look("panel log-in refused", page)
    await agent.signs_in("supervisor")
    await expect(page.get_by_text(agent.w["empty"])).to_be_visible()
    await seen.look("panel empty", page)
    await page.keyboard.press("?")
    await expect(agent.dialog).to_be_visible()
    await seen.look("panel help", page)
    await page.keyboard.press("Escape")
    await expect(agent.dialog).to_have_count(0)
    return agent


async def _asks(seen: Findings, customer: Customer, agent: Agent, said: dict[str, str]) -> None:
    await customer.says(said["ask"], name="M. Dupont")
    await expect(customer.card).to_be_visible()
    await seen.look("widget check offered", customer.frame)
    await customer.card.locator("summary").click()
    await expect(customer.card.get_by_role("link")).to_be_in_viewport(ratio=1)
    await customer.card.locator("summary").click()
    await expect(agent.line(said["ask"][:20])).to_be_visible()
    await seen.look("panel queue", agent.page)
    await agent.line(said["ask"][:20]).get_by_role("button").click()
    await expect(agent.press("claim")).to_be_visible()
    await seen.look("panel thread unclaimed", agent.page)
    await agent.press("claim").click()
    await agent.replies(said["hello"])
    await agent.notes(said["note"])
    await agent.replies(said["supplement"])
    await expect(agent.held).to_be_visible()
    await customer.sees(said["hello"])
    await customer.field.press_sequentially("…")
    await expect(agent.page.get_by_text(agent.w["typing"])).to_be_visible()
    await seen.look("panel held", agent.page)
    for key, screen in (("a", "check"), ("t", "transfer"), ("e", "close")):
        await agent.page.keyboard.press("Escape")
        await agent.page.keyboard.press(key)
        await expect(agent.dialog).to_be_visible()
        await seen.look(f"panel dialog {screen}", agent.page)
        await agent.page.keyboard.press("Escape")
        await expect(agent.dialog).to_have_count(0)
    await agent.held.get_by_role("button").last.click()
    await expect(agent.dialog).to_be_visible()
    await seen.look("panel dialog override", agent.page)
    await agent.page.keyboard.press("Escape")

    await customer.writes("4111 1111 1111 1111")
    await expect(customer.frame.get_by_role("button", name=customer.w["take out"])).to_be_visible()
    await seen.look("widget card number stopped", customer.frame)
    await customer.field.fill("")
    await customer.frame.get_by_role("button", name=customer.w["private"]).click()
    await expect(customer.frame.get_by_role("dialog", name=customer.w["between us"])).to_be_visible()
    # The demo speaks plain HTTP on this machine: what is not so is not said.
    await expect(customer.frame.get_by_role("dialog")).not_to_contain_text(customer.w["on the way"])
    await seen.look("widget privacy", customer.frame)
    await customer.frame.get_by_role("dialog").get_by_role("button", name=customer.w["end"]).click()
    await expect(customer.frame.get_by_role("group", name=customer.w["end"])).to_be_visible()
    await seen.look("widget privacy end", customer.frame)
    await customer.page.keyboard.press("Escape")
    # It is found without the card about privacy, too.
    await customer.frame.get_by_role("banner").get_by_role("button", name=customer.w["end"]).click()
    await expect(customer.frame.get_by_role("group", name=customer.w["end"])).to_be_visible()
    await customer.page.keyboard.press("Escape")
    await customer.page.context.set_offline(True)
    await customer.writes("…?")
    await expect(customer.frame.get_by_text(customer.w["offline"])).to_be_visible()
    await seen.look("widget offline", customer.frame)
    await customer.page.context.set_offline(False)
    await expect(customer.frame.get_by_text(customer.w["offline"])).to_have_count(0)


async def _is_checked(seen: Findings, customer: Customer, agent: Agent, mailbox: Page, said: dict[str, str]) -> None:
    await customer.page.bring_to_front()
    await customer.card.get_by_role("button", name=customer.w["send code"]).click()
    field = customer.card.get_by_label(customer.w["code"])
    await expect(field).to_be_focused()
    await seen.look("widget check code", customer.frame)
    await seen.look("panel check under way", agent.page)
    code = await code_from(mailbox)
    await customer.types_code(f"{(int(code) + 1) % 10**8:08d}")
    await expect(customer.card.get_by_role("alert").first).to_contain_text(customer.w["wrong"])
    await seen.look("widget check wrong", customer.frame)
    await seen.look("mailbox letter", mailbox)
    await customer.types_code(code)
    await customer.is_verified()
    await customer.sees(said["supplement"])
    await seen.look("widget verified", customer.frame)
    await expect(agent.person).to_contain_text(agent.w["proven"])
    await seen.look("panel proven", agent.page)


async def _changes(seen: Findings, customer: Customer, agent: Agent) -> None:
    await agent.shows_the_booking()
    await expect(agent.person).to_contain_text("AP 641")
    await seen.look("panel record", agent.page)
    await agent.person.get_by_role("listitem").first.get_by_role("button").click()
    await expect(agent.press("cancel", agent.dialog)).to_be_focused()  # Enter pressed twice changes nothing
    await seen.look("panel dialog change", agent.page)
    await agent.press("change it", agent.dialog).click()
    await expect(customer.frame.get_by_text(customer.w["changed"])).to_be_visible()
    await seen.look("widget changed", customer.frame)
    await expect(agent.person).to_contain_text(agent.w["no more"])
    await seen.look("panel changed", agent.page)


async def _ends(seen: Findings, customer: Customer, agent: Agent) -> None:
    """What is held is dropped: it says so before, and nothing is held afterwards."""
    await agent.replies("LM2K9R: 58 €")
    head = agent.page.locator("#conversation .head")
    await expect(head).to_contain_text(agent.w["one held"])
    await agent.press("close").click()
    await expect(agent.dialog).to_contain_text(agent.w["held is dropped"])
    await seen.look("panel dialog close with held", agent.page)
    await agent.press("close it", agent.dialog).click()
    await expect(head).not_to_contain_text(agent.w["one held"])
    await expect(agent.page.locator("#conversation")).to_be_focused()
    await expect(customer.frame.get_by_text(customer.w["ended"])).to_be_visible()
    await seen.look("widget ended", customer.frame)
    await seen.look("panel closed", agent.page)


async def _mistypes(seen: Findings, customer: Customer) -> None:
    """A number that nobody has is no dead end; one of another form is refused at once."""
    number, send = customer.card.get_by_label(customer.w["reference"]), customer.w["send code"]
    await number.fill("zz9zz9")
    await customer.card.get_by_role("button", name=send).click()
    code = customer.card.get_by_label(customer.w["code"])
    await expect(code).to_be_focused()
    await expect(customer.card).to_contain_text("ZZ9ZZ9")
    await seen.look("widget check of a mistyped number", customer.frame)
    await customer.card.get_by_role("button", name=customer.w["other booking"]).click()
    await expect(number).to_be_focused()
    await number.fill("ABC")
    await customer.card.get_by_role("button", name=send).click()
    await expect(customer.card.get_by_role("alert")).to_contain_text(customer.w["no number"])
    await expect(number).to_be_focused()
    await expect(number).to_have_attribute("aria-invalid", "true")
    await seen.look("widget check number refused", customer.frame)
    await customer.card.get_by_role("button", name=customer.w["back to code"]).click()
    await expect(code).to_be_focused()
    await expect(customer.card).not_to_contain_text(customer.w["no number"])
    await customer.card.get_by_role("button", name=customer.w["other booking"]).click()


async def _is_stopped(seen: Findings, customer: Customer, agent: Agent, mailbox: Page) -> None:
    """The owner of the address says that it was not he."""
    await customer.says("…!")
    await agent.takes("…!")
    await agent.opens_the_check()
    number = agent.dialog.get_by_label(agent.w["booking number"])
    await number.fill("QX7")
    await agent.press("ask", agent.dialog).click()
    await expect(agent.dialog.get_by_role("alert")).to_contain_text(agent.w["form of a number"])
    await expect(number).to_be_focused()
    await seen.look("panel wrong number", agent.page)
    await number.fill("")
    await agent.press("ask", agent.dialog).click()
    await customer.page.bring_to_front()
    await _mistypes(seen, customer)
    await customer.card.get_by_label(customer.w["reference"]).fill(REFERENCE.lower())
    await seen.look("widget check reference", customer.frame)
    # Every letter with a code has such a link, with a secret of its own; the newest letter is the first.
    letter = mailbox.get_by_role("article").first.get_by_role("link")
    before = await letter.get_attribute("href")
    assert before
    await customer.card.get_by_role("button", name=customer.w["send code"]).click()
    await expect(letter).not_to_have_attribute("href", before)
    link = await letter.get_attribute("href")
    assert link and "/not-me" in link
    page = await mailbox.context.new_page()
    await page.goto(link)
    await expect(page.get_by_role("button")).to_be_visible()
    # The telephone number stays in one piece, and stands clear of what is pressed.
    assert len(await page.get_by_role("link").evaluate("(it) => [...it.getClientRects()]")) == 1
    press, call = await page.get_by_role("button").bounding_box(), await page.get_by_role("link").bounding_box()
    assert press and call and call["y"] - press["y"] - press["height"] >= 16
    await seen.look("not me", page)
    await page.get_by_role("button").click()
    await expect(page.get_by_role("button")).to_have_count(0)
    await expect(page.get_by_role("main")).not_to_contain_text(re.compile("stop it here|arrêtez-la ici"))
    await seen.look("not me done", page)
    # It says who asks, and after a reload that it is done.
    await expect(page).to_have_title(re.compile("· Air Aparté$"))
    await expect(page.get_by_role("link")).to_have_attribute("href", re.compile(r"^tel:\+[0-9]+$"))
    # The booking was shown and changed by a code before: it says so, and after a reload too.
    late = re.compile("had already been used|avait déjà servi")
    await expect(page.get_by_role("status")).to_contain_text(late)
    await page.reload()
    await expect(page.get_by_role("status")).to_contain_text(late)
    await expect(page.get_by_role("button")).to_have_count(0)
    await expect(customer.frame.get_by_text(customer.w["on hold"])).to_be_visible()
    await seen.look("widget on hold", customer.frame)
    await seen.look("panel alarm", agent.page)


ANOTHER = """async (name) => {
  const line = (window.lines ??= [])[window.lines.length] = new WebSocket(location.origin.replace('http', 'ws') + '/ws/visitor');
  const say = (frame) => line.send(JSON.stringify(frame));
  await new Promise((go) => (line.onopen = go));
  const random = crypto.getRandomValues(new Uint8Array(32));
  const token = btoa(String.fromCharCode(...random)).replaceAll('+', '-').replaceAll('/', '_').slice(0, 43);
  say({ t: 'hello', v: 1, site: 'air', token });
  say({ t: 'open', cid: crypto.randomUUID(), text: 'Good morning', name });
}"""  # somebody else writes, without a screen


async def test_it_needs_no_sideways_scroll_when_zoomed_to_400_percent(browser: Browser, demo: Demo) -> None:
    """The hosted page and each place of the panel at 320 × 256: everything is there, one below the other."""
    seen = Findings("zoomed")
    zoomed = {"viewport": ZOOMED}
    async with await stage.context(browser, **zoomed) as his, await stage.context(browser, **zoomed) as hers:
        customer = Customer(await his.new_page())
        await customer.page.goto(f"{demo.chat}/chat/air")
        await expect(customer.field).to_be_visible()
        await seen.look("hosted empty", customer.page)
        text = "My booking is QX7T4P. " + "Donaudampfschifffahrtsgesellschaft" * 3
        await customer.says(text, name="Jean-Baptiste de la Tour-Maubourg et famille")
        await customer.card.scroll_into_view_if_needed()
        await seen.look("hosted with a card", customer.page)
        agent = Agent(await hers.new_page(), demo)
        await agent.page.goto(demo.panel)
        await expect(agent.page.get_by_label(agent.w["email"])).to_be_focused()
        await seen.look("log-in", agent.page)
        await agent.signs_in()
        await agent.line("QX7T4P").get_by_role("button").click()
        await expect(agent.press("claim")).to_be_visible()
        await seen.look("thread", agent.page)
        await agent.press("claim").click()
        await agent.replies("How much? 58 euro supplement; shall we charge your card?")
        await expect(agent.held).to_be_visible()
        await seen.look("thread held", agent.page)
        await agent.press("ask for a check", agent.held).click()
        await expect(agent.dialog).to_be_visible()
        await seen.look("dialog", agent.page)
        await agent.page.keyboard.press("Escape")
        await expect(agent.dialog).to_have_count(0)
        await agent.press("close").click()
        await expect(agent.dialog).to_contain_text(agent.w["held is dropped"])
        assert await agent.dialog.evaluate("(it) => it.scrollWidth <= it.clientWidth"), "no button leaves the dialog"
        await agent.page.keyboard.press("Escape")
        await expect(agent.dialog).to_have_count(0)
        await agent.page.locator(f'button[aria-label="{agent.w["person"]}"]').click()
        await expect(agent.person).to_be_visible()
        await seen.look("person", agent.page)
        await agent.page.keyboard.press("Escape")
        await agent.page.keyboard.press("Escape")
        await expect(agent.inbox).to_be_visible()
        await seen.look("list", agent.page)
        lines = agent.inbox.get_by_role("list")
        assert await lines.evaluate("(it) => it.scrollWidth <= it.clientWidth"), "a long name pushes nothing out"
        await agent.inbox.get_by_role("button", name=agent.w["queue"]).click()
        for name in ("Anna", "Karl", "Ines"):
            await customer.page.evaluate(ANOTHER, name)
            await agent.line(name).get_by_role("button").click()
            await expect(agent.page.locator(".tab[data-on=true]")).to_contain_text(name)
            await expect(agent.page.locator(".tab[data-on=true]")).to_be_in_viewport(ratio=1)
            await agent.page.keyboard.press("Escape")
    assert seen.found == []


async def test_it_shows_the_focus_and_gives_it_back_in_the_widget(browser: Browser, demo: Demo) -> None:
    async with await stage.context(browser) as his:
        customer = await Customer.talks(his, demo)
        page, frame, w = customer.page, customer.frame, customer.w
        await customer.says(f"My booking is {REFERENCE}. " + "Where is my suitcase? " * 15)
        await frame.get_by_role("button", name=w["private"]).focus()
        stops, unseen = await tab_stops(page, frame)
        assert unseen == []
        told = " / ".join(stops)
        assert all(
            name in told for name in (w["close"], w["message"], w["send code"][:4]) if name != w["send code"][:4]
        )
        assert len(stops) >= 5, told

        await frame.get_by_role("button", name=w["private"]).click()
        await expect(frame.get_by_role("button", name=w["back"])).to_be_focused()
        await page.keyboard.press("Escape")
        await expect(frame.get_by_role("button", name=w["private"])).to_be_focused()
        await page.keyboard.press("Escape")
        await expect(customer.launcher.button).to_be_focused()
        await page.keyboard.press("Enter")
        await expect(customer.field).to_be_focused()
        await expect(frame.locator("[role=log][aria-live=polite]")).to_have_count(1)
        await expect(frame.locator("[role=status]").first).to_be_attached()
        # What a button of the card brings is in sight, whatever was unfolded below it, and nothing covers it.
        await customer.card.locator("summary").click()
        await customer.log.evaluate("(it) => it.scrollBy(0, -80)")
        await customer.card.get_by_role("button", name=w["send code"]).click()
        verify = customer.card.get_by_role("button", name=w["verify"])
        await expect(verify).to_be_in_viewport(ratio=1)
        await expect(frame.locator(".newest")).to_have_count(0)
        # Who has used up the tries need not write the number down again.
        for left in (4, 3, 2, 1, 0):
            await customer.card.get_by_label(w["code"]).fill("00000000")
            await verify.click()
            await expect(frame.get_by_text(f"{left} tr" if left else w["failed"]).first).to_be_visible()
        await frame.get_by_role("button", name="Ask for a new code").click()
        await expect(customer.card.get_by_label(w["reference"])).to_have_value(REFERENCE)


async def test_it_shows_the_focus_and_gives_it_back_in_the_panel(browser: Browser, demo: Demo) -> None:
    async with await stage.context(browser) as his, await stage.context(browser) as hers:
        customer, agent = await Customer.talks(his, demo), await Agent.arrives(hers, demo)
        await customer.says("Where does the focus go?")
        await agent.takes("Where does the focus go?")
        await expect(agent.field).to_be_focused()
        # Its line has moved; and among the agent's own nobody else's comes or goes while the focus goes round.
        await agent.inbox.get_by_role("button", name=re.compile("Mine [1-9]")).click()
        skip = agent.page.get_by_role("link", name=re.compile("Skip"))
        await skip.focus()
        await expect(skip).to_be_in_viewport()
        stops, unseen = await tab_stops(agent.page, agent.page)
        assert unseen == []
        assert len(stops) >= 12, stops
        for name, key in (("pass on", "t"), ("close", "e")):
            button = agent.press(name)
            await button.focus()
            await agent.page.keyboard.press("Enter")
            await expect(agent.dialog).to_be_visible()
            await expect(agent.dialog.locator(":focus")).to_have_count(1)
            await agent.page.keyboard.press("Escape")
            await expect(button).to_be_focused()
            await agent.page.keyboard.press(key)
            await expect(agent.dialog.locator(":focus")).to_have_count(1)
            await agent.page.keyboard.press("Escape")
            await expect(button).to_be_focused()
        await expect(agent.page.locator("[role=log][aria-live=polite]")).to_have_count(1)
