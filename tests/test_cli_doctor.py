"""`aparte doctor`: each thing that can be wrong is broken for real, found, and named with its fix."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import socket
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult

from aparte.demo.airline import create_airline
from aparte.store import engine
from commandline import aparte, doctor, everything, here, installed, process, secret, template, wrong
from listening import serving

__all__ = ["here", "installed", "template"]

pytestmark = pytest.mark.usefixtures("installed")
SECRET = "0123456789abcdef0123456789abcdef"


@pytest.fixture
def site(installed: Path) -> None:
    assert aparte("site", "add", "shop", "--name", "Shop", "--origin", "http://localhost:9").exit_code == 0


def closed_port() -> int:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return int(bound.getsockname()[1])


def test_it_finds_only_that_there_is_no_site_yet() -> None:
    assert wrong(doctor()) == ["sites"]


def test_it_finds_data_that_are_ahead_of_the_clock() -> None:
    with contextlib.closing(sqlite3.connect("aparte-data/aparte.db")) as database, database:
        database.execute("UPDATE store_info SET value = ? WHERE name = 'clock'", (repr(time.time() + 400 * 86_400),))
    found = doctor()
    assert wrong(found) == ["clock", "sites"]
    assert "400 days ahead" in found["clock"][1]


@pytest.mark.usefixtures("site")
def test_it_finds_nothing_wrong_where_nothing_is() -> None:
    assert wrong(doctor()) == []
    result = aparte("doctor")
    assert result.exit_code == 0
    assert all(line.startswith(("✓ ", "! agents: ")) for line in result.stdout.splitlines())


def test_it_changes_nothing(tmp_path: Path) -> None:
    before = everything(tmp_path)
    doctor()
    assert everything(tmp_path) == before


def test_it_names_wrong_settings_as_findings() -> None:
    Path("bad.toml").write_text("port = -1\n")
    found = doctor("--config", "bad.toml")
    assert list(found) == ["settings"]
    assert "port = -1: give a number" in found["settings"][1]


@pytest.mark.parametrize(
    ("path", "name", "mode"),
    [
        ("aparte-data", "data", "0700"),
        ("aparte-keyring", "keyring folder", "0700"),
        ("aparte-keyring/keyring.db", "keyring", "0600"),
        ("aparte-key/root.key", "root_key", "0400"),
    ],
)
def test_it_finds_a_place_that_the_server_may_not_use(path: str, name: str, mode: str) -> None:
    Path(path).chmod(0o100 if mode != "0400" else 0o200)
    found = doctor()
    Path(path).chmod(int(mode, 8))
    assert not found[name][0]
    assert found[name][1].endswith(f"run chmod {mode} {Path(path).absolute()}")
    assert doctor()[name][0]


@pytest.mark.parametrize(
    ("path", "name", "fix"),
    [
        ("aparte-data", "data", "chmod 0700"),
        ("aparte-keyring", "keyring folder", "chmod 0700"),
        ("aparte-keyring/keyring.db", "keyring", "chmod 0600"),
        ("aparte-key", "root_key folder", "chmod 0700"),
        ("aparte-key/root.key", "root_key", "chmod 0400"),
    ],
)
def test_it_finds_a_place_that_is_open_to_others(path: str, name: str, fix: str) -> None:
    Path(path).chmod(0o755)
    found = doctor()
    assert [one for one in wrong(found) if one != "sites"] == [name]  # once; "sites": there is none
    assert fix in found[name][1]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_it_finds_a_place_of_another_account() -> None:
    os.chown("aparte-key/root.key", 65_534, 65_534)
    assert "belongs to another account: run chown" in doctor()["root_key"][1]


def test_it_finds_lost_keys() -> None:
    Path("aparte-key/root.key").unlink()
    found = doctor()
    assert wrong(found) == ["root_key"]  # and nothing of what follows from that
    assert found["root_key"][1].endswith("put it back from its copy, or correct the setting")


def test_it_finds_a_root_key_of_another_ring() -> None:
    key = Path("aparte-key/root.key")
    key.unlink()
    key.write_bytes(os.urandom(32))
    key.chmod(0o400)
    found = doctor()
    assert wrong(found) == ["keys"]
    assert "not the one that this key ring was made with" in found["keys"][1]


def test_it_finds_a_lost_ring_and_a_lost_database() -> None:
    Path("aparte-keyring/keyring.db").unlink()
    Path("aparte-data/aparte.db").unlink()
    found = doctor()
    assert wrong(found) == ["keyring", "database"]
    assert found["keyring"][1].endswith("run aparte init")  # nothing is left that it could not open
    assert not list(Path().glob("aparte-*/*.db"))


def test_it_finds_a_database_that_is_none() -> None:
    Path("aparte-data/aparte.db").write_bytes(b"not a database at all" * 100)
    assert doctor()["database"][1].endswith("cannot be read (SQLITE_NOTADB): restore the last copy")


def test_it_finds_a_database_that_is_damaged() -> None:
    with contextlib.closing(sqlite3.connect("aparte-data/aparte.db")) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        (page, size) = database.execute(
            "SELECT rootpage, page_size FROM sqlite_schema, pragma_page_size WHERE name = 'audit'"
        ).fetchone()
    with Path("aparte-data/aparte.db").open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(os.urandom(size))
    found = doctor()
    assert "database" in wrong(found)
    assert "restore the last copy" in found["database"][1]


def test_it_finds_a_database_that_another_program_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "BUSY_MILLISECONDS", 20)
    with contextlib.closing(sqlite3.connect("aparte-data/aparte.db", isolation_level=None)) as holder:
        holder.execute("PRAGMA locking_mode=EXCLUSIVE")
        holder.execute("BEGIN IMMEDIATE")
        found = doctor()
    assert found["database"][1].endswith("cannot be read (SQLITE_BUSY): another program holds it: end that one")
    assert doctor()["database"][0]


@contextlib.contextmanager
def mounted(*how: str) -> Iterator[None]:
    """The data on a file system of their own."""
    place = Path("aparte-data").absolute()
    kept = {path.name: path.read_bytes() for path in place.iterdir() if path.is_file()}
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m,mode=0700", "none", place], check=False).returncode != 0:
        pytest.skip("no file system can be mounted here")
    try:
        for name, content in kept.items():
            (place / name).write_bytes(content)
        for one in how:
            subprocess.run(["mount", "-o", one, place], check=True)
        yield
    finally:
        subprocess.run(["umount", "-l", place], check=True)


def test_it_finds_a_disk_that_is_nearly_full() -> None:
    with mounted():
        found = doctor()
    assert wrong(found) == ["disk of data", "sites"]
    assert found["disk of data"][1] == "0.0 GiB free: make room, at least 500 MiB"


def test_it_finds_a_disk_that_is_mounted_for_reading_alone() -> None:
    with mounted("remount,ro"):
        found = doctor()
    assert {"disk of data", "database"} <= set(wrong(found))
    assert found["disk of data"][1].endswith("mounted for reading alone: mount it for writing")
    assert "on a disk that may be written" in found["database"][1]


def test_it_finds_a_clock_that_has_lost_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: 1_000_000.0)
    assert "shows a time long past: set it" in doctor()["clock"][1]


def test_it_finds_a_database_without_its_write_ahead_log() -> None:
    connection = sqlite3.connect("aparte-data/aparte.db")
    assert connection.execute("PRAGMA journal_mode=DELETE").fetchone() == ("delete",)
    connection.close()
    assert wrong(doctor())[0] == "durability"


def test_it_finds_a_database_of_another_version(tmp_path: Path) -> None:
    connection = sqlite3.connect("aparte-data/aparte.db")
    connection.execute("UPDATE alembic_version SET version_num = '0000'")
    connection.commit()
    connection.close()
    found = doctor()
    assert found["migrations"][1].startswith("at 0000, and this version needs ")
    assert not found["migrations"][0]
    assert found["migrations"][1].endswith("start aparte serve once")
    assert not found["sites"][0]


def test_it_finds_a_newer_versions_database() -> None:
    with contextlib.closing(sqlite3.connect("aparte-data/aparte.db")) as database, database:
        database.execute("UPDATE alembic_version SET version_num = '0999'")
    assert "by a newer version" in doctor()["migrations"][1]
    assert wrong(doctor()) == ["sites"]  # there are none
    with contextlib.closing(sqlite3.connect("aparte-data/aparte.db")) as database, database:
        database.execute("UPDATE store_info SET value = '0998' WHERE name = 'min_version'")
    assert wrong(doctor()) == ["migrations", "sites"]
    assert "Install the newer version" in doctor()["migrations"][1]
    assert "for 0998 or newer" in process("serve").stderr


def test_it_finds_a_clock_behind_the_data() -> None:
    later = time.time() + 7200
    os.utime("aparte-data/aparte.db", (later, later))
    assert "behind the newest data" in doctor()["clock"][1]


@pytest.mark.usefixtures("site")
def test_it_finds_a_public_name_that_nobody_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("APARTE_TRUSTED_PROXIES", "127.0.0.1")
    monkeypatch.setenv("APARTE_PUBLIC_URL", "https://nobody.invalid")
    found = doctor()
    assert wrong(found) == ["public_url"]
    assert "make a DNS record for nobody.invalid" in found["public_url"][1]


# Mail.


class _Keep:
    async def handle_DATA(self, _server: object, _session: object, _envelope: object) -> str:  # noqa: N802 - aiosmtpd's name
        raise AssertionError("the doctor sends no letter")


@pytest.fixture
def mail(monkeypatch: pytest.MonkeyPatch) -> Iterator[Controller]:
    """A real mail server that lets `chat` in with one password."""

    def authenticate(
        _server: object, _session: object, _envelope: object, _mechanism: str, given: object
    ) -> AuthResult:
        is_right = (getattr(given, "login", b""), getattr(given, "password", b"")) == (b"chat", b"right")
        return AuthResult(success=is_right, handled=is_right)

    controller = Controller(
        _Keep(), hostname="127.0.0.1", port=closed_port(), authenticator=authenticate, auth_require_tls=False
    )
    controller.start()
    for name, value in {
        "SMTP_HOST": "127.0.0.1",
        "SMTP_PORT": str(controller.port),
        "SMTP_SECURITY": "none",
        "MAIL_FROM": "Chat <chat@example.org>",
    }.items():
        monkeypatch.setenv(f"APARTE_{name}", value)
    yield controller
    controller.stop()


def password_file(monkeypatch: pytest.MonkeyPatch, password: str) -> None:
    path = Path("smtp.secret")
    path.write_text(password)
    path.chmod(0o400)
    monkeypatch.setenv("APARTE_SMTP_USER", "chat")
    monkeypatch.setenv("APARTE_SMTP_PASSWORD_FILE", str(path))


@pytest.mark.usefixtures("site", "mail")
def test_it_signs_in_at_the_mail_server(monkeypatch: pytest.MonkeyPatch) -> None:
    assert wrong(doctor()) == []
    password_file(monkeypatch, "right")
    assert wrong(doctor()) == []


@pytest.mark.usefixtures("site", "mail")
def test_it_finds_a_mail_server_that_does_not_let_us_in(monkeypatch: pytest.MonkeyPatch) -> None:
    password_file(monkeypatch, "wrong-password")
    found = doctor()
    assert wrong(found) == ["mail"]
    assert "correct smtp_user, or the password in smtp_password_file" in found["mail"][1]
    assert "wrong-password" not in found["mail"][1]


@pytest.mark.usefixtures("site", "mail")
def test_it_finds_a_mail_server_whose_name_nobody_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("APARTE_SMTP_SECURITY", "tls")
    monkeypatch.setenv("APARTE_SMTP_HOST", "nobody.invalid")
    found = doctor()
    assert wrong(found) == ["mail"]
    assert found["mail"][1].endswith(": the name is not known: correct smtp_host, or make a DNS record for it")


@pytest.mark.usefixtures("site", "mail")
def test_it_says_what_an_answer_of_a_mail_server_means_and_shows_no_class(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("APARTE_SMTP_SECURITY", "tls")
    found = doctor()
    assert wrong(found) == ["mail"]
    assert "its encryption is not accepted: compare smtp_host" in found["mail"][1]
    assert not re.search(r"SMTP[A-Z]|Error", found["mail"][1])


@pytest.mark.usefixtures("site", "mail")
def test_it_finds_a_mail_server_that_does_not_encrypt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("APARTE_SMTP_SECURITY", "starttls")
    found = doctor()
    assert wrong(found) == ["mail"]
    assert "compare the settings smtp_*" in found["mail"][1]


@pytest.mark.usefixtures("site", "mail")
def test_it_finds_a_mail_server_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("APARTE_SMTP_PORT", str(closed_port()))
    found = doctor()
    assert wrong(found) == ["mail"]
    assert "see that it runs, and compare smtp_host, smtp_port" in found["mail"][1]


@pytest.mark.usefixtures("site", "mail")
def test_it_finds_a_mail_server_that_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("APARTE_SMTP_TIMEOUT_SECONDS", "1")
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        monkeypatch.setenv("APARTE_SMTP_PORT", str(silent.getsockname()[1]))
        found = doctor()
    assert wrong(found) == ["mail"]
    assert "see that it runs, and compare smtp_host, smtp_port" in found["mail"][1]


@pytest.mark.usefixtures("site", "mail")
def test_it_finds_a_mail_server_that_refuses_the_sender(monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse(*_: object) -> str:
        return "553 5.7.1 not your address"

    monkeypatch.setattr(_Keep, "handle_MAIL", refuse, raising=False)
    found = doctor()
    assert wrong(found) == ["mail"]
    assert "mail_from" in found["mail"][1]


# The company's system.


async def asked(url: str, key: str = "airline-1", content: str = SECRET) -> tuple[bool, str]:
    """What the doctor says of a site with this connector, while the airline answers in this loop."""
    path = Path("records.secret")
    path.unlink(missing_ok=True)
    given = ("--records-url", url, "--records-key", key, "--records-secret-file", secret(content))
    added = await asyncio.to_thread(aparte, "site", "add", "air", "--name", "Air", "--replace", *given)
    assert added.exit_code == 0, added.output
    return (await asyncio.to_thread(doctor))["site air"]


async def test_it_doubts_a_booking_system_without_mail() -> None:
    assert doctor()["mail"][0]
    assert "✓ mail:" in aparte("doctor").stdout
    await asked("http://127.0.0.1:1/records")
    found = await asyncio.to_thread(aparte, "doctor")
    assert "! mail: no smtp_host" in found.stdout
    assert "air has a booking system" in found.stdout


async def test_it_asks_the_booking_system() -> None:
    app = create_airline(chat_url="http://127.0.0.1:1", site="air", secret=SECRET.encode(), today=date(2026, 11, 26))
    async with serving(app) as origin:
        assert (await asked(f"{origin}/records"))[0]
        assert not (await asked(f"{origin}/records", key="other"))[0]
        assert not (await asked(f"{origin}/records", content="f" * 32))[0]
        assert not (await asked(f"{origin}/elsewhere"))[0]
    is_well, says = await asked(f"{origin}/records")
    assert not is_well
    assert "cannot be reached" in says
