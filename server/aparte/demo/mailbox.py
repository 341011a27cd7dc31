"""The demo's mailbox: a real SMTP server on loopback that keeps letters in memory, and a page that shows them.

Knows SMTP and what a letter looks like. It takes whatever is sent to it and delivers nothing further; it must never
listen beyond loopback.
"""

from __future__ import annotations

import asyncio
import re
import socket
import time
from collections import deque
from dataclasses import dataclass
from email import message_from_bytes, policy
from typing import Any, Final

from aiosmtpd.smtp import SMTP
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from aparte.demo.bookings import Language
from aparte.demo.files import demo_file, media_type
from aparte.demo.sockets import loopback_socket, port_of

KEPT: Final = 200
LETTER_BYTES: Final = 1 << 20
_CODE: Final = re.compile(r"(?m)^\s*([0-9]{4}) ?([0-9]{4})\s*$")
_LINK: Final = re.compile(r"https?://[^\s<>\"]+")
_PAGES: Final[dict[Language, str]] = {"en": "mailbox.html", "fr": "mailbox.fr.html"}
_FILES: Final = ("mailbox.css", "mailbox.js", "mailbox.svg")


@dataclass(frozen=True, slots=True)
class Received:
    """One letter as it came."""

    number: int  # counts from 1
    at: float  # epoch seconds
    to: str
    subject: str
    text: str
    headers: tuple[tuple[str, str], ...]
    raw: bytes

    @property
    def code(self) -> str | None:
        """The one-time code that stands alone in a line, without its space."""
        match = _CODE.search(self.text)
        return match[1] + match[2] if match else None

    @property
    def link(self) -> str | None:
        """The first address in the text."""
        match = _LINK.search(self.text)
        return match[0] if match else None


class Mailbox:
    """An SMTP server in the running loop, without TLS or log-in, for this machine only."""

    def __init__(self) -> None:
        self.letters: deque[Received] = deque(maxlen=KEPT)  # oldest first
        self.port = 0
        self._taken = 0
        self._arrived = asyncio.Condition()
        self._server: asyncio.Server | None = None
        self._talks: set[SMTP] = set()

    async def start(self, bound: socket.socket | None = None) -> None:
        """Listens on `bound` (see `loopback_socket`), or on a free loopback port; `port` tells which."""
        bound = bound or loopback_socket()
        self.port = port_of(bound)
        self._server = await asyncio.get_running_loop().create_server(self._talk, sock=bound)

    async def stop(self) -> None:
        """Stops listening and ends open connections. The letters stay."""
        if self._server is None:
            return
        self._server.close()
        for talk in list(self._talks):
            if talk.transport is not None:
                talk.transport.close()
        await self._server.wait_closed()
        self._server = None

    async def wait_for(self, to: str, *, after: int = 0, seconds: float = 10.0) -> Received:
        """The first letter to `to` whose number is above `after`. Raises TimeoutError."""
        async with asyncio.timeout(seconds), self._arrived:
            while True:
                for letter in self.letters:
                    if letter.to == to and letter.number > after:
                        return letter
                await self._arrived.wait()

    # aiosmtpd's name for it: called when a letter is complete, before it is acknowledged.
    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802 (the library's name)
        """Keeps the letter, once per recipient."""
        raw = bytes(envelope.content)
        message = message_from_bytes(raw, policy=policy.default)
        part = message.get_body(("plain", "html"))
        text = part.get_content().replace("\r\n", "\n") if part is not None else ""
        headers = tuple((name, str(value)) for name, value in message.items())
        async with self._arrived:
            for to in envelope.rcpt_tos:
                self._taken += 1
                subject = str(message["Subject"] or "")
                self.letters.append(Received(self._taken, time.time(), to, subject, text, headers, raw))
            self._arrived.notify_all()
        return "250 Kept in the demo's mailbox"

    def _talk(self) -> SMTP:
        # The name is given, because the library would ask the DNS for this machine's.
        talk = _Talk(self._talks, self, hostname="localhost", ident="demo mailbox", data_size_limit=LETTER_BYTES)
        self._talks.add(talk)
        return talk


class _Talk(SMTP):
    """One connection, which leaves the set of open ones when it ends."""

    def __init__(self, open_ones: set[SMTP], *args: Any, **options: Any) -> None:
        super().__init__(*args, loop=asyncio.get_running_loop(), **options)
        self._open_ones = open_ones

    def connection_lost(self, error: Exception | None) -> None:
        """Called by asyncio."""
        self._open_ones.discard(self)
        super().connection_lost(error)


def mailbox_app(mailbox: Mailbox) -> Starlette:
    """The page that shows a mailbox: `/` as the browser prefers, `/en`, `/fr`, and `/letters.json` newest first."""

    def page(language: Language | None) -> Any:
        async def answer(request: Request) -> Response:
            preferred: Language = "fr" if request.headers.get("accept-language", "").lower().startswith("fr") else "en"
            headers = _HEADERS if language else {**_HEADERS, "Vary": "Accept-Language"}
            return Response(demo_file(_PAGES[language or preferred]), media_type="text/html", headers=headers)

        return answer

    def file(name: str) -> Any:
        async def answer(_: Request) -> Response:
            return Response(demo_file(name), media_type=media_type(name), headers=_HEADERS)

        return answer

    async def letters(_: Request) -> Response:
        shown = [
            {
                "number": letter.number,
                "at": letter.at,
                "to": letter.to,
                "subject": letter.subject,
                "text": letter.text,
                "language": dict(letter.headers).get("Content-Language", ""),
                "code": letter.code,
                "link": letter.link,
            }
            for letter in reversed(mailbox.letters)
        ]
        return JSONResponse(shown, headers={**_HEADERS, "Cache-Control": "no-store"})

    return Starlette(
        routes=[
            Route("/", page(None)),
            Route("/en", page("en")),
            Route("/fr", page("fr")),
            Route("/letters.json", letters),
            *(Route(f"/static/{name}", file(name)) for name in _FILES),
        ]
    )


_HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}
