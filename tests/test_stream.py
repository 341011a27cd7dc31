"""Twin of ws/stream.py: a connection by server-sent events and POST is a connection like any other.

What people do over it is told by the tests that are marked `both_ways`; here is what HTTP adds.
"""

from __future__ import annotations

import asyncio
import json
import socket
from typing import Any

import pytest
import websockets

from aparte import auth
from aparte.app import goodbye
from aparte.ws import stream
from clients import SITE, Visitor, new_cid, new_visitor_token
from harness import Server, Start
from streams import code, line, nobody_left, stranger
from threads import append

PING = '{"t":"ping"}'


@pytest.fixture
def way() -> str:
    return "http"


# ── the stream ──────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_stream_is_what_no_proxy_keeps_or_holds_back(server: Server) -> None:
    hello = json.dumps({"t": "hello", "v": 1, "site": SITE, "token": new_visitor_token()})
    headers = {"origin": server.url, "accept-encoding": "gzip, br"}
    async with server.http.stream("POST", "/sse/visitor", content=hello, headers=headers) as answer:
        assert answer.status_code == 200
        said = answer.headers
        assert said["content-type"] == "text/event-stream"
        assert said["cache-control"] == "no-store, no-transform"
        assert said["x-accel-buffering"] == "no"
        assert "content-encoding" not in said
        assert "set-cookie" not in said
        assert said["x-content-type-options"] == "nosniff"
        text = ""
        async for chunk in answer.aiter_text():
            text += chunk
            if text.count("\n\n") == 2:
                break
    first, second, _ = text.split("\n\n")
    assert first.startswith("event: connection\ndata: ")
    assert len(first.rpartition(" ")[2]) == 43  # 256 bits
    assert second.startswith('data: {"t":"welcome"')
    await nobody_left(server)


async def test_a_silent_stream_says_something_now_and_then(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "BEAT_SECONDS", 0.1)
    hello = json.dumps({"t": "hello", "v": 1, "site": SITE, "token": new_visitor_token()})
    text = ""
    async with server.http.stream("POST", "/sse/visitor", content=hello, headers={"origin": server.url}) as answer:
        async with asyncio.timeout(3):
            async for chunk in answer.aiter_text():
                text += chunk
                if text.endswith(":\n\n:\n\n"):
                    break
    assert '"t":"welcome"' in text


async def test_it_takes_what_comes_in_one_turn_as_a_socket_does() -> None:
    """Two commits of two hundred events each, before the stream's own turn has come, are nobody's slowness."""

    async def silent(*_said: Any) -> Any:
        await asyncio.Event().wait()

    one = stream.StreamLine(silent, silent, lambda: None, 200)
    one.write_texts([b"x" * 100] * 400)
    assert one.has_room
    one.write_texts([b"x" * 100] * 400)
    assert not one.has_room


async def test_people_on_both_ways_talk_as_on_one(server: Server) -> None:
    visitor = await server.visitor()
    thread = await visitor.open("By requests")
    server.way = "socket"
    claire = await server.agent()
    await claire.take(thread)
    await claire.reply(thread, "By a socket")
    await visitor.event("message", text="By a socket")
    await visitor.say(thread, "And back")
    await claire.event("message", text="And back")


# ── its end ─────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_who_has_gone_leaves_nothing_behind(server: Server) -> None:
    visitor, claire, _ = await server.meeting()
    line(visitor).abort()
    assert await visitor.closed() == 1006
    claire.socket.abort()
    await nobody_left(server)
    assert code(await line(visitor).frames(PING, 99)) == (404, "connection_gone")


async def test_a_client_that_says_nothing_more_has_gone(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "SILENT_SECONDS", 0.6)
    silent, alive = await server.visitor(), await server.visitor()
    thread = await alive.open("Hello")
    for _ in range(6):
        await asyncio.sleep(0.2)
        await alive.do("post", conversation=thread, text="still here")  # heard without a detour
    assert await silent.closed() == 1006
    assert alive.socket.close_code is None


async def test_a_hello_that_does_not_come_to_its_end_holds_no_place(start: Start) -> None:
    async with start(hello_seconds=1, sockets_unauthenticated=2) as server:
        port = int(server.url.rpartition(":")[2])
        head = f"POST /sse/visitor HTTP/1.1\r\nHost: x\r\nOrigin: {server.url}\r\nContent-Length: 100\r\n\r\n" + '{"t":'
        pairs = [await asyncio.open_connection("127.0.0.1", port) for _ in range(2)]
        for _, writer in pairs:
            writer.write(head.encode())
        async with asyncio.timeout(3):
            while server.app.state.limits.waiting < 2:  # noqa: ASYNC110 (the server's own count)
                await asyncio.sleep(0.01)
        late = await stranger(server)
        await late.closed()
        assert code(line(late).refused) == (503, "unavailable")
        pairs[0][1].close()  # one goes, the other waits it out
        assert b"event: close\ndata: 4408\n\n" in await asyncio.wait_for(pairs[1][0].read(), 3)
        pairs[1][1].close()
        await nobody_left(server)


async def test_it_is_told_to_go_as_a_socket_is(server: Server) -> None:
    visitor, claire, _ = await server.meeting()
    await claire.settle()
    await server.post("/api/logout", cookie=claire.cookie)
    assert await claire.closed(seconds=2) == 4401
    await goodbye(server.app)
    assert (await visitor.expect("drain"))["after"] > 0
    assert await visitor.closed() == 1001
    late = await stranger(server)
    await late.closed()
    assert code(line(late).refused) == (503, "unavailable")
    await nobody_left(server)


async def test_a_session_is_asked_for_once_and_by_nobody_without_a_place(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with start(sockets_per_minute=3) as server:
        server.way = "http"
        cookie = await server.sign_in()
        asked = server.asked(monkeypatch, "agent_of")
        headers = {"origin": server.url}
        answers = [
            await server.http.post(
                "/sse/agent", content="{}", headers={"cookie": f"{auth.COOKIE}={'A' * 43}", **headers}
            )
            for _ in range(2)
        ]
        assert [code(answer) for answer in answers] == [(401, "not_signed_in")] * 2
        assert len(asked) == 2
        hello = {"content": '{"t":"hello","v":1,"ticket":"none"}', "headers": {"cookie": cookie, **headers}}
        assert (await server.http.post("/sse/agent", **hello)).status_code == 200
        assert len(asked) == 3
        assert code(await server.http.post("/sse/agent", **hello)) == (429, "too_many")
        assert len(asked) == 3


async def test_limits_of_sockets_hold(start: Start) -> None:
    async with start(sockets_per_address=2, frames_per_10s=20) as server:
        visitor, other = await server.visitor(), await server.visitor()
        third = await stranger(server)
        await third.closed()
        assert code(line(third).refused) == (429, "too_many")
        assert line(third).refused.headers["retry-after"]  # type: ignore[union-attr]  # it is there, see above
        for first in (1, 21):
            answer = await line(visitor).frames("\n".join([PING] * 20), first)
            assert answer.status_code in (204, 404)
        assert await visitor.closed() == 4429
        assert sum('"t":"pos"' in raw for raw in visitor.raw) <= 21
        assert "too_many" in visitor.raw[-1]
        await other.settle()


# ── frames by requests ──────────────────────────────────────────────────────────────────────────────────────────


async def answers(client: Visitor) -> int:
    """How many pings were carried out."""
    await asyncio.sleep(0.05)
    return client.types().count("pos")


async def test_a_request_that_is_made_again_does_nothing_twice(server: Server) -> None:
    visitor = await server.visitor()
    for _ in range(3):
        assert (await line(visitor).frames(PING, 1)).status_code == 204
    assert await answers(visitor) == 1
    two = f"{PING}\n{PING}"
    assert (await line(visitor).frames(two, 1)).status_code == 204  # the first of them is known
    assert await answers(visitor) == 2
    both = await asyncio.gather(*(line(visitor).frames("\n".join([PING] * 10), 3) for _ in range(8)))
    assert {one.status_code for one in both} <= {204, 429}
    assert await answers(visitor) == 12


async def test_requests_are_counted_whatever_they_hold(start: Start) -> None:
    async with start(frames_per_10s=20) as server:
        visitor = await server.visitor()
        answers = [(await line(visitor).frames(PING, 1)).status_code for _ in range(22)]
        assert answers == [204] * 20 + [429] * 2
        assert visitor.types().count("pos") == 1


async def test_a_frame_before_its_turn_is_refused(server: Server) -> None:
    visitor = await server.visitor()
    assert code(await line(visitor).frames(PING, 2)) == (409, "bad_state")
    assert await answers(visitor) == 0
    assert (await line(visitor).frames(PING, 1)).status_code == 204
    assert (await line(visitor).frames(PING, 2)).status_code == 204
    assert await answers(visitor) == 2


async def test_many_frames_of_one_request_are_carried_out_in_order(server: Server) -> None:
    visitor, claire, thread = await server.meeting()
    texts = [f"number {number}" for number in range(15)]
    said = [{"t": "post", "conversation": thread, "cid": new_cid(), "text": text} for text in texts]
    batch = [json.dumps(one) for one in said]
    batch.insert(7, json.dumps({"t": "history", "conversation": thread, "before": 99}))
    first = line(visitor)._next
    assert (await line(visitor).frames("\n".join(batch), first)).status_code == 204
    for text in texts:
        await claire.event("message", text=text)
    page = await visitor.expect("events", older=True)
    assert [item["body"]["text"] for item in page["items"] if item["kind"] == "message"] == ["Hello", *texts[:7]]


async def test_frames_wait_for_those_of_an_earlier_request(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    visitor, _, thread = await server.meeting()
    gate, read = asyncio.Event(), server.store.read

    async def slow(query: Any) -> Any:
        await gate.wait()
        return await read(query)

    monkeypatch.setattr(server.store, "read", slow)
    first = line(visitor)._next
    history = json.dumps({"t": "history", "conversation": thread, "before": 9})
    slowly = asyncio.create_task(line(visitor).frames(f"{history}\n{PING}", first))
    await asyncio.sleep(0.1)
    assert not slowly.done()
    answer = await line(visitor).frames(PING, first + 2)
    assert code(answer) == (429, "too_many")
    assert answer.json()["retry_after"] == 1.0
    gate.set()
    assert (await slowly).status_code == 204
    assert (await line(visitor).frames(PING, first + 2)).status_code == 204
    assert visitor.types().count("pos") >= 1


async def test_waiting_frames_are_given_up_with_their_connection(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    visitor, _, thread = await server.meeting()
    gate, read = asyncio.Event(), server.store.read

    async def slow(query: Any) -> Any:
        await gate.wait()
        return await read(query)

    monkeypatch.setattr(server.store, "read", slow)
    history = json.dumps({"t": "history", "conversation": thread, "before": 9})
    waiting = asyncio.create_task(line(visitor).frames(f"{history}\n{PING}", line(visitor)._next))
    await asyncio.sleep(0.1)
    line(visitor).abort()
    assert code(await asyncio.wait_for(waiting, 2)) == (404, "connection_gone")
    gate.set()


# ── one who does not read ───────────────────────────────────────────────────────────────────────────────────────


async def test_one_who_never_reads_is_cut_and_the_others_go_on(start: Start) -> None:
    async with start(stalled_seconds=0.5, outbox_bytes=256 << 10) as server:
        visitor = await server.visitor()
        thread = await visitor.open("Hello")
        await visitor.leave()
        server.way = "socket"
        claire = await server.agent()
        await claire.take(thread)
        known = set(server.parts.hub.peers)
        deaf = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.connect(("127.0.0.1", server.settings.port))
        hello = json.dumps({"t": "hello", "v": 1, "site": SITE, "token": visitor.token})
        head = f"POST /sse/visitor HTTP/1.1\r\nHost: x\r\nOrigin: {server.url}\r\nContent-Length: {len(hello)}\r\n\r\n"
        deaf.sendall(head.encode() + hello.encode())
        async with asyncio.timeout(3):
            while not (found := server.parts.hub.peers - known):  # noqa: ASYNC110 (the server's own set)
                await asyncio.sleep(0.02)
        [peer] = found
        for _ in range(150):
            await asyncio.gather(*(append(server.store, thread, f"{'x' * 3900} {number}") for number in range(15)))
            if peer.ending:
                break
        assert peer.ending == 4008
        assert peer._bytes <= 256 << 10
        async with asyncio.timeout(3):
            while peer in server.parts.hub.peers or len(server.app.state.streams):  # noqa: ASYNC110 (as above)
                await asyncio.sleep(0.05)
        deaf.settimeout(3)
        came = b""
        while part := deaf.recv(1 << 16):
            came += part
        deaf.close()
        assert b"event: close" not in came  # nothing was pushed through to tell him so
        await claire.do("note", conversation=thread, text="Still here")
        again = await server.visitor(token=visitor.token)
        await again.settle()


async def test_a_cut_line_ends_like_a_cut_socket(server: Server) -> None:
    visitor = await server.visitor()
    [peer] = server.parts.hub.peers
    peer.line.abort()
    assert await visitor.closed() == 1006
    with pytest.raises(websockets.ConnectionClosed):
        await visitor.send("ping")
    await nobody_left(server)
    again = await server.visitor(token=visitor.token)
    await again.settle()
