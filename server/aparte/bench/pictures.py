"""Pictures of figures as SVG: lines over two logarithmic scales, readable on a light page and on a dark one.

Knows scales and strokes. Must not know what is measured.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from xml.sax.saxutils import escape

WIDTH: Final = 760
HEIGHT: Final = 440
_LEFT, _RIGHT, _TOP, _BOTTOM = 72, 176, 56, 60
_APART: Final = 16  # between the names of two lines, at least
# Colours that are told apart without red and green, and dashes for who sees none (Okabe and Ito, 2008).
_STROKES: Final = (("#0072b2", ""), ("#d55e00", "7 4"), ("#009e73", "2 4"), ("#cc79a7", "12 4 2 4"))
_DARK: Final = ("#56b4e9", "#f0a04b", "#3fd0a4", "#e6a3c6")

Points = Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Picture:
    """What is drawn. `lines`: points (x, y) by the line's name, all above 0."""

    title: str
    across: str  # the name of x, with its unit
    up: str
    lines: Mapping[str, Points]


class _Scale:
    """From values to places, by their logarithm."""

    def __init__(self, values: Sequence[float], start: float, end: float) -> None:
        self._low, high = math.log10(min(values)), math.log10(max(values))
        self._per = (end - start) / ((high - self._low) or 1)
        self._start = start

    def __call__(self, value: float) -> float:
        return round(self._start + (math.log10(value) - self._low) * self._per, 1)


def _marks(low: float, high: float) -> list[float]:
    """1, 2 and 5 of each power of ten between the two; whole powers alone where these would be many."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    steps = (1, 2, 5) if len(powers) <= 4 else (1,)
    return [step * 10.0**power for power in powers for step in steps if low <= step * 10.0**power <= high]


def _said(value: float) -> str:
    return f"{value:,.0f}" if value >= 1 else f"{value:g}"


def drawn(picture: Picture) -> str:
    """The picture as an SVG file's text. Raises ValueError when there is nothing to draw."""
    every = [point for line in picture.lines.values() for point in line]
    if not every:
        raise ValueError("a picture needs a point")
    across = [x for x, _ in every]
    heights = [y for _, y in every]
    low, high = min(heights) / 1.3, max(heights) * 1.3
    x = _Scale(across, _LEFT, WIDTH - _RIGHT)
    y = _Scale((low, high), HEIGHT - _BOTTOM, _TOP)
    body = [*_frame(picture, x, y, across, (low, high)), *_curves(picture, x, y)]
    return "\n".join([*_head(picture), *body, "</svg>", ""])


def _head(picture: Picture) -> Iterator[str]:
    said = f"{picture.title}. {picture.up} over {picture.across}: {', '.join(picture.lines)}."
    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
        f'role="img" aria-label="{escape(said, {chr(34): "&quot;"})}">'
    )
    light = "".join(f".c{n}{{stroke:{colour};fill:{colour}}}" for n, (colour, _) in enumerate(_STROKES))
    dark = "".join(f".c{n}{{stroke:{colour};fill:{colour}}}" for n, colour in enumerate(_DARK))
    yield (
        "<style>text{font:13px system-ui,sans-serif;fill:#1f2328;stroke:none}.t{font-size:16px;font-weight:600}"
        ".page{fill:#fff}.g{stroke:#d1d9e0;stroke-width:1}"
        f".k{{fill:none;stroke-width:2.5;stroke-linejoin:round}}{light}"
        "@media(prefers-color-scheme:dark){text{fill:#f0f6fc}.page{fill:#0d1117}.g{stroke:#3d444d}"
        f"{dark}}}.k{{fill:none}}</style>"
    )
    yield f'<rect class="page" width="{WIDTH}" height="{HEIGHT}"/>'
    yield f'<text class="t" x="{_LEFT}" y="28">{escape(picture.title)}</text>'


def _frame(picture: Picture, x: _Scale, y: _Scale, across: list[float], heights: tuple[float, float]) -> Iterator[str]:
    right, bottom = WIDTH - _RIGHT, HEIGHT - _BOTTOM
    yield f'<text x="{_LEFT}" y="{_TOP - 10}">{escape(picture.up)}</text>'
    yield f'<text x="{(_LEFT + right) / 2}" y="{HEIGHT - 14}" text-anchor="middle">{escape(picture.across)}</text>'
    for mark in _marks(*heights):
        yield f'<line class="g" x1="{_LEFT}" x2="{right}" y1="{y(mark)}" y2="{y(mark)}"/>'
        yield f'<text x="{_LEFT - 8}" y="{y(mark) + 4}" text-anchor="end">{_said(mark)}</text>'
    last = -math.inf
    for value in sorted(set(across)):
        yield f'<line class="g" x1="{x(value)}" x2="{x(value)}" y1="{bottom}" y2="{bottom + 6}"/>'
        if x(value) - last > 8 * len(_said(value)):
            yield f'<text x="{x(value)}" y="{bottom + 22}" text-anchor="middle">{_said(value)}</text>'
            last = x(value)


def _curves(picture: Picture, x: _Scale, y: _Scale) -> Iterator[str]:
    ends = sorted((y(line[-1][1]), number) for number, line in enumerate(picture.lines.values()) if line)
    names: dict[int, float] = {}
    lowest = -math.inf
    for height, number in ends:  # names that would lie on each other are moved apart
        names[number] = lowest = max(height, lowest + _APART)
    for number, (name, line) in enumerate(picture.lines.items()):
        if not line:
            continue
        path = " ".join(f"{x(across)},{y(height)}" for across, height in line)
        dash = f' stroke-dasharray="{_STROKES[number][1]}"' if _STROKES[number][1] else ""
        yield f'<polyline class="c{number} k"{dash} points="{path}"/>'
        for across, height in line:
            yield f'<circle class="c{number}" cx="{x(across)}" cy="{y(height)}" r="3"/>'
        yield f'<text x="{WIDTH - _RIGHT + 12}" y="{names[number] + 4}">{escape(name)}</text>'
