"""Finds cards' security codes (and PINs) in a text that was read: beside their usual names, or beside a card.

Knows the names in English and French and the few words that may stand between a name and its code. Must not know
what is done about one. A number of three or four digits is no secret by itself; only its place makes it one.
"""

from __future__ import annotations

import re
from typing import Final

NAMES: Final = (
    r"c[ .]?v[ .]?[vcn][ .]?2?|c[ .]?v[ .]?c2?|csc|cid"
    r"|card (?:verification|validation|identification)|verification (?:code|value|number)"
    r"|(?:security|secret|safety) (?:code|number|digits)|codes? (?:secret|confidentiel|pin)s?|pin(?: code)?"
    r"|crypto(?:gramme)?(?: visuel)?|codes? (?:de )?(?:securite|verification|validation)|code (?:au dos|de la carte)"
    r"|(?:[34]|three|four)[ -](?:last |final )?(?:digits?|numbers?|figures?) (?:code )?(?:on|at|from) (?:the |its )?(?:back|reverse|front)"
    r"|(?:[34]|trois|quatre)(?: derniers?)?(?: petits?)? chiffres (?:qui sont |situes? |inscrits? )?(?:au dos|au verso|derriere|de derriere)"
)
# One of these is part of every name: cheap to look for before the names themselves.
HINTS: Final = (
    "cv",
    "c v",
    "c.v",
    "code",
    "crypto",
    "csc",
    "cid",
    "pin",
    "card ",
    "digit",
    "number",
    "figure",
    "chiffre",
    "value",
)
_NAME: Final = re.compile(rf"(?<![a-z])(?:{NAMES})(?![a-z])")


def _words(words: str) -> frozenset[str]:
    return frozenset(words.split())


# What may stand between a name and its code. Any other word means that the number is about something else.
_BETWEEN: Final = _words(
    "is are it its it's s the my our your this that a an of on for to and code number value digits digit numbers card "
    "credit debit visa mastercard amex back reverse front side be would being namely here "
    "est sont c'est cest c le la les l ma mon mes notre votre ce cet cette un une de du des d au a dos verso et pour numero "
    "n no nr num carte bancaire bleue cb bleu voici suivant chiffres chiffre visuel securite qui suit donc"
)
_BACK: Final = _words("is are was it's the my as for s c'est est le la les mon ma comme pour sont ce code number un")
# What may stand between a card number and the code behind it.
_BEHIND_CARD: Final = _BETWEEN | _words(
    "exp expiry expires expire expiring expiration valid validity thru through until till date end ends month year "
    "expirant validite valable jusqu jusqu'a jusqu'au fin annee mois then with avec puis sec secu security crypto"
)
_MONEY: Final = re.compile(
    r"\s{0,2}(?:[€$£%]|eur\b|euros?\b|dollars?\b|pounds?\b|livres?\b|usd\b|gbp\b|chf\b|[.,:][0-9])"
)

_WINDOW: Final = 64  # characters looked at on either side
_WORD: Final = re.compile(r"[^\W\d_](?:['’]?[^\W\d_])*")
_GAP: Final = re.compile(r"[^0-9\ue000]{0,40}")
_SPELT: Final = re.compile(r"[0-9](?:[ ._\-/*]{1,3}[0-9]){2,3}(?![0-9])")
_EXPIRY: Final = re.compile(
    r"(?:0?[1-9]|1[0-2])(?:\s?[/.\-]\s?| )(?:20)?[0-9]{2}(?![0-9])|(?:0[1-9]|1[0-2])(?:20)?[2-4][0-9](?![0-9])"
)
_COUNT: Final = re.compile(r"[34] (?:digits?|chiffres|numbers)(?![a-z])")
_NUMBER: Final = re.compile(r"[0-9]+")
_IN_FRONT: Final = re.compile(r"(?<![0-9.,:/-])([0-9]{3,4})([^0-9\ue000]{1,20})$")


def find_codes(plain: str, cards: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Slices of `plain` that are codes, in order, never overlapping. Linear in its length.

    Args: cards: of each card number where it ends, and how many digits its code has.
    """
    found = [spot for end, length in cards if (spot := _code_behind(plain, end, _BEHIND_CARD, (length,)))]
    for name in _NAME.finditer(plain) if any(hint in plain for hint in HINTS) else ():
        # Both sides, whatever the other holds: else a second look would find what the first left.
        sides = (_code_in_front(plain, name.start()), _code_behind(plain, name.end(), _BETWEEN, (3, 4)))
        found += (spot for spot in sides if spot)
    found.sort()
    apart: list[tuple[int, int]] = []
    for spot in found:
        if not apart or spot[0] >= apart[-1][1]:
            apart.append(spot)
    return apart


def find_bare_code(plain: str, start: int) -> tuple[int, int] | None:
    """The code, when nothing but a code and the words around one is in `plain` from `start` on.

    It answers for a message that follows one which ended in a card or in a code's name.
    """
    spot = _code_behind(plain, start, _BEHIND_CARD, (3, 4))
    if (
        spot
        and not _NUMBER.search(plain, spot[1])
        and all(word in _BEHIND_CARD or _NAME.fullmatch(word) for word in _WORD.findall(plain[spot[1] :]))
    ):
        return spot
    return None


def ends_in_name(plain: str) -> bool:
    """Whether the text stops at a code's name, so that the code may be the next thing said."""
    tail = plain[-_WINDOW:]
    names = list(_NAME.finditer(tail))
    return bool(names) and _are_all(tail[names[-1].end() :], _BETWEEN) and not _NUMBER.search(tail, names[-1].end())


def _code_behind(plain: str, at: int, words: frozenset[str], lengths: tuple[int, ...]) -> tuple[int, int] | None:
    stop = at + _WINDOW
    for _ in range(3):  # an expiry date and "(3 digits)" may come first
        gap = _GAP.match(plain, at, stop)
        if gap is None or not _are_all(gap[0], words):
            return None
        at = gap.end()
        number = _NUMBER.match(plain, at)
        if number is None:
            return None
        passed = _COUNT.match(plain, at) or _EXPIRY.match(plain, at)
        if len(number[0]) in lengths and not (passed and len(number[0]) == 4 and 3 in lengths and 4 not in lengths):
            return None if _MONEY.match(plain, number.end()) else number.span()
        if passed:
            at = passed.end()
            continue
        spelt = _SPELT.match(plain, at)
        if spelt and sum(c.isdigit() for c in spelt[0]) in lengths:
            return spelt.span()
        return None
    return None


def _code_in_front(plain: str, at: int) -> tuple[int, int] | None:
    window = plain[max(0, at - _WINDOW) : at]
    front = _IN_FRONT.search(window)
    if front is None or any(c in ".;!?\n" for c in front[2]) or not _are_all(front[2], _BACK):
        return None
    start = at - len(window) + front.start(1)
    return start, start + len(front[1])


def _are_all(gap: str, words: frozenset[str]) -> bool:
    return all(word.replace("’", "'") in words for word in _WORD.findall(gap))
