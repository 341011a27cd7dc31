"""What a long history costs: two stores, a small one and a seeded one, asked the same things in turn.

Knows how to fill a store by the product's own code, and what people wait for. Must not know what a good figure is.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

import uvloop

from aparte.bench.load import ANSWERED, ASKED
from aparte.bench.servers import SITE, Installation
from aparte.bench.talk import Desk, Talk, join, new_cid, new_token, of, visitor
from aparte.frames import MessageBody
from aparte.model import State
from aparte.store import Store, Tx, conversations, new_id, people, sites
from aparte.store.conversations import About, Conversation

TURNS: Final = 20  # messages of a seeded conversation
AT_ONCE: Final = 500  # conversations in one commit: the disk is waited for seldom
LONG: Final = 300  # messages of the one conversation whose history is read
WAITING: Final = 10  # conversations in the queue, the same in both stores
PAGE_BEFORE: Final = 150  # a page from the middle of the long one

Progress = Callable[[int], None]


async def add(store: Store, site: str, messages: int, progress: Progress = lambda _done: None) -> None:
    """Adds so many messages to a store, in closed conversations of TURNS each, as they would have come: each customer
    with a session, each conversation with its lines in the audit log. Args: progress: gets how many there are so far."""
    written = 0
    while written < messages:
        left = -(-(messages - written) // TURNS)
        pairs = [(new_id(), new_id()) for _ in range(min(AT_ONCE, left))]
        keys = await store.off_loop(store.vault.new_pairs, pairs)
        await store.write(lambda tx, pairs=pairs, keys=keys: _add(tx, site, pairs, keys))  # type: ignore[misc]  # bound now
        written += TURNS * len(pairs)
        progress(written)


def _add(tx: Tx, site: str, pairs: list[tuple[str, str]], keys: list[tuple[int, int]]) -> None:
    for (person, thread), (person_key, key) in zip(pairs, keys, strict=True):
        people.add_visitor(tx, person, site, person_key)
        people.add_visitor_session(tx, new_id(), person, site, tx.vault.mac("session", "visitor", new_token()))
        row = _closed(tx, site, person, thread, key)
        conversations.add(tx.connection, row)
        tx.adopt(row)
        for turn in range(TURNS):
            said, sender = (ASKED, ("visitor", person)) if turn % 2 == 0 else (ANSWERED, ("agent", "seeded"))
            stored = tx.append(row, "message", MessageBody(said[turn % len(said)]), sender=sender, visible=True)
            row.last_said = stored.staff_seq
        for deed in ("claim", "close"):
            tx.audit(("agent", "seeded"), f"conversation.{deed}", thread)


def _closed(tx: Tx, site: str, person: str, thread: str, key: int) -> Conversation:
    return Conversation(
        id=thread,
        site_id=site,
        number=sites.next_number(tx, site),
        visitor_id=person,
        key_id=key,
        lang="en",
        about=conversations.seal_about(tx.vault, key, site, thread, About("Seeded")),
        created_at=tx.now,
        state=State.CLOSED,
        is_frozen=False,
        agent_id=None,
        visitor_seq=0,
        staff_seq=0,
        last_said=0,
        visitor_said=0,
        staff_said=0,
        unread=0,
        held=0,
        since=tx.now,
        updated_at=tx.now,
        active_at=tx.now,
        visitor_delivered=0,
        visitor_read=0,
        staff_delivered=0,
        staff_read=0,
        check_id=None,
        has_check=False,
        standing=None,
    )


@dataclass(slots=True)
class Place:
    """One store's server, with an agent at work in it."""

    made: Installation
    desk: Desk
    talk: Talk
    guest: Talk
    thread: str
    took: dict[str, list[float]] = field(default_factory=dict)

    async def clock(self, name: str, work: Callable[[], Awaitable[object]]) -> None:
        start = time.perf_counter()
        await work()
        self.took.setdefault(name, []).append(time.perf_counter() - start)


async def _enter(made: Installation) -> Place:
    desk = Desk(made)
    await desk.open()
    talk = await desk.agent(0)
    for _ in range(WAITING):
        waiting = await visitor(made, new_token())
        await _open(waiting, ASKED[0])
        waiting.wire.cut()
    guest = await visitor(made, new_token())
    thread = await _open(guest, ASKED[1])
    await join(talk, thread)
    for number in range(LONG):
        await _post(guest, thread, ASKED[number % len(ASKED)])
    return Place(made, desk, talk, guest, thread)


async def _open(talk: Talk, text: str) -> str:
    cid = new_cid()
    opened = await talk.ask({"t": "open", "cid": cid, "text": text}, of("opened", cid=cid))
    return str(opened["conversation"]["id"])


async def _post(talk: Talk, thread: str, text: str) -> None:
    cid = new_cid()
    await talk.ask({"t": "post", "cid": cid, "conversation": thread, "text": text}, of("ack", cid=cid))


async def _inbox(place: Place) -> None:
    talk = await place.desk.agent(0)
    talk.wire.cut()


async def _opening(place: Place) -> None:
    watch = {"t": "watch", "conversation": place.thread}
    await place.talk.ask(watch, of("events", conversation=place.thread))


async def _history(place: Place) -> None:
    wanted = {"t": "history", "conversation": place.thread, "before": PAGE_BEFORE}
    await place.talk.ask(wanted, lambda said: said["t"] == "events" and bool(said.get("older")))


async def _message(place: Place) -> None:
    await _post(place.guest, place.thread, ASKED[0])


WAITS: Final[dict[str, Callable[[Place], Awaitable[None]]]] = {
    "inbox": _inbox,
    "opening a conversation": _opening,
    "a page of history": _history,
    "sending a message": _message,
}


async def _compare(
    small: Installation, big: Installation, repeats: int, progress: Progress
) -> dict[str, tuple[float, float]]:
    places = [await _enter(small), await _enter(big)]
    for repeat in range(repeats):
        for name, work in WAITS.items():
            for place in places[:: 1 if repeat % 2 else -1]:
                await place.clock(name, lambda work=work, place=place: work(place))  # type: ignore[misc]  # bound now
        progress(repeat + 1)
    for place in places:
        place.talk.wire.cut()
        place.guest.wire.cut()
    return {name: (statistics.median(places[0].took[name]), statistics.median(places[1].took[name])) for name in WAITS}


def compare(small: Installation, big: Installation, repeats: int, progress: Progress) -> dict[str, tuple[float, float]]:
    """Of each wait, the median in seconds on the small store's server and on the big one's. Both are running.

    Args: progress: gets how many repeats are done. Raises: Unavailable.
    """
    return uvloop.run(_compare(small, big, repeats, progress))


def fill(made: Installation, messages: int, progress: Progress) -> None:
    """`add` to an installation on which no server runs."""
    asyncio.run(_fill(made, messages, progress))


async def _fill(made: Installation, messages: int, progress: Progress) -> None:
    async with made.opened() as store:
        await add(store, SITE, messages, progress)
