"""Rates that several nodes count together, in the store: sign-ins, and conversations begun.

Each node's own counts in memory (`limits`) come first and take the brunt; who passes them is counted here. One node alone
needs nothing of this. No writer waits for another's count: whoever chooses the order of what is counted could hold up
both. So what several nodes commit at the same moment is not in each other's counts, and none of them lets more through than
its own memory does. What is frequent, such as messages, is counted at each node: a person's socket is at one of them.
"""

from __future__ import annotations

from typing import Final

from aparte.actions.parts import Parts
from aparte.errors import TooMany
from aparte.store import Tx, checks

MINUTE: Final = 60.0
KEPT_SECONDS: Final = 5 * MINUTE  # the nodes' clocks need not agree to the second
SCOPES: Final = ("rate.login", "rate.account", "rate.open")
ACCOUNT_LOGINS: Final = 20  # times the sign-ins of one address, for one account from everywhere


async def sign_in(parts: Parts, source: str, account: str) -> None:
    """Counts a sign-in. Raises TooMany with the time to wait, and then counts none.

    Args: source: an address or a known browser; account: "" where it shall not count, as for a known browser.
    """
    if parts.node.bell is None:
        return
    each = parts.settings.logins_per_minute

    def apply(tx: Tx) -> None:
        _count(tx, "login", source, each)
        if account:
            _count(tx, "account", account, each * ACCOUNT_LOGINS)

    await parts.store.write(apply)


def opening(parts: Parts, tx: Tx, address: str) -> None:
    """Counts a conversation that is begun. Raises as `sign_in`."""
    if parts.node.bell is not None:
        _count(tx, "open", address, parts.settings.opens_per_minute)


def _count(tx: Tx, deed: str, key: str, most: int) -> None:
    scope, index, since = f"rate.{deed}", tx.vault.mac("limit", deed, key), tx.now - MINUTE
    if checks.near(tx.connection, scope, index, since) >= most:
        first = checks.oldest(tx.connection, scope, index, since) or tx.now
        raise TooMany(retry_after=first - since)
    checks.note(tx, scope, index)


async def forget(parts: Parts) -> None:
    """Deletes what counts no longer."""
    if parts.node.bell is not None:
        while await parts.store.write(lambda tx: checks.drop_counts(tx, tx.now - KEPT_SECONDS, SCOPES)):
            pass
