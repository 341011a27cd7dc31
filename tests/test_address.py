"""Twin of address.py."""

from __future__ import annotations

import pytest

from aparte.address import is_address, mask


@pytest.mark.parametrize("text", ["m.dupont@example.org", "a@b", "o'neil+air@mail.example.co.uk", "x_1@localhost"])
def test_it_accepts_plain_addresses(text: str) -> None:
    assert is_address(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "dupont",
        "@example.org",
        "dupont@",
        "a@b@c",
        "a b@example.org",
        ".a@example.org",
        "a..b@example.org",
        "a@-example.org",
        "a@example..org",
        "a@example.org.",
        "a@example.org\n",
        "a@example.org\r\nBcc: x@example.org",
        "a@example.org,b@example.org",
        "A <a@example.org>",
        '"a b"@example.org',
        "a@[127.0.0.1]",
        "é@example.org",
        "a\u200b@example.org",
        "x" * 65 + "@example.org",
        "a@" + "b" * 64 + ".org",
        "a@" + "b.c" * 90,
    ],
)
def test_it_refuses_all_else(text: str) -> None:
    assert not is_address(text)


def test_it_shows_one_letter_of_each_part_and_no_length() -> None:
    assert mask("m.dupont@example.org") == "m•••••@e••••••.org"
    assert mask("maria-magdalena.dupont@ex.org") == "m•••••@e••••••.org"


def test_it_shows_nothing_of_a_part_of_one_letter() -> None:
    assert mask("m@e.org") == "•••••@••••••.org"
    assert mask("a@b") == "•••••@••••••"
