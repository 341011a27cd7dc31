"""Finds card numbers in a text that was read.

Knows issuer ranges, lengths, the check digit and the ways people write a card number. Must not know what is done
about one.

A card number is 13 to 19 digits, written in one group or in several, that starts and ends where groups do. It is
in an issuer's range with a length of that issuer, and its last digit checks. So a longer unbroken number, such as
most parcel numbers, holds none.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from stdnum import luhn

from aparte.guard.reading import BREAK

SHORTEST: Final = 13
LONGEST: Final = 19

_GROUP: Final = re.compile(r"[0-9]+")
_LETTER: Final = re.compile(r"[^\W\d_]")
_GAP: Final = 24  # characters between two groups of one number, at most
_GAP_OF_WORDS: Final = 12  # the same when there are letters in it
_DATE_OR_TIME: Final = re.compile(
    r"(?<![0-9])(?:[0-9]{1,2}[/.-][0-9]{1,2}[/.-](?:[0-9]{4}|[0-9]{2})|[0-9]{4}-[0-9]{2}-[0-9]{2}|[0-9]{1,2}[:h][0-9]{2})(?![0-9])"
)
# How cards are embossed: in fours, Amex 4-6-5, Diners 4-6-4, nineteen digits 4-4-4-4-3, old Maestro 8-5 and 6-13.
_EMBOSSED: Final = frozenset({(4, 4, 4, 4), (4, 6, 5), (4, 6, 4), (4, 4, 4, 4, 3), (4, 4, 4, 4, 1), (6, 13)})
# A ticket number: the airline's three digits, then ten. Never how a card is written.
_TICKET: Final = (3, 10)
# A parcel number of the American post, as its labels group it; without this one in twenty would hold a "card".
_PARCEL: Final = (4, 4, 4, 4, 4, 2)
_PARCEL_BEGINS: Final = frozenset({"91", "92", "93", "94", "95"})
_FOUR_TO_NINETEEN: Final = (16, 19, 18, 17)

# Maestro reaches down to 12 digits on paper; below 16 only these old ranges were issued.
_SHORT_MAESTRO: Final = frozenset({"5018", "5020", "5038", "5893", "6304", "6759", "6761", "6762", "6763"})
# Letters taken for digits, when most of the number is digits.
_LOOK_ALIKE: Final = str.maketrans("oil|", "0111")
_HAS_LOOK_ALIKE: Final = re.compile(r"[oil|][0-9oil|]|[0-9][oil|]")
REAL_DIGITS: Final = 8


@dataclass(frozen=True, slots=True)
class Card:
    """`plain[start:end]` is a card number. `code_length`: how long its security code is."""

    start: int
    end: int
    last_four: str
    code_length: int


@dataclass(frozen=True, slots=True)
class _Chain:
    """Groups of digits that may belong together: their places, and the gap in front of each but the first."""

    spans: list[tuple[int, int]]
    gaps: list[str]


def find_cards(plain: str, joint: int = -1) -> list[Card]:
    """Card numbers in `plain`, in order, never overlapping. Linear in its length.

    Args: joint: the place of the line break between two messages, where any gap will do; -1: one message.
    """
    found = [card for chain in _chains(plain, joint) for card in _cards_in(plain, chain, joint)]
    if not found and _HAS_LOOK_ALIKE.search(plain):
        swapped = plain.translate(_LOOK_ALIKE)
        for chain in _chains(swapped, joint):
            found += (
                card
                for card in _cards_in(swapped, chain, joint, embossed_only=True)
                if sum("0" <= c <= "9" for c in plain[card.start : card.end]) >= REAL_DIGITS
            )
    return found


def lengths_of(prefix: str) -> tuple[int, ...]:
    """The lengths that cards beginning with these four digits have, the likeliest first; empty: no issuer's range.

    Source: the ranges that the card networks publish, as collected under ISO/IEC 7812.
    """
    match prefix[0]:
        case "4":
            return (16, 19, 13)  # Visa
        case "5":
            if "51" <= prefix[:2] <= "55":
                return (16,)  # Mastercard
            if prefix[:2] in ("50", "56", "57", "58"):
                return _maestro(prefix)
        case "2":
            if "2221" <= prefix <= "2720" or "2200" <= prefix <= "2204":
                return (16,)  # Mastercard, Mir
        case "3":
            if prefix[:2] in ("34", "37"):
                return (15,)  # American Express
            if "3528" <= prefix <= "3589":
                return _FOUR_TO_NINETEEN  # JCB
            if "300" <= prefix[:3] <= "305" or prefix[:2] in ("36", "38"):
                return (14, 16)  # Diners Club
        case "6":
            if prefix == "6011" or prefix[:2] in ("62", "65") or "644" <= prefix[:3] <= "649":
                return _FOUR_TO_NINETEEN  # Discover, UnionPay
            return _maestro(prefix)
    return ()


def _maestro(prefix: str) -> tuple[int, ...]:
    return (*_FOUR_TO_NINETEEN, 13, 14, 15) if prefix in _SHORT_MAESTRO else _FOUR_TO_NINETEEN


def _chains(plain: str, joint: int) -> Iterator[_Chain]:
    chain = _Chain([], [])
    for group in _GROUP.finditer(plain):
        start, end = group.span()
        if chain.spans:
            last = chain.spans[-1][1]
            gap = plain[last:start] if start - last <= 2 * _GAP_OF_WORDS + 2 * _GAP else BREAK
            if last <= joint < start:
                gap = BREAK if BREAK in gap else "\n"
            elif len(gap) > _GAP or (len(gap) > _GAP_OF_WORDS and _LETTER.search(gap)):
                gap = BREAK
            if BREAK in gap:
                yield chain
                chain = _Chain([], [])
            else:
                chain.gaps.append(gap)
        chain.spans.append((start, end))
    if chain.spans:
        yield chain


def _cards_in(plain: str, chain: _Chain, joint: int, *, embossed_only: bool = False) -> Iterator[Card]:
    digits = "".join(plain[start:end] for start, end in chain.spans)
    if len(digits) < SHORTEST:
        return
    if digits[:2] in _PARCEL_BEGINS and tuple(end - start for start, end in chain.spans) == _PARCEL:
        return
    sums = _running_sums(digits)
    offsets = [0]
    for start, end in chain.spans:
        offsets.append(offsets[-1] + end - start)
    group_at = {offset: number for number, offset in enumerate(offsets)}
    taken = 0
    for first, offset in enumerate(offsets[:-1]):
        if offset < taken or offset + SHORTEST > len(digits):
            continue
        for length in lengths_of(digits[offset : offset + 4]):
            after = group_at.get(offset + length)
            if after is None or _sum(sums, offset, offset + length) % 10 != 0:
                continue
            start, end = chain.spans[first][0], chain.spans[after - 1][1]
            sizes = tuple(b - a for a, b in chain.spans[first:after])
            if embossed_only and sizes not in _EMBOSSED and len(sizes) > 1:
                continue
            if not _is_one_number(sizes, chain.gaps[first : after - 1], plain[start:end]):
                continue
            number = digits[offset : offset + length]
            if not luhn.is_valid(number):
                continue
            taken = offset + length
            yield Card(start, end, number[-4:], 4 if length == 15 else 3)
            break


def _is_one_number(sizes: tuple[int, ...], gaps: list[str], written: str) -> bool:
    """Whether groups of these sizes with these gaps are one number, not a list of prices, dates and times."""
    if sizes == _TICKET:
        return False
    if len(sizes) == 1 or sizes in _EMBOSSED:
        return True
    is_regular = len(set(sizes[:-1])) == 1 and sizes[-1] <= sizes[0]
    kinds = {gap for gap in gaps if gap != "\n"}
    if any(_LETTER.search(gap) for gap in kinds):
        return is_regular and len(kinds) == 1
    if is_regular or len(kinds) <= 1:
        return True
    return not _DATE_OR_TIME.search(written)


def _running_sums(digits: str) -> tuple[list[int], list[int]]:
    """Check sums of every head of `digits`, with the digits at even and at odd places doubled.

    With them the check of any window costs two subtractions, so the whole search stays linear.
    """
    sums: tuple[list[int], list[int]] = ([0], [0])
    for place, digit in enumerate(digits):
        value = int(digit)
        doubled = value * 2 - 9 if value > 4 else value * 2
        for parity in (0, 1):
            sums[parity].append(sums[parity][-1] + (doubled if place % 2 == parity else value))
    return sums


def _sum(sums: tuple[list[int], list[int]], start: int, end: int) -> int:
    """The last digit of a window is not doubled, so those of the other parity are."""
    column = sums[end % 2]
    return column[end] - column[start]
