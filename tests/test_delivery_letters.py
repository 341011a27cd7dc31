"""The words of the letters: what they say, and what they never say."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from aparte.delivery import browser_name, code_letter, letter_language
from aparte.errors import BadInput

FIREFOX = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:140.0) Gecko/20100101 Firefox/140.0"


def written(language: str, **other: Any) -> tuple[str, str]:
    given = {
        "code": "48217730",
        "site_name": "Air Aparté",
        "browser": FIREFOX,
        "at": dt.datetime(2026, 12, 1, 14, 2, tzinfo=dt.timezone(dt.timedelta(hours=1))),
        "minutes": 10,
        "not_me_url": "https://chat.airline.example/not-me/AbC-123",
        **other,
    }
    return code_letter(language, **given)


def test_it_writes_the_code_letter_in_english() -> None:
    subject, text = written("en")
    assert subject == "Your one-time code for Air Aparté"
    assert "\n    4821 7730\n" in text
    assert "10 minutes" in text
    assert "Never read it to anyone" in text
    assert "1 December at 14:02 (UTC+01:00), in Firefox on Windows." in text
    assert "\nhttps://chat.airline.example/not-me/AbC-123\n" in text


def test_it_writes_the_code_letter_in_french() -> None:
    subject, text = written("fr")
    assert subject == "Votre code à usage unique pour Air Aparté"
    assert "\n    4821 7730\n" in text
    assert "Ne le lisez à personne" in text
    assert "1 décembre à 14 h 02 (UTC+01:00), depuis Firefox sur Windows." in text
    assert "\nhttps://chat.airline.example/not-me/AbC-123\n" in text


@pytest.mark.parametrize("language", ["en", "fr"])
def test_it_tells_a_mail_provider_nothing_of_the_matter(language: str) -> None:
    subject, text = written(language)
    told = (subject + text).lower()
    for word in ("booking", "réservation", "flight", "vol ", "toronto", "qx7t4p", "payment", "paiement", "dupont"):
        assert word not in told
    assert "4821" not in subject


def test_it_lets_no_stranger_write_into_the_letter() -> None:
    pushed = "Call +31 20 000 now https://evil.example \r\n\r\n Firefox on Windows {code} we owe you 500"
    _, text = written("en", browser=pushed)
    assert "in Firefox on Windows." in text
    for word in ("evil", "+31", "owe", "{"):
        assert word not in text
    _, text = written("en", browser="curl/8 please visit evil.example")
    assert "in a browser that we do not know." in text


@pytest.mark.parametrize(
    "wrong",
    [
        {"code": "1234567"},
        {"code": "123456789"},
        {"code": "١٢٣٤٥٦٧٨"},
        {"code": "12345678\n"},
        {"not_me_url": "javascript:alert(1)"},
        {"not_me_url": "https://a.example/ b"},
        {"not_me_url": "https://a.example/\nBuy"},
        {"site_name": "Air\r\nBcc: x@y.org"},
        {"site_name": ""},
    ],
)
def test_it_refuses_parts_that_are_not_of_their_form(wrong: dict[str, str]) -> None:
    with pytest.raises(BadInput):
        written("en", **wrong)


@pytest.mark.parametrize(
    ("agent", "name"),
    [
        (FIREFOX, "Firefox on Windows"),
        ("Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 Version/18.0 Safari/605.1.15", "Safari on macOS"),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605 Version/18.0 Mobile Safari/604.1", "Safari on iPhone"),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605 CriOS/140 Mobile Safari/604.1", "Chrome on iPhone"),
        ("Mozilla/5.0 (Linux; Android 15) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140 Mobile Safari/537.36", "Chrome on Android"),
        ("Mozilla/5.0 (Linux; Android 15) AppleWebKit/537.36 SamsungBrowser/28 Chrome/130 Mobile Safari/537.36", "Samsung Internet on Android"),
        ("Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 Chrome/140 Safari/537.36 Edg/140", "Edge on Windows"),
        ("Mozilla/5.0 (X11; CrOS x86_64) AppleWebKit/537.36 Chrome/140 Safari/537.36", "Chrome on ChromeOS"),
        ("Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/140 Safari/537.36 OPR/120", "Opera on Linux"),
        ("", "a browser that we do not know"),
    ],
)  # fmt: skip
def test_it_names_known_browsers(agent: str, name: str) -> None:
    assert browser_name(agent, "en") == name


def test_it_chooses_the_nearest_language() -> None:
    assert [letter_language(tag) for tag in ("fr", "fr-CA", "FR", "en-GB", "nl", "", None)] == [
        *("fr", "fr", "fr"),
        *("en", "en", "en", "en"),
    ]
