"""`aparte site`: what a site may be told to be, and that nothing of it lies open on the disk."""

from __future__ import annotations

from pathlib import Path

import pytest

from commandline import CANARY, GOOD, aparte, here, installed, says, secret, template

__all__ = ["here", "installed", "template"]

pytestmark = pytest.mark.usefixtures("here")


def test_it_adds_a_site_and_prints_its_line(installed: Path) -> None:
    result = aparte("site", "add", "shop", "--name", "The Shop", "--origin", "HTTPS://www.Shop.example:443/")
    line = '<script async src="http://127.0.0.1:8080/widget.js" data-site="shop"></script>\n'
    assert result.stdout.endswith(line)
    assert aparte("site", "snippet", "shop").stdout == line
    assert "https://www.shop.example " in aparte("site", "list").stdout


def test_its_line_names_another_way_to_the_company(installed: Path) -> None:
    added = aparte("site", "add", "shop", "--name", "The Shop", "--phone", "+31 (0)20 555-0100")
    assert 'data-site="shop" data-contact="tel:+31205550100"></script>' in added.stdout
    assert aparte("site", "snippet", "shop").stdout in added.stdout
    named = aparte("site", "snippet", "shop", "--contact", "https://shop.example/help&more").stdout
    assert 'data-contact="https://shop.example/help&amp;more"' in named
    assert "tel:" not in named
    for wrong in ("call us", "javascript:alert(1)", "http://shop.example", 'tel:1"x', "mailto:"):
        says(aparte("site", "snippet", "shop", "--contact", wrong), "--contact: give one address")


def test_it_says_what_a_site_cannot_do_yet(installed: Path) -> None:
    added = aparte("site", "add", "shop", "--name", "The Shop")
    assert "No page may show it yet" in added.stdout
    found = aparte("doctor").stdout
    assert "! site shop: no booking system: nobody can be verified" in found
    assert "no --origin" in found
    again = aparte("site", "add", "shop", "--name", "The Shop", "--origin", "http://localhost:9", "--replace")
    assert "No page" not in again.stdout
    assert "✓ site shop: no booking system" in aparte("doctor").stdout


def test_its_help_says_that_numbers_of_other_forms_are_refused() -> None:
    assert "number of another form is refused" in " ".join(aparte("site", "add", "--help").stdout.split())


def test_it_lists_what_a_site_was_told_to_be(installed: Path) -> None:
    many = ("--origin", "https://a.example", "--format", "XXXXXX", "--format", "999-9999999")
    assert aparte("site", "add", "shop", "--name", "Shop", "--desk", "bookings", *many).exit_code == 0
    lines = [line.split() for line in aparte("site", "list").stdout.splitlines()]
    assert ["id", "name", "origins", "desk", "formats", "records"] in lines
    assert ["shop", "Shop", "https://a.example", "bookings", "XXXXXX", "999-9999999"] in lines


def test_it_prints_the_address_that_visitors_use(installed: Path) -> None:
    aparte("site", "add", "shop", "--name", "S")
    proxied = {"APARTE_PUBLIC_URL": "https://chat.example.org", "APARTE_TRUSTED_PROXIES": "127.0.0.1"}
    assert 'src="https://chat.example.org/widget.js"' in aparte("site", "snippet", "shop", **proxied).stdout
    says(aparte("site", "snippet", "shop", APARTE_PORT="0"), "set port or public_url")
    says(aparte("site", "snippet", "shoe"), "no site of this id")


def test_it_says_that_a_line_works_on_this_machine_only(installed: Path) -> None:
    public = aparte("site", "add", "shop", "--name", "S", "--origin", "https://www.shop.example")
    assert "on this machine only: set public_url" in public.stderr
    assert "on this machine only: set public_url" in aparte("site", "snippet", "shop").stderr
    proxied = {"APARTE_PUBLIC_URL": "https://chat.example.org", "APARTE_TRUSTED_PROXIES": "127.0.0.1"}
    assert aparte("site", "snippet", "shop", **proxied).stderr == ""
    assert aparte("site", "add", "own", "--name", "O", "--origin", "http://localhost:8000").stderr == ""


def test_it_says_what_a_replacement_drops(installed: Path) -> None:
    everything = (
        "--phone",
        "+31 20 555 0100",
        "--desk",
        "bookings desk",
        "--desk-in",
        "fr",
        "vols",
        "--accent",
        "#aa0000",
    )
    many = ("--origin", "https://a.example", "--origin", "https://b.example", "--format", "XXXXXX")
    records = ("--records-url", "https://air.example/r", "--records-key", "k1", "--records-secret-file", secret())
    added = aparte("site", "add", "shop", "--name", "Shop", *everything, *many, *records)
    assert "no more" not in added.stdout
    said = aparte("site", "add", "shop", "--name", "Shop", "--origin", "https://b.example", "--replace").stdout
    for lost in (
        "+31 20 555 0100",
        "bookings desk",
        "--desk-in fr vols",
        "#aa0000",
        "https://a.example",
        "XXXXXX",
        "https://air.example/r",
    ):
        assert lost in said
    assert "--origin https://b.example" not in said
    assert "no more" not in aparte("site", "add", "shop", "--name", "Shop", *many, "--replace").stdout


def test_it_replaces_a_site_only_when_told_to(installed: Path) -> None:
    aparte("site", "add", "shop", "--name", "Old")
    says(aparte("site", "add", "shop", "--name", "New"), "--replace")
    assert "Old" in aparte("site", "list").stdout
    assert aparte("site", "add", "shop", "--name", "New", "--replace").stdout.startswith("Replaced")
    assert "Old" not in aparte("site", "list").stdout


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--name", ""),
        ("--name", "A\x07"),
        ("--name", "x" * 81),
        ("--desk", "x" * 81),
        ("--origin", "www.shop.example"),
        ("--origin", "http://www.shop.example"),
        ("--origin", "https://*.shop.example"),
        ("--origin", "https://www.shop.example/page"),
        ("--origin", "null"),
        ("--phone", "call us"),
        ("--accent", "red"),
        ("--accent", "#0b5cad;}"),
        ("--format", "(a+)+"),
        ("--format", "X"),
        ("--link-host", "https://www.shop.example"),
        ("--link-host", "www.Shop.example"),
    ],
)
def test_it_refuses_a_sites_wrong_option(installed: Path, option: str, value: str) -> None:
    given = {"--name": "Shop"} | {option: value}
    says(aparte("site", "add", "shop", *[word for pair in given.items() for word in pair]), f"{option}: .*give ")


@pytest.mark.parametrize(("lang", "desk"), [("de", "Buchungen"), ("fr", ""), ("fr", "x" * 81), ("fr", "A\x07")])
def test_it_refuses_a_desk_in_no_language_or_of_no_words(installed: Path, lang: str, desk: str) -> None:
    says(aparte("site", "add", "shop", "--name", "Shop", "--desk-in", lang, desk), "--desk-in: .*give ")


@pytest.mark.parametrize("site_id", ["", "Shop", "a b", "-a", "a/b", "x" * 41, "é"])
def test_it_refuses_a_sites_wrong_id(installed: Path, site_id: str) -> None:
    says(aparte("site", "add", "--name", "Shop", "--", site_id), "ID: give")


def test_it_names_all_wrong_options_at_once(installed: Path) -> None:
    result = aparte("site", "add", "Shop", "--name", "", "--accent", "red", "--records-url", "https://x.example")
    says(result, "4 options are wrong")
    assert "give all three or none" in result.stderr


@pytest.mark.parametrize(
    ("url", "key", "content", "mode", "sentence"),
    [
        ("https://booking.example", "k1", "s" * 40, 0o440, "others may read it"),
        ("https://booking.example", "k1", "short", 0o400, "fewer than 32 bytes"),
        ("http://booking.example", "k1", "s" * 40, 0o400, "https"),
        ("https://booking.example", "k 1", "s" * 40, 0o400, "key id"),
        ("not a url", "k1", "s" * 40, 0o400, "--records-"),
    ],
)
def test_it_refuses_a_booking_system_that_could_not_be_trusted(
    installed: Path, url: str, key: str, content: str, mode: int, sentence: str
) -> None:
    given = ("--records-url", url, "--records-key", key, "--records-secret-file", secret(content, mode))
    result = aparte("site", "add", "shop", "--name", "S", *given)
    says(result, sentence)
    assert content not in result.stderr


def test_it_keeps_what_it_was_told_encrypted(installed: Path) -> None:
    content = "canary-secret-0123456789abcdef0123"
    aparte("agent", "add", "kanarek@b.example", "--name", CANARY, "--password-stdin", stdin=GOOD)
    given = (
        "--records-url",
        "https://booking.example",
        "--records-key",
        "k1",
        "--records-secret-file",
        secret(content),
    )
    added = aparte("site", "add", "shop", "--name", f"{CANARY}'s", "--desk", "Kanarek desk", *given)
    assert added.exit_code == 0, added.output
    assert content not in aparte("site", "list").stdout
    Path("records.secret").unlink()
    kept = b"".join(path.read_bytes() for path in installed.rglob("*") if path.is_file())
    for canary in ("kanarek", "Kanarek", content, GOOD):
        for form in (canary.encode(), canary.encode("utf-16-le")):
            assert form not in kept


def test_its_example_of_a_pages_address_is_a_pages(installed: Path) -> None:
    told = aparte("site", "add", "shop", "--name", "S", "--origin", "www.shop.example").stderr
    assert "--origin: give an address such as https://www.example.org" in told


def test_the_doctor_doubts_a_public_site_on_a_server_of_this_machine_alone(installed: Path) -> None:
    aparte("site", "add", "own", "--name", "O", "--origin", "http://127.0.0.1:8000")
    assert aparte("doctor").stdout.count("! ") == 1  # nobody may sign in yet
    assert "! agents: none yet who may sign in: run aparte agent add" in aparte("doctor").stdout
    aparte("agent", "add", "a@b.example", "--name", "A", "--generate")
    aparte("site", "add", "shop", "--name", "S", "--origin", "https://www.shop.example")
    told = aparte("doctor").stdout
    assert "✓ agents: 1 may sign in" in told
    assert (
        "! public_url: http://127.0.0.1:8080, for this machine only, though site shop is on https://www.shop.example"
        in told
    )
