"""Twin of delivery.py: letters against real SMTP servers, and what the letters say."""

from __future__ import annotations

import asyncio
import datetime as dt
import ipaddress
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from aparte.config import Settings
from aparte.delivery import Letter, Mailer
from aparte.demo.mailbox import Mailbox
from aparte.demo.sockets import loopback_socket, port_of
from aparte.errors import BadInput, BadSetting, MailDeferred, MailDown, MailRefused
from listening import peer

TO = "m.dupont@example.org"
FIREFOX = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:140.0) Gecko/20100101 Firefox/140.0"


def settings(port: int, **other: Any) -> Settings:
    given: dict[str, Any] = {
        "smtp_host": "127.0.0.1",
        "smtp_port": port,
        "smtp_security": "none",
        "smtp_timeout_seconds": 5.0,
        "mail_from": "Air Aparté <no-reply@airline.example>",
        **other,
    }
    return Settings(data=Path("d"), keyring=Path("k"), root_key=Path("r"), **given)


def letter(**other: str) -> Letter:
    return Letter(**{"to": TO, "subject": "Hello", "text": "One line.\n", "message_id": "key-1", **other})


class Keeping:
    """An SMTP handler that answers as told and keeps what came."""

    def __init__(self, *, rcpt: str = "", mail: str = "", data: str = "250 ok") -> None:
        self.rcpt, self.mail, self.data = rcpt, mail, data
        self.raw: list[bytes] = []
        self.hosts: list[str] = []
        self.was_tls: list[bool] = []

    async def handle_MAIL(self, _: Any, __: Any, envelope: Any, address: str, ___: list[str]) -> str:  # noqa: N802 (aiosmtpd's name)
        if self.mail:
            return self.mail
        envelope.mail_from = address
        return "250 ok"

    async def handle_RCPT(self, _: Any, __: Any, envelope: Any, address: str, ___: list[str]) -> str:  # noqa: N802 (aiosmtpd's name)
        if self.rcpt:
            return self.rcpt
        envelope.rcpt_tos.append(address)
        return "250 ok"

    async def handle_DATA(self, _: Any, session: Any, envelope: Any) -> str:  # noqa: N802 (aiosmtpd's name)
        self.raw.append(envelope.content)
        self.hosts.append(session.host_name)
        self.was_tls.append(session.ssl is not None)
        return self.data


@asynccontextmanager
async def server(handler: Any, *, tls: ssl.SSLContext | None = None, **options: Any) -> AsyncIterator[int]:
    """aiosmtpd with `handler` on a free loopback port; `tls` from the first byte."""
    loop = asyncio.get_running_loop()
    talks: list[SMTP] = []

    def talk() -> SMTP:
        talks.append(SMTP(handler, hostname="localhost", loop=loop, **options))
        return talks[-1]

    bound = loopback_socket()
    listening = await loop.create_server(talk, sock=bound, ssl=tls)
    try:
        yield port_of(bound)
    finally:
        listening.close()
        for one in talks:
            if one.transport is not None:
                one.transport.abort()
        await listening.wait_closed()


def certificate(folder: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Two contexts: a server's for 127.0.0.1, and a client's that trusts it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mail")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "key.pem").write_bytes(private)
    (folder / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return serving, ssl.create_default_context(cafile=str(folder / "cert.pem"))


# ── handing over ────────────────────────────────────────────────────────────────────────────────────────────────


async def test_it_hands_a_letter_over_whole() -> None:
    mailbox = Mailbox()
    await mailbox.start()
    text = "Ligne une, à lire.\n\n" + "un long paragraphe " * 80 + "\n.\n.point\n"
    mailer = Mailer(settings(mailbox.port))
    await mailer.send(letter(subject="Votre code à usage unique", text=text, language="fr", message_id="row-7.a_b"))
    got = await mailbox.wait_for(TO)
    await mailbox.stop()
    headers = dict(got.headers)
    assert got.text.replace("\r\n", "\n") == text
    assert got.subject == "Votre code à usage unique"
    assert headers["Message-ID"] == "<row-7.a_b@airline.example>"
    assert headers["From"] == "Air Aparté <no-reply@airline.example>"
    assert headers["Auto-Submitted"] == "auto-generated"
    assert headers["Content-Language"] == "fr"
    assert got.raw.isascii()
    assert max(len(line) for line in got.raw.split(b"\r\n")) <= 998


async def test_it_says_of_itself_only_the_senders_domain() -> None:
    handler = Keeping()
    async with server(handler) as port:
        await Mailer(settings(port)).send(letter())
    assert handler.hosts == ["airline.example"]
    names = {name for name, _ in message_from_bytes(handler.raw[0], policy=policy.default).items()}
    assert names == {
        "From",
        "To",
        "Subject",
        "Date",
        "Message-ID",
        "Content-Language",
        "Auto-Submitted",
        "X-Auto-Response-Suppress",
        "Content-Type",
        "Content-Transfer-Encoding",
        "MIME-Version",
    }


async def test_it_gives_the_same_letter_the_same_message_id() -> None:
    handler = Keeping()
    async with server(handler) as port:
        mailer = Mailer(settings(port))
        await mailer.send(letter())
        await mailer.send(letter())
        await mailer.send(letter(message_id="key-2"))
    ids = [message_from_bytes(raw, policy=policy.default)["Message-ID"] for raw in handler.raw]
    assert ids[0] == ids[1]
    assert ids[2] != ids[0]


@pytest.mark.parametrize(
    ("answers", "kind"),
    [
        ({"rcpt": "550 5.1.1 no such user"}, MailRefused),
        ({"rcpt": "450 4.2.0 greylisted"}, MailDeferred),
        ({"data": "554 5.7.1 refused"}, MailRefused),
        ({"data": "452 4.3.1 no room"}, MailDeferred),
        (
            {"mail": "550 5.7.1 not you"},
            MailDeferred,
        ),  # the operator's fault, not the recipient's: kept until corrected
        ({"mail": "451 4.7.1 too many"}, MailDeferred),
        ({"mail": "421 4.3.2 closing"}, MailDeferred),
    ],
)
async def test_it_tells_for_now_from_for_good(answers: dict[str, str], kind: type[MailDown | MailRefused]) -> None:
    async with server(Keeping(**answers)) as port:
        with pytest.raises((MailDown, MailRefused)) as caught:
            await Mailer(settings(port)).send(letter())
    assert type(caught.value) is kind
    assert TO not in str(caught.value)


@pytest.mark.parametrize("answer", [b"", b"xxx\r\n"])
async def test_what_fails_in_mid_letter_concerns_that_letter(answer: bytes) -> None:
    """The server lets us in, then cuts the line or says what is no SMTP; to be reached it seems as ever."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 here\r\n")
        while line := await reader.readline():
            if line.startswith(b"MAIL"):
                writer.write(answer)
                return
            writer.write(b"250 ok\r\n")

    async with peer(talk) as port:
        mailer = Mailer(settings(port))
        await mailer.reach()
        with pytest.raises(MailDeferred):
            await mailer.send(letter())


async def test_it_says_down_when_nobody_answers() -> None:
    bound = loopback_socket()
    with pytest.raises(MailDown):
        await Mailer(settings(port_of(bound))).send(letter())
    bound.close()

    async def silent(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.read(-1)

    async def babbling(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()
        await reader.read(-1)

    async def leaving(_: asyncio.StreamReader, __: asyncio.StreamWriter) -> None:
        return

    for talk in (silent, babbling, leaving):
        async with peer(talk) as port:
            started = time.monotonic()
            with pytest.raises(MailDown):
                await Mailer(settings(port, smtp_timeout_seconds=0.4)).send(letter())
            assert time.monotonic() - started < 2


async def test_it_sends_over_tls_of_both_kinds(tmp_path: Path) -> None:
    serving, trusting = certificate(tmp_path)
    for security, options in (
        ("starttls", {"tls_context": serving, "require_starttls": True}),
        ("tls", {"tls": serving}),
    ):
        handler = Keeping()
        async with server(handler, **options) as port:
            await Mailer(settings(port, smtp_security=security), tls=trusting).send(letter())
            with pytest.raises(MailDown):  # the machine's own store does not know this certificate
                await Mailer(settings(port, smtp_security=security)).send(letter())
        assert len(handler.raw) == 1
        assert handler.was_tls == [
            security == "starttls"
        ]  # the library notes the upgrade only; "tls" speaks nothing else


async def test_it_sends_nothing_in_clear_when_starttls_is_not_offered() -> None:
    handler = Keeping()
    async with server(handler) as port:
        with pytest.raises(MailDown):
            await Mailer(settings(port, smtp_security="starttls")).send(letter())
    assert handler.raw == []


async def test_it_logs_in_and_says_down_when_the_password_is_refused(tmp_path: Path) -> None:
    serving, trusting = certificate(tmp_path)

    def authenticate(_: Any, __: Any, ___: Any, ____: str, data: Any) -> AuthResult:
        is_right = isinstance(data, LoginPassword) and data == LoginPassword(b"aparte", b"right")
        return AuthResult(success=is_right, handled=False)

    options = {"tls_context": serving, "authenticator": authenticate, "auth_required": True}
    handler = Keeping()
    async with server(handler, **options) as port:
        for password, holds in (("right\n", True), ("wrong", False)):
            (tmp_path / "password").write_text(password)
            given = {"smtp_user": "aparte", "smtp_password_file": tmp_path / "password", "smtp_security": "starttls"}
            mailer = Mailer(settings(port, **given), tls=trusting)
            if holds:
                await mailer.send(letter())
            else:
                with pytest.raises(MailDown, match="user or password"):
                    await mailer.send(letter())
    assert len(handler.raw) == 1


# ── what cannot be a letter, and what cannot be a setting ───────────────────────────────────────────────────────


@pytest.mark.parametrize("to", ["", "x", "a@b.org\r\nBcc: c@d.org", "a@b.org,c@d.org", "A <a@b.org>", "a@b.org\n"])
def test_it_refuses_what_is_not_one_address(to: str) -> None:
    with pytest.raises(MailRefused):
        letter(to=to)


@pytest.mark.parametrize(
    "part",
    [
        {"subject": "a\r\nBcc: c@d.org"},
        {"subject": "a\nb"},
        {"subject": "a\u2028b"},
        {"subject": "a\x00"},
        {"subject": ""},
        {"subject": "x" * 201},
        {"message_id": "a\nb"},
        {"message_id": "a@b"},
        {"message_id": ""},
        {"language": "nl"},
        {"language": "en\r\nX: y"},
    ],
)
def test_it_refuses_parts_that_break_out_of_a_header(part: dict[str, str]) -> None:
    with pytest.raises(BadInput):
        letter(**part)


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"smtp_security": "ssl"}, "smtp_security"),
        ({"smtp_host": "mail.example.org"}, "smtp_security"),
        ({"smtp_host": "10.0.0.1"}, "smtp_security"),
        ({"mail_from": ""}, "mail_from"),
        ({"mail_from": "Air Aparté"}, "mail_from"),
        ({"mail_from": "A <a@b.org>\r\nBcc: c@d.org"}, "mail_from"),
        ({"smtp_password_file": Path("/nowhere/at/all")}, "smtp_password_file"),
    ],
)
def test_it_names_the_wrong_setting(wrong: dict[str, Any], named: str) -> None:
    with pytest.raises(BadSetting, match=named):
        Mailer(settings(25, **wrong))


async def test_it_says_that_no_mail_server_is_set_up() -> None:
    mailer = Mailer(settings(25, smtp_host="", mail_from=""))
    assert not mailer.is_on
    with pytest.raises(MailDown, match="smtp_host"):
        await mailer.send(letter())
    assert Mailer(settings(25)).is_on


def test_it_keeps_address_and_text_out_of_what_is_printed() -> None:
    assert TO not in repr(letter())
    assert "One line" not in repr(letter())
