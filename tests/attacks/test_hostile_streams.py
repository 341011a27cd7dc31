"""SCOREBOARD 25, 26, 33 for connections by server-sent events and POST: whatever comes in a request, the answer is clean, and a
connection is its owner's alone.

Frames of every kind are sent over this way too by the tests of test_hostile_frames.py and test_access.py that are marked
`both_ways`; origins and methods are tried by test_access_routes.py.

Watched to fail: a connection that serves whoever has its token, a body without an end, a number that is none, bodies that
nobody counts, a place that is not given back, a request that is all line breaks.
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


async def test_two_requests_are_under_way_at_most(server: Server) -> None:
    visitor = await server.visitor()
    head = (
        f"POST /sse/visitor/frames HTTP/1.1\r\nHost: x\r\nOrigin: {server.url}\r\nAparte-First: 1\r\n"
        f"Aparte-Connection: {line(visitor).token}\r\nContent-Length: 65500\r\n\r\n"
    ).encode()
    pairs = []
    for _ in range(2):
        pairs.append(await asyncio.open_connection("127.0.0.1", server.settings.port))
        pairs[-1][1].write(head + b"x" * 65_000)
    [streamed] = [line for _, line in server.app.state.streams._lines.values()]
    async with asyncio.timeout(3):
        while streamed._bodies < 2:  # noqa: ASYNC110 (the server's own count)
            await asyncio.sleep(0.01)
    for _ in range(20):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.settings.port)
        writer.write(head + b"x" * 65_000)
        said = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 3)
        assert said.startswith(b"HTTP/1.1 429 ")
        assert b"retry-after: 1\r\n" in said
        writer.close()
    answer = await line(visitor).frames(PING, 1)
    assert code(answer) == (429, "too_many")
    assert answer.json()["retry_after"] == 1.0
    for _, writer in pairs:
        writer.close()
    async with asyncio.timeout(3):
        while (await line(visitor).frames(PING, 1)).status_code != 204:  # noqa: ASYNC110 (asked until the server has seen that they are gone)
            await asyncio.sleep(0.05)


async def test_a_request_holds_no_more_frames_than_may_come(server: Server) -> None:
    visitor = await server.visitor()
    for many in ("\n" * 65_000, "\n".join([PING] * (server.settings.frames_per_10s + 1))):
        assert code(await line(visitor).frames(many, 1)) == (400, "bad_input")
    assert visitor.types().count("pos") == 0
    assert (await line(visitor).frames("\n".join([PING] * 50), 1)).status_code == 204


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
