"""Which agents have the panel open, by node: leases that a dead node does not renew.

Knows rows and times. Must not know sockets, nor what presence is good for.
"""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import Connection, delete, insert, or_, select

from aparte.store.schema import presence
from aparte.store.transaction import Tx


def renew(tx: Tx, node: str, agents: Collection[str], until: float) -> None:
    """These agents, and no others, are at this node until then (epoch seconds). What has run out goes as well."""
    tx.connection.execute(delete(presence).where(or_(presence.c.node == node, presence.c.until <= tx.now)))
    if agents:
        rows = [{"node": node, "agent_id": agent, "until": until} for agent in sorted(agents)]
        tx.connection.execute(insert(presence), rows)


def elsewhere(connection: Connection, node: str, now: float) -> set[str]:
    """The agents who are at another node."""
    query = select(presence.c.agent_id).where(presence.c.node != node, presence.c.until > now)
    return {row.agent_id for row in connection.execute(query)}
