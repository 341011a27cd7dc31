"""The quick way of reading a frame says the same as the library's, whatever comes and however it is cut."""

from __future__ import annotations

import asyncio
import json
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode
from websockets.speedups import apply_mask

from aparte import demo
from aparte.lines import _head, _left_after, _text_at
from harness import Server

MASK = b"\x01\x02\x03\x04"


def masked(text: bytes, first: int = 0x81) -> bytes:
    size = len(text)
    if size < 126:
        head = bytes((first, 0x80 | size))
    elif size < 1 << 16:
        head = struct.pack(">BBH", first, 0x80 | 126, size)
    else:
        head = struct.pack(">BBQ", first, 0x80 | 127, size)
    return head + MASK + apply_mask(text, MASK)


@given(st.text(max_size=500))
def test_it_reads_a_whole_text_frame(text: str) -> None:
    whole = masked(text.encode())
    assert _text_at(whole, 0) == (text, len(whole))
    assert _text_at(b"before" + whole + b"after", 6) == (text, 6 + len(whole))


@given(st.integers(0, 70_000))
def test_it_writes_the_head_that_the_library_writes(size: int) -> None:
    data = b"x" * size
    assert _head(size) + data == Frame(Opcode.TEXT, data).serialize(mask=False)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        masked(b"x", 0x01),  # the first part of a message
        masked(b"x", 0x80),  # a later part
        masked(b"x", 0x82),  # binary
        masked(b"", 0x89),  # ping
        masked(b"", 0x88),  # close
        masked(b"x", 0xC1),  # a reserved bit
        masked(b"\xff"),  # not UTF-8
        masked(b"x" * 70_000),  # a length of eight bytes
        masked(b"one")[:-1],
        b"\x81\x01x",  # not masked
        b"\x81\xfe\x00\x01" + MASK + b"x",  # not the shortest length
    ],
)
def test_it_leaves_everything_else_to_the_library(data: bytes) -> None:
    assert _text_at(data, 0) is None
    assert _text_at(masked(b"one") + data, 9) is None


@given(st.lists(st.binary(max_size=300), min_size=1, max_size=5), st.lists(st.integers(1, 400), max_size=8))
def test_it_knows_where_a_frame_ends_or_that_it_does_not_know(texts: list[bytes], cuts: list[int]) -> None:
    data = b"".join(masked(text) for text in texts)
    ends = {0}
    for text in texts:
        ends.add(max(ends) + len(masked(text)))
    at, left = 0, 0
    for cut in [*cuts, len(data)]:
        piece = data[at : at + cut]
        if not piece:
            break
        at += len(piece)
        now = _left_after(piece, left)
        if now is None:
            return  # a header was cut: from here on the library reads alone
        left = now
        assert (left == 0) == (at in ends)


@pytest.mark.parametrize(
    ("soft", "hard", "room", "then"),
    [(64, 1000, 744, 1000), (64, 5000, 1000, 1256)],
)
def test_it_keeps_no_more_connections_than_the_process_may_have_files(
    soft: int, hard: int, room: int, then: int
) -> None:
    program = (
        f"import resource as r; r.setrlimit(r.RLIMIT_NOFILE, ({soft}, {hard})); from aparte import lines, logs; "
        "logs.configure('info'); print(lines.room(1000), r.getrlimit(r.RLIMIT_NOFILE)[0])"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ended.stdout.split("\n")[-2] == f"{room} {then}"
    told = [json.loads(line) for line in ended.stderr.splitlines()]
    few = {"event": "lines.few_files", "files": hard, "wanted": 1256, "connections": room, "setting": "LimitNOFILE"}
    assert [{name: one[name] for name in few} for one in told] == ([few] if room < 1000 else [])


async def test_who_waits_for_room_is_woken_when_the_connection_is_lost(server: Server) -> None:
    """A backlog on its way to somebody who has gone must not keep its place until the next event."""
    visitor = await server.visitor()
    [peer] = server.parts.hub.peers
    visitor.socket.transport.pause_reading()
    while peer.line.has_room:
        peer.push(b'"%s"' % (b"x" * 100_000))
        await asyncio.sleep(0)
    for _ in range(8):
        peer.push(b'"%s"' % (b"x" * 100_000))
    waiting = asyncio.create_task(peer.room())
    await asyncio.sleep(0.05)
    assert not waiting.done()
    visitor.socket.transport.abort()
    async with asyncio.timeout(2):
        await waiting


def test_the_demo_needs_no_more_files_than_a_process_has_everywhere(tmp_path: Path) -> None:
    settings = demo.settings_for(tmp_path, port=0, smtp_port=25)
    program = (
        "import resource as r; r.setrlimit(r.RLIMIT_NOFILE, (1024, 1024)); from aparte import lines, logs; "
        f"logs.configure('info'); print(lines.room({settings.connections_total}))"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert (ended.stdout, ended.stderr) == (f"{settings.connections_total}\n", "")
