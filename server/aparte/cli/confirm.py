"""The question before what somebody might not want.

Knows terminals. Must not know what is asked about.
"""

from __future__ import annotations

import sys

import click

from aparte import errors


def ask(question: str) -> None:
    """Returns when the answer is yes. Raises click.Abort when it is no; errors.BadInput, which names --yes, when nobody
    answers."""
    try:
        is_sure = click.confirm(question, err=True)
    except click.Abort:
        if sys.stdin.isatty():  # Ctrl-C
            raise
        click.echo(err=True)
        raise errors.BadInput("Nobody answered, so nothing was done. To do it without a question, add --yes.") from None
    if not is_sure:
        raise click.Abort
