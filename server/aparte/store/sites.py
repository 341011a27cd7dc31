"""Sites as rows: everything about one is sealed, since it holds the connector's secret.

Knows how a site is kept. Must not know what its settings do.
"""

from __future__ import annotations

import msgspec
from sqlalchemy import Connection, insert, select, update

from aparte.model import Site
from aparte.store.schema import site
from aparte.store.transaction import Tx
from aparte.vault import Vault


def _seal(vault: Vault, one: Site) -> bytes:
    return vault.seal(vault.installation, ("site", one.id, "settings"), msgspec.json.encode(one))


def put_site(tx: Tx, one: Site) -> bool:
    """Adds the site, or replaces its settings; says whether it is new."""
    sealed = _seal(tx.vault, one)
    changed = tx.connection.execute(update(site).where(site.c.id == one.id).values(sealed=sealed))
    if changed.rowcount:
        return False
    tx.connection.execute(insert(site).values(id=one.id, sealed=sealed, last_number=0))
    return True


def sites(connection: Connection, vault: Vault) -> list[Site]:
    """Raises Unreadable."""
    return [
        msgspec.json.decode(vault.unseal(vault.installation, ("site", row.id, "settings"), row.sealed), type=Site)
        for row in connection.execute(select(site).order_by(site.c.id))
    ]


def next_number(tx: Tx, site_id: str) -> int:
    """The next conversation number of the site."""
    query = update(site).where(site.c.id == site_id).values(last_number=site.c.last_number + 1)
    return int(tx.connection.execute(query.returning(site.c.last_number)).scalar_one())
