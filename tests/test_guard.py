"""The guard takes secrets out of texts however they are disguised, and leaves references alone.

The disguises are in data/disguises.json, which the browser's twin is held to as well. All card numbers are the
payment networks' and processors' public test numbers.
"""

from __future__ import annotations

import json
import random
import re
import string
import sys
import unicodedata
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from stdnum import luhn

from aparte.guard import addresses, asks_for_secret, clean, foreign_links, needs_previous, without_proof
from aparte.guard.cards import lengths_of
from aparte.guard.proof import PROOF_MARK
from aparte.guard.reading import BREAK, read

CASES = json.loads((Path(__file__).parent / "data" / "disguises.json").read_text())
SECRET = [case for case in CASES if case["found"]]
CARD = "4242424242424242"


def test_it_knows_at_least_sixty_disguises_and_harmless_texts() -> None:
    assert len([case for case in SECRET if "card" in case["found"]]) >= 60
    assert len([case for case in CASES if not case["found"]]) >= 20


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_it_finds_each_disguise_and_keeps_the_rest(case: dict[str, Any]) -> None:
    cleaned = clean(case["text"], case.get("previous", ""))
    assert cleaned.text == case["clean"]
    assert list(cleaned.found) == case["found"]


@pytest.mark.parametrize("case", SECRET, ids=lambda case: case["name"])
def test_it_asks_for_the_message_before_whenever_that_is_needed(case: dict[str, Any]) -> None:
    if "previous" in case:
        assert needs_previous(case["text"])
        assert clean(case["text"]).text == case["text"]  # by itself it is nothing


@pytest.mark.parametrize("text", ["", "Hello", "Thank you very much!", "à bientôt", "x" * 100 + "4242"])
def test_it_does_not_ask_for_the_message_before_without_a_digit_in_reach(text: str) -> None:
    assert not needs_previous(text)


def test_it_reads_every_character_that_it_takes_for_a_digit_in_the_quick_question_too() -> None:
    missed = []
    for code in range(0x80, sys.maxunicode + 1):
        character = chr(code)
        if re.search("[0-9]", read(character).plain) and not needs_previous(character):
            missed.append(f"U+{code:04X}")
    assert missed == []


def test_it_reads_every_decimal_digit_of_unicode_as_its_value() -> None:
    for code in range(sys.maxunicode + 1):
        value = unicodedata.decimal(chr(code), None)
        if value is not None:
            assert read(chr(code)).plain == str(value)


def test_it_joins_nothing_across_a_place_where_something_was_taken_out() -> None:
    text = "4242 4242 [card ending 1111] 4242 4242"
    assert clean(text).text == text
    assert clean("4242 4242", "4242 4242 [security code removed]").found == ()
    assert clean("NL91 ABNA [card ending 4242] 0417 1643 00").found == ()


def test_it_removes_the_whole_of_a_character_that_ends_a_secret_and_says_more() -> None:
    assert clean("424242424242424㏡").text == "[card ending 4242]"  # one character: "2" and "day"


def test_it_does_not_let_a_text_carry_the_sign_of_a_removal() -> None:
    assert clean(f"4242{BREAK}4242{BREAK}4242{BREAK}4242").found == ("card",)


def test_it_leaves_the_first_half_and_removes_the_second() -> None:
    first = clean("my card is 4242 4242 4242")
    assert first.found == ()
    second = clean("4242, thanks", first.text)
    assert second.text == "[card ending 4242], thanks"


def test_it_takes_a_number_for_a_code_only_beside_a_card_or_a_name() -> None:
    assert clean("737").found == ()
    assert clean("737", "see you at gate 12").found == ()
    assert clean("737 is my flight", "[card ending 4242]").found == ()
    assert clean("737", "the number on the back of it, the cvv:").found == ("security_code",)


@pytest.mark.parametrize(
    ("prefix", "lengths"),
    [
        ("4000", (16, 19, 13)), ("5100", (16,)), ("5599", (16,)), ("2221", (16,)), ("2720", (16,)), ("2199", ()), ("2721", ()),
        ("3400", (15,)), ("3700", (15,)), ("3528", (16, 19, 18, 17)), ("3589", (16, 19, 18, 17)), ("3527", ()), ("3590", ()),
        ("3000", (14, 16)), ("3059", (14, 16)), ("3060", ()), ("3600", (14, 16)), ("3800", (14, 16)), ("6011", (16, 19, 18, 17)),
        ("6759", (16, 19, 18, 17, 13, 14, 15)), ("6200", (16, 19, 18, 17)), ("0000", ()), ("1000", ()), ("7000", ()),
        ("8000", ()), ("9400", ()),
    ],
)  # fmt: skip
def test_it_knows_the_issuers_ranges(prefix: str, lengths: tuple[int, ...]) -> None:
    assert lengths_of(prefix) == lengths


# --- references must not be taken for cards


def references(count: int) -> list[str]:
    """Booking references, tickets and parcel numbers as carriers form them, drawn with a fixed seed."""
    draw = random.Random(23)

    def digits(n: int) -> str:
        return "".join(draw.choice(string.digits) for _ in range(n))

    def letters(n: int) -> str:
        return "".join(draw.choice(string.ascii_uppercase) for _ in range(n))

    def mixed(n: int) -> str:
        return "".join(draw.choice(string.ascii_uppercase + string.digits) for _ in range(n))

    def grouped(number: str) -> str:
        return " ".join(number[at : at + 4] for at in range(0, len(number), 4))

    airlines = "074 057 220 125 001 006 016 618 176 235 080 257 724 081 205 607 695 555 160 131 217 047 055 117".split()
    formats: list[Callable[[], str]] = [
        lambda: mixed(6),  # booking reference
        lambda: mixed(5),
        lambda: digits(8),
        lambda: digits(10),
        lambda: draw.choice(airlines) + "-" + digits(10),  # ticket
        lambda: draw.choice(airlines) + " " + digits(10),
        lambda: draw.choice(airlines) + digits(10),
        lambda: "1Z" + mixed(6) + digits(10),  # UPS
        lambda: digits(12),  # FedEx
        lambda: digits(15),
        lambda: "96" + digits(20),
        lambda: grouped(digits(12)),
        lambda: "94" + digits(20),  # USPS
        lambda: grouped("94" + digits(20)),
        lambda: "420" + digits(5) + "92" + digits(20),
        lambda: "JD01" + digits(16),  # DHL
        lambda: digits(11),
        lambda: "00340" + digits(15),
        lambda: letters(2) + digits(9) + letters(2),  # postal union
        lambda: draw.choice("568") + letters(1) + digits(11),  # Colissimo
        lambda: "05" + digits(12),  # DPD
        lambda: digits(16),  # Canada Post
        lambda: letters(4) + digits(7),  # container
        lambda: f"KL{digits(4)}/{digits(2)}{letters(3)}{digits(2)}",  # flight and date
    ]
    return [formats[number % len(formats)]() for number in range(count)]


def test_it_takes_under_six_in_a_thousand_references_for_a_secret() -> None:
    drawn = references(10_000)
    hits = [one for one in drawn if clean(one).found or clean(f"My reference is {one}, thanks.").found]
    assert len(hits) < 60, f"{len(hits)} of {len(drawn)}: {hits[:20]}"


# --- for any text at all

# Digits, separators and names in odd orders find more than letters drawn from all of Unicode do.
pieces = st.sampled_from(
    [
        CARD, "4242 4242 ", "4242-4242", "378282246310005", "42", "4", "2", "0", "737", "12/27", " ", "-", ".", "\n", "x",
        "\u200b", "٤", "４", "㊷", "½", "cvv ", "code ", "PIN", "cryptogramme", "FR76 3000 6000 0112 3456 7890 189",
        "NL91ABNA", "0417164300", "[card ending 4242]", "\ue000", "\x00", "\ud800", "%20", "[", "]", "exp", "O", "l", "€",
        "İ", "ß",
    ]
)  # fmt: skip
texts = st.one_of(st.text(st.characters(exclude_categories=[])), st.lists(pieces, max_size=24).map("".join))


@given(texts, texts)
def test_it_raises_on_no_text(text: str, previous: str) -> None:
    clean(text, previous)
    needs_previous(text)
    asks_for_secret(text)
    foreign_links(text, ("airline.example", "*.airline.example"), addresses(previous))


@given(texts)
@example("424242424242424½")
@example("4242 4242 4242 4242 4242 4242 4242 4242")
@example("4242424242424242FR7630006000011234567890189")
@example("000:CVC000")
@example("CVC000CVC000")
@example("CVC00¼4242424242424242")
@example("cvv 123 456")
@example("4242424242424242 1 123")
def test_it_finds_nothing_more_in_what_it_has_cleaned(text: str) -> None:
    once = clean(text)
    assert clean(once.text) == type(once)(once.text, ())


@given(texts)
def test_it_leaves_no_run_of_digits_that_could_be_a_card(text: str) -> None:
    for run in re.findall("[0-9]+", read(clean(text).text).plain):
        assert not (13 <= len(run) <= 19 and len(run) in lengths_of(run[:4]) and luhn.is_valid(run))


@given(st.sampled_from(["4242424242424242", "378282246310005", "5555555555554444", "30569309025904"]), st.data())
def test_it_finds_a_card_with_any_one_separator_anywhere(number: str, data: st.DataObject) -> None:
    separator = data.draw(st.sampled_from(" -./_,:*|~\u00a0\u2009\u2013\u2022\u200b\u00ad\t\n"))
    cuts = data.draw(st.sets(st.integers(1, len(number) - 1)))
    written = "".join(digit + (separator if place in cuts else "") for place, digit in enumerate(number, 1))
    if [len(part) for part in written.split(separator)] != [3, 10]:
        assert clean(written).found == ("card",)


@given(st.text(alphabet=string.ascii_letters + " ,.!?'àéè€", max_size=200))
def test_it_returns_a_text_without_digits_as_it_is(text: str) -> None:
    assert clean(text) == clean(text).__class__(text, ())


def test_it_gives_every_place_in_the_text_back() -> None:
    text = "a\u200b㊷é𝟒\ud800z"
    reading = read(text)
    assert len(reading.places) == len(reading.plain) + 1
    assert reading.places[-1] == len(text)
    assert [text[place] for place in reading.places[:-1]] == ["a", "㊷", "㊷", "é", "𝟒", "\ud800", "z"]


# --- work grows with the length, no faster


def lines_run(work: Callable[[], object]) -> int:
    """How many lines of the guard run: a count does not depend on how busy the machine is."""
    count = 0

    def local(_frame: FrameType, event: str, _arg: object) -> Any:
        nonlocal count
        count += event == "line"
        return local

    def trace(frame: FrameType, _event: str, _arg: object) -> Any:
        return local if "guard" in frame.f_code.co_filename else None

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
    return count


@pytest.mark.parametrize(
    "hostile",
    ["4 ", "4242 ", "4" * 50 + " ", "FR76 ", "FR76", "cvv ", "cvv 1 ", "٤ ", "4\u3164", "4o", "4242 4242 4242 4242 ", "6 2 0 ", "4242x", "12/27 ", "http://a.b/ ", "a.b@", "a@b.c "],
)  # fmt: skip
def test_it_works_in_proportion_to_the_length(hostile: str) -> None:
    short, long = (hostile * (size // len(hostile)) for size in (1000, 4000))
    for work in (clean, asks_for_secret, addresses, lambda text: foreign_links(text, ("airline.example",))):
        assert lines_run(lambda work=work: work(long)) < 4.6 * lines_run(lambda work=work: work(short)) + 200  # type: ignore[misc]  # each lambda is called at once
    assert lines_run(lambda: clean(long)) < 150_000


# --- what an agent must not ask


@pytest.mark.parametrize(
    "text",
    [
        "What is your CVV?", "What's the security code on your card?", "Could you give me the three digits on the back?",
        "Please send me your password.", "I need your PIN to go on.", "Can you read me the code we sent you?",
        "Please tell me the 8-digit code that you received.", "Read the code out to me, please", "And the CVV?",
        "May I have your password?", "Could you confirm your full card number?", "What code did you get? Tell me the code we sent.",
        "Just type your CVV here.", "Please enter your password in this chat", "Don't forget to give me the code you received.",
        "Quel est votre mot de passe ?", "Pouvez-vous me donner le cryptogramme ?", "Donnez-moi les 3 chiffres au dos de la carte.",
        "Merci de m'envoyer le code que vous avez reçu.", "Quel est le code reçu par SMS ?", "J'ai besoin de votre code de sécurité.",
        "Il me faut le cryptogramme visuel", "Lisez-moi le code à 8 chiffres, s'il vous plaît.", "Le code au dos ?",
        "Indiquez-moi votre code PIN.", "Veuillez me communiquer le code de vérification.", "W\u200bhat is your C\u200bVV?",
        "Ｗｈａｔ ｉｓ ｙｏｕｒ ＣＶＶ？", "Send over the OTP please",
        "Give me the eight digits you just received", "Tell me the numbers that we texted you.", "What is the number we just sent you?",
        "Please share the 8-digit number", "Donnez-moi les huit chiffres que vous venez de recevoir.", "Quels sont les chiffres reçus ?",
        "Dites-moi le numéro que vous avez reçu", "Read me the eight digits", "Give me the digits from the SMS", "Donnez-moi les 8 chiffres du mail",
    ],
)  # fmt: skip
def test_it_notices_an_agent_who_asks_for_a_secret(text: str) -> None:
    assert asks_for_secret(text)


@pytest.mark.parametrize(
    "text",
    [
        "Please never tell anyone the code.", "We will never ask for your password.", "Never send your CVV in a message.",
        "I'll send a code to the address on file for your booking.", "The code is on its way.", "Have you received the code?",
        "Please type the code into the card above.", "Enter the code in the box that you see.", "Please confirm the code in the card above.",
        "Indiquez le code reçu dans la case ci-dessus.", "You can reset your password on our site.",
        "Forgot your password? Use the link on the sign-in page.", "May I have your booking number?", "What is your booking code, QX7T4P?",
        "Do you have your booking number?", "Can you tell me your name?", "The code is valid for 10 minutes.",
        "Ne donnez jamais ce code à personne.", "Nous ne vous demanderons jamais votre mot de passe.",
        "Je vous envoie un code à l'adresse enregistrée.", "Avez-vous reçu le code ?", "Saisissez le code dans la carte ci-dessus.",
        "Vous pouvez réinitialiser votre mot de passe sur notre site.", "Puis-je avoir votre numéro de réservation ?",
        "What is the post code of the airport?", "The dress code is casual.", "Quel est le code postal ?", "Use the code SUMMER on our site.",
        "What is the booking number you received?", "Quel est le numéro de réservation que vous avez reçu ?", "May I have the number of bags?",
        "Type the eight digits you received into the card above.", "Can you give me the telephone number you sent it from?",
        "Never tell anyone the digits you received.", "Could I have the numbers of your bags?", "May I have the last four digits of your phone number?",
    ],
)  # fmt: skip
def test_it_lets_an_agent_explain_and_start_a_check(text: str) -> None:
    assert not asks_for_secret(text)


def test_it_finds_the_code_of_a_check_and_no_date_nor_telephone_number() -> None:
    cases = json.loads((Path(__file__).parent / "data" / "proofs.json").read_text("utf-8"))
    for text in cases["taken"]:
        cleaned, is_found = without_proof(text)
        assert is_found, text
        assert PROOF_MARK in cleaned
        assert not re.search(r"\d", cleaned)
    for text in cases["left"]:
        assert without_proof(text) == (text, False)
