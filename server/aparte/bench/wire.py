"""A WebSocket client that costs next to nothing, so that the server is what gets measured.

Knows text frames, ping and close. Must not know what a frame says. It talks to our own server on loopback alone: it
masks with zeros, accepts no extension, and believes the status line of the handshake.
"""

from __future__ import annotations

import asyncio
import base64
import os
import struct
from collections.abc import Callable
from typing import Final, cast

from aparte.errors import Unavailable

_TEXT, _CLOSE, _PING, _PONG = 0x1, 0x8, 0x9, 0xA
_LONG: Final = struct.Struct(">H")
_LONGEST: Final = struct.Struct(">Q")
OPEN_SECONDS: Final = 30.0
_MASK: Final = bytes(4)  # XOR with nothing; the server does the same work for any mask


def frame(payload: bytes, kind: int = _TEXT) -> bytes:
    """A whole client frame, ready to write."""
    size = len(payload)
    if size < 126:
        head = bytes((0x80 | kind, 0x80 | size))
    elif size < 1 << 16:
        head = bytes((0x80 | kind, 0xFE)) + _LONG.pack(size)
    else:
        head = bytes((0x80 | kind, 0xFF)) + _LONGEST.pack(size)
    return head + _MASK + payload


class Wire(asyncio.Protocol):
    """One client socket. `on_text` gets each text frame's bytes as it comes; set it anew at any time."""

    def __init__(self, request: bytes) -> None:
        loop = asyncio.get_running_loop()
        self.on_text: Callable[[bytes], None] = _drop
        self.opened: asyncio.Future[None] = loop.create_future()
        self.ended: asyncio.Future[str] = loop.create_future()
        self._request = request
        self._is_open = False
        self._data = b""
        self._transport: asyncio.Transport | None = None

    def send(self, payload: bytes) -> None:
        """Writes a text frame."""
        self.write(frame(payload))

    def write(self, whole: bytes) -> None:
        """Writes a frame that `frame` made before. What is written to a connection that has gone is lost."""
        if self._transport is not None:
            self._transport.write(whole)

    def cut(self) -> None:
        """Ends the connection at once."""
        if self._transport is not None:
            self._transport.abort()

    # ── what the event loop calls ────────────────────────────────────────────────────────────────────────

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no heirs of asyncio's, though they do the same.
        self._transport = cast("asyncio.Transport", transport)
        self._transport.write(self._request)

    def connection_lost(self, error: Exception | None) -> None:
        if not self.opened.done():
            self.opened.set_exception(Unavailable("The server under test ended the connection before it was open."))
        if not self.ended.done():
            self.ended.set_result(str(error or "cut"))

    def data_received(self, data: bytes) -> None:
        if self._data:
            data = self._data + data
        if not self._is_open:
            head, found, data = data.partition(b"\r\n\r\n")
            if not found:
                self._data = head
                return
            status = head.split(b"\r\n", 1)[0]
            if b" 101 " not in status:
                if not self.opened.done():
                    said = status.decode("latin-1")
                    self.opened.set_exception(Unavailable(f"The server under test refused a socket: {said}."))
                self.cut()
                return
            self._is_open = True
            if not self.opened.done():
                self.opened.set_result(None)
        self._data = self._frames(data)

    def _frames(self, data: bytes) -> bytes:
        """Hands over every whole frame. Returns what is left."""
        at, end = 0, len(data)
        while end - at >= 2:
            size, start = data[at + 1] & 0x7F, at + 2
            if size == 126:
                if end - at < 4:
                    break
                (size,), start = _LONG.unpack_from(data, at + 2), at + 4
            elif size == 127:
                if end - at < 10:
                    break
                (size,), start = _LONGEST.unpack_from(data, at + 2), at + 10
            if end - start < size:
                break
            self._take(data[at], data[start : start + size])
            at = start + size
        return data[at:] if at else data

    def _take(self, first: int, payload: bytes) -> None:
        kind = first & 0x0F
        if kind == _TEXT and first & 0x80:
            self.on_text(payload)
        elif kind == _PING:
            self.write(frame(payload, _PONG))
        elif kind == _CLOSE:
            if not self.ended.done():
                self.ended.set_result(f"close {int.from_bytes(payload[:2], 'big')}")
            self.cut()
        elif kind != _PONG:
            raise Unavailable("The server under test sent a frame that this client does not take.")


def _drop(_payload: bytes) -> None:
    """Nobody listens yet."""


async def connect(
    port: int,
    path: str,
    *,
    origin: str = "",
    cookie: str = "",
    agent: str = "aparte bench",
    source: str | None = None,
    on_text: Callable[[bytes], None] = _drop,
) -> Wire:
    """An open socket to a server on loopback.

    Args: source: the loopback address to come from. Raises: Unavailable when the server refuses; OSError.
    """
    lines = [
        f"GET {path} HTTP/1.1",
        f"Host: 127.0.0.1:{port}",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Version: 13",
        f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}",
        f"User-Agent: {agent}",
        *([f"Origin: {origin}"] if origin else []),
        *([f"Cookie: {cookie}"] if cookie else []),
    ]
    request = ("\r\n".join(lines) + "\r\n\r\n").encode()
    loop = asyncio.get_running_loop()
    local = (source, 0) if source else None
    _, wire = await loop.create_connection(lambda: Wire(request), "127.0.0.1", port, local_addr=local)
    wire.on_text = on_text
    async with asyncio.timeout(OPEN_SECONDS):
        await wire.opened
    return wire
