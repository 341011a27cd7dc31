"""The connector: asks the company's own booking system, by signed HTTP requests, and believes only signed answers.

Knows the contract of docs/RECORDS.md: find, contact, details, change. Must not know who is asking, nor judge whether
they may: the gate does that before it calls. Keeps nothing: what comes back is handed on and forgotten here.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import secrets
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Final, TypeVar

import httpx2
import msgspec
from msgspec import Meta, Struct

from aparte import signing
from aparte.address import is_address, mask
from aparte.config import Settings
from aparte.errors import BadSetting, BadSignature, BadState, RecordsDown
from aparte.frames import Line, Money, Option
from aparte.model import Site

__all__ = ["Changed", "Connector", "Contact", "Details", "Located", "Records", "connector_of", "mask"]

ANSWER_BYTES: Final = 256 * 1024  # a booking takes about 2 KiB
REFERENCE_CHARS: Final = 40

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Connector:
    """Where one site's company answers, and the secret that both sides hold."""

    url: str  # https, or http to this machine; the verbs' names are added to its path
    secret: bytes = field(repr=False)  # 32 bytes or more
    key_id: str  # tells the company which of its secrets this is, so that one can be replaced by the next

    def __post_init__(self) -> None:
        """Raises BadSetting that names what is wrong."""
        signing.check_secret(self.secret)
        signing.check_key_id(self.key_id)
        try:
            url = httpx2.URL(self.url)
        except httpx2.InvalidURL as error:
            raise BadSetting("The records connector's address is not a URL.") from error
        if not url.host or url.userinfo or url.query or url.fragment:
            raise BadSetting("The records connector's address is https://host/path, without user, query or fragment.")
        if url.scheme != "https" and not (url.scheme == "http" and _is_this_machine(url.host)):
            raise BadSetting("The records connector's address must be https; http only reaches this machine itself.")


def connector_of(site: Site) -> Connector | None:
    """The connector of a site, or None when it has none. The secret is the text's UTF-8 bytes. Raises BadSetting."""
    if not site.records_url:
        return None
    return Connector(site.records_url, site.records_secret.encode(), site.records_key)


@dataclass(frozen=True, slots=True)
class Located:
    """A record that exists. Locating proves nothing about who asks."""

    reference: str  # as the company writes it


@dataclass(frozen=True, slots=True)
class Contact:
    """The address on file. Never leaves the server before V2; then only by `mask`."""

    email: str = field(repr=False)  # so that no log line that prints a contact tells it
    language: str | None


@dataclass(frozen=True, slots=True)
class Details:
    """A record in words for people, in the language that was asked for."""

    reference: str
    title: str
    lines: tuple[Line, ...]
    state: str
    options: tuple[Option, ...]  # what it can be changed to now; empty: nothing


@dataclass(frozen=True, slots=True)
class Changed:
    """The record after a change. `due` is written down as owed by the company's system; nothing is charged."""

    details: Details
    due: Money


# ── what a company may answer: strict, and no longer than a screen can use ──────────────────────────────────────

# No control characters and no direction overrides: these words stand beside our own on the agent's screen.
_PLAIN: Final = r"^[^\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]*\Z"
_Ref = Annotated[str, Meta(min_length=1, max_length=REFERENCE_CHARS, pattern=_PLAIN)]
_Text = Annotated[str, Meta(max_length=200, pattern=_PLAIN)]


class _Answer(Struct, forbid_unknown_fields=True):
    """The root of all answers."""


class _Located(_Answer):
    reference: _Ref


class _Contact(_Answer):
    reference: _Ref
    email: Annotated[str, Meta(max_length=254)]
    language: Annotated[str, Meta(pattern=r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*\Z", max_length=35)] | None = None


class _Money(_Answer):
    amount: Annotated[int, Meta(ge=0, le=10**9)]
    currency: Annotated[str, Meta(pattern=r"^[A-Z]{3}\Z")]


class _Line(_Answer):
    label: Annotated[str, Meta(min_length=1, max_length=60, pattern=_PLAIN)]
    value: _Text


class _Option(_Answer):
    id: Annotated[str, Meta(min_length=1, max_length=100, pattern=r"^[A-Za-z0-9._:-]+\Z")]
    label: _Text
    departs: Annotated[str, Meta(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d\Z")]
    supplement: _Money


class _Details(_Answer):
    reference: _Ref
    title: _Text
    state: _Text
    lines: Annotated[list[_Line], Meta(max_length=40)]
    options: Annotated[list[_Option], Meta(max_length=40)]


class _Changed(_Answer):
    details: _Details
    due: _Money


_T = TypeVar("_T", bound=_Answer)


class Records:
    """The client. One for all sites; owns one pool of connections; close it at the end.

    Every method raises RecordsDown, with a sentence for the agent's screen, when there is no answer that can be
    believed: time-out, refused connection, redirect, 5xx, wrong signature, not the contract's JSON, too large.
    """

    def __init__(self, settings: Settings, *, clock: Callable[[], float] = time.time) -> None:
        """Args: settings for `records_timeout_seconds`, one request's whole time; clock in epoch seconds."""
        self._seconds = settings.records_timeout_seconds
        self._clock = clock
        # The default context honours the machine's own trust store; the environment's proxies are not followed,
        # because a proxy named there would learn which company is asked, and could answer for a plain-HTTP one.
        self._client = httpx2.AsyncClient(
            verify=ssl.create_default_context(),
            trust_env=False,
            follow_redirects=False,
            timeout=self._seconds,
            limits=httpx2.Limits(max_connections=50, max_keepalive_connections=10, keepalive_expiry=20.0),
            headers={"User-Agent": "aparte", "Accept-Encoding": "identity"},
        )

    async def find(self, connector: Connector, reference: str) -> Located | None:
        """Whether a record with this reference exists. `reference` as the person typed it, up to 40 characters."""
        asked = reference.strip()
        if not 0 < len(asked) <= REFERENCE_CHARS:
            return None
        found = await self._ask(connector, "find", {"reference": asked}, _Located)
        return Located(found.reference) if found else None

    async def contact(self, connector: Connector, reference: str) -> Contact | None:
        """The address on file for a located reference. None: no such record, or no address that mail could reach."""
        answer = await self._ask(connector, "contact", {"reference": reference}, _Contact)
        if answer is None:
            return None
        _check_same(reference, answer.reference)
        if not is_address(answer.email):
            _log.warning("a record's address on file is not an e-mail address; no code can be sent for it")
            return None
        return Contact(answer.email, answer.language)

    async def details(self, connector: Connector, reference: str, language: str) -> Details | None:
        """What the record says, in `language` ("en" or "fr"). None: no such record."""
        asked = {"reference": reference, "language": language}
        answer = await self._ask(connector, "details", asked, _Details)
        return _details(reference, answer) if answer else None

    async def change(self, connector: Connector, reference: str, option: str, *, key: str, language: str) -> Changed:
        """Changes the record to one of its options; the supplement is written down as due and not charged.

        Args: option the id of an option from `details`; key the same for every try of one act, never used for
        another: the same key again gives the same answer and changes nothing more.
        Raises BadState when the option is no longer offered.
        """
        asked = {"reference": reference, "option": option, "key": key, "language": language}
        answer = await self._ask(connector, "change", asked, _Changed)
        if answer is None:
            raise BadState("This booking is no longer there. Nothing was changed.")
        return Changed(_details(reference, answer.details), Money(answer.due.amount, answer.due.currency))

    async def close(self) -> None:
        """Ends the pool of connections."""
        await self._client.aclose()

    async def _ask(self, connector: Connector, verb: str, asked: dict[str, str], kind: type[_T]) -> _T | None:
        """One request and its proven answer. None for a proven "no such record"."""
        body = msgspec.json.encode(asked)
        url = httpx2.URL(connector.url.rstrip("/") + "/" + verb)
        try:
            async with asyncio.timeout(self._seconds):
                status, answer = await self._exchange(connector, url, body)
        except TimeoutError as error:
            raise RecordsDown("The booking system took too long to answer. Try again in a moment.") from error
        except httpx2.HTTPError as error:
            raise RecordsDown("The booking system cannot be reached. Try again in a moment.") from error
        if status == 404:
            return None
        if status == 409 and verb == "change":
            raise BadState("This option is no longer offered. Show the booking again and choose another one.")
        if status != 200:
            raise RecordsDown("The booking system refused the question. Tell the operator to compare the contract.")
        try:
            return msgspec.json.decode(answer, type=kind)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
            # The reason may stay in the chain: msgspec's text names the field and the rule, never the value.
            raise RecordsDown("The booking system's answer cannot be understood. Tell the operator.") from error

    async def _exchange(self, connector: Connector, url: httpx2.URL, body: bytes) -> tuple[int, bytes]:
        """Sends, and once more if a kept connection turned out to be gone: every verb may be repeated safely."""
        try:
            return await self._send(connector, url, body)
        except (httpx2.RemoteProtocolError, httpx2.ReadError, httpx2.WriteError):
            return await self._send(connector, url, body)

    async def _send(self, connector: Connector, url: httpx2.URL, body: bytes) -> tuple[int, bytes]:
        nonce = secrets.token_urlsafe(24)
        signed = signing.sign_request(
            connector.secret,
            key_id=connector.key_id,
            method="POST",
            path=url.raw_path.decode("ascii"),
            time=int(self._clock()),
            nonce=nonce,
            body=body,
        )
        headers = {**signed, "Content-Type": "application/json", "Accept": "application/json"}
        async with self._client.stream("POST", url, content=body, headers=headers) as response:
            status = response.status_code
            if status >= 500:
                raise RecordsDown("The booking system has a fault of its own. Try again in a moment.")
            if 300 <= status < 400:
                raise RecordsDown("The booking system's address has moved. Tell the operator to correct the connector.")
            if status == 401:
                raise RecordsDown(
                    "The booking system does not accept our signature. Tell the operator to compare secret and clock."
                )
            if response.headers.get("Content-Encoding", "identity") != "identity":
                raise RecordsDown("The booking system compressed its answer unasked. Tell the operator.")
            answer = bytearray()
            async for part in response.aiter_raw():
                answer += part
                if len(answer) > ANSWER_BYTES:
                    raise RecordsDown("The booking system's answer is too large. Tell the operator.")
            try:
                signing.verify_answer(
                    connector.secret,
                    key_id=connector.key_id,
                    nonce=nonce,
                    status=status,
                    headers=response.headers,
                    body=bytes(answer),
                )
            except BadSignature as error:
                # Also when the company's side signs wrongly; the agent is told the worse case.
                raise RecordsDown("The answer is not signed by the booking system. Nothing was used.") from error
        return status, bytes(answer)


def _details(reference: str, answer: _Details) -> Details:
    _check_same(reference, answer.reference)
    return Details(
        reference=answer.reference,
        title=answer.title,
        lines=tuple(Line(line.label, line.value) for line in answer.lines),
        state=answer.state,
        options=tuple(
            Option(one.id, one.label, one.departs, Money(one.supplement.amount, one.supplement.currency))
            for one in answer.options
        ),
    )


def _check_same(asked: str, answered: str) -> None:
    # The proof was for one record. A company's system that mixes up two must not show one person another's.
    if asked != answered:
        raise RecordsDown("The booking system answered about another booking. Nothing was used. Tell the operator.")


def _is_this_machine(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
