"""The socket server's protocol: what the library has, made quicker on the way of every message.

Knows bytes of RFC 6455 and the library's insides. Must not know frames of ours, peers or callers.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from typing import Any, Final

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.http11 import Request as Handshake
from websockets.protocol import State
from websockets.speedups import apply_mask

_TEXT: Final = 0x81  # a whole text frame
_MASKED: Final = 0x80
_MIDDLE: Final = struct.Struct(">BBH")
_LONG: Final = struct.Struct(">BBQ")
_SHORT: Final = 126  # lengths from here on take two more bytes


class Protocol(WebSocketsSansIOProtocol):
    """Writes several frames at once, reads whole text frames without the library's detours, and lets the application
    cut a connection whose peer takes nothing: a close would wait for it for ever."""

    on_room: Callable[[], None] | None = None
    on_text: Callable[[str], bool] | None = None
    _left: int | None = 0  # bytes of the frame under way that are still to come

    def handle_connect(self, event: Handshake) -> None:
        super().handle_connect(event)
        scope: Any = getattr(self, "scope", None)
        if scope is not None:
            scope["aparte.line"] = self

    # ── writing ──────────────────────────────────────────────────────────────────────────────────────────

    @property
    def has_room(self) -> bool:
        """Whether the connection takes more now."""
        return self.writable.is_set()

    @property
    def is_open(self) -> bool:
        """Whether frames can still be sent."""
        return not self.disconnected and not self.close_sent and self.conn.state is State.OPEN

    def resume_writing(self) -> None:
        super().resume_writing()
        if self.on_room is not None:
            self.on_room()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self.on_room is not None:
            self.on_room()  # what waits for room must learn that there will be none

    def write_texts(self, texts: Iterable[bytes]) -> None:
        """Text frames in one write. The library's own way costs a system call and a few layers for each."""
        self.transport.write(b"".join([part for text in texts for part in (_head(len(text)), text)]))

    def abort(self) -> None:
        """Cuts the connection at once."""
        if not self.transport.is_closing() or not self.disconnected:
            self.transport.abort()

    # ── reading ──────────────────────────────────────────────────────────────────────────────────────────

    def data_received(self, data: bytes) -> None:
        """Nearly all that comes is whole, masked text frames of less than 64 KiB: those are read here. Everything else,
        and every fault, is the library's."""
        at, end = 0, len(data)
        if self._is_between_frames():
            while at < end:
                found = _text_at(data, at)
                if found is None:
                    break
                text, at = found
                self._hand_on(text)
        if at == end > 0:
            return
        rest = data[at:]
        if self.handshake_complete:
            self._left = _left_after(rest, self._left)
        elif not rest.endswith(b"\r\n\r\n"):
            self._left = None  # frames that came before our answer: the library keeps them
        super().data_received(rest)

    def _hand_on(self, text: str) -> None:
        # What waits in the queue came before it.
        if self.on_text is not None and self.queue.empty() and self.on_text(text):
            return
        self.queue.put_nowait({"type": "websocket.receive", "text": text})
        if not self.read_paused:
            self.read_paused = True
            self.transport.pause_reading()

    def _is_between_frames(self) -> bool:
        """Neither half a frame nor half a message waits in the library."""
        return (
            self._left == 0
            and self.handshake_complete
            and self.is_open
            and self.conn.current_size is None
            and self.conn.parser_exc is None
        )


def _left_after(data: bytes, left: int | None) -> int | None:
    """How many bytes of the frame under way are still to come after `data`, when `left` were to come before it.

    None: not known, since a header was cut in two; then it stays so, and the library reads that connection alone.
    """
    if left is None:
        return None
    at = left
    while at < len(data):
        if at + 2 > len(data):
            return None
        size = data[at + 1] & 0x7F
        header = 2 + (4 if data[at + 1] & _MASKED else 0)
        if size >= _SHORT:
            width = 2 if size == _SHORT else 8
            if at + 2 + width > len(data):
                return None
            size = int.from_bytes(data[at + 2 : at + 2 + width], "big")
            header += width
        at += header + size
    return at - len(data)


def _head(size: int) -> bytes:
    """What stands before a whole, unmasked text frame of so many bytes (RFC 6455, 5.2)."""
    if size < _SHORT:
        return bytes((_TEXT, size))
    return _MIDDLE.pack(_TEXT, _SHORT, size) if size < 1 << 16 else _LONG.pack(_TEXT, 127, size)


def _text_at(data: bytes, at: int) -> tuple[str, int] | None:
    """The text of the frame that begins at `at`, and where the next one begins, if it is a whole, masked text frame in
    UTF-8 of less than 64 KiB."""
    if len(data) < at + 6 or data[at] != _TEXT:
        return None
    size = data[at + 1] - _MASKED
    start = at + 6
    if size == _SHORT:
        size = int.from_bytes(data[at + 2 : at + 4], "big")
        start += 2
        if size < _SHORT:
            return None  # not the shortest form: the library tells the peer
    elif not 0 <= size < _SHORT:
        return None
    end = start + size
    if len(data) < end:
        return None
    try:
        return apply_mask(data[start:end], data[start - 4 : start]).decode(), end
    except UnicodeDecodeError:
        return None
