"""Topics are noticed in English and French, in what customers ask and in what agents tell."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aparte.topics import Noticed, named, notice, possible_references, references

FORMATS = ("XXXXXX",)

# What is said, by who says it and by the topic it has: made up for these tests, in English and French.
LINES: dict[str, dict[str, list[str]]] = json.loads((Path(__file__).parent / "data" / "topics.json").read_text("utf-8"))
SAID = [(who, topic, text) for who, topics in LINES.items() for topic, texts in topics.items() for text in texts]


@pytest.mark.parametrize(("who", "topic", "text"), SAID)
def test_it_notices_the_topic_of_what_is_said(who: str, topic: str, text: str) -> None:
    assert notice(text, FORMATS, by_staff=who == "staff").topic == topic


@pytest.mark.parametrize("text", LINES["staff"]["general"] + LINES["customer"]["general"])
def test_it_finds_no_reference_in_general_talk(text: str) -> None:
    assert notice(text, FORMATS).references == ()


def test_it_notices_every_line_of_the_story() -> None:
    """Mr Dupont moves his flight: what he says, and what the agent must not say before the check."""
    asked = notice(
        "I'd like to move my flight to Toronto from next Tuesday to the Tuesday after; my booking is QX7T4P", FORMATS
    )
    assert asked == Noticed("booking", ("QX7T4P",))
    offer = "Of course. You are in economy class, so there is a 58 euro supplement; shall we charge the card on file?"
    assert notice(offer, FORMATS, by_staff=True).topic == "payment"
    assert notice("Your flight is now on Tuesday 8 December, 14:05.", FORMATS, by_staff=True).topic == "booking"
    check = "I can help with that. First, a quick check: I'll send a code to the address on file for your booking."
    assert notice(check, FORMATS, by_staff=True).topic == "general"


@pytest.mark.parametrize(
    ("text", "references"),
    [
        ("my booking is QX7T4P", ("QX7T4P",)),
        ("qx7t4p", ("QX7T4P",)),
        ("QX7T4P and qx7t4p, then AB12CD.", ("QX7T4P", "AB12CD")),
        ("ＱＸ７Ｔ４Ｐ", ("QX7T4P",)),
        ("QX7\u200bT4P", ("QX7T4P",)),
        ("QX7T4PP QX7T4 Monday 123456 abcdef", ()),
        ("it costs 58euro, 200EUR, 1500km, 14h05m", ()),
        ("flight KL0691 is late", ()),
        ("KL0691 is late", ()),
        ("my booking reference is KL0691", ("KL0691",)),
        # of one kind: only where it is called a reference, and letters in capitals
        ("my booking is KLMPQR", ("KLMPQR",)),
        ("Booking reference: KLMPQR, please", ("KLMPQR",)),
        ("PNR (KLMPQR)", ()),  # a text of capitals alone
        ("Mon dossier n° KLMPQR", ("KLMPQR",)),
        ("réservation 482913", ("482913",)),
        ("My booking number is 482913.", ("482913",)),
        ("BOOKING 482913", ("482913",)),
        ("my booking klmpqr", ()),
        ("my booking PLEASE", ("PLEASE",)),  # better once too often
        ("the booking of KLMPQR and 482913", ()),
        ("I PAID FOR MY BOOKING PLEASE", ()),
        ("482913 euros for KLMPQR", ()),
    ],
)
def test_it_finds_the_references_that_the_sites_masks_admit(text: str, references: tuple[str, ...]) -> None:
    assert notice(text, FORMATS).references == references


def test_it_judges_an_agents_reference_more_strictly_than_a_customers() -> None:
    assert notice("KL0691", FORMATS, by_staff=True) == Noticed("booking", ("KL0691",))
    assert notice("Flight KL0691", FORMATS, by_staff=True) == Noticed("general", ())


@pytest.mark.parametrize("reference", ["KLMPQR", "482913", "LM2K9R"])
def test_it_notices_a_reference_of_any_kind_that_an_agent_names(reference: str) -> None:
    text = f"Booking {reference} is under the name of Ms Berg"
    assert notice(text, FORMATS, by_staff=True) == Noticed("booking", (reference,))


def test_it_reads_masks_of_digits_letters_and_signs() -> None:
    formats = ("999999", "AA-9999", "AAAAAA")
    assert notice("123456 and ab-1234 and 12345", formats).references == ("123456", "AB-1234")
    assert notice("please", formats).references == ()
    assert notice("my reference is MDBEEI", formats).references == ("MDBEEI",)
    assert notice("a+b c", ("A+A",)).references == ()
    assert notice("ref a+b c", ("A+A",)).references == ("A+B",)


def test_it_finds_no_reference_for_a_site_without_masks() -> None:
    assert notice("my booking is QX7T4P").references == ()
    assert notice("QX7T4P", ("", "---")) == Noticed("general", ())


def test_it_names_the_more_sensitive_of_two_topics() -> None:
    text = "Your flight is now on Tuesday; there is a 58 euro supplement."
    assert notice(text, by_staff=True).topic == "payment"


def test_it_reads_over_line_ends_and_typographic_signs() -> None:
    assert notice("Your flight\nis now on  Tuesday.", by_staff=True).topic == "booking"
    assert notice("you’re booked on the 14:05", by_staff=True).topic == "booking"
    assert notice("J’ai déplacé votre vol.", by_staff=True).topic == "booking"


@given(st.text(st.characters(exclude_categories=[])), st.booleans())
def test_it_raises_on_no_text(text: str, by_staff: bool) -> None:
    assert notice(text, FORMATS, by_staff=by_staff).topic in ("general", "booking", "payment")


# Words, references of every kind, and what stands between them, in odd orders.
pieces = st.sampled_from(
    ["QX7T4P", "qx7-t4p", "Q X 7 T 4 P", "KL0691", "KLMPQR", "482913", "PLEASE", "please", "074-1234567", "0741234567", "0 7 4 1 2 3 4 5 6 7",
     "booking ", "ref ", "flight ", " ", ", ", "-", "é", "\u200b", "20kg", "a", "1", "ＱＸ７Ｔ４Ｐ"]
)  # fmt: skip


@given(st.lists(pieces, max_size=20).map("".join), st.lists(pieces, max_size=6).map("".join))
def test_the_references_of_a_text_are_the_same_when_they_alone_are_asked_for(text: str, other: str) -> None:
    formats = ("XXXXXX", "999–9999999")
    all_named = notice(text, formats).references
    assert named(text, formats) == all_named
    for among in (possible_references(text, formats), possible_references(other, formats), frozenset(all_named[1:])):
        assert named(text, formats, among) == tuple(one for one in all_named if one in among)


@pytest.mark.parametrize("text", ["MOVE MY FLIGHT TO LONDON 1 ", "Q X 7 T 4 P ", "1 2 3 4 ", "a1 b2 my booking "])
def test_a_text_in_which_none_of_those_stands_is_not_searched(text: str) -> None:
    long = (text * 4000)[:4000]
    assert lines_run(lambda: named(long, FORMATS, {"PLEASE", "LM2K9R"})) < 30


def test_a_text_in_capitals_is_looked_through_once_and_not_for_every_word() -> None:
    class Watched(str):
        """A text that counts how often it is looked through as a whole."""

        __slots__ = ()
        looks = 0

        def isupper(self) -> bool:
            Watched.looks += 1
            return super().isupper()

    cased = Watched("MOVE MY FLIGHT TO LONDON 1 " * 100)
    plain = cased.lower()
    assert references.find(cased, plain, frozenset(plain.split()), FORMATS, has_digit=True, by_staff=False) == ()
    assert Watched.looks == 1


def lines_run(work: Callable[[], object]) -> int:
    count = 0

    def local(_frame: FrameType, event: str, _arg: object) -> Any:
        nonlocal count
        count += event == "line"
        return local

    def trace(frame: FrameType, _event: str, _arg: object) -> Any:
        return local if "topics" in frame.f_code.co_filename else None

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
    return count


@pytest.mark.parametrize("by_staff", [True, False])
@pytest.mark.parametrize("hostile", ["QX7T4P ", "your flight ", "refund 1 ", "my ", "confirm "])
def test_it_works_in_proportion_to_the_length_and_looks_at_four_thousand_characters(
    hostile: str, by_staff: bool
) -> None:
    short, long, longer = (
        lines_run(lambda size=size: notice((hostile * size)[:size], FORMATS, by_staff=by_staff))  # type: ignore[misc]  # called at once
        for size in (1000, 4000, 16_000)
    )
    assert long < 4.6 * short + 50
    assert longer == long


@pytest.mark.parametrize(
    ("text", "by_staff"),
    [
        ("I have your bookingreference here", True),
        ("we found your seating for monday", True),
        ("Vous nepartez mardi ?", True),
        ("where do I find my bookingnumber", False),
        ("what is my ticketno", False),
        ("my bookingcode is lost", False),
    ],
)
def test_words_that_were_written_together_are_noticed(text: str, by_staff: bool) -> None:
    """What rules a pattern out before it is tried must not be stricter than the pattern."""
    assert notice(text, FORMATS, by_staff=by_staff).topic == "booking"


@pytest.mark.parametrize(
    "text",
    ["Q X 7 T 4 P is confirmed for Toronto.", "q-x-7-t-4-p all fine", "It is Q.X.7.T.4.P", "q, x, 7, t, 4, p", "Q - X - 7 - T - 4 - P"],
)  # fmt: skip
def test_a_reference_that_is_spelt_out_is_noticed(text: str) -> None:
    assert notice(text, FORMATS, by_staff=True) == Noticed("booking", ("QX7T4P",))
    assert notice(text, FORMATS).references == ("QX7T4P",)


@pytest.mark.parametrize(
    ("text", "mask"),
    [
        ("Options 1, 2, 3 or a b c", "XXX"), ("Seats A B C D E F", "XXXXXX"), ("from a b c d e f", "AAAAAA"),
        ("at 8 a.m. or 9 p.m.", "XXXXXX"), ("1 2 3 4", "9999"),
    ],
)  # fmt: skip
def test_single_characters_in_a_row_are_no_reference_by_themselves(text: str, mask: str) -> None:
    assert notice(text, (mask,)).references == ()


def test_what_could_be_a_reference_in_groups_is_told_from_words() -> None:
    assert possible_references("QX7 T4P is fine, and 074 1234567 too", ("XXXXXX", "999-9999999")) == {
        "QX7T4P",
        "074-1234567",
    }
    assert "QX7T4P" in possible_references("so qx7-t4p it is", FORMATS)
    assert "KLMPQR" in possible_references("KLMPQR: all is well", FORMATS)
    assert possible_references("I have 1 car for you at 10 am; please wait", FORMATS) == frozenset()
