"""The command `aparte`: reads its words, calls one function below, prints what came of it.

Knows options and sentences. Must not hold a rule of conduct. Each command imports what it runs only when it runs, so
that `--help` and the start of `serve` stay quick.
"""

from __future__ import annotations

import errno
import os
from typing import IO, Any

import click

from aparte import __version__, errors
from aparte.cli.agent import agent
from aparte.cli.bench import bench
from aparte.cli.doctor import doctor
from aparte.cli.init import init
from aparte.cli.migrate import migrate_store
from aparte.cli.serve import demo, serve
from aparte.cli.site import site


class Told(click.ClickException):
    """An error that a person can mend: its sentence on standard error and status 2, never a traceback."""

    exit_code = 2

    def show(self, file: IO[Any] | None = None) -> None:
        """Prints the sentence."""
        click.echo(f"aparte: {self.message}", file=file, err=file is None)


class _Commands(click.Group):
    def invoke(self, ctx: click.Context) -> Any:
        """Runs the command; turns what an operator can mend into one sentence."""
        try:
            return super().invoke(ctx)
        except errors.AparteError as error:
            raise Told(str(error)) from error
        except OSError as error:
            if error.errno == errno.EPIPE:  # the reader of our output has gone: click ends quietly
                raise
            where = f"{error.filename}: " if error.filename else ""
            raise Told(f"{where}{error.strerror or type(error).__name__}. Correct that and try again.") from error


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, "-V", "--version", prog_name="aparte")
def main() -> None:
    """Aparté: a private word with a company's customers, on the company's own machine.

    To look at it: aparte demo. To run it: aparte init, then aparte agent add, aparte site add, aparte serve.
    """
    # Whatever a command makes (key, ring, database, settings) is for this account alone.
    os.umask(0o077)


for _command in (serve, demo, init, agent, site, doctor, bench, migrate_store):
    main.add_command(_command)
