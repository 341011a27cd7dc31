"""Looking at a screen as those do who cannot see it well: axe, the size of targets, what lies beyond the edge.

With TESTS_PICTURES set to a folder, each screen that is looked at is kept there as a picture.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final

import pytest
from playwright.async_api import Frame, Page

AXE: Final = Path(__file__).parents[2] / "node_modules" / "axe-core" / "axe.min.js"
SMALLEST: Final = 24  # CSS pixels, WCAG 2.2 success criterion 2.5.8

RUN = """(only) => axe.run(document, {
    iframes: false, resultTypes: ['violations'], ...(only ? {runOnly: only} : {rules: {'target-size': {enabled: true}}}),
}).then((it) => it.violations.map((one) => one.id + ': ' + one.nodes.map((node) => node.html.slice(0, 160)).join(' | ')))"""
# What can be pressed and is too small; a link within a sentence may be.
SMALL = """(least) => [...document.querySelectorAll('button, a[href], input, select, textarea, summary, [tabindex="0"]')].filter((it) => {
    const box = it.getBoundingClientRect();
    if (!box.width || !box.height || it.matches('p > a, .prose a, pre a, .skip, [type=radio]') || !it.checkVisibility()) return false;
    return box.width < least || box.height < least;
}).map((it) => 'too small: ' + it.outerHTML.slice(0, 160))"""
# What sticks out sideways without anything to scroll it back.
WIDE = """() => {
    const root = document.documentElement;
    if (root.scrollWidth <= root.clientWidth) return [];
    const out = [...document.querySelectorAll('body *')].filter((it) => it.getBoundingClientRect().right > root.clientWidth + 1);
    return ['too wide: ' + root.scrollWidth + ' ' + out.slice(0, 3).map((it) => it.outerHTML.slice(0, 120)).join(' | ')];
}"""
# The element that has the focus, and whether one sees that it has it: by an outline of its own or of what surrounds it.
FOCUSED = """() => {
    const at = document.activeElement;
    const known = (window.stops ??= new Set());
    if (!at || at === document.body || known.has(at)) return ['', true];
    known.add(at);
    const has = (it) => { const style = getComputedStyle(it); return style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 1.5; };
    const around = (it) => it && (has(it) || it.matches(':focus-within') && it !== document.body && around(it.parentElement));
    return [at.localName + ' ' + (at.ariaLabel ?? at.textContent ?? '').trim().slice(0, 40), Boolean(around(at))];
}"""


def axe() -> str:
    """The source of axe-core, which `python3 tests` installs; a bare pytest without it skips."""
    if not AXE.exists():
        pytest.skip("no axe-core here: `python3 tests` gets it")
    return AXE.read_text("utf-8")


class Findings:
    """What is wrong with the screens that were looked at, each with the screen's name."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.found: list[str] = []
        self.looks = 0
        self._source = axe()
        self._folder = os.environ.get("TESTS_PICTURES")

    async def look(self, screen: str, where: Page | Frame) -> None:
        """At a page or a frame, in both colour schemes."""
        self.looks += 1
        page = where.page if isinstance(where, Frame) else where
        if not await where.evaluate("'axe' in window"):
            await where.evaluate(self._source)
        for scheme, only in (("dark", ["color-contrast"]), ("light", None)):
            await page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]  # one of its literals
            wrong: list[Any] = await where.evaluate(RUN, only)
            self.found += [f"{screen}, {scheme}: {one}" for one in wrong]
            if self._folder:
                await page.screenshot(path=Path(self._folder) / f"{self.name}-{screen}-{scheme}.png".replace(" ", "-"))
        for wrong in (await where.evaluate(SMALL, SMALLEST), await where.evaluate(WIDE)):
            self.found += [f"{screen}: {one}" for one in wrong]


async def tab_stops(page: Page, where: Page | Frame, most: int = 40) -> tuple[list[str], list[str]]:
    """Presses Tab until the focus comes back or leaves: the names of the stops, and those where it is not seen."""
    await where.evaluate("delete window.stops")
    stops: list[str] = []
    unseen: list[str] = []
    for _ in range(most):
        await page.keyboard.press("Tab")
        name, is_seen = await where.evaluate(FOCUSED)
        if not name:
            break
        stops.append(name)
        if not is_seen:
            unseen.append(name)
    return stops, unseen
