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


def server(port: int) -> uvicorn.Server:
    """The echo server, with what `aparte.app.server_for` sets: the same protocol, sizes, no compression, no log."""
    config = uvicorn.Config(
        Starlette(routes=[WebSocketRoute("/", _echo)]),
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
