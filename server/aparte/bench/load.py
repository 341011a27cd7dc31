"""The load: senders that go on when their message is acknowledged, a slow trickle, and visitors who say nothing.

Knows how to send and to count. Must not know what a good figure is.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, Protocol

import msgspec

from aparte.bench.servers import Installation
from aparte.bench.talk import Desk, Talk, join, new_cid, new_token, of, visitor
from aparte.bench.wire import Wire, connect, frame
from aparte.errors import Unavailable

SENDERS: Final = 100
TICK: Final = 0.01  # seconds: the kernel counts in these, and what took less took none
WARM_UP: Final = 0.5  # seconds of each turn that do not count
DRAIN_SECONDS: Final = 15.0

# What customers write: 20 to 150 characters, a quarter of it about a booking or a payment.
ASKED: Final = (
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
# What agents answer. The gate looks at each, also for a secret asked for and a link that leads elsewhere; a quarter speaks
# of bookings and payments as anybody may, and nothing is held.
ANSWERED: Final = (
    "Good morning, this is the desk. What may I do for you?",
    "You are welcome.",
    "One moment please, I will have a look.",
    "Breakfast is served from half past six, on the second floor.",
    "The bus stops in front of terminal two and takes about forty minutes into the city, a little more in the evening.",
    "I am sorry to hear that. Which telephone is it, and what do you see when you press the button once more?",
    "The blue one, I see. It may come on board if it is not larger than 55 by 40 by 20 centimetres.",
    "A cello needs a seat of its own or a hard case for the hold; either way please tell us two days before.",
    "A child of four needs a seat, yes, at a lower fare than an adult.",
    "Thanks for waiting!",
    "Please ask for the person at desk twelve when you arrive.",
    "Before I can speak about your booking I have to check who you are. Would you start the check above, please?",
    "What is your booking number, please?",
    "Payments can be made by card or by transfer, whatever suits you better.",
    "No problem at all.",
    "The lounge closes at eight on Sundays; the website will be put right, thank you for telling us.",
    "Goodbye, and have a good trip.",
    "Oui, un petit chien peut voyager en cabine, dans un sac fermé, sous le siège devant vous.",
    "Bonne journée à vous aussi.",
    "Le wifi est gratuit pour les messages ; pour le reste il y a un forfait à bord.",
)


@dataclass(frozen=True, slots=True)
class Sample:
    """One round on one server."""

    count: int
    seconds: float
    cpu_seconds: float

    @property
    def per_cpu_second(self) -> float:
        return self.count / max(self.cpu_seconds, TICK)

    @property
    def per_second(self) -> float:
        return self.count / self.seconds


def together(samples: Sequence[Sample]) -> Sample:
    """Several turns on one server as one."""
    return Sample(
        sum(one.count for one in samples),
        sum(one.seconds for one in samples),
        sum(one.cpu_seconds for one in samples),
    )


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


async def _at(due: float) -> None:
    """Waits until then (of time.perf_counter). The loop's timers are good to a millisecond, so the last one is spent
    looking. It lets the loop do its other work at least once, also when it is late."""
    while True:
        await asyncio.sleep(max(0.0, due - time.perf_counter() - 0.0015))
        if time.perf_counter() >= due:
            return


class Counted(Protocol):
    """Server processes under load."""

    @property
    def name(self) -> str: ...

    def cpu_seconds(self) -> float:
        """User and system time so far."""

    def require_alive(self) -> None:
        """Raises Unavailable."""


class Sender:
    """One closed loop: the next message goes when the last one is answered."""

    def __init__(self, wire: Wire, conversation: str, number: int, sentences: tuple[str, ...] = ASKED) -> None:
        self.wire = wire
        self.done = 0
        self.refused = ""
        self.is_waiting = False
        self.is_going = False
        self._sent = 0
        self._number = number
        self._tails = [
            f'","conversation":"{conversation}","text":{msgspec.json.encode(text).decode()}}}'.encode()
            for text in sentences
        ]

    def next_frame(self) -> bytes:
        """A post under a new client id, made as `new_cid` makes it, but without its cost."""
        self._sent += 1
        at = int(time.time() * 1000)
        cid = f"{at >> 16:08x}-{at & 0xFFFF:04x}-7000-8000-{self._number:03x}{self._sent:09x}"
        tail = self._tails[(self._sent + self._number) % len(self._tails)]
        return frame(b'{"t":"post","cid":"' + cid.encode() + tail)

    def go(self) -> None:
        self.is_going = True
        self._next()

    def _next(self) -> None:
        self.is_waiting = True
        self.wire.write(self.next_frame())

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


async def round_of(senders: list[Sender], server: Counted, seconds: float) -> Sample:
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
    """Fifty visitors, each in a conversation of its own, and ten agents with five of these conversations each. In each
    conversation both write."""

    def __init__(self) -> None:
        self.senders: list[Sender] = []  # a visitor, then the agent of that conversation, and so on
        self.delivered = 0  # messages that came to the other side
        self._desks: list[Talk] = []
        self._due: list[deque[float]] = []  # of each sender: when what has not arrived was due
        self._took: list[float] = []

    async def open(self, *places: tuple[Installation, Desk]) -> None:
        """Brings everybody in, spread over the places: of each the visitors' server, and the agents' desk. With two, half
        of the conversations have the visitor in one and the agent in the other. Raises Unavailable."""
        agents = SENDERS // 10
        self._desks = [await places[number % len(places)][1].agent(number) for number in range(agents)]

        async def meet(number: int) -> tuple[Sender, Sender]:
            made = places[number // 2 // agents % len(places)][0]
            talk = await visitor(made, new_token())
            asked = {"t": "open", "cid": new_cid(), "text": ASKED[0]}
            opened = await talk.ask(asked, of("opened", cid=asked["cid"]))
            conversation = opened["conversation"]["id"]
            own = self._desks[number // 2 % agents]
            await join(own, conversation)
            return Sender(talk.wire, conversation, number), Sender(own.wire, conversation, number + 1, ANSWERED)

        for pair in await asyncio.gather(*(meet(number) for number in range(0, SENDERS, 2))):
            self.senders += pair
        for sender in self.senders[::2]:
            sender.wire.on_text = self._at_a_visitor
        for one in self._desks:
            one.wire.on_text = self._at_an_agent

    def close(self) -> None:
        for one in self.senders:
            one.wire.cut()

    def _at_a_visitor(self, payload: bytes) -> None:
        if payload.startswith(b'{"t":"event"'):
            self.delivered += b'"sender":{"kind":"agent"' in payload
        else:
            self._answered(payload)

    def _at_an_agent(self, payload: bytes) -> None:
        if payload.startswith(b'{"t":"event"'):
            self.delivered += b'"sender":{"kind":"visitor"' in payload
        else:
            self._answered(payload)

    def _answered(self, payload: bytes) -> None:
        """An acknowledgement or an error: the client id in it names the sender."""
        at = payload.find(b'"cid":"') + 7
        if at >= 7 and payload.startswith((b'{"t":"ack"', b'{"t":"error"')):
            self.senders[int(payload[at + 24 : at + 27], 16)].answered(payload)

    # ── one at a time ────────────────────────────────────────────────────────────────────────────────────

    def _clock_at_an_agent(self, payload: bytes) -> None:
        if payload.startswith(b'{"t":"event"') and b'"sender":{"kind":"visitor"' in payload:
            at = payload.rfind(b'"cid":"')
            self._take(self._due[int(payload[at + 31 : at + 34], 16)])

    def _clock_at_a_visitor(self, payload: bytes, due: deque[float]) -> None:
        # An agent's client id is not told to visitors; but what an agent says in a conversation comes in its order.
        if payload.startswith(b'{"t":"event"') and b'"sender":{"kind":"agent"' in payload:
            self._take(due)

    def _take(self, due: deque[float]) -> None:
        if due:
            self._took.append(time.perf_counter() - due.popleft())

    async def trickle(
        self, server: Counted, *, per_second: float, seconds: float, until: asyncio.Event | None = None
    ) -> list[float]:
        """Messages at an even pace from both sides in turn, sent whether or not the last has arrived. A message counts
        from when it was due: a server that makes its senders wait does not look quick for it.

        Args: until: ends it before the time. Returns: for each, the seconds until it is on the other side's socket,
        sorted; of those that never came there is none.
        """
        self._took, self._due = [], [deque() for _ in self.senders]
        for number in range(0, SENDERS, 2):
            self.senders[number].wire.on_text = partial(self._clock_at_a_visitor, due=self._due[number + 1])
        for one in self._desks:
            one.wire.on_text = self._clock_at_an_agent
        total = int(per_second * seconds)
        with _undisturbed():
            start = time.perf_counter()
            for number in range(total):
                due = start + number / per_second
                await _at(due)
                at = number * 7 % SENDERS  # 7 and SENDERS share no factor, so each has its turn
                self._due[at].append(due)
                self.senders[at].wire.write(self.senders[at].next_frame())
                if until is not None and until.is_set():
                    break
            await _settled(lambda: not any(self._due))
        server.require_alive()
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


async def round_in(server: Counted, seconds: float, *halls: Hall) -> Sample:
    """As `round_of`, with everybody in these halls. Raises Unavailable too when a message was acknowledged and did not
    reach the other side."""
    senders = [one for hall in halls for one in hall.senders]

    def delivered() -> int:
        return sum(hall.delivered for hall in halls)

    before, sent = delivered(), sum(one.done for one in senders)
    sample = await round_of(senders, server, seconds)
    sent = sum(one.done for one in senders) - sent
    await _settled(lambda: delivered() - before >= sent)
    if delivered() - before != sent:
        raise Unavailable(f"Of {sent} acknowledged messages, {delivered() - before} reached the other side.")
    return sample
