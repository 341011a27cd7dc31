"""The demo airline's own small server: its public pages with the widget, and its side of the records connector.

Knows the contract of docs/RECORDS.md from the company's side, and shows how little it takes. It stands for a company's
server: it shares no memory with the chat server and must not import its store, hub or actions.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from datetime import date
from html import escape
from string import Template
from typing import Annotated, Final, Literal, TypeVar
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta, Struct
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from aparte import signing
from aparte.demo.bookings import PLACES, Airline, Booking, Gone, Language, day_name
from aparte.demo.files import demo_file, media_type
from aparte.demo.tracked import TrackerLog
from aparte.errors import BadSetting, BadSignature

__all__ = ["CONNECTOR_PATH", "Airline", "create_airline"]

CONNECTOR_PATH: Final = "/records"  # the connector's URL is the airline's origin and this
ASKED_BYTES: Final = 16 * 1024

_PAGES: Final[dict[Language, str]] = {"en": "airline.html", "fr": "airline.fr.html"}
_TRACKED: Final[dict[Language, str]] = {"en": "tracked.html", "fr": "tracked.fr.html"}
_FILES: Final = ("airline.css", "tracked.css", "tracked.js", "tracker.js", "logo.svg", "hero.svg")
_SITE: Final = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-")

Handler = Callable[[Request], Awaitable[Response]]
_AskedT = TypeVar("_AskedT", bound="_Find")


def create_airline(
    *,
    chat_url: str,
    site: str,
    secret: bytes,
    today: date,
    key_id: str = "airline-1",
    clock: Callable[[], float] = time.time,
) -> Starlette:
    """The airline as an ASGI application; `app.state.airline` is its `Airline`, `app.state.tracker` what was tracked.

    Args: chat_url the origin of the chat server, for the widget's one line; site the site's id there; secret and
    key_id the connector's; today the day that bookings are relative to; clock in epoch seconds.
    Raises BadSetting.
    """
    signing.check_secret(secret)
    chat = _origin(chat_url)
    if not site or not set(site) <= _SITE:
        raise BadSetting("A site's id is made of small letters, digits and dashes.")
    airline = Airline(today)
    tracker = TrackerLog()
    seen = signing.SeenNonces()
    keys = {key_id: secret}

    def page(language: Language) -> Handler:
        async def answer(_: Request) -> Response:
            text = Template(demo_file(_PAGES[language]).decode()).substitute(
                chat=escape(chat),
                site=escape(site),
                today=escape(_today(airline, language)),
                rows=_rows(airline, language),
            )
            return Response(text, media_type="text/html", headers=_page_headers(chat))

        return answer

    def verb(kind: type[_AskedT], act: Callable[[Airline, _AskedT], dict[str, object] | None]) -> Handler:
        async def answer(request: Request) -> Response:
            body = await _body(request)
            path = request.scope["raw_path"].decode("latin-1")
            try:
                proven = signing.verify_request(
                    keys.get, seen, method="POST", path=path, headers=request.headers, body=body, now=clock()
                )
            except BadSignature as error:
                # Not signed: whoever asks has not shown that it holds a secret to check our signature with.
                return JSONResponse({"error": error.code}, error.status)
            status, said = _act(airline, kind, act, body)
            told = msgspec.json.encode(said)
            headers = signing.sign_answer(keys[proven.key_id], proven, status=status, body=told)
            return Response(told, status, {**headers, "Cache-Control": "no-store"}, "application/json")

        return answer

    app = Starlette(
        routes=[
            Route("/", page("en")),
            Route("/fr", page("fr")),
            *(Route(f"/static/{name}", _file(name)) for name in _FILES),
            Route("/tracker", tracker.take, methods=["POST"]),
            Route("/tracker", _told("en", chat)),
            Route("/fr/tracker", _told("fr", chat)),
            Route("/tracker/seen", tracker.tell),
            Route(f"{CONNECTOR_PATH}/find", verb(_Find, _find), methods=["POST"]),
            Route(f"{CONNECTOR_PATH}/contact", verb(_Find, _contact), methods=["POST"]),
            Route(f"{CONNECTOR_PATH}/details", verb(_Details, _details), methods=["POST"]),
            Route(f"{CONNECTOR_PATH}/change", verb(_Change, _change), methods=["POST"]),
        ]
    )
    app.state.airline = airline
    app.state.tracker = tracker
    return app


# ── the connector ───────────────────────────────────────────────────────────────────────────────────────────────

_Reference = Annotated[str, Meta(min_length=1, max_length=40)]


class _Find(Struct, forbid_unknown_fields=True):
    reference: _Reference


class _Details(_Find):
    language: Literal["en", "fr"]


class _Change(_Details):
    option: Annotated[str, Meta(min_length=1, max_length=100)]
    key: Annotated[str, Meta(min_length=1, max_length=128)]


def _act(
    airline: Airline,
    kind: type[_AskedT],
    act: Callable[[Airline, _AskedT], dict[str, object] | None],
    body: bytes,
) -> tuple[int, dict[str, object]]:
    """Status and answer: 200, or 400 not the contract's, 404 no such record, 409 the option is not offered."""
    try:
        said = act(airline, msgspec.json.decode(body, type=kind))
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return 400, {"error": "bad_request"}
    except Gone:
        return 409, {"error": "gone"}
    return (404, {"error": "not_found"}) if said is None else (200, said)


def _find(airline: Airline, asked: _Find) -> dict[str, object] | None:
    booking = airline.find(asked.reference)
    return {"reference": booking.reference} if booking else None


def _contact(airline: Airline, asked: _Find) -> dict[str, object] | None:
    booking = airline.find(asked.reference)
    if booking is None or booking.email is None:
        return None
    return {"reference": booking.reference, "email": booking.email, "language": booking.language}


def _details(airline: Airline, asked: _Details) -> dict[str, object] | None:
    booking = airline.find(asked.reference)
    return airline.details(booking, asked.language) if booking else None


def _change(airline: Airline, asked: _Change) -> dict[str, object] | None:
    booking: Booking | None = airline.find(asked.reference)
    return airline.change(booking, asked.option, asked.key, asked.language) if booking else None


async def _body(request: Request) -> bytes:
    """The request's body, cut beyond the limit: a cut body fails its signature."""
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > ASKED_BYTES:
            break
    return bytes(body[:ASKED_BYTES])


# ── the pages ───────────────────────────────────────────────────────────────────────────────────────────────────


def _page_headers(chat: str) -> dict[str, str]:
    """As strict as a company's page can be: what the widget needs is one script and one frame from the chat host."""
    policy = {
        "default-src": "'none'",
        "script-src": f"'self' {chat}",
        "frame-src": chat,
        "style-src": "'self'",
        "img-src": "'self'",
        "connect-src": "'self'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
    }
    return {
        "Content-Security-Policy": "; ".join(f"{name} {value}" for name, value in policy.items()),
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "strict-origin-when-cross-origin",
        "Cache-Control": "no-cache",
    }


def _told(language: Language, chat: str) -> Handler:
    """The page that tells a visitor what the tracker saw."""

    async def answer(_: Request) -> Response:
        return Response(demo_file(_TRACKED[language]), media_type="text/html", headers=_page_headers(chat))

    return answer


def _file(name: str) -> Handler:
    async def answer(_: Request) -> Response:
        headers = {"X-Content-Type-Options": "nosniff", "Cache-Control": "no-cache"}
        return Response(demo_file(name), media_type=media_type(name), headers=headers)

    return answer


def _today(airline: Airline, language: Language) -> str:
    return day_name(airline.today, language, with_year=True)


def _rows(airline: Airline, language: Language) -> str:
    """The rows of today's departures."""
    return "\n".join(
        f'<tr><td><time datetime="{flight.leaves:%H:%M}">{flight.leaves:%H:%M}</time></td>'
        f'<th scope="row">{escape(PLACES[flight.to].names[language])} <abbr>{flight.to}</abbr></th>'
        f'<td>{flight.number}</td><td>{flight.gate}</td><td><time datetime="{flight.arrives:%H:%M}">'
        f"{flight.arrives:%H:%M}</time></td></tr>"
        for flight in airline.departures()
    )


def _origin(url: str) -> str:
    """The origin of `url`, fit to stand in a policy header. Raises BadSetting."""
    parts = urlsplit(url)
    origin = f"{parts.scheme}://{parts.netloc}"
    if parts.scheme not in ("http", "https") or not parts.hostname or url.rstrip("/") != origin:
        raise BadSetting("The chat server's address is an origin such as https://chat.example.org.")
    if any(c in origin for c in " ;,'\"<>@"):
        raise BadSetting("The chat server's address holds a sign that an origin cannot have.")
    return origin
