"""The handlers of frames that visitors and agents may send alike."""

from __future__ import annotations

from typing import Any

from aparte import frames
from aparte.actions import following, marks
from aparte.errors import BadFrame
from aparte.ws.socket import Socket


async def mark(socket: Socket, frame: frames.Mark) -> None:
    socket.require_watched(frame.conversation)
    marks.note(socket.parts, socket.peer, frame)


async def history(socket: Socket, frame: frames.History) -> None:
    socket.peer.say(await following.history(socket.parts, socket.peer, frame.conversation, frame.before))


async def resync(socket: Socket, frame: frames.Resync) -> None:
    socket.require_watched(frame.conversation)
    epoch = socket.parts.store.epoch
    await following.follow(socket.parts, socket.peer, frame.conversation, frame.last_seq, epoch)


async def ping(socket: Socket, _frame: frames.Ping) -> None:
    positions = {thread: watch.sent for thread, watch in socket.peer.watched.items()}
    socket.peer.say(frames.Pos(socket.parts.store.now(), positions), lasting=False)


async def again(_socket: Socket, _frame: Any) -> None:
    raise BadFrame("Hello was said already.")
