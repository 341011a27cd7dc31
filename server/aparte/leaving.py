"""How the people of a server that ends are moved on: asked first, sent away in waves later.

Knows peers and times. Must not know why the server ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from typing import Final

from aparte.frames import Drain
from aparte.hub import Hub

DRAIN_SECONDS: Final = 15.0  # at most, within which everybody is asked to move on; some of them at every moment
DRAIN_LEAST: Final = 1.0  # at least: whoever moves on by himself is at another node at once
DRAIN_RATE: Final = 150  # people who move on in a second, unless that took longer
AT_ONCE: Final = 200  # people told in one turn of the loop
WAVES_SECONDS: Final = 3.0  # at most, over which those who did not are sent away
WAVE_SECONDS: Final = 0.25
GOODBYE_SECONDS: Final = 2.0  # for open sockets to take what is queued before the process ends


def seconds_for(hub: Hub) -> float:
    """How long so many people are given."""
    return min(DRAIN_SECONDS, max(DRAIN_LEAST, len(hub.peers) / DRAIN_RATE)) if hub.peers else 0.0


async def send_away(hub: Hub, seconds: float) -> None:
    """Asks everybody to move on at a moment of his own in these seconds; who has not done so by then is sent away, in
    waves: neither another node nor the next process here meets all of them at once. Ends early when nobody is left."""
    peers = hub.peers
    for number, peer in enumerate(list(peers), 1):
        peer.say(Drain(after=seconds))
        if number % AT_ONCE == 0:
            await asyncio.sleep(0)
    await _are_gone(hub, seconds)
    waves = max(1, math.ceil(min(WAVES_SECONDS, len(peers) / DRAIN_RATE) / WAVE_SECONDS))
    for left in range(waves, 0, -1):
        staying = [peer for peer in peers if peer.ending is None]
        for peer in staying[: math.ceil(len(staying) / left)]:
            peer.end(1001)
        if left > 1:
            await asyncio.sleep(WAVE_SECONDS)
    await _are_gone(hub, GOODBYE_SECONDS)


async def _are_gone(hub: Hub, seconds: float) -> None:
    """Waits so long, or until nobody is left."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while hub.peers:  # noqa: ASYNC110 - the hub has no event for it
                await asyncio.sleep(0.05)
