"""Two colleagues at one desk: each is told what they can know of a person, and what the other gives them."""

from __future__ import annotations

import dataclasses

from playwright.async_api import Browser, expect

import harness
from aparte.actions import sites
from browser import stage
from browser.people import Agent
from browser.stage import InProcess
from harness import Server, Start


async def test_each_is_told_what_they_can_know(browser: Browser, start: Start) -> None:
    async with (
        start() as server,
        await stage.context(browser) as hers,
        await stage.context(browser, lang="fr") as others,
    ):
        await sites.add_site(server.store, dataclasses.replace(harness.site(), id="shop", records_url=""))
        claire = await Agent.arrives(hers, InProcess(server))
        odile = await Agent.arrives(others, InProcess(server), "fr", "supervisor")
        await (await server.visitor(site="shop")).open("Are you open on Sunday?")
        await _sees_that_nobody_can_be_verified(claire)
        await _passes_on_who_is_verified(claire, server)
        await _is_told_and_opens_it(odile)


async def _sees_that_nobody_can_be_verified(agent: Agent) -> None:
    """A company without a booking system: the sentence has the whole column."""
    await agent.takes("Are you open on Sunday?")
    proof = agent.person.get_by_role("region", name=agent.w["not proven"])
    said, whole = await proof.get_by_text("Checks are not set up").bounding_box(), await proof.bounding_box()
    assert said and whole and said["width"] > whole["width"] * 0.8
    mine = agent.inbox.get_by_role("button", name=agent.w["mine"])
    await expect(mine).to_have_attribute("aria-pressed", "true")  # the queue is empty now, and the list goes along


async def _passes_on_who_is_verified(agent: Agent, server: Server) -> None:
    """Who follows a conversation no longer is told nothing of it that may be untrue."""
    visitor = await server.visitor()
    thread = await visitor.open("May I move QX7T4P to Sunday?", name="M. Dupont")
    await agent.takes("May I move QX7T4P")
    await server.prove(visitor, thread)
    await expect(agent.person).to_contain_text(agent.w["proven"])
    await agent.press("pass on").click()
    await agent.dialog.get_by_label("Odile").check()
    await agent.press("pass on", agent.dialog).click()
    await expect(agent.page.locator("#conversation")).to_contain_text("Odile has this conversation now.")
    await expect(agent.person).to_contain_text("You no longer follow this conversation.")
    await expect(agent.person).not_to_contain_text(agent.w["not proven"])
    await expect(agent.page.locator("#conversation .head")).not_to_contain_text("name not verified")


async def _is_told_and_opens_it(agent: Agent) -> None:
    """Whatever list is in sight; it is told until the conversation is opened, and interrupts nobody."""
    told = agent.page.get_by_role("status").filter(has_text="Un collègue vous a confié une conversation")
    await expect(told).to_contain_text("M. Dupont")
    await expect(agent.page.get_by_role("alert")).to_be_empty()
    await told.get_by_role("button").first.click()
    await expect(agent.person).to_contain_text(agent.w["proven"])
    await expect(told).to_have_count(0)
