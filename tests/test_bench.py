"""Twin of bench/: small and quick runs on the real server. Nothing here is timed; figures are for `aparte bench`."""

from __future__ import annotations

import base64
import contextlib
import io
import json
import signal
import sqlite3
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
from aparte.bench import growth, load, replay, report, scan, servers, weigh, wire
from aparte.bench.report import Row, none_of
from aparte.bench.talk import Desk, Talk, join, new_cid, new_token, of, visitor
from aparte.errors import BadInput, Unavailable

SMALL = bench.Extent(rounds=1, seconds=0.2, light_seconds=0.5, idle=20, starts=1, readers=20, events=2, repeats=2)
GENERAL = [
    {"from": "customer", "text": "Good morning, does the lounge have a piano?", "topic": "general"},
    {"from": "agent", "text": "It does, beside the window.", "topic": "general"},
    {"from": "customer", "text": "Merci, à bientôt « là-bas ».", "topic": "general"},
]
BOOKING = [
    {"from": "customer", "text": "I want to change my booking QX7T4P.", "topic": "booking"},
    {"from": "agent", "text": "Your booking QX7T4P is confirmed for Tuesday at nine.", "topic": "booking"},
    {"from": "customer", "text": "My card is 4111 1111 1111 1111, thank you.", "topic": "payment"},
]


def dialogue(name: str, turns: list[dict[str, str]]) -> replay.Dialogue:
    return replay.Dialogue(name, [replay.Turn(one["from"], one["text"], one["topic"]) for one in turns])


# ── the whole command ───────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, object]], int]:
    """One small run of everything, with what it keeps."""
    folder = tmp_path_factory.mktemp("bench")
    spoken = folder / "dialogues.jsonl"
    lines = [{"id": "1", "turns": GENERAL}, {"id": "2", "turns": BOOKING}, {"id": "3", "services": [], "turns": []}]
    spoken.write_text("\n".join(json.dumps(line) for line in lines) + "\n\n")
    data, rows = folder / "kept", folder / "rows.json"
    status = bench.run(dialogues=spoken, data=data, json_file=rows, check=True, seed=100, extent=SMALL)
    return data, json.loads(rows.read_text()), status


def test_it_writes_every_row_with_its_bounds(kept: tuple[Path, list[dict[str, object]], int]) -> None:
    rows = kept[1]
    assert all(set(row) == {"name", "value", "unit", "must", "aim", "holds"} for row in rows)
    bounds = {str(row["name"]): (row["must"], row["aim"]) for row in rows}
    assert bounds["whole path against echo, median of the rounds"] == (0.18, 0.25)
    assert bounds["latency at 20 messages per second, p50"] == (3, 2)
    assert bounds["latency at 20 messages per second, p99"] == (8, 5)
    assert bounds["memory per idle visitor, 20 of them"] == (48, 36)
    assert bounds["process at rest"] == (90, 60)
    assert bounds["start to ready, median of 1"] == (1.5, 0.8)
    assert bounds["loader, gzip"] == (3, 2)
    assert bounds["widget opened, loader included, gzip"] == (25, 16)
    assert bounds["panel, gzip"] == (60, 45)
    assert bounds["one event to 20 readers, against sending in a loop"] == (0.7, 0.9)
    for wait in ("inbox", "opening a conversation", "a page of history", "sending a message"):
        assert bounds[f"{wait}, against a store of 300"] == (2, 1.2)
    assert bounds["start to ready, store of 100 messages"] == (1.5, 0.8)
    assert all(
        float(str(row["value"])) > 0 for row in rows if row["unit"] not in ("", "%")
    )  # nothing was left unmeasured


def test_it_tells_by_its_status_whether_everything_holds(kept: tuple[Path, list[dict[str, object]], int]) -> None:
    assert kept[2] == int(any(row["holds"] is False for row in kept[1]))


def test_it_counts_what_became_of_the_dialogues(kept: tuple[Path, list[dict[str, object]], int]) -> None:
    found = {row["name"]: row["value"] for row in kept[1]}
    assert found["dialogues replayed"] == 3
    assert found["turns said in them"] == 6
    assert [found[f"turns {what}"] for what in ("lost", "doubled", "out of order")] == [0, 0, 0]
    assert found["turns refused for another reason"] == 0
    assert found["turns held by the gate"] == 1
    assert found["turns held and yet seen by the visitor"] == 0
    assert found["turns cleaned by the guard"] == 1
    assert found["agents' turns held where every turn is general"] == 0
    assert found["texts found in clear, of 6"] == 0
    assert found["canaries found in clear, of 10"] == 0


def test_it_fills_a_store_as_the_product_does(kept: tuple[Path, list[dict[str, object]], int]) -> None:
    with contextlib.closing(sqlite3.connect(kept[0] / "growth" / "big" / "data" / "aparte.db")) as database:
        seeded = "SELECT count(*), max(staff_seq) FROM event WHERE conversation_id IN (SELECT id FROM conversation WHERE state = 'closed')"
        assert database.execute(seeded).fetchone() == (100, growth.TURNS)


def test_it_keeps_data_keys_and_logs(kept: tuple[Path, list[dict[str, object]], int]) -> None:
    data = kept[0]
    assert (data / "data" / "aparte.db").stat().st_size > 0
    assert (data / "keyring" / "keyring.db").exists()
    assert (data / "key" / "root.key").exists()
    assert (data / "logs" / "serve.log").stat().st_size > 0


def test_it_refuses_a_folder_with_something_in_it(tmp_path: Path) -> None:
    (tmp_path / "old").write_text("")
    with pytest.raises(BadInput, match="not empty"):
        bench.run(data=tmp_path, extent=SMALL)
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
    settings = tomllib.loads((tmp_path / "kept" / "aparte.toml").read_text())
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
