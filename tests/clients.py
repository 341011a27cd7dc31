"""People who speak to a running server in a test: a visitor's socket and an agent's; see harness.py for the ways.

Knows the wire as a browser does. Checks by itself that the events of a conversation come without a gap or a double.
"""

from __future__ import annotations

import asyncio
import base64
import json
import secrets
import uuid
from collections.abc import Callable
from typing import Any, Final

import websockets

SITE: Final = "air"
SECONDS: Final = 10.0  # how long anything is waited for, on a slow machine

Frame = dict[str, Any]


def new_cid() -> str:
    return str(uuid.uuid4())


def new_visitor_token() -> str:
    """As the browser makes it: 256 random bits."""
    return base64.urlsafe_b64encode(secrets.token_bytes(32)).rstrip(b"=").decode()


class Client:
    """One socket, read all the time: what came is kept until it is asked for."""

    def __init__(self, socket: Any) -> None:
        self.socket = socket
        self.raw: list[str] = []
        self.tops: dict[str, int] = {}  # by conversation: the last number that came
        self.wrong: list[str] = []  # gaps and doubles; `leave` fails on them
        self._waiting: list[Frame] = []
        self._news = asyncio.Condition()
        self._reader = asyncio.create_task(self._read())

    @property
    def everything(self) -> str:
        """All text that ever came."""
        return "\n".join(self.raw)

    async def _read(self) -> None:
        try:
            async for data in self.socket:
                await self._take(data)
        except websockets.ConnectionClosed:
            pass  # its code is on the socket; `closed` tells it
        async with self._news:
            self._news.notify_all()

    async def _take(self, data: str) -> None:
        assert isinstance(data, str), "the server speaks text"
        frame = json.loads(data)
        came = [frame]
        if frame["t"] == "event":
            self._number(frame)
        elif frame["t"] == "reset":
            self.tops.pop(frame["conversation"], None) if not frame.get("resumed") else None
        elif frame["t"] == "events" and not frame.get("older"):
            for item in frame["items"]:
                self._number(item)
            came += [{"t": "event", **item} for item in frame["items"]]
        async with self._news:
            self.raw.append(data)
            self._waiting += came
            self._news.notify_all()

    def _number(self, event: Frame) -> None:
        thread, seq = event["conversation"], event["seq"]
        before = self.tops.get(thread)
        if before is not None and seq != before + 1:
            self.wrong.append(f"{thread}: {seq} after {before}")
        self.tops[thread] = seq

    # ── speaking ────────────────────────────────────────────────────────────────────────────────────────────

    async def send(self, t: str, **fields: Any) -> None:
        await self.socket.send(json.dumps({"t": t, **fields}))

    async def ask(self, t: str, **fields: Any) -> Frame:
        """Sends with a new cid unless one is given; returns the ack, `opened`, `record` or error that names it."""
        cid = fields.setdefault("cid", new_cid())
        await self.send(t, **fields)
        return await self._first(
            lambda frame: frame["t"] in ("ack", "opened", "record", "error") and frame.get("cid") == cid,
            f"an answer to {t}",
        )

    async def do(self, t: str, **fields: Any) -> Frame:
        """As `ask`; fails on an error."""
        answer = await self.ask(t, **fields)
        assert answer["t"] != "error", answer
        return answer

    async def refused(self, t: str, **fields: Any) -> str:
        """As `ask`; fails unless it is an error, whose code it returns."""
        answer = await self.ask(t, **fields)
        assert answer["t"] == "error", answer
        return str(answer["code"])

    # ── hearing ─────────────────────────────────────────────────────────────────────────────────────────────

    async def expect(self, t: str, *, seconds: float = SECONDS, **fields: Any) -> Frame:
        """Takes the first frame of this type that has these fields."""
        return await self._first(
            lambda frame: frame["t"] == t and all(frame.get(name) == value for name, value in fields.items()),
            f"{t} {fields}",
            seconds,
        )

    async def event(self, kind: str, *, seconds: float = SECONDS, **body: Any) -> Frame:
        """Takes the first event of this kind whose body has these fields, live or out of a page."""
        return await self._first(
            lambda frame: (
                frame["t"] == "event"
                and frame["kind"] == kind
                and all(frame["body"].get(name) == value for name, value in body.items())
            ),
            f"event {kind} {body}",
            seconds,
        )

    async def check(self, state: str, *, seconds: float = SECONDS) -> Frame:
        """Takes the first check card in this state."""
        found = await self._first(
            lambda frame: (
                frame["t"] == "event" and frame["kind"] == "check" and frame["body"]["check"]["state"] == state
            ),
            f"check {state}",
            seconds,
        )
        card: Frame = found["body"]["check"]
        return card

    async def _first(self, fits: Callable[[Frame], bool], what: str, seconds: float = SECONDS) -> Frame:
        try:
            async with asyncio.timeout(seconds), self._news:
                while True:
                    for at, frame in enumerate(self._waiting):
                        if fits(frame):
                            return self._waiting.pop(at)
                    if self._reader.done():
                        raise AssertionError(f"closed with {self.socket.close_code} before {what}; {self._came()}")
                    await self._news.wait()
        except TimeoutError:
            raise AssertionError(f"no {what} within {seconds} s; {self._came()}") from None

    def _came(self) -> str:
        return "waiting: " + " ".join(json.dumps(frame)[:300] for frame in self._waiting[-12:])

    async def settle(self) -> None:
        """After this, everything that the server said to this socket before has come."""
        self._waiting = [frame for frame in self._waiting if frame["t"] != "pos"]
        for _ in range(2):  # one of the answers may be the one that comes by itself now and then
            await self.send("ping")
        for _ in range(2):
            await self.expect("pos")

    def heard(self, kind: str) -> list[Frame]:
        """The events of this kind that came and were not taken."""
        return [frame for frame in self._waiting if frame["t"] == "event" and frame["kind"] == kind]

    def types(self) -> list[str]:
        """The types of the frames that came and were not taken."""
        return [frame["t"] for frame in self._waiting]

    async def closed(self, *, seconds: float = SECONDS) -> int:
        """Waits for the end of the socket; returns its close code."""
        async with asyncio.timeout(seconds):
            await asyncio.wait({self._reader})
        return int(self.socket.close_code or 0)

    async def leave(self) -> None:
        """Closes the socket; fails when events came with a gap or twice."""
        await self.socket.close()
        await self._reader
        assert not self.wrong, self.wrong


class Visitor(Client):
    """A person on the company's website."""

    def __init__(self, socket: Any, token: str) -> None:
        super().__init__(socket)
        self.token = token

    async def hello(self, **said: Any) -> Frame:
        self.tops.update({thread: said.get("last_seq", 0) for thread in [said.get("conversation")] if thread})
        await self.send("hello", **{"v": 1, "site": SITE, "token": self.token, **said})
        self.welcome = await self.expect("welcome")
        return self.welcome

    async def open(self, text: str, **more: Any) -> str:
        """The first message; returns the conversation's id."""
        opened = await self.do("open", text=text, **more)
        return str(opened["conversation"]["id"])

    async def say(self, thread: str, text: str) -> Frame:
        return await self.do("post", conversation=thread, text=text)


class AgentDesk(Client):
    """A colleague with the panel open."""

    def __init__(self, socket: Any, cookie: str) -> None:
        super().__init__(socket)
        self.cookie = cookie

    async def hello(self, **said: Any) -> Frame:
        self.tops.update(said.get("conversations", {}))
        await self.send("hello", **{"v": 1, **said})
        self.welcome = await self.expect("welcome")
        return self.welcome

    async def watch(self, thread: str, last_seq: int = 0) -> Frame:
        """Opens a conversation; returns its view."""
        if last_seq:
            self.tops[thread] = last_seq
        await self.send("watch", conversation=thread, last_seq=last_seq)
        return await self.expect("reset", conversation=thread)

    async def take(self, thread: str) -> Frame:
        """Claims and opens a conversation."""
        await self.do("claim", conversation=thread)
        return await self.watch(thread)

    async def reply(self, thread: str, text: str) -> Frame:
        return await self.do("post", conversation=thread, text=text)
