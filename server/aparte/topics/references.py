"""Finds the booking references of a site's masks in a text that was made plain.

Knows how a reference is written, spelt out or taken apart, and what only looks like one. Must not know records.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final, NamedTuple

_DIGIT: Final = re.compile("[0-9]")
_MASK: Final = {"X": "[a-z0-9]", "A": "[a-z]", "9": "[0-9]"}
_UNIT: Final = re.compile(
    r"[0-9]+(?:eur|euro|euros|usd|gbp|kg|km|lb|lbs|min|mins|am|pm|th|nd|rd|st|h[0-9]{2}m?n?|hrs?|days?|jours?|mm|cm|mb|gb)|(?:eur|usd|gbp)[0-9]+"
)
_FLIGHT: Final = re.compile(r"(?:[a-z]{2}|[a-z][0-9]|[0-9][a-z])[0-9]{1,4}[a-z]?")
_NAMES_A_FLIGHT: Final = re.compile(r"\b(?:flights?|vols?|flt)(?: (?:number|no|n|numero|num))?[ .:#]{0,3}$")

_NAMES_A_BOOKING: Final = re.compile(
    r"\b(?:book|reserv|ref|code|number|numero|pnr|dossier|confirm|conf|locator|record|billet|ticket)"
)
NAMES: Final = frozenset("booking reservation reference ref pnr dossier confirmation locator ticket billet".split())
_NAMED: Final = re.compile(
    rf"\b(?:{'|'.join(sorted(NAMES))})"
    r"(?: (?:reference|ref|code|number|locator|no|nr|num|numero|n))?(?: (?:is|was|est))?[ .:#'\"(-]{0,4}$"
)


# Between the characters of one that is spelt out, as in "Q X 7 T 4 P" or "q-x-7-t-4-p".
_BETWEEN: Final = r"(?: ?[._/,-] ?| )"
_TELLING: Final = 5  # characters: fewer in a row happen by chance


_CODED: Final = re.compile("[0-9]|[A-Z][^a-z]?[A-Z]")  # in every one that `find_apart` finds


class _Mask(NamedTuple):
    text: str
    whole: re.Pattern[str]
    spelt: re.Pattern[str]  # one character at a time
    apart: re.Pattern[str]  # in groups, or whole: overlapping, so that words in front of it hide nothing
    is_mixed: bool  # has an X
    is_of_letters: bool  # of letters alone


@lru_cache(maxsize=256)
def _compiled(formats: tuple[str, ...]) -> tuple[_Mask, ...]:
    found = []
    for mask in (one[:40] for one in formats if any(c in _MASK for c in one)):
        signs = [_MASK.get(c, re.escape(c.lower())) for c in mask]
        kept = [_MASK.get(c, c.lower()) for c in mask if c.isalnum()]
        found.append(
            _Mask(
                mask,
                _alone("".join(signs)),
                _alone(_BETWEEN.join(kept)),
                re.compile(rf"(?<![a-z0-9])(?=({f'{_BETWEEN}?'.join(kept)})(?![a-z0-9]))"),
                "X" in mask,
                "X" not in mask and "9" not in mask,
            )
        )
    return tuple(found)


def _alone(pattern: str) -> re.Pattern[str]:
    return re.compile(rf"(?<![a-z0-9])(?:{pattern})(?![a-z0-9])")


def _joined(written: str, mask: str) -> str:
    """One that was spelt out or taken apart, as the mask has it, in upper case."""
    signs = iter([c for c in written.upper() if c.isalnum()])
    return "".join(next(signs) if c.isalnum() else c for c in mask)


def _has_both(token: str) -> bool:
    """A mask with an X admits words and plain numbers; "Monday" is no reference. So both kinds must be there, unless it
    is named as one: see `_is_named`."""
    return any(c.isdigit() for c in token) and any(c.isalpha() for c in token)


def _is_named(token: str, before: str) -> bool:
    """Whether letters alone or digits alone are a reference: called one right before, and letters in capitals."""
    return (token.isdigit() or token.isupper()) and _NAMED.search(before) is not None


def find(
    cased: str, plain: str, words: frozenset[str], formats: tuple[str, ...], *, has_digit: bool, by_staff: bool
) -> tuple[str, ...]:
    """Those that count wherever they stand, in upper case, once each. Args: cased: `plain` before it was lower case;
    words: of `plain`."""
    found: dict[str, None] = {}
    is_upper = cased.isupper()  # then every word would be in capitals
    has_named = not words.isdisjoint(NAMES) and not is_upper
    for mask in _compiled(formats):
        if not (has_digit or mask.is_of_letters or has_named):
            continue
        for match in mask.whole.finditer(plain):
            token = match[0]
            before = plain[max(0, match.start() - 40) : match.start()]
            if mask.is_mixed and _UNIT.fullmatch(token):
                continue
            if mask.is_mixed and not _has_both(token):
                written = token if is_upper else cased[match.start() : match.end()]
                if not _is_named(written, before):
                    continue
            if mask.is_mixed and _FLIGHT.fullmatch(token) and _is_flight(before, by_staff):
                continue
            # else every word of that length would count
            if mask.is_of_letters and not _NAMES_A_BOOKING.search(before):
                continue
            found[token.upper()] = None
        for match in mask.spelt.finditer(plain):
            token = _joined(match[0], mask.text)
            before = plain[max(0, match.start() - 40) : match.start()]
            # "1, 2, 3" and "options a b c d e" are no references.
            is_telling = len(token) >= _TELLING and (_has_both(token) or not (mask.is_mixed or mask.is_of_letters))
            if is_telling or _is_named(token, before):
                found[token] = None
    return tuple(found)


def find_apart(cased: str, formats: tuple[str, ...]) -> frozenset[str]:
    """What could be one, whole or in groups as in "QX7 T4P": of capitals and digits, or with both in one group. By
    itself it tells nothing ("2 A380"), so the caller compares it with those that were named before."""
    if _CODED.search(cased) is None:
        return frozenset()
    plain = cased.lower()
    found = set()
    for mask in _compiled(formats):
        for match in mask.apart.finditer(plain):
            written = cased[match.start(1) : match.end(1)]
            groups = re.findall("[a-z0-9]+", match[1])
            if written.upper() == written or any(map(_has_both, groups)):
                found.add(_joined(written, mask.text))
    return frozenset(found)


def _is_flight(before: str, by_staff: bool) -> bool:
    """Whether a token like KL0691 names a flight. An agent's counts as a reference unless called a flight: what
    leaves is judged more strictly than what comes in."""
    if _NAMES_A_FLIGHT.search(before):
        return True
    return not by_staff and not _NAMES_A_BOOKING.search(before)
