"""Twin of frames/: whatever comes in is a frame or a clean refusal, and the next message works."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
import structlog.testing
import websockets
from hypothesis import given
from hypothesis import strategies as st

from aparte import frames
from aparte.errors import BadFrame, TooLong
from clients import AgentDesk, Visitor, new_cid
from harness import Server

THREAD = "t" * 22
CID = "0123abcd-0123-0123-0123-0123456789ab"


def post(**other: Any) -> dict[str, Any]:
    return {"t": "post", "cid": CID, "conversation": THREAD, "text": "Hello", **other}


def raw_post(text: str) -> str:
    """A post whose text is this piece of JSON."""
    return json.dumps(post()).replace('"Hello"', text)


def resync(number: str) -> str:
    """A resync whose number is this piece of JSON."""
    return f'{{"t":"resync","conversation":"{THREAD}","last_seq":{number}}}'


def test_it_reads_a_frame() -> None:
    assert frames.decode_visitor(json.dumps(post())) == frames.Post(CID, THREAD, "Hello")


@pytest.mark.parametrize("data", [json.dumps(post(text="é" * 4000)), json.dumps(post(text="x" * 4000))])
def test_it_takes_four_thousand_characters(data: str) -> None:
    frame = frames.decode_visitor(data)
    assert isinstance(frame, frames.Post)
    assert len(frame.text) == 4000


def test_it_takes_lines_tabs_and_every_script() -> None:
    text = "one\ntwo\tthree — déjà, 你好, שלום, 🙂"
    frame = frames.decode_visitor(json.dumps(post(text=text)))
    assert isinstance(frame, frames.Post)
    assert frame.text == text


OPEN = {"t": "open", "cid": CID, "text": "Hello", "name": "Dupont", "title": "Help"}
OVERRIDE = {"t": "override", "cid": CID, "conversation": THREAD, "held": THREAD, "reason": "by telephone"}
NOTE = {"t": "note", "cid": CID, "conversation": THREAD, "text": "Hello"}


@pytest.mark.parametrize(
    ("decode", "said", "field"),
    [
        *((frames.decode_visitor, OPEN, field) for field in ("text", "name", "title")),
        (frames.decode_agent, OVERRIDE, "reason"),
        (frames.decode_agent, NOTE, "text"),
    ],
)
def test_no_text_holds_control_characters(decode: Any, said: dict[str, Any], field: str) -> None:
    assert decode(json.dumps(said))
    with pytest.raises(BadFrame, match="control characters"):
        decode(json.dumps({**said, field: "a\x01b"}))


@pytest.mark.parametrize("length", [4001, 8000])
def test_it_says_that_a_text_is_too_long_and_whose(length: int) -> None:
    data = json.dumps(post(text="x" * length))
    with pytest.raises(TooLong):
        frames.decode_visitor(data)
    assert frames.cid_of(data) == CID


BAD: dict[str, str] = {
    "nothing": "",
    "no JSON": "hello",
    "half a frame": json.dumps(post())[:-3],
    "a list": "[1, 2]",
    "a number": "7",
    "null": "null",
    "a string": '"post"',
    "no type": json.dumps({"cid": CID}),
    "unknown type": json.dumps(post(t="delete_everything")),
    "a frame of the server": json.dumps({"t": "ack", "cid": CID, "conversation": THREAD, "seq": 1, "at": 1.0}),
    "an object as type": json.dumps(post(t={"a": 1})),
    "unknown field": json.dumps(post(admin=True)),
    "missing field": json.dumps({"t": "post", "cid": CID, "text": "Hello"}),
    "no text": json.dumps(post(text="")),
    "an object as text": json.dumps(post(text={"$gt": ""})),
    "a list as text": json.dumps(post(text=["Hello"])),
    "a number as text": json.dumps(post(text=7)),
    "null as text": json.dumps(post(text=None)),
    "U+0000": json.dumps(post(text="a\0b")),
    "a control character": json.dumps(post(text="a\x01b")),
    "a carriage return": json.dumps(post(text="a\r\nb")),
    "an escape": json.dumps(post(text="\x1b[2J")),
    "delete": json.dumps(post(text="a\x7f")),
    "a lone high surrogate": raw_post('"\\ud800"'),
    "a lone low surrogate": raw_post('"\\udc00 x"'),
    "a bad escape": raw_post('"\\x41"'),
    "cid in capitals": json.dumps(post(cid=CID.upper())),
    "cid with a line": json.dumps(post(cid=CID + "\n")),
    "conversation with a line": json.dumps(post(conversation=THREAD + "\n")),
    "conversation as path": json.dumps(post(conversation="../" + "t" * 19)),
    "NaN": resync("NaN"),
    "Infinity": resync("Infinity"),
    "a float": resync("1.5"),
    "a negative number": resync("-1"),
    "2**53": resync("9007199254740992"),
    "a huge number": resync("9" * 5000),
    "a huge exponent": resync("1e400"),
    "true as number": resync("true"),
    "deep lists": "[" * 30_000 + "]" * 30_000,
    "deep objects": '{"a":' * 10_000 + "1" + "}" * 10_000,
    "deep text": raw_post("[" * 20_000 + "]" * 20_000),
    "a byte order mark": "\ufeff" + json.dumps(post()),
}


@pytest.mark.parametrize("decode", [frames.decode_visitor, frames.decode_agent])
@pytest.mark.parametrize("name", BAD)
def test_it_refuses(name: str, decode: Any) -> None:
    with pytest.raises(BadFrame):
        decode(BAD[name])


def test_it_refuses_more_than_64_kib() -> None:
    with pytest.raises(BadFrame, match="64 KiB"):
        frames.decode_visitor(json.dumps(post()) + " " * frames.FRAME_BYTES)


@pytest.mark.parametrize("agents_own", ["claim", "note", "transfer", "show_record", "change", "override", "unfreeze"])
def test_a_visitor_cannot_say_what_is_an_agents(agents_own: str) -> None:
    with pytest.raises(BadFrame):
        frames.decode_visitor(json.dumps({"t": agents_own, "cid": CID, "conversation": THREAD}))


@given(st.text() | st.binary())
def test_it_raises_nothing_but_its_own(data: str | bytes) -> None:
    for decode in (frames.decode_visitor, frames.decode_agent):
        with pytest.raises((BadFrame, TooLong)):
            decode(data)
    assert frames.cid_of(data) == ""


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@given(st.sampled_from(["cid", "conversation", "text", "t"]), _JSON)
def test_it_takes_any_field_or_refuses_cleanly(field: str, value: Any) -> None:
    try:
        frame = frames.decode_visitor(json.dumps(post(**{field: value})))
    except (BadFrame, TooLong):
        return
    assert isinstance(frame, frames.Post)
    assert frames.encode(frame)


# ── over the real socket ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("who", ["visitor", "agent"])
async def test_bad_frames_are_refused_and_the_next_message_works(server: Server, who: str) -> None:
    visitor, claire, thread = await server.meeting()
    with structlog.testing.capture_logs() as logged:
        await _bad_frames(visitor, claire, thread, who)
    assert [entry for entry in logged if entry["log_level"] in ("error", "critical")] == []


async def _bad_frames(visitor: Visitor, claire: AgentDesk, thread: str, who: str) -> None:
    speaker, hearer = (visitor, claire) if who == "visitor" else (claire, visitor)
    for number, (name, data) in enumerate(BAD.items()):
        await speaker.socket.send(data)
        assert (await speaker.expect("error"))["code"] == "bad_frame", name
        if number % 8 == 0:
            await speaker.do("post", conversation=thread, text=f"after {name}")
            await hearer.event("message", text=f"after {name}")
    await speaker.socket.send(json.dumps(post()).encode())  # binary
    assert (await speaker.expect("error"))["code"] == "bad_frame"
    await speaker.do("post", conversation=thread, text="after all")
    await hearer.event("message", text="after all")


@pytest.mark.parametrize("size", [64 * 1024 + 1, 4 << 20])
async def test_a_frame_beyond_64_kib_ends_its_own_socket_alone(server: Server, size: int) -> None:
    visitor, claire, thread = await server.meeting()
    with contextlib.suppress(websockets.ConnectionClosed):  # it may end before all is sent
        await visitor.socket.send("x" * size)
    assert await visitor.closed() == 1009
    again = await server.visitor(token=visitor.token)
    await again.say(thread, "here again")
    await claire.event("message", text="here again")


async def test_a_frame_of_64_kib_is_read(server: Server) -> None:
    visitor, _, thread = await server.meeting()
    data = json.dumps(post(conversation=thread, cid=new_cid()))
    await visitor.socket.send(data + " " * (64 * 1024 - len(data)))
    await visitor.expect("ack")


async def test_text_that_is_not_utf8_ends_its_own_socket_alone(server: Server) -> None:
    visitor, claire, thread = await server.meeting()
    await visitor.socket.send(b'{"t":"ping","x":"\xff\xfe"}', text=True)
    assert await visitor.closed() == 1007
    again = await server.visitor(token=visitor.token)
    await again.say(thread, "here again")
    await claire.event("message", text="here again")


async def test_a_bad_hello_is_told_and_closed(server: Server) -> None:
    for name in ("no JSON", "deep lists", "a lone high surrogate", "a huge number", "unknown field"):
        visitor = await server.visitor(hello=False)
        await visitor.socket.send(BAD[name])
        assert (await visitor.expect("error"))["code"] == "bad_frame", name
        assert await visitor.closed() == 4400


async def test_a_wrong_hello_is_told_and_closed(server: Server) -> None:
    wrong: list[tuple[dict[str, Any], str, int]] = [
        ({"v": 2}, "bad_frame", 4400),
        ({"site": "another"}, "not_found", 4403),
        ({"token": "short"}, "bad_frame", 4400),
        ({"token": {"a": 1}}, "bad_frame", 4400),
        ({"lang": "de"}, "bad_frame", 4400),
    ]
    for said, code, close in wrong:
        visitor = await server.visitor(hello=False)
        await visitor.send("hello", **{"v": 1, "site": "air", "token": visitor.token, **said})
        assert (await visitor.expect("error"))["code"] == code, said
        assert await visitor.closed() == close


async def test_another_frame_before_hello_is_refused_and_closed(server: Server) -> None:
    visitor = await server.visitor(hello=False)
    await visitor.send("open", cid=new_cid(), text="Hello")
    assert (await visitor.expect("error"))["code"] == "bad_frame"
    assert await visitor.closed() == 4400
    assert server.rows("SELECT count(*) FROM conversation") == [(0,)]


async def test_a_socket_without_hello_is_closed(start: Any) -> None:
    async with start(hello_seconds=0.2) as server:
        visitor = await server.visitor(hello=False)
        assert await visitor.closed(seconds=3) == 4408


async def test_a_second_hello_changes_nothing(server: Server) -> None:
    visitor, _, thread = await server.meeting()
    other = await server.visitor()
    await visitor.send("hello", v=1, site="air", token=other.token)
    assert (await visitor.expect("error"))["code"] == "bad_frame"
    await visitor.say(thread, "still myself")
