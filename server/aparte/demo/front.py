"""One address in front of several nodes: hands each connection to the next node that takes it, byte by byte.

Knows TCP alone, so a WebSocket goes through as anything else does. Must not read what passes, nor add to it: a proxy for
people elsewhere also ends TLS and says who is calling (deploy/Caddyfile).
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import socket
from collections.abc import AsyncIterator, Sequence
from typing import Final

from aparte.demo.sockets import LOOPBACK

_BYTES: Final = 64 * 1024

Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@contextlib.asynccontextmanager
async def before(bound: socket.socket, ports: Sequence[int]) -> AsyncIterator[None]:
    """Listens on `bound` until the block ends, for nodes on these ports of this machine."""
    turns = itertools.cycle(range(len(ports)))
    talks: set[asyncio.Task[None]] = set()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talk = asyncio.current_task()
        assert talk is not None
        talks.add(talk)
        first = next(turns)
        try:
            node = await _node([*ports[first:], *ports[:first]])
            await _join((reader, writer), node)
        except OSError:
            writer.transport.abort()  # no node takes it: the caller sees it at once, and tries again
        except asyncio.CancelledError:
            pass  # the front ends
        finally:
            writer.close()
            talks.discard(talk)

    server = await asyncio.start_server(accept, sock=bound)
    try:
        yield
    finally:
        server.close()
        for talk in list(talks):
            talk.cancel()
        await asyncio.gather(*talks, return_exceptions=True)
        await server.wait_closed()


async def _node(ports: Sequence[int]) -> Stream:
    """A connection to the first node that takes one. Raises OSError."""
    for port in ports[:-1]:
        with contextlib.suppress(OSError):
            return await asyncio.open_connection(LOOPBACK, port)
    return await asyncio.open_connection(LOOPBACK, ports[-1])


async def _join(one: Stream, other: Stream) -> None:
    """Lets both talk until both have ended, or one was cut off. Raises OSError."""
    try:
        async with asyncio.TaskGroup() as both:
            both.create_task(_pass_on(one[0], other[1]))
            both.create_task(_pass_on(other[0], one[1]))
    except* OSError as cut:
        raise ConnectionResetError from cut
    finally:
        for _, writer in (one, other):
            writer.close()


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(_BYTES):
        writer.write(data)
        await writer.drain()
    if writer.can_write_eof():
        writer.write_eof()
