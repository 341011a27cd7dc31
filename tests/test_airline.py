"""Twin of demo/airline.py and demo/bookings.py: the company's side of the connector, its bookings and its pages."""

from __future__ import annotations

import json
import re
import time
from datetime import date, timedelta
from html.parser import HTMLParser
from typing import Any

import httpx2
import pytest
from starlette.applications import Starlette

from aparte import signing
from aparte.demo.airline import create_airline
from aparte.demo.bookings import TIMETABLE, Airline, Gone, day_name, money, next_weekday
from aparte.demo.tracked import KEPT
from aparte.errors import BadSetting
from listening import serving

SECRET = b"0123456789abcdef0123456789abcdef"
CHAT = "http://127.0.0.1:8080"


def airline_app(today: date = date(2026, 11, 26), **other: Any) -> Starlette:
    return create_airline(**{"chat_url": CHAT, "site": "air-aparte", "secret": SECRET, "today": today, **other})


# ── the bookings ────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("days", range(7))
def test_it_books_mr_dupont_for_next_tuesday_and_offers_the_tuesday_after(days: int) -> None:
    today = date(2026, 11, 23) + timedelta(days)
    airline = Airline(today)
    booking = airline.find("QX7T4P")
    assert booking is not None
    assert booking.departs.weekday() == 1
    assert timedelta(0) < booking.departs.date() - today <= timedelta(7)
    departs, supplement = next(iter(airline.options(booking).values()))
    assert departs - booking.departs == timedelta(7)
    assert supplement == 5800


def test_it_flies_on_the_days_that_its_bookings_name() -> None:
    days = {flight.number: flight.weekdays for flight in TIMETABLE}
    for first in range(14):
        airline = Airline(date(2026, 2, 20) + timedelta(first))
        for booking in airline.bookings.values():
            assert booking.departs.date() > airline.today
            for departs in (booking.departs, *(offered[0] for offered in airline.options(booking).values())):
                assert departs.weekday() in days[booking.flight]


def test_it_moves_a_booking_once_and_writes_the_supplement_down() -> None:
    airline = Airline(date(2026, 11, 26))
    booking = airline.bookings["QX7T4P"]
    option = next(iter(airline.options(booking)))
    first = airline.change(booking, option, "key-1", "fr")
    assert airline.change(airline.bookings["QX7T4P"], option, "key-1", "fr") == first
    assert airline.bookings["QX7T4P"].due == 5800
    with pytest.raises(Gone):
        airline.change(airline.bookings["QX7T4P"], option, "key-2", "fr")
    with pytest.raises(Gone):
        airline.change(airline.bookings["LM2K9R"], option, "key-1", "fr")
    details = airline.details(airline.bookings["QX7T4P"], "fr")
    assert details["options"] == []
    assert {"label": "À régler", "value": "58,00\u00a0€, pas encore débités"} in details["lines"]  # type: ignore[operator]  # a JSON value


def test_it_renews_its_dates_and_forgets_changes() -> None:
    airline = Airline(date(2026, 11, 26))
    booking = airline.bookings["QX7T4P"]
    airline.change(booking, next(iter(airline.options(booking))), "key-1", "en")
    airline.renew(date(2027, 3, 1))
    renewed = airline.bookings["QX7T4P"]
    assert renewed.departs.date() == date(2027, 3, 2)
    assert (renewed.due, renewed.changes) == (0, 0)
    assert airline.change(renewed, next(iter(airline.options(renewed))), "key-1", "en")


def test_it_holds_another_persons_booking_and_one_without_an_address() -> None:
    bookings = Airline(date(2026, 11, 26)).bookings
    emails = [booking.email for booking in bookings.values()]
    assert len(bookings) == len(set(emails)) == 3
    assert None in emails


def test_it_writes_days_and_money_as_each_language_does() -> None:
    first = date(2026, 12, 1)
    assert day_name(first, "en", with_year=True) == "Tuesday 1 December 2026"
    assert day_name(first, "fr") == "mardi 1er décembre"
    assert day_name(date(2026, 12, 2), "fr") == "mercredi 2 décembre"
    assert (money(5800, "en"), money(5805, "fr")) == ("€58.00", "58,05\u00a0€")
    assert next_weekday(first, 1) == date(2026, 12, 8)


# ── the connector, from the company's side ──────────────────────────────────────────────────────────────────────


async def ask(origin: str, verb: str, asked: object, **other: Any) -> httpx2.Response:
    body = asked if isinstance(asked, bytes) else json.dumps(asked).encode()
    signed = signing.sign_request(
        SECRET,
        **{
            "key_id": "airline-1",
            "method": "POST",
            "path": f"/records/{verb}",
            "time": int(time.time()),
            "nonce": other.pop("nonce", f"nonce-{time.monotonic_ns():020}"),
            "body": body,
            **other,
        },
    )
    async with httpx2.AsyncClient(trust_env=False) as client:
        return await client.post(f"{origin}/records/{verb}", content=body, headers=signed)


async def test_it_answers_only_signed_requests_and_each_once() -> None:
    async with serving(airline_app()) as origin:
        right = {"reference": "QX7T4P"}
        assert (await ask(origin, "find", right, nonce="the-same-nonce-twice-01")).status_code == 200
        assert (await ask(origin, "find", right, nonce="the-same-nonce-twice-01")).status_code == 401
        assert (await ask(origin, "find", right, time=int(time.time()) - 302)).status_code == 401
        assert (await ask(origin, "contact", right, path="/records/find")).status_code == 401
        async with httpx2.AsyncClient(trust_env=False) as client:
            plain = await client.post(f"{origin}/records/contact", json=right)
            assert (plain.status_code, plain.json()) == (401, {"error": "bad_signature"})
            assert (await client.get(f"{origin}/records/contact")).status_code == 405


async def test_it_signs_every_answer_to_a_proven_request() -> None:
    nonce = "a-nonce-of-this-test-001"
    async with serving(airline_app()) as origin:
        answer = await ask(origin, "find", {"reference": "nothing"}, nonce=nonce)
    assert answer.status_code == 404
    signing.verify_answer(
        SECRET, key_id="airline-1", nonce=nonce, status=404, headers=answer.headers, body=answer.content
    )


@pytest.mark.parametrize(
    ("verb", "asked"),
    [
        ("find", b""),
        ("find", b"[]"),
        ("find", b"{"),
        ("find", b'{"reference":"\xff"}'),
        ("find", b"[" * 15_000),
        ("find", {}),
        ("find", {"reference": 7}),
        ("find", {"reference": ""}),
        ("find", {"reference": "x" * 41}),
        ("find", {"reference": "QX7T4P", "more": 1}),
        ("details", {"reference": "QX7T4P"}),
        ("details", {"reference": "QX7T4P", "language": "nl"}),
        ("change", {"reference": "QX7T4P", "language": "en", "option": "x"}),
        ("change", {"reference": "QX7T4P", "language": "en", "option": "x", "key": ""}),
    ],
)
async def test_it_says_bad_request_to_what_is_not_of_the_contract(verb: str, asked: object) -> None:
    async with serving(airline_app()) as origin:
        answer = await ask(origin, verb, asked)
    assert (answer.status_code, answer.json()) == (400, {"error": "bad_request"})


async def test_it_reads_no_more_than_a_request_may_hold() -> None:
    async with serving(airline_app()) as origin:
        assert (await ask(origin, "find", b" " * 20_000)).status_code == 401


# ── the pages ───────────────────────────────────────────────────────────────────────────────────────────────────


class Page(HTMLParser):
    """What a page carries: its tags with their attributes, and whether anything stands inside a script or style."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.inline = ""
        self._in = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._in = tag

    def handle_endtag(self, _: str) -> None:
        self._in = ""

    def handle_data(self, data: str) -> None:
        if self._in in ("script", "style"):
            self.inline += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.mark.parametrize(("path", "language"), [("/", "en"), ("/fr", "fr")])
async def test_it_carries_the_widget_by_one_line_under_a_strict_policy(path: str, language: str) -> None:
    async with serving(airline_app()) as origin, httpx2.AsyncClient(trust_env=False) as client:
        answer = await client.get(origin + path)
    assert (
        f'<script async src="{CHAT}/widget.js" data-site="air-aparte" data-contact="tel:+31205550199"></script>'
        in answer.text
    )
    page = Page(answer.text)
    assert page.all("html") == [{"lang": language}]
    assert [script["src"] for script in page.all("script")] == ["/static/tracker.js", f"{CHAT}/widget.js"]
    assert page.inline == ""
    assert not [name for _, attributes in page.tags for name in attributes if name.startswith("on") or name == "style"]
    policy = dict(part.split(" ", 1) for part in answer.headers["Content-Security-Policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == f"'self' {CHAT}"
    assert policy["frame-src"] == CHAT
    assert policy["style-src"] == policy["connect-src"] == "'self'"
    assert "$" not in answer.text  # every blank of the template was filled


@pytest.mark.parametrize("path", ["/", "/fr", "/tracker", "/fr/tracker"])
async def test_it_links_only_to_what_is_there(path: str) -> None:
    async with serving(airline_app()) as origin, httpx2.AsyncClient(trust_env=False) as client:
        page = Page((await client.get(origin + path)).text)
        ids = {attributes["id"] for _, attributes in page.tags if "id" in attributes}
        for link in page.all("a"):
            href = link["href"] or ""
            if href.startswith("#"):
                assert href[1:] in ids
            elif not href.startswith(CHAT):
                assert (await client.get(origin + href)).status_code == 200
        for tag, name in (("img", "src"), ("link", "href")):
            for attributes in page.all(tag):
                assert (await client.get(origin + str(attributes[name]))).status_code == 200
        style = (await client.get(f"{origin}/static/airline.css")).text
        for address in re.findall(r"url\(\"([^\"]+)\"\)", style):
            assert (await client.get(origin + address)).headers["Content-Type"] == "image/svg+xml"


async def test_it_shows_todays_departures() -> None:
    async with httpx2.AsyncClient(trust_env=False) as client:
        async with serving(airline_app(date(2026, 12, 1))) as origin:
            tuesday = (await client.get(f"{origin}/fr")).text
        async with serving(airline_app(date(2026, 12, 2))) as origin:
            wednesday = (await client.get(origin)).text
    assert "mardi 1er décembre 2026" in tuesday
    assert "<td>AP 641</td>" in tuesday
    assert "Copenhague" in tuesday
    assert "Wednesday 2 December 2026" in wednesday
    assert "<td>AP 641</td>" not in wednesday


@pytest.mark.parametrize(
    "wrong",
    [
        {"chat_url": "http://127.0.0.1:8080/path"},
        {"chat_url": "http://127.0.0.1; script-src *"},
        {"chat_url": "javascript:alert(1)"},
        {"chat_url": "http://user@127.0.0.1"},
        {"chat_url": ""},
        {"site": 'x" onload="alert(1)'},
        {"site": ""},
        {"secret": b"short"},
    ],
)
def test_it_refuses_settings_that_would_break_its_pages(wrong: dict[str, Any]) -> None:
    with pytest.raises(BadSetting):
        airline_app(**wrong)


# ── what the tracker reports ────────────────────────────────────────────────────────────────────────────────────


async def test_it_keeps_what_the_tracker_reports() -> None:
    async with serving(airline_app()) as origin, httpx2.AsyncClient(trust_env=False) as client:
        assert (await client.get(f"{origin}/tracker/seen")).json() == {"count": 0, "dropped": 0, "entries": []}
        seen = [{"how": "keydown", "what": "a"}, {"how": "text", "what": "b"}]
        assert (await client.post(f"{origin}/tracker", content=json.dumps(seen))).status_code == 204
        for after in range(4):
            told = (await client.get(f"{origin}/tracker/seen?after={after}")).json()
            assert told == {"count": 2, "dropped": 0, "entries": seen[after:]}
        for after in ("", "-1", "x", "9" * 5_000):
            assert (await client.get(f"{origin}/tracker/seen?after={after}")).status_code == 400


async def test_it_tells_how_many_notes_it_dropped() -> None:
    async with serving(airline_app()) as origin, httpx2.AsyncClient(trust_env=False) as client:
        for start in range(0, KEPT + 4_000, 4_000):
            notes = [{"how": "text", "what": str(number)} for number in range(start, start + 4_000)]
            assert (await client.post(f"{origin}/tracker", content=json.dumps(notes))).status_code == 204
        total = KEPT + 4_000
        for after, first in ((0, 4_000), (3_999, 4_000), (total - 2, total - 2)):
            told = (await client.get(f"{origin}/tracker/seen?after={after}")).json()
            assert (told["count"], told["dropped"]) == (total, 4_000)
            assert [note["what"] for note in told["entries"]] == [str(number) for number in range(first, total)]


@pytest.mark.parametrize(
    ("report", "status"),
    [(b"", 400), (b"{}", 400), (b'[{"how":1,"what":""}]', 400), (b"[" * 50_000, 400), (b" " * (1 << 21), 413)],
)
async def test_it_takes_no_report_of_another_form(report: bytes, status: int) -> None:
    async with serving(airline_app()) as origin, httpx2.AsyncClient(trust_env=False) as client:
        assert (await client.post(f"{origin}/tracker", content=report)).status_code == status
        assert (await client.get(f"{origin}/tracker/seen")).json()["count"] == 0
