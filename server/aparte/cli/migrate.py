"""`aparte migrate-store`: copies a SQLite installation into PostgreSQL.

Knows what is asked before, shown meanwhile and told at the end. Must not know a table.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from aparte.cli import confirm, parts
from aparte.config import Settings

if TYPE_CHECKING:
    from aparte.store.copying import Compared, Watch

_LINE_SECONDS: Final = 10.0  # between two lines about one table, where nobody sees a bar grow
_DIFFERENT: Final = 1  # the status
_SHORT: Final = 16  # digits of a hash, for people; a program gets all of them
_ANEW: Final = "Nothing may use the copy. Make both databases anew and empty (dropdb, createdb), then run this again."


@click.command("migrate-store", short_help="Copy a SQLite installation into PostgreSQL.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON at the end.")
@parts.config_option
def migrate_store(config_file: Path | None, yes: bool, as_json: bool) -> None:
    """Copy this installation, data and key ring, from SQLite into two empty databases of PostgreSQL.

    Stop the server, add database_url and keyring_url to the settings, and leave data and keyring as they are: they say
    what is copied. That is only read. A copy that was broken off goes on when this is run again, and nothing may use it
    before it is finished.

    Status 0: every row is there, and was compared. 1: a table is not the same on both sides. 2: it could not begin or go
    on, and the reason is told.

    \b
    Examples:
      aparte migrate-store
      aparte migrate-store --config /etc/aparte.toml --yes
    """
    chosen = parts.settings(config_file)
    pairs = parts.store_to_copy(chosen)
    if not yes:
        for file, database in pairs:
            click.echo(f"{file} goes into {database}", err=True)
        confirm.ask("Copy the installation?")
    begun = time.monotonic()
    with _shown() as watch:
        compared = parts.copy_store(chosen, watch)
    seconds = time.monotonic() - begun
    different = [one for one in compared if not one.is_same]
    if as_json:
        _say_json(compared, seconds)
    elif not compared:
        click.echo("The copy had been finished before; nothing was changed.")
    else:
        _say(compared, seconds, chosen)
    if different:
        names = ", ".join(f"{one.table} ({one.database})" for one in different)
        click.echo(f"aparte: not the same on both sides: {names}. {_ANEW}", err=True)
        sys.exit(_DIFFERENT)


def _say(compared: list[Compared], seconds: float, chosen: Settings) -> None:
    from aparte.cli import table

    table.show(
        ("database", "table", "rows", "copied", "SHA-256 of all rows", ""),
        [
            (one.database, one.table, f"{one.rows:,}", f"{one.copied_rows:,}", one.sha256[:_SHORT], _same(one.is_same))
            for one in compared
        ],
    )
    if not all(one.is_same for one in compared):
        return
    rows = sum(one.rows for one in compared)
    click.echo(
        f"""Copied and compared {rows:,} rows in {seconds:.0f} s.

Next:
  1. aparte doctor
  2. aparte serve
  3. When all is well, remove {chosen.data / "aparte.db"}* and {chosen.keyring}*, which are as they were: the key ring
     within 7 days, since it would bring back the keys of people who are erased from now on."""
    )


def _same(is_same: bool) -> str:
    return "the same" if is_same else "NOT THE SAME"


def _say_json(compared: list[Compared], seconds: float) -> None:
    import msgspec

    said = {"is_same": all(one.is_same for one in compared), "seconds": round(seconds, 3), "tables": compared}
    click.echo(msgspec.json.encode(said).decode())


@contextmanager
def _shown() -> Iterator[Watch]:
    """How far it has got, on standard error: a bar on a terminal, else a line now and then."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    speed, since, last = "", time.monotonic(), 0.0
    doing: tuple[str, str] = ("", "")
    first = 0
    columns: tuple[Any, ...] = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[speed]}"))
    with Progress(*columns, TimeRemainingColumn(), console=console, transient=True) as bars:
        task: TaskID = bars.add_task("", total=None, speed="")

        def watch(what: str, name: str, done: int, total: int) -> None:
            nonlocal doing, first, since, last, speed
            now = time.monotonic()
            if doing != (what, name):
                doing, first, since, last, speed = (what, name), done, now, now, ""
                bars.reset(task, total=total, description=f"{what} {name}", speed="")
            if done > first and now > since:
                speed = f", {(done - first) / (now - since):,.0f} rows/s"
            bars.update(task, completed=done, speed=f"{done:,} of {total:,} rows{speed}")
            if not console.is_terminal and done and (done == total or now - last > _LINE_SECONDS):
                last = now
                click.echo(f"{what} {name}: {done:,} of {total:,} rows{speed}", err=True)

        yield watch
