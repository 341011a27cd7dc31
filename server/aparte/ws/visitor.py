"""What a visitor may send: a handler for each frame, and its rule."""

from __future__ import annotations

from typing import Final

from aparte import frames
from aparte.actions import checks, door, following, nodes, reading, threads, tokens
from aparte.store import Connection
from aparte.ws import both
from aparte.ws.socket import Rule, Socket


async def _open(socket: Socket, frame: frames.Open) -> None:
    assert socket.site is not None
    opening = threads.Opening(
        frame.cid, frame.text, frame.name, frame.page, frame.title, socket.browser[:300], socket.lang
    )
    opened = await threads.open_thread(socket.parts, socket.site.id, socket.token, opening, socket.address)
    socket.peer.caller = opened.caller
    thread = opened.written.conversation

    def view(connection: Connection) -> frames.VisitorView:
        row = door.see(connection, opened.caller, thread)
        return reading.visitor_view(socket.parts, connection, row, socket.lang)

    socket.peer.say(frames.Opened(frame.cid, await socket.parts.store.read(view)))
    await following.follow(socket.parts, socket.peer, thread, 0, socket.parts.store.epoch)


def _say(socket: Socket, frame: frames.Post) -> None:
    socket.post(frame.cid, frame.conversation, frame.text, socket.visitor)


async def _visitor_types(socket: Socket, frame: frames.Typing) -> None:
    socket.require_watched(frame.conversation)
    nodes.tell_typing(socket.parts, frame.conversation, staff=False)


async def _start_check(socket: Socket, frame: frames.StartCheck) -> None:
    written = await checks.start(socket.parts, socket.visitor, frame.cid, frame.conversation, frame.reference)
    socket.acknowledge(frame.cid, written)


async def _code(socket: Socket, frame: frames.Code) -> None:
    written, token = await checks.answer(
        socket.parts, socket.visitor, frame.cid, frame.conversation, frame.check, frame.code
    )
    socket.acknowledge(frame.cid, written)
    socket.peer.say(frames.NewToken(token))


async def _resend(socket: Socket, frame: frames.Resend) -> None:
    socket.acknowledge(
        frame.cid, await checks.resend(socket.parts, socket.visitor, frame.cid, frame.conversation, frame.check)
    )


async def _end(socket: Socket, frame: frames.End) -> None:
    socket.acknowledge(frame.cid, await threads.close(socket.parts, socket.visitor, frame.cid, frame.conversation))


async def _token_kept(socket: Socket, _frame: frames.TokenKept) -> None:
    await tokens.keep(socket.parts, socket.visitor, socket.peer)


RULES: Final[dict[type, Rule]] = {
    frames.VisitorHello: Rule(both.again),
    frames.Open: Rule(_open, counts="opened"),
    frames.Post: Rule(_say, counts="said", at_once=True),
    frames.Typing: Rule(_visitor_types, counts="typed"),
    frames.Mark: Rule(both.mark),
    frames.History: Rule(both.history, counts="looked"),
    frames.Resync: Rule(both.resync, counts="looked"),
    frames.StartCheck: Rule(_start_check, counts="said"),
    frames.Code: Rule(_code, counts="said"),
    frames.Resend: Rule(_resend, counts="said"),
    frames.End: Rule(_end, counts="said"),
    frames.TokenKept: Rule(_token_kept),
    frames.Ping: Rule(both.ping),
}
