"""The bootstrap of the two commands, on a small project of its own with a package made on the spot (no network)."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

from aparte.cli.serve import demo

ROOT = Path(__file__).resolve().parent.parent
PYPROJECT = """
[build-system]
requires = []
build-backend = "backend"
backend-path = ["server"]
[project]
name = "aparte"
version = "0"
"""
# The smallest build backend: an editable wheel that points at `server` and brings the command.
BACKEND = """
import zipfile
def build_editable(folder, config_settings=None, metadata_directory=None):
    name = "aparte-0-py3-none-any.whl"
    with zipfile.ZipFile(f"{folder}/{name}", "w") as wheel:
        import os
        wheel.writestr("aparte.pth", os.getcwd() + "/server")
        info = "aparte-0.dist-info"
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\\nName: aparte\\nVersion: 0\\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr(f"{info}/entry_points.txt", "[console_scripts]\\naparte = aparte:main\\n")
        wheel.writestr(f"{info}/RECORD", "")
    return name
"""
PACKAGE = """
import sys, time
def main():
    print("aparte", *sys.argv[1:], flush=True)
    if sys.argv[1:2] == ["wait"]:
        time.sleep(30)
    sys.exit(int(sys.argv[2]) if sys.argv[1:2] == ["end"] else 0)
"""


def checkout(root: Path) -> Path:
    """A checkout with the real bootstrap and a product of five lines that depends on nothing."""
    (root / "server" / "aparte").mkdir(parents=True)
    for name in ("bootstrap.py", "__main__.py"):
        shutil.copy(ROOT / "server" / name, root / "server" / name)
    (root / "server" / "backend.py").write_text(BACKEND)
    (root / "server" / "aparte" / "__init__.py").write_text(PACKAGE)
    (root / "pyproject.toml").write_text(PYPROJECT)
    for name in ("", "-build", "-cluster", "-test"):
        (root / f"requirements{name}.lock").write_text("")
    return root


Ready = tuple[Path, subprocess.CompletedProcess[str]]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A checkout in which nothing was set up yet."""
    return checkout(tmp_path / "checkout")


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory) -> Ready:
    """One that is set up, with what the first run said: to set one up takes seconds. Whoever has it leaves it set up."""
    root = checkout(tmp_path_factory.mktemp("ready") / "checkout")
    return root, server(root, "end", "7")


def environment(**more: str) -> dict[str, str]:
    """Without uv, so that what is tested does not depend on the machine having it."""
    folders = [part for part in os.environ["PATH"].split(os.pathsep) if not (Path(part) / "uv").exists()]
    return {"PATH": os.pathsep.join(folders), "HOME": "/nonexistent", "PIP_NO_INDEX": "1", **more}


def server(project: Path, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, project / "server", *arguments],
        env=environment(**more),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_it_sets_up_and_hands_over_arguments_and_status(ready: Ready) -> None:
    first = ready[1]
    assert first.stdout == "aparte end 7\n", first.stderr
    assert first.returncode == 7
    assert "making .venv" in first.stderr


def test_it_runs_the_demo_without_arguments(ready: Ready) -> None:
    assert server(ready[0]).stdout == "aparte demo\n"


def test_it_says_and_does_nothing_the_second_time(ready: Ready) -> None:
    start = time.monotonic()
    second = server(ready[0])
    assert second.stderr == ""
    assert time.monotonic() - start < 1.0


def test_it_installs_anew_after_a_lock_changed_and_keeps_what_is_there(ready: Ready) -> None:
    project = ready[0]
    (project / ".venv" / "mine").write_text("kept")
    (project / "requirements.lock").write_text("# changed\n")
    again = server(project)
    assert "installing the run set" in again.stderr
    assert "making .venv" not in again.stderr
    assert (project / ".venv" / "mine").read_text() == "kept"


def test_it_installs_what_several_nodes_need_when_they_are_asked_for(project: Path) -> None:
    first = server(project, "demo", "--nodes=2")
    assert first.stdout == "aparte demo --nodes=2\n", first.stderr
    assert "installing the cluster set from requirements-cluster.lock" in first.stderr
    # It holds what one node needs, and not the other way round.
    assert server(project).stderr == ""
    (project / "requirements-cluster.lock").write_text("# changed\n")
    assert server(project, "demo", "--nodes", "1").stderr == ""
    assert "installing the cluster set" in server(project, "demo", "--nodes", "2").stderr


@pytest.mark.parametrize(
    "words", [("--nodes", "12"), ("--nodes=12",), ("--nodes", "two"), ("--nodes",), ("--nodes", "0")]
)
def test_it_installs_nothing_for_a_number_of_nodes_that_is_refused(project: Path, words: tuple[str, ...]) -> None:
    refused = server(project, "demo", *words)
    assert refused.returncode == 1
    assert "--nodes takes a number from 1 to 9" in refused.stderr
    assert not (project / ".venv").exists()
    assert str(demo.make_context("demo", ["--nodes", "9"]).params["nodes"]) == "9"


def test_it_mends_an_environment_whose_python_is_gone(ready: Ready) -> None:
    project = ready[0]
    for link in (project / ".venv" / "bin").glob("python*"):
        link.unlink()
        link.symlink_to("/nonexistent/python")
    mended = server(project, "end", "3")
    assert mended.returncode == 3, mended.stderr


def test_it_refuses_a_package_without_a_hash(project: Path, tmp_path: Path) -> None:
    wheel = tmp_path / "something-1-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("something-1.dist-info/METADATA", "Metadata-Version: 2.1\nName: something\nVersion: 1\n")
        archive.writestr(
            "something-1.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr("something-1.dist-info/RECORD", "")
    (project / "requirements.lock").write_text("something==1\n")
    refused = server(project, PIP_FIND_LINKS=str(tmp_path))
    assert refused.returncode == 1
    assert "hash" in refused.stderr.lower()
    (project / "requirements.lock").write_text(
        f"something==1 --hash=sha256:{hashlib.sha256(wheel.read_bytes()).hexdigest()}\n"
    )
    assert server(project, PIP_FIND_LINKS=str(tmp_path)).stdout == "aparte demo\n"


@pytest.mark.parametrize(("hidden", "status"), [(["ensurepip"], 0), (["pip", "ensurepip"], 1)])
@pytest.mark.slow
def test_it_needs_pip_or_ensurepip_and_says_so(project: Path, tmp_path: Path, hidden: list[str], status: int) -> None:
    for name in hidden:
        (tmp_path / f"{name}.py").write_text(f"raise ImportError('no {name} here')\n")
    done = server(project, PYTHONPATH=str(tmp_path))
    assert done.returncode == status, done.stderr
    assert ("python3-venv" in done.stderr) == bool(status)


def test_it_falls_back_to_pip_when_uv_fails(project: Path, tmp_path: Path) -> None:
    uv = tmp_path / "bin" / "uv"
    uv.parent.mkdir()
    uv.write_text("#!/bin/sh\nexit 2\n")
    uv.chmod(0o755)
    done = server(project, "end", "5", PATH=f"{uv.parent}{os.pathsep}{environment()['PATH']}")
    assert done.returncode == 5, done.stderr
    assert "uv could not install it" in done.stderr


def test_it_lets_one_of_two_simultaneous_runs_wait(project: Path) -> None:
    runs = [
        subprocess.Popen(
            [sys.executable, project / "server", "end", str(number)],
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in (11, 12)
    ]
    spoken = [run.communicate(timeout=60)[1] for run in runs]
    assert [run.returncode for run in runs] == [11, 12], spoken
    assert sum("installing the run set" in text for text in spoken) == 1


def test_it_passes_signals_on(ready: Ready) -> None:
    project = ready[0]
    process = subprocess.Popen(
        [sys.executable, project / "server", "wait"], env=environment(), stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    with process.stdout:
        assert process.stdout.readline() == "aparte wait\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == -signal.SIGTERM
