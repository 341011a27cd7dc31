"""The protocol against the model: Hypothesis makes up what people do, over real sockets, and looks for a difference.

Every step compares the answer with the model's; after every step both screens that see everything, the customer's and
the supervisor's, hold what the model holds.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable
from contextlib import closing
from typing import Any, Final, TypeVar

import hypothesis
from hypothesis import HealthCheck, Phase, Verbosity
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from clients import AgentDesk, Client, new_cid, new_visitor_token
from faults.lab import Bench, Scenario
from faults.ledger import Verdict, in_letters
from faults.model import AGENTS, LEAD, Happened, Model
from harness import Server

T = TypeVar("T")
LONG_EXAMPLES: Final = 400
STEPS: Final = 30
SHRUNK: Final = 100  # examples from which on a difference is made small, which takes minutes
WHO = st.sampled_from(("visitor", *AGENTS))
AGENT = st.sampled_from(AGENTS)
TEXT = st.sampled_from(("Good morning", "Of course", "One moment please", "Thank you", "Émile — ça va ?", "ok"))


class Desk:
    """The server under test and the agents' cookies; shared by all examples, since signing in is slow on purpose."""

    def __init__(self, server: Server, loop: asyncio.AbstractEventLoop, cookies: dict[str, str]) -> None:
        self.server, self.loop, self.cookies = server, loop, cookies
        self.acknowledged = self.examples = self.steps = 0

    def run(self, work: Awaitable[T]) -> T:
        async def within() -> T:
            return await work

        return self.loop.run_until_complete(within())


class Person:
    """One client, the events that it holds, and who it is."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.client: Client | None = None
        self.held: list[tuple[int, str, str]] = []

    @property
    def is_staff(self) -> bool:
        return self.name != "visitor"


def held(happened: list[Happened], *, staff: bool) -> list[tuple[int, str, str]]:
    return [(one.seq if staff else one.vseq or 0, one.kind, one.text) for one in happened]


class Talk(RuleBasedStateMachine):
    """One conversation from its first message on."""

    desk: Desk  # set by `machine`

    def __init__(self) -> None:
        super().__init__()
        self.model, self.number = Model(), 0
        self.token = new_visitor_token()
        self.people = {name: Person(name) for name in ("visitor", *AGENTS)}
        self.thread = self.epoch = ""
        self.desk.examples += 1
        self.run(self._begin())

    def run(self, work: Awaitable[T]) -> T:
        return self.desk.run(work)

    async def _begin(self) -> None:
        visitor = await self.desk.server.visitor(token=self.token)
        self.epoch = str(visitor.welcome["epoch"])
        self.people["visitor"].client = visitor
        cid = new_cid()
        self.thread = await visitor.open("Hello", cid=cid)
        self.model.say("visitor", "post", cid, "Hello")
        for name in AGENTS:
            self.people[name].client = await self.desk.server.agent_again(self.desk.cookies[name])
        lead = self.people[LEAD].client
        assert isinstance(lead, AgentDesk)
        self.ids = {one["name"].lower(): one["id"] for one in lead.welcome["agents"]}
        await lead.watch(self.thread)

    def teardown(self) -> None:
        async def leave() -> None:
            for person in self.people.values():
                if person.client is not None:
                    await person.client.leave()
                    self.desk.server.clients.remove(person.client)

        self.desk.run(leave())

    # ── asking, and what the model says to it ─────────────────────────────────────────────────────────────────

    async def _ask(self, name: str, t: str, **fields: Any) -> int | str:
        client = self.people[name].client
        assert client is not None
        answer = await client.ask(t, conversation=self.thread, **fields)
        if answer["t"] == "error":
            return str(answer["code"])
        self.desk.acknowledged += 1
        return int(answer["seq"])

    def _same(self, what: str, got: int | str, expected: int | str) -> None:
        self.desk.steps += 1
        assert got == expected, f"{what}: the server says {got}, the model {expected} ({self.model.state})"

    def _fresh(self, text: str) -> str:
        self.number += 1
        return f"{text} {in_letters(self.number)}"

    @rule(who=WHO, text=TEXT)
    def says(self, who: str, text: str) -> None:
        cid, text = new_cid(), self._fresh(text)
        got = self.run(self._ask(who, "post", cid=cid, text=text))
        self._same(f"{who} posts", got, self.model.say(who, "post", cid, text))

    @rule(who=AGENT, text=TEXT)
    def notes(self, who: str, text: str) -> None:
        cid, text = new_cid(), self._fresh(text)
        got = self.run(self._ask(who, "note", cid=cid, text=text))
        self._same(f"{who} notes", got, self.model.say(who, "note", cid, text))

    @rule(data=st.data(), is_other=st.booleans())
    def says_again(self, data: st.DataObject, is_other: bool) -> None:
        """The same client id with the same text, or with another one."""
        key, before = data.draw(st.sampled_from(sorted(self.model.cids.items(), key=lambda one: one[1].text)))
        cid = key.split(" ")[1]
        text = before.text + (" after all" if is_other else "")
        got = self.run(self._ask(before.who, before.kind, cid=cid, text=text))
        self._same(f"{before.who} repeats a {before.kind}", got, self.model.say(before.who, before.kind, cid, text))

    @rule(who=AGENT)
    def claims(self, who: str) -> None:
        self._same(f"{who} claims", self.run(self._ask(who, "claim")), self.model.claim(who))

    @rule(who=AGENT, to=AGENT)
    def transfers(self, who: str, to: str) -> None:
        got = self.run(self._ask(who, "transfer", agent=self.ids[to]))
        self._same(f"{who} transfers to {to}", got, self.model.transfer(who, to))

    @rule(who=WHO)
    def closes(self, who: str) -> None:
        got = self.run(self._ask(who, "end" if who == "visitor" else "close"))
        self._same(f"{who} closes", got, self.model.close(who))

    # ── coming back ───────────────────────────────────────────────────────────────────────────────────────────

    @rule(who=st.sampled_from(("visitor", LEAD)), back=st.integers(-3, 40), is_same=st.booleans())
    def comes_back(self, who: str, back: int, is_same: bool) -> None:
        """With a number of its own choice, above the top too, and the right epoch or another."""
        self.run(self._come_back(who, max(0, self.model.top(staff=who == LEAD) - back), is_same=is_same))

    async def _come_back(self, who: str, last_seq: int, *, is_same: bool) -> None:
        person = self.people[who]
        if person.client is not None:
            await person.client.leave()
            self.desk.server.clients.remove(person.client)
        epoch = self.epoch if is_same else "e" * 22
        resumes, sent = self.model.after_break(last_seq, staff=person.is_staff, same_epoch=is_same)
        server = self.desk.server
        if who == "visitor":
            client: Client = await server.visitor(
                token=self.token, conversation=self.thread, last_seq=last_seq, epoch=epoch
            )
        else:
            client = await server.agent_again(
                self.desk.cookies[who], conversations={self.thread: last_seq}, epoch=epoch
            )
        person.client = client
        came: list[Any] = []
        if who == LEAD:
            reset = await client.expect("reset", conversation=self.thread)
            assert bool(reset.get("resumed")) == resumes
        elif not resumes:
            await client.expect("reset", conversation=self.thread)
        while len(came) < len(sent):
            page = await client.expect("events", conversation=self.thread)
            came += [(one["seq"], one["kind"], one["body"].get("text", "")) for one in page["items"]]
        await client.settle()
        assert came == held(sent, staff=person.is_staff)
        assert "events" not in client.types(), "more came than was missing"
        begin = self.model.stream(staff=person.is_staff)[:last_seq] if resumes else []
        person.held = held(begin, staff=person.is_staff) + came
        _forget(client)

    @rule(text=TEXT, end=st.sampled_from(("half", "abort", "close")))
    def is_cut_off(self, text: str, end: str) -> None:
        """The customer's line ends with a message under way, whole or half of its frame. Then it is said again."""
        cid, text = new_cid(), self._fresh(text)

        async def cut() -> int | str:
            visitor = self.people["visitor"].client
            assert visitor is not None
            frame = json.dumps({"t": "post", "cid": cid, "conversation": self.thread, "text": text})
            last = visitor.tops[self.thread]
            if end == "half":
                visitor.socket.transport.write(b"\x81\xfe\x00\xff" + b"\0\0\0\0" + frame.encode()[:20])
            else:
                await visitor.socket.send(frame)
            if end != "close":
                visitor.socket.transport.abort()
            await visitor.leave()
            self.desk.server.clients.remove(visitor)
            again = await self.desk.server.visitor(
                token=self.token, conversation=self.thread, last_seq=last, epoch=self.epoch
            )
            self.people["visitor"].client = again
            return await self._ask("visitor", "post", cid=cid, text=text)

        got = self.run(cut())
        self._same("the customer after a cut", got, self.model.say("visitor", "post", cid, text))

    # ── what must hold after every step ───────────────────────────────────────────────────────────────────────

    @invariant()
    @precondition(lambda self: bool(self.thread))
    def screens_are_the_model(self) -> None:
        for name in ("visitor", LEAD):
            self.run(self._look(self.people[name]))

    async def _look(self, person: Person) -> None:
        client = person.client
        assert client is not None
        top = self.model.top(staff=person.is_staff)
        async with asyncio.timeout(10):
            await client.settle()
            # The `pos` may have been the one that comes every 15 s, and then it says nothing about what is under way.
            while client.tops.get(self.thread, 0) < top:
                await client.settle()
        person.held += [
            (one["seq"], one["kind"], one["body"].get("text", ""))
            for one in client._waiting
            if one["t"] == "event" and one["conversation"] == self.thread
        ]
        _forget(client)
        expected = held(self.model.stream(staff=person.is_staff), staff=person.is_staff)
        # After a reset the screen begins later.
        assert person.held == expected[len(expected) - len(person.held) :], f"{person.name}'s screen"
        assert len(person.held) >= min(len(expected), 1)
        assert not client.wrong, client.wrong


def _forget(client: Client) -> None:
    """What came was looked at; an example must not grow slower with each step."""
    client._waiting.clear()
    client.raw.clear()


def machine(desk: Desk) -> type[Talk]:
    """The machine for one server."""
    return type("TalkHere", (Talk,), {"desk": desk})


def explore(desk: Desk, *, examples: int, seed: int) -> None:
    """Runs so many examples. Raises the first difference, made small."""
    settings = hypothesis.settings(
        max_examples=examples,
        stateful_step_count=STEPS,
        deadline=None,
        database=None,
        derandomize=False,
        verbosity=Verbosity.quiet,
        phases=(Phase.generate, Phase.shrink) if examples >= SHRUNK else (Phase.generate,),
        suppress_health_check=list(HealthCheck),
        print_blob=False,
    )
    run_state_machine_as_test(hypothesis.seed(seed)(machine(desk)), settings=settings)


def _within(bench: Bench, examples: int) -> Verdict:
    """In a thread of its own: Hypothesis calls its rules one after the other, and each runs the loop for a while."""
    verdict = Verdict()
    with closing(asyncio.new_event_loop()) as loop:
        bringing = bench.target()
        target = loop.run_until_complete(bringing.__aenter__())
        try:
            cookies = {name: loop.run_until_complete(target.server.sign_in(name)) for name in AGENTS}
            desk = Desk(target.server, loop, cookies)
            try:
                explore(desk, examples=examples, seed=bench.seed)
            except (AssertionError, TimeoutError) as error:
                verdict.fail("\n".join([str(error) or type(error).__name__, *getattr(error, "__notes__", [])]))
            verdict.acknowledged = desk.acknowledged
            verdict.told.append(f"{desk.examples} conversations, {desk.steps} answers compared")
        finally:
            loop.run_until_complete(bringing.__aexit__(None, None, None))
    return verdict


async def run(bench: Bench, *, examples: int = 0) -> Verdict:
    return await asyncio.to_thread(_within, bench, examples or int(bench.scaled(LONG_EXAMPLES)))


SCENARIO: Final = Scenario("model", "made-up dialogues against a model of the protocol", run, ("sqlite", "postgres"))
