"""The bad network does what it says, each fault by itself."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from faults.proxy import FAULTS, Fault, Proxy, proxied
from listening import peer

SAID = bytes(range(256)) * 8


@asynccontextmanager
async def line(
    *faults: Fault, seed: int = 1
) -> AsyncIterator[tuple[Proxy, asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection through a proxy with these faults to an echo."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1 << 16):
            writer.write(data)

    async with peer(echo) as port, proxied(lambda: ("127.0.0.1", port), random.Random(seed), faults) as proxy:
        reader, writer = await asyncio.open_connection(*proxy.address)
        try:
            yield proxy, reader, writer
        finally:
            writer.close()


async def echoed(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    writer.write(SAID)
    async with asyncio.timeout(10):
        return await reader.readexactly(len(SAID))


@pytest.mark.parametrize("fault", ["none", "latency", "drip"])
async def test_it_changes_nothing_of_what_comes_through(fault: Fault) -> None:
    async with line(fault) as (proxy, reader, writer):
        assert await echoed(reader, writer) == SAID
        assert proxy.met[fault] == 1


async def test_it_delays() -> None:
    async with line("latency") as (_, reader, writer):
        began = time.monotonic()
        await echoed(reader, writer)
        assert time.monotonic() - began >= 0.01  # there and back


async def test_it_drips_byte_by_byte() -> None:
    async with line("drip") as (_, reader, writer):
        writer.write(b"hello")
        assert await reader.read(100) != b"hello"


async def until_the_end(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> int:
    """How many bytes came back before the end."""
    count = 0
    async with asyncio.timeout(10):
        while True:
            writer.write(SAID)
            data = await reader.read(1 << 16)
            if not data:
                return count
            count += len(data)


async def test_it_cuts() -> None:
    async with line("cut") as (proxy, reader, writer):
        await until_the_end(reader, writer)
        assert proxy.met["cut"] == 1


async def test_it_resets() -> None:
    async with line("reset") as (_, reader, writer):
        with pytest.raises(ConnectionResetError):
            await until_the_end(reader, writer)


async def test_it_goes_half_open_and_tells_nobody() -> None:
    async with line("half-open") as (proxy, reader, writer):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await until_the_end(reader, writer)
        assert not reader.at_eof()
        proxy.clear()
        async with asyncio.timeout(5):
            while await reader.read(1 << 16):
                pass  # cleared: now it is told


async def test_the_same_seed_brings_the_same_weather() -> None:
    drawn = [random.Random(3).choices(FAULTS, k=20) for _ in range(2)]
    assert drawn[0] == drawn[1]


async def test_nobody_there_is_told_at_once() -> None:
    async with proxied(lambda: ("127.0.0.1", 9), random.Random(1)) as proxy:
        reader, writer = await asyncio.open_connection(*proxy.address)
        assert await asyncio.wait_for(reader.read(), 5) == b""
        writer.close()
