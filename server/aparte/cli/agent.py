"""`aparte agent …`: the people who answer.

Knows options and a table. Must not judge who may do what.
"""

from __future__ import annotations

import unicodedata
from pathlib import Path

import click

from aparte import errors
from aparte.cli import confirm, parts, passwords

_ROLES = ("agent", "supervisor", "admin")

_from_stdin = click.option(
    "--password-stdin", "from_stdin", is_flag=True, help="Read the password from standard input."
)
_generate = click.option("--generate", is_flag=True, help="Make a password and print it, once.")


@click.group(short_help="Add, list and disable the people who answer.")
def agent() -> None:
    """The people who answer: agents, supervisors, administrators."""


@agent.command(short_help="Add a person.")
@click.argument("email")
@click.option("--name", required=True, help="As customers read it.")
@click.option("--role", type=click.Choice(_ROLES), default="agent", show_default=True)
@_from_stdin
@_generate
@parts.config_option
def add(email: str, name: str, role: str, from_stdin: bool, generate: bool, config_file: Path | None) -> None:
    """Add a person who answers. The password is asked for; or read from standard input; or made and printed once.

    \b
    Examples:
      aparte agent add anna@airline.example --name "Anna de Vries"
      aparte agent add sam@airline.example --name "Sam Roy" --role supervisor --generate
    """
    chosen = parts.settings(config_file)
    email, name = _address(email), _name(name)
    parts.require_new_agent(chosen, email)
    from aparte.model import Role

    password, is_made = passwords.asked(from_stdin=from_stdin, generate=generate, about=(name, email))
    parts.add_agent(chosen, name, email, Role(role), password)
    click.echo(f"{email} can sign in as {role} at {chosen.addressed()[1]}/panel")
    _show(password, is_made=is_made)


@agent.command("list", short_help="List the people.")
@parts.config_option
def list_(config_file: Path | None) -> None:
    """List the people who answer.

    \b
    Example:
      aparte agent list
    """
    people = parts.list_agents(parts.settings(config_file))
    if not people:
        click.echo("Nobody yet. Add somebody with: aparte agent add EMAIL --name NAME")
        return
    from aparte.cli import table

    table.show(
        ("e-mail", "name", "role", "access"),
        [(one.email, one.name, str(one.role), "disabled" if one.is_disabled else "yes") for one in people],
    )


@agent.command(short_help="End somebody's access.")
@click.argument("email")
@click.option("--yes", is_flag=True, help="Do not ask.")
@parts.config_option
def disable(email: str, yes: bool, config_file: Path | None) -> None:
    """End somebody's access: no sign-in, and open pages are closed within a second.

    \b
    Example:
      aparte agent disable anna@airline.example --yes
    """
    chosen = parts.settings(config_file)
    email = _address(email)
    parts.require_agent(chosen, email)
    if not yes:
        confirm.ask(f"End the access of {email}?")
    parts.set_disabled(chosen, email, True)
    click.echo(f"{email} has no access any more. To give it back: aparte agent enable {email}")


@agent.command(short_help="Give somebody's access back.")
@click.argument("email")
@parts.config_option
def enable(email: str, config_file: Path | None) -> None:
    """Give back the access that `disable` ended. The password is as it was.

    \b
    Example:
      aparte agent enable anna@airline.example
    """
    chosen = parts.settings(config_file)
    email = _address(email)
    parts.set_disabled(chosen, email, False)
    click.echo(f"{email} can sign in at {chosen.addressed()[1]}/panel")


@agent.command(short_help="Set a new password.")
@click.argument("email")
@_from_stdin
@_generate
@parts.config_option
def password(email: str, from_stdin: bool, generate: bool, config_file: Path | None) -> None:
    """Set a new password. Every session of that person ends.

    \b
    Example:
      aparte agent password anna@airline.example --generate
    """
    chosen = parts.settings(config_file)
    email = _address(email)
    parts.require_agent(chosen, email)
    new, is_made = passwords.asked(from_stdin=from_stdin, generate=generate, about=(email,))
    parts.set_password(chosen, email, new)
    click.echo(f"{email} has a new password.")
    _show(new, is_made=is_made)


def _show(password: str, *, is_made: bool) -> None:
    if is_made:
        click.echo(f"password: {password}\nIt is not shown again. Hand it over in person or through a password safe.")


def _address(text: str) -> str:
    from aparte.address import is_address

    if not is_address(text.strip()):
        raise errors.BadInput("That is not an e-mail address. Give one such as anna@airline.example.")
    return text.strip()


def _name(text: str) -> str:
    name = " ".join(text.split())
    # "Cf" are direction overrides and invisible characters, by which one name can be made to look like another.
    if not 0 < len(name) <= 80 or not name.isprintable() or any(unicodedata.category(one) == "Cf" for one in name):
        raise errors.BadInput("A name has 1 to 80 visible characters.")
    return name
