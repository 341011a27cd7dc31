"""Twin of actions/sites.py and store/sites.py: what a site may be told to be."""

from __future__ import annotations

import dataclasses

import pytest

from aparte.actions import sites
from aparte.errors import BadSetting
from aparte.model import Site
from aparte.store import Store
from harness import site

pytestmark = pytest.mark.both_stores

GOOD = site()


@pytest.mark.parametrize(
    "origin",
    [
        "https://a.example; script-src *",
        "https://a.example *",
        "https://a.example\r\nx-evil: 1",
        "https://a.example,https://b.example",
        "https://a.example/",
        "https://a.example/page",
        "https://A.example",
        "https://user@a.example",
        "https://*.example",
        "http://a.example",
        "'unsafe-inline'",
        "",
    ],
)
def test_it_takes_an_origin_only_as_a_browser_writes_it(origin: str) -> None:
    with pytest.raises(BadSetting, match="origin"):
        sites.check_site(dataclasses.replace(GOOD, origins=(origin,)))


@pytest.mark.parametrize("origin", ["https://www.a.example", "https://a.example:8443", "http://localhost:3000"])
def test_it_takes_a_bare_address(origin: str) -> None:
    sites.check_site(dataclasses.replace(GOOD, origins=(origin,)))


@pytest.mark.parametrize(("name", "longest"), [("name", 80), ("desk", 80), ("phone", 40)])
def test_it_bounds_what_customers_read(name: str, longest: int) -> None:
    sites.check_site(dataclasses.replace(GOOD, **{name: "x" * longest}))  # type: ignore[arg-type]  # by its name
    for wrong in ("x" * (longest + 1), "a\nb"):
        with pytest.raises(BadSetting, match=name):
            sites.check_site(dataclasses.replace(GOOD, **{name: wrong}))  # type: ignore[arg-type]  # by its name


@pytest.mark.parametrize("desk", [("de", "Buchungen"), ("fr", "x" * 81), ("fr", "a\nb")])
def test_it_takes_a_desk_only_in_a_language_that_it_speaks(desk: tuple[str, str]) -> None:
    sites.check_site(dataclasses.replace(GOOD, desks=(("fr", "x" * 80), ("en", "Desk"))))
    with pytest.raises(BadSetting, match="desk in"):
        sites.check_site(dataclasses.replace(GOOD, desks=(desk,)))


async def test_it_keeps_no_site_that_it_refused(store: Store) -> None:
    with pytest.raises(BadSetting):
        await sites.add_site(store, Site("other", "Other", origins=("https://a.example; script-src *",)))
    assert [one.id for one in await sites.list_sites(store)] == [GOOD.id]
