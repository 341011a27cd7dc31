"""Cases of RFC 6455 that need no echo, byte by byte, against the real server's own socket.

Each says what is sent after hello and what must come: the answer to a ping in between, or the close code.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from websockets.speedups import apply_mask

from clients import SITE, new_visitor_token
from harness import Server

TEXT, BINARY, MORE, CLOSE, PING, PONG = 0x1, 0x2, 0x0, 0x8, 0x9, 0xA
FIN: Final = 0x80
MASK: Final = b"\x11\x22\x33\x44"
SECONDS: Final = 10.0
ASK: Final = b'{"t":"ping"}'  # the product's own, answered with a `pos`


def frame(kind: int, payload: bytes = b"", *, fin: bool = True, bits: int = 0, length: bytes | None = None) -> bytes:
    """A client's frame. `bits`: the reserved ones; `length`: the field as it stands, when it shall not be the right one."""
    size = len(payload)
    if length is None:
        if size < 126:
            length = bytes((size,))
        elif size < 1 << 16:
            length = bytes((126,)) + struct.pack(">H", size)
        else:
            length = bytes((127,)) + struct.pack(">Q", size)
    head = bytes(((FIN if fin else 0) | bits << 4 | kind, 0x80 | length[0])) + length[1:]
    return head + MASK + apply_mask(payload, MASK)


def unmasked(kind: int, payload: bytes) -> bytes:
    return bytes((FIN | kind, len(payload))) + payload


def closing(code: int, reason: bytes = b"") -> bytes:
    return frame(CLOSE, struct.pack(">H", code) + reason)


@dataclass(frozen=True)
class Case:
    """`writes`: sent one after the other, each in a packet of its own. What must come: an answer to the product's ping
    (`answers` of them), a pong with this payload, the close code. `code` None: the connection stays open."""

    name: str
    writes: tuple[bytes, ...]
    code: int | None = None
    answers: int = 0
    pong: bytes | None = None


def drip(data: bytes) -> tuple[bytes, ...]:
    return tuple(data[at : at + 1] for at in range(len(data)))


CASES: Final = (
    # ── what is right ─────────────────────────────────────────────────────────────────────────────────────────
    Case("a whole text", (frame(TEXT, ASK),), answers=1),
    Case("two texts in one packet", (frame(TEXT, ASK) + frame(TEXT, ASK),), answers=2),
    Case("a text in single bytes", drip(frame(TEXT, ASK)), answers=1),
    Case("a text cut in its header, then one whole", (frame(TEXT, ASK)[:1], frame(TEXT, ASK)[1:], frame(TEXT, ASK)), answers=2),
    Case("one and a half, then the rest", (frame(TEXT, ASK) + frame(TEXT, ASK)[:7], frame(TEXT, ASK)[7:]), answers=2),
    Case("a text in two fragments", (frame(TEXT, ASK[:5], fin=False), frame(MORE, ASK[5:])), answers=1),
    Case("a text in fragments of one byte", (b"".join([frame(TEXT, ASK[:1], fin=False), *[frame(MORE, ASK[at : at + 1], fin=False) for at in range(1, len(ASK))], frame(MORE)]),), answers=1),
    Case("empty fragments around it", (frame(TEXT, fin=False), frame(MORE, ASK, fin=False), frame(MORE)), answers=1),
    Case("a ping between fragments", (frame(TEXT, ASK[:5], fin=False), frame(PING, b"x"), frame(MORE, ASK[5:])), answers=1, pong=b"x"),
    Case("a pong that nobody asked for", (frame(PONG, b"x"), frame(TEXT, ASK)), answers=1),
    Case("a ping without a payload", (frame(PING),), pong=b""),
    Case("a ping of 125 bytes", (frame(PING, b"p" * 125),), pong=b"p" * 125),
    Case("a ping in single bytes", drip(frame(PING, b"drip")), pong=b"drip"),
    Case("a character cut between fragments", (frame(TEXT, b'{"t":"typing","conversation":"\xc3', fin=False), frame(MORE, b'\xa9"}'), frame(TEXT, ASK)), answers=1),
    # ── what ends the connection, and how ─────────────────────────────────────────────────────────────────────
    Case("a close with a code", (closing(1000),), 1000),
    Case("a close with a code and a reason", (closing(1000, "adieu à tous".encode()),), 1000),
    Case("a close of our own range", (closing(4999),), 4999),
    Case("a close without a code", (frame(CLOSE),), 1005),
    Case("a close with one byte", (frame(CLOSE, b"\x03"),), 1002),
    *(Case(f"a close with the code {code}", (closing(code),), 1002) for code in (0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65_535)),
    Case("a close whose reason is not UTF-8", (closing(1000, b"\xff"),), 1007),
    Case("a close of 126 bytes", (frame(CLOSE, struct.pack(">H", 1000) + b"x" * 124),), 1002),
    Case("a ping of 126 bytes", (frame(PING, b"p" * 126),), 1002),
    Case("a ping in fragments", (frame(PING, b"p", fin=False),), 1002),
    *(Case(f"reserved bit {bit:03b}", (frame(TEXT, ASK, bits=bit),), 1002) for bit in (1, 2, 4, 7)),
    Case("a reserved bit on a ping", (frame(PING, b"", bits=4),), 1002),
    *(Case(f"the opcode {kind:#x}", (frame(kind, b"x"),), 1002) for kind in (0x3, 0x4, 0x5, 0x6, 0x7, 0xB, 0xC, 0xD, 0xE, 0xF)),
    Case("a fragment of nothing", (frame(MORE, ASK),), 1002),
    Case("a new text inside a message", (frame(TEXT, b"x", fin=False), frame(TEXT, ASK)), 1002),
    Case("a frame that is not masked", (unmasked(TEXT, ASK),), 1002),
    Case("a ping that is not masked", (unmasked(PING, b"x"),), 1002),
    Case("a text that is not UTF-8", (frame(TEXT, b"\xff\xfe"),), 1007),
    Case("a surrogate in UTF-8", (frame(TEXT, b"\xed\xa0\x80"),), 1007),
    Case("an overlong form", (frame(TEXT, b"\xc0\xaf"),), 1007),
    Case("a character that has no end", (frame(TEXT, b"\xc3"),), 1007),
    Case("not UTF-8 over two fragments", (frame(TEXT, b"\xc3", fin=False), frame(MORE, b"\x28")), 1007),
    Case("a message too long", (frame(TEXT, b"x" * 65_537),), 1009),
    Case("a message too long in fragments", (frame(TEXT, b"x" * 40_000, fin=False), frame(MORE, b"x" * 40_000)), 1009),
    Case("a length of eight bytes that never comes", (frame(TEXT, b"", length=bytes((127,)) + struct.pack(">Q", 1 << 62)),), 1009),
    Case("after a close nothing counts", (closing(1000) + frame(TEXT, ASK),), 1000),
)  # fmt: skip


class Raw:
    """A socket after hello, read frame by frame."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def greeted(cls, server: Server) -> Raw:
        host, port = server.settings.host, server.settings.port
        reader, writer = await asyncio.open_connection(host, port)
        key = base64.b64encode(os.urandom(16)).decode()
        lines = (
            "GET /ws/visitor HTTP/1.1",
            f"Host: {host}:{port}",
            "Upgrade: websocket",
            "Connection: Upgrade",
            "Sec-WebSocket-Version: 13",
            f"Sec-WebSocket-Key: {key}",
            f"Origin: {server.url}",
        )
        writer.write(("\r\n".join(lines) + "\r\n\r\n").encode())
        head = await reader.readuntil(b"\r\n\r\n")
        assert b" 101 " in head.split(b"\r\n")[0], head
        raw = cls(reader, writer)
        hello = {"t": "hello", "v": 1, "site": SITE, "token": new_visitor_token()}
        writer.write(frame(TEXT, json.dumps(hello).encode()))
        _, welcome = await raw.next()
        assert b'"welcome"' in welcome, welcome
        return raw

    async def next(self) -> tuple[int, bytes]:
        """The next frame's opcode and payload. Raises IncompleteReadError at the end."""
        first, second = await self.reader.readexactly(2)
        size = second & 0x7F
        if size == 126:
            (size,) = struct.unpack(">H", await self.reader.readexactly(2))
        elif size == 127:
            (size,) = struct.unpack(">Q", await self.reader.readexactly(8))
        return first & 0x0F, await self.reader.readexactly(size)


async def try_one(server: Server, case: Case) -> str:
    """What is wrong; empty when nothing is."""
    raw = await Raw.greeted(server)
    try:
        async with asyncio.timeout(SECONDS):
            for data in case.writes:
                raw.writer.write(data)
                await raw.writer.drain()
                if len(case.writes) > 1:
                    await asyncio.sleep(0.001)
            return await _heard(raw, case)
    except TimeoutError:
        return f"{case.name}: nothing came for {SECONDS:g} s"
    finally:
        raw.writer.close()
        with contextlib.suppress(ConnectionError):  # the server may have been faster
            await raw.writer.wait_closed()


async def _heard(raw: Raw, case: Case) -> str:
    """Reads until everything that was due has come, and then one ping's way more; or until the end."""
    answers, pongs, code, is_ended, is_asked = 0, [], None, False, False
    expected = [] if case.pong is None else [case.pong]
    while True:
        if case.code is None and not is_asked and (answers, pongs) == (case.answers, expected):
            raw.writer.write(frame(PING, b"last"))
            is_asked = True
        try:
            kind, payload = await raw.next()
        except (asyncio.IncompleteReadError, ConnectionError):
            is_ended = True
            break
        if kind == TEXT:
            answers += b'"pos"' in payload
        elif (kind, payload) == (PONG, b"last"):
            break
        elif kind == PONG:
            pongs.append(payload)
        elif kind == CLOSE:
            code = int.from_bytes(payload[:2], "big") if payload else 1005
    if (code, is_ended) != (case.code, case.code is not None):
        return f"{case.name}: closed with {code}, ended {is_ended}, where {case.code} was due"
    if answers != case.answers or pongs != expected:
        return f"{case.name}: {answers} answers and {pongs} where {case.answers} and {expected} were due"
    return ""


async def try_all(server: Server, cases: Iterable[Case] = CASES) -> list[str]:
    """What was wrong, a sentence each; and whether the server lives on."""
    wrong = [said for case in cases if (said := await try_one(server, case))]
    if (await server.http.get("/readyz")).status_code != 200:
        wrong.append("the server is not ready after the cases")
    return wrong
