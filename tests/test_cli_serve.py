"""`aparte serve`: a real process on a real installation, from its start to its end."""

from __future__ import annotations

import fcntl
import http.client
import json
import re
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import click
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect
from websockets.typing import Origin

from aparte.cli.serve import demo
from aparte.store import engine
from commandline import APARTE, aparte, clean_environment, doctor, here, installed, process, template, wrong

__all__ = ["here", "installed", "template"]

pytestmark = pytest.mark.usefixtures("installed")
START_SECONDS = 20.0  # for a machine that is busy with other tests


def free_port() -> int:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return int(bound.getsockname()[1])


def get(port: int, path: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


@contextmanager
def begun(port: int, **environ: str) -> Iterator[subprocess.Popen[str]]:
    """The server, as soon as its process is there; stopped at the end if the test did not."""
    environment = clean_environment() | {"APARTE_PORT": str(port)} | environ
    running = subprocess.Popen([*APARTE, "serve"], env=environment, stderr=subprocess.PIPE, text=True)
    try:
        yield running
    finally:
        running.kill()
        running.communicate()


@contextmanager
def serving(port: int, **environ: str) -> Iterator[subprocess.Popen[str]]:
    """The server, ready; stopped at the end as `begun` does."""
    with begun(port, **environ) as running:
        until = time.monotonic() + START_SECONDS
        while True:
            assert running.poll() is None, running.communicate()[1]
            assert time.monotonic() < until, "not ready in time"
            try:
                if get(port, "/readyz")[0] == 200:
                    break
            except OSError:
                time.sleep(0.02)
        yield running


def test_it_says_once_it_answers_where_chat_and_panel_are() -> None:
    port = free_port()
    with serving(port) as running:
        running.send_signal(signal.SIGTERM)
        _, log = running.communicate(timeout=25)
    (said,) = [line for line in map(json.loads, log.splitlines()) if line["event"] == "serving"]
    assert said["chat"] == f"http://127.0.0.1:{port}"
    assert said["panel"] == f"http://127.0.0.1:{port}/panel"


def test_every_line_bears_the_nodes_name_and_the_end_is_told() -> None:
    port = free_port()
    with serving(port, APARTE_NODE="chat-1") as running:
        with connect(f"ws://127.0.0.1:{port}/ws/visitor", origin=Origin(f"http://127.0.0.1:{port}"), proxy=None) as one:
            one.send(json.dumps({"t": "hello", "v": 1, "site": "none", "token": "t" * 43}))
        running.send_signal(signal.SIGTERM)
        _, log = running.communicate(timeout=25)
    lines = [json.loads(line) for line in log.splitlines()]
    assert {line["node"] for line in lines} == {"chat-1"}
    ours = [line["event"] for line in lines if line["logger"].startswith("aparte.")]
    ours = [event for event in ours if event != "lines.few_files"]  # where `ulimit -n` is low
    assert ours == ["serving", "app.drain", "app.ended"]


def test_it_answers_that_it_is_well_and_ready() -> None:
    port = free_port()
    with serving(port):
        assert get(port, "/healthz")[0] == 200
        assert get(port, "/readyz")[0] == 200


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_in_order_with_status_0(number: signal.Signals) -> None:
    port = free_port()
    with serving(port) as running:
        running.send_signal(number)
        _, log = running.communicate(timeout=25)
        assert running.returncode == 0, log
    with pytest.raises(OSError):
        get(port, "/healthz")
    assert wrong(doctor()) == ["sites"]


def test_it_ends_with_status_0_when_it_is_asked_to_while_it_opens_the_database(installed: Path) -> None:
    """As the first process of a container it would never hear a signal that nobody has asked for by then."""
    with (installed / "aparte-data" / "migrate.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with begun(free_port()) as running:
            status, until = Path(f"/proc/{running.pid}/status"), time.monotonic() + START_SECONDS
            caught = re.compile(r"SigCgt:\s+([0-9a-f]+)")
            while not int(caught.findall(status.read_text())[0], 16) >> (signal.SIGTERM - 1) & 1:
                assert time.monotonic() < until, "it never listens to signals"
                time.sleep(0.02)
            running.send_signal(signal.SIGTERM)
            time.sleep(0.2)
            assert running.poll() is None
            fcntl.flock(lock, fcntl.LOCK_UN)
            _, log = running.communicate(timeout=START_SECONDS)
    assert running.returncode == 0, log
    assert "serving" not in log


def test_it_names_the_port_also_when_another_was_begun_at_the_same_time(installed: Path) -> None:
    with socket.socket() as other, (installed / "aparte-data" / "migrate.lock").open("w") as lock:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", 0))
        port = other.getsockname()[1]
        fcntl.flock(lock, fcntl.LOCK_EX)
        with begun(port) as running:
            until = time.monotonic() + START_SECONDS
            while "migrate.lock" not in {Path(one).name for one in _open_files(running.pid)}:
                assert time.monotonic() < until, "it never opens the database"
                time.sleep(0.02)
            other.listen()
            fcntl.flock(lock, fcntl.LOCK_UN)
            _, log = running.communicate(timeout=START_SECONDS)
    assert running.returncode == 2, log
    assert f"port = {port}: Address already in use" in log
    assert "Traceback" not in log


def _open_files(pid: int) -> list[str]:
    found = []
    for one in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(OSError):
            found.append(str(one.readlink()))
    return found


def test_it_logs_json_lines_without_addresses() -> None:
    port = free_port()
    with serving(port) as running:
        get(port, "/widget.js?who=m.dupont@example.org")
        running.send_signal(signal.SIGTERM)
        _, log = running.communicate(timeout=25)
    lines = [json.loads(line) for line in log.splitlines()]
    assert lines
    assert all({"time", "level", "logger", "event"} <= line.keys() for line in lines)
    assert "dupont" not in log
    # Our own addresses are told once.
    assert [line["event"] for line in lines if "127.0.0.1" in str(line)] == ["serving"]


def test_it_logs_neither_the_query_nor_the_broken_text_of_a_socket() -> None:
    port = free_port()
    aparte("site", "add", "shop", "--name", "The Shop")
    with serving(port) as running:
        origin = f"http://127.0.0.1:{port}"
        with connect(f"ws://127.0.0.1:{port}/ws/visitor?token=m.dupont@example.org", origin=Origin(origin)) as one:
            with one.protocol_mutex:
                one.protocol.send_text(b"dupont \xff")
                one.send_data()
            with pytest.raises(ConnectionClosed) as closed:
                one.recv(timeout=5)
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1007
        assert get(port, "/readyz")[0] == 200
        running.send_signal(signal.SIGTERM)
        _, log = running.communicate(timeout=25)
    assert [json.loads(line)["level"] for line in log.splitlines() if '"error"' in line] == []
    assert "dupont" not in log
    assert "Traceback" not in log


def test_it_works_beside_the_other_commands() -> None:
    port = free_port()
    with serving(port):
        assert aparte("agent", "add", "a@b.example", "--name", "A", "--generate").exit_code == 0
        assert aparte("site", "add", "shop", "--name", "The Shop").exit_code == 0
        assert wrong(doctor()) == []
        assert get(port, "/readyz")[0] == 200


def test_it_names_a_port_that_is_taken() -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        bound.listen()
        port = bound.getsockname()[1]
        ended = process("serve", APARTE_PORT=str(port))
    assert ended.returncode == 2
    assert f"port = {port}: Address already in use: end the program" in ended.stderr
    assert len(ended.stderr.splitlines()) == 1, ended.stderr
    assert "Traceback" not in ended.stderr


def test_it_names_an_address_that_is_not_this_machines() -> None:
    proxied = {"APARTE_PUBLIC_URL": "https://chat.example.org", "APARTE_TRUSTED_PROXIES": "127.0.0.1"}
    ended = process("serve", APARTE_HOST="192.0.2.1", APARTE_PORT=str(free_port()), **proxied)
    assert ended.returncode == 2
    assert "host = 192.0.2.1" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_it_says_of_a_key_that_others_may_read_one_sentence_and_nothing_else(installed: Path) -> None:
    """Watched to fail where the HTTP server is begun first: it logs a traceback of its own."""
    key = next(installed.rglob("root.key"))
    key.chmod(0o644)
    ended = subprocess.run([*APARTE, "serve"], env=clean_environment(), capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert len(ended.stderr.splitlines()) == 1, ended.stderr
    assert "0400" in ended.stderr or "others" in ended.stderr


@pytest.mark.parametrize("is_folder", [False, True])
def test_it_says_of_a_database_that_it_cannot_use_one_sentence_and_nothing_else(
    installed: Path, is_folder: bool
) -> None:
    database = installed / "aparte-data/aparte.db"
    if is_folder:
        database.unlink()
        database.mkdir()
    else:
        database.write_bytes(b"not a database at all" * 100)
    ended = process("serve", APARTE_PORT=str(free_port()))
    assert ended.returncode == 2
    assert len(ended.stderr.splitlines()) == 1, ended.stderr
    assert f"The database in {installed / 'aparte-data'} cannot be opened" in ended.stderr
    assert "aparte doctor" in ended.stderr


def test_it_says_that_another_server_has_the_data_and_nothing_else() -> None:
    with serving(free_port()):
        ended = process("serve", APARTE_PORT=str(free_port()))
    assert ended.returncode == 2
    assert len(ended.stderr.splitlines()) == 1, ended.stderr
    assert "Another aparte serve uses" in ended.stderr


def test_it_changes_nothing_under_a_server_that_runs(installed: Path) -> None:
    """A newer version that is started too early must not migrate the database of the older one."""
    data = installed / "aparte-data"
    (data / "aparte.db").unlink()
    with engine.claim(data):
        ended = process("serve", APARTE_PORT=str(free_port()))
    assert "Another aparte serve uses" in ended.stderr
    assert not (data / "aparte.db").exists()


def test_it_does_not_load_for_serving_what_only_other_commands_need() -> None:
    port = free_port()
    with serving(port) as running:
        loaded = Path(f"/proc/{running.pid}/maps")
        if not loaded.exists():
            pytest.skip("no /proc here")
        rss = next(line for line in Path(f"/proc/{running.pid}/status").read_text().splitlines() if "VmRSS" in line)
        assert int(rss.split()[1]) < 90 * 1024  # KiB; at rest 90 MiB at most


def test_it_takes_a_first_port_only_where_there_is_room_for_the_others() -> None:
    """Beyond 65,535 there is none, and the last of them would be refused by the system with another sentence."""
    most = demo.make_context("demo", ["--port", "65500", "--nodes", "9"]).params
    assert most["port"] + 2 + most["nodes"] <= 65_535
    for beyond in (["--port", "65501"], ["--nodes", "10"]):
        with pytest.raises(click.BadParameter, match="not in the range"):
            demo.make_context("demo", beyond)


def test_it_prints_one_line_of_addresses_for_the_demo_and_leaves_nothing(tmp_path: Path) -> None:
    running = subprocess.Popen(
        [*APARTE, "demo", "--port", "0", "--json"],
        env=clean_environment() | {"TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert running.stdout is not None
        told = json.loads(running.stdout.readline())
        assert told["pid"] == running.pid
        assert Path(told["data"]).is_dir()
        running.send_signal(signal.SIGTERM)
        more, log = running.communicate(timeout=40)
    finally:
        running.kill()
    assert (running.returncode, more) == (0, ""), log
    assert not Path(told["data"]).exists()
    assert not Path(told["root_key"]).exists()
