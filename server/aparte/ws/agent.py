"""What an agent may send: a handler for each frame, and its rule."""

from __future__ import annotations

from typing import Final

from aparte import frames
from aparte.actions import acts, checks, door, following, messages, nodes, threads
from aparte.errors import NotFound, TooMany
from aparte.ws import both
from aparte.ws.socket import Rule, Socket


async def _watch(socket: Socket, frame: frames.Watch) -> None:
    if len(socket.peer.watched) >= frames.MAX_WATCHED and frame.conversation not in socket.peer.watched:
        raise TooMany("Too many conversations are open on this screen. Close some tabs.")
    epoch = socket.parts.store.epoch
    try:
        await following.follow(socket.parts, socket.peer, frame.conversation, frame.last_seq, epoch)
    except NotFound:
        socket.peer.say(following.lost(frame.conversation))


async def _unwatch(socket: Socket, frame: frames.Unwatch) -> None:
    socket.parts.hub.unwatch(socket.peer, frame.conversation)


async def _claim(socket: Socket, frame: frames.Claim) -> None:
    socket.acknowledge(frame.cid, await threads.claim(socket.parts, socket.agent, frame.cid, frame.conversation))


def _reply(socket: Socket, frame: frames.Post) -> None:
    socket.post(frame.cid, frame.conversation, frame.text, socket.agent)


async def _note(socket: Socket, frame: frames.Note) -> None:
    written = await messages.note(socket.parts, socket.agent, frame.conversation, frame.cid, frame.text)
    socket.acknowledge(frame.cid, written)


async def _transfer(socket: Socket, frame: frames.Transfer) -> None:
    written = await threads.transfer(socket.parts, socket.agent, frame.cid, frame.conversation, frame.agent)
    socket.acknowledge(frame.cid, written)


async def _close(socket: Socket, frame: frames.Close) -> None:
    socket.acknowledge(frame.cid, await threads.close(socket.parts, socket.agent, frame.cid, frame.conversation))


async def _agent_types(socket: Socket, frame: frames.Typing) -> None:
    socket.require_watched(frame.conversation)
    row = await socket.parts.store.read(lambda c: door.see(c, socket.agent, frame.conversation))
    if row.agent_id != socket.agent.agent.id:
        return  # who only looks on does not show
    nodes.tell_typing(socket.parts, frame.conversation, staff=True)


async def _ask_check(socket: Socket, frame: frames.AskCheck) -> None:
    written = await checks.ask(socket.parts, socket.agent, frame.cid, frame.conversation, frame.reference)
    socket.acknowledge(frame.cid, written)


async def _drop_held(socket: Socket, frame: frames.DropHeld) -> None:
    written = await messages.drop_held(socket.parts, socket.agent, frame.cid, frame.conversation, frame.held)
    socket.acknowledge(frame.cid, written)


async def _override(socket: Socket, frame: frames.Override) -> None:
    written = await messages.override(
        socket.parts, socket.agent, frame.cid, frame.conversation, frame.held, frame.reason
    )
    socket.acknowledge(frame.cid, written)


async def _show_record(socket: Socket, frame: frames.ShowRecord) -> None:
    socket.peer.say(await acts.show_record(socket.parts, socket.agent, frame.cid, frame.conversation, frame.lang))


async def _change(socket: Socket, frame: frames.Change) -> None:
    written = await acts.change(socket.parts, socket.agent, frame.cid, frame.conversation, frame.option)
    socket.acknowledge(frame.cid, written)


async def _unfreeze(socket: Socket, frame: frames.Unfreeze) -> None:
    written = await threads.unfreeze(socket.parts, socket.agent, frame.cid, frame.conversation, frame.reason)
    socket.acknowledge(frame.cid, written)


RULES: Final[dict[type, Rule]] = {
    frames.AgentHello: Rule(both.again),
    frames.Watch: Rule(_watch, counts="looked"),
    frames.Unwatch: Rule(_unwatch),
    frames.Claim: Rule(_claim, counts="replied"),
    frames.Post: Rule(_reply, counts="replied", at_once=True),
    frames.Note: Rule(_note, counts="replied"),
    frames.Transfer: Rule(_transfer, counts="replied"),
    frames.Close: Rule(_close, counts="replied"),
    frames.Typing: Rule(_agent_types, counts="typed"),
    frames.Mark: Rule(both.mark),
    frames.History: Rule(both.history, counts="looked"),
    frames.Resync: Rule(both.resync, counts="looked"),
    frames.AskCheck: Rule(_ask_check, counts="replied"),
    frames.DropHeld: Rule(_drop_held, counts="replied"),
    frames.Override: Rule(_override, counts="replied"),
    frames.ShowRecord: Rule(_show_record, counts="replied", aside=True),
    frames.Change: Rule(_change, counts="replied"),
    frames.Unfreeze: Rule(_unfreeze, counts="replied"),
    frames.Ping: Rule(both.ping),
}
