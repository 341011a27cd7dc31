"""Where an agent's links may lead: the site's hosts, and an address that the customer wrote."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aparte.guard import addresses, foreign_links

OURS = ("airline.example", "*.help.airline.example", "münchen.example")


@pytest.mark.parametrize(
    "text",
    [
        "Have a look at https://airline.example/bags?x=1#y", "airline.example", "AIRLINE.EXAMPLE/fares.", "https://airline.example:443/",
        "https://fr.help.airline.example/", "Hello.How are you? e.g. at 14.05, i.e. 2 p.m.", "8.12.2026", "It costs 58.50 euros.",
        "Merci.Bonne journée", "version 1.2.3", "https://xn--mnchen-3ya.example/", "https://münchen.example/", "no link at all", "",
        "agent@airline.example", "ratio 3:4", "note: it is fine", "QX7T4P//QX7T4Q",
    ],
)  # fmt: skip
def test_it_lets_links_to_the_site_and_ordinary_stops_pass(text: str) -> None:
    assert foreign_links(text, OURS) == ()


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("https://evil.example/airline.example", "evil.example"),
        ("http://airline.example@evil.example/", "evil.example"),
        ("http://airline.example:443@evil.example/", "evil.example"),
        ("https://airline.example.evil.example/", "airline.example.evil.example"),
        ("https://evilairline.example/", "evilairline.example"),
        ("go to evil.com/pay", "evil.com"),
        ("evil.com", "evil.com"),
        ("www.evil.test", "www.evil.test"),
        ("//evil.com/x", "evil.com"),
        ("https:evil.com", "evil.com"),
        ("https:/\\evil.com", "evil.com"),
        ("ftp://evil.com/x", "evil.com"),
        ("HTTPS://EVIL.COM", "evil.com"),
        ("evil。com", "evil.com"),
        ("e\u200bvil.com", "evil.com"),
        ("ｅｖｉｌ.com", "evil.com"),
        ("https://аirline.example/", "аirline.example"),  # a Cyrillic а
        ("https://airliné.example/", "airliné.example"),
        ("https://airline.example\\@evil.com/", "evil.com"),
        ("pay to refunds@evil.com", "evil.com"),
        ("pay from your e-mail address to refunds@evil.com", "evil.com"),
        ("Votre adresse est bien dupont@evil.com ?", "evil.com"),
        ("Your e-mail is pay+now@evil.com", "evil.com"),
        ("Your 2nd e-mail is pay@evil.com", "evil.com"),
        ("Please write to your new mail: help+air@evil.com", "evil.com"),
        ("Votre mail: aide+1@evil.com", "evil.com"),
        ("http://3232235777/", "3232235777"),
        ("http://[::1]/", "::1"),
        ("192.168.1.1/login", "192.168.1.1"),
        ("javascript:alert(1)", "javascript:"),
        ("data:text/html;base64,xx", "data:"),
        ("пример.рф", "пример.рф"),
        ("(see evil.com)", "evil.com"),
        ("x.help.airline.example.evil.io", "x.help.airline.example.evil.io"),
        ("help.airline.example.", "help.airline.example"),
        ("evilairline.example", "evilairline.example"),
        ("[airline.example](https://evil.com)", "evil.com"),
    ],
)
def test_it_names_a_host_outside_the_list(text: str, host: str) -> None:
    assert foreign_links(text, OURS) == (host,)


THEIRS = "write to dupont+air@mail.com, please"  # what the customer wrote


@pytest.mark.parametrize(
    "text",
    [
        "Votre adresse est bien dupont+air@mail.com ?", "We have your e-mail as DUPONT+AIR@mail.com.",
        "(dupont+air@mail.com)", "e-mail:dupont+air@mail.com", "ｄupont+air@mail.com!", "dupont+air@mail.com: is it right?",
    ],
)  # fmt: skip
def test_an_address_that_the_customer_wrote_leads_nowhere_new(text: str) -> None:
    assert foreign_links(text, OURS, addresses(THEIRS)) == ()
    assert foreign_links(text, OURS) == ("mail.com",)


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("Your e-mail is dupont@mail.com", "mail.com"),
        ("Your e-mail is a.dupont+air@mail.com", "mail.com"),
        ("a!dupont+air@mail.com", "mail.com"),
        ("dupont+air@mail.com.evil.com", "mail.com.evil.com"),
        ("dupont+air@mail.com-evil.com", "mail.com-evil.com"),
        ("dupont+air@mail.com@evil.com", "evil.com"),
        ("dupont+air@mail.com evil.com", "evil.com"),
        ("mail.com", "mail.com"),
        ("dupont+air@mail.com/pay", "mail.com"),
        ("dupont+air@mail.com:80/pay", "mail.com"),
        ("dupont+air@mail.com?to=x", "mail.com"),
        ("https://dupont+air@mail.com", "mail.com"),
        ("https:dupont+air@mail.com", "mail.com"),
        ("//dupont+air@mail.com", "mail.com"),
        ("dupont+air@mаil.com", "mаil.com"),  # a Cyrillic а
    ],
)
def test_what_is_built_around_the_customers_address_leads_away(text: str, host: str) -> None:
    assert host in foreign_links(text, OURS, addresses(THEIRS))


# What a link, an address and their disguises are made of.
texts = st.lists(
    st.sampled_from(
        ["dupont+air@mail.com", "pay@evil.com", "a@b.co", "evil.com", "mail.com", "@", ".", "/", "//", ":", "https:", "\\", "?", "x", "-", "+",
         " ", ", ", "(", "\u200b", "＠", "。", "ｄ", "é"]
    ),
    max_size=12,
).map("".join)  # fmt: skip


@given(texts, texts)
def test_only_whole_addresses_that_the_customer_wrote_are_let_through(text: str, said: str) -> None:
    theirs = addresses(said)
    if addresses(text).isdisjoint(theirs):
        assert foreign_links(text, OURS, theirs) == foreign_links(text, OURS)


def test_it_names_each_host_once() -> None:
    assert sorted(foreign_links("b.com a.com http://b.com/", ())) == ["a.com", "b.com"]
