"""What time ends: checks, proofs, and what is kept no longer.

Knows what is overdue. Must not know how often it is looked for.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Final, TypeVar

import structlog

from aparte.actions import gate, nodes
from aparte.actions.parts import Parts
from aparte.errors import AparteError
from aparte.identity.life import DAY, SYSTEM
from aparte.model import Level
from aparte.store import AHEAD_SECONDS, Tx, checks, keeping, people
from aparte.store.conversations import Conversation

AT_ONCE: Final = 200
log = structlog.get_logger("aparte.expiry")
T = TypeVar("T")


async def _each(items: Iterable[T], work: Callable[[T], Awaitable[bool]]) -> int:
    """Does the work for each, and for the others too when it fails for one. Returns: for how many it said True."""
    done = 0
    for item in items:
        try:
            done += await work(item)
        except AparteError as error:
            log.warning("expiry.item", code=error.code)
        except Exception as error:  # a touched row or a fault of ours: the others must not wait for it
            log.exception("expiry.fault", error=type(error).__name__)
    return done


async def checks_overdue(parts: Parts) -> None:
    """Started checks whose time is over end as expired."""
    now = parts.store.now()

    async def end(due: tuple[str, str]) -> bool:
        thread, check_id = due

        def apply(tx: Tx) -> bool:
            row = tx.conversation(thread)
            check = checks.find(tx.connection, tx.vault, row, check_id)
            if check is None or check.state != "started" or check.expires_at > tx.now:
                return False
            tx.audit(SYSTEM, "check.expire", row.id, check_id)
            parts.life.end(tx, row, check, "expired")
            return True

        return await parts.store.write(apply)

    await _each(await parts.store.read(lambda c: checks.overdue(c, now, AT_ONCE)), end)


async def proofs_overdue(parts: Parts) -> None:
    """Proofs that count no longer are taken back, and everybody who watches is told."""
    now, vault = parts.store.now(), parts.store.vault

    async def lower(row: Conversation) -> bool:
        if gate.level_of(vault, row, parts.policy, now) >= Level.V2:
            return False
        await parts.store.write(lambda tx: gate.lower_stale(parts, tx, tx.conversation(row.id)))
        return True

    await _each(await parts.store.read(keeping.with_proof), lower)


async def retention(parts: Parts) -> int:
    """Forgets conversations in which nothing has happened for longer than the operator keeps them, whether anybody
    closed them or not: rows, then the keys that open whatever copies of the rows are left, also those that an earlier
    round could not destroy. A person without any conversation left is forgotten too, and so are agents' sessions that
    have ended.

    Nothing is forgotten for its age while the store's time is far ahead of the machine's; the log says so.

    Returns how many conversations went.
    """
    forgotten = await _forget_old(parts)

    while await parts.store.write(lambda tx: checks.drop_counts(tx, tx.now - 2 * DAY)):
        pass
    await parts.store.write(lambda tx: people.drop_agent_sessions(tx, parts.settings.session_idle_seconds))
    return forgotten


async def _forget_old(parts: Parts) -> int:
    ahead = parts.store.ahead()
    if ahead > AHEAD_SECONDS:
        # Time never runs backwards, so a clock that was once wrong makes everything look old. What is deleted is gone.
        log.error("expiry.clock_ahead", seconds=round(ahead))
        return 0
    before = parts.store.now() - parts.settings.retention_days * DAY

    async def forget(old: keeping.Old) -> bool:
        thread = old[1]

        def apply(tx: Tx) -> bool:
            # Read again: the customer may have written since it was looked for.
            row = tx.conversation(thread)
            if row.updated_at >= before:
                return False
            tx.audit(SYSTEM, "conversation.forget", row.id)
            keeping.forget(tx, row)
            return True

        is_gone = await parts.store.write(apply)
        if is_gone:
            parts.hub.changed.add(thread)
            nodes.let_go(parts, thread)
        return is_gone

    async def destroy(keys: list[int]) -> bool:
        def settle(tx: Tx) -> None:
            for key in keys:
                keeping.settle(tx, key)

        await parts.store.off_loop(parts.store.vault.forget, *keys)
        await parts.store.write(settle)
        return True

    # Each page begins behind the one before, so that a conversation that cannot be forgotten stops no other.
    forgotten, last = 0, (0.0, "")
    while due := await parts.store.read(lambda c, last=last: keeping.untouched_since(c, before, AT_ONCE, last)):  # type: ignore[misc]  # a default is bound now
        forgotten += await _each(due, forget)
        last = due[-1]
    key = 0
    while owed := await parts.store.read(lambda c, key=key: keeping.owed(c, AT_ONCE, key)):  # type: ignore[misc]  # as above
        # The ring's files are looked through once for all of them; one by one only where that fails.
        if not await _each([owed], destroy):
            await _each([[one] for one in owed], destroy)
        key = owed[-1]
    return forgotten
