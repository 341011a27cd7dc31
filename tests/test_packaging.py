"""Wheel, sdist and lock files: what is in them, and that a wheel in an empty environment serves."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

import checks
import installed

ROOT = Path(__file__).resolve().parent.parent
PINNED = re.compile(r"^([a-z0-9][a-z0-9._-]*)==([^ \\]+)", re.MULTILINE)
LOCKS = (
    "requirements.lock",
    "requirements-postgres.lock",
    "requirements-cluster.lock",
    "requirements-build.lock",
    "requirements-test.lock",
)


def run(*command: str | Path) -> None:
    done = subprocess.run(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        env=installed.bare_environment(),
    )
    assert done.returncode == 0, done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The sdist, and the wheel that was made from the sdist."""
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, ROOT)
    return next(folder.glob("*.tar.gz")), next(folder.glob("*.whl"))


def test_it_carries_the_front_end_in_the_wheel_unchanged(built: tuple[Path, Path]) -> None:
    front = [path for path in checks.own_files() if path.parts[0] in {"widget", "static"}]
    assert any(path.parts[0] == "widget" for path in front)
    assert any(path.parts[0] == "static" for path in front)
    with zipfile.ZipFile(built[1]) as wheel:
        for path in front:
            carried = hashlib.sha256(wheel.read(f"aparte/_web/{path.as_posix()}")).hexdigest()
            assert carried == hashlib.sha256((ROOT / path).read_bytes()).hexdigest(), path


def test_it_carries_the_package_alone_in_the_wheel(built: tuple[Path, Path]) -> None:
    own = {path.relative_to("server").as_posix() for path in checks.own_files() if path.is_relative_to("server/aparte")}
    with zipfile.ZipFile(built[1]) as wheel:
        names = set(wheel.namelist())
    assert own <= names
    stray = {name for name in names if not name.startswith("aparte/") and ".dist-info/" not in name}
    assert stray == set()
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)


def test_it_carries_everything_that_the_tests_need_in_the_sdist(built: tuple[Path, Path]) -> None:
    with tarfile.open(built[0]) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    missing = {path.as_posix() for path in checks.own_files()} - names
    assert {name for name in missing if not name.startswith((".ci/", ".git"))} == set()


@pytest.mark.slow
def test_it_serves_from_the_wheel_in_an_empty_environment(built: tuple[Path, Path], tmp_path: Path) -> None:
    python = tmp_path / "venv" / "bin" / "python"
    run(sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv")
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-compile"]
    pip.append("--disable-pip-version-check")
    run(*pip, "--require-hashes", "--requirement", ROOT / "requirements.lock")
    run(*pip, "--no-deps", "--no-index", built[1])

    port = installed.free_port()
    places = {"data": "data", "keyring": "keyring/keyring.db", "root_key": "key/root.key"}
    for place in places.values():
        (tmp_path / place).parent.mkdir(exist_ok=True, mode=0o700)
    environment = installed.bare_environment(
        HOME=str(tmp_path),
        APARTE_PORT=str(port),
        **{f"APARTE_{name.upper()}": str(tmp_path / place) for name, place in places.items()},
    )
    aparte = python.with_name("aparte")
    made = subprocess.run([aparte, "init"], env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stdout + made.stderr
    with installed.served([aparte, "serve"], environment, port, tmp_path / "log", cwd=tmp_path) as address:
        status, body = installed.get(f"{address}/widget.js")
        assert status == 200
        assert body == (ROOT / "widget" / "loader.min.js").read_bytes()
        assert installed.get(f"{address}/panel")[0] == 200


@pytest.mark.parametrize("lock", LOCKS)
def test_it_locks_every_package_by_hash_and_names_no_address(lock: str) -> None:
    text = (ROOT / lock).read_text()
    entries = re.split(r"\n(?=[a-z])", re.sub(r"^#.*\n", "", text, flags=re.MULTILINE))
    assert len(entries) > 5
    for entry in entries:
        assert PINNED.match(entry), entry
        assert "--hash=sha256:" in entry, entry
    assert "://" not in text


def test_it_locks_the_same_versions_for_running_and_for_testing() -> None:
    run_time, postgres, cluster, build, test = (dict(PINNED.findall((ROOT / lock).read_text())) for lock in LOCKS)
    assert run_time.items() <= postgres.items() <= cluster.items() <= test.items()
    assert {**run_time, **build}.items() <= test.items()


@pytest.mark.parametrize("lock", ["package-lock.json", "tests/chromium/package-lock.json"])
def test_it_locks_npm_packages_by_hash_and_names_no_address(lock: str) -> None:
    text = (ROOT / lock).read_text()
    assert '"resolved"' not in text
    assert text.count('"integrity": "sha512-') == text.count('"node_modules/')
