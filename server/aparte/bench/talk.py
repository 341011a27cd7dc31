"""People of the bench: a visitor's and an agent's socket that say what the product's own pages say.

Knows the frames' names. Must not know what is measured. Frames are read as plain dictionaries, so that what the server
writes is judged by its bytes and not by the types that wrote them.
"""

from __future__ import annotations

import asyncio
import base64
import http.client
import os
import secrets
import time
import uuid
from collections.abc import Callable
from typing import Any, Final

import msgspec

from aparte.bench.servers import AGENTS, PASSWORD, SITE, Installation, email
from aparte.bench.wire import Wire, connect
from aparte.errors import Unavailable

PATIENCE: Final = 20.0  # seconds for any one answer
Said = dict[str, Any]


class Refused(Unavailable):
    """The server answered with an error frame."""

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(f"The server under test refused a frame: {code}: {sentence}")
        self.refusal = code


class Talk:
    """One open socket, its frames decoded, and the means to wait for one of them."""

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self._waiting: list[tuple[Callable[[Said], bool], asyncio.Future[Said]]] = []
        wire.on_text = self.take

    def take(self, payload: bytes) -> None:
        """Gets each frame."""
        said = msgspec.json.decode(payload)
        self.keep(said)
        for pair in [pair for pair in self._waiting if pair[0](said)]:
            self._waiting.remove(pair)
            if not pair[1].done():
                pair[1].set_result(said)

    def keep(self, said: Said) -> None:
        """For heirs that remember."""

    async def ask(self, frame: Said, wanted: Callable[[Said], bool]) -> Said:
        """Says `frame` and waits for the first frame that is `wanted`. Raises Refused, Unavailable."""
        cid = frame.get("cid")
        future: asyncio.Future[Said] = asyncio.get_running_loop().create_future()
        self._waiting.append((lambda said: wanted(said) or _refuses(said, cid), future))
        self.wire.send(msgspec.json.encode(frame))
        waiting: set[asyncio.Future[Any]] = {future, self.wire.ended}
        await asyncio.wait(waiting, timeout=PATIENCE, return_when=asyncio.FIRST_COMPLETED)
        if not future.done():
            why = self.wire.ended.result() if self.wire.ended.done() else f"no answer in {PATIENCE:g} s"
            raise Unavailable(f"The server under test did not answer {frame['t']}: {why}.")
        said = future.result()
        if said["t"] == "error":
            raise Refused(said.get("code", ""), said.get("sentence", ""))
        return said


def _refuses(said: Said, cid: str | None) -> bool:
    return said["t"] == "error" and (not cid or said.get("cid", cid) in (cid, ""))


def of(kind: str, **fields: str) -> Callable[[Said], bool]:
    """Wants the frame of this type and these fields."""
    return lambda said: said["t"] == kind and all(said.get(name) == value for name, value in fields.items())


def new_cid() -> str:
    """A client id as the product's own pages make it: in the order of time (RFC 9562, version 7)."""
    at = f"{int(time.time() * 1000):012x}"
    return f"{at[:8]}-{at[8:]}-7{str(uuid.uuid4())[15:]}"


def new_token() -> str:
    """A visitor's secret, as a browser makes it."""
    return base64.urlsafe_b64encode(secrets.token_bytes(32)).rstrip(b"=").decode()


def visitor_hello(token: str) -> Said:
    return {"t": "hello", "v": 1, "site": SITE, "token": token}


class Desk:
    """The agents, signed in."""

    def __init__(self, made: Installation) -> None:
        self._made = made
        self._cookies: list[str] = []

    async def open(self, agents: int = AGENTS, *, first: int = 0) -> None:
        """Signs so many agents in. Args: first: number of the first of them. Raises Unavailable."""
        numbers = range(first, first + agents)
        self._cookies = [await asyncio.to_thread(self._sign_in, number) for number in numbers]

    def _sign_in(self, number: int) -> str:
        body = msgspec.json.encode({"email": email(number), "password": PASSWORD})
        return self._post("/api/login", "", body)[1].split(";")[0]

    def _post(self, path: str, cookie: str, body: bytes) -> tuple[bytes, str]:
        headers = {"origin": self._made.origin, "cookie": cookie, "content-type": "application/json"}
        connection = http.client.HTTPConnection("127.0.0.1", self._made.port, timeout=PATIENCE)
        try:
            connection.request("POST", path, body, headers)
            answer = connection.getresponse()
            said = answer.read()
            if answer.status != 200:
                raise Unavailable(f"The server under test answered {path} with {answer.status}.")
            return said, answer.headers.get("set-cookie", "")
        finally:
            connection.close()

    async def agent(self, number: int, kind: type[Talk] = Talk) -> Any:
        """A new socket of the agent `number`, past its welcome. Args: kind: what to make of the wire."""
        cookie = self._cookies[number % len(self._cookies)]
        said, _ = await asyncio.to_thread(self._post, "/api/ticket", cookie, b"")
        ticket = msgspec.json.decode(said)["ticket"]
        talk = kind(await connect(self._made.port, "/ws/agent", origin=self._made.origin, cookie=cookie))
        await talk.ask({"t": "hello", "v": 1, "ticket": ticket}, of("welcome"))
        return talk


async def visitor(
    made: Installation, token: str, kind: type[Talk] = Talk, *, source: str | None = None, browser: str = "aparte bench"
) -> Any:
    """A new socket of the visitor who holds `token`, past its welcome. Args: kind: what to make of the wire."""
    talk = kind(await connect(made.port, "/ws/visitor", origin=made.origin, source=source, agent=browser))
    await talk.ask(visitor_hello(token), of("welcome"))
    return talk


async def join(desk_talk: Talk, conversation: str) -> None:
    """An agent takes a waiting conversation and opens it on the screen."""
    claim = {"t": "claim", "cid": new_cid(), "conversation": conversation}
    await desk_talk.ask(claim, of("ack", cid=claim["cid"]))
    await desk_talk.ask({"t": "watch", "conversation": conversation}, of("events", conversation=conversation))


def random_part() -> str:
    """Eight characters that occur nowhere else."""
    return os.urandom(4).hex()
