"""Twin of bench/: small and quick runs on the real server. Nothing here is timed; figures are for `aparte bench`."""

from __future__ import annotations

import base64
import io
import json
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvloop
from rich.console import Console

from aparte import bench
from aparte.bench import load, replay, report, scan, servers, weigh, wire
from aparte.bench.report import Row, none_of
from aparte.bench.talk import Desk, Talk, join, new_cid, new_token, of, visitor
from aparte.errors import BadInput, Unavailable

GENERAL = [
    {"from": "customer", "text": "Good morning, does the lounge have a piano?", "topic": "general"},
    {"from": "agent", "text": "It does, beside the window.", "topic": "general"},
    {"from": "customer", "text": "Merci, à bientôt « là-bas ».", "topic": "general"},
]


def dialogue(name: str, turns: list[dict[str, str]]) -> replay.Dialogue:
    return replay.Dialogue(name, [replay.Turn(one["from"], one["text"], one["topic"]) for one in turns])


# ── the command ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_it_refuses_a_folder_with_something_in_it(tmp_path: Path) -> None:
    (tmp_path / "old").write_text("")
    with pytest.raises(BadInput, match="not empty"):
        bench.run(data=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["old"]


def test_it_leaves_no_server_behind_when_it_is_ended(tmp_path: Path) -> None:
    program = f"from aparte.cli import main; main(['bench', '--data', {str(tmp_path / 'kept')!r}])"
    running = subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    try:
        log = tmp_path / "kept" / "logs" / "echo.log"
        for _ in range(600):
            if log.exists():
                break
            time.sleep(0.05)
        running.terminate()
        assert running.wait(60) == 128 + signal.SIGTERM
    finally:
        running.kill()
        running.wait()
    settings = tomllib.loads((tmp_path / "kept" / "serve.toml").read_text())
    with pytest.raises(ConnectionRefusedError):
        servers.status_of(settings["port"], "/healthz")


# ── a server that works, and one that does not ──────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[servers.Installation, servers.Running]]:
    made = servers.make(tmp_path_factory.mktemp("served") / "run")
    with servers.serve(made) as running:
        yield made, running


def test_it_counts_a_round_on_the_echo_too(served: tuple[servers.Installation, servers.Running]) -> None:
    async def count(port: int) -> load.Sample:
        async with load.echo_senders(port) as senders:
            return await load.round_of(senders, running, 0.2)

    with servers.echo(served[0]) as (running, port):
        sample = uvloop.run(count(port))
        assert sample.count > 0
        assert sample.cpu_seconds <= sample.seconds * 2
        assert running.resident() > 1 << 20


def test_it_notices_that_a_turn_never_came(served: tuple[servers.Installation, servers.Running]) -> None:
    """The judge itself is judged: an event is taken off a screen, put on twice, or moved."""
    made = served[0]

    async def judge() -> list[replay.Counts]:
        desk = Desk(made)
        await desk.open()
        found = []
        for spoil in (lambda events: events.pop(), lambda events: events.append(events[-1]), list.reverse):
            counts = replay.Counts()
            scene = replay._Scene(made, desk, 0, dialogue("1", GENERAL), counts)
            screens = await visitor(made, scene._token, replay.Screen), await desk.agent(0, replay.Screen)
            for turn in scene._dialogue.turns:
                await scene._say(turn, *screens)
            spoil(screens[0].events)
            counts.lost += len(scene._judge(*screens))
            found.append(counts)
            for one in screens:
                one.wire.cut()
        return found

    lost, doubled, moved = uvloop.run(judge())
    assert (lost.lost, lost.doubled) == (1, 0)
    assert (doubled.lost, doubled.doubled) == (0, 1)
    assert moved.out_of_order > 0


def test_it_refuses_turns_that_cannot_be_said(served: tuple[servers.Installation, servers.Running]) -> None:
    turns = [
        {"from": "agent", "text": "Too early.", "topic": "general"},
        {"from": "customer", "text": "Good morning, is anybody there?", "topic": "general"},
        {"from": "customer", "text": "x" * 4_001, "topic": "general"},
        {"from": "agent", "text": "", "topic": "general"},
    ]

    async def say() -> replay.Counts:
        desk = Desk(served[0])
        await desk.open()
        return await replay.play(served[0], desk, [dialogue("1", turns)])

    counts = uvloop.run(say())
    assert (counts.said, counts.refused, counts.lost) == (4, 3, 0)
    assert counts.codes == {"no_conversation": 1, "too_long": 1, "bad_frame": 1}


def test_it_reads_long_dialogues_back_to_the_beginning(served: tuple[servers.Installation, servers.Running]) -> None:
    long = [
        {"from": "customer", "text": f"This is line {number} of many.", "topic": "general"} for number in range(130)
    ]

    async def say() -> replay.Counts:
        desk = Desk(served[0])
        await desk.open()
        return await replay.play(served[0], desk, [dialogue("1", long)])

    counts = uvloop.run(say())
    assert (counts.said, counts.lost, counts.doubled, counts.out_of_order) == (130, 0, 0, 0)


def test_it_weighs_each_file_once_and_one_language(served: tuple[servers.Installation, servers.Running]) -> None:
    port = served[0].port
    found = weigh.whole(port, f"/chat/{servers.SITE}")
    assert any(path.endswith(".js") for path in found)
    assert any(path.endswith(".css") for path in found)
    assert all(size > 0 for size in found.values())
    assert not any("words.en" in path for path in found) or not any("words.fr" in path for path in found)
    assert not any("cards" in path or "guard" in path for path in found), "these are not fetched to open it"


def test_it_weighs_what_is_fetched_later_by_itself(served: tuple[servers.Installation, servers.Running]) -> None:
    port = served[0].port
    opened = weigh.whole(port, f"/chat/{servers.SITE}")
    later = weigh.later(port, opened)
    names = sorted(path.rpartition("/")[2] for path in later)
    assert [name.replace(".en.", ".*.").replace(".fr.", ".*.") for name in names] == [
        "cards.*.min.js",
        "cards.min.js",
        "guard.min.js",
    ]
    assert not set(later) & set(opened)


def test_it_says_why_a_socket_was_refused(served: tuple[servers.Installation, servers.Running]) -> None:
    async def knock() -> None:
        await wire.connect(served[0].port, "/ws/visitor", origin="http://elsewhere.example")

    with pytest.raises(Unavailable, match="403"):
        uvloop.run(knock())


def test_it_says_so_when_the_server_ends(tmp_path: Path) -> None:
    made = servers.make(tmp_path / "run")

    async def count(running: servers.Running) -> None:
        desk = Desk(made)
        await desk.open()
        customer: Talk = await visitor(made, new_token())
        opening = {"t": "open", "cid": new_cid(), "text": "Good morning."}
        opened = await customer.ask(opening, of("opened", cid=opening["cid"]))
        agent: Talk = await desk.agent(0)
        await join(agent, opened["conversation"]["id"])
        running.process.kill()
        running.process.wait()
        await customer.ask({"t": "ping"}, of("pos"))

    with servers.serve(made) as running:
        with pytest.raises(Unavailable, match="did not answer"):
            uvloop.run(count(running))
        with pytest.raises(Unavailable, match="status"):
            running.require_alive()


# ── frames, forms, rows ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("size", [0, 125, 126, 65_535, 65_536])
def test_it_masks_and_measures_frames(size: int) -> None:
    whole = wire.frame(b"x" * size)
    head = 6 if size < 126 else 8 if size < 1 << 16 else 14
    assert len(whole) == head + size
    assert whole[0] == 0x81
    assert whole[1] & 0x80


def test_it_cuts_the_stream_into_frames_wherever_it_breaks() -> None:
    stream = b"HTTP/1.1 101 Switching Protocols\r\n\r\n"
    texts = [b"a", b"b" * 200, b"c" * 70_000, b"d"]
    for text in texts:
        size = len(text)
        stream += b"\x81" + (
            bytes([size])
            if size < 126
            else b"\x7e" + size.to_bytes(2, "big")
            if size < 1 << 16
            else b"\x7f" + size.to_bytes(8, "big")
        )
        stream += text

    async def cut(step: int) -> list[bytes]:
        client, came = wire.Wire(b""), list[bytes]()
        client.on_text = came.append
        for at in range(0, len(stream), step):
            client.data_received(stream[at : at + step])
        return came

    for step in (1, 7, 1_000, len(stream)):
        assert uvloop.run(cut(step)) == texts


@pytest.mark.parametrize(
    "written",
    [
        lambda text: text.encode(),
        lambda text: text.encode("utf-16-le"),
        lambda text: text.encode("utf-16-be"),
        lambda text: base64.b64encode(text.encode()),
        lambda text: base64.b64encode(b"1" + text.encode() + b"?"),
        lambda text: base64.b64encode(b"12" + text.encode() + b"??"),
        lambda text: base64.urlsafe_b64encode(b"1" + text.encode()),
        lambda text: json.dumps({"text": text}).encode(),
        lambda text: json.dumps({"text": text}, ensure_ascii=False).encode(),
    ],
)
@pytest.mark.parametrize("text", ["Good morning, is anybody there?", 'Il a dit « "à demain" » ~~>>???'])
def test_it_finds_a_text_in_every_form(tmp_path: Path, text: str, written: object) -> None:
    assert callable(written)
    file = tmp_path / "deep" / "file.bin"
    file.parent.mkdir()
    file.write_bytes(b"\x00\xff" * 1_000 + written(text) + b"\x00")
    (tmp_path / "other").write_bytes(b"nothing")
    assert scan.found_in(scan.files(tmp_path), [text, "something that nobody said"]) == {text: file}


def test_it_leaves_short_texts_out(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"Yes, please do. Good-bye to everybody")
    found = scan.found_in(scan.files(tmp_path), ["Yes, please do.", "Good-bye to everybody"])
    assert set(found) == {"Good-bye to everybody"}


@pytest.mark.parametrize(
    ("row", "holds"),
    [
        (Row("a", 0.18, "", 0.18, 0.25, better="more"), True),
        (Row("a", 0.17, "", 0.18, 0.25, better="more"), False),
        (Row("a", 3.0, "ms", 3, 2, better="less"), True),
        (Row("a", 3.1, "ms", 3, 2, better="less"), False),
        (Row("a", 1.0, "%", 1, None, better="under"), False),
        (none_of("a", 0), True),
        (none_of("a", 1), False),
        (Row("a", 5.0), None),
    ],
)
def test_it_judges_a_row(row: Row, holds: bool | None) -> None:
    assert row.holds is holds
    assert row.kept()["holds"] is holds


def test_it_shows_what_is_missed() -> None:
    console = Console(width=100, record=True, file=io.StringIO())
    report.show(console, [Row("speed", 0.1, "", 0.18, 0.25, better="more"), Row("echo", 45_123.4, "per second")])
    shown = console.export_text()
    assert "NO" in shown
    assert "≥ 0.18" in shown
    assert "45,123" in shown


@pytest.mark.parametrize(
    "line",
    ['{"id": "1"}', "not json", '{"id": "1", "turns": [{"from": "nobody", "text": "x"}]}', '{"id": 1, "turns": []}'],
)
def test_it_names_the_line_of_a_dialogue_that_is_none(tmp_path: Path, line: str) -> None:
    file = tmp_path / "dialogues.jsonl"
    file.write_text(json.dumps({"id": "0", "turns": GENERAL}) + "\n" + line + "\n")
    with pytest.raises(BadInput, match="line 2"):
        replay.read(file)
