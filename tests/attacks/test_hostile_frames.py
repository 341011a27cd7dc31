"""SCOREBOARD 33: whatever comes over the wire, the answer is a clean error or a close, and the next message works.

The decoder's own tests hold what is no frame; these send it to the running server, as visitor, as agent, before hello
and as the body of every POST. `Server` fails each test in which the product met a fault that it had to catch.

Watched to fail: a decoder that raises what nobody catches, numbers beyond what the database holds, binary that is taken
for text, a second hello that is taken, a socket that may wait for ever, a hello that names any number of conversations, a
rate that nobody counts, a body without an end, a place that is never given back.
"""

from __future__ import annotations

import asyncio
import json
import random
from typing import Any, get_args

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aparte import frames
from aparte.routes import ROUTES
from clients import SITE, Client, Visitor, new_cid, new_visitor_token
from harness import PASSWORD, Server, Start, email_of

ID = "A" * 22
CID = "01234567-89ab-cdef-0123-456789abcdef"
DEEP = "[" * 30_000 + "]" * 30_000
ODD_JSON = {
    "nothing": "",
    "no JSON": "hello",
    "cut": '{"t":"post","cid"',
    "two values": '{"t":"ping"}{"t":"ping"}',
    "a list": '[{"t":"ping"}]',
    "null": "null",
    "no type": "{}",
    "type is a number": '{"t":1}',
    "type is an object": '{"t":{"t":"ping"}}',
    "unknown type": '{"t":"drop table"}',
    "server's type": '{"t":"ack","cid":"' + CID + '","conversation":"' + ID + '","seq":1,"at":1}',
    "unknown field": '{"t":"ping","x":1}',
    "proto": '{"t":"ping","__proto__":{"is_admin":true}}',
    "twice the type": '{"t":"ping","t":"end"}',
    "NaN": '{"t":"mark","conversation":"' + ID + '","read":NaN}',
    "infinity": '{"t":"mark","conversation":"' + ID + '","read":1e999}',
    "huge number": '{"t":"mark","conversation":"' + ID + '","read":' + "9" * 5000 + "}",
    "beyond 2^53": '{"t":"mark","conversation":"' + ID + '","read":9007199254740993}',
    "beyond 2^63": '{"t":"history","conversation":"' + ID + '","before":9223372036854775808}',
    "negative": '{"t":"history","conversation":"' + ID + '","before":-1}',
    "a fraction": '{"t":"history","conversation":"' + ID + '","before":1.5}',
    "deep": DEEP,
    "deep in a field": '{"t":"ping","x":' + DEEP + "}",
    "lone surrogate": '{"t":"post","cid":"' + CID + '","conversation":"' + ID + '","text":"\\ud800"}',
    "swapped surrogates": '{"t":"post","cid":"' + CID + '","conversation":"' + ID + '","text":"\\udc00\\ud800"}',
    "NUL": '{"t":"post","cid":"' + CID + '","conversation":"' + ID + '","text":"a\\u0000b"}',
    "raw NUL": '{"t":"post","cid":"' + CID + '","conversation":"' + ID + '","text":"a\x00b"}',
    "empty text": '{"t":"post","cid":"' + CID + '","conversation":"' + ID + '","text":""}',
    "text is a list": '{"t":"post","cid":"' + CID + '","conversation":"' + ID + '","text":["a"]}',
    "id is an object": '{"t":"post","cid":"' + CID + '","conversation":{"$ne":null},"text":"a"}',
    "id with a line end": '{"t":"post","cid":"' + CID + '","conversation":"' + ID + '\\n","text":"a"}',
    "id with SQL": '{"t":"post","cid":"' + CID + '","conversation":"\' OR 1=1 --","text":"a"}',
    "cid in capitals": '{"t":"post","cid":"' + CID.upper() + '","conversation":"' + ID + '","text":"a"}',
    "too long": json.dumps({"t": "post", "cid": CID, "conversation": ID, "text": "é" * 4001}),
    "far too long": json.dumps({"t": "post", "cid": CID, "conversation": ID, "text": "a" * 20_000}),
    "a million keys": '{"t":"ping",' + ",".join(f'"k{n}":0' for n in range(6000)) + "}",
    "as long as may be": '{"t":"ping","x":"' + "x" * (65_536 - 19) + '"}',
}


async def well(client: Client, thread: str) -> None:
    """The next message works."""
    text = f"Still here {new_cid()[:8].translate(str.maketrans('0123456789', 'ghijklmnop'))}"
    await client.do("post", conversation=thread, text=text)
    await client.event("message", text=text)


@pytest.mark.both_ways
@pytest.mark.parametrize("side", ["visitor", "agent"])
async def test_an_odd_frame_is_refused_and_the_next_message_works(start: Start, side: str) -> None:
    async with start(frames_per_10s=100_000, messages_per_10s=10_000, agent_messages_per_10s=10_000) as server:
        visitor, desk, thread = await server.meeting("Hello")
        client: Client = visitor if side == "visitor" else desk
        for name, data in ODD_JSON.items():
            assert len(data.encode()) <= frames.FRAME_BYTES, name
            await client.socket.send(data)
            said = await client.expect("error")
            assert said["code"] in ("bad_frame", "too_long", "not_found"), (name, said)
        for number in (0, 1, 2**53 - 1):
            await client.send("history", conversation=thread, before=number)
            await client.expect("events")
            await client.send("resync", conversation=thread, last_seq=number)
            client.tops.clear()
            await client.settle()
            await client.send("mark", conversation=thread, delivered=number, read=number)
        await well(client, thread)
        view = (await server.visitor(token=visitor.token)).welcome["conversation"]
        assert max(view.get("delivered", 0), view.get("read", 0), view.get("mine", 0)) <= view["top"]


async def test_binary_is_refused_and_too_much_ends_the_socket(server: Server) -> None:
    visitor, desk, thread = await server.meeting("Hello")
    for data in (b"\x00\x01", b'{"t":"ping"}'):
        await visitor.socket.send(data)
        assert (await visitor.expect("error"))["code"] == "bad_frame"
        await well(visitor, thread)
    for text in ("x" * 65_537, '{"t":"' + "é" * 32_768 + '"}'):
        await visitor.socket.send(text)
        assert await visitor.closed() == 1009
        visitor = await server.visitor(token=visitor.token, conversation=thread, last_seq=visitor.tops[thread])
        await well(visitor, thread)
    await desk.settle()


async def test_broken_text_ends_the_socket_and_nothing_else(server: Server) -> None:
    visitor, desk, thread = await server.meeting("Hello")
    transport = visitor.socket.transport
    payload = b'{"t":"ping\xff\xfe"}'
    mask = b"\x01\x02\x03\x04"
    transport.write(
        b"\x81" + bytes([0x80 | len(payload)]) + mask + bytes(b ^ mask[i % 4] for i, b in enumerate(payload))
    )
    assert await visitor.closed() == 1007
    again = await server.visitor(token=visitor.token, conversation=thread, last_seq=visitor.tops[thread])
    await well(again, thread)
    await desk.settle()


# ── before hello, and around it ─────────────────────────────────────────────────────────────────────────────────

HELLO = {"t": "hello", "v": 1, "site": SITE, "token": "t" * 43}
ODD_HELLOS = {
    **{
        name: data
        for name, data in ODD_JSON.items()
        if name in ("nothing", "no JSON", "deep", "a list", "lone surrogate")
    },
    "another version": json.dumps({**HELLO, "v": 2}),
    "version as text": json.dumps({**HELLO, "v": "1"}),
    "unknown site": json.dumps({**HELLO, "site": "nowhere"}),
    "site is a path": json.dumps({**HELLO, "site": "../air"}),
    "short token": json.dumps({**HELLO, "token": "t" * 42}),
    "token is an object": json.dumps({**HELLO, "token": {"$gt": ""}}),
    "token is a list": json.dumps({**HELLO, "token": ["t" * 43]}),
    "no token": json.dumps({name: value for name, value in HELLO.items() if name != "token"}),
    "not a hello": '{"t":"ping"}',
    "an open": json.dumps({"t": "open", "cid": CID, "text": "Hello"}),
    "huge epoch": json.dumps({**HELLO, "epoch": "e" * 300}),
    "number beyond": json.dumps({**HELLO, "last_seq": 2**64}),
}


async def test_an_odd_hello_ends_the_socket_with_a_reason(server: Server) -> None:
    for name, data in ODD_HELLOS.items():
        client = Client(await server.socket("visitor"))
        await client.socket.send(data)
        assert (await client.expect("error"))["code"] in ("bad_frame", "not_found"), name
        assert await client.closed() in (4400, 4403), name
    assert server.rows("SELECT COUNT(*) FROM visitor") == [(0,)]


async def test_a_second_hello_changes_nothing(server: Server) -> None:
    visitor, desk, thread = await server.meeting("Hello")
    other = await server.visitor()
    theirs = await other.open("Hello too")
    await visitor.send("hello", v=1, site=SITE, token=other.token)
    assert (await visitor.expect("error"))["code"] == "bad_frame"
    await desk.send("hello", v=1, ticket=await server.ticket(await server.sign_in("odile")))
    assert (await desk.expect("error"))["code"] == "bad_frame"
    assert await visitor.refused("post", conversation=theirs, text="It is me") == "not_found"
    await desk.send("watch", conversation=theirs)
    await desk.expect("reset", conversation=theirs)  # it waits in the queue, for every agent
    assert (
        await desk.refused("unfreeze", conversation=thread, reason="He called us") == "not_found"
    )  # still no supervisor
    await well(visitor, thread)


async def test_a_hello_with_many_conversations_is_bounded(server: Server) -> None:
    visitor, desk, thread = await server.meeting("Hello")
    cookie = desk.cookie
    many = {f"{number:022d}": 0 for number in range(frames.MAX_WATCHED)}
    again = await server.agent_again(cookie, conversations={**dict(list(many.items())[:-1]), thread: 0})
    await again.expect("reset", conversation=thread)
    assert again.types().count("error") == frames.MAX_WATCHED - 1
    for bad in ({**many, ID: 0}, {f"{number:022d}": 0 for number in range(1500)}, {"x": 0}, {ID: -1}, {ID: "1"}, [ID]):
        client = Client(await server.socket("agent", cookie=cookie))
        await client.send("hello", v=1, ticket=await server.ticket(cookie), conversations=bad)
        assert (await client.expect("error"))["code"] == "bad_frame"
        assert await client.closed() == 4400
    for number in range(frames.MAX_WATCHED + 5):
        await again.send("watch", conversation=f"{number:022d}")
    await again.settle()
    await well(visitor, thread)


async def test_who_says_nothing_is_sent_away(start: Start) -> None:
    async with start(hello_seconds=1) as server:
        silent = [Client(await server.socket("visitor")) for _ in range(3)]
        slow = Client(await server.socket("visitor"))
        slow.socket.transport.write(b"\x81\xfe\x00")  # a frame that never ends
        assert [await one.closed() for one in silent] == [4408] * 3
        await slow.closed()
        assert server.app.state.limits.waiting == 0
        await well(*await opened(server))


async def opened(server: Server) -> tuple[Visitor, str]:
    visitor = await server.visitor()
    return visitor, await visitor.open("Hello")


async def test_a_flood_is_cut_and_others_go_on(start: Start) -> None:
    async with start(frames_per_10s=200) as server:
        visitor, desk, thread = await server.meeting("Hello")
        flooder, theirs = await opened(server)
        with_pings = [flooder.socket.send('{"t":"ping"}') for _ in range(400)]
        await asyncio.gather(*with_pings, return_exceptions=True)
        assert await flooder.closed() == 4429
        assert flooder.raw[-1].startswith('{"t":"error","code":"too_many"')
        assert len(flooder.raw) < 260
        again = await server.visitor(token=flooder.token)
        await well(again, theirs)
        await well(visitor, thread)
        await desk.settle()


async def test_control_frames_without_end_are_answered_or_cut(server: Server) -> None:
    visitor, desk, thread = await server.meeting("Hello")
    flooder, _ = await opened(server)
    for _ in range(2000):
        flooder.socket.transport.write(b"\x89\x84\x00\x00\x00\x00ping")
    await well(visitor, thread)
    await desk.settle()


# ── frames that a machine makes up ──────────────────────────────────────────────────────────────────────────────

FIELDS = sorted({name for kind in get_args(frames.FromVisitor | frames.FromAgent) for name in kind.__struct_fields__})
TAGS = sorted({str(kind.__struct_config__.tag) for kind in get_args(frames.FromVisitor | frames.FromAgent)})
odd_values: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=60)
    | st.sampled_from([ID, CID, "", "a"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
odd_frames = st.builds(
    lambda tag, fields: {"t": tag, **fields},
    st.sampled_from(TAGS),
    st.dictionaries(st.sampled_from(FIELDS), odd_values, max_size=6),
)


def mutated(draw: random.Random, thread: str) -> str:
    """A right frame with something wrong in it."""
    kind = draw.choice(get_args(frames.FromVisitor | frames.FromAgent))
    values = {"cid": new_cid(), "conversation": thread, "text": "Hello", "check": ID, "held": ID, "v": 1, "before": 3}
    frame = {"t": kind.__struct_config__.tag, **{name: values.get(name, "x") for name in kind.__struct_fields__}}
    data = json.dumps(frame)
    for _ in range(draw.randint(1, 3)):
        at = draw.randrange(len(data))
        data = draw.choice(
            (data[:at] + data[at + 1 :], data[:at] + draw.choice('{}[]",:\\0\x7fé') + data[at:], data[:at])
        )
    return data


@pytest.mark.parametrize("side", ["visitor", "agent"])
async def test_made_up_frames_break_nothing(start: Start, side: str) -> None:
    """Bounded: some hundreds over one socket."""
    made: list[str] = []

    @settings(max_examples=250, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(odd_frames)
    def make(frame: dict[str, Any]) -> None:
        made.append(json.dumps(frame))

    make()
    draw = random.Random(33)
    async with start(frames_per_10s=100_000, messages_per_10s=100_000, agent_messages_per_10s=100_000) as server:
        visitor, desk, thread = await server.meeting("Hello")
        client: Client = visitor if side == "visitor" else desk
        made += [mutated(draw, thread) for _ in range(250)]
        for number, data in enumerate(made):
            await client.socket.send(data.encode("utf-8", "replace").decode())
            if number % 50 == 49:
                await client.settle()
        await client.settle()
        assert not any('"code":"internal"' in raw for raw in client.raw)
        again, theirs = await opened(server)
        await well(again, theirs)
        await client.settle()


# ── bodies of HTTP requests ─────────────────────────────────────────────────────────────────────────────────────

ODD_BODIES = {
    "nothing": b"",
    "no JSON": b"email=a&password=b",
    "null": b"null",
    "a list": b"[]",
    "deep": DEEP.encode()[:8000],
    "bad UTF-8": b'{"email":"\xff\xfe","password":"x"}',
    "UTF-16": '{"email":"a@b","password":"x"}'.encode("utf-16"),
    "lone surrogate": b'{"email":"\\ud800@b.example","password":"\\ud800"}',
    "surrogate in the token": b'{"token":"\\ud800"}',
    "NUL": b'{"email":"a\\u0000@b.example","password":"a\\u0000b"}',
    "objects": b'{"email":{"$ne":""},"password":{"$gt":""}}',
    "lists": b'{"email":["a@b.example"],"password":["x"]}',
    "numbers": b'{"email":1,"password":2,"token":3}',
    "true": b'{"email":true,"password":true,"token":true}',
    "more fields": b'{"email":"a@b.example","password":"x","role":"admin","token":"x"}',
    "huge number": b'{"token":' + b"9" * 7000 + b"}",
    "too long": b'{"token":"' + b"x" * 9000 + b'"}',
}


async def test_an_odd_body_is_refused_by_every_post(server: Server) -> None:
    cookie = await server.sign_in("claire")
    for name, body in ODD_BODIES.items():
        for route in ROUTES:
            if route.method != "POST" or route.path in ("/api/logout", "/api/ticket", "/sse/visitor", "/sse/agent"):
                continue  # two read no body, and two answer with a stream: see test_hostile_streams.py
            answer = await server.http.post(route.path, content=body, headers={"origin": server.url, "cookie": cookie})
            assert answer.status_code in (400, 401, 404, 413), (name, route.path, answer.status_code)
            assert answer.json()["code"] in ("bad_input", "not_signed_in", "not_found", "too_long", "connection_gone")
            assert "set-cookie" not in answer.headers
    assert (await server.post("/api/login", {"email": email_of("claire"), "password": PASSWORD})).status_code == 200


async def test_a_body_that_nobody_asked_for_does_no_harm(server: Server) -> None:
    headers = {"origin": server.url, "cookie": await server.sign_in("claire")}
    for path in ("/api/ticket", "/api/logout"):
        answer = await server.http.post(path, content=b"\xff" * 300_000, headers=headers)
        assert answer.status_code in (200, 204)
    assert (await server.http.get("/healthz")).status_code == 200


async def test_a_body_without_an_end_is_cut(server: Server) -> None:
    sent = 0

    async def endless() -> Any:
        nonlocal sent
        for _ in range(2000):
            sent += 4096
            yield b" " * 4096
            await asyncio.sleep(0)

    headers = {"origin": server.url}
    answer = await server.http.post("/api/login", content=endless(), headers=headers)
    assert answer.status_code in (400, 413)
    assert (await server.post("/api/login", {"email": email_of("claire"), "password": PASSWORD})).status_code == 200


async def test_odd_requests_by_hand_do_not_reach_the_application(server: Server) -> None:
    port = int(server.url.rpartition(":")[2])
    for data in (
        b"GET / HTTP/1.1\r\n\r\n",
        b"BREW /api/login HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST /api/login HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST /api/login HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"GET /ws/visitor HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: x\r\n\r\n",
        b"GET /\x00 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(data)
        answer = b""
        try:
            async with asyncio.timeout(0.5):
                answer = await reader.read(200)
        except (TimeoutError, ConnectionError):
            answer = b"(closed)"
        assert b" 500 " not in answer
        assert b" 200 " not in answer
        writer.close()
    assert (await server.http.get("/readyz")).status_code == 200


async def test_a_socket_opened_again_and_again_leaves_nothing(server: Server) -> None:
    for number in range(60):
        socket = await server.socket("visitor")
        if number % 3 == 0:
            await socket.send(json.dumps({**HELLO, "token": new_visitor_token()}))
        if number % 3 == 1:
            socket.transport.abort()
        else:
            await socket.close()
    for _ in range(100):
        if not server.app.state.limits.total:
            break
        await asyncio.sleep(0.02)
    assert (server.app.state.limits.total, server.app.state.limits.waiting) == (0, 0)
    assert len(server.app.state.limits.addresses) == 0
    assert server.parts.hub.peers == set()
