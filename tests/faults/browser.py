"""A customer's browser that goes offline, is reloaded and is closed while it sends, with an agent's panel watching.

Real pages in a real browser. Each message stands once, on both screens, in the order in which it was written, and what
is not sent yet is seen to be so.
"""

from __future__ import annotations

from typing import Final

from playwright.async_api import BrowserContext, async_playwright, expect

from browser import stage
from browser.people import Agent, Customer
from faults.lab import Bench, Scenario
from faults.ledger import Verdict, in_letters

LONG_MISHAPS: Final = 60
PATIENCE: Final = 60_000  # milliseconds until what was written stands everywhere
MISHAPS: Final = ("offline", "reload", "offline and reload", "close", "none")


async def _mishap(kind: str, his: BrowserContext, customer: Customer, demo: stage.Demo, texts: list[str]) -> Customer:
    """Writes, and does something to the browser before the answer can have come. The customer who goes on."""
    if kind.startswith("offline"):
        await his.set_offline(True)
    for text in texts:
        await customer.writes(text)
    if kind.startswith("offline"):
        await expect(customer.bubble(texts[-1])).to_contain_text(customer.w["waiting"])
    if kind == "offline and reload":
        await his.set_offline(False)  # a page cannot be loaded without a network
    if kind.endswith("reload"):
        await customer.page.reload()
        await customer.opens()
    if kind == "close":
        await customer.page.close()
        customer = await Customer.talks(his, demo)
    await his.set_offline(False)
    return customer


async def run(bench: Bench, *, mishaps: int = 0) -> Verdict:
    mishaps = mishaps or int(bench.scaled(LONG_MISHAPS, 8))
    verdict, said = Verdict(), ["A first message"]
    expect.set_options(timeout=stage.MILLISECONDS)
    async with async_playwright() as playwright, stage.playing(bench.folder / "demo") as demo:
        browser = await stage.launch(playwright)
        his, hers = await stage.context(browser), await stage.context(browser)
        customer, agent = await Customer.talks(his, demo), await Agent.arrives(hers, demo)
        await customer.says(said[0])
        await agent.takes(said[0])
        for number in range(mishaps):
            kind = MISHAPS[number] if number < len(MISHAPS) else bench.rng.choice(MISHAPS)
            bench.say(f"mishap {number + 1}: {kind}")
            texts = [f"Number {in_letters(number)} {at}" for at in ("one", "two", "three")[: bench.rng.randint(1, 3)]]
            customer = await _mishap(kind, his, customer, demo, texts)
            said += texts
        for name, log in (("customer", customer.log), ("agent", agent.log)):
            await _stands(name, log.locator("article .prose"), said, verdict)
        try:
            await expect(customer.log.get_by_text(customer.w["waiting"])).to_have_count(0)
        except AssertionError:
            verdict.fail("something is still shown as not sent")
        verdict.acknowledged = len(said)
        verdict.told.append(f"{mishaps} mishaps")
        await browser.close()
    return verdict


async def _stands(name: str, prose: object, said: list[str], verdict: Verdict) -> None:
    """Every text, once, in the order in which it was written."""
    try:
        await expect(prose).to_have_text(said, timeout=PATIENCE)  # type: ignore[call-overload]  # a Locator
        return
    except AssertionError:
        shown = await prose.all_inner_texts()  # type: ignore[attr-defined]  # a Locator
    for text in said:
        if shown.count(text) == 0:
            verdict.lose(f"the {name}'s screen does not show {text!r}")
        elif shown.count(text) > 1:
            verdict.double(f"the {name}'s screen shows {text!r} {shown.count(text)} times")
    if not (verdict.lost or verdict.doubled):
        verdict.disorder(f"the {name}'s screen has another order: {shown}")


SCENARIO: Final = Scenario("browser", "a browser offline, reloaded and closed in mid-send", run)
