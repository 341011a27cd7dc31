"""The load: senders that go on when their message is acknowledged, a slow trickle, and visitors who say nothing.

Knows how to send and to count. Must not know what a good figure is.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Final

import msgspec

from aparte.bench.servers import Installation, Running
from aparte.bench.talk import Desk, Talk, join, new_cid, new_token, of, visitor
from aparte.bench.wire import Wire, connect, frame
from aparte.errors import Unavailable

SENDERS: Final = 100
WARM_UP: Final = 0.7  # seconds of each round that do not count
DRAIN_SECONDS: Final = 15.0

# What people write: 20 to 150 characters, a quarter of it about a booking or a payment, so that the gate has its work.
SENTENCES: Final = (
    "Good morning, is anybody there?",
    "Thank you very much, that is kind of you.",
    "Yes please.",
    "I would like to know whether breakfast is served before seven.",
    "Could you tell me which terminal the bus stops at, and how long it takes into the city?",
    "I tried it twice on my phone and it does not work, it only shows a white page after I press the button.",
    "No, the other one, the blue one with the small wheels.",
    "Can I bring my cello on board, or does it have to go into the hold with everything else?",
    "We are two adults and a child of four; do we have to pay for a seat for the little one?",
    "That sounds good, thanks.",
    "What is the name of the person that I should ask for when I arrive?",
    "I want to move my flight to the Tuesday after, if there is still a seat.",
    "My booking is under my wife's name, does that matter?",
    "How much is the supplement, and can I pay it with the card that you have on file?",
    "Sorry, I had to answer the door. Where were we?",
    "The lounge was closed when I came through on Sunday evening, although the website says that it is open until ten.",
    "Perfect, see you then.",
    "Est-ce que je peux prendre mon chien en cabine s'il est petit et qu'il reste dans son sac ?",
    "Merci beaucoup, bonne journée à vous aussi.",
    "Le wifi est-il gratuit à bord ou faut-il acheter un forfait avant le départ ?",
)


@dataclass(frozen=True, slots=True)
class Sample:
    """One round on one server."""

    count: int
    seconds: float
    cpu_seconds: float

    @property
    def per_cpu_second(self) -> float:
        return self.count / self.cpu_seconds if self.cpu_seconds else 0.0

    @property
    def per_second(self) -> float:
        return self.count / self.seconds


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    """The client's own garbage collector must not make a pause that looks like the server's."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


async def _settled(is_so: Callable[[], bool]) -> None:
    """Waits until the last answers are in, or for DRAIN_SECONDS."""
    until = time.monotonic() + DRAIN_SECONDS
    while not is_so() and time.monotonic() < until:  # noqa: ASYNC110 - an event would cost time in every measured frame
        await asyncio.sleep(0.01)


class Sender:
    """One closed loop: the next message goes when the last one is answered."""

    def __init__(self, wire: Wire, conversation: str, number: int) -> None:
        self.wire = wire
        self.done = 0
        self.refused = ""
        self.is_waiting = False
        self.is_going = False
        self._sent = 0
        self._number = number
        self._tails = [
            f'","conversation":"{conversation}","text":{msgspec.json.encode(text).decode()}}}'.encode()
            for text in SENTENCES
        ]

    def next_frame(self) -> tuple[str, bytes]:
        """A post under a new client id, made as `new_cid` makes it, but without its cost."""
        self._sent += 1
        at = int(time.time() * 1000)
        cid = f"{at >> 16:08x}-{at & 0xFFFF:04x}-7000-8000-{self._number:03x}{self._sent:09x}"
        tail = self._tails[(self._sent + self._number) % len(self._tails)]
        return cid, frame(b'{"t":"post","cid":"' + cid.encode() + tail)

    def go(self) -> None:
        self.is_going = True
        self._next()

    def _next(self) -> None:
        self.is_waiting = True
        self.wire.write(self.next_frame()[1])

    def answered(self, payload: bytes) -> None:
        """The visitor's socket said something: of many frames, the acknowledgement counts."""
        if payload.startswith(b'{"t":"ack"'):
            self.echoed(payload)
        elif payload.startswith(b'{"t":"error"'):
            self.refused = payload.decode()

    def echoed(self, _payload: bytes) -> None:
        """The echo's socket: every frame counts."""
        self.done += 1
        self.is_waiting = False
        if self.is_going:
            self._next()


async def round_of(senders: list[Sender], server: Running, seconds: float) -> Sample:
    """All senders at once for `seconds`, after a warm-up that does not count; then waits for the last answers."""
    with _undisturbed():
        for sender in senders:
            sender.go()
        await asyncio.sleep(WARM_UP)
        count, cpu, start = sum(one.done for one in senders), server.cpu_seconds(), time.perf_counter()
        await asyncio.sleep(seconds)
        end_cpu, end = server.cpu_seconds(), time.perf_counter()
        sample = Sample(sum(one.done for one in senders) - count, end - start, end_cpu - cpu)
        for sender in senders:
            sender.is_going = False
        await _settled(lambda: not any(one.is_waiting for one in senders))
    server.require_alive()
    refused = next((one.refused for one in senders if one.refused), "")
    if refused or any(one.is_waiting for one in senders):
        raise Unavailable(f"The {server.name} server did not answer every message. {refused}")
    return sample


@contextlib.asynccontextmanager
async def echo_senders(port: int) -> AsyncIterator[list[Sender]]:
    """A hundred sockets of the echo, which send the very frames that the whole path gets."""
    senders = []
    for number in range(SENDERS):
        wire = await connect(port, "/")
        sender = Sender(wire, "A" * 22, number)
        wire.on_text = sender.echoed
        senders.append(sender)
    try:
        yield senders
    finally:
        for one in senders:
            one.wire.cut()


class Hall:
    """A hundred visitors, each in a conversation of its own; ten agents with ten of these conversations each."""

    def __init__(self) -> None:
        self.senders: list[Sender] = []
        self.delivered = 0
        self._desks: list[Talk] = []
        self._sent_at: dict[bytes, float] = {}
        self._took: list[float] = []

    async def open(self, made: Installation, desk: Desk) -> None:
        """Brings everybody in. Raises Unavailable."""
        agents = SENDERS // 10
        self._desks = [await desk.agent(number) for number in range(agents)]
        for number in range(SENDERS):
            talk = await visitor(made, new_token())
            asked = {"t": "open", "cid": new_cid(), "text": SENTENCES[0]}
            opened = await talk.ask(asked, of("opened", cid=asked["cid"]))
            conversation = opened["conversation"]["id"]
            await join(self._desks[number % agents], conversation)
            sender = Sender(talk.wire, conversation, number)
            talk.wire.on_text = sender.answered
            self.senders.append(sender)
        for one in self._desks:
            one.wire.on_text = self._count

    def close(self) -> None:
        for wire in [one.wire for one in self.senders] + [one.wire for one in self._desks]:
            wire.cut()

    def _count(self, payload: bytes) -> None:
        if payload.startswith(b'{"t":"event"') and b'"kind":"message"' in payload:
            self.delivered += 1

    async def round(self, server: Running, seconds: float) -> Sample:
        """As `round_of`. Raises Unavailable too when a message was acknowledged and did not reach its agent."""
        before, sent = self.delivered, sum(one.done for one in self.senders)
        sample = await round_of(self.senders, server, seconds)
        sent = sum(one.done for one in self.senders) - sent
        await _settled(lambda: self.delivered - before >= sent)
        if self.delivered - before != sent:
            raise Unavailable(f"Of {sent} acknowledged messages, {self.delivered - before} reached the agents.")
        return sample

    # ── one at a time ────────────────────────────────────────────────────────────────────────────────────

    def _clock(self, payload: bytes) -> None:
        if not payload.startswith(b'{"t":"event"'):
            return
        now = time.perf_counter()
        at = payload.rfind(b'"cid":"')
        sent_at = self._sent_at.pop(payload[at + 7 : at + 43], None)
        if sent_at is not None:
            self._took.append(now - sent_at)

    async def trickle(self, server: Running, *, per_second: float, seconds: float) -> list[float]:
        """Messages at an even pace, sent whether or not the last has arrived.

        Returns: for each, the seconds from the visitor's send to the agent's socket, sorted. Raises Unavailable.
        """
        for one in self._desks:
            one.wire.on_text = self._clock
        self._took = []
        total = int(per_second * seconds)
        with _undisturbed():
            start = time.perf_counter()
            for number in range(total):
                await asyncio.sleep(max(0.0, start + number / per_second - time.perf_counter()))
                sender = self.senders[number % SENDERS]
                cid, whole = sender.next_frame()
                self._sent_at[cid.encode()] = time.perf_counter()
                sender.wire.write(whole)
            await _settled(lambda: not self._sent_at)
        server.require_alive()
        if self._sent_at:
            raise Unavailable(f"Of {total} messages, {len(self._sent_at)} did not reach the agents.")
        return sorted(self._took)


# ── people who say nothing ──────────────────────────────────────────────────────────────────────────────────


async def idle_visitors(made: Installation, count: int) -> list[Wire]:
    """So many visitors who opened the widget and wait, from addresses of their own: 127.0.0.2 and on, 500 each."""
    wires: list[Wire] = []

    async def one(number: int) -> None:
        talk = await visitor(made, new_token(), source=f"127.0.0.{2 + number // 500}")
        wires.append(talk.wire)

    at_once = 50
    for start in range(0, count, at_once):
        await asyncio.gather(*(one(number) for number in range(start, min(count, start + at_once))))
    return wires
