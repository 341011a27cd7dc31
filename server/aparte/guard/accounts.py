"""Finds international bank account numbers (IBAN, ISO 13616) in a text that was read.

Knows how long each country's are. Structure and check digits are python-stdnum's. Must not know what is done
about one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from stdnum import iban

from aparte.guard.reading import BREAK


def _lengths(entries: str) -> dict[str, int]:
    return {entry[:2].lower(): int(entry[2:]) for entry in entries.split()}


# Country and length in characters. Source: the IBAN registry of SWIFT, as carried by python-stdnum.
_LENGTHS: Final = _lengths(
    "AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BI27 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DJ27 DK18 DO28 EE20 EG29 "
    "ES24 FI18 FK18 FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 HN28 HR21 HU28 IE22 IL23 IQ23 IS26 IT27 JO30 KW30 KZ20 "
    "LB28 LC32 LI21 LT20 LU20 LV21 LY25 MC27 MD24 ME22 MK19 MN20 MR27 MT31 MU30 NI28 NL18 NO15 OM23 PK24 PL28 PS29 "
    "PT25 QA29 RO24 RS22 RU33 SA24 SC31 SD18 SE24 SI19 SK24 SM27 SO23 ST25 SV28 TL23 TN24 TR26 UA29 VA22 VG24 XK20 "
    "YE30"
)
SHORTEST: Final = min(_LENGTHS.values())

_KEPT: Final = re.compile(r"[0-9a-z]")
_BEGIN: Final = re.compile(r"[a-z]{2}[0-9]{2}")
FEWEST_DIGITS: Final = 10  # none has fewer; it spares the arithmetic on words
_GAP: Final = 24  # characters between two of one number, at most: a line break and some indentation
# For the remainder by 97 a letter counts as two digits, a as 10 up to z as 35.
_VALUES: Final = str.maketrans({chr(ord("a") + n): str(10 + n) for n in range(26)})


@dataclass(frozen=True, slots=True)
class Account:
    """`plain[start:end]` is an account number."""

    start: int
    end: int
    country: str
    last_four: str


def find_accounts(plain: str) -> list[Account]:
    """Account numbers in `plain`, in order, never overlapping. Linear in its length."""
    spots = [kept.start() for kept in _KEPT.finditer(plain)]
    if len(spots) < SHORTEST:
        return []
    compact = "".join(plain[spot] for spot in spots)
    found: list[Account] = []
    at = 0
    while (begin := _BEGIN.search(compact, at)) is not None:
        first = begin.start()
        at = first + 2  # the next may begin inside a false start
        length = _LENGTHS.get(compact[first : first + 2], 0)
        after = first + length
        if not length or after > len(compact):
            continue
        number = compact[first:after]
        if sum(c.isdigit() for c in number) < FEWEST_DIGITS:
            continue
        if int((number[4:] + number[:4]).translate(_VALUES)) % 97 != 1:
            continue
        start, end = spots[first], spots[after - 1] + 1
        if BREAK in plain[start:end] or any(b - a > _GAP for a, b in pairwise(spots[first:after])):
            continue
        if plain[end : end + 1].isdigit():  # a longer number goes on here
            continue
        if not iban.is_valid(number.upper(), check_country=False):
            continue
        found.append(Account(start, end, number[:2].upper(), number[-4:].upper()))
        at = after
    return found
