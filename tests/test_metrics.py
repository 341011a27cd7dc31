"""Twin of metrics.py: the numbers move as the traffic does.

Watched to fail: frames counted twice on the longer way; a batch of which only the oldest message is counted; a queue that is
read after it was emptied; a store that is told as up by a commit in which nothing could be kept.
"""

from __future__ import annotations

import asyncio
import json
import random
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import websockets

from aparte import exposition, frames, jobs
from aparte.metrics import OPERATIONS, SECONDS, Histogram
from aparte.peers import SLOW
from clients import SITE, Visitor
from harness import BOOKING, Server
from scraping import Found, Watched, scrape, watched
from test_nodes import until

__all__ = ["watched"]


@pytest.fixture
async def server(watched: Watched) -> AsyncIterator[Server]:
    async with watched(messages_per_10s=10_000, agent_messages_per_10s=10_000) as running:
        yield running


def rise(before: Found, after: Found) -> Callable[[str], float]:
    return lambda name: after[name] - before[name]


@pytest.mark.both_stores
async def test_it_counts_each_message_once(server: Server) -> None:
    visitor, desk, thread = await server.meeting()
    await desk.settle()
    before = await scrape(server)
    for number in range(20):
        await visitor.say(thread, f"question {number}")
        await desk.reply(thread, f"answer {number}")
    await asyncio.gather(*(visitor.say(thread, f"more {number}") for number in range(60)))
    up = rise(before, await scrape(server))
    assert up("aparte_acknowledgement_seconds_count") == 100
    assert up("aparte_acknowledgement_seconds_bucket{le=+Inf}") == 100
    assert up("aparte_frames_received_total") == 100
    assert up("aparte_frames_sent_total") >= 300  # the message to both, and the acknowledgement
    assert up("aparte_commit_operations_sum") >= 100
    assert 40 < up("aparte_commit_operations_count") < 100  # those that came together were written together
    assert up("aparte_commit_seconds_count") == up("aparte_commit_operations_count")
    assert 0 < up("aparte_commit_seconds_sum") < 10
    assert 0 < up("aparte_acknowledgement_seconds_sum") < 100
    assert up("aparte_commits_failed_total") == 0
    refused = await visitor.refused("post", conversation=thread, text="x" * 5_000)
    assert rise(before, await scrape(server))(f"aparte_refusals_total{{code={refused}}}") == 1


async def test_it_shows_what_waits_for_a_writer_that_is_held_up(server: Server) -> None:
    visitor, _, thread = await server.meeting()
    before, go = await scrape(server), threading.Event()
    blocking = asyncio.create_task(server.store.write(lambda _tx: go.wait(10)))
    await asyncio.sleep(0.05)
    said = [asyncio.create_task(visitor.say(thread, f"text {number}")) for number in range(30)]
    try:
        await until(lambda: server.store.queued >= 30)
        await asyncio.sleep(0.3)
        assert 30 <= (await scrape(server))["aparte_writer_waiting"] < 60
    finally:
        go.set()
    await asyncio.gather(blocking, *said)
    after = await scrape(server)
    up = rise(before, after)
    assert after["aparte_writer_waiting"] < 5
    assert up("aparte_acknowledgement_seconds_sum") > 30 * 0.3
    assert up("aparte_acknowledgement_seconds_bucket{le=0.25}") == 0
    assert up("aparte_acknowledgement_seconds_bucket{le=+Inf}") == 30
    assert up("aparte_commit_operations_bucket{le=20}") < up("aparte_commit_operations_bucket{le=+Inf}")
    assert up("aparte_commit_seconds_bucket{le=0.25}") < up("aparte_commit_seconds_bucket{le=+Inf}")


async def test_it_shows_that_the_loop_was_held_up(server: Server) -> None:
    before = await scrape(server)
    time.sleep(1.2)  # what must never be done: nobody is served
    await asyncio.sleep(0.6)
    up = rise(before, await scrape(server))
    assert up("aparte_event_loop_lag_seconds_bucket{le=+Inf}") > up("aparte_event_loop_lag_seconds_bucket{le=0.5}")
    assert up("aparte_event_loop_lag_seconds_sum") > 0.5


async def test_it_counts_open_sockets_by_kind_and_those_turned_away(watched: Watched) -> None:
    async with watched(sockets_per_address=4) as server:
        await server.visitor()
        await server.visitor()
        await server.agent()
        await server.visitor(hello=False)
        found = await scrape(server)
        assert [found[f"aparte_sockets{{kind={kind}}}"] for kind in ("visitor", "agent", "waiting")] == [2, 1, 1]
        for origin in ("", "https://evil.example"):
            with pytest.raises(websockets.InvalidStatus):
                await server.socket("visitor", origin=origin)
        await server.everybody_leaves()
        await until(lambda: not server.parts.hub.peers)
        with pytest.raises(websockets.InvalidStatus):
            await server.socket("agent", cookie="__Host-aparte=nothing")
        found = await scrape(server)
        assert [found[f"aparte_sockets{{kind={kind}}}"] for kind in ("visitor", "agent", "waiting")] == [0, 0, 0]
        reasons = {
            reason: found[f"aparte_sockets_turned_away_total{{reason={reason}}}"] for reason in exposition.REASONS
        }
        assert reasons == {"address": 1, "draining": 0, "full": 0, "origin": 1, "session": 1}


async def test_it_counts_what_http_refuses(server: Server) -> None:
    before = await scrape(server)
    assert (await server.post("/api/login", {"email": "x@example.org", "password": "wrong"})).status_code == 401
    assert (await server.post("/api/ticket", origin="https://evil.example")).status_code == 403
    up = rise(before, await scrape(server))
    assert up("aparte_refusals_total{code=not_signed_in}") == 1
    assert up("aparte_refusals_total{code=bad_origin}") == 1


async def _sleeper(server: Server, visitor: Visitor, thread: str) -> Any:
    """Another screen of the customer, on a line with small buffers, that reads nothing."""
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    raw.setblocking(False)
    await asyncio.get_running_loop().sock_connect(raw, ("127.0.0.1", server.settings.port))
    sleeper = await server.socket("visitor", sock=raw, compression=None, ping_interval=None, max_queue=(2, 1))
    await sleeper.send(json.dumps({"t": "hello", "v": 1, "site": SITE, "token": visitor.token, "conversation": thread}))
    await sleeper.recv()
    sleeper.transport.pause_reading()
    return sleeper


async def test_it_counts_and_logs_sockets_that_were_too_slow(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "SLOW_SECONDS", 0.1)
    async with watched() as server:
        visitor, _, thread = await server.meeting()
        sleeper = await _sleeper(server, visitor, thread)
        await visitor.settle()
        assert (await scrape(server))["aparte_sockets_ended_slow_total"] == 0
        (asleep,) = [
            peer
            for peer in server.parts.hub.peers
            if peer.line.transport.get_extra_info("peername") == sleeper.local_address
        ]
        for _ in range(2_000):
            asleep.say(frames.Error("internal", "x" * 50_000))  # far more than the line and the outbox take
            await asyncio.sleep(0)
        assert asleep.ending == SLOW
        await asyncio.sleep(0.3)
        assert (await scrape(server))["aparte_sockets_ended_slow_total"] == 1
        told = [entry for entry in server.logged if entry["event"] == "hub.slow"]
        assert [entry["sockets"] for entry in told] == [1]
        sleeper.transport.abort()


@pytest.mark.both_stores
async def test_it_shows_letters_that_wait_and_for_how_long(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "LOOK_SECONDS", 0.1)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and does not listen: the mail server is away
        async with watched(smtp_port=taken.getsockname()[1]) as server:
            await until(lambda: bool(server.parts.counts.outbox))
            found = await scrape(server)
            assert found["aparte_outbox_rows{kind=letter,state=waiting}"] == 0
            assert found["aparte_outbox_oldest_seconds{kind=letter}"] == 0
            visitor = await server.visitor()
            thread = await visitor.open("Hello")
            await visitor.do("start_check", conversation=thread, reference=BOOKING)
            await until(lambda: any(one["event"] == "outbox.retry" for one in server.logged))
            await asyncio.sleep(0.5)
            found = await scrape(server)
            assert found["aparte_outbox_rows{kind=letter,state=waiting}"] == 1
            assert 0.4 < found["aparte_outbox_oldest_seconds{kind=letter}"] < 30
            server.skip(700)  # longer than the patience: the next try is the last
            server.parts.ring()
            await until(lambda: bool(server.parts.counts.outbox["letter"].failed))
            found = await scrape(server)
            assert found["aparte_outbox_rows{kind=letter,state=waiting}"] == 0
            assert found["aparte_outbox_rows{kind=letter,state=failed}"] == 1
            assert found["aparte_outbox_oldest_seconds{kind=letter}"] == 0


@pytest.mark.both_stores
async def test_a_letter_that_is_put_off_on_purpose_is_not_late(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "LOOK_SECONDS", 0.1)
    async with watched(record_sends_per_day=1) as server:
        for _ in range(2):
            visitor = await server.visitor()
            thread = await visitor.open("Hello")
            await visitor.do("start_check", conversation=thread, reference=BOOKING)
        await until(lambda: bool(server.letters))
        await until(lambda: bool(server.parts.counts.outbox))
        await until(lambda: server.parts.counts.outbox["check.letter"].waiting == 1)
        await asyncio.sleep(0.3)
        found = await scrape(server)
        assert found["aparte_outbox_rows{kind=check.letter,state=waiting}"] == 1
        assert found["aparte_outbox_oldest_seconds{kind=check.letter}"] == 0


async def test_it_shows_and_logs_a_store_that_is_down_and_back(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "LOOK_SECONDS", 0.1)
    async with watched() as server:
        visitor, _, thread = await server.meeting()
        await until(lambda: bool(server.parts.counts.outbox))
        before = await scrape(server)
        assert before["aparte_store_up"] == 1
        database = server.settings.data / "aparte.db"
        database.rename(database.with_suffix(".gone"))
        for _ in range(3):
            assert await visitor.refused("post", conversation=thread, text="lost?") == "store_down"
        await until(lambda: any(entry["event"] == "store.down" for entry in server.logged))
        await asyncio.sleep(0.6)  # told once
        found = await scrape(server)
        assert found["aparte_store_up"] == 0
        assert found["aparte_commits_failed_total"] - before["aparte_commits_failed_total"] >= 3
        assert found["aparte_refusals_total{code=store_down}"] == 3
        database.with_suffix(".gone").rename(database)
        await visitor.say(thread, "lost?")
        assert (await scrape(server))["aparte_store_up"] == 1
        await until(lambda: any(entry["event"] == "store.up" for entry in server.logged))
        told = [entry for entry in server.logged if entry["event"] in ("store.down", "store.up")]
        assert [entry["event"] for entry in told] == ["store.down", "store.up"]
        assert told[0]["error"] == "FileNotFoundError"
        assert 0 <= told[1]["seconds"] < 60


@pytest.mark.postgresql_alone
async def test_it_shows_the_bell(watched: Watched) -> None:
    async with watched() as server:
        bell = server.parts.node.bell
        assert bell is not None
        await until(lambda: bell.is_up)
        visitor, _, thread = await server.meeting()
        before = await scrape(server)
        assert before["aparte_bell_up"] == 1
        await visitor.say(thread, "Hello?")
        await until(lambda: bell.sent > before["aparte_bell_hints_sent_total"])
        found = await scrape(server)
        assert found["aparte_bell_hints_sent_total"] > before["aparte_bell_hints_sent_total"]
        assert found["aparte_bell_hints_received_total"] == 0  # there is no other node
        assert any("bell=postgresql,node=desk-1,store=postgresql" in name for name in found)


# ── counting ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_batch_counts_like_its_messages_one_by_one() -> None:
    chance = random.Random(7)
    for size in (1, 2, 30, 200):
        for spread in (0.0, 0.0001, 0.02, 9.0):
            together, apart = Histogram(SECONDS), Histogram(SECONDS)
            begun = sorted(chance.uniform(0, spread) for _ in range(size))
            together.note_since(begun, 9.5)
            for one in begun:
                apart.note(9.5 - one)
            assert together.counts == apart.counts
            assert sum(together.counts) == size
            assert together.total == pytest.approx(apart.total)


@pytest.mark.parametrize(("value", "bucket"), [(0, 0), (1, 0), (1.5, 1), (2, 1), (1_000, 9), (1_001, 10)])
def test_a_value_at_a_bound_is_below_it(value: float, bucket: int) -> None:
    histogram = Histogram(OPERATIONS)
    histogram.note(value)
    assert [at for at, count in enumerate(histogram.counts) if count] == [bucket]
