"""`aparte doctor`: says what is wrong with this installation, and what to do.

Knows how findings are printed. Must not know how they are found.
"""

from __future__ import annotations

import sys
from pathlib import Path

import click

from aparte import errors
from aparte.cli import parts


@click.command(short_help="Check this installation and name each fix.")
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON.")
@parts.config_option
def doctor(config_file: Path | None, as_json: bool) -> None:
    """Check settings, places, keys, database, bell, clock, disk, mail and connectors. Status 1 when something is wrong.

    It writes nothing, sends no letter, and may run while the server does.

    \b
    Examples:
      aparte doctor
      aparte doctor --json
    """
    from aparte.cli import checkup

    try:
        findings = checkup.all_of(parts.settings(config_file))
    except errors.BadSetting as error:
        findings = [checkup.Finding("settings", False, str(error))]
    if as_json:
        import msgspec

        click.echo(msgspec.json.encode(findings).decode())
    else:
        for one in findings:
            click.echo(f"{'✗' if not one.ok else '!' if one.doubt else '✓'} {one.name}: {one.says}")
    sys.exit(0 if all(one.ok for one in findings) else 1)
