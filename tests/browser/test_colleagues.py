"""Two colleagues at one desk: each is told what they can know of a person, and what the other gives them."""

from __future__ import annotations

import dataclasses

from playwright.async_api import Browser, expect

import harness
from aparte.actions import sites
from browser import stage
from browser.people import Agent
from browser.stage import InProcess
from harness import Start


async def test_each_is_told_what_they_can_know(browser: Browser, start: Start) -> None:
    async with start() as server, await stage.context(browser) as hers:
        await sites.add_site(server.store, dataclasses.replace(harness.site(), id="shop", records_url=""))
        claire = await Agent.arrives(hers, InProcess(server))
        await (await server.visitor(site="shop")).open("Are you open on Sunday?")
        await _sees_that_nobody_can_be_verified(claire)


async def _sees_that_nobody_can_be_verified(agent: Agent) -> None:
    """A company without a booking system: the sentence has the whole column."""
    await agent.takes("Are you open on Sunday?")
    proof = agent.person.get_by_role("region", name=agent.w["not proven"])
    said, whole = await proof.get_by_text("Checks are not set up").bounding_box(), await proof.bounding_box()
    assert said and whole and said["width"] > whole["width"] * 0.8
