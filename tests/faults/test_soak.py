"""SCOREBOARD 10 in short: nothing is left of lines that were cut; and the soak sees what grows.

Watched to fail: a task for each connection that waits for good.
"""

from __future__ import annotations

import asyncio

import pytest

from faults.ledger import Verdict
from faults.soak import Held, compare
from harness import Server


async def test_a_line_that_is_cut_leaves_no_task_and_no_peer(server: Server) -> None:
    visitor, desk, _ = await server.meeting("Hello")
    await server.everybody_leaves()
    before = await _settled()
    for _ in range(20):
        visitor = await server.visitor(token=visitor.token)
        desk = await server.agent_again(desk.cookie)
        for client in (visitor, desk):
            client.socket.transport.abort()
            await client.leave()
        server.clients.clear()
    assert await _settled(before) <= before
    assert not server.parts.hub.peers


async def _settled(before: int = 0) -> int:
    """How many tasks there are, once those of ended lines have had their time."""
    count = len(asyncio.all_tasks())
    for _ in range(60):
        await asyncio.sleep(0.05)
        count, last = len(asyncio.all_tasks()), count
        if count == last and (not before or count <= before):
            break
    return count


@pytest.mark.parametrize(("grown", "word"), [((200, 20, 12), "memory"), ((80, 60, 12), "files"), ((80, 20, 30), "thr")])
def test_it_sees_what_grows(grown: tuple[int, int, int], word: str) -> None:
    verdict = Verdict()
    rounds = [Held(80 << 20, 20, 12)] * 4
    compare([*rounds, *[Held(grown[0] << 20, *grown[1:])] * 4], verdict)
    assert len(verdict.wrong) == 1
    assert word in verdict.wrong[0]


def test_it_finds_nothing_in_what_is_flat() -> None:
    verdict = Verdict()
    compare([Held((80 + at % 3) << 20, 20 + at % 2, 12) for at in range(12)], verdict)
    assert verdict.is_clean, str(verdict)
