"""A crowd that talks while something is done to the server or the network, and the judgement over all their screens.

Guests, two agents who answer and note, a supervisor who sees everything. Must not know what is done to them.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

import httpx2

from clients import AgentDesk, Visitor
from faults.ledger import Ledger, Shown, Verdict, in_letters, judge_thread, shown
from faults.people import SILENT_SECONDS, Colleague, Guest, Person, Way
from faults.target import Target
from harness import PASSWORD, email_of

SETTLE_SECONDS: Final = 60.0  # until everything said is acknowledged and on every screen
SIGN_IN_SECONDS: Final = 20.0
MOST_WAITING: Final = 3  # wishes in one outbox before its owner stops to think


@dataclass(eq=False)
class Crowd:
    """Made by `gathered`. `ways` is how its people get to the server; `inside` is how the judges do."""

    target: Target
    rng: random.Random
    inside: Way
    guests: list[Guest]
    agents: list[Colleague]
    lead: Colleague
    ledger: Ledger
    number: int = 0
    _talking: list[asyncio.Task[None]] = field(default_factory=list)

    @property
    def people(self) -> list[Person]:
        return [*self.guests, *self.agents, self.lead]

    # ── talking ───────────────────────────────────────────────────────────────────────────────────────────────

    def _text(self, person: Person) -> str:
        self.number += 1
        return f"{person.name} says {in_letters(self.number)}"

    async def meet(self) -> None:
        """Every guest has written, and has an agent who has the conversation open; the supervisor sees all of them."""
        for person in self.people:
            person.start()
        for guest in self.guests:
            guest.say(self._text(guest))
        await self._until(lambda: all(guest.thread for guest in self.guests), "every guest has a conversation")
        for at, guest in enumerate(self.guests):
            await self.agents[at % len(self.agents)].takes(guest.thread, is_claimed=True)
            await self.lead.takes(guest.thread, is_claimed=False)
        await self._until(
            lambda: all(agent.tops.get(thread, 0) >= 2 for agent in self.agents for thread in agent.watched),
            "every conversation has its agent",
        )

    def talk(self, pause: tuple[float, float] = (0.0, 0.03), *, who: Sequence[Person] = ()) -> None:
        """Everybody talks, or these alone, until `hush`."""
        self._talking = [asyncio.create_task(self._chatter(person, pause)) for person in who or self.people]

    async def hush(self) -> None:
        for task in self._talking:
            task.cancel()
        await asyncio.gather(*self._talking, return_exceptions=True)
        self._talking = []

    async def _chatter(self, person: Person, pause: tuple[float, float]) -> None:
        while True:
            await asyncio.sleep(self.rng.uniform(*pause))
            if len(person.outbox) < MOST_WAITING:
                self.say(person)

    def say(self, person: Person) -> None:
        """One message, or now and then a note; the supervisor writes notes alone."""
        if isinstance(person, Colleague):
            kind = "note" if person is self.lead or self.rng.random() < 0.25 else "message"
            person.say(self._text(person), thread=self.rng.choice(person.watched), kind=kind)  # type: ignore[arg-type]
        else:
            person.say(self._text(person))

    # ── judging ───────────────────────────────────────────────────────────────────────────────────────────────

    async def judged(self, *, seconds: float = SETTLE_SECONDS) -> Verdict:
        """Waits until nobody waits for anything, then holds every screen against what was acknowledged."""
        verdict = Verdict()
        self.inside.node = next(node for node in range(self.target.nodes) if self.target.is_up(node))
        try:
            await self._until(lambda: not any(one.outbox for one in self.people), "everything is acknowledged", seconds)
        except TimeoutError:
            waiting = {one.name: len(one.outbox) for one in self.people if one.outbox}
            verdict.fail(f"not acknowledged within {seconds:g} s after the trouble: {waiting}")
        for guest in self.guests:
            visitor, staff = await self._histories(guest)
            tops = (visitor[-1].seq if visitor else 0, staff[-1].seq if staff else 0)

            def is_whole(guest: Guest = guest, tops: tuple[int, int] = tops) -> bool:
                return _is_whole(self._screens(guest), tops)

            try:
                await self._until(is_whole, "every screen is whole", seconds)
            except TimeoutError:
                behind = {name: len(screen) for name, (_, screen) in self._screens(guest).items()}
                verdict.fail(f"not every screen was whole within {seconds:g} s: {behind} events, the tops are {tops}")
            judge_thread(self.ledger.of(guest.thread), visitor, staff, self._screens(guest), verdict)
        for person in self.people:
            for error in person.refused:
                verdict.fail(f"{person.name} was refused: {error}")
            for sentence in person.clock_faults:
                verdict.fail(sentence)
        return verdict

    def lags(self, since: float, until: float) -> list[float]:
        """For each event that came to its first screen between these moments (of time.monotonic), how much later it
        came to the last one, in seconds, smallest first. Every screen must be whole."""
        times: dict[str, list[float]] = {}
        for person in self.people:
            for event, at in person.arrived.items():
                times.setdefault(event, []).append(at)
        return sorted(max(found) - min(found) for found in times.values() if since <= min(found) < until)

    def _screens(self, guest: Guest) -> dict[str, tuple[bool, list[Shown]]]:
        desks = [one for one in (*self.agents, self.lead) if guest.thread in one.watched]
        return {
            guest.name: (False, list(guest.screens.get(guest.thread, []))),
            **{f"{desk.name} ({guest.name})": (True, list(desk.screens.get(guest.thread, []))) for desk in desks},
        }

    async def _histories(self, guest: Guest) -> tuple[list[Shown], list[Shown]]:
        """The whole conversation, as a fresh screen of the guest and of the supervisor read it."""
        url, origin = self.inside.url("ws", ""), self.inside.origin
        visitor = Visitor(await _socket(f"{url}/ws/visitor", origin), guest.token)
        desk = AgentDesk(await _socket(f"{url}/ws/agent", origin, self.lead.cookie), self.lead.cookie)
        try:
            await visitor.hello()
            ticket = (await self.inside.post("/api/ticket", self.lead.cookie)).json()["ticket"]
            await desk.hello(ticket=ticket)
            await desk.watch(guest.thread)
            return await _history(visitor, guest.thread), await _history(desk, guest.thread)
        finally:
            await visitor.leave()
            await desk.leave()

    async def _until(self, holds: Callable[[], bool], what: str, seconds: float = SETTLE_SECONDS) -> None:
        until = time.monotonic() + seconds
        while not holds():
            for person in self.people:
                person.check()
            if time.monotonic() > until:
                raise TimeoutError(f"not within {seconds:g} s: {what}")
            await asyncio.sleep(0.01)


def _is_whole(screens: dict[str, tuple[bool, list[Shown]]], tops: tuple[int, int]) -> bool:
    return all(screen and screen[-1].seq >= tops[is_staff] for is_staff, screen in screens.values())


async def _socket(url: str, origin: str, cookie: str = "") -> object:
    import websockets

    return await websockets.connect(
        url,
        origin=origin,  # type: ignore[arg-type]  # a NewType of str
        additional_headers={"cookie": cookie} if cookie else {},
        proxy=None,
        close_timeout=1,
    )


async def _history(client: Visitor | AgentDesk, thread: str) -> list[Shown]:
    """All pages, newest first as they are asked for; returned from the first event on."""
    page = await client.expect("events", conversation=thread, seconds=20)
    items = page["items"]
    while items and items[0]["seq"] > 1:
        await client.send("history", conversation=thread, before=items[0]["seq"])
        older = await client.expect("events", conversation=thread, older=True, seconds=20)
        if not older["items"]:
            break
        items = older["items"] + items
    return [shown(item) for item in items]


@contextlib.asynccontextmanager
async def gathered(
    target: Target,
    rng: random.Random,
    *,
    through: Callable[[int], tuple[str, int]] | None = None,
    guests: int = 3,
    silent_seconds: float = SILENT_SECONDS,
    by_requests: bool = False,
) -> AsyncIterator[Crowd]:
    """A crowd that has met and can talk, spread over the nodes, each customer's agent at another than the customer.
    `through` is the address its people go to instead of a node's own; `silent_seconds` is how long they stay on a line
    without a word; `by_requests`: they go without sockets."""
    limits = httpx2.Limits(max_keepalive_connections=0)  # each request meets the network anew
    async with httpx2.AsyncClient(verify=False, limits=limits, timeout=5.0) as http:
        inside = Way(target.address, target.origin, http)
        ledger = Ledger()

        def way(at: int) -> Way:
            address = through or target.address
            return Way(address, target.origin, http, silent_seconds, by_requests, target.nodes, at % target.nodes)

        async def desk(name: str, at: int) -> Colleague:
            cookie = await _sign_in(inside, name)
            return Colleague(name, way(at), ledger, random.Random(rng.random()), cookie=cookie)

        visitors = [
            Guest(f"visitor {in_letters(at)}", way(at), ledger, random.Random(rng.random())) for at in range(guests)
        ]
        agents = [await desk("claire", 1), await desk("marc", 2)]
        crowd = Crowd(target, rng, inside, visitors, agents, await desk("odile", 0), ledger)
        try:
            await crowd.meet()
            yield crowd
        finally:
            await crowd.hush()
            for person in crowd.people:
                await person.leave()


async def _sign_in(way: Way, name: str) -> str:
    until = time.monotonic() + SIGN_IN_SECONDS
    while True:
        answer = await way.post("/api/login", body={"email": email_of(name), "password": PASSWORD})
        if answer.status_code == 200:
            return str(answer.headers["set-cookie"].partition(";")[0])
        if time.monotonic() > until:
            raise TimeoutError(f"{name} cannot sign in: {answer.text}")
        await asyncio.sleep(0.2)
