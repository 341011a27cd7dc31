"""Twin of hub.py: bounded outboxes, and nobody waits for anybody."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
import structlog.testing

from aparte.frames import AssignedBody, Drain, Face, MessageBody, NoteBody, Pos, SomeoneTypes
from aparte.hub import Hub
from aparte.model import Agent, AgentCaller, Role, Site, VisitorCaller
from aparte.peers import SLOW, Peer
from aparte.store import Directory, Stored
from wires import Wire

VISITOR = VisitorCaller("s", "v", "air")
AGENT = AgentCaller("00", Agent("a", "Claire", "claire@airline.example", Role.AGENT))
THREAD = "t" * 22


Joined = Callable[..., tuple[Wire, Peer]]


@pytest.fixture
def joined() -> Joined:
    """Makes a peer and the wire that it writes to."""

    def make(caller: Any = VISITOR, *, frames: int = 8, size: int = 10_000, stalled: float = 0.1) -> tuple[Wire, Peer]:
        wire = Wire()
        peer = Peer(wire, wire.close, frames, size, stalled, caller)
        return wire, peer

    return make


@pytest.fixture
def hub() -> Hub:
    directory = Directory({"air": Site("air", "Air", desk="Desk")}, {"a": AGENT.agent})
    return Hub(directory)


def event(number: int, *, visible: bool = True, text: str = "", visitor: int = 0) -> Stored:
    body = MessageBody(text or f"text {number}") if visible else NoteBody("note")
    kind = "message" if visible else "note"
    return Stored(THREAD, number, (visitor or number) if visible else None, "i", kind, "visitor", "v", 0.0, body)


async def turn() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def live(hub: Hub, peer: Peer) -> None:
    hub.join(peer)
    assert hub.caught_up(peer, THREAD, hub.watch(peer, THREAD, 0))


# ── one peer ────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_it_sends_in_order(joined: Joined) -> None:
    wire, peer = joined()
    for after in range(5):
        peer.say(Drain(float(after)))
    await turn()
    assert [frame["after"] for frame in wire.came] == [0.0, 1.0, 2.0, 3.0, 4.0]


async def test_it_ends_a_peer_whose_outbox_is_full(joined: Joined) -> None:
    wire, peer = joined(frames=4)
    wire.open.clear()
    await turn()
    for after in range(20):
        peer.say(Drain(float(after)))
    assert peer.ending == SLOW
    assert len(peer._frames) == 4
    wire.open.set()
    await turn()
    assert wire.closed == [SLOW]
    assert len(wire.came) <= 1  # a slow peer resumes: nobody pushes its backlog through before the end
    await asyncio.wait_for(wire.aborted.wait(), 1)


async def test_it_bounds_the_outbox_in_bytes_too(joined: Joined) -> None:
    wire, peer = joined(frames=1000, size=500)
    wire.open.clear()
    await turn()
    for _ in range(100):
        peer.push(b'"' + b"x" * 98 + b'"')
    assert peer.ending == SLOW
    assert peer._bytes <= 500


async def test_an_empty_outbox_takes_a_frame_of_any_size(joined: Joined) -> None:
    wire, peer = joined(size=500)
    await turn()
    peer.push(b'{"t":"' + b"x" * 2000 + b'"}')
    assert peer.ending is None
    await turn()
    assert len(wire.came) == 1
    wire.open.clear()
    peer.push(b'{"t":"' + b"x" * 2000 + b'"}')
    peer.say(Drain(0.0))  # beside it, nothing more
    assert peer.ending == SLOW


async def test_it_cuts_a_peer_that_takes_nothing(joined: Joined) -> None:
    wire, peer = joined(stalled=0.05)
    wire.open.clear()
    peer.say(Drain(0.0))
    await turn()
    peer.end(1001)
    await asyncio.wait_for(wire.aborted.wait(), 1)
    assert wire.closed == []  # the close frame never got through, and nobody waited for it


async def test_it_drops_what_is_ephemeral_first(joined: Joined) -> None:
    wire, peer = joined(frames=4)
    wire.open.clear()
    await turn()
    for _ in range(4):
        peer.say(Drain(0.0))
    for _ in range(100):
        peer.say(Pos(0.0), lasting=False)
    assert peer.ending is None
    wire.open.set()
    await turn()
    assert "pos" not in {frame["t"] for frame in wire.came}
    assert len(wire.came) == 4


async def test_it_says_what_is_queued_before_it_ends(joined: Joined) -> None:
    wire, peer = joined()
    peer.say(Drain(1.0))
    peer.end(1001)
    peer.say(Drain(2.0))  # too late
    await turn()
    assert [frame["after"] for frame in wire.came] == [1.0]
    assert wire.closed == [1001]


async def test_it_says_nothing_more_when_it_is_cut(joined: Joined) -> None:
    wire, peer = joined()
    peer.say(Drain(1.0))
    peer.cut(4401)
    await turn()
    assert wire.came == []
    assert wire.closed == [4401]


async def test_it_ends_once_with_the_first_code(joined: Joined) -> None:
    wire, peer = joined()
    peer.end(1001)
    peer.end(4401)
    await turn()
    assert wire.closed == [1001]


async def test_it_waits_for_room_before_more_of_a_backlog(joined: Joined) -> None:
    wire, peer = joined(frames=8)
    wire.open.clear()
    await turn()
    for _ in range(6):
        peer.say(Drain(0.0))
    waiting = asyncio.create_task(peer.room())
    await turn()
    assert not waiting.done()
    wire.open.set()
    await asyncio.wait_for(waiting, 1)
    assert len(peer._frames) <= 4


async def test_it_does_not_wait_for_room_in_a_peer_that_ends(joined: Joined) -> None:
    wire, peer = joined(frames=4)
    wire.open.clear()
    await turn()
    for _ in range(4):
        peer.say(Drain(0.0))
    waiting = asyncio.create_task(peer.room())
    await turn()
    peer.end(1001)
    await asyncio.wait_for(waiting, 1)


# ── audiences ───────────────────────────────────────────────────────────────────────────────────────────────────


async def test_it_gives_each_audience_its_own_numbers(hub: Hub, joined: Joined) -> None:
    (visitor, one), (staff, two) = joined(), joined(AGENT)
    live(hub, one)
    live(hub, two)
    hub.publish([event(1), event(2, visible=False), event(3, visitor=2)])
    hub.publish([event(4, visible=False)])
    await turn()
    assert visitor.numbers == [1, 2]
    assert staff.numbers == [1, 2, 3, 4]


async def test_it_gives_each_reader_the_desks_name_in_the_own_language(joined: Joined) -> None:
    site = Site("air", "Air", desk="Desk", desks=(("fr", "Bureau"),))
    hub = Hub(Directory({"air": site}, {"a": AGENT.agent}))
    made = [joined() for _ in range(4)]
    for (_, peer), lang in zip(made, ("en", "fr", "en", "fr"), strict=True):
        peer.lang = lang
        live(hub, peer)
    assigned = event(1)
    assigned.kind, assigned.body = "assigned", AssignedBody(Face("Claire", "Desk"), "a")
    hub.publish([assigned])
    await turn()
    assert [wire.came[0]["body"]["agent"]["role"] for wire, _ in made] == ["Desk", "Bureau", "Desk", "Bureau"]


async def test_it_tells_nobody_but_those_who_watch(hub: Hub, joined: Joined) -> None:
    wire, peer = joined()
    live(hub, peer)
    other = event(1)
    other.conversation = "o" * 22
    hub.publish([other])
    hub.unwatch(peer, THREAD)
    hub.publish([event(1)])
    await turn()
    assert wire.came == []
    assert hub._rooms == {}


async def test_a_slow_reader_holds_up_nobody(hub: Hub, joined: Joined) -> None:
    slow, one = joined(frames=4)
    others = [joined(frames=64) for _ in range(20)]
    for peer in (one, *(peer for _, peer in others)):
        live(hub, peer)
    slow.open.clear()
    for number in range(1, 51):
        hub.publish([event(number)])
        await turn()
    assert all(wire.numbers == list(range(1, 51)) for wire, _ in others)
    assert one.ending == SLOW
    assert all(peer.ending is None for _, peer in others)
    await asyncio.wait_for(slow.aborted.wait(), 1)


async def test_an_event_that_cannot_be_shown_ends_its_own_room_alone(hub: Hub, joined: Joined) -> None:
    (there, one), (here, two) = joined(), joined()
    live(hub, one)
    other = "o" * 22
    hub.join(two)
    assert hub.caught_up(two, other, hub.watch(two, other, 0))
    broken, good = event(1), event(1)
    broken.kind, good.conversation = "a kind without a view", other
    with structlog.testing.capture_logs() as logged:
        hub.publish([broken, good])
    await turn()
    assert [entry["event"] for entry in logged] == ["hub.fault"]
    assert there.closed == [SLOW]  # the client resumes and reads it from the store
    assert here.numbers == [1]
    assert two.ending is None


async def test_a_line_that_fails_in_the_middle_of_much_takes_no_other_with_it(hub: Hub, joined: Joined) -> None:
    (broken, one), (here, two) = joined(frames=2), joined()
    live(hub, one)
    live(hub, two)
    broken.write_texts = lambda _texts: 1 / 0  # type: ignore[assignment, method-assign]  # a fault is planted in it
    with structlog.testing.capture_logs() as logged:
        hub.publish([event(number) for number in range(1, 6)])
        await turn()
    assert {entry["event"] for entry in logged} == {"hub.fault"}
    assert broken.aborted.is_set()
    assert here.numbers == [1, 2, 3, 4, 5]
    assert two.ending is None


async def test_who_is_being_ended_is_not_waited_for(hub: Hub, joined: Joined) -> None:
    wire, peer = joined(stalled=30.0)
    live(hub, peer)
    wire.open.clear()
    peer.say(Drain(0.0))
    peer.end(SLOW)
    hub.hint(THREAD, 5, 5)
    assert hub.behind == set()
    assert hub.gap(THREAD, staff=False) is None


async def test_who_is_being_ended_does_not_go_live(hub: Hub, joined: Joined) -> None:
    _, peer = joined()
    hub.join(peer)
    watch = hub.watch(peer, THREAD, 0)
    peer.end(SLOW)
    assert hub.caught_up(peer, THREAD, watch)  # there is nothing more to read
    assert not watch.is_live


async def test_it_is_live_only_when_nothing_came_meanwhile(hub: Hub, joined: Joined) -> None:
    wire, peer = joined()
    watch = hub.watch(peer, THREAD, 0)
    hub.publish([event(1), event(2)])  # between subscribing and reading: the database has them
    await turn()
    assert wire.came == []
    watch.sent = 1
    assert not hub.caught_up(peer, THREAD, watch)
    watch.sent = 2
    assert hub.caught_up(peer, THREAD, watch)
    hub.publish([event(2), event(3)])  # a double is dropped
    await turn()
    assert wire.numbers == [3]


async def test_it_does_not_count_hidden_events_against_a_visitor(hub: Hub, joined: Joined) -> None:
    _, peer = joined()
    watch = hub.watch(peer, THREAD, 0)
    hub.publish([event(1, visible=False)])
    assert hub.caught_up(peer, THREAD, watch)


async def test_it_tells_typing_to_the_other_side_alone(hub: Hub, joined: Joined) -> None:
    (visitor, one), (staff, two), (colleague, three) = joined(), joined(AGENT), joined(AGENT)
    for peer in (one, two, three):
        live(hub, peer)
    hub.tell(THREAD, SomeoneTypes(THREAD, "visitor"), staff=True)
    await turn()
    assert [len(wire.came) for wire in (visitor, staff, colleague)] == [0, 1, 1]


async def test_it_knows_who_is_at_the_desk(hub: Hub, joined: Joined) -> None:
    (_, one), (_, two) = joined(), joined(AGENT)
    hub.join(one)
    hub.join(two)
    assert hub.online() == {"a"}
    assert hub.agents() == [two]
    assert hub.peers == {one, two}
    hub.watch(two, THREAD, 0)
    hub.leave(two)
    assert hub.online() == set()
    assert hub._rooms == {}


# ── several nodes ───────────────────────────────────────────────────────────────────────────────────────────────


async def test_it_sends_nothing_over_a_gap_and_says_that_there_is_one(hub: Hub, joined: Joined) -> None:
    wire, peer = joined()
    live(hub, peer)
    called: list[bool] = []
    hub.on_behind = lambda: called.append(True)
    hub.publish([event(1), event(3)])
    await turn()
    assert wire.numbers == [1]
    assert (hub.behind, called) == ({THREAD}, [True])
    assert hub.gap(THREAD, staff=False) == (1, 3)
    assert hub.gap(THREAD, staff=True) is None
    hub.deliver(THREAD, [event(2), event(3)], staff=False)
    hub.publish([event(4)])
    await turn()
    assert wire.numbers == [1, 2, 3, 4]


async def test_a_hint_says_who_is_behind(hub: Hub, joined: Joined) -> None:
    (_, one), (_, two) = joined(), joined(AGENT)
    live(hub, one)
    live(hub, two)
    hub.publish([event(1), event(2, visible=False)])
    hub.changed.clear()
    hub.hint(THREAD, 2, 1)  # known
    hub.hint("elsewhere", 9, 9)  # nobody is there
    assert (hub.behind, hub.changed) == (set(), set())
    hub.hint(THREAD, 3, 1)  # a note
    assert (hub.behind, hub.changed) == ({THREAD}, {THREAD})


async def test_who_comes_in_reads_on_when_a_hint_came_meanwhile(hub: Hub, joined: Joined) -> None:
    _, peer = joined()
    hub.join(peer)
    watch = hub.watch(peer, THREAD, 4)
    hub.hint(THREAD, 7, 5)
    assert not hub.caught_up(peer, THREAD, watch)
    assert hub.behind == set()  # the reading goes on by itself
    watch.sent = 5
    assert hub.caught_up(peer, THREAD, watch)
