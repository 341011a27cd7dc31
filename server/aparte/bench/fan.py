"""One event to a thousand readers: the product against a server that encodes once and sends in a loop.

Knows how to gather readers and to count what reaches them. Must not know what a good figure is.
"""

from __future__ import annotations

import asyncio
import time

from aparte.bench.load import ANSWERED, Sample
from aparte.bench.servers import Installation, Running
from aparte.bench.talk import Desk, Talk, join, new_cid, new_token, of, visitor
from aparte.bench.wire import Wire, connect
from aparte.errors import Unavailable

READERS = 1_000
PATIENCE = 20.0  # seconds for one event to reach all


class Crowd:
    """Readers of one event after the other: the next is said when the last has reached everybody."""

    def __init__(self) -> None:
        self.wires: list[Wire] = []
        self._left = 0
        self._all = asyncio.Event()

    def hears(self, wire: Wire) -> None:
        wire.on_text = self._heard
        self.wires.append(wire)

    def _heard(self, payload: bytes) -> None:
        if payload.startswith(b'{"t":"event"'):
            self._left -= 1
            if self._left == 0:
                self._all.set()

    async def told(self) -> None:
        """Waits until an event has reached everybody. Raises Unavailable."""
        try:
            async with asyncio.timeout(PATIENCE):
                await self._all.wait()
        except TimeoutError as error:
            raise Unavailable(f"{self._left} of {len(self.wires)} readers did not get an event.") from error

    def expects(self) -> None:
        self._left, self._all = len(self.wires), asyncio.Event()


async def floor(port: int, readers: int) -> tuple[Crowd, Wire]:
    """The echo server's crowd, and who speaks to it."""
    crowd = Crowd()
    for _ in range(readers):
        crowd.hears(await connect(port, "/crowd"))
    return crowd, await connect(port, "/crowd/speaker")


async def product(made: Installation, desk: Desk, readers: int) -> tuple[Crowd, Talk, str]:
    """A visitor with so many tabs open, and the agent who answers."""
    crowd, token = Crowd(), new_token()
    first = await visitor(made, token)
    asked = {"t": "open", "cid": new_cid(), "text": "Hello"}
    opened = await first.ask(asked, of("opened", cid=asked["cid"]))
    conversation = str(opened["conversation"]["id"])
    agent: Talk = await desk.agent(0)
    await join(agent, conversation)
    crowd.hears(first.wire)
    for _ in range(readers - 1):
        crowd.hears((await visitor(made, token)).wire)
    await asyncio.sleep(1.0)  # all of them have caught up
    return crowd, agent, conversation


async def at_floor(crowd: Crowd, speaker: Wire, server: Running, count: int) -> Sample:
    """So many events on the floor: the sample counts deliveries."""
    # As long as the product's own frame.
    text = b'{"t":"event","conversation":"' + b"c" * 22 + b'","body":"' + b"x" * 260 + b'"}'
    cpu, start = server.cpu_seconds(), time.perf_counter()
    for _ in range(count):
        crowd.expects()
        speaker.send(text)
        await crowd.told()
    return Sample(count * len(crowd.wires), time.perf_counter() - start, server.cpu_seconds() - cpu)


async def at_product(crowd: Crowd, agent: Talk, conversation: str, server: Running, count: int) -> Sample:
    """So many messages of the agent: the sample counts deliveries to the visitor's sockets."""
    cpu, start = server.cpu_seconds(), time.perf_counter()
    for number in range(count):
        crowd.expects()
        cid = new_cid()
        post = {"t": "post", "cid": cid, "conversation": conversation, "text": ANSWERED[number % len(ANSWERED)]}
        await agent.ask(post, of("ack", cid=cid))
        await crowd.told()
    return Sample(count * len(crowd.wires), time.perf_counter() - start, server.cpu_seconds() - cpu)
