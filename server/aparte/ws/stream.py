"""The same frames by server-sent events and POST, for networks that let no WebSocket through.

One request stays open and carries what the server says; what the client says comes by requests of their own, and its
frames are numbered, so that a request that is made again does nothing twice. To `connection.SocketEndpoint` all this is a
socket: origin, limits, hello, rates and frames are its. Must not know what a frame means.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import Callable, Iterable, Iterator
from typing import Final, Literal

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from aparte import auth, frames
from aparte.actions.people import session_hash
from aparte.config import Settings
from aparte.errors import AparteError, BadInput, BadState, ConnectionGone, NotSignedIn, TooLong, TooMany, Unavailable
from aparte.limits import Window
from aparte.vault import new_token
from aparte.ws.connection import CLOSE_BUSY, CLOSE_LIMIT, SocketEndpoint

CLOSE_TEXT: Final = 1007  # as the sockets' library says it
CLOSE_TOO_BIG: Final = 1009
CONNECTION: Final = "aparte-connection"  # the header with the connection's token
FIRST: Final = "aparte-first"  # and the one with the number of the request's first frame
BEAT_SECONDS: Final = 15.0  # after which a silent stream says something, so that no proxy takes it for dead
SILENT_SECONDS: Final = 75.0  # without a frame after which the client has gone: it pings every half minute
MOST_WAITING: Final = 64 << 10  # bytes that wait for their turn beside what the connection holds
AGAIN_SECONDS: Final = 1.0  # when frames of an earlier request still wait, or enough requests are under way
BODIES: Final = 2  # requests of one connection under way: our client makes one at a time, and may have lost one

Kind = Literal["visitor", "agent"]
_BEAT: Final = b":\n\n"  # a comment
_HEADERS: Final = (
    (b"content-type", b"text/event-stream"),
    (b"cache-control", b"no-store, no-transform"),  # a proxy that compressed it would hold it back
    (b"x-accel-buffering", b"no"),
    (b"connection", b"close"),  # so that cutting it never cuts another request of the same client
)


class StreamLine:
    """One connection as `peers.Line` wants it, and as the messages that a socket's application gets and gives."""

    on_room: Callable[[], None] | None = None
    on_text: Callable[[str], bool] | None = None

    def __init__(self, receive: Receive, send: Send, abort: Callable[[], None], most: int) -> None:
        """Args: receive, send: the long request's; abort cuts its connection; most: requests with frames in 10 seconds,
        and frames of one of them."""
        self.token = ""
        self.close_code: int | None = None
        self._receive, self._send, self.abort = receive, send, abort
        self._came: asyncio.Queue[str | None] = asyncio.Queue()  # None: the connection is over
        self._begun = asyncio.Event()  # every frame that came is being carried out, or has been
        self._heard = 0  # frames after hello
        self._spoken = asyncio.get_running_loop().time()  # when the client last said something
        self._pending: list[bytes] = []
        self._due = asyncio.Event()
        self._waiting = 0  # bytes of what is pending
        self._is_over = False
        self._most = most
        self._requests = Window(most, 10.0)
        self._bodies = 0  # of requests under way
        self._step = 0
        self._writer: asyncio.Task[None] | None = None
        self._watcher: asyncio.Task[None] | None = None

    # ── what the server says ──────────────────────────────────────────────────────────────────────────────────

    @property
    def has_room(self) -> bool:
        """Whether the connection takes more now."""
        return self._waiting < MOST_WAITING

    @property
    def is_open(self) -> bool:
        """Whether frames can still be sent."""
        return bool(self.token) and not self._is_over and self.close_code is None

    def write_texts(self, texts: Iterable[bytes]) -> None:
        """Writes text frames in one go, without waiting. A frame has no line breaks: they are escaped in JSON."""
        for text in texts:
            self._pending.append(b"data: %s\n\n" % text)
            self._waiting += len(text)
        self._due.set()

    async def _write(self) -> None:
        """Hands on what is to be said, and in the end the close code."""
        while self.close_code is None or self._pending:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(BEAT_SECONDS):
                    await self._due.wait()
            self._due.clear()
            data, self._pending, self._waiting = b"".join(self._pending), [], 0
            await self._send({"type": "http.response.body", "body": data or _BEAT, "more_body": True})
            if self.on_room is not None:
                self.on_room()
        await self._send({"type": "http.response.body", "body": b"event: close\ndata: %d\n\n" % self.close_code})

    async def send(self, message: Message) -> None:
        """What a socket's application says: that it takes the connection, and that it ends it."""
        if message["type"] == "websocket.accept":
            self.token = new_token()
            await self._send({"type": "http.response.start", "status": 200, "headers": list(_HEADERS)})
            self._pending.append(b"event: connection\ndata: %s\n\n" % self.token.encode())
            self._due.set()
            self._writer = asyncio.create_task(self._write())
        else:
            await self.close(message["code"])

    async def close(self, code: int) -> None:
        """Says what is queued and then the code, as a WebSocket's close frame does."""
        self.close_code = code
        self._due.set()
        if self._writer is not None:
            await asyncio.wait({self._writer})

    # ── what the client says ──────────────────────────────────────────────────────────────────────────────────

    async def receive(self) -> Message:
        """What a socket's application hears: the handshake, the request's own body as the first frame, then the frames
        of the other requests."""
        self._step += 1
        if self._step == 1:
            return {"type": "websocket.connect"}
        text = await (self._hello() if self._step == 2 else self._next())
        return {"type": "websocket.disconnect"} if text is None else {"type": "websocket.receive", "text": text}

    async def _hello(self) -> str | None:
        try:
            text = await _text_of(self._receive)
        except BadInput as error:
            await self.close(CLOSE_TOO_BIG if isinstance(error, TooLong) else CLOSE_TEXT)
            return None
        except ConnectionGone:
            return None
        self._watcher = asyncio.create_task(self._watch())
        return text

    async def _next(self) -> str | None:
        loop = asyncio.get_running_loop()
        while (left := self._spoken + SILENT_SECONDS - loop.time()) > 0:
            try:
                async with asyncio.timeout(left):
                    text = await self._came.get()
            except TimeoutError:
                continue  # more may have been heard meanwhile, without a detour
            if self._came.empty():
                self._begun.set()
            return text
        return None

    async def _watch(self) -> None:
        """Tells when the client has gone."""
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._is_over = True
        self._came.put_nowait(None)
        self._begun.set()
        if self.on_room is not None:
            self.on_room()  # what waits for room must learn that there will be none

    @contextlib.contextmanager
    def admitted(self) -> Iterator[None]:
        """Counts a request before it is read: its frames count by themselves, unless they came before. Raises TooMany,
        also while enough others are under way."""
        if self._bodies >= BODIES:
            raise TooMany(retry_after=AGAIN_SECONDS)
        wait = self._requests.take("", asyncio.get_running_loop().time())
        if wait is not None:
            raise TooMany(retry_after=wait)
        self._bodies += 1
        try:
            yield
        finally:
            self._bodies -= 1

    async def take(self, first: int, text: str) -> None:
        """Carries out frames of one request; returns once the last has begun.

        Args: first: the first one's number on this connection, from 1. What came before is left out. text: the frames, one
        in a line.
        Raises: BadInput for more frames than may come in 10 seconds; BadState when one before it has not come; TooMany when
        those before it still wait; ConnectionGone.
        """
        if text.count("\n") >= self._most:
            raise BadInput(f"One request holds at most {self._most} frames. Send them in parts.")
        if self._is_over:
            raise ConnectionGone()
        if not self._came.empty():
            raise TooMany(retry_after=AGAIN_SECONDS)
        if first > self._heard + 1:
            raise BadState(f"The frame before number {first} has not come. Open another connection.")
        self._spoken = asyncio.get_running_loop().time()
        self._begun.clear()
        for frame in text.split("\n")[self._heard + 1 - first :]:
            self._heard += 1
            # What waits in the queue came before it.
            if not (self._came.empty() and self.on_text is not None and self.on_text(frame)):
                self._came.put_nowait(frame)
        if not self._came.empty():
            await self._begun.wait()
            if self._is_over:
                raise ConnectionGone()

    async def end(self) -> None:
        """Leaves nothing behind. A stream that was not ended in order is cut."""
        self._is_over = True
        self._begun.set()
        if self.token and self.close_code is None:
            self.abort()
            await (self._watcher or self._watch())  # the server's library must have seen that the client is gone
        for task in (self._writer, self._watcher):
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)


async def _text_of(receive: Receive) -> str:
    """The request's body. Raises TooLong beyond the size of a frame, BadInput for what is not UTF-8, ConnectionGone when
    the client goes before it is whole."""
    data = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ConnectionGone()
        data += message.get("body", b"")
        if len(data) > frames.FRAME_BYTES:
            raise TooLong("One request holds at most 64 KiB. Send it in parts.")
        if not message.get("more_body"):
            break
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise BadInput("Frames are text in UTF-8.") from error


# ── the routes ──────────────────────────────────────────────────────────────────────────────────────────────


class Streams:
    """The connections of this node by a hash of their token, and whose each is."""

    def __init__(self) -> None:
        self._lines: dict[bytes, tuple[str, StreamLine]] = {}

    def __len__(self) -> int:
        return len(self._lines)

    def add(self, line: StreamLine, owner: str) -> None:
        self._lines[_hash(line.token)] = (owner, line)

    def remove(self, line: StreamLine) -> None:
        self._lines.pop(_hash(line.token), None)

    def find(self, token: str, owner: str) -> StreamLine:
        """Raises ConnectionGone: what is another's is as if it were not there."""
        found = self._lines.get(_hash(token))
        if found is None or found[0] != owner:
            raise ConnectionGone()
        return found[1]


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


class StreamEndpoint:
    """Answers a hello with a stream: a connection, as `SocketEndpoint` is over a socket."""

    def __init__(self, kind: Kind) -> None:
        self.kind = kind

    async def __call__(self, request: Request) -> Response:
        return _Stream(self.kind, _owner(request, self.kind))


class _Stream(Response):
    def __init__(self, kind: Kind, owner: str) -> None:
        super().__init__()
        self._kind, self._owner = kind, owner

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        streams: Streams = scope["app"].state.streams
        settings: Settings = scope["app"].state.parts.settings
        line = StreamLine(receive, send, scope["aparte.abort"], settings.frames_per_10s)

        async def sending(message: Message) -> None:
            await line.send(message)
            if message["type"] == "websocket.accept":
                streams.add(line, self._owner)

        try:
            await SocketEndpoint(self._kind)({**scope, "type": "websocket", "aparte.line": line}, line.receive, sending)
        finally:
            streams.remove(line)
            await line.end()
        if not line.token:
            raise _refusal(line.close_code)


def _refusal(code: int | None) -> AparteError:
    """Why a connection was not taken. A socket's handshake can only say 403."""
    if code == CLOSE_LIMIT:
        return TooMany("Too many connections are open from here. Close some of them.", retry_after=10.0)
    return Unavailable(retry_after=10.0) if code == CLOSE_BUSY else NotSignedIn()


def line_of(request: Request, kind: Kind) -> StreamLine:
    """The connection whose token the request brings. An agent's belongs to the session that opened it. Raises
    ConnectionGone."""
    streams: Streams = request.app.state.streams
    return streams.find(request.headers.get(CONNECTION, ""), _owner(request, kind))


def _owner(request: Request, kind: Kind) -> str:
    """Whose connection it is: an agent's belongs to the session in the cookie. Whether that counts is asked elsewhere."""
    if kind == "visitor":
        return "visitor"
    cookie = auth.cookie_of(auth.headers_of(request.scope))
    return f"agent {session_hash(request.app.state.parts.store, cookie).hex()}"


async def take(request: Request) -> Response:
    """Frames of a connection, one in a line."""
    number = request.headers.get(FIRST, "")
    if not number.isascii() or not number.isdigit() or not 0 < len(number) <= 15:
        raise BadInput(f"The header {FIRST} gives the number of the first frame.")
    line: StreamLine = request.state.line
    with line.admitted():
        await line.take(int(number), await _text_of(request.receive))
    return Response(status_code=204, headers={"cache-control": "no-store"})
