"""The server's protocols on a connection: what the library has, made quicker on the way of every message, and with an
end to what a peer may ask of us before anybody knows who it is.

Knows bytes of RFC 6455, requests, and the library's insides. Must not know frames of ours, peers or callers.
"""

from __future__ import annotations

import asyncio
import resource
import struct
from collections.abc import Callable, Iterable
from typing import Any, ClassVar, Final

import structlog
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame
from websockets.http11 import Request as Handshake
from websockets.protocol import State
from websockets.speedups import apply_mask

_TEXT: Final = 0x81  # a whole text frame
_MASKED: Final = 0x80
_MIDDLE: Final = struct.Struct(">BBH")
_LONG: Final = struct.Struct(">BBQ")
_SHORT: Final = 126  # lengths from here on take two more bytes
_PORTION: Final = 4 << 10  # bytes that the library reads at once: it keeps what it has read until all of them are read
_HEAD: Final = 64 << 10  # bytes of a request besides its body: the parser keeps them all
_PIPELINED: Final = 4  # requests that came before the one ahead of them was answered; browsers and proxies send none
_OTHER_FILES: Final = 256  # databases, log, key ring, mail and connector, and some that wait to be accepted
TOO_MANY: Final = 4429
log = structlog.get_logger("aparte.lines")


class Request(HttpToolsProtocol):
    """A connection that has not become a socket. It has `request_seconds` for a whole request, and as long again to
    take the answer; of too many connections, the one goes that has been without a whole request for longest."""

    most: ClassVar[int] = 22_000
    request_seconds: ClassVar[float] = 20.0
    idle: ClassVar[dict[Request, None]] = {}
    _head = 0
    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in the library
        super().connection_made(transport)
        if len(self.connections) > self.most:
            oldest = next(iter(self.idle), self)
            self.idle.pop(oldest, None)
            oldest.transport.abort()
        if not transport.is_closing():
            self._await_request()

    def connection_lost(self, exc: Exception | None) -> None:
        self._disarm()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._head += len(data)
        super().data_received(data)
        if self._head > _HEAD:
            self.transport.abort()
        elif self.transport.is_closing():
            self._arm()

    def on_message_begin(self) -> None:
        if len(self.pipeline) >= _PIPELINED:
            raise ValueError("too many requests at once")  # the parser's answer is 400
        self._head = 0
        super().on_message_begin()
        scope: Any = self.scope
        scope["aparte.abort"] = self.transport.abort  # of a long answer that its peer does not take

    def on_body(self, body: bytes) -> None:
        self._head -= len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        super().on_message_complete()
        if not self._is_answered():
            self._disarm()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.transport.is_closing():
            self._arm()
        elif not self.pipeline:
            self._await_request()  # the connection is kept alive

    def timeout_keep_alive_handler(self) -> None:
        super().timeout_keep_alive_handler()
        self._arm()

    def handle_websocket_upgrade(self) -> None:
        self._disarm()
        super().handle_websocket_upgrade()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._arm()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._disarm()
        if self._is_answered():
            self._await_request()

    def _is_answered(self) -> bool:
        cycle: RequestResponseCycle | None = self.cycle  # none before the first request
        return cycle is not None and cycle.response_complete

    def _await_request(self) -> None:
        self.idle[self] = None
        self._arm()

    def _arm(self) -> None:
        if self._timer is None:
            self._timer = self.loop.call_later(self.request_seconds, self.transport.abort)

    def _disarm(self) -> None:
        self.idle.pop(self, None)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def room(connections: int) -> int:
    """How many of so many connections this process may hold: each is a file, and the store needs some as well. Raises
    the process's own limit as far as the system lets it."""
    most, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + _OTHER_FILES
    if most != resource.RLIM_INFINITY and most < wanted:
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    if most == resource.RLIM_INFINITY or most >= wanted:
        return connections
    kept = max(1, most - _OTHER_FILES)
    log.warning("lines.few_files", files=most, wanted=wanted, connections=kept, setting="LimitNOFILE")
    return kept


def protocols(
    *, connections: int, request_seconds: float, frames_per_10s: int, stalled_seconds: float
) -> tuple[type[Request], type[Protocol]]:
    """The protocols of one server: of its connections, and of those that become sockets."""
    request = {"most": connections, "request_seconds": request_seconds, "idle": {}}
    socket = {"frames_per_10s": frames_per_10s, "stalled_seconds": stalled_seconds}
    return type("Request", (Request,), request), type("Protocol", (Protocol,), socket)


class Protocol(WebSocketsSansIOProtocol):
    """Writes several frames at once, reads whole text frames without the library's detours, and lets the application
    cut a connection whose peer takes nothing: a close would wait for it for ever.

    The application counts messages. Pings, pongs and pieces of messages are counted here: with more than
    `frames_per_10s` of them, or twice as many messages that nobody has taken yet, the connection is closed.
    """

    frames_per_10s: ClassVar[int] = 200
    stalled_seconds: ClassVar[float] = 2.0
    _others = 0
    _others_until = 0.0
    on_room: Callable[[], None] | None = None
    on_text: Callable[[str], bool] | None = None
    _pong = b""  # the answer to the latest ping, when there was no room for it
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
        if self._pong and self.is_open:
            self.transport.write(self._pong)
        self._pong = b""
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

    def keepalive_timeout(self) -> None:
        super().keepalive_timeout()
        self._cut_later()

    def on_task_complete(self, task: asyncio.Task[None]) -> None:
        super().on_task_complete(task)
        self._cut_later()

    def _cut_later(self) -> None:
        """The library closes when all is written, which a peer that does not read puts off for ever."""
        if not self.disconnected:
            self.loop.call_later(self.stalled_seconds, self.transport.abort)

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
        for start in range(0, len(rest), _PORTION):
            super().data_received(rest[start : start + _PORTION])
            if self.close_sent or self.transport.is_closing():
                return

    def _hand_on(self, text: str) -> None:
        # What waits in the queue came before it.
        if self.on_text is not None and self.queue.empty() and self.on_text(text):
            return
        self.queue.put_nowait({"type": "websocket.receive", "text": text})
        if not self.read_paused:
            self.read_paused = True
            self.transport.pause_reading()
        self._require_few(self.queue.qsize() // 2)

    def send_receive_event_to_app(self) -> None:
        super().send_receive_event_to_app()
        self._require_few(self.queue.qsize() // 2)  # the application, which counts as well, tells the peer why

    def handle_cont(self, event: Frame) -> None:
        super().handle_cont(event)
        self._count_other()

    def handle_ping(self) -> None:
        if self.has_room or self.conn.state is not State.OPEN:
            super().handle_ping()
        else:
            # One who reads slowly gets the last answer alone (RFC 6455, 5.5.3), behind what waits for him.
            self._pong = next(reversed(self.conn.data_to_send()), self._pong)
        self._count_other()

    def handle_pong(self, event: Frame) -> None:
        super().handle_pong(event)
        self._count_other()

    def _count_other(self) -> None:
        now = self.loop.time()
        if now >= self._others_until:
            self._others, self._others_until = 0, now + 10.0
        self._others += 1
        self._require_few(self._others)

    def _require_few(self, count: int) -> None:
        if count > self.frames_per_10s and not self.close_sent and not self.transport.is_closing():
            self.conn.fail(TOO_MANY, "too many frames")
            self.handle_parser_exception()
            self._cut_later()

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
