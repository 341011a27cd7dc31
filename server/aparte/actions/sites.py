"""Sites: adding and listing. Knows what makes a site's settings wrong. Must not know how they are typed in."""

from __future__ import annotations

import re
from typing import Final, get_args
from urllib.parse import urlsplit

from aparte.config import wrong_origin
from aparte.errors import BadSetting
from aparte.frames import Lang
from aparte.model import Site
from aparte.records import connector_of
from aparte.store import Store, Tx, directory_changed, sites

_SLUG: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")
_MASK: Final = re.compile(r"[XA9-]{3,20}")
_ACCENT: Final = re.compile(r"#[0-9a-fA-F]{6}")
_LONGEST: Final = {"name": 80, "desk": 80, "phone": 40}  # characters


def check_site(one: Site) -> None:
    """Raises BadSetting that names what is wrong and the fix."""
    if not _SLUG.fullmatch(one.id):
        raise BadSetting(f"site id {one.id!r}: use lower-case letters, digits and hyphens, at most 40.")
    if not one.name.strip():
        raise BadSetting("site name: give the name that customers know.")
    for name, longest in _LONGEST.items():
        value: str = getattr(one, name)
        if len(value) > longest or not value.isprintable():
            raise BadSetting(f"site {name}: give at most {longest} visible characters.")
    for lang, desk in one.desks:
        if lang not in get_args(Lang) or len(desk) > _LONGEST["desk"] or not desk.isprintable():
            raise BadSetting(
                f"site desk in {lang!r}: give en or fr, and at most {_LONGEST['desk']} visible characters."
            )
    if len(dict(one.desks)) < len(one.desks):
        raise BadSetting("site desk: give one name for each language.")
    for origin in one.origins:
        # It becomes part of a header of each page: nothing but a bare address may pass.
        if fix := wrong_origin(origin):
            raise BadSetting(f"origin {origin!r}: {fix}.")
        parts = urlsplit(origin)
        if origin != f"{parts.scheme}://{parts.netloc}".lower():
            raise BadSetting(f"origin {origin!r}: give it as a browser does, in small letters and without a slash.")
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
