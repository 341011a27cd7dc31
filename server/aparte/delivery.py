"""E-mail: hands one letter to the operator's mail server, and holds the words of the letters.

Knows SMTP and what a letter may say: never text of a conversation, a name, a destination or a reference, because
mail providers read too. Must not know the store: the outbox decides when, and what to try again.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import ssl
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, formataddr, parseaddr
from typing import Final

import aiosmtplib

from aparte.address import is_address
from aparte.config import Settings
from aparte.errors import BadInput, BadSetting, MailDeferred, MailDown, MailRefused

_KEY: Final = re.compile(r"[A-Za-z0-9._-]{1,128}")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


@dataclass(frozen=True, slots=True)
class Letter:
    """One e-mail. Raises BadInput when a part could break out of its header; MailRefused for a wrong address."""

    to: str = field(repr=False)
    subject: str
    text: str = field(repr=False)
    message_id: str  # the outbox row's idempotency key: the same letter sent twice bears the same Message-ID
    language: str = "en"

    def __post_init__(self) -> None:
        """Checks each header's part."""
        if not is_address(self.to):
            raise MailRefused("This is not an e-mail address that a letter can be sent to.")
        if _CONTROL.search(self.subject) or not 0 < len(self.subject) <= 200:
            raise BadInput("A letter's subject is one line of at most 200 characters.")
        if not _KEY.fullmatch(self.message_id) or self.language not in WORDS:
            raise BadInput("A letter's id or language is not of the expected form.")


class Mailer:
    """Sends letters through the operator's SMTP server, one connection each. Does not retry: the outbox does."""

    def __init__(self, settings: Settings, *, tls: ssl.SSLContext | None = None) -> None:
        """Args: settings for the fields `smtp_*` and `mail_from`; tls another trust than the machine's own store.

        Raises BadSetting naming the field. An empty `smtp_host` is right: then `is_on` is False.
        """
        self.is_on = bool(settings.smtp_host)
        self._host, self._port = settings.smtp_host, settings.smtp_port
        self._user, self._password = settings.smtp_user or None, None
        self._security, self._seconds = settings.smtp_security, settings.smtp_timeout_seconds
        if not self.is_on:
            return
        if self._security not in ("starttls", "tls", "none"):
            raise BadSetting("smtp_security is starttls, tls or none.")
        if self._security == "none" and not _is_this_machine(self._host):
            raise BadSetting("smtp_security may be none only when smtp_host is this machine. Use starttls or tls.")
        name, self._address = parseaddr(settings.mail_from)
        if not is_address(self._address) or _CONTROL.search(settings.mail_from):
            raise BadSetting("mail_from is an address such as: Air Aparté <no-reply@airline.example>.")
        self._from = formataddr((name, self._address))
        self._tls = tls or (ssl.create_default_context() if self._security != "none" else None)
        if settings.smtp_password_file:
            try:
                self._password = settings.smtp_password_file.read_text("utf-8").strip()
            except (OSError, UnicodeDecodeError) as error:
                raise BadSetting("smtp_password_file cannot be read. Correct its path or its rights.") from error

    async def send(self, letter: Letter) -> None:
        """Returns when the mail server has taken the letter.

        Raises MailDown when `reach` would have, too: no connection, TLS or log-in failed. What fails later concerns
        this letter: MailDeferred when another try may succeed, MailRefused when none will (the server refuses this
        recipient or this letter by 5xx).
        """
        if not self.is_on:
            raise MailDown("No mail server is set up. Tell the operator to set smtp_host.")
        message, was_reached = self._message(letter), False
        try:
            async with asyncio.timeout(self._seconds), self._client() as client:
                await client.noop()  # so far the same as `reach`
                was_reached = True
                await client.send_message(message, sender=self._address, recipients=[letter.to])
        except TimeoutError as error:
            if was_reached:
                raise MailDeferred from error
            raise MailDown("The mail server took too long. The letter is kept and tried again.") from error
        except (aiosmtplib.SMTPRecipientsRefused, aiosmtplib.SMTPRecipientRefused, aiosmtplib.SMTPDataError) as error:
            raise _refusal(error) from None  # the server's reply quotes the address
        except aiosmtplib.SMTPAuthenticationError:
            raise MailDown("The mail server refuses our user or password. Tell the operator.") from None
        except (aiosmtplib.SMTPException, OSError) as error:
            raise (MailDeferred if was_reached else MailDown) from error

    async def reach(self) -> None:
        """Asks the mail server whether it would take a letter, and sends none. Raises MailDown.

        A check of a record that does not exist does this in the place of sending, so that neither what people see
        nor how long it takes depends on whether the record exists.
        """
        if not self.is_on:
            raise MailDown("No mail server is set up. Tell the operator to set smtp_host.")
        try:
            async with asyncio.timeout(self._seconds), self._client() as client:
                await client.noop()
        except (aiosmtplib.SMTPException, OSError) as error:
            raise MailDown from error

    def _client(self) -> aiosmtplib.SMTP:
        # Our name in EHLO is the sender's domain: the library's default asks the DNS for this machine's own name,
        # which blocks the loop and tells the name to the mail server.
        return aiosmtplib.SMTP(
            hostname=self._host,
            port=self._port,
            local_hostname=self._address.rpartition("@")[2],
            timeout=self._seconds,
            use_tls=self._security == "tls",
            start_tls=self._security == "starttls",  # True demands it; the library's None would go on in clear
            tls_context=self._tls,
            username=self._user,
            password=self._password,
        )

    def _message(self, letter: Letter) -> EmailMessage:
        message = EmailMessage(policy=SMTP)
        message["From"] = self._from
        message["To"] = letter.to
        message["Subject"] = letter.subject
        message["Date"] = format_datetime(datetime.now(UTC))
        message["Message-ID"] = f"<{letter.message_id}@{self._address.rpartition('@')[2]}>"
        message["Auto-Submitted"] = "auto-generated"  # RFC 3834: no out-of-office answers
        message["X-Auto-Response-Suppress"] = "All"
        message.set_content(letter.text, cte="quoted-printable")  # 7-bit on the wire, whatever lies on the way
        message["Content-Language"] = letter.language  # after the content, which brings its own Content- headers
        return message


def _refusal(error: aiosmtplib.SMTPException) -> MailDeferred | MailRefused:
    """For good (5xx) or for now (4xx), from what the server said of the recipient or of the letter."""
    refused = error.recipients if isinstance(error, aiosmtplib.SMTPRecipientsRefused) else [error]
    codes = [one.code for one in refused if isinstance(one, aiosmtplib.SMTPResponseException)]
    if codes and all(500 <= code < 600 for code in codes):
        return MailRefused()
    return MailDeferred()


def _is_this_machine(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


# ── the letters ─────────────────────────────────────────────────────────────────────────────────────────────────


def code_letter(
    language: str, *, code: str, site_name: str, browser: str, at: datetime, minutes: int, not_me_url: str
) -> tuple[str, str]:
    """Subject and text of the letter that carries a one-time code.

    Args: language "en" or "fr"; code 8 digits; site_name the company's; browser a User-Agent, of which only names
    from a fixed list are told (a stranger chooses it, and would write into another person's letter); at when it was
    asked, told in the time zone that it carries; minutes how long the code lives; not_me_url where a click ends it.
    Raises BadInput when a part is not of that form.
    """
    if not (re.fullmatch(r"[0-9]{8}", code) and re.fullmatch(r"https?://[!-~]{1,500}", not_me_url)):
        raise BadInput("A code has 8 digits, and the link in its letter is one http or https address.")
    if _CONTROL.search(site_name) or not 0 < len(site_name) <= 80:
        raise BadInput("A site's name is one line of at most 80 characters.")
    words = WORDS[letter_language(language)]
    text = words.code_text.format(
        site=site_name,
        code=f"{code[:4]} {code[4:]}",
        minutes=minutes,
        browser=browser_name(browser, language),
        at=_moment(at, words),
        link=not_me_url,
    )
    return words.code_subject.format(site=site_name), text


def letter_language(language: str | None) -> str:
    """The language that a letter can be written in, nearest to a tag such as "fr-CA": "fr", else "en"."""
    primary = (language or "").split("-")[0].lower()
    return primary if primary in WORDS else "en"


def browser_name(user_agent: str, language: str) -> str:
    """ "Firefox on Windows" or "Firefox sur Windows", from a User-Agent; names from a fixed list only."""
    words = WORDS[letter_language(language)]
    browser = next((name for sign, name in _BROWSERS if sign in user_agent), "")
    system = next((name for sign, name in _SYSTEMS if sign in user_agent), "")
    if browser and system:
        return f"{browser} {words.on} {system}"
    return browser or words.some_browser


# In the order that tells them apart: each later one's sign is also in the earlier ones' User-Agent.
_BROWSERS: Final = (
    ("Edg", "Edge"),
    ("OPR/", "Opera"),
    ("SamsungBrowser", "Samsung Internet"),
    ("Firefox", "Firefox"),
    ("FxiOS", "Firefox"),
    ("CriOS", "Chrome"),
    ("Chrome", "Chrome"),
    ("Safari", "Safari"),
)
_SYSTEMS: Final = (
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Android", "Android"),
    ("Windows", "Windows"),
    ("Mac OS X", "macOS"),
    ("CrOS", "ChromeOS"),
    ("Linux", "Linux"),
)


@dataclass(frozen=True, slots=True)
class Words:
    """One language's letters. A paragraph is one line: each mail program wraps it to its own width."""

    code_subject: str
    code_text: str
    months: tuple[str, ...]
    on: str
    some_browser: str
    moment: str


def _moment(at: datetime, words: Words) -> str:
    zone = "UTC" + (at.strftime("%z")[:3] + ":" + at.strftime("%z")[3:5] if at.utcoffset() else "")
    return words.moment.format(day=at.day, month=words.months[at.month - 1], hour=at.hour, minute=at.minute, zone=zone)


_ENGLISH: Final = Words(
    code_subject="Your one-time code for {site}",
    code_text="""\
Hello,

Someone, probably you, is in our private chat and wants to talk about something that we keep under this e-mail address. Before we do, we make sure that it is you. Please type this code into the chat:

    {code}

It works once, for {minutes} minutes, and only in the chat that asked for it.

Never read it to anyone and never pass it on. Nobody at {site} will ask you for it, not even on the telephone.

Asked for on {at}, in {browser}.

Not you? Then somebody may be trying to pass for you. Open this link: the code stops working, the conversation is frozen, and we look into it.

{link}

{site}
This letter was sent automatically; replies are not read.
""",
    months=(
        "January", "February", "March", "April", "May", "June",
        "July", "August", "September", "October", "November", "December",
    ),
    on="on",
    some_browser="a browser that we do not know",
    moment="{day} {month} at {hour:02}:{minute:02} ({zone})",
)  # fmt: skip

_FRENCH: Final = Words(
    code_subject="Votre code à usage unique pour {site}",
    code_text="""\
Bonjour,

Quelqu’un, sans doute vous, nous écrit dans notre messagerie privée au sujet d’un dossier enregistré sous cette adresse. Avant d’en parler, nous voulons être sûrs que c’est bien vous. Saisissez ce code dans la conversation :

    {code}

Il ne sert qu’une fois, pendant {minutes} minutes, et seulement dans la conversation qui l’a demandé.

Ne le lisez à personne et ne le transmettez pas. Personne chez {site} ne vous le demandera, pas même au téléphone.

Demandé le {at}, depuis {browser}.

Ce n’est pas vous ? Quelqu’un essaie peut-être de se faire passer pour vous. Ouvrez ce lien : le code ne servira plus, la conversation sera gelée et nous vérifierons ce qui s’est passé.

{link}

{site}
Ce message est envoyé automatiquement ; les réponses ne sont pas lues.
""",
    months=(
        "janvier", "février", "mars", "avril", "mai", "juin",
        "juillet", "août", "septembre", "octobre", "novembre", "décembre",
    ),
    on="sur",
    some_browser="un navigateur que nous ne connaissons pas",
    moment="{day} {month} à {hour} h {minute:02} ({zone})",
)  # fmt: skip

WORDS: Final = {"en": _ENGLISH, "fr": _FRENCH}
