"""The command on real folders and keys: its help, its answers to what is wrong, and `init`."""

from __future__ import annotations

import os
import re
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from aparte import cli, config
from commandline import (
    APARTE,
    aparte,
    clean_environment,
    doctor,
    everything,
    here,
    installed,
    process,
    says,
    template,
)

__all__ = ["here", "installed", "template"]

pytestmark = pytest.mark.usefixtures("here")


def leaves(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    if isinstance(command, click.Group):
        for name, inner in command.commands.items():
            yield from leaves(inner, (*path, name))
    else:
        yield path, command


@pytest.mark.parametrize("path", [path for path, _ in leaves(cli.main)], ids=" ".join)
def test_it_explains_each_command_with_an_example(path: tuple[str, ...]) -> None:
    result = aparte(*path, "--help")
    assert result.exit_code == 0
    assert "Example" in result.output
    assert f"  aparte {' '.join(path)}" in result.output
    command = dict(leaves(cli.main))[path]
    for option in command.params:
        assert not isinstance(option, click.Option) or option.help or option.name == "role", option.name


def test_it_loads_nothing_heavy_for_help_nor_for_settings() -> None:
    program = (
        "import sys\nfrom aparte.cli import main\n"
        "print([name for name in ('rich', 'zxcvbn', 'sqlalchemy', 'cryptography', 'starlette', 'asyncio', 'structlog')"
        " if name in sys.modules])"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ended.stdout == "[]\n"


# Wrong settings.


@pytest.mark.parametrize(
    "words",
    [("serve",), ("init",), ("agent", "list"), ("agent", "add", "a@b.example", "--name", "A"), ("site", "list")],
    ids=lambda one: one if isinstance(one, str) else one[0],
)
def test_it_answers_wrong_settings_with_sentences_and_no_traceback(tmp_path: Path, words: tuple[str, ...]) -> None:
    ended = process(*words, APARTE_PORT="99999", APARTE_DATA="d", APARTE_KEYRING="d/k", APARTE_ROOT_KEY="d/r")
    assert ended.returncode == 2
    assert ended.stdout == ""
    assert "Traceback" not in ended.stderr
    assert ended.stderr.startswith("aparte: 4 settings are wrong:\n  APARTE_PORT = 99999: give a whole number")
    assert list(tmp_path.iterdir()) == []


def test_it_finds_the_settings_file_that_the_environment_names(installed: Path) -> None:
    (installed / "aparte.toml").rename(installed / "other.toml")
    assert aparte("agent", "list", APARTE_CONFIG="other.toml").exit_code == 0
    says(aparte("agent", "list"), "no aparte.toml in this folder")


def test_it_refuses_words_that_are_no_text(installed: Path) -> None:
    for words in (
        (b"agent", b"add", b"a\xff@b.example", b"--name", b"A", b"--generate"),
        (b"site", b"snippet", b"\xff"),
    ):
        ended = process(*words)
        assert ended.returncode == 2
        assert "Traceback" not in ended.stderr


@pytest.mark.parametrize(
    ("words", "extra"), [(("serve",), "postgres"), (("demo", "--nodes", "2", "--port", "0"), "cluster")]
)
def test_it_says_how_to_get_a_driver_that_is_not_installed(installed: Path, words: tuple[str, ...], extra: str) -> None:
    before = everything(installed)
    place = {f"APARTE_{name}_URL": f"postgresql://127.0.0.1:1/{name}" for name in ("DATABASE", "KEYRING")}
    place |= {"APARTE_PORT": "0"}
    python, option, program = APARTE
    ended = subprocess.run(
        [python, option, f"import sys; sys.modules['psycopg'] = None; {program}", *words],
        env=clean_environment() | place,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 2
    said = ended.stderr.splitlines()[-1]
    assert "driver of PostgreSQL" in said
    assert f"pip install 'aparte[{extra}]', or from requirements-{extra}.lock" in said
    assert "Traceback" not in ended.stderr
    assert everything(installed) == before


@pytest.mark.parametrize("words", [("agent", "list"), ("site", "list"), ("agent", "disable", "a@b.example", "--yes")])
def test_it_makes_nothing_but_by_init(tmp_path: Path, words: tuple[str, ...]) -> None:
    places = {"APARTE_DATA": "d", "APARTE_KEYRING": "r/k.db", "APARTE_ROOT_KEY": "k/root.key"}
    says(aparte(*words, **places), "aparte init")
    assert list(tmp_path.iterdir()) == []


# init.


def test_it_makes_an_installation_for_its_own_account_alone(tmp_path: Path) -> None:
    ended = process("init")
    assert ended.returncode == 0, ended.stderr
    modes = {str(path.relative_to(tmp_path)): path.stat().st_mode & 0o777 for path in tmp_path.rglob("*")}
    assert {name: mode for name, mode in modes.items() if mode & 0o077} == {}
    assert modes["aparte-key/root.key"] == 0o400
    assert (tmp_path / "aparte-key/root.key").stat().st_size == 32
    assert ended.stdout.count("made ") == 5
    assert "aparte agent add" in ended.stdout


def test_it_writes_settings_that_it_then_understands(installed: Path) -> None:
    text = (installed / "aparte.toml").read_text()
    uncommented = re.sub(r"^# (?=\w+ = )", "", text, flags=re.MULTILINE)
    assert uncommented != text
    (installed / "all.toml").write_text(uncommented)
    for name in ("smtp", "database"):
        secret = installed / f"aparte-key/{name}.secret"
        secret.write_text("x")
        secret.chmod(0o400)
    assert config.load(installed / "all.toml", {}).mail_from == "Air Example <chat@example.org>"


def test_it_changes_nothing_when_run_again(installed: Path) -> None:
    before = everything(installed)
    again = aparte("init")
    assert again.exit_code == 0
    assert "nothing was changed" in again.stdout
    assert everything(installed) == before


def test_it_takes_the_places_from_the_environment_without_a_file(tmp_path: Path) -> None:
    places = {"APARTE_DATA": "d", "APARTE_KEYRING": "r/k.db", "APARTE_ROOT_KEY": "k/root.key"}
    assert aparte("init", **places).exit_code == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["d", "k", "r"]


def test_it_takes_a_root_key_that_is_there(tmp_path: Path) -> None:
    key = tmp_path / "aparte-key/root.key"
    key.parent.mkdir(mode=0o700)
    key.write_bytes(bytes(range(7, 39)))
    key.chmod(0o400)
    result = aparte("init")
    assert "there  root key" in result.stdout
    assert key.read_bytes() == bytes(range(7, 39))


def test_it_makes_no_new_ring_beside_data_that_need_the_old_one(installed: Path) -> None:
    (installed / "aparte-keyring/keyring.db").unlink()
    before = everything(installed)
    says(aparte("init"), "Put the key ring back")
    assert everything(installed) == before


@pytest.mark.parametrize("loss", ["absent", "other", "open"])
def test_it_makes_no_new_root_key_in_place_of_a_lost_one(installed: Path, loss: str) -> None:
    key = installed / "aparte-key/root.key"
    if loss == "open":
        key.chmod(0o440)
    else:
        key.unlink()
    if loss == "other":
        key.write_bytes(os.urandom(32))
        key.chmod(0o400)
    before = everything(installed)
    for words in (("init",), ("agent", "list")):
        says(aparte(*words), "root key")
    assert "aparte init" not in aparte("init").stderr  # it would lead in a circle
    ended = process("serve")
    assert ended.returncode == 2
    assert "aparte: The root key" in ended.stderr
    assert everything(installed) == before


@pytest.mark.parametrize("place", ["aparte-data", "aparte-keyring", "aparte-key"])
def test_it_names_a_place_that_cannot_be_made(tmp_path: Path, place: str) -> None:
    (tmp_path / place).write_text("a file in the way")
    result = aparte("init")
    says_path = result.exit_code == 2 and place in result.stderr
    assert says_path, result.output
    assert (tmp_path / place).read_text() == "a file in the way"


def test_it_ends_quietly_when_its_reader_has_gone(installed: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    ended = subprocess.run(
        [*APARTE, "agent", "list"],
        env=clean_environment(),
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(writing)
    assert "Traceback" not in ended.stderr


def test_it_uses_the_durable_settings_that_the_doctor_asks_for(installed: Path) -> None:
    with sqlite3.connect(installed / "aparte-data/aparte.db") as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    connection.close()
    assert doctor()["durability"] == (True, "write-ahead log, synchronous FULL")
