"""Twin of bench/: one small run of the whole command on real servers, and its rows, pictures and folders. Nothing here is
timed; figures are for `aparte bench`."""

from __future__ import annotations

import contextlib
import io
import json
import sqlite3
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from rich.console import Console

from aparte import bench
from aparte.bench import asked, growth
from aparte.bench.ground import Ground

pytestmark = pytest.mark.slow

SMALL = bench.Extent(
    rounds=1,
    seconds=0.2,
    turns=1,
    light_seconds=0.5,
    idle=20,
    starts=1,
    readers=20,
    events=2,
    repeats=2,
    storm=20,
    pace_seconds=0.3,
    paces=(20, 50),
)
QUIET = Console(file=io.StringIO())
SVG = "{http://www.w3.org/2000/svg}"
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


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, object]], int]:
    """One small run of everything, with what it keeps."""
    folder = tmp_path_factory.mktemp("bench")
    spoken = folder / "dialogues.jsonl"
    lines = [{"id": "1", "turns": GENERAL}, {"id": "2", "turns": BOOKING}, {"id": "3", "services": [], "turns": []}]
    spoken.write_text("\n".join(json.dumps(line) for line in lines) + "\n\n")
    data, rows = folder / "kept", folder / "rows.json"
    status = bench.run(
        dialogues=spoken,
        data=data,
        json_file=rows,
        check=True,
        seed=100,
        extent=SMALL,
    )
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
    assert bounds["20 visitors at once after a restart, until all are back"] == (30, 5)
    assert bounds["20 visitors at once after a restart, others' messages meanwhile, p99"] == (None, 500)
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
    with contextlib.closing(sqlite3.connect(kept[0] / "growth" / "100" / "data" / "aparte.db")) as database:
        seeded = "SELECT count(*), max(staff_seq) FROM event WHERE conversation_id IN (SELECT id FROM conversation WHERE state = 'closed')"
        assert database.execute(seeded).fetchone() == (100, growth.TURNS)


def test_it_keeps_data_keys_and_logs(kept: tuple[Path, list[dict[str, object]], int]) -> None:
    data = kept[0]
    assert (data / "data" / "aparte.db").stat().st_size > 0
    assert (data / "keyring" / "keyring.db").exists()
    assert (data / "key" / "root.key").exists()
    assert (data / "logs" / "serve.log").stat().st_size > 0


# ── what is measured when it is asked for ───────────────────────────────────────────────────────────────────────


def test_it_measures_two_nodes_against_one(tmp_path: Path) -> None:
    rows = {row.name: row for row in asked.together(QUIET, Ground(tmp_path), SMALL)}
    spread = rows["two nodes, people spread over both, both against one"]
    assert (spread.must, spread.aim) == (1.3, 1.1)
    assert spread.value > 0
    assert rows["two nodes, every message crosses, both against one"].value > 0
    assert (tmp_path / "nodes" / "logs" / "second.log").stat().st_size > 0


def test_it_draws_latency_against_load(tmp_path: Path) -> None:
    rows, points = asked.loaded(QUIET, Ground(tmp_path).make(), SMALL)
    assert [row.name for row in rows] == [
        f"latency at {pace} messages per second under load, {name}" for pace in (20, 50) for name in ("p50", "p99")
    ]
    bench._draw(QUIET, tmp_path / "pictures" / "load.svg", bench._load_picture(points))
    drawn = ET.parse(tmp_path / "pictures" / "load.svg")
    assert [len(line.get("points", "").split()) for line in drawn.iter(f"{SVG}polyline")] == [2, 2]


def test_it_looks_whether_the_server_grows(tmp_path: Path) -> None:
    rows = {row.name: row for row in asked.soaked(QUIET, Ground(tmp_path).make(), 0.02)}
    for what in ("resident memory", "open handles", "threads"):
        against = rows[f"{what} at the end, against after the warm-up"]
        assert (against.must, against.aim) == (1.1, 1.02)
        assert rows[f"{what} at the end of 0.02 minutes"].value > 1
