"""What time ends: checks, proofs, and what is kept no longer.

Knows what is overdue. Must not know how often it is looked for.
"""

from __future__ import annotations

from typing import Final

from aparte.actions import gate
from aparte.actions.parts import SYSTEM, Parts
from aparte.identity.life import DAY
from aparte.model import Level
from aparte.store import Tx, checks, keeping, people

AT_ONCE: Final = 200


async def checks_overdue(parts: Parts) -> None:
    """Started checks whose time is over end as expired."""
    now = parts.store.now()
    for thread, check_id in await parts.store.read(lambda c: checks.overdue(c, now, AT_ONCE)):

        def apply(tx: Tx, thread: str = thread, check_id: str = check_id) -> None:
            row = tx.conversation(thread)
            check = checks.find(tx.connection, tx.vault, row, check_id)
            if check is not None and check.state == "started" and check.expires_at <= tx.now:
                tx.audit(SYSTEM, "check.expire", row.id, check_id)
                parts.life.end(tx, row, check, "expired")

        await parts.store.write(apply)


async def proofs_overdue(parts: Parts) -> None:
    """Proofs that count no longer are taken back, and everybody who watches is told."""
    now, vault = parts.store.now(), parts.store.vault
    for row in await parts.store.read(keeping.with_proof):
        if gate.level_of(vault, row, parts.policy, now) < Level.V2:

            def lower(tx: Tx, thread: str = row.id) -> None:
                gate.lower_stale(parts, tx, tx.conversation(thread))

            await parts.store.write(lower)


async def retention(parts: Parts) -> int:
    """Forgets conversations in which nothing has happened for longer than the operator keeps them, whether anybody
    closed them or not: rows, then the keys that open whatever copies of the rows are left, also those that an earlier
    round could not destroy. A person without any conversation left is forgotten too, and so are agents' sessions that
    have ended.

    Returns how many conversations went.
    """
    before = parts.store.now() - parts.settings.retention_days * DAY
    vault, forgotten = parts.store.vault, 0
    for thread in await parts.store.read(lambda c: keeping.untouched_since(c, before, AT_ONCE)):

        def forget(tx: Tx, thread: str = thread) -> bool:
            # Read again: the customer may have written since it was looked for.
            row = tx.conversation(thread)
            if row.updated_at >= before:
                return False
            tx.audit(SYSTEM, "conversation.forget", row.id)
            keeping.forget(tx, row)
            return True

        if await parts.store.write(forget):
            parts.hub.changed.add(thread)
            forgotten += 1
    for key in await parts.store.read(lambda c: keeping.owed(c, AT_ONCE)):
        await parts.store.off_loop(vault.forget, key)

        def settle(tx: Tx, key: int = key) -> None:
            keeping.settle(tx, key)

        await parts.store.write(settle)

    def drop(tx: Tx) -> None:
        checks.drop_counts(tx, tx.now - 2 * DAY)
        people.drop_agent_sessions(tx, parts.settings.session_idle_seconds)

    await parts.store.write(drop)
    return forgotten
