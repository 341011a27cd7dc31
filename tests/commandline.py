"""What tests of the command share: an installation of their own, the command inside and outside this process.

Knows `aparte` and where it is installed. Must not know what a command does.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from click.testing import CliRunner, Result

from aparte import cli

APARTE = (sys.executable, "-c", "from aparte.cli import main; main(prog_name='aparte')")
GOOD = "violet kettle drummer sandpit"
CANARY = "Wilhelmina Kanarek"


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An installation that `aparte init` made. Its settings name no absolute path, so that it can be copied."""
    folder = tmp_path_factory.mktemp("installation")
    subprocess.run([*APARTE, "init"], cwd=folder, env=clean_environment(), check=True, capture_output=True)
    return folder


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("APARTE_")]:
        monkeypatch.delenv(name)
    mask = os.umask(0o022)  # a command changes it for its own process, and here that is ours
    yield
    os.umask(mask)


@pytest.fixture
def installed(here: None, template: Path, tmp_path: Path) -> Path:
    """A fresh installation in the working folder."""
    shutil.copytree(template, tmp_path, dirs_exist_ok=True)
    return tmp_path


def clean_environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("APARTE_")}


def aparte(*words: str, stdin: str = "", **environ: str) -> Result:
    """The command, inside this process; not one that takes over the process's log."""
    result = CliRunner().invoke(cli.main, words, input=stdin, env=environ, prog_name="aparte", catch_exceptions=False)
    assert not structlog.get_config()["cache_logger_on_first_use"], "no later test would see its log: use `process`"
    return result


def process(*words: str | bytes, **environ: str) -> subprocess.CompletedProcess[str]:
    """The command, in a process of its own."""
    environment = clean_environment() | environ
    return subprocess.run(
        [*APARTE, *words], env=environment, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
    )


def says(result: Result, sentence: str) -> None:
    """Status 2, and the sentence on standard error alone."""
    assert result.exit_code == 2, result.output
    assert re.search(sentence, result.stderr), result.stderr
    assert result.stdout == ""


def everything(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Every file's mode and bytes."""
    return {
        str(path.relative_to(folder)): (path.stat().st_mode, path.read_bytes())
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def doctor(*words: str) -> dict[str, tuple[bool, str]]:
    """What the doctor found, by name; its status goes with it."""
    result = aparte("doctor", "--json", *words)
    found = {one["name"]: (one["ok"], one["says"]) for one in json.loads(result.stdout)}
    assert result.exit_code == (0 if all(ok for ok, _ in found.values()) else 1)
    return found


def wrong(found: dict[str, tuple[bool, str]]) -> list[str]:
    return [name for name, (ok, _) in found.items() if not ok]


def secret(content: str = "0123456789abcdef0123456789abcdef", mode: int = 0o400) -> str:
    path = Path("records.secret")
    path.write_text(content)
    path.chmod(mode)
    return str(path)
