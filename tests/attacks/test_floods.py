"""SCOREBOARD 2, 34 and 35, the short forms: who asks too much, too often or too slowly is held up, and nobody else is.

The long forms are `frames`, `half-open` and `log-ins` of `python3 tests/faults`.

Watched to fail: no time for a request; a full house that turns away who comes last; a parser that takes any head; pongs
for one who does not read; a slow one who is cut for asking, or gets no answer; pieces of messages that nobody counts; texts that wait without an end; one window for all
sites, and for all addresses of a site; typing without a limit; histories without one; a message that is let in whatever
waits, and one whose bytes are never given back.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus

from aparte.actions import sites
from aparte.limits import Window
from aparte.model import Site
from clients import SITE, Visitor
from faults import wire
from harness import Server, Start

PROXY = ("127.0.0.1",)


async def line(server: Server, data: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection on which these bytes were said."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.settings.port)
    writer.write(data)
    return reader, writer


async def ends(reader: asyncio.StreamReader, seconds: float) -> bool:
    """Whether the server ends the connection in time."""
    with contextlib.suppress(ConnectionError):
        try:
            async with asyncio.timeout(seconds):
                while await reader.read(65_536):
                    pass
        except TimeoutError:
            return False
    return True


# ── requests ────────────────────────────────────────────────────────────────────────────────────────────────────

HALF = {
    "nothing": b"",
    "a line": b"GET /healthz HTTP/1.1\r\n",
    "a head": b"GET /healthz HTTP/1.1\r\nHost: x\r\nX: y",
    "no body": b"POST /api/login HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{",
    "one and a half": b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\nGET /healthz HTTP/1.1\r\nHost: x\r\nX: y",
    "a body after its answer": b"GET /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n{",
}


@pytest.mark.parametrize("half", HALF.values(), ids=HALF)
async def test_half_a_request_has_its_time(start: Start, half: bytes) -> None:
    async with start(request_seconds=0.6) as server:
        reader, writer = await line(server, half)

        async def drip() -> None:
            while True:
                await asyncio.sleep(0.1)
                writer.write(b"z" if half else b"")

        dripping = asyncio.create_task(drip())
        began = time.monotonic()
        assert await ends(reader, 4)
        assert time.monotonic() - began > 0.4
        dripping.cancel()
        writer.close()


async def test_a_connection_that_is_kept_alive_is_good_for_many_requests(start: Start) -> None:
    async with start(request_seconds=0.6) as server:
        reader, writer = await line(server, b"")
        for _ in range(8):
            writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            assert b" 200 " in await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(2)
            await asyncio.sleep(0.15)
        writer.close()


async def test_in_a_full_house_the_one_goes_that_has_asked_for_nothing_for_longest(start: Start) -> None:
    async with start(connections_total=20) as server:
        visitor, _, thread = await server.meeting()
        halves = [await line(server, b"GET / HTTP/1.1\r\n") for _ in range(60)]
        later = await server.visitor()
        await later.open("I am let in")
        await visitor.say(thread, "and I am still here")
        assert await ends(halves[0][0], 2)
        for _, writer in halves:
            writer.close()


@pytest.mark.parametrize(
    "data",
    [
        b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n" * 2000,
        b"GET /healthz HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 1_000_000,
        b"GET /healthz HTTP/1.1\r\nHost: x\r\n" + b"X: y\r\n" * 200_000,
        b"POST /healthz HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n" + b"X: y\r\n" * 200_000,
    ],
    ids=["requests", "a field", "fields", "fields after the body"],
)
async def test_a_request_has_a_size(server: Server, data: bytes) -> None:
    reader, writer = await line(server, data)
    assert await ends(reader, 5)
    writer.close()
    assert (await server.http.get("/readyz")).status_code == 200


# ── frames ──────────────────────────────────────────────────────────────────────────────────────────────────────

FLOODS = {
    "pings": wire.frame(wire.PING, b"x"),
    "pongs": wire.frame(wire.PONG, b"x"),
    "pieces of nothing": wire.frame(wire.MORE, fin=False),
}


@pytest.mark.parametrize("what", FLOODS)
async def test_what_is_no_message_is_counted_too(server: Server, what: str) -> None:
    raw = await wire.Raw.greeted(server)
    if what == "pieces of nothing":
        raw.writer.write(wire.frame(wire.TEXT, b"{", fin=False))
    raw.writer.write(FLOODS[what] * 150)
    if what == "pings":
        for _ in range(150):
            assert (await raw.next())[0] == wire.PONG
    await asyncio.sleep(0.1)
    assert len(server.parts.hub.peers) == 1
    raw.writer.write(FLOODS[what] * 100)
    while (kind := await raw.next())[0] == wire.PONG:
        pass
    assert kind == (wire.CLOSE, (4429).to_bytes(2, "big") + b"too many frames")
    assert await ends(raw.reader, 4)
    raw.writer.close()


async def full(server: Server) -> tuple[wire.Raw, Any]:
    """One who does not read, and the server's side of his line, which has no room."""
    raw = await wire.Raw.greeted(server)
    [peer] = server.parts.hub.peers
    line: Any = peer.line
    while line.has_room:
        line.write_texts([b"x" * 60_000] * 20)
        await asyncio.sleep(0)
    return raw, line


async def test_who_asks_and_does_not_read_is_cut(server: Server) -> None:
    raw, line = await full(server)
    waiting = line.transport.get_write_buffer_size()
    raw.writer.write(wire.frame(wire.PING, b"x" * 125) * 150)
    await asyncio.sleep(0.3)
    assert len(server.parts.hub.peers) == 1
    assert line.transport.get_write_buffer_size() <= waiting  # no answer joins the queue
    raw.writer.write(wire.frame(wire.PING, b"x" * 125) * 100)
    async with asyncio.timeout(server.settings.stalled_seconds + 3):
        while server.parts.hub.peers:  # noqa: ASYNC110 (the server's own set)
            await asyncio.sleep(0.05)
    assert line.close_sent
    raw.writer.close()


async def test_who_asks_and_reads_slowly_gets_everything_and_the_last_answer(server: Server) -> None:
    raw, _ = await full(server)
    for number in range(20):
        raw.writer.write(wire.frame(wire.PING, b"%d" % number))
        await asyncio.sleep(0.01)
    async with asyncio.timeout(10):
        while (got := await raw.next())[0] != wire.PONG:
            assert got == (wire.TEXT, b"x" * 60_000)
        assert got[1] == b"19"
        raw.writer.write(wire.frame(wire.PING, b"and now"))
        while (got := await raw.next())[0] != wire.PONG:
            pass
        assert got[1] == b"and now"
    raw.writer.close()


async def test_texts_that_nobody_has_taken_are_few(server: Server) -> None:
    visitor = await server.visitor(hello=False)
    visitor.socket.transport.write(wire.frame(wire.TEXT, wire.ASK) * 5000)  # before hello, in one packet
    await visitor.closed()
    assert visitor.socket.close_reason == "too many frames"  # said by the line, which kept a few hundred
    assert not server.parts.hub.peers


# ── messages ────────────────────────────────────────────────────────────────────────────────────────────────────


async def says(visitor: Visitor, thread: str, times: int) -> tuple[int, float]:
    """How many of so many messages were taken, and what the last refusal said."""
    taken, wait = 0, 0.0
    for _ in range(times):
        answer = await visitor.ask("post", conversation=thread, text="Hello?")
        if answer["t"] == "error":
            assert answer["code"] == "too_many"
            wait = answer["retry_after"]
            assert 0 < wait <= 10
        taken += answer["t"] == "ack"
    return taken, wait


@contextlib.asynccontextmanager
async def two_sites(start: Start, **chosen: Any) -> AsyncIterator[Server]:
    async with start(trusted_proxies=PROXY, messages_per_10s=1000, **chosen) as server:
        await sites.add_site(server.store, Site("sea", "Sea", origins=("http://localhost:9",)))
        await server.store.refresh()
        yield server


async def opened(server: Server, address: str, site: str = SITE) -> tuple[Visitor, str]:
    visitor = await server.visitor(address=address, site=site)
    return visitor, await visitor.open("Hello")


async def test_a_sites_flood_leaves_each_address_its_share(start: Start) -> None:
    async with two_sites(start, site_messages_per_10s=40) as server:
        flooders = [await opened(server, "198.51.100.1") for _ in range(3)]
        person, thread = await opened(server, "198.51.100.2")
        taken = [await says(*flooder, 30) for flooder in flooders]
        assert sum(count for count, _ in taken) == 36
        assert taken[-1][1] > 5
        assert (await says(person, thread, 10))[0] == 10
        stranger, elsewhere = await opened(server, "198.51.100.3")
        assert (await says(stranger, elsewhere, 5))[0] == 5


async def test_a_nodes_flood_leaves_each_site_its_share(start: Start) -> None:
    async with two_sites(start, site_messages_per_10s=40, node_messages_per_10s=40) as server:
        sailor, thread = await opened(server, "198.51.100.9", "sea")
        flooders = [await opened(server, f"198.51.100.{number}") for number in range(4)]
        assert sum([(await says(*flooder, 20))[0] for flooder in flooders]) == 35
        assert (await says(sailor, thread, 15))[0] == 15


async def test_many_visitors_at_one_address_count_together(start: Start) -> None:
    async with two_sites(start, address_messages_per_10s=20) as server:
        people = [await opened(server, "2001:db8::1") for _ in range(3)]
        assert sum([(await says(*one, 10))[0] for one in people]) == 17
        assert (await says(*await opened(server, "2001:db8:0:100::1"), 10))[0] == 10  # another home


async def test_begun_conversations_are_few_at_a_site(start: Start) -> None:
    async with two_sites(start, site_opens_per_minute=10) as server:
        for number in range(10):
            await opened(server, f"198.51.100.{number % 2}")
        one_more = await server.visitor(address="198.51.100.1")
        answer = await one_more.ask("open", text="Hello")
        assert answer["code"] == "too_many"
        assert 50 < answer["retry_after"] <= 60
        await opened(server, "198.51.100.7")  # has begun none
        await opened(server, "198.51.100.1", "sea")


async def test_what_waits_for_the_store_has_an_end_in_bytes(server: Server) -> None:
    visitor, _, thread = await server.meeting()
    server.parts.posted_bytes += server.settings.write_queue_bytes - 1000
    answer = await visitor.ask("post", conversation=thread, text="🙂" * 1000)
    assert (answer["code"], answer["retry_after"]) == ("too_many", 1.0)
    await visitor.say(thread, "A short one")
    server.parts.posted_bytes -= server.settings.write_queue_bytes - 1000
    await visitor.do("post", conversation=thread, text="🙂" * 1000, cid=answer["cid"])
    assert server.parts.posted_bytes == 0


async def test_typing_is_shown_a_few_times_and_never_refused(start: Start) -> None:
    async with start(typing_per_10s=4) as server:
        visitor, desk, thread = await server.meeting()
        for _ in range(20):
            await visitor.send("typing", conversation=thread)
        await visitor.settle()
        await desk.settle()
        assert desk.types().count("typing") == 4
        assert "error" not in visitor.types()


async def test_histories_beyond_the_limit_wait_and_are_not_lost(server: Server) -> None:
    visitor, _, thread = await server.meeting()
    for text in ("one", "two"):
        await visitor.say(thread, text)
    server.parts.looked = Window(3, 0.5)
    began = time.monotonic()
    for _ in range(6):
        await visitor.send("history", conversation=thread, before=3)
    await visitor.settle()
    assert visitor.types().count("events") >= 6
    assert time.monotonic() - began >= 0.4


# ── sockets ─────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_new_sockets_of_one_address_are_few(start: Start) -> None:
    async with start(sockets_per_minute=5, trusted_proxies=PROXY) as server:
        for _ in range(5):
            await (await server.visitor(address="198.51.100.1")).leave()
        with pytest.raises(InvalidStatus):
            await server.visitor(address="198.51.100.1")
        await server.visitor(address="198.51.100.2")
