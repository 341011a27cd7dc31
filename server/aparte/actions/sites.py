"""Sites: adding and listing. Knows what makes a site's settings wrong. Must not know how they are typed in."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import urlsplit

from aparte.errors import BadSetting
from aparte.model import Site
from aparte.records import connector_of
from aparte.store import Store, Tx, directory_changed, sites

_SLUG: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")
_MASK: Final = re.compile(r"[XA9-]{3,20}")
_ACCENT: Final = re.compile(r"#[0-9a-fA-F]{6}")


def check_site(one: Site) -> None:
    """Raises BadSetting that names what is wrong and the fix."""
    if not _SLUG.fullmatch(one.id):
        raise BadSetting(f"site id {one.id!r}: use lower-case letters, digits and hyphens, at most 40.")
    if not one.name.strip():
        raise BadSetting("site name: give the name that customers know.")
    for origin in one.origins:
        parts = urlsplit(origin)
        if parts.scheme not in ("http", "https") or not parts.hostname or origin != f"{parts.scheme}://{parts.netloc}":
            raise BadSetting(f"origin {origin!r}: give scheme and host alone, e.g. https://www.example.org.")
    if not _ACCENT.fullmatch(one.accent):
        raise BadSetting(f"accent {one.accent!r}: give a colour as #rrggbb.")
    for mask in one.formats:
        if not _MASK.fullmatch(mask):
            raise BadSetting(f"format {mask!r}: use X for a letter or digit, A for a letter, 9 for a digit.")
    connector_of(one)


async def add_site(store: Store, one: Site) -> bool:
    """Adds the site, or replaces its settings; says whether it is new. Raises BadSetting."""
    check_site(one)

    def apply(tx: Tx) -> bool:
        is_new = sites.put_site(tx, one)
        directory_changed(tx)
        tx.audit(("operator", ""), "site.add" if is_new else "site.change", detail=one.id)
        return is_new

    is_new = await store.write(apply)
    await store.refresh()
    return is_new


async def list_sites(store: Store) -> list[Site]:
    return await store.read(lambda connection: sites.sites(connection, store.vault))
