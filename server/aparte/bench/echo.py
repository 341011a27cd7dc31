"""The floor: a bare Starlette echo under the product's own server settings, in a process of its own.

`python -m aparte.bench.echo PORT`. Knows nothing of the product but how its server is configured.
"""

from __future__ import annotations

import asyncio
import sys

import uvicorn
import uvloop
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from aparte.frames import FRAME_BYTES


async def _echo(socket: WebSocket) -> None:
    await socket.accept()
    try:
        while True:
            await socket.send_text(await socket.receive_text())
    except WebSocketDisconnect:
        return


_crowd: set[WebSocket] = set()


async def _listener(socket: WebSocket) -> None:
    await socket.accept()
    _crowd.add(socket)
    try:
        await socket.receive_text()
    except WebSocketDisconnect:
        _crowd.discard(socket)


async def _speaker(socket: WebSocket) -> None:
    """What it says goes to the whole crowd: encoded once, sent in a loop."""
    await socket.accept()
    try:
        while True:
            text = await socket.receive_text()
            for one in list(_crowd):
                await one.send_text(text)
    except WebSocketDisconnect:
        return


def server(port: int) -> uvicorn.Server:
    """The echo server, with what `aparte.app.server_for` sets: the same protocol, sizes, no compression, no log."""
    config = uvicorn.Config(
        Starlette(
            routes=[
                WebSocketRoute("/", _echo),
                WebSocketRoute("/crowd", _listener),
                WebSocketRoute("/crowd/speaker", _speaker),
            ]
        ),
        host="127.0.0.1",
        port=port,
        loop="none",
        ws="websockets-sansio",
        ws_max_size=FRAME_BYTES,
        ws_per_message_deflate=False,
        proxy_headers=False,
        server_header=False,
        access_log=False,
        log_config=None,
        lifespan="off",
    )
    return uvicorn.Server(config)


def main() -> None:
    """Serves until SIGTERM."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(server(int(sys.argv[1])).serve())


if __name__ == "__main__":
    main()
