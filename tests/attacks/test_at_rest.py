"""SCOREBOARD 11: whoever takes the disk reads nothing that a person wrote.

More than 200 canaries go into every field there is. Then all that lies on the disk is searched for them, in every
way in which a word can be written down: while the server runs, after it was stopped, and after it was killed.

Watched to fail: a column's value in a temporary file; a text on standard error; an override's reason, an outbox
body and a held text in base64 in the audit log; a cookie stored without its hash; a wrong password that looks like an
id as a field of the log.
"""

from __future__ import annotations

import asyncio
import random
import shutil
import signal
import string
from collections.abc import Iterable
from pathlib import Path

import pytest

import databases
from aparte.address import mask
from aparte.config import Database
from aparte.demo.sockets import loopback_socket
from aparte.model import Site
from attacks.bytescan import plant, scan, written
from attacks.outside import Outside, outside
from clients import AgentDesk, Visitor, new_visitor_token
from harness import AGENTS, BOOKING, DUPONT, JANSEN, OTHER_BOOKING, PASSWORD, SECRET, email_of

# Every canary begins with one of these. One is not ASCII, so that every encoding writes it in its own way; the other
# looks like an id, which the log lets through.
MARKS = ("Kanariénvogel", "Zwartekraai")
VISITORS = 14


class Canaries:
    """Words that no program would write by itself. Letters only, so that nothing takes them for a number."""

    def __init__(self) -> None:
        self._lots = random.Random(11)
        self.made: dict[str, str] = {}

    def __call__(self, field: str) -> str:
        word = MARKS[len(self.made) % 2] + "".join(self._lots.choices(string.ascii_letters, k=12))
        self.made[word] = field
        return word


def test_it_would_find_a_word_in_every_way_that_a_leak_could_write_it(tmp_path: Path) -> None:
    canary = Canaries()
    word, other = canary("scanner"), canary("another")
    files = plant(tmp_path, word)
    found = {hit.rpartition(": ")[0] for hit in scan([tmp_path], [word])}
    assert found == {str(path) for path in files.values()}
    assert scan([tmp_path], [other]) == []


def test_it_looks_for_a_word_in_more_than_a_dozen_ways() -> None:
    assert all(len(written(mark)) > 24 for mark in MARKS)


async def live_one(server: Outside, desk: AgentDesk, lead: AgentDesk, canary: Canaries, number: int) -> Visitor:
    """One visitor's whole conversation, a canary in every field."""
    browser = f"Mozilla/5.0 ({canary('user agent')}) Firefox/140.0"
    visitor = Visitor(await server.socket("visitor", user_agent_header=browser), new_visitor_token())
    server.clients.append(visitor)
    await visitor.hello(lang="fr" if number % 2 else "en")
    page = f"https://www.airline.example/{canary('page')}?q={canary('query')}#{canary('fragment')}"
    thread = await visitor.open(
        f"Hello {canary('open')}", name=canary("name"), page=page, title=f"Flights {canary('title')}"
    )
    await visitor.say(thread, f"One more thing: {canary('message')}")
    view = (await desk.take(thread))["view"]
    assert view["page"]["url"].rpartition("/")[2] in canary.made
    await desk.reply(thread, f"Good morning, {canary('reply')}")
    await desk.do("note", conversation=thread, text=f"Seems cross: {canary('note')}")
    for kept in ("held", "overridden"):
        held = await desk.reply(thread, f"Your flight to Toronto is booked, {canary(kept)}.")
        assert held["held"]
    await lead.watch(thread)
    await lead.do("override", conversation=thread, held=held["held"], reason=f"He knows: {canary('reason')}")
    await visitor.event("message", text=f"Your flight to Toronto is booked, {list(canary.made)[-2]}.")
    return visitor


async def tries_to_get_in(server: Outside, canary: Canaries) -> None:
    for _ in range(6):
        body = {"email": f"{canary('wrong address')}@airline.example", "password": canary("wrong password")}
        assert (await server.post("/api/login", body)).status_code == 401
        body = {"email": email_of("claire"), "password": canary("wrong password")}
        assert (await server.post("/api/login", body)).status_code == 401
        assert (await server.post(f"/api/{canary('path')}?q={canary('url query')}", {})).status_code == 404
        assert (await server.post("/api/not-me", {"token": canary("link")})).status_code == 404
        odd = await server.visitor(hello=False)
        await odd.send(canary("frame type"), text=canary("refused frame"))
        await odd.closed()


def secrets_of(people: Iterable[Visitor], desks: Iterable[AgentDesk]) -> list[str]:
    """What the server or the company made, and nobody may find."""
    found = [SECRET, PASSWORD, BOOKING, OTHER_BOOKING, DUPONT, JANSEN, mask(DUPONT), mask(JANSEN)]
    found += [email_of(name) for name in AGENTS]
    found += [visitor.token for visitor in people] + [desk.cookie.partition("=")[2] for desk in desks]
    return found


@pytest.mark.both_stores
@pytest.mark.slow
async def test_it_leaves_nothing_readable_on_the_disk(prepared: Path, tmp_path: Path) -> None:
    canary = Canaries()
    more = Site(
        "second",
        canary("site name"),
        origins=("https://www.second.example",),
        desk=canary("desk"),
        phone=canary("phone"),
        records_url=f"https://records.example/{canary('records url').encode().hex()}",
        records_key="k",
        records_secret=canary("records secret") * 2,
    )
    raised = {"agent_messages_per_10s": 10_000, "sockets_per_address": 200, "log_level": "debug"}
    async with outside(prepared, tmp_path / "server", sites_too=[more], **raised) as server:
        desk, lead = await server.agent("claire"), await server.agent("odile")
        people = [await live_one(server, desk, lead, canary, number) for number in range(VISITORS)]
        await tries_to_get_in(server, canary)
        sent = await checks(server, people, tmp_path / "mail was down")
        assert len(canary.made) >= 200
        said = "".join(client.everything for client in server.clients)
        lost = [field for word, field in canary.made.items() if word not in said and field in FOR_SCREENS]
        assert lost == []  # they were really kept and shown

        words = [*MARKS, *secrets_of(people, [desk, lead]), *sent]
        folders = [server.folder, tmp_path / "mail was down"]
        assert server.log.stat().st_size > 0
        if isinstance(server.settings.database(), Database):
            folders.append(databases.dumped(server.folder, tmp_path / "dumped"))
            assert scan(folders[-1:], [next(iter(people[0].tops))])  # it looks where the rows are
        else:
            assert (server.settings.data / "aparte.db-wal").stat().st_size > 0
        assert scan(folders, words) == []  # while it runs, and what was copied while a letter waited
        del folders[1]
        for told in ("environ", "cmdline"):
            told_of = Path(f"/proc/{server.pid}/{told}").read_bytes()
            assert [word for word in words if any(way in told_of for way in written(word))] == []

        assert await server.end(signal.SIGTERM) == 0
        assert scan(folders, words) == []

        await server.begin()
        again = await server.visitor()
        await again.open(f"Are you back? {canary('open')}")
        await server.end(signal.SIGKILL)
        assert scan(folders, words) == []
        await server.begin()  # it recovers, and recovery writes nothing down in clear
        assert scan(folders, words) == []


FOR_SCREENS = {
    "open",
    "message",
    "reply",
    "note",
    "held",
    "overridden",
    "reason",
    "name",
    "title",
    "page",
    "user agent",
}


async def checks(server: Outside, people: list[Visitor], copy: Path) -> list[str]:
    """One is proven; another's letter waits for the mail server while the disk is copied.

    Returns the codes, the links' tokens and the proven visitor's new session token.
    """
    thread = next(iter(people[0].tops))
    await server.prove(people[0], thread)
    token = (await people[0].expect("token"))["token"]
    port = server.mailbox.port
    await server.mailbox.stop()
    second = next(iter(people[1].tops))
    await people[1].do("start_check", conversation=second, reference=OTHER_BOOKING)
    await people[1].check("started")
    await waiting_letter(server)
    shutil.copytree(server.folder, copy)
    before = server.letters
    await server.mailbox.start(loopback_socket(port))
    letter = await server.mailbox.wait_for(JANSEN, after=before, seconds=20)
    assert letter.code
    links = [letter.link.partition("#")[2] for letter in server.mailbox.letters if letter.link]
    codes = [letter.code for letter in server.mailbox.letters if letter.code]
    assert (len(links), len(codes)) == (2, 2)
    return [token, *links, *codes]


async def waiting_letter(server: Outside) -> None:
    """Returns when a letter lies in the outbox and could not leave."""
    for _ in range(200):
        if server.rows("SELECT 1 FROM outbox WHERE kind = 'letter' AND state = 'waiting' AND attempts > 0"):
            return
        await asyncio.sleep(0.05)
    raise AssertionError("no letter waits")
