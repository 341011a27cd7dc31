"""The story of Mr Dupont, as two people with two browsers live it, in English and in French.

On a phone and on a desktop, with mouse and finger and by keyboard alone. Each telling has a demo of its own, since the
airline lets an economy ticket be moved once.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.async_api import Browser, expect

from browser import stage
from browser.people import CONTACT, REFERENCE, Agent, ByKeys, Customer, code_from, spaced
from browser.stage import Demo, Device, Lang
from browser.words import SAID

BEFORE = ("Economy", "Économique", "AP 641", "dupont@")  # what only the airline's record holds


@pytest.mark.parametrize(
    ("lang", "device", "who"),
    [("en", "phone", Agent), ("fr", "phone", Agent), ("en", "desktop", ByKeys), ("fr", "desktop", ByKeys)],
    ids=["english on a phone", "french on a phone", "english by keyboard", "french by keyboard"],
)
@pytest.mark.slow
async def test_it_tells_the_story(
    browser: Browser, tmp_path: Path, lang: Lang, device: Device, who: type[Agent]
) -> None:
    async with (
        stage.playing(tmp_path) as demo,
        await stage.context(browser, device, lang) as his,
        await stage.context(browser, "desktop", lang) as hers,
    ):
        await his.grant_permissions(["clipboard-read", "clipboard-write"])
        dupont = await Customer.arrives(his, demo, lang)
        agent = await who.arrives(hers, demo, lang)
        said = SAID[lang]

        await _meets(dupont, agent, said)
        await _is_held(dupont, agent, said)
        await _is_checked(dupont, agent, said, demo, by_paste=device == "phone")
        await _changes(dupont, agent, said)
        if who is Agent:
            await _speak_another_language(dupont, agent, "en" if lang == "fr" else "fr")

        await agent.closes()
        await expect(dupont.frame.get_by_text(dupont.w["ended"])).to_be_visible()
        assert not [text for text in agent.heard if CONTACT in text], "the whole address never reaches the panel"


async def _meets(dupont: Customer, agent: Agent, said: dict[str, str]) -> None:
    """A question, the queue, a first answer; typing, marks, and the badge while the conversation is closed."""
    await dupont.opens()
    await dupont.says(said["ask"])
    await expect(agent.line(said["ask"][:20])).to_be_visible()
    await agent.takes(said["ask"][:20])
    await expect(agent.person).to_contain_text(agent.w["not proven"])
    await expect(dupont.frame.get_by_role("banner")).to_contain_text(f"Claire · {dupont.w['desk']}")
    await expect(dupont.bubble(said["ask"])).to_contain_text(dupont.w["read"])

    await dupont.field.press_sequentially("So")
    await expect(agent.page.get_by_text(agent.w["typing"])).to_be_visible()
    await agent.field.press_sequentially("Go")
    await expect(dupont.log).to_contain_text(dupont.w["typing"])
    await dupont.field.fill("")
    await agent.field.fill("")

    await dupont.field.press("Escape")
    await dupont.launcher.says(dupont.w["open"])
    await agent.replies(said["hello"])
    await dupont.launcher.says(f"(1 {dupont.w['unread']})")
    await expect(agent.bubble(said["hello"])).not_to_contain_text(agent.w["read"])
    await dupont.opens()
    await dupont.sees(said["hello"])
    await expect(agent.bubble(said["hello"])).to_contain_text(agent.w["read"])
    await dupont.launcher.is_called(dupont.w["shut"])

    await agent.notes(said["note"])
    await expect(agent.bubble(said["note"])).to_be_visible()


async def _is_held(dupont: Customer, agent: Agent, said: dict[str, str]) -> None:
    """Nothing of the booking leaves the desk, nor reaches it, before the customer is proven."""
    await agent.replies(said["supplement"])
    await expect(agent.held).to_contain_text(said["supplement"])
    await expect(agent.held).to_contain_text(agent.w["why money"])
    await expect(agent.press("show", agent.person)).to_have_count(0)
    # A payment is a supervisor's to let through: the list says who is one.
    await agent.press("pass on").click()
    await expect(agent.dialog).to_contain_text(agent.w["supervisor"])
    await agent.page.keyboard.press("Escape")
    told = "".join(agent.heard) + await agent.page.locator("body").inner_text()
    assert [word for word in BEFORE if word in told] == []
    await dupont.sees(said["supplement"], times=0)
    await dupont.sees(said["note"], times=0)


async def _is_checked(dupont: Customer, agent: Agent, said: dict[str, str], demo: Demo, *, by_paste: bool) -> None:
    """The code goes to the address on file, from there by the customer's hand into the card; what was held arrives."""
    mailbox = await dupont.page.context.new_page()
    await mailbox.goto(demo.mailbox + ("/fr" if dupont.lang == "fr" else "/"))
    await agent.asks_for_a_check()
    await expect(dupont.card).to_be_visible()
    await expect(agent.held).to_contain_text(agent.w["check runs"])
    await expect(agent.press("ask for a check", agent.held)).to_have_count(0)
    letter = mailbox.get_by_role("article").first
    await expect(letter).to_contain_text(CONTACT)
    written = await letter.inner_text()
    assert [word for word in ("Dupont,", "Toronto", REFERENCE, said["ask"]) if word in written] == []
    code = await code_from(mailbox)

    await dupont.page.bring_to_front()
    await dupont.types_code(f"{(int(code) + 1) % 10**8:08d}")
    await expect(dupont.card.get_by_role("alert").first).to_contain_text(dupont.w["wrong"])
    await expect(agent.log).to_contain_text(agent.w["wrong code"])
    await expect(agent.held).to_contain_text(agent.w["four left"])
    await dupont.sees(said["supplement"], times=0)
    if by_paste:
        await dupont.pastes_code(mailbox)
    else:
        await dupont.types_code(code)
    await dupont.is_verified()
    await expect(dupont.card).to_have_count(0)
    await dupont.sees(said["supplement"])
    await expect(agent.log).to_contain_text(agent.w["held sent"])
    await expect(agent.person).to_contain_text(agent.w["proven"])
    await mailbox.close()


async def _changes(dupont: Customer, agent: Agent, said: dict[str, str]) -> None:
    """The booking is shown, and moved; the customer sees it, and so does the airline's own record."""
    await dupont.says(said["yes"])
    await agent.shows_the_booking()
    await expect(agent.person).to_contain_text("AP 641")
    label = await agent.changes_the_booking()
    card = dupont.log.locator("section").filter(has=dupont.frame.get_by_role("heading", name=dupont.w["changed"]))
    await expect(card).to_contain_text(label)
    await expect(card).to_contain_text(spaced(dupont.w["due"]))

    # The panel has put the old record away or renewed it; what it shows now it has read at the airline's.
    await expect(agent.person).to_contain_text(agent.w["no more"])
    await expect(agent.person).to_contain_text(spaced(agent.w["due"]))
    departs = re.compile(re.escape(label.split(",")[0]))
    await expect(agent.person).to_contain_text(departs)
    await agent.replies(said["done"])
    await dupont.sees(said["done"])


async def _speak_another_language(dupont: Customer, agent: Agent, lang: Lang) -> None:
    """What the company's system said comes in it too, to each for himself."""
    weekday = {"en": "Tuesday", "fr": "mardi"}
    await agent.speaks(lang)
    await expect(agent.person).to_contain_text(agent.w["passenger"])
    await expect(agent.log).to_contain_text(weekday[lang])
    await dupont.page.bring_to_front()
    await dupont.speaks(lang)
    card = dupont.log.locator("section").filter(has=dupont.frame.get_by_role("heading", name=dupont.w["changed"]))
    await expect(card).to_contain_text(weekday[lang])
    await expect(dupont.log).to_contain_text(f"Claire, {dupont.w['desk']}")
