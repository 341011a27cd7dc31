"""The people of the browser tests: what a customer and an agent do with their hands, and what they look for.

They find things as a person does, by role and by what is written. `Customer` lives on the airline's page (or on the
hosted page), `Agent` in the panel. `ByKeys` is an agent without a mouse.
"""

from __future__ import annotations

import re
from typing import Final

from playwright.async_api import BrowserContext, Frame, Locator, Page, WebSocket, expect

from browser.stage import Lang, Place, until
from browser.words import AGENT, CUSTOMER, OTHER

CONTACT: Final = "m.dupont@example.org"
REFERENCE: Final = "QX7T4P"


def spaced(text: str) -> re.Pattern[str]:
    """The text with any kind of white space where it has one: French typography has several."""
    return re.compile(r"\s".join(re.escape(word) for word in text.split()))


class Launcher:
    """The widget's round button."""

    def __init__(self, page: Page) -> None:
        self._page = page
        names = [re.escape(words[key]) for words in CUSTOMER.values() for key in ("open", "shut")]
        self.button = page.get_by_role("button", name=re.compile(rf"^({'|'.join(names)})( \(|$)"))

    async def says(self, text: str) -> None:
        """Waits until its name has this in it."""
        await expect(self.button).to_have_accessible_name(re.compile(re.escape(text)))

    async def is_called(self, name: str) -> None:
        """Waits until its name is just this, without a count of what is unread. Also while it is not shown, which it
        is not beside a conversation that fills the screen."""
        await expect(self._page.locator("aparte-chat button")).to_have_attribute("aria-label", name)

    async def press(self) -> None:
        """By mouse or finger."""
        await self.button.click()


class Customer:
    """Somebody on the company's website."""

    def __init__(self, page: Page, lang: Lang = "en") -> None:
        self.page = page
        self.w = CUSTOMER[lang]
        self.lang = lang
        self.launcher = Launcher(page)

    @classmethod
    async def arrives(cls, context: BrowserContext, place: Place, lang: Lang = "en", path: str = "") -> Customer:
        """Opens the airline's page, and nothing else."""
        customer = cls(await context.new_page(), lang)
        await customer.page.goto(place.page(lang) + path)
        return customer

    @classmethod
    async def talks(cls, context: BrowserContext, place: Place, lang: Lang = "en") -> Customer:
        """Opens the airline's page and the conversation on it."""
        customer = await cls.arrives(context, place, lang)
        await customer.opens()
        return customer

    @property
    def frame(self) -> Frame:
        """The conversation: the frame on the airline's page, or the page itself."""
        return next((frame for frame in self.page.frames if "/frame/" in frame.url), self.page.main_frame)

    async def opens(self, by: Locator | None = None) -> None:
        """Presses the launcher, or what the page has instead; the conversation stands ready to write."""
        await (by.click() if by else self.launcher.press())
        await until(lambda: self.frame != self.page.main_frame, "the conversation's frame")
        await expect(self.field).to_be_focused()

    @property
    def field(self) -> Locator:
        """Where the message is written."""
        return self.frame.get_by_role("textbox", name=self.w["message"], exact=True)

    @property
    def log(self) -> Locator:
        return self.frame.get_by_role("log")

    @property
    def card(self) -> Locator:
        """The check's card."""
        return self.frame.get_by_role("region", name=self.w["check"])

    def bubble(self, text: str) -> Locator:
        """Messages that hold this text, each with its name, time and mark."""
        return self.log.get_by_role("article").filter(has_text=text)

    async def says(self, text: str, *, name: str = "") -> None:
        """Writes and sends by Enter; waits until it is shown as sent."""
        await self.writes(text, name=name)
        said = self.bubble(text[:200]).last
        await expect(said).to_be_visible()
        await expect(said).not_to_contain_text(self.w["waiting"])

    async def writes(self, text: str, *, name: str = "") -> None:
        """Writes and sends by Enter, and looks at nothing."""
        if name:
            await self.frame.get_by_role("textbox", name=self.w["name"]).fill(name)
        await self.field.fill(text)
        await self.field.press("Enter")

    async def sees(self, text: str, times: int = 1) -> None:
        """The text stands in the conversation, so many times."""
        await expect(self.bubble(text)).to_have_count(times)

    async def is_verified(self) -> None:
        await expect(self.frame.get_by_text(self.w["verified"])).to_be_visible()

    async def speaks(self, lang: Lang) -> None:
        """Changes the language, on the card about privacy."""
        await self.frame.get_by_role("button", name=self.w["private"]).click()
        await self.frame.get_by_role("dialog").get_by_role("button", name=OTHER[lang]).click()
        self.lang, self.w = lang, CUSTOMER[lang]
        await self.frame.get_by_role("button", name=self.w["back"]).click()

    async def types_code(self, code: str) -> None:
        """Digit by digit; then Enter."""
        field = self.card.get_by_label(self.w["code"])
        await field.press_sequentially(code)
        await expect(field).to_have_js_property("scrollLeft", 0)  # all eight digits are in sight
        await field.press("Enter")

    async def pastes_code(self, mailbox: Page) -> None:
        """Presses "copy" in the mailbox, and pastes into the card."""
        await mailbox.get_by_role("article").first.get_by_role("button").click()
        field = self.card.get_by_label(self.w["code"])
        await field.click()
        await field.press("Control+V")
        await expect(field).to_have_value(re.compile(r"^\d{8}$"))
        await self.card.get_by_role("button", name=self.w["verify"]).click()


class Agent:
    """Somebody at the company's desk."""

    def __init__(self, page: Page, place: Place, lang: Lang = "en") -> None:
        self.page = page
        self.place = place
        self.w = AGENT[lang]
        self.lang = lang
        self.heard: list[str] = []  # every frame that came to this screen
        page.on("websocket", self._listen)

    def _listen(self, line: WebSocket) -> None:
        line.on("framereceived", lambda data: self.heard.append(str(data)))

    @classmethod
    async def arrives(cls, context: BrowserContext, place: Place, lang: Lang = "en", role: str = "agent") -> Agent:
        """Signs in."""
        agent = cls(await context.new_page(), place, lang)
        await agent.page.goto(place.panel)
        await agent.signs_in(role)
        return agent

    async def signs_in(self, role: str = "agent") -> None:
        email, password = self.place.agent(role)
        await self.page.get_by_label(self.w["email"]).fill(email)
        await self.page.get_by_label(self.w["password"]).fill(password)
        await self.page.get_by_role("button", name=self.w["sign in"]).click()
        await expect(self.inbox.get_by_role("button", name=self.w["queue"])).to_be_visible()

    @property
    def inbox(self) -> Locator:
        return self.page.get_by_role("navigation", name="Conversations", exact=True)

    @property
    def log(self) -> Locator:
        return self.page.get_by_role("log")

    @property
    def person(self) -> Locator:
        """The column about who is speaking."""
        return self.page.locator(f'[aria-label="{self.w["person"]}"]:not(button)')

    @property
    def held(self) -> Locator:
        return self.log.get_by_role("article", name=self.w["held"])

    @property
    def dialog(self) -> Locator:
        return self.page.get_by_role("dialog")

    @property
    def field(self) -> Locator:
        return self.page.get_by_role("textbox", name=self.w["reply"])

    async def speaks(self, lang: Lang) -> None:
        """Changes the language of the panel."""
        await self.page.get_by_role("button", name=OTHER[lang]).click()
        self.lang, self.w = lang, AGENT[lang]

    def line(self, text: str) -> Locator:
        """The line of a conversation in the list, by what was last said in it."""
        return self.inbox.get_by_role("listitem").filter(has_text=text)

    def bubble(self, text: str) -> Locator:
        return self.log.get_by_role("article").filter(has_text=text)

    def press(self, name: str, within: Locator | None = None) -> Locator:
        """A button by its name."""
        return (within or self.page.locator("body")).get_by_role("button", name=self.w[name], exact=True)

    async def takes(self, text: str) -> None:
        """Opens the conversation from the queue and claims it."""
        await self.inbox.get_by_role("button", name=self.w["queue"]).click()
        await self.line(text).get_by_role("button").click()
        await self.press("claim").click()
        await expect(self.field).to_be_visible()

    async def opens_the_check(self) -> None:
        """By keyboard, after claiming: the field is given the focus, and the shortcuts work outside of it."""
        await expect(self.field).to_be_focused()
        await self.page.keyboard.press("Escape")
        await expect(self.field).not_to_be_focused()
        await self.page.keyboard.press("a")

    async def replies(self, text: str) -> None:
        await self.field.fill(text)
        await self.field.press("Enter")

    async def notes(self, text: str) -> None:
        await self.press("note mode").click()
        await self.page.get_by_role("textbox", name=self.w["note"]).fill(text)
        await self.press("save note").click()
        await self.press("reply mode").click()

    async def asks_for_a_check(self) -> None:
        """From the held message; the booking that the customer named stands in the dialog already."""
        await self.press("ask for a check", self.held).click()
        await expect(self.dialog.get_by_label(self.w["booking number"])).to_have_value(REFERENCE)
        await self.press("ask", self.dialog).click()

    async def shows_the_booking(self) -> None:
        await self.press("show", self.person).click()

    async def changes_the_booking(self) -> str:
        """To the first day that is offered; returns it as it is written."""
        option = self.person.get_by_role("listitem").first
        label = (await option.locator("span span").first.inner_text()).strip()
        await option.get_by_role("button").click()
        await expect(self.dialog).to_contain_text(label)
        await self.press("change it", self.dialog).click()
        return label

    async def closes(self) -> None:
        await self.press("close").click()
        await self.press("close it", self.dialog).click()


class ByKeys(Agent):
    """An agent whose hands stay on the keyboard."""

    async def _keys(self, *keys: str) -> None:
        for key in keys:
            await self.page.keyboard.press(key)

    async def _walks_to(self, target: Locator, most: int = 60) -> None:
        """By Tab, until the focus is there."""
        for _ in range(most):
            if await target.evaluate("(it) => it === document.activeElement"):
                return
            await self._keys("Tab")
        raise AssertionError(f"Tab does not reach {target}")

    async def signs_in(self, role: str = "agent") -> None:
        email, password = self.place.agent(role)
        await expect(self.page.get_by_label(self.w["email"])).to_be_focused()
        await self.page.keyboard.type(email)
        await self._keys("Tab")
        await self.page.keyboard.type(password)
        await self._keys("Enter")
        await expect(self.inbox.get_by_role("button", name=self.w["queue"])).to_be_visible()

    async def takes(self, text: str) -> None:
        await expect(self.line(text)).to_be_visible()
        await self._keys("j")
        await expect(self.line(text).get_by_role("button")).to_be_focused()
        await self._keys("k", "Enter")
        await expect(self.press("claim")).to_be_visible()
        await self._keys("c")
        await expect(self.field).to_be_visible()

    async def replies(self, text: str) -> None:
        await self._keys("Escape", "r")
        await expect(self.field).to_be_focused()
        await self.page.keyboard.type(text)
        await self._keys("Enter")

    async def notes(self, text: str) -> None:
        await self._keys("Escape", "n")
        await expect(self.page.get_by_role("textbox", name=self.w["note"])).to_be_focused()
        await self.page.keyboard.type(text)
        await self._keys("Enter", "Escape", "r")

    async def asks_for_a_check(self) -> None:
        await self._keys("Escape", "a")
        field = self.dialog.get_by_label(self.w["booking number"])
        await expect(field).to_be_focused()
        await expect(field).to_have_value(REFERENCE)
        await self._keys("Enter")
        await expect(self.dialog).to_have_count(0)

    async def shows_the_booking(self) -> None:
        await self._walks_to(self.press("show", self.person))
        await self._keys("Enter")

    async def changes_the_booking(self) -> str:
        option = self.person.get_by_role("listitem").first
        label = (await option.locator("span span").first.inner_text()).strip()
        await self._walks_to(option.get_by_role("button"))
        await self._keys("Enter")
        await expect(self.press("cancel", self.dialog)).to_be_focused()
        await self._walks_to(self.press("change it", self.dialog))
        await self._keys("Enter")
        return label

    async def closes(self) -> None:
        await self._keys("Escape", "e")
        await expect(self.press("close it", self.dialog)).to_be_focused()
        await self._keys("Enter")


async def code_from(mailbox: Page) -> str:
    """The code of the newest letter, read from the mailbox's page."""
    output = mailbox.get_by_role("article").first.locator("output")
    return (await output.inner_text()).replace(" ", "")
