"""Replays written dialogues, a visitor's and an agent's socket each, and compares what was said with what was seen.

Knows what a screen may show and what counts as lost, doubled or out of order. Must not know why the gate or the guard
did what it did.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import msgspec

from aparte.bench.servers import Installation
from aparte.bench.talk import Desk, Refused, Said, Talk, join, new_cid, new_token, of, random_part, visitor
from aparte.bench.wire import Wire
from aparte.errors import BadInput, Unavailable

AT_ONCE: Final = 50
CANARIES: Final = ("text", "name", "page", "title", "browser", "reply", "held", "note", "long", "query")
SEEN_SECONDS: Final = 10.0  # for an acknowledged turn to reach both screens before the next one is said


class Turn(msgspec.Struct, rename={"by": "from"}):
    """One line of a dialogue."""

    by: str
    text: str
    topic: str = ""


class Dialogue(msgspec.Struct):
    """As the file has it."""

    id: str
    turns: list[Turn]

    @property
    def is_general(self) -> bool:
        """Whether the file says of every turn that it is about nothing that needs a check."""
        return all(turn.topic == "general" for turn in self.turns)


def read(path: Path) -> list[Dialogue]:
    """The dialogues of a file, one JSON object per line. Raises BadInput naming the line; OSError."""
    found = []
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        if not line.strip():
            continue
        try:
            one = msgspec.json.decode(line, type=Dialogue)
        except (msgspec.MsgspecError, UnicodeError) as error:
            raise BadInput(f"{path}, line {number}: give id and turns, each with from and text ({error}).") from error
        strangers = {turn.by for turn in one.turns} - {"customer", "visitor", "agent"}
        if strangers:
            raise BadInput(f"{path}, line {number}: from is customer or agent, not {min(strangers)!r}.")
        found.append(one)
    return found


@dataclass(slots=True)
class Counts:
    """What came of it, in turns."""

    said: int = 0
    lost: int = 0  # acknowledged, and missing from a screen that may see it, live or after coming back
    doubled: int = 0
    out_of_order: int = 0
    held: int = 0
    seen_though_held: int = 0  # by the visitor
    cleaned: int = 0
    refused: int = 0
    general: int = 0  # agents' turns in dialogues about nothing that needs a check
    general_held: int = 0
    codes: dict[str, int] = field(default_factory=dict)  # of refusals


class Screen(Talk):
    """A socket that remembers each event in the order in which it came."""

    def __init__(self, wire: Wire) -> None:
        self.events: list[Said] = []
        self._change = asyncio.Event()
        super().__init__(wire)

    def keep(self, said: Said) -> None:
        if said["t"] == "event":
            self.events.append(said)
        elif said["t"] == "events" and not said.get("older"):
            self.events += said["items"]
        elif said["t"] == "events":
            self.events = said["items"] + self.events
        elif said["t"] == "reset" and not said.get("resumed"):
            self.events = []
        self._change.set()

    async def see(self, is_there: Callable[[], object]) -> None:
        """Waits until something is on the screen, at most SEEN_SECONDS."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SEEN_SECONDS):
                while not is_there():
                    self._change.clear()
                    await self._change.wait()

    def by_cid(self, cid: str) -> list[Said]:
        """Messages and held messages under a client id."""
        return [one for one in self.events if one.get("cid") == cid and one["kind"] in ("message", "held")]

    def by_number(self, seq: int) -> list[Said]:
        return [one for one in self.events if one["seq"] == seq]

    def messages(self) -> int:
        return sum(one["kind"] in ("message", "held") for one in self.events)

    def steps(self) -> int:
        """How many events came that were not the next number."""
        numbers = [one["seq"] for one in self.events]
        return sum(after != before + 1 for before, after in pairwise(numbers))

    async def read_back(self, conversation: str) -> None:
        """Fetches what is older than the last page, to the beginning."""
        while self.events and self.events[0]["seq"] > 1:
            first = self.events[0]["seq"]
            await self.ask({"t": "history", "conversation": conversation, "before": first}, of("events"))
            if self.events[0]["seq"] >= first:
                raise Unavailable("The server under test answers history with what was not asked for.")


@dataclass(slots=True)
class _Spoken:
    """A turn that was acknowledged."""

    cid: str
    text: str
    by_visitor: bool
    is_held: bool


class _Scene:
    """One dialogue on its two sockets."""

    def __init__(self, made: Installation, desk: Desk, number: int, dialogue: Dialogue, counts: Counts) -> None:
        self._made, self._desk, self._number = made, desk, number
        self._dialogue, self._counts = dialogue, counts
        self._token = new_token()
        self._conversation = ""
        self._spoken: list[_Spoken] = []

    async def play(self) -> None:
        """Says every turn, then looks at the screens, then comes back on new sockets and looks again."""
        screens = await visitor(self._made, self._token, Screen), await self._desk.agent(self._number, Screen)
        try:
            for turn in self._dialogue.turns:
                await self._say(turn, *screens)
            live = self._judge(*screens)
        finally:
            for one in screens:
                one.wire.cut()
        if self._conversation:
            again = await self._judge_again()
            self._counts.lost += len(live | again)

    async def _say(self, turn: Turn, customer: Screen, agent: Screen) -> None:
        counts, cid = self._counts, new_cid()
        by_visitor = turn.by != "agent"
        counts.said += 1
        counts.general += not by_visitor and self._dialogue.is_general
        try:
            if self._conversation:
                frame = {"t": "post", "cid": cid, "conversation": self._conversation, "text": turn.text}
                ack = await (customer if by_visitor else agent).ask(frame, of("ack", cid=cid))
            elif by_visitor:
                ack = {}
                opened = await customer.ask({"t": "open", "cid": cid, "text": turn.text}, of("opened", cid=cid))
                self._conversation = opened["conversation"]["id"]
                await join(agent, self._conversation)
            else:
                raise Refused("no_conversation", "Only a customer can begin.")
        except Refused as error:
            counts.refused += 1
            counts.codes[error.refusal] = counts.codes.get(error.refusal, 0) + 1
            return
        spoken = _Spoken(cid, turn.text, by_visitor, bool(ack.get("held")))
        self._spoken.append(spoken)
        counts.held += spoken.is_held
        counts.general_held += spoken.is_held and self._dialogue.is_general
        await agent.see(lambda: agent.by_cid(cid))
        if not spoken.is_held:
            await customer.see(lambda: self._on_visitors(spoken, customer, agent))

    def _on_visitors(self, spoken: _Spoken, customer: Screen, agent: Screen) -> list[Said]:
        """The turn on the visitor's screen, where an agent's message carries no client id but its number."""
        if spoken.by_visitor:
            return customer.by_cid(spoken.cid)
        return [one for at in agent.by_cid(spoken.cid) if at.get("vseq") for one in customer.by_number(at["vseq"])]

    def _judge(self, customer: Screen, agent: Screen, *, is_live: bool = True) -> set[str]:
        """Counts what is wrong on a pair of screens. Returns: the client ids that are missing from either."""
        counts = self._counts
        lost = set()
        places: list[int] = []
        on_agents = on_visitors = 0
        for spoken in self._spoken:
            staff, public = agent.by_cid(spoken.cid), self._on_visitors(spoken, customer, agent)
            on_agents += bool(staff)
            on_visitors += bool(public)
            if not staff or (not public and not spoken.is_held):
                lost.add(spoken.cid)
                continue
            counts.seen_though_held += spoken.is_held and bool(public)
            places.append(staff[0]["seq"])
            shown = staff[0]["body"]["text"]
            if public and public[0]["body"]["text"] != shown:
                lost.add(spoken.cid)  # the visitor sees another text than the agent
            counts.cleaned += is_live and shown != spoken.text
        counts.out_of_order += sum(after <= before for before, after in pairwise(places))
        counts.out_of_order += customer.steps() + agent.steps()
        counts.doubled += agent.messages() - on_agents + customer.messages() - on_visitors
        return lost

    async def _judge_again(self) -> set[str]:
        customer = await visitor(self._made, self._token, Screen)
        agent = await self._desk.agent(self._number, Screen)
        try:
            await agent.ask({"t": "watch", "conversation": self._conversation}, of("events"))
            await customer.see(lambda: customer.events)
            for one in (customer, agent):
                await one.read_back(self._conversation)
            return self._judge(customer, agent, is_live=False)
        finally:
            customer.wire.cut()
            agent.wire.cut()


async def play(
    made: Installation, desk: Desk, dialogues: list[Dialogue], progress: Callable[[int], Any] = lambda done: None
) -> Counts:
    """Replays all, AT_ONCE at a time; nobody is verified, and each turn waits for the one before it.

    Args: progress: called with the number of dialogues done. Raises: Unavailable when the server does not answer.
    """
    counts = Counts()
    done = 0
    waiting = list(enumerate(dialogues))[::-1]

    async def work() -> None:
        nonlocal done
        while waiting:
            number, dialogue = waiting.pop()
            await _Scene(made, desk, number, dialogue, counts).play()
            done += 1
            progress(done)

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(min(AT_ONCE, len(dialogues))):
                group.create_task(work())
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from errors
    return counts


async def plant(made: Installation, desk: Desk) -> list[str]:
    """Words that occur nowhere else, put wherever a person's words can be put. Returns: these words."""
    words = [f"canary {random_part()} of {place}" for place in CANARIES]
    text, name, page, title, browser, reply, held, note, long, query = words
    customer: Talk = await visitor(made, new_token(), browser=browser)
    agent: Talk = await desk.agent(0)
    opening = {
        "t": "open",
        "cid": new_cid(),
        "text": text,
        "name": name,
        "page": f"https://www.bench.example/{page}?{query}",
        "title": title,
    }
    opened = await customer.ask(opening, of("opened", cid=opening["cid"]))
    conversation = opened["conversation"]["id"]
    await join(agent, conversation)
    for kind, said in (("post", reply), ("post", f"Your booking QX7T4P is confirmed, {held}"), ("note", note)):
        frame = {"t": kind, "cid": new_cid(), "conversation": conversation, "text": said}
        await agent.ask(frame, of("ack", cid=frame["cid"]))
    too_long = {"t": "post", "cid": new_cid(), "conversation": conversation, "text": long + "." * 4_000}
    with contextlib.suppress(Refused):
        await customer.ask(too_long, of("ack", cid=too_long["cid"]))
    customer.wire.cut()
    agent.wire.cut()
    return words
