"""Twin of bench/pictures.py: what is drawn, read back."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest

from aparte.bench import pictures

SVG = "{http://www.w3.org/2000/svg}"


def places(line: ET.Element) -> list[tuple[float, float]]:
    return [tuple(map(float, point.split(","))) for point in line.get("points", "").split()]  # type: ignore[misc]  # pairs


def test_a_picture_has_its_points_by_their_logarithm() -> None:
    picture = pictures.Picture("Waits & more", "messages", "ms", {"a": [(1, 1), (10, 10), (100, 100)], "b": [(1, 100)]})
    drawn = ET.fromstring(pictures.drawn(picture))
    first, second = (places(line) for line in drawn.iter(f"{SVG}polyline"))
    (x1, y1), (x2, y2), (x3, y3) = first
    assert x2 - x1 == pytest.approx(x3 - x2, abs=0.2)
    assert y1 - y2 == pytest.approx(y2 - y3, abs=0.2)
    assert x1 < x2
    assert y1 > y2  # up is more
    assert second == [(x1, y3)]
    assert "Waits & more" in drawn.attrib["aria-label"]


def test_the_names_of_two_lines_do_not_lie_on_each_other() -> None:
    picture = pictures.Picture("Waits", "messages", "ms", {"a": [(1, 1), (2, 5)], "b": [(1, 1), (2, 5)]})
    drawn = ET.fromstring(pictures.drawn(picture))
    heights = [float(text.attrib["y"]) for text in drawn.iter(f"{SVG}text") if text.text in ("a", "b")]
    assert abs(heights[0] - heights[1]) >= 12


def test_a_picture_of_nothing_is_none() -> None:
    with pytest.raises(ValueError, match="point"):
        pictures.drawn(pictures.Picture("Waits", "messages", "ms", {"a": []}))
