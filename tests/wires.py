"""The far end of a peer's connection, for tests of the hub: it takes frames while it is open, and keeps them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable
from typing import Any


class Gate(asyncio.Event):
    """Open: the wire takes frames, and its peer is told."""

    def __init__(self, wire: Wire) -> None:
        super().__init__()
        self.wire = wire

    def set(self) -> None:
        super().set()
        if self.wire.on_room is not None:
            self.wire.on_room()


class Wire:
    """The far end of a peer: takes frames while it is open."""

    is_open = True

    def __init__(self) -> None:
        self.came: list[dict[str, Any]] = []
        self.closed: list[int] = []
        self.aborted = asyncio.Event()
        self.on_room: Callable[[], None] | None = None
        self.open = Gate(self)
        self.open.set()

    @property
    def has_room(self) -> bool:
        return self.open.is_set()

    def write_texts(self, texts: Iterable[bytes]) -> None:
        self.came += [json.loads(text) for text in texts]

    def abort(self) -> None:
        self.aborted.set()

    async def close(self, code: int) -> None:
        await self.open.wait()
        self.closed.append(code)

    @property
    def numbers(self) -> list[int]:
        return [frame["seq"] for frame in self.came if frame["t"] == "event"]
