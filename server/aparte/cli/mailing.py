"""Whether the mail server of the settings lets us in, and what to do if it does not.

Knows what a mail server's answers mean. Must not send a letter, nor print.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from email.utils import parseaddr
from typing import Final

from aparte import config, errors
from aparte.config import Settings

_REACH_SECONDS: Final = 8.0
# What a mail server's answer means and what to do, by the classes of the driver's errors, the special ones first.
_FIXES: Final = (
    ("gaierror", "the name is not known: correct smtp_host, or make a DNS record for it"),
    ("SSLError", "its certificate or its encryption is not accepted: compare smtp_host, smtp_port and smtp_security"),
    ("SMTPAuthenticationError", "it does not let us in: correct smtp_user, or the password in smtp_password_file"),
    ("SMTPSenderRefused", "it does not take mail_from for a sender of this account: give another"),
    ("TimeoutError", "it does not answer: see that it runs, and compare smtp_host, smtp_port and smtp_security"),
    ("SMTPConnectError", "it cannot be reached: see that it runs, and compare smtp_host, smtp_port and smtp_security"),
)
_FIX: Final = "it does not do what was asked for: compare the settings smtp_* and mail_from with what it offers"


def look(settings: Settings) -> tuple[bool, str]:
    """Whether it takes letters from us, and what was seen or is to be done. It sends none."""
    import aiosmtplib

    where = f"{settings.smtp_host}:{settings.smtp_port}"
    try:
        asyncio.run(_greet(settings))
    except errors.AparteError as error:
        return False, f"{where}: {error}"
    except (aiosmtplib.SMTPException, OSError) as error:
        kinds = {kind.__name__ for one in _causes(error) for kind in type(one).__mro__}
        return False, f"{where}: {next((fix for kind, fix in _FIXES if kind in kinds), _FIX)}"
    return True, f"{where} lets us in"


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """The error, and what each was raised from."""
    while error is not None:
        yield error
        error = error.__cause__


async def _greet(settings: Settings) -> None:
    import aiosmtplib

    secret = settings.smtp_password_file
    client = aiosmtplib.SMTP(
        hostname=settings.smtp_host,
        port=settings.smtp_port,
        local_hostname=parseaddr(settings.mail_from)[1].rpartition("@")[2],
        timeout=min(settings.smtp_timeout_seconds, _REACH_SECONDS),
        use_tls=settings.smtp_security == "tls",
        start_tls=settings.smtp_security == "starttls",
        username=settings.smtp_user or None,
        password=config.read_secret(secret) if secret else None,
    )
    async with client:
        await client.mail(parseaddr(settings.mail_from)[1])  # a refused sender is told on no screen
