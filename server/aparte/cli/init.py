"""`aparte init`: makes an installation where there is none, and changes nothing where there is one.

Knows the order: settings, folders, keys, database. Must not know what is in them.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import click

from aparte import config, errors
from aparte.cli import parts
from aparte.config import Database, Settings

_PLACES: Final = ("data", "keyring", "root_key")
_TEMPLATE: Final = """\
# Settings of Aparté. All of them, with defaults and ranges: docs/OPERATIONS.md. Paths start at this file.

# Three places. Copies of them must not travel together: the data alone, or with the key ring, are worth nothing to a
# thief, as long as the root key is elsewhere.
data = "aparte-data"
keyring = "aparte-keyring/keyring.db"
root_key = "aparte-key/root.key"

# PostgreSQL instead of SQLite: two databases, no password in an address, and no keyring above.
# database_url = "postgresql://aparte@127.0.0.1:5432/aparte"
# keyring_url = "postgresql://aparte@127.0.0.1:5432/aparte_keys"
# database_password_file = "aparte-key/database.secret"
# keyring_password_file = "aparte-key/database.secret"

# host = "127.0.0.1"
# port = 8080

# What people's browsers use, where a proxy that speaks TLS stands in front:
# public_url = "https://chat.example.org"
# panel_url = "https://panel.example.org"
# trusted_proxies = ["127.0.0.1"]

# Without a mail server no codes can be sent, and checks by e-mail are not offered.
# smtp_host = "mail.example.org"
# smtp_user = "chat"
# smtp_password_file = "aparte-key/smtp.secret"
# mail_from = "Air Example <chat@example.org>"
"""


@click.command(short_help="Make a new installation: folders, keys, database.")
@parts.config_option
def init(config_file: Path | None) -> None:
    """Make a new installation: settings file, folders, root key, key ring and database.

    What is there already stays as it is, so that it can be run again. Nothing is ever overwritten.

    \b
    Examples:
      aparte init
      aparte init --config /etc/aparte.toml
    """
    made: dict[str, tuple[Path | Database, bool]] = dict(_settings_file(config_file))
    chosen = parts.settings(config_file)
    made |= _make(chosen)
    for what, (path, is_new) in made.items():
        click.echo(f"{'made ' if is_new else 'there'}  {what:<13} {path}")
    if any(is_new for _, is_new in made.values()):
        click.echo(
            f"""
Next:
  1. Copy the root key {chosen.root_key} to a safe place, apart from all other copies. Without it everything is lost.
  2. aparte agent add EMAIL --name NAME --role admin
  3. aparte site add ID --name NAME --origin https://www.example.org --format XXXXXX
     (--format: how your booking references look; see aparte site add --help)
  4. aparte doctor
  5. aparte serve"""
        )
    else:
        click.echo("Everything was there already; nothing was changed.")


def _settings_file(chosen: Path | None) -> dict[str, tuple[Path, bool]]:
    """Writes a first settings file where none is and the environment does not name the places itself."""
    path = chosen or Path(os.environ.get(config.CONFIG_VARIABLE) or config.DEFAULT_FILE)
    if path.exists():
        return {"settings": (path, False)}
    given = {name.removeprefix(config.PREFIX).lower().removesuffix("_url") for name in os.environ}
    if chosen is None and given.issuperset(_PLACES):
        return {}
    with path.open("x", encoding="utf-8") as file:
        file.write(_TEMPLATE)
    return {"settings": (path, True)}


def _make(chosen: Settings) -> dict[str, tuple[Path | Database, bool]]:
    from aparte import postgres
    from aparte.vault import Vault

    database, ring = chosen.database(), chosen.ring()
    before = {chosen.data: chosen.data.exists(), chosen.root_key: chosen.root_key.exists()}
    before_database, before_ring = postgres.is_made(database, "conversation"), postgres.is_made(ring, "ring")
    if before_database and not before_ring:
        setting = "keyring" if isinstance(ring, Path) else "keyring_url"
        raise errors.BadSetting(
            f"There is a database in {chosen.data if isinstance(database, Path) else database} and no key ring at {ring}: "
            f"a new ring could not open it. Put the key ring back, correct the setting {setting}, or move the data away "
            "to begin anew."
        )
    if before_ring and not before[chosen.root_key]:
        raise errors.BadSetting(
            f"The root key is missing: there is a key ring at {ring}, and no file {chosen.root_key}. A new key could not "
            "open it: put the root key back from where you keep its copy, or correct the setting root_key. To begin anew, "
            "move data and key ring away."
        )
    if isinstance(database, Database) and not before_database and (chosen.data / "aparte.db").exists():
        raise errors.BadSetting(
            f"There is an installation on SQLite in {chosen.data}. To bring it into {database} run aparte migrate-store; "
            "to begin anew set another data."
        )
    try:
        Vault.create(keyring=ring, root_key=chosen.root_key).close()
    except errors.BadSetting:
        if not before_ring:
            raise
    parts.make_store(chosen)
    return {
        "root key": (chosen.root_key, not before[chosen.root_key]),
        "key ring": (ring, not before_ring),
        "data folder": (chosen.data, not before[chosen.data]),
        "database": (database, not before_database),
    }
