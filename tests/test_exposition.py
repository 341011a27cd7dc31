"""Twin of exposition.py: what the metrics are, who may see them, and that there is nothing of anybody in them.

Watched to fail: a row of the table too many; a token compared by its beginning; one that is taken from the query; metrics
that go through the proxy; a label with the conversation's id.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator

import pytest
import yaml

import test_docs
from aparte import exposition, jobs
from harness import BOOKING, DUPONT, Server, Start
from scraping import TOKEN, Watched, exposed, scrape, text, watched
from test_nodes import until

__all__ = ["watched"]

PROCESS = {
    "process_cpu_seconds_total",
    "process_max_fds",
    "process_open_fds",
    "process_resident_memory_bytes",
    "process_start_time_seconds",
    "process_virtual_memory_bytes",
}
OF_BELL = {one.name for one in exposition.FIGURES if one.name.startswith("aparte_bell_")}


@pytest.fixture
async def server(watched: Watched) -> AsyncIterator[Server]:
    async with watched() as running:
        yield running


# ── what is told ────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.both_stores
async def test_it_exposes_what_the_table_in_operations_says(
    watched: Watched, dialect: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "LOOK_SECONDS", 0.1)
    table = test_docs.rows(test_docs.section(test_docs.OPERATIONS, "Metrics"))
    told = {name: (cells[0][1], test_docs.quoted(cells[0][2])) for name, cells in table.items()}
    async with watched() as server:
        await until(lambda: bool(server.parts.counts.outbox), 10)
        found = await exposed(server)
    missing = OF_BELL if dialect == "sqlite" else set()
    assert found == {name: is_so for name, is_so in told.items() if name not in missing}
    assert found.keys() == {one.name for one in exposition.FIGURES} - missing | PROCESS
    assert all(cells[0][3] for cells in table.values())


async def test_the_outbox_is_looked_at_from_the_start_and_only_where_it_is_asked_for(
    server: Server, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    await until(lambda: bool(server.parts.counts.outbox), jobs.LOOK_SECONDS / 2)
    monkeypatch.setattr(jobs, "LOOK_SECONDS", 0.05)
    async with start() as unasked:
        await asyncio.sleep(0.3)
        assert unasked.parts.counts.outbox == {}


async def test_it_says_what_runs_here(server: Server) -> None:
    found = await scrape(server)
    (name,) = [name for name in found if name.startswith("aparte_node_info")]
    assert re.fullmatch(r"aparte_node_info\{bell=none,node=desk-1,store=sqlite,version=[0-9.a-z]+\}", name), name
    assert found["process_resident_memory_bytes"] > 1 << 20


def test_the_examples_in_operations_name_metrics_that_there_are() -> None:
    page = test_docs.section(test_docs.OPERATIONS, "Metrics")
    config, alerts = map(yaml.safe_load, re.findall(r"^```yaml\n(.*?)^```", page, re.MULTILINE | re.DOTALL))
    (job,) = config["scrape_configs"]
    assert job["authorization"]["type"] == "Bearer"
    assert "metrics_path" not in job  # Prometheus asks for /metrics by itself
    known = {one.name for one in exposition.FIGURES} | PROCESS
    rules = [rule for group in alerts["groups"] for rule in group["rules"]]
    assert len(rules) >= 3
    for rule in rules:
        named = set(re.findall(r"\b(?:aparte|process)_\w+", rule["expr"]))
        assert named
        assert {name.removesuffix("_bucket") for name in named} <= known, rule
        assert rule["annotations"]["summary"]


# ── who may see them ────────────────────────────────────────────────────────────────────────────────────────────


async def test_without_a_token_there_are_none(start: Start) -> None:
    async with start() as server:
        absent = await server.http.get("/nothing")
        for headers in ({}, {"authorization": "Bearer"}, {"authorization": f"Bearer {TOKEN}"}):
            answer = await server.http.get("/metrics", headers=headers)
            assert (answer.status_code, answer.content) == (404, absent.content)


async def test_nobody_sees_them_without_the_token(server: Server) -> None:
    cookie = await server.sign_in("odile")
    for headers in (
        {},
        {"cookie": cookie},
        {"authorization": TOKEN},
        {"authorization": "Bearer"},
        {"authorization": f"Bearer  {TOKEN}"},
        {"authorization": f"Bearer {TOKEN[:-1]}"},
        {"authorization": f"Bearer {TOKEN}x"},
        {"authorization": f"Bearer {TOKEN.swapcase()}"},
        {"authorization": f"Basic {TOKEN}"},
        {"authorization": f"Bearer {TOKEN}, Bearer {TOKEN}"},
        {"x-authorization": f"Bearer {TOKEN}"},
        {"cookie": f"token={TOKEN}"},
    ):
        answer = await server.http.get("/metrics", headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (401, "not_signed_in"), headers
    assert (await server.http.get("/metrics", params={"token": TOKEN})).status_code == 401
    assert (await server.http.post("/metrics", headers={"authorization": f"Bearer {TOKEN}"})).status_code == 405
    assert (await server.http.get("/metrics", headers={"authorization": f"bearer {TOKEN}"})).status_code == 200


@pytest.mark.parametrize("trusted", [(), ("127.0.0.1",)])
async def test_nobody_sees_them_through_the_proxy(watched: Watched, trusted: tuple[str, ...]) -> None:
    async with watched(trusted_proxies=trusted) as server:
        absent = await server.http.get("/nothing")
        passed_on = {"authorization": f"Bearer {TOKEN}", "x-forwarded-for": "192.0.2.7"}
        answer = await server.http.get("/metrics", headers=passed_on)
        assert (answer.status_code, answer.content) == (404, absent.content)
        await text(server)


async def test_they_are_to_be_had_while_the_store_is_down(server: Server) -> None:
    database = server.settings.data / "aparte.db"
    database.rename(database.with_suffix(".gone"))
    assert (await server.http.get("/readyz")).status_code == 503
    assert (await scrape(server))["aparte_store_up"] == 0
    database.with_suffix(".gone").rename(database)


# ── nothing of anybody is in them ───────────────────────────────────────────────────────────────────────────────


async def test_nothing_of_anybody_is_in_them(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    visitor = await server.visitor()
    thread = await visitor.open("Kanarienvogel, mein Name ist Dupont", name="Kanarek", page="https://kanari.example/x")
    desk = await server.agent()
    await desk.take(thread)
    await desk.reply(thread, "Of course, Kanarienvogel")
    await server.prove(visitor, thread)
    await visitor.refused("post", conversation=thread, text="x" * 5_000)
    await visitor.refused("post", conversation="k" * 22, text="whose?")
    await server.post("/api/login", {"email": "kanarek@example.org", "password": "Kanarienvogel"})
    await server.socket("visitor", origin=server.url)
    page = await text(server)
    personal = [
        *("Kanarien", "Kanarek", "kanari", "Dupont", DUPONT, BOOKING, "127.0.0.1", "example", thread, visitor.token),
        *(name for row in server.rows("SELECT id FROM visitor") for name in row),
        *(one.id for one in server.store.directory.agents.values()),
        *(one.name for one in server.store.directory.agents.values()),
        *(one.email for one in server.store.directory.agents.values()),
        desk.cookie.partition("=")[2],
        TOKEN,
    ]
    assert [word for word in personal if word in page] == []
    words = {
        "desk-1",
        *exposition.REASONS,
        *exposition._CODES,
        "visitor",
        "agent",
        "waiting",
        "failed",
        "sqlite",
        "none",
    }
    words |= {"act.change", "check.letter", "letter", "invalid_utf8"}
    labels = set(re.findall(r'(\w+)="([^"]*)"', page))
    assert {value for name, value in labels if name not in ("le", "version")} <= words
    assert len(page.splitlines()) < 300
