"""What a long history costs: stores, an empty one and seeded ones, asked the same things in turn.

Knows how to fill a store by the product's own code, and what people wait for. Must not know what a good figure is.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

import uvloop

from aparte.actions import tokens
from aparte.bench.load import ANSWERED, ASKED
from aparte.bench.servers import SITE, Installation
from aparte.bench.talk import Desk, Talk, join, new_cid, new_token, of, visitor
from aparte.frames import MessageBody
from aparte.model import State
from aparte.store import Store, Tx, conversations, new_id, people, sites
from aparte.store.conversations import About

TURNS: Final = 20  # messages of a seeded conversation
AT_ONCE: Final = 500  # conversations in one commit: the disk is waited for seldom
LONG: Final = 300  # messages of the one conversation whose history is read
WAITING: Final = 10  # conversations in the queue, the same in all stores
PAGE_BEFORE: Final = 150  # a page from the middle of the long one

Progress = Callable[[int], None]


async def add(store: Store, site: str, messages: int, progress: Progress = lambda _done: None) -> None:
    """Adds so many messages to a store, in closed conversations of TURNS each, as they would have come: each customer
    with a session, each conversation with its lines in the audit log. Args: progress: gets how many there are so far."""
    written = 0
    while written < messages:
        left = -(-(messages - written) // TURNS)
        await conversations_of(store, site, min(AT_ONCE, left), TURNS)
        written += TURNS * min(AT_ONCE, left)
        progress(written)


async def conversations_of(store: Store, site: str, count: int, turns: int) -> list[tuple[str, str]]:
    """Adds so many customers with a closed conversation each, in one commit. Returns: of each the token that the
    browser would have, and the conversation."""
    new = [(new_id(), new_id(), new_token()) for _ in range(count)]
    keys = await store.off_loop(store.vault.new_pairs, [(person, thread) for person, thread, _ in new])
    await store.write(lambda tx: _add(tx, site, new, keys, turns))
    return [(token, thread) for _, thread, token in new]


def _add(tx: Tx, site: str, new: list[tuple[str, str, str]], keys: list[tuple[int, int]], turns: int) -> None:
    for (person, thread, token), (person_key, key) in zip(new, keys, strict=True):
        people.add_visitor(tx, person, site, person_key)
        people.add_visitor_session(tx, new_id(), person, site, tokens.token_hash(tx.vault, token))
        row = conversations.begin(
            tx,
            thread,
            site=site,
            number=sites.next_number(tx, site),
            visitor=person,
            key=key,
            lang="en",
            about=About("Seeded"),
            state=State.CLOSED,
        )
        for turn in range(turns):
            said, sender = (ASKED, ("visitor", person)) if turn % 2 == 0 else (ANSWERED, ("agent", "seeded"))
            stored = tx.append(row, "message", MessageBody(said[turn % len(said)]), sender=sender, visible=True)
            row.last_said = stored.staff_seq
        for deed in ("claim", "close"):
            tx.audit(("agent", "seeded"), f"conversation.{deed}", thread)


@dataclass(frozen=True, slots=True)
class Filled:
    """A store with its history: and in it the customer, by the browser's token, whose conversation has LONG messages."""

    made: Installation
    token: str
    thread: str


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


async def _enter(filled: Filled) -> Place:
    made = filled.made
    desk = Desk(made)
    await desk.open(1)
    talk = await desk.agent(0)
    await asyncio.gather(*(_wait_in_line(made) for _ in range(WAITING)))
    guest = await visitor(made, filled.token)
    await _post(guest, filled.thread, ASKED[0])  # opens it again
    await join(talk, filled.thread)
    return Place(made, desk, talk, guest, filled.thread)


async def _wait_in_line(made: Installation) -> None:
    talk, cid = await visitor(made, new_token()), new_cid()
    await talk.ask({"t": "open", "cid": cid, "text": ASKED[0]}, of("opened", cid=cid))
    talk.wire.cut()


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


async def _compare(stores: Sequence[Filled], repeats: int, progress: Progress) -> dict[str, list[float]]:
    places = [await _enter(filled) for filled in stores]
    for repeat in range(repeats):
        for name, work in WAITS.items():
            for place in places[:: 1 if repeat % 2 else -1]:
                await place.clock(name, lambda work=work, place=place: work(place))  # type: ignore[misc]  # bound now
        progress(repeat + 1)
    for place in places:
        place.talk.wire.cut()
        place.guest.wire.cut()
    return {name: [statistics.median(place.took[name]) for place in places] for name in WAITS}


def compare(stores: Sequence[Filled], repeats: int, progress: Progress) -> dict[str, list[float]]:
    """Of each wait, the median in seconds on the server of each store. All of them are running.

    Args: progress: gets how many repeats are done. Raises: Unavailable.
    """
    return uvloop.run(_compare(stores, repeats, progress))


def fill(made: Installation, messages: int, progress: Progress) -> Filled:
    """`add` to an installation on which no server runs, and the long conversation."""
    return asyncio.run(_fill(made, messages, progress))


async def _fill(made: Installation, messages: int, progress: Progress) -> Filled:
    async with made.opened() as store:
        await add(store, SITE, messages, progress)
        [(token, thread)] = await conversations_of(store, SITE, 1, LONG)
        return Filled(made, token, thread)
