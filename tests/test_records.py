"""Twin of records.py: the client against the demo airline, and against companies that misbehave, over real sockets."""

from __future__ import annotations

import asyncio
import gzip
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from aparte import signing
from aparte.config import Settings
from aparte.demo.airline import Airline, create_airline
from aparte.demo.sockets import loopback_socket, port_of
from aparte.errors import BadSetting, BadState, RecordsDown
from aparte.frames import Line, Money
from aparte.model import Site
from aparte.records import Connector, Records, connector_of
from listening import peer, serving

SECRET = b"0123456789abcdef0123456789abcdef"
THURSDAY = date(2026, 11, 26)
Answer = Callable[[Request, bytes, signing.Proven], Awaitable[Response]]


def settings(seconds: float = 5.0) -> Settings:
    return Settings(data=Path("d"), keyring=Path("k"), root_key=Path("r"), records_timeout_seconds=seconds)


@pytest.fixture
async def records() -> AsyncIterator[Records]:
    made = Records(settings())
    yield made
    await made.close()


@pytest.fixture
async def airline() -> AsyncIterator[tuple[Connector, Airline]]:
    app = create_airline(chat_url="http://127.0.0.1:1", site="air", secret=SECRET, today=THURSDAY)
    async with serving(app) as origin:
        yield Connector(f"{origin}/records", SECRET, "airline-1"), app.state.airline


@asynccontextmanager
async def company(answer: Answer) -> AsyncIterator[Connector]:
    """A company whose every verb is answered by `answer`, after the request's own signature was proven."""

    async def handle(request: Request) -> Response:
        body = await request.body()
        proven = signing.verify_request(
            {"k": SECRET}.get,
            signing.SeenNonces(),
            method=request.method,
            path=request.url.path,
            headers=request.headers,
            body=body,
            now=time.time(),
        )
        return await answer(request, body, proven)

    async with serving(Starlette(routes=[Route("/{verb}", handle, methods=["POST"])])) as origin:
        yield Connector(origin, SECRET, "k")


def says(body: bytes | dict[str, Any], status: int = 200, **headers: str) -> Answer:
    """Always this answer, rightly signed."""
    told = body if isinstance(body, bytes) else json.dumps(body).encode()

    async def answer(_: Request, __: bytes, proven: signing.Proven) -> Response:
        signed = signing.sign_answer(SECRET, proven, status=status, body=told)
        return Response(told, status, {**signed, **headers}, "application/json")

    return answer


# ── the demo airline ────────────────────────────────────────────────────────────────────────────────────────────


async def test_it_finds_a_record_as_people_write_it(records: Records, airline: tuple[Connector, Airline]) -> None:
    connector, _ = airline
    for written in ("QX7T4P", "qx7t4p", " QX7-T4P ", "qx7 t4p"):
        found = await records.find(connector, written)
        assert found is not None
        assert found.reference == "QX7T4P"


async def test_it_finds_nothing_that_is_not_there(records: Records, airline: tuple[Connector, Airline]) -> None:
    connector, _ = airline
    for written in ("QX7T4Q", "", "   ", "x" * 41, "\x00", "QX7T4P' OR 1=1", "é" * 40):
        assert await records.find(connector, written) is None
    assert await records.contact(connector, "QX7T4Q") is None
    assert await records.details(connector, "QX7T4Q", "en") is None


async def test_it_reads_the_address_on_file(records: Records, airline: tuple[Connector, Airline]) -> None:
    connector, _ = airline
    contact = await records.contact(connector, "QX7T4P")
    assert contact is not None
    assert (contact.email, contact.language) == ("m.dupont@example.org", "fr")
    assert "dupont" not in repr(contact)
    assert await records.contact(connector, "ZW8N3C") is None


async def test_it_reads_details_in_both_languages(records: Records, airline: tuple[Connector, Airline]) -> None:
    connector, _ = airline
    english = await records.details(connector, "QX7T4P", "en")
    french = await records.details(connector, "QX7T4P", "fr")
    assert english is not None
    assert french is not None
    assert english.title == "Amsterdam – Toronto"
    assert Line("Departure", "Tuesday 1 December 2026, 14:05") in english.lines
    assert Line("Départ", "mardi 1er décembre 2026, 14\u00a0h\u00a005") in french.lines
    assert english.options[0].label == "Tuesday 8 December, 14:05"
    assert french.options[0].label == "mardi 8 décembre, 14\u00a0h\u00a005"
    assert english.options[0].departs == "2026-12-08T14:05"
    assert english.options[0].supplement == Money(5800, "EUR")


async def test_it_changes_the_record_itself_once(records: Records, airline: tuple[Connector, Airline]) -> None:
    connector, company_side = airline
    details = await records.details(connector, "QX7T4P", "en")
    assert details is not None
    option = details.options[0].id
    changed = await records.change(connector, "QX7T4P", option, key="act-1", language="en")
    assert changed.due == Money(5800, "EUR")
    assert changed.details.state == "Changed"
    assert Line("Departure", "Tuesday 8 December 2026, 14:05") in changed.details.lines
    assert company_side.bookings["QX7T4P"].departs.isoformat() == "2026-12-08T14:05:00"
    assert company_side.bookings["QX7T4P"].due == 5800

    again = await records.change(connector, "QX7T4P", option, key="act-1", language="en")
    assert again == changed
    assert company_side.bookings["QX7T4P"].due == 5800
    with pytest.raises(BadState):
        await records.change(connector, "QX7T4P", option, key="act-2", language="en")
    with pytest.raises(BadState):
        await records.change(connector, "LM2K9R", option, key="act-1", language="en")
    with pytest.raises(BadState):
        await records.change(connector, "QX7T4Q", option, key="act-3", language="en")


async def test_it_asks_for_what_a_wrong_secret_cannot_have(
    records: Records, airline: tuple[Connector, Airline]
) -> None:
    connector, _ = airline
    for wrong in (Connector(connector.url, SECRET[::-1], "airline-1"), Connector(connector.url, SECRET, "airline-2")):
        with pytest.raises(RecordsDown, match="does not accept our signature"):
            await records.details(wrong, "QX7T4P", "en")


async def test_it_says_so_when_the_clocks_are_apart(airline: tuple[Connector, Airline]) -> None:
    connector, _ = airline
    late = Records(settings(), clock=lambda: time.time() - 400)
    with pytest.raises(RecordsDown, match="clock"):
        await late.find(connector, "QX7T4P")
    await late.close()


# ── companies that misbehave ────────────────────────────────────────────────────────────────────────────────────


async def test_it_says_down_when_nobody_listens(records: Records) -> None:
    bound = loopback_socket()
    with pytest.raises(RecordsDown, match="cannot be reached"):
        await records.find(Connector(f"http://127.0.0.1:{port_of(bound)}", SECRET, "k"), "QX7T4P")
    bound.close()


async def test_it_waits_no_longer_than_its_time_for_silence_or_a_drip() -> None:
    async def silent(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.read(-1)

    async def dripping(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        while True:  # each byte comes well within the time that one read may take
            writer.write(b" ")
            await writer.drain()
            await asyncio.sleep(0.05)

    impatient = Records(settings(0.3))
    for talk in (silent, dripping):
        async with peer(talk) as port:
            started = time.monotonic()
            with pytest.raises(RecordsDown, match="too long"):
                await impatient.find(Connector(f"http://127.0.0.1:{port}", SECRET, "k"), "QX7T4P")
            assert time.monotonic() - started < 1.5
    await impatient.close()


@pytest.mark.parametrize(
    ("body", "status", "sentence"),
    [
        ({"reference": "A"}, 500, "fault of its own"),
        ({"reference": "A"}, 503, "fault of its own"),
        ({"reference": "A"}, 302, "has moved"),
        ({"error": "bad_request"}, 400, "refused the question"),
        ({"error": "gone"}, 409, "refused the question"),
        ({"reference": "A"}, 201, "refused the question"),
        (b"", 200, "cannot be understood"),
        (b"<html>", 200, "cannot be understood"),
        (b"[" * 60_000, 200, "cannot be understood"),
        (b'{"reference":"\xff"}', 200, "cannot be understood"),
        (b'{"reference":"\\ud800"}', 200, "cannot be understood"),
        ({"reference": "A", "email": "more@example.org"}, 200, "cannot be understood"),
        ({"reference": {"$ne": ""}}, 200, "cannot be understood"),
        ({"reference": ""}, 200, "cannot be understood"),
        ({"reference": "x" * 41}, 200, "cannot be understood"),
        ({"reference": "A\u0000"}, 200, "cannot be understood"),
        ({"reference": "A\n"}, 200, "cannot be understood"),
        ({"reference": "\u202eA"}, 200, "cannot be understood"),
        (b" " * (256 * 1024 + 1), 200, "too large"),
    ],
)
async def test_it_refuses_answers_outside_the_contract(
    records: Records, body: bytes | dict[str, Any], status: int, sentence: str
) -> None:
    async with company(says(body, status, Location="/elsewhere")) as connector:
        with pytest.raises(RecordsDown, match=sentence):
            await records.find(connector, "A")


async def test_it_does_not_unpack_what_it_did_not_ask_to_be_packed(records: Records) -> None:
    bomb = gzip.compress(b" " * 50_000_000)
    async with company(says(bomb, **{"Content-Encoding": "gzip"})) as connector:
        with pytest.raises(RecordsDown, match="compressed"):
            await records.find(connector, "A")


async def test_it_refuses_an_answer_that_is_not_signed_or_signed_for_another_request(records: Records) -> None:
    kept: list[Response] = []

    async def unsigned(_: Request, __: bytes, ___: signing.Proven) -> Response:
        return Response(b'{"reference":"A"}', media_type="application/json")

    async def missing(_: Request, __: bytes, ___: signing.Proven) -> Response:
        return Response(b"{}", 404)  # an unsigned "no such record" must not hide a record

    async def repeating(request: Request, body: bytes, proven: signing.Proven) -> Response:
        kept.append(await says({"reference": "A"})(request, body, proven))
        return kept[0]

    for answer in (unsigned, missing):
        async with company(answer) as connector:
            with pytest.raises(RecordsDown, match="not signed"):
                await records.find(connector, "A")
    async with company(repeating) as connector:
        assert await records.find(connector, "A") is not None
        with pytest.raises(RecordsDown, match="not signed"):
            await records.find(connector, "A")


async def test_it_uses_nothing_of_another_record(records: Records) -> None:
    details = {"reference": "B", "title": "", "state": "", "lines": [], "options": []}
    async with company(says({"reference": "B", "email": "b@example.org"})) as connector:
        with pytest.raises(RecordsDown, match="another booking"):
            await records.contact(connector, "A")
    async with company(says(details)) as connector:
        with pytest.raises(RecordsDown, match="another booking"):
            await records.details(connector, "A", "en")
    async with company(says({"details": details, "due": {"amount": 0, "currency": "EUR"}})) as connector:
        with pytest.raises(RecordsDown, match="another booking"):
            await records.change(connector, "A", "o", key="k", language="en")


@pytest.mark.parametrize("email", ["", "nobody", "a@example.org\r\nBcc: b@example.org", "a@example.org, b@example.org"])
async def test_it_hands_on_no_address_that_mail_could_not_reach(records: Records, email: str) -> None:
    async with company(says({"reference": "A", "email": email})) as connector:
        assert await records.contact(connector, "A") is None


@pytest.mark.parametrize(
    "supplement",
    [
        {"amount": -1, "currency": "EUR"},
        {"amount": 58.0, "currency": "EUR"},
        {"amount": 10**10, "currency": "EUR"},
        {"amount": "58", "currency": "EUR"},
        {"amount": 58, "currency": "eur"},
        {"amount": 58, "currency": "EUR\n"},
        {"amount": 58},
    ],
)
async def test_it_refuses_money_that_is_not_whole_cents_of_a_currency(
    records: Records, supplement: dict[str, object]
) -> None:
    option = {"id": "o", "label": "l", "departs": "2026-12-08T14:05", "supplement": supplement}
    details = {"reference": "A", "title": "", "state": "", "lines": [], "options": [option]}
    async with company(says(details)) as connector:
        with pytest.raises(RecordsDown, match="cannot be understood"):
            await records.details(connector, "A", "en")


async def test_it_asks_once_more_when_a_kept_connection_is_gone(records: Records) -> None:
    talks = 0

    async def hasty(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal talks
        talks += 1
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        if talks == 1:
            return  # closes without a word, as a server does that was just restarted
        fields = dict(line.split(": ", 1) for line in head.strip().split("\r\n")[1:])
        nonce = next(value for name, value in fields.items() if name.lower() == "aparte-nonce")
        body = b'{"reference":"A"}'
        signed = signing.sign_answer(SECRET, signing.Proven("k", nonce), status=200, body=body)
        signature = signed["Aparte-Signature"]
        writer.write(
            f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\nAparte-Signature: {signature}\r\n\r\n".encode()
        )
        writer.write(body)
        await writer.drain()

    async with peer(hasty) as port:
        assert await records.find(Connector(f"http://127.0.0.1:{port}", SECRET, "k"), "A") is not None
    assert talks == 2


async def test_it_follows_no_proxy_of_the_environment(
    monkeypatch: pytest.MonkeyPatch, airline: tuple[Connector, Airline]
) -> None:
    bound = loopback_socket()
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{port_of(bound)}")
    fresh = Records(settings())
    assert await fresh.find(airline[0], "QX7T4P") is not None
    await fresh.close()
    bound.close()


async def test_it_puts_no_reference_into_an_address(records: Records) -> None:
    asked: list[str] = []

    async def noting(request: Request, body: bytes, proven: signing.Proven) -> Response:
        asked.append(str(request.url))
        return await says({"reference": "QX7T4P"})(request, body, proven)

    async with company(noting) as connector:
        await records.find(connector, "QX7T4P")
    assert len(asked) == 1
    assert "QX7T4P" not in asked[0]


# ── the connector's settings ────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "url",
    [
        "",
        "airline.example",
        "ftp://airline.example",
        "http://airline.example/records",
        "http://10.0.0.1/records",
        "https://user:secret@airline.example/",
        "https://airline.example/?key=1",
        "https://airline.example/#top",
        "https:///records",
        "https://[::1",
    ],
)
def test_it_refuses_a_connector_that_would_leak_or_lead_nowhere(url: str) -> None:
    with pytest.raises(BadSetting, match="connector"):
        Connector(url, SECRET, "k")


def test_it_accepts_https_and_this_machine() -> None:
    for url in ("https://airline.example/records", "https://10.0.0.1/", "http://localhost:1/x", "http://[::1]:1"):
        assert Connector(url, SECRET, "k").url == url


def test_it_keeps_the_secret_out_of_what_is_printed() -> None:
    connector = Connector("https://airline.example", SECRET, "k")
    assert SECRET.decode() not in repr(connector)
    with pytest.raises(BadSetting, match="32 bytes"):
        Connector("https://airline.example", b"short", "k")


def test_it_takes_a_sites_connector() -> None:
    assert connector_of(Site("air", "Air")) is None
    site = Site("air", "Air", records_url="https://a.example", records_key="k", records_secret=SECRET.decode())
    assert connector_of(site) == Connector("https://a.example", SECRET, "k")
