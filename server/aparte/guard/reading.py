"""A text as the guard reads it: plain characters, each with its place in the original.

Knows how characters can be disguised: digit scripts, compatibility forms, invisible and combining characters.
Must not know what a secret looks like.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from typing import Final, NamedTuple

# Stands where a secret was already removed. Nothing may be joined across it. A private-use character,
# which `read` never lets through from a text.
BREAK: Final = "\ue000"

CARD_MARK: Final = "[card ending {}]"
CODE_MARK: Final = "[security code removed]"
IBAN_MARK: Final = "[IBAN {} ending {}]"

_MARK: Final = re.compile(
    r"\[(?:card ending [0-9]{4}|security code removed|IBAN [A-Z]{2} ending [A-Z0-9]{4})\]", re.IGNORECASE
)
# Shown as nothing, yet letters or symbols to Unicode: Hangul fillers and the blank Braille pattern.
_BLANKS: Final = frozenset("\u115f\u1160\u3164\uffa0\u2800")
# Unicode calls these letters; people write numbers with them.
_IDEOGRAPHS: Final = {c: str(i) for i, c in enumerate("〇一二三四五六七八九")} | {"零": "0"}
_PERCENT: Final = re.compile(r"%(?:20|2[de]|0[9ad])", re.IGNORECASE)  # separators as a URL carries them
_LOWER: Final = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz")


class Reading(NamedTuple):
    """`plain` has lower-case letters without accents and ASCII digits; `places[i]` is where `plain[i]` stood.

    `places` has one entry more, the length of the text, so that every slice of `plain` has its slice of the text.
    """

    plain: str
    places: Sequence[int]


@lru_cache(maxsize=4096)
def _fold(character: str) -> str:
    """What one character beyond ASCII is read as: nothing, a digit, or its compatibility form without accents."""
    if character == BREAK:
        return " "
    if character in _BLANKS or unicodedata.category(character) in ("Cf", "Mn", "Me"):
        return ""
    digit = unicodedata.digit(character, None)
    if digit is not None:
        return str(digit)
    if character in _IDEOGRAPHS:
        return _IDEOGRAPHS[character]
    folded = unicodedata.normalize("NFKD", character)
    if folded == character:
        return character
    if "\u2044" in folded:  # a fraction: two numbers, and nobody's way to write one
        return " "
    return "".join(part if part.isascii() else _fold(part) for part in folded)


def read(text: str) -> Reading:
    """Any text, lone surrogates and control characters included. Linear in its length. Raises nothing."""
    places: Sequence[int]
    if text.isascii():
        plain, places = text, range(len(text) + 1)
    else:
        parts: list[str] = []
        where: list[int] = []
        for index, character in enumerate(text):
            folded = character if character < "\x80" else _fold(character)
            parts.append(folded)
            where.extend([index] * len(folded))
        where.append(len(text))
        plain, places = "".join(parts), where
    if "%" in plain:
        plain = _PERCENT.sub("   ", plain)
    if "[" in plain:
        plain = _MARK.sub(_broken, plain)
    # str.lower would make two characters of some letters and shift the places.
    return Reading(plain.lower() if plain.isascii() else plain.translate(_LOWER), places)


def visible(text: str) -> str:
    """`text` in lower case and compatibility form, without what is invisible. Accents stay: they make another host."""
    if text.isascii():
        return text.lower()
    kept = "".join(c for c in text if c.isascii() or (c not in _BLANKS and unicodedata.category(c) != "Cf"))
    return unicodedata.normalize("NFKC", kept).lower()


def masked(plain: str, start: int, end: int) -> str:
    """`plain` with a break in place of plain[start:end]; every place stays where it was."""
    return plain[:start] + BREAK * (end - start) + plain[end:]


def _broken(mark: re.Match[str]) -> str:
    return BREAK * len(mark[0])
