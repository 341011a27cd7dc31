"""A connection by server-sent events and POST, as `static/shared/fallback.js` makes it, with the ways of a WebSocket of the
`websockets` package: so whatever a test does over a socket, it can do over this.

Knows the wire of docs/PROTOCOL.md, "Without WebSocket".
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Final, Literal

import httpx2
import websockets

from clients import SITE, Client, new_visitor_token

if TYPE_CHECKING:
    from harness import Server

Way = Literal["socket", "http"]  # over WebSocket, or as here
TRIES: Final = 3  # of one request, when the network loses it
SECONDS: Final = 5.0  # for one request


class Stream:
    """Nothing goes out before the hello, the first thing that is sent."""

    def __init__(
        self,
        url: str,
        kind: str,
        origin: str | None,
        headers: dict[str, str],
        *,
        http: httpx2.AsyncClient | None = None,
        seconds: float = SECONDS,
    ) -> None:
        """Args: url: the server's; kind: visitor or agent; origin: None leaves the header out; http: somebody else's to
        use; seconds: for one request."""
        self.close_code: int | None = None
        self.requests = 0  # of frames, answered or not
        self.refused: httpx2.Response | None = None  # why frames were not taken
        self.token = ""
        self.transport = self  # `transport.abort()` cuts a WebSocket
        self.url = f"{url}/sse/{kind}"
        self._headers = {**headers, **({"origin": origin} if origin is not None else {})}
        self._http = http or httpx2.AsyncClient(verify=False, trust_env=False)
        self._is_own = http is None
        self._seconds = seconds
        self._came: asyncio.Queue[str | None] = asyncio.Queue()
        self._has_token = asyncio.Event()  # or there will be none
        self._turn = asyncio.Lock()
        self._next = 1
        self._reader: asyncio.Task[None] | None = None

    # ── what comes ──────────────────────────────────────────────────────────────────────────────────────────

    async def _read(self, hello: str | bytes) -> None:
        code = 1006
        try:
            patience = httpx2.Timeout(self._seconds, read=None)
            said = {"content": hello, "headers": self._headers, "timeout": patience}
            async with self._http.stream("POST", self.url, **said) as answer:
                if answer.status_code != 200:
                    await answer.aread()
                    self.refused = answer
                    return
                async for event, data in _events(answer.aiter_bytes()):
                    if event == "connection":
                        self.token = data
                        self._has_token.set()
                    elif event == "close":
                        code = int(data)
                    else:
                        self._came.put_nowait(data)
        except httpx2.HTTPError:
            pass  # the line was cut: 1006
        finally:
            self.close_code = self.close_code or code
            self._has_token.set()
            self._came.put_nowait(None)

    def __aiter__(self) -> Stream:
        return self

    async def __anext__(self) -> str:
        data = await self._came.get()
        if data is None:
            raise StopAsyncIteration
        return data

    # ── what goes ───────────────────────────────────────────────────────────────────────────────────────────

    async def send(self, data: str | bytes) -> None:
        """Returns once the frame has been taken. Raises websockets.ConnectionClosed."""
        async with self._turn:
            if self._reader is None:
                self._reader = asyncio.create_task(self._read(data))
                return
            await self._has_token.wait()
            await self._post(data)
            self._next += 1

    async def _post(self, data: str | bytes) -> None:
        for _ in range(TRIES):
            if self.close_code is not None:
                break
            with contextlib.suppress(httpx2.HTTPError, TimeoutError):
                async with asyncio.timeout(self._seconds):
                    answer = await self.frames(data, self._next)
                while answer.status_code == 429 and self.close_code is None:
                    await asyncio.sleep(0.05)
                    answer = await self.frames(data, self._next)
                if answer.status_code == 204:
                    return
                self.refused = answer
                break
        self.abort()
        raise websockets.ConnectionClosedError(None, None)

    async def frames(self, data: str | bytes, first: int, **headers: str) -> httpx2.Response:
        """One request with frames, whatever becomes of it."""
        self.requests += 1
        said = {**self._headers, "aparte-connection": self.token, "aparte-first": str(first), **headers}
        return await self._http.post(f"{self.url}/frames", content=data, headers=said)

    # ── the end ─────────────────────────────────────────────────────────────────────────────────────────────

    def abort(self) -> None:
        """Leaves without a word."""
        if self._reader is not None:
            self._reader.cancel()

    async def close(self) -> None:
        self.close_code = self.close_code or 1000
        self.abort()
        if self._reader is not None:
            await asyncio.gather(self._reader, return_exceptions=True)
        self._came.put_nowait(None)
        if self._is_own:
            await self._http.aclose()


async def _events(chunks: AsyncIterator[bytes]) -> AsyncIterator[tuple[str, str]]:
    """The name, "" for none, and the data of each event; comments are left out."""
    rest = b""
    async for chunk in chunks:
        *whole, rest = (rest + chunk).split(b"\n\n")
        for block in whole:
            fields = dict(line.split(b": ", 1) for line in block.split(b"\n") if not line.startswith(b":"))
            if fields:
                yield fields.get(b"event", b"").decode(), fields[b"data"].decode()


# ── looking at them ─────────────────────────────────────────────────────────────────────────────────────────────


def line(client: Client) -> Stream:
    assert isinstance(client.socket, Stream)
    return client.socket


async def nobody_left(server: Server) -> None:
    """Nothing is kept of connections that are over."""
    async with asyncio.timeout(3):
        while server.parts.hub.peers or len(server.app.state.streams) or server.app.state.limits.total:  # noqa: ASYNC110 (the server's own counts)
            await asyncio.sleep(0.02)
    assert server.app.state.limits.waiting == 0
    assert len(server.app.state.limits.addresses) == 0


async def stranger(server: Server, hello: str | bytes = "") -> Client:
    """Somebody whose first frame is this, else a hello as it should be."""
    client = Client(await server.socket("visitor"))
    server.clients.append(client)
    good = json.dumps({"t": "hello", "v": 1, "site": SITE, "token": new_visitor_token()})
    await client.socket.send(good if hello == "" else hello)
    return client


def code(answer: httpx2.Response | None) -> tuple[int, str]:
    assert answer is not None
    return answer.status_code, answer.json()["code"]
