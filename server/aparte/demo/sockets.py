"""Sockets of the demo: bound before the servers start, so that each knows its address; loopback only.

Knows addresses and ports. Must not know what listens on them.
"""

from __future__ import annotations

import socket
from typing import Final

LOOPBACK: Final = "127.0.0.1"


def loopback_socket(port: int = 0) -> socket.socket:
    """A socket bound to the loopback address, for `uvicorn.Server.serve(sockets=[...])` or `loop.create_server`.

    Args: port 0 takes a free one; `port_of` tells which. Raises OSError when the port is taken.
    """
    # With the protocol named, the event loop sends small frames at once (TCP_NODELAY); without it each second one
    # would wait 40 ms for the acknowledgement of the first.
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((LOOPBACK, port))
        bound.setblocking(False)
    except OSError:
        bound.close()
        raise
    return bound


def port_of(bound: socket.socket) -> int:
    """The port that a socket is bound to."""
    port: int = bound.getsockname()[1]
    return port
