"""What two nodes on one PostgreSQL must count, decide and end together."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import pytest

from aparte.actions import expiry, nodes, people, rates, sites, threads, tokens
from aparte.errors import TooMany
from aparte.model import Site
from aparte.peers import SLOW
from aparte.store import READERS, Tx, checks, failures
from aparte.vault.server import CONNECTIONS
from checking import tries, wrong
from clients import Visitor, new_cid, new_visitor_token
from harness import BOOKING, PASSWORD, Server, email_of
from pairs import Two, apart, letter_of, two, until
from streams import code, line
from threads import append, make_thread

__all__ = ["two"]

pytestmark = pytest.mark.parametrize("dialect", ["postgresql"], indirect=True)


async def tab(server: Server, visitor: Visitor, thread: str) -> Visitor:
    """The same person, in a tab whose socket is at this node."""
    return await server.visitor(token=visitor.token, conversation=thread)


# ── without sockets ─────────────────────────────────────────────────────────────────────────────────────────────


async def test_frames_at_another_node_than_their_stream_are_refused_and_said_again(two: Two) -> None:
    async with two() as (one, other):
        one.way = other.way = "http"
        visitor, desk, thread = await apart(one, other)
        said = {"conversation": thread, "cid": new_cid(), "text": "Where am I?"}
        shown = {"aparte-connection": line(visitor).token, "aparte-first": "2", "origin": other.url}
        answer = await other.http.post("/sse/visitor/frames", content=json.dumps({"t": "post", **said}), headers=shown)
        assert code(answer) == (404, "connection_gone")
        again = await tab(other, visitor, thread)
        for client in (again, visitor):  # and once more at the first node: the answer to the other may have been lost
            await client.do("post", **said)
        await desk.event("message", text="Where am I?")
        await desk.settle()
        assert desk.heard("message") == [one for one in desk.heard("message") if one["body"]["text"] == "Hello"]


# ── counted together ────────────────────────────────────────────────────────────────────────────────────────────


async def log_in(server: Server, name: str = "claire", password: str = "not this one") -> int:
    answer = await server.post("/api/login", {"email": email_of(name), "password": password})
    if answer.status_code == 429:
        assert 0 < int(answer.headers["retry-after"]) <= 60
    return answer.status_code


async def test_sign_ins_of_an_address_are_counted_over_all_nodes(two: Two) -> None:
    async with two(logins_per_minute=6) as (one, other):
        assert [await log_in(server) for server in (one, one, one, one, other, other)] == [401] * 6
        assert [await log_in(server) for server in (one, other)] == [429, 429]
        # Nor does the right password get in, nor another account from there.
        assert await log_in(other, password=PASSWORD) == 429
        assert await log_in(one, "marc") == 429
        # What is kept of it tells no address and no account.
        kept = one.rows("SELECT scope, key FROM tally WHERE scope LIKE 'rate.%'")
        assert {scope for scope, _ in kept} == {"rate.login", "rate.account"}
        assert all(len(key) == 32 for _, key in kept)
        for server in (one, other):
            server.skip(61)
        assert await log_in(other, password=PASSWORD) == 200


async def test_many_sign_ins_at_once_at_two_nodes_are_no_more(two: Two) -> None:
    async with two(logins_per_minute=5) as (one, other):
        answers = await asyncio.gather(*(log_in(server) for server in (one, other) * 10))
        # Commits at the same moment do not see each other, but no node lets more through than its own number.
        assert 5 <= answers.count(401) <= 10
        assert set(answers) == {401, 429}
        assert [await log_in(server) for server in (one, other)] == [429, 429]


Crossed = Callable[..., Awaitable[int]]


@pytest.fixture
def crossed(monkeypatch: pytest.MonkeyPatch) -> Crossed:
    """Lets both nodes do the same deeds at once, the other one in the opposite order, each what has gathered while its
    writer was held up. Gives: how often they stood in each other's way, so that the database undid one."""
    undone: list[str] = []
    is_passing = failures.is_passing

    def watched(error: BaseException) -> bool:
        if is_passing(error):
            undone.append(repr(error))
        return is_passing(error)

    monkeypatch.setattr(failures, "is_passing", watched)

    async def cross(nodes_: tuple[Server, Server], *deeds: Callable[[Server], Awaitable[object]]) -> int:
        are_waiting = threading.Event()
        doing: list[asyncio.Future[object]] = []
        for server, order in zip(nodes_, (deeds, deeds[::-1]), strict=True):
            write = server.store.write
            doing.append(asyncio.ensure_future(write(lambda _tx: are_waiting.wait(5) or None)))
            for deed in order:
                doing.append(asyncio.ensure_future(deed(server)))
                doing.append(asyncio.ensure_future(write(lambda _tx: time.sleep(0.01))))
        await asyncio.sleep(0.05)
        are_waiting.set()
        await asyncio.gather(*doing)
        return len(undone)

    return cross


async def test_sign_ins_in_crossed_order_hold_up_neither_node(two: Two, crossed: Crossed) -> None:
    """Whoever chooses the order in which addresses are counted must not make one writer wait for the other."""
    async with two() as nodes_:
        for _ in range(3):
            addresses = [partial(_counted, f"192.0.2.{number}") for number in range(8)]
            assert await crossed(nodes_, *addresses) == 0
        assert nodes_[0].rows("SELECT count(*) FROM tally WHERE scope = 'rate.login'") == [(48,)]


async def _counted(address: str, server: Server) -> None:
    await rates.sign_in(server.parts, address, "")


async def test_conversations_begun_at_two_sites_in_crossed_order_hold_up_neither_node(
    two: Two, crossed: Crossed
) -> None:
    """Each has the next number of its site, whose row is locked for it: no commit may hold one and wait for another."""
    async with two() as nodes_:
        ids = [f"shop-{number}" for number in range(4)]
        for one in ids:
            await sites.add_site(nodes_[0].store, Site(one, "A shop", origins=("http://localhost:9",)))
        await nodes_[1].store.refresh()
        assert await crossed(nodes_, *(partial(_begun, one) for one in ids)) == 0
        found = nodes_[0].rows("SELECT site_id, number FROM conversation ORDER BY site_id, number")
        assert found == [(one, number) for one in ids for number in (1, 2)]


async def _begun(site: str, server: Server) -> None:
    opening = threads.Opening(new_cid(), "Hello", "", "", "", "", "en")
    await threads.open_thread(server.parts, site, new_visitor_token(), opening, "192.0.2.1")


async def test_conversations_changed_in_crossed_order_hold_up_neither_node(two: Two, crossed: Crossed) -> None:
    async with two() as nodes_:
        people_ = [await nodes_[0].visitor() for _ in range(4)]
        begun = [await visitor.open("Hello") for visitor in people_]
        assert await crossed(nodes_, *(partial(_touched, thread) for thread in begun)) == 0


async def _touched(thread: str, server: Server) -> None:
    await server.store.write(lambda tx: tx.touch(tx.conversation(thread)))


async def test_rates_that_count_no_longer_are_deleted_in_portions(two: Two) -> None:
    async with two() as (one, other):
        await rates.sign_in(one.parts, "192.0.2.1", "")
        old = "INSERT INTO tally (scope, key, at) SELECT ?, 'k', 1 FROM generate_series(1, ?)"
        one.change(old, "rate.open", 2 * checks.PORTION + 1)
        one.change(old, "try.record", 3)
        assert await one.store.write(lambda tx: checks.drop_counts(tx, 2.0, rates.SCOPES))
        left = "SELECT scope, count(*) FROM tally GROUP BY scope ORDER BY scope"
        assert one.rows(left) == [("rate.login", 1), ("rate.open", checks.PORTION + 1), ("try.record", 3)]
        await asyncio.gather(rates.forget(one.parts), rates.forget(other.parts))
        assert one.rows(left) == [("rate.login", 1), ("try.record", 3)]
        one.skip(rates.KEPT_SECONDS + 1)
        await rates.forget(one.parts)
        assert one.rows(left) == [("try.record", 3)]
        await expiry.retention(one.parts)
        assert one.rows(left) == []


async def test_an_account_is_counted_over_all_nodes_and_addresses(two: Two) -> None:
    async with two(logins_per_minute=1) as (one, other):

        async def is_counted(number: int) -> bool:
            try:
                await rates.sign_in((one, other)[number % 2].parts, f"192.0.2.{number}", email_of("claire"))
            except TooMany as error:
                assert 0 < (error.retry_after or 0) <= 60
                return False
            return True

        passed = [await is_counted(number) for number in range(24)]
        assert sum(passed) == rates.ACCOUNT_LOGINS
        assert one.rows("SELECT count(*) FROM tally WHERE scope = 'rate.account'") == [(20,)]


async def test_conversations_begun_from_an_address_are_counted_over_all_nodes(two: Two) -> None:
    async with two(opens_per_minute=3) as (one, other):
        first = await one.visitor()
        thread = await first.open("Hello")
        await (await other.visitor()).open("Hello")
        await (await one.visitor()).open("Hello")
        late = await other.visitor()
        assert await late.refused("open", text="Hello") == "too_many"
        assert one.rows("SELECT count(*) FROM conversation") == [(3,)]
        # Who has a conversation goes on in it.
        again = await tab(other, first, thread)
        await again.say(thread, "and this")


async def test_five_tries_of_a_code_are_five_wherever_they_are_made(two: Two) -> None:
    async with two() as (one, other):
        visitor, _, thread = await apart(one, other)
        ack = await visitor.do("start_check", conversation=thread, reference=BOOKING)
        check = (await visitor.expect("event", kind="check", seq=ack["seq"]))["body"]["check"]["id"]
        code = await letter_of(one, other)
        there = await tab(other, visitor, thread)
        answers = await asyncio.gather(
            *(tries(client, thread, check, wrong(code)) for client in (visitor, there, visitor, there, visitor, there))
        )
        assert set(answers) == {"code_refused"}
        for client in (there, visitor):
            assert await tries(client, thread, check, code) == "code_refused"
        assert one.rows("SELECT state, tries FROM identity_check") == [("failed", 5)]
        assert one.rows("SELECT count(*) FROM conversation WHERE standing IS NOT NULL") == [(0,)]


# ── decided once ────────────────────────────────────────────────────────────────────────────────────────────────


async def test_two_agents_of_two_nodes_never_get_one_conversation(two: Two) -> None:
    async with two(agent_messages_per_10s=1_000) as (one, other):
        claire, marc = await one.agent("claire"), await other.agent("marc")
        visitor = await one.visitor()
        thread = await visitor.open("Hello")

        def back_in_the_queue(tx: Tx) -> None:
            tx.connection.exec_driver_sql("UPDATE conversation SET state = 'waiting', agent_id = NULL")

        for number in range(100):
            desks = (claire, marc)[:: 1 if number % 2 else -1]
            answers = await asyncio.gather(*(desk.ask("claim", conversation=thread) for desk in desks))
            assert sorted(answer["t"] for answer in answers) == ["ack", "error"], answers
            await one.store.write(back_in_the_queue)
        assigned = one.rows("SELECT count(*) FROM event WHERE kind = 'assigned'")
        assert assigned == [(100,)]


async def test_what_is_said_after_a_transfer_is_not_for_who_had_the_thread(
    two: Two, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Watched to fail where all that was missed is sent before the thread is taken away."""
    async with two() as (one, other):
        visitor, claire, thread = await apart(one, other)
        monkeypatch.setattr(nodes, "heard", lambda *_: None)  # the bell is late: both are found by one look
        odile, marc = await one.agent("odile"), await one.agent("marc")
        await odile.do("transfer", conversation=thread, agent=one.agent_id("marc"))
        await visitor.say(thread, "For Marc alone")
        await marc.watch(thread)
        assert "For Marc alone" in marc.everything
        await nodes.look(other.parts)
        await claire.expect("error", code="not_found")
        await claire.settle()
        assert "For Marc alone" not in claire.everything


# ── ended everywhere ────────────────────────────────────────────────────────────────────────────────────────────


async def test_who_is_disabled_at_one_node_hears_nothing_more_at_another(two: Two) -> None:
    async with two() as (one, other):
        visitor, desk, thread = await apart(one, other)
        at = time.monotonic()
        await people.set_disabled(one.store, email_of("claire"))
        await asyncio.sleep(1.0 - (time.monotonic() - at))
        await visitor.say(thread, "a word for nobody")
        assert await desk.closed() == 4401
        assert "a word for nobody" not in desk.everything
        assert (await other.post("/api/ticket", cookie=desk.cookie)).status_code == 401


async def test_who_signs_out_at_one_node_is_out_at_another(two: Two) -> None:
    async with two() as (one, other):
        desk = await other.agent()
        answer = await one.post("/api/logout", cookie=desk.cookie)
        assert answer.status_code == 204
        assert await desk.closed(seconds=2) == 4401


async def test_an_older_secret_is_cut_at_every_node(two: Two, is_rung: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its renewal is rung for, and found by looking where the bell was not heard."""
    monkeypatch.setattr(nodes, "LOOK_SECONDS", 60.0 if is_rung else 0.5)
    if not is_rung:
        monkeypatch.setattr(nodes, "heard", lambda _parts, _hint: None)
    async with two() as (one, other):
        visitor, _, thread = await apart(one, other)
        thief = await tab(other, visitor, thread)
        ack = await visitor.do("start_check", conversation=thread, reference=BOOKING)
        check = (await visitor.expect("event", kind="check", seq=ack["seq"]))["body"]["check"]["id"]
        await visitor.do("code", conversation=thread, check=check, code=await letter_of(one, other))
        newer = (await visitor.expect("token"))["token"]
        assert newer != thief.token
        await visitor.send("token_kept")
        assert await thief.closed(seconds=5) == tokens.REPLACED
        # The newer one counts there at once, and nobody cuts who has confirmed it.
        visitor.token = newer
        mine = await tab(other, visitor, thread)
        await mine.say(thread, "it is me")
        await visitor.event("message", text="it is me")
        await asyncio.sleep(1.2)  # two rounds
        await visitor.say(thread, "still here")
        await mine.event("message", text="still here")


@pytest.fixture(params=[True, False], ids=["rung", "found"])
def is_rung(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


async def test_a_conversation_that_one_node_forgot_is_let_go_by_another(
    two: Two, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nodes, "LOOK_SECONDS", 0.3)
    async with two(retention_days=1) as (one, other):
        visitor = await one.visitor()
        thread = await visitor.open("Hello")
        await visitor.leave()
        one.clients.remove(visitor)
        for node in (one, other):
            node.skip(2 * 86_400)  # before the agent comes, whose session the same round would end
        desk = await other.agent()
        await desk.watch(thread)
        assert await expiry.retention(one.parts) == 1
        assert await desk.closed(seconds=5) == SLOW


async def test_a_look_ends_nobody_who_asks_for_what_never_was(two: Two) -> None:
    async with two() as (one, _):
        desk = await one.agent()
        (peer,) = one.parts.hub.agents()
        one.parts.hub.watch(peer, "A" * 22, 0)  # as long as it is being looked for
        await nodes.look(one.parts)
        one.parts.hub.unwatch(peer, "A" * 22)
        await desk.settle()
        assert peer.ending is None


async def test_a_look_tells_who_has_just_come_only_what_has_changed(two: Two) -> None:
    async with two() as (one, _):
        thread = (await make_thread(one.store))[1]
        await nodes.look(one.parts)
        await one.agent()
        one.parts.hub.changed.clear()
        await nodes.look(one.parts)
        assert one.parts.hub.changed == set()
        await append(one.store, thread, "Hello?")
        one.parts.hub.changed.clear()
        await nodes.look(one.parts)
        assert one.parts.hub.changed == {thread}


# ── seen everywhere ─────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_new_site_and_a_new_colleague_are_known_at_another_node_within_seconds(two: Two) -> None:
    async with two() as (one, other):
        desk = await other.agent()
        await sites.add_site(one.store, Site("shop", "The Shop", origins=("http://localhost:9",)))
        await people.add_agent(one.store, "Ines", email_of("ines"), "agent", PASSWORD)
        await until(lambda: "shop" in other.store.directory.sites, seconds=5)
        there = await other.visitor(site="shop", token=new_visitor_token())
        assert there.welcome["site"]["name"] == "The Shop"
        assert await log_in(other, "ines", PASSWORD) == 200
        await until(lambda: "Ines" in desk.everything, seconds=5)


def test_what_is_told_of_connections_is_so(dialect: str) -> None:
    bells, writer = 2, 1
    told = (Path(__file__).parent.parent / "docs" / "OPERATIONS.md").read_text()
    assert f"up to {READERS + CONNECTIONS + bells + writer} connections of PostgreSQL" in told
