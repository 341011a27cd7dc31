"""SCOREBOARD 25: every frame × every foreign id × everybody: only the allowed cells succeed.

What is not there and what is not yours give the same answer, byte for byte, but for the ids. A new frame fails here
until it has its row; see test_access_routes.py for the routes.

Watched to fail: `door.see`, `door.enter`, `may_see` and `may_act` that let everybody in; marks and typing that ask for no
watching; a held message found without its conversation; a refusal with a sentence of its own for what exists; a claim
that takes what a colleague has; a thread that stays on the screen that gave it away; a client id that counts beyond its
conversation; a first frame that is no hello; an unfreeze by anybody; a rule taken out of a table.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, get_args

import pytest

from aparte import frames, ws
from aparte.app import create_app
from clients import AgentDesk, Client, Frame, Visitor, new_cid
from harness import BOOKING, Server, Start, settings_in

ABSENT = "A" * 22
RAISED = {"messages_per_10s": 10_000, "agent_messages_per_10s": 10_000, "frames_per_10s": 10_000}
PASSING = ("pos", "presence", "inbox", "gone", "desk", "marks", "typing", "token")  # may come at any time


@pytest.fixture
async def server(start: Start) -> AsyncIterator[Server]:
    """One whose limits do not answer in place of the door."""
    async with start(**RAISED, sockets_per_address=1000) as running:
        yield running


@dataclasses.dataclass
class Scene:
    """A conversation with everything that has an id, and the two who may use it."""

    visitor: Visitor
    desk: AgentDesk
    thread: str
    check: str
    held: str

    def ids(self) -> dict[str, str]:
        return {"conversation": self.thread, "check": self.check, "held": self.held}


async def scene(server: Server, desk: AgentDesk, *, is_claimed: bool = True) -> Scene:
    visitor = await server.visitor()
    thread = await visitor.open("Hello")
    await visitor.do("start_check", conversation=thread, reference=BOOKING)
    check = (await visitor.check("started"))["id"]
    held = ABSENT
    if is_claimed:
        await desk.take(thread)
        held = (await desk.reply(thread, "Your flight to Toronto is booked."))["held"]
        await desk.settle()
    await visitor.settle()
    return Scene(visitor, desk, thread, check, held)


Ids = dict[str, str]


@dataclasses.dataclass(frozen=True)
class Row:
    """How a frame is made, what it says to those who may, and what to those who may not."""

    fields: Callable[[Ids], dict[str, Any]]
    well: str  # the type of the answer, or the code of the error, in one's own conversation; "": none
    foreign: str = "not_found"  # with a conversation that is not one's own
    other_id: str = ""  # with the own conversation and another's check or held message; "": carries none
    queued: str = "bad_state"  # an agent, before claiming
    lead: str = ""  # a supervisor's answer, where it is not `well`


def only(**more: Any) -> Callable[[Ids], dict[str, Any]]:
    """The conversation, and these."""
    return lambda ids: {"conversation": ids["conversation"], **more}


def nothing(**more: Any) -> Callable[[Ids], dict[str, Any]]:
    return lambda _ids: more


VISITOR: dict[type, Row] = {
    frames.VisitorHello: Row(nothing(v=1, site="air", token="t" * 43), "bad_frame", "bad_frame"),
    frames.Open: Row(nothing(text="Hello?"), "opened", "opened"),
    frames.Post: Row(only(text="Hello?"), "ack"),
    frames.Typing: Row(only(), ""),
    frames.Mark: Row(only(delivered=1, read=1), ""),
    frames.History: Row(only(before=3), "events"),
    frames.Resync: Row(only(last_seq=0), "reset"),
    frames.StartCheck: Row(only(reference=BOOKING), "ack"),
    frames.Code: Row(
        lambda i: {**only()(i), "check": i["check"], "code": "0" * 8}, "code_refused", other_id="code_refused"
    ),
    frames.Resend: Row(lambda i: {**only()(i), "check": i["check"]}, "ack", other_id="bad_state"),
    frames.End: Row(only(), "ack"),
    frames.TokenKept: Row(nothing(), "", ""),
    frames.Ping: Row(nothing(), "", ""),
}
AGENT: dict[type, Row] = {
    frames.AgentHello: Row(nothing(v=1, ticket="x"), "bad_frame", "bad_frame", queued="bad_frame"),
    frames.Watch: Row(only(), "reset", queued="reset"),
    frames.Unwatch: Row(only(), "", "", queued=""),
    frames.Claim: Row(only(), "ack", queued="ack", lead="bad_state"),
    frames.Post: Row(only(text="Good morning"), "ack"),
    frames.Note: Row(only(text="He sounds tired"), "ack"),
    frames.Transfer: Row(lambda i: {**only()(i), "agent": i["agent"]}, "ack"),
    frames.Close: Row(only(), "ack"),
    frames.Typing: Row(only(), "", queued="not_found"),
    frames.Mark: Row(only(delivered=1, read=1), "", queued="not_found"),
    frames.History: Row(only(before=3), "events", queued="not_found"),
    frames.Resync: Row(only(last_seq=0), "reset", queued="not_found"),
    frames.AskCheck: Row(only(reference=BOOKING), "ack"),
    frames.DropHeld: Row(lambda i: {**only()(i), "held": i["held"]}, "ack", other_id="not_found"),
    frames.Override: Row(lambda i: {**only(reason="He showed me")(i), "held": i["held"]}, "ack", other_id="not_found"),
    frames.ShowRecord: Row(only(), "needs_check"),
    frames.Change: Row(only(option="any"), "needs_check"),
    frames.Unfreeze: Row(only(reason="He called us"), "not_found", queued="bad_state", lead="ack"),
    frames.Ping: Row(nothing(), "", "", queued=""),
}


def tag(kind: type) -> str:
    return str(kind.__struct_config__.tag)  # type: ignore[attr-defined]  # msgspec puts it on each frame


async def said(client: Client, kind: type, row: Row, ids: Ids) -> list[Frame]:
    """What the server says to this frame."""
    start = len(client.raw)
    fields = row.fields(ids)
    if "cid" in kind.__struct_fields__:  # type: ignore[attr-defined]  # of msgspec
        await client.ask(tag(kind), **fields, cid=ids["cid"])
    else:
        await client.send(tag(kind), **fields)
    await client.settle()
    return [frame for frame in map(json.loads, client.raw[start:]) if frame["t"] not in PASSING]


def verdict(answers: list[Frame]) -> str:
    """Whether it was done; else the code of the error, else the type of the first answer that is no event."""
    if any(frame["t"] == "ack" for frame in answers):
        return "ack"  # a screen that gave a conversation away is told as well that it has lost it
    for frame in answers:
        if frame["t"] == "error":
            return str(frame["code"])
    return next((frame["t"] for frame in answers if frame["t"] != "event"), "")


def blind(answers: list[Frame], ids: Ids) -> str:
    """The answers without the ids."""
    text = json.dumps(answers)
    for value in ids.values():
        text = text.replace(value, "*")
    return text


def kept(server: Server, one: Scene) -> list[list[tuple[Any, ...]]]:
    """All rows about a conversation."""
    tables = ("event", "held", "identity_check", "outbox", "audit")
    found = [
        server.rows(f"SELECT * FROM {table} WHERE conversation_id = ? ORDER BY 1, 2, 3", one.thread) for table in tables
    ]
    return [*found, server.rows("SELECT * FROM conversation WHERE id = ?", one.thread)]


# ── the tables are whole ────────────────────────────────────────────────────────────────────────────────────────


def test_every_frame_has_its_row_here() -> None:
    assert set(VISITOR) == set(get_args(frames.FromVisitor))
    assert set(AGENT) == set(get_args(frames.FromAgent))


@pytest.mark.parametrize("table", [ws.visitor.RULES, ws.agent.RULES], ids=["visitor", "agent"])
def test_it_does_not_start_with_a_frame_without_a_rule(
    table: dict[type, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for kind in list(table):
        with monkeypatch.context() as patch:
            patch.delitem(table, kind)
            with pytest.raises(ws.Unexpected, match="without a rule"):
                create_app(settings_in(tmp_path))
    create_app(settings_in(tmp_path))


@pytest.mark.parametrize("kind", [frames.Typing, frames.History])
def test_it_does_not_start_with_a_frame_that_is_carried_out_at_once_and_may_have_to_wait(
    kind: type, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its limit would count and hold nobody up."""
    rules = ws.visitor.RULES
    monkeypatch.setitem(rules, kind, dataclasses.replace(rules[kind], at_once=True))
    with pytest.raises(ws.Unexpected, match="may have to wait"):
        create_app(settings_in(tmp_path))


# ── what is not one's own ───────────────────────────────────────────────────────────────────────────────────────


async def two_scenes(server: Server) -> tuple[Scene, Scene, Scene, Scene]:
    """Marc's, Claire's, one that waits in the queue, and one that Marc has closed."""
    claire, marc = await server.agent("claire"), await server.agent("marc")
    closed = await scene(server, marc)
    await marc.do("close", conversation=closed.thread)
    return (
        await scene(server, marc),
        await scene(server, claire),
        await scene(server, claire, is_claimed=False),
        closed,
    )


async def test_what_is_anothers_is_as_if_it_were_not_there(server: Server) -> None:
    theirs, own, _, closed = await two_scenes(server)
    stranger = await server.visitor()  # has never written
    agent = server.agent_id("odile")
    await asyncio.gather(rest(server, theirs), rest(server, closed))
    before = [kept(server, theirs), kept(server, closed)]
    told = [len(client.raw) for client in (theirs.visitor, theirs.desk)]
    wrong = []
    for table, people in ((VISITOR, {"other": own.visitor, "stranger": stranger}), (AGENT, {"other": own.desk})):
        for kind, row in table.items():
            for who, client in () if kind is frames.Open else people.items():  # it names no conversation
                for target in (theirs, closed):
                    foreign = {**target.ids(), "agent": agent, "cid": new_cid()}
                    absent = {**dict.fromkeys(target.ids(), ABSENT), "agent": agent, "cid": new_cid()}
                    real, unreal = await said(client, kind, row, foreign), await said(client, kind, row, absent)
                    expected = "not_found" if kind is frames.TokenKept and who == "stranger" else row.foreign
                    if verdict(real) != expected:
                        wrong.append(f"{who} {tag(kind)}: {verdict(real)!r}, not {expected!r}")
                    if blind(real, foreign) != blind(unreal, absent):
                        wrong.append(f"{who} {tag(kind)} tells what exists: {real} / {unreal}")
    assert wrong == []
    await asyncio.sleep(1.2)  # marks are stored once a second
    assert [kept(server, theirs), kept(server, closed)] == before
    news = theirs.visitor.raw[told[0] :] + theirs.desk.raw[told[1] :]
    assert [frame for frame in map(json.loads, news) if frame["t"] not in ("pos", "presence", "inbox", "desk")] == []


async def test_another_conversations_ids_are_worth_nothing_in_ones_own(server: Server) -> None:
    theirs, own, _, _ = await two_scenes(server)
    wrong = []
    before = kept(server, theirs)
    for table, client in ((VISITOR, own.visitor), (AGENT, own.desk)):
        for kind, row in table.items():
            if not row.other_id:
                continue
            foreign = {**theirs.ids(), "conversation": own.thread, "cid": new_cid()}
            absent = {**dict.fromkeys(theirs.ids(), ABSENT), "conversation": own.thread, "cid": new_cid()}
            real, unreal = await said(client, kind, row, foreign), await said(client, kind, row, absent)
            if verdict(real) != row.other_id or blind(real, foreign) != blind(unreal, absent):
                wrong.append(f"{tag(kind)}: {real} / {unreal}")
            # And the other way: the own check or held message in another's conversation.
            crossed = {**own.ids(), "conversation": theirs.thread, "cid": new_cid()}
            if verdict(await said(client, kind, row, crossed)) != "not_found":
                wrong.append(f"{tag(kind)} with a foreign conversation")
    assert wrong == []
    assert kept(server, theirs) == before


@pytest.mark.both_ways
async def test_a_repeated_client_id_of_another_tells_nothing(server: Server) -> None:
    theirs, own, _, _ = await two_scenes(server)
    cid = new_cid()
    await theirs.visitor.do("post", conversation=theirs.thread, text="only mine", cid=cid)
    assert await own.visitor.refused("post", conversation=theirs.thread, text="only mine", cid=cid) == "not_found"
    acked = await own.visitor.do("post", conversation=own.thread, text="something else", cid=cid)
    assert acked["conversation"] == own.thread


# ── the queue, the own ones, the leads ──────────────────────────────────────────────────────────────────────────


async def test_an_agent_looks_at_the_queue_and_acts_in_nothing_before_claiming(server: Server) -> None:
    _, own, queued, _ = await two_scenes(server)
    wrong = []
    rows = [(kind, row) for kind, row in AGENT.items() if kind is not frames.Claim]
    before = server.rows("SELECT COUNT(*) FROM event WHERE conversation_id = ?", queued.thread)
    for kind, row in rows:
        ids = {**queued.ids(), "agent": server.agent_id("odile"), "cid": new_cid()}
        found = verdict(await said(own.desk, kind, row, ids))
        await own.desk.send("unwatch", conversation=queued.thread)
        if found != row.queued:
            wrong.append(f"{tag(kind)}: {found!r}, not {row.queued!r}")
    assert wrong == []
    assert server.rows("SELECT COUNT(*) FROM event WHERE conversation_id = ?", queued.thread) == before


@pytest.mark.parametrize("who", ["visitor", "agent", "lead"])
async def test_who_may_is_served(start: Start, who: str) -> None:
    async with start(**RAISED, sockets_per_address=1000) as server:
        marc, odile = await server.agent("marc"), await server.agent("odile")
        wrong = []
        for kind, row in (VISITOR if who == "visitor" else AGENT).items():
            one = await scene(server, marc)
            client: Client = {"visitor": one.visitor, "agent": marc, "lead": odile}[who]
            if who == "lead":
                await odile.watch(one.thread)
                await odile.settle()
            ids = {**one.ids(), "agent": server.agent_id("claire"), "cid": new_cid()}
            found = verdict(await said(client, kind, row, ids))
            expected = (row.lead if who == "lead" else "") or row.well
            if found != expected:
                wrong.append(f"{tag(kind)}: {found!r}, not {expected!r}")
        assert wrong == []


@pytest.mark.both_ways
async def test_a_colleagues_conversation_is_neither_shown_nor_followed_after_it_was_passed_on(server: Server) -> None:
    _, own, _, _ = await two_scenes(server)
    await own.desk.do("transfer", conversation=own.thread, agent=server.agent_id("marc"))
    await own.desk.settle()
    told = len(own.desk.raw)
    await own.visitor.say(own.thread, "This is for Marc alone")
    await own.desk.settle()
    assert "This is for Marc alone" not in "".join(own.desk.raw[told:])
    assert await own.desk.refused("post", conversation=own.thread, text="Still here?") == "not_found"
    await own.desk.send("watch", conversation=own.thread)
    assert (await own.desk.expect("error"))["code"] == "not_found"


# ── the wrong side, and nobody ──────────────────────────────────────────────────────────────────────────────────


async def test_a_frame_of_the_other_side_is_no_frame(server: Server) -> None:
    own = await scene(server, await server.agent("claire"))
    tags = {tag(kind) for kind in VISITOR}
    for kind, row in AGENT.items():
        if tag(kind) not in tags:
            answers = await said(own.visitor, kind, row, {**own.ids(), "agent": ABSENT, "cid": new_cid()})
            assert verdict(answers) == "bad_frame", tag(kind)
    tags = {tag(kind) for kind in AGENT}
    for kind, row in VISITOR.items():
        if tag(kind) not in tags:
            answers = await said(own.desk, kind, row, {**own.ids(), "cid": new_cid()})
            assert verdict(answers) == "bad_frame", tag(kind)


@pytest.mark.both_ways
@pytest.mark.parametrize("side", ["visitor", "agent"])
async def test_nobody_is_served_before_hello(start: Start, side: str) -> None:
    async with start(sockets_per_address=1000) as server:
        desk = await server.agent("claire")
        own = await scene(server, desk)
        rows = kept(server, own)
        for kind, row in (VISITOR if side == "visitor" else AGENT).items():
            socket = await server.socket(side, cookie=desk.cookie if side == "agent" else "")
            client = Client(socket)
            await client.send(tag(kind), **{**row.fields({**own.ids(), "agent": ABSENT}), "cid": new_cid()})
            await client.closed()
            assert own.thread not in client.everything, tag(kind)
            assert [json.loads(one)["t"] for one in client.raw] in (["error"], ["welcome"]), tag(kind)
        assert kept(server, own)[0] == rows[0]


async def rest(server: Server, one: Scene) -> None:
    """Returns once what the scene left to do is done: its letter has gone, its marks are stored."""
    for _ in range(100):
        if not server.rows("SELECT 1 FROM outbox WHERE conversation_id = ? AND state = 'waiting'", one.thread):
            await asyncio.sleep(1.1)
            return
        await asyncio.sleep(0.05)
    raise AssertionError("a letter does not leave")
