"""Passwords for agents: chosen and judged, or made.

Knows how guessable a password is. Must not keep one.
"""

from __future__ import annotations

import secrets
import sys
from typing import Any, Final

import click

from aparte import errors

# Of zxcvbn's 0 to 4. 3 is "safely unguessable": more than 10^8 guesses, with a slow hash on top.
LOWEST_SCORE: Final = 3
LONGEST: Final = 1_024  # characters, as for the hash
_OWN: Final = 6  # characters that are not the person's name or address
_JUDGED: Final = 72  # zxcvbn takes no more, and its time grows with the square
_WAY_OUT: Final = "--generate makes a good one."
# Without letters and digits that look alike. 20 of these 31 are 99 bits.
_ALPHABET: Final = "abcdefghjkmnpqrstuvwxyz23456789"


def generated() -> str:
    """A password of four groups of five, 99 bits, fit to be read out once."""
    return "-".join("".join(secrets.choice(_ALPHABET) for _ in range(5)) for _ in range(4))


def check(password: str, about: tuple[str, ...]) -> None:
    """Refuse a password that somebody could guess.

    Args: about: words that others know of the person: name, address.
    Raises: errors.BadInput with what makes it weak and what would help.
    """
    if not password.isprintable() or len(password) > LONGEST:
        raise errors.BadInput(f"A password has at most {LONGEST:,} characters, none of them a control character.")
    from zxcvbn import zxcvbn

    known = [word for text in about for word in (text, *text.replace("@", " ").replace(".", " ").split())]
    # zxcvbn takes three words in a row for strong, also three that stand in the address.
    own = password.casefold()
    for word in sorted(known, key=len, reverse=True):
        own = own.replace(word.casefold(), "") if len(word) > 2 else own
    if len(own) < _OWN and own != password.casefold():
        raise errors.BadInput(
            f"This password is easy to guess: it holds little but the name and the address. {_WAY_OUT}"
        )
    judged: dict[str, Any] = {"score": 0}
    if password:
        judged = zxcvbn(password[:_JUDGED], user_inputs=["aparte", "aparté", *known])
    if judged["score"] < LOWEST_SCORE:
        told = judged.get("feedback", {})
        reasons = [told.get("warning", ""), *told.get("suggestions", [])]
        advice = " ".join(f"{reason.rstrip('.')}." for reason in reasons if reason)
        raise errors.BadInput(
            f"This password is easy to guess. {advice or 'Take four or more uncommon words.'} {_WAY_OUT}"
        )


def asked(*, from_stdin: bool, generate: bool, about: tuple[str, ...]) -> tuple[str, bool]:
    """The password, and whether it was made here.

    Args: from_stdin: the first line of standard input; generate: make one. Neither: ask at the terminal.
    Raises: errors.BadInput when a chosen one is weak; click.UsageError when nobody can be asked.
    """
    if from_stdin and generate:
        raise click.UsageError("Give --password-stdin or --generate, not both.")
    if generate:
        return generated(), True
    if from_stdin:
        # Bytes, since an undecodable one would otherwise end in a traceback or, worse, in another password.
        try:
            password = sys.stdin.buffer.readline(LONGEST * 4 + 2).rstrip(b"\r\n").decode()
        except UnicodeDecodeError:
            raise errors.BadInput("The password on standard input is not UTF-8. Send it as UTF-8.") from None
        check(password, about)
        return password, False
    if not sys.stdin.isatty():
        raise click.UsageError("There is no terminal to ask at: give --generate or --password-stdin.")
    while True:
        password = click.prompt("Password (empty: one is made)", hide_input=True, default="", show_default=False)
        if not password:
            return generated(), True
        try:
            check(password, about)
        except errors.BadInput as error:
            click.echo(str(error), err=True)
            continue
        if click.prompt("Once more", hide_input=True, default="", show_default=False) == password:
            return password, False
        click.echo("The two are not the same.", err=True)
