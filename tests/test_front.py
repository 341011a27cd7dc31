"""Twin of demo/front.py: connections go to the nodes in turn, whole and both ways, and past a node that is away."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from aparte.demo import front
from aparte.demo.sockets import loopback_socket, port_of
from listening import peer

Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]
DEAD = 9  # nobody listens there


@contextlib.asynccontextmanager
async def named(*names: bytes) -> AsyncIterator[list[int]]:
    """Nodes that answer each line with their name and the line."""

    def node(name: bytes) -> contextlib.AbstractAsyncContextManager[int]:
        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while line := await reader.readline():
                writer.write(name + b" " + line)
                await writer.drain()
            writer.write(name + b" heard the end\n")
            await writer.drain()

        return peer(talk)

    async with contextlib.AsyncExitStack() as stack:
        yield [await stack.enter_async_context(node(name)) for name in names]


@contextlib.asynccontextmanager
async def fronted(*ports: int) -> AsyncIterator[int]:
    bound = loopback_socket()
    async with front.before(bound, ports):
        yield port_of(bound)


@contextlib.asynccontextmanager
async def called(port: int) -> AsyncIterator[Stream]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield reader, writer
    finally:
        writer.close()


async def ask(port: int) -> bytes:
    async with called(port) as (reader, writer):
        writer.write(b"who?\n")
        return await reader.readline()


async def test_it_takes_the_nodes_in_turn() -> None:
    async with named(b"one", b"two") as nodes, fronted(*nodes) as port:
        assert [await ask(port) for _ in range(4)] == [b"one who?\n", b"two who?\n"] * 2


async def test_it_passes_by_a_node_that_is_away() -> None:
    async with named(b"one") as (node,), fronted(DEAD, node) as port:
        assert {await ask(port) for _ in range(4)} == {b"one who?\n"}


async def test_it_cuts_who_calls_while_every_node_is_away() -> None:
    async with fronted(DEAD, DEAD) as port, called(port) as (reader, _):
        async with asyncio.timeout(5):
            with contextlib.suppress(ConnectionResetError):
                assert await reader.read() == b""


async def test_it_passes_the_end_on_and_still_brings_the_answer() -> None:
    async with named(b"one") as nodes, fronted(*nodes) as port, called(port) as (reader, writer):
        writer.write(b"bye\n")
        writer.write_eof()
        assert await reader.read() == b"one bye\none heard the end\n"


async def test_it_brings_much_whole_and_waits_for_who_reads_slowly() -> None:
    sent = 0
    much = b"x" * (1 << 20)

    async def pour(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        for _ in range(32):
            writer.write(much)
            await writer.drain()
            sent += len(much)

    async with peer(pour) as node, fronted(node) as port, called(port) as (reader, _):
        await asyncio.sleep(0.3)
        assert sent < 32 << 20  # what nobody reads is not heaped up on the way
        got = 0
        while data := await reader.read(1 << 20):
            got += len(data)
        assert got == 32 << 20


async def test_it_cuts_the_caller_when_the_node_is_cut() -> None:
    async def dies(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.transport.abort()

    async with peer(dies) as node, fronted(node) as port, called(port) as (reader, writer):
        writer.write(b"hello\n")
        async with asyncio.timeout(5):
            with contextlib.suppress(ConnectionResetError):
                assert await reader.read() == b""


async def test_it_ends_with_open_connections() -> None:
    async with named(b"one") as nodes:
        async with fronted(*nodes) as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"who?\n")
            await reader.readline()
        async with asyncio.timeout(5):
            with contextlib.suppress(ConnectionResetError):
                assert await reader.read() == b""
        writer.close()
        with pytest.raises(OSError):
            await asyncio.open_connection("127.0.0.1", port)
