"""SCOREBOARD 25, 26, 33 for connections by server-sent events and POST: whatever comes in a request, the answer is clean, and a
connection is its owner's alone.

Frames of every kind are sent over this way too by the tests of test_hostile_frames.py and test_access.py that are marked
`both_ways`; origins and methods are tried by test_access_routes.py.

Watched to fail: a connection that serves whoever has its token, a body without an end, a number that is none.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from aparte.frames import FRAME_BYTES
from clients import new_cid, new_visitor_token
from harness import Server
from streams import code, line, nobody_left, stranger

PING = '{"t":"ping"}'


@pytest.fixture
def way() -> str:
    return "http"


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ('{"t":"ping"}', 4400),
        ("\n", 4400),
        (json.dumps({"t": "hello", "v": 1, "site": "nowhere", "token": "t" * 43}), 4403),
        (b"\xff\xfe", 1007),
        ("x" * (FRAME_BYTES + 1), 1009),
    ],
    ids=["no hello", "nothing", "no site", "no UTF-8", "too big"],
)
async def test_an_odd_hello_ends_the_stream_with_a_reason(server: Server, data: str | bytes, expected: int) -> None:
    client = await stranger(server, data)
    assert await client.closed() == expected
    assert ("error" in client.types()) == (expected >= 4400)
    await nobody_left(server)


@pytest.mark.parametrize("first", ["", "0x1", "-1", "1.0", "٣", "9" * 16, "1, 1"])
async def test_the_number_of_the_first_frame_is_a_number(server: Server, first: str) -> None:
    visitor = await server.visitor()
    await visitor.settle()
    headers = {"origin": server.url, "aparte-connection": line(visitor).token}
    sent = {**headers, b"aparte-first": first.encode()}
    answer = await server.http.post("/sse/visitor/frames", content=PING, headers=sent)
    assert code(answer) == (400, "bad_input")


async def test_a_request_holds_no_more_than_a_frame_may(server: Server) -> None:
    visitor = await server.visitor()
    thread = await visitor.open("Hello")
    first = line(visitor)._next
    assert code(await line(visitor).frames("x" * (FRAME_BYTES + 1), first)) == (413, "too_long")
    assert code(await line(visitor).frames(b"\xff\xfe", first)) == (400, "bad_input")

    async def endless() -> Any:
        for _ in range(2000):
            yield b" " * 4096
            await asyncio.sleep(0)

    headers = {"origin": server.url, "aparte-connection": line(visitor).token, "aparte-first": str(first)}
    answer = await server.http.post("/sse/visitor/frames", content=endless(), headers=headers)
    assert code(answer) == (413, "too_long")
    assert "error" not in visitor.types()
    await visitor.say(thread, "x" * 4000)


# ── whose connection ────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_connection_is_its_owners_alone(server: Server) -> None:
    visitor, claire, thread = await server.meeting()
    marc = await server.agent("marc")
    close = json.dumps({"t": "close", "conversation": thread, "cid": new_cid()})
    hers, his = line(claire), line(visitor)
    for way, headers in (
        (hers, {"cookie": marc.cookie}),  # another's session
        (hers, {"cookie": ""}),
        (hers, {"aparte-connection": his.token}),  # a visitor's at the agents' address
        (hers, {"aparte-connection": hers.token[:-1]}),
        (hers, {"aparte-connection": ""}),
        (his, {"aparte-connection": hers.token}),
        (his, {"aparte-connection": new_visitor_token()}),
    ):
        answer = await way.frames(close, way._next, **headers)
        assert code(answer) == (404, "connection_gone"), headers
    await claire.settle()
    await visitor.settle()
    assert "closed" not in visitor.everything
    await server.post("/api/logout", cookie=claire.cookie)
    await claire.closed()
    assert code(await hers.frames(PING, hers._next)) == (404, "connection_gone")


async def test_the_token_is_in_no_address_and_in_no_log(server: Server, capfd: pytest.CaptureFixture[str]) -> None:
    visitor, claire, _ = await server.meeting()
    await claire.settle()
    said = capfd.readouterr()
    written = said.out + said.err + str(server.logged)
    for client in (visitor, claire):
        assert line(client).token not in written
        assert "?" not in line(client).url


async def test_pinging_is_not_being_at_work(server: Server) -> None:
    """A panel that lies open does not keep the session of somebody who has gone home."""
    claire = await server.agent()
    await claire.settle()
    seen = server.rows("SELECT seen_at FROM agent_session")
    server.skip(600)
    await claire.settle()
    assert server.rows("SELECT seen_at FROM agent_session") == seen
