"""`aparte site …`: the websites that may embed the widget.

Knows options and how an address is written. Must not know what the widget does with them.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import click

from aparte import config, errors
from aparte.cli import parts
from aparte.config import Settings

if TYPE_CHECKING:
    from aparte.model import Site

_ID: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?\Z")
_OWN_ACCENT: Final = "#0b5cad"  # where the company names none
_ACCENT: Final = re.compile(r"#[0-9a-fA-F]{6}\Z")
_PHONE: Final = re.compile(r"\+?[0-9][0-9 ().-]{3,29}\Z")
_FORMAT: Final = re.compile(r"[XA9-]{3,20}\Z")
_CONTACT: Final = re.compile(r"(?:mailto:|tel:|https://)[^\s?#\"'<>]+\Z")  # what the loader shows
_PORTS: Final = {"http": 80, "https": 443}


@click.group(short_help="Add and list websites; print the line to paste.")
def site() -> None:
    """The websites that may embed the widget."""


@site.command(short_help="Add a website.")
@click.argument("site_id", metavar="ID")
@click.option("--name", required=True, help="The company, as customers read it.")
@click.option("--origin", "origins", multiple=True, help="A page's address, scheme and host. May be repeated.")
@click.option("--desk", default="", help="The agents' role, as customers read it, e.g. 'bookings desk'.")
@click.option(
    "--desk-in",
    "desks",
    multiple=True,
    type=(str, str),
    metavar="LANG TEXT",
    help="The same on pages of one language, en or fr. May be repeated.",
)
@click.option(
    "--phone",
    default="",
    help="The way out for somebody who cannot pass a check, or to whom the conversation does not open.",
)
@click.option("--accent", default=_OWN_ACCENT, show_default=True, help="The brand's colour.")
@click.option(
    "--format",
    "formats",
    multiple=True,
    help="How booking references look, so that they are noticed in what people write: A for a letter, 9 for a digit, X for "
    "either. XXXXXX finds QX7T4P, 999-9999999 finds 074-1234567. A check for a number of another form is refused; without "
    "any form each number is asked for. May be repeated.",
)
@click.option("--link-host", "link_hosts", multiple=True, help="A host that agents may link to. May be repeated.")
@click.option("--records-url", default="", help="The company's booking system (docs/RECORDS.md).")
@click.option("--records-key", default="", help="The name of the secret that both sides hold.")
@click.option(
    "--records-secret-file",
    "secret_file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The file, mode 0400, that holds the secret: 32 bytes or more.",
)
@click.option(
    "--replace", is_flag=True, help="Give a site that exists these settings, and no others; says what it drops."
)
@parts.config_option
def add(config_file: Path | None, secret_file: Path | None, site_id: str, replace: bool, **given: Any) -> None:
    """Add a website that may embed the widget.

    \b
    Examples:
      aparte site add shop --name "The Shop" --origin https://www.shop.example
      aparte site add air --name "Air Example" --origin https://www.air.example --desk "bookings desk" \\
          --desk-in fr "service des réservations" --phone "+31 20 555 0100" --format XXXXXX --link-host www.air.example \\
          --records-url https://booking.air.example/aparte --records-key k1 --records-secret-file records.secret
    """
    chosen = parts.settings(config_file)
    one = _checked(site_id, given, secret_file)
    before = parts.add_site(chosen, one, may_replace=replace)
    click.echo(
        f"{'Replaced' if before else 'Added'} {one.id}. Paste this line into its pages:\n{_snippet(chosen, one)}"
    )
    if not one.origins:
        click.echo(
            f"No page may show it yet: tell from where, with aparte site add {one.id} --replace … --origin https://www.…"
        )
    _tell_if_local(chosen, one)
    dropped = list(_dropped(before, one)) if before else []
    if dropped:
        click.echo(f"It had these before, and has them no more, since they were not named: {', '.join(dropped)}")


@site.command("list", short_help="List the websites.")
@parts.config_option
def list_(config_file: Path | None) -> None:
    """List the websites that may embed the widget. Secrets are not shown.

    \b
    Example:
      aparte site list
    """
    found = parts.list_sites(parts.settings(config_file))
    if not found:
        click.echo("None yet. Add one with: aparte site add ID --name NAME --origin https://…")
        return
    from aparte.cli import table

    table.show(
        ("id", "name", "origins", "desk", "formats", "records"),
        [(one.id, one.name, " ".join(one.origins), one.desk, " ".join(one.formats), one.records_url) for one in found],
    )


@site.command(short_help="Print the line of HTML to paste.")
@click.argument("site_id", metavar="ID")
@click.option(
    "--contact",
    default="",
    metavar="ADDRESS",
    help="What customers are shown when the conversation does not open: mailto:, tel: or https://. Without it, the telephone "
    "number that the site was added with.",
)
@parts.config_option
def snippet(site_id: str, contact: str, config_file: Path | None) -> None:
    """Print the line of HTML that brings the widget onto the site's pages.

    \b
    Examples:
      aparte site snippet shop
      aparte site snippet shop --contact mailto:help@shop.example
    """
    if contact and not _CONTACT.match(contact):
        raise errors.BadInput(
            "--contact: give one address such as mailto:help@shop.example, tel:+31205550100 or https://…"
        )
    chosen = parts.settings(config_file)
    one = {one.id: one for one in parts.list_sites(chosen)}.get(site_id)
    if one is None:
        raise errors.NotFound("There is no site of this id. `aparte site list` shows them all.")
    click.echo(_snippet(chosen, one, contact))
    _tell_if_local(chosen, one)


def _dropped(before: Site, now: Site) -> Iterator[str]:
    """The options whose value went without being replaced by another. Of a secret the name alone."""
    for option, field in (("desk", "desk"), ("phone", "phone"), ("records-url", "records_url")):
        if getattr(before, field) and not getattr(now, field):
            yield f"--{option} {getattr(before, field)}"
    yield from (f"--desk-in {lang} {desk}" for lang, desk in before.desks if lang not in dict(now.desks))
    if before.accent != now.accent == _OWN_ACCENT:
        yield f"--accent {before.accent}"
    for option, field in (("origin", "origins"), ("format", "formats"), ("link-host", "link_hosts")):
        yield from (f"--{option} {one}" for one in getattr(before, field) if one not in getattr(now, field))


def _snippet(chosen: Settings, one: Site, contact: str = "") -> str:
    public, _ = chosen.addressed()
    if not chosen.public_url and not chosen.port:
        raise errors.BadSetting("port = 0: the address changes at each start: set port or public_url to print it")
    if not contact and one.phone:
        # The zero of "+31 (0)20 555 0100" is not dialled with the country's number.
        number = one.phone.replace("(0)", "") if one.phone.startswith("+") else one.phone
        contact = "tel:" + re.sub(r"[^+0-9]", "", number)
    way = f' data-contact="{html.escape(contact)}"' if contact else ""
    return f'<script async src="{html.escape(public)}/widget.js" data-site="{html.escape(one.id)}"{way}></script>'


def _tell_if_local(chosen: Settings, one: Site) -> None:
    if not chosen.public_url and any(map(config.is_public, one.origins)):
        click.echo(
            "This line works on this machine only: set public_url to the address at which visitors' browsers reach the "
            "chat, and print it again with `aparte site snippet`.",
            err=True,
        )


def _checked(site_id: str, given: dict[str, Any], secret_file: Path | None) -> Site:
    """The site, or errors.BadInput that names every wrong option with its fix."""
    from aparte.model import Site

    origins = tuple(_origin(url) for url in given["origins"])
    wrong = list(_wrong(site_id, given | {"origins": origins}, secret_file))
    if wrong:
        lead = [] if len(wrong) == 1 else [f"{len(wrong)} options are wrong:"]
        raise errors.BadInput("\n  ".join(lead + wrong))
    secret = config.read_secret(secret_file) if secret_file else ""
    return Site(id=site_id, **given | {"origins": origins}, records_secret=secret)


def _wrong(site_id: str, given: dict[str, Any], secret_file: Path | None) -> Iterator[str]:
    if not _ID.match(site_id):
        yield "ID: give 1 to 40 small letters, digits and dashes, e.g. shop"
    for option, longest in (("name", 80), ("desk", 80)):
        if (
            len(given[option]) > longest
            or not given[option].isprintable()
            or (option == "name" and not given["name"].strip())
        ):
            yield f"--{option}: give 1 to {longest} visible characters"
    for lang, desk in given["desks"]:
        if lang not in ("en", "fr") or not 0 < len(desk) <= 80 or not desk.isprintable():
            yield "--desk-in: give en or fr, and 1 to 80 visible characters, e.g. --desk-in fr 'service client'"
    for origin in given["origins"]:
        if fix := config.wrong_origin(origin, "https://www.example.org"):
            yield f"--origin: {fix}"
    if given["phone"] and not _PHONE.match(given["phone"]):
        yield "--phone: give a number such as '+31 20 555 0100'"
    if not _ACCENT.match(given["accent"]):
        yield "--accent: give a colour such as #0b5cad"
    if not all(_FORMAT.match(one) for one in given["formats"]):
        yield "--format: give 3 to 20 of A (a letter), 9 (a digit), X (either) and dashes, e.g. XXXXXX"
    if not all(config.is_host(one) and one == one.lower() for one in given["link_hosts"]):
        yield "--link-host: give a host alone, in small letters, e.g. www.shop.example"
    yield from _wrong_records(given["records_url"], given["records_key"], secret_file)


def _wrong_records(url: str, key: str, secret_file: Path | None) -> Iterator[str]:
    if len({bool(url), bool(key), bool(secret_file)}) > 1:
        yield "--records-url, --records-key and --records-secret-file: give all three or none"
        return
    if not url or secret_file is None:
        return
    if fix := config.wrong_secret(secret_file):
        yield f"--records-secret-file: {secret_file}: {fix}"
        return
    from aparte.records import Connector

    try:
        Connector(url, config.read_secret(secret_file).encode(), key)
    except errors.BadSetting as error:
        yield f"--records-…: {error}"


def _origin(url: str) -> str:
    """As a browser writes it: small letters, no slash at the end, no port that goes without saying."""
    if config.wrong_origin(url):
        return url
    parts_ = urlsplit(url.lower())
    host = f"[{parts_.hostname}]" if ":" in (parts_.hostname or "") else parts_.hostname
    port = "" if parts_.port in (None, _PORTS[parts_.scheme]) else f":{parts_.port}"
    return f"{parts_.scheme}://{host}{port}"
