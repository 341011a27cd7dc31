"""The guard: takes card numbers, security codes and bank account numbers out of a text before it is kept.

Knows what may be stored. Must not know who speaks, about what, or where the text goes. Pure: no clock, no files,
no store.

It catches what people type by mistake and the disguises that pass a filter by accident or by play. It is no
defence against someone who wants to write a number down: words and pictures always can.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from aparte.guard import accounts, cards, codes
from aparte.guard.outgoing import addresses, asks_for_secret, foreign_links
from aparte.guard.proof import without_proof
from aparte.guard.reading import BREAK, CARD_MARK, CODE_MARK, IBAN_MARK, masked, read

__all__ = ["Cleaned", "addresses", "asks_for_secret", "clean", "foreign_links", "needs_previous", "without_proof"]

# The start of a message that may complete something, and the end of the one before that it may complete. An IBAN
# of 34 characters, each with a separator, and some words fit.
_HEAD: Final = 64
_TAIL: Final = 120
# A removal could uncover something that stood glued to it. No such text is known; looking again is cheap, and a
# bound keeps the work linear.
_LOOKS: Final = 3
_FEWEST: Final = 3  # no secret has fewer digits

_DIGIT: Final = re.compile("[0-9]")
_KEPT: Final = re.compile("[0-9]|[a-z]{2,4}[0-9]{2}")  # how the second half of a number begins
# Every character that is read as a digit, or as several characters with a digit among them.
_ANY_DIGIT: Final = re.compile(
    r"[\d¹²³¼-¾፩-፱៰-៹᧚⁰⁴-⁹₀-₉⅐-⅞⅟↉①-⓿❶-➓〇一七三九二五八六四零㆒-㆕㈠-㈨㈩㉈-㉟㊀-㊉㊱-㊿㋀-㋋㍘-㍰㏠-㏾⼀⼆⼋㍸㍹㎟-㎨㎯\uf9b2\uf9d1"
    r"\U00010a40-\U00010a43\U00010e60-\U00010e68\U00011052-\U0001105a\U0001f100-\U0001f10a🈔🈩🈪🉁🉂]"
)


class Cleaned(NamedTuple):
    """`text` may be stored. `found`: the kinds that were taken out, in order: "card", "security_code", "iban"."""

    text: str
    found: tuple[str, ...]


def needs_previous(text: str) -> bool:
    """Whether `text` could complete a secret that the message before began. Cheap: asked of every message."""
    return (_DIGIT if text.isascii() else _ANY_DIGIT).search(text, 0, _HEAD) is not None


def clean(text: str, previous: str = "") -> Cleaned:
    """`text` without the secrets in it.

    Of a card number the last four digits stay, of an IBAN the country and the last four characters, of a security
    code nothing. Linear in the length. Raises nothing, whatever the text.

    Args:
        text: what is about to be stored.
        previous: the sender's last stored text in the conversation. A number begun there and completed here is
            found, and its part in `text` goes; the first half is stored already and stays.
    """
    if text.isascii():
        digits = len(_DIGIT.findall(text))
    elif _ANY_DIGIT.search(text) is None:
        digits = 0
    else:
        digits = len(text)  # not worth counting: one character can be two digits
    if digits == 0 or (digits < _FEWEST and not previous):
        return Cleaned(text, ())
    cleaned = _cleaned_once(text, previous)
    for _ in range(_LOOKS):
        if not cleaned.found:
            break
        again = _cleaned_once(cleaned.text, "")
        if not again.found:
            break
        cleaned = Cleaned(again.text, cleaned.found + again.found)
    return cleaned


def _cleaned_once(text: str, previous: str) -> Cleaned:
    reading = read(text)
    before = ""
    if previous and needs_previous(text):
        before = read(previous[-_TAIL:]).plain + "\n"
    base = len(before)
    plain = before + reading.plain
    spots = [
        (_own(plain, start, base) - base, end - base, kind, mark)
        for start, end, kind, mark in _find(plain, base)
        if end > base
    ]
    if not spots:
        return Cleaned(text, ())
    pieces: list[str] = []
    at = 0
    for start, end, _, mark in spots:
        pieces += (text[at : reading.places[start]], mark)
        # One character can be read as two; when the secret ends between them, all of it goes.
        at = max(reading.places[end], reading.places[end - 1] + 1)
    pieces.append(text[at:])
    return Cleaned("".join(pieces), tuple(kind for _, _, kind, _ in spots))


def _own(plain: str, start: int, base: int) -> int:
    """Where a secret's part in the message itself starts: words in front of the second half stay."""
    if start >= base:
        return start
    rest = _KEPT.search(plain, base)
    return rest.start() if rest else base


def _find(plain: str, base: int) -> list[tuple[int, int, str, str]]:
    """Secrets in `plain` in order: start, end, kind, mark. `base`: where the message begins, after the one before."""
    joint = base - 1
    spots: list[tuple[int, int, str, str]] = []
    digits = len(_DIGIT.findall(plain))
    for account in accounts.find_accounts(plain) if digits >= accounts.FEWEST_DIGITS else ():
        spots.append((account.start, account.end, "iban", IBAN_MARK.format(account.country, account.last_four)))
        plain = masked(plain, account.start, account.end)
    ends: list[tuple[int, int]] = []
    # Look-alike letters may stand for some of a card's digits.
    for card in cards.find_cards(plain, joint) if digits >= cards.REAL_DIGITS else ():
        spots.append((card.start, card.end, "card", CARD_MARK.format(card.last_four)))
        ends.append((card.end, card.code_length))
    for start, end, _, _ in spots:
        plain = masked(plain, start, end)
    code_spots = codes.find_codes(plain, ends)
    if not code_spots and base and (_ends_in_card(plain[:joint]) or codes.ends_in_name(plain[:joint])):
        bare = codes.find_bare_code(plain, base)
        code_spots = [bare] if bare else []
    spots += [(start, end, "security_code", CODE_MARK) for start, end in code_spots]
    return sorted(spots)


def _ends_in_card(plain: str) -> bool:
    return plain.rstrip(" .,;:\n").endswith(BREAK)
