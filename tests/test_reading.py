"""Twin of actions/reading.py: the first answer to a hello."""

from __future__ import annotations

from aparte.actions import reading
from aparte.frames import Entry, encode
from aparte.model import AgentCaller
from harness import Server


async def test_a_welcome_of_many_long_lines_stays_small_and_whole(server: Server) -> None:
    await server.agent("odile")
    caller = server.parts.hub.agents()[0].caller
    assert isinstance(caller, AgentCaller)
    lines = [
        Entry(f"{number:022}", "air", number, "waiting", 1, 0.0, 0.0, name="é" * 80, snippet="🙂" * 120)
        for number in range(1000)
    ]
    welcome = await reading.agent_welcome(server.parts, caller, lines)
    assert len(encode(lines)) > 700 << 10  # type: ignore[arg-type]  # a list is encoded as well
    assert len(encode(welcome)) < 512 << 10
    assert [one.id for one in welcome.inbox] == [one.id for one in lines]
    assert welcome.inbox[:100] == lines[:100]
    assert welcome.inbox[-1].snippet == ""
