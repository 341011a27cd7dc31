"""Sets up `.venv` at the project's root and hands over to it: what `python3 server` and `python3 tests` share.

Knows the lock files, how to make a virtual environment where Python came without ensurepip, and which set of
packages was installed from which files. Must not import anything outside the standard library, nor the product.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"

# A set's lock files. Each set holds every package of those before it in the same version (tests/test_packaging.py).
SETS = {
    "run": ("requirements.lock", "requirements-build.lock"),
    "cluster": ("requirements-cluster.lock", "requirements-build.lock"),
    "test": ("requirements-test.lock",),
}
ADVICE = """This Python can neither make a virtual environment with pip in it nor fill one from outside.
On Debian and Ubuntu: apt-get install python3-venv
Elsewhere: install pip for this Python, or uv, then run the same command again."""


def say(sentence: str) -> None:
    """Prints one line about what is being done, to standard error: standard output belongs to the command."""
    print(f"aparte: {sentence}", file=sys.stderr, flush=True)


def stop(sentence: str) -> NoReturn:
    """Ends the program with status 1 after saying why."""
    say(sentence)
    sys.exit(1)


@contextmanager
def _alone() -> Iterator[None]:
    """Holds the project's directory while one run sets up; a second run waits here."""
    handle = os.open(ROOT, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another run is setting up; waiting for it")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _fingerprint(name: str) -> str:
    """What an installed set was made from: the project's description, the locks, the Python, the place."""
    whole = hashlib.sha256(f"{name}\n{ROOT}\n".encode())
    for path in ("pyproject.toml", "server/aparte/__init__.py", *SETS[name], ".venv/pyvenv.cfg"):
        whole.update((ROOT / path).read_bytes() if (ROOT / path).exists() else b"")
    return whole.hexdigest()


def _installed() -> dict[str, str]:
    """The fingerprint of each set that `.venv` holds; empty when it was not made by us or is broken."""
    try:
        rows = json.loads((VENV / "aparte-sets.json").read_text())
    except (OSError, ValueError):
        return {}
    return rows if isinstance(rows, dict) and PYTHON.exists() else {}


def _works(*command: str | Path) -> bool:
    """Whether a command can be run and ends well; says nothing."""
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def _make_venv() -> None:
    """Makes `.venv`, or mends one whose Python is gone. Never deletes an existing one."""
    if _works(PYTHON, "-c", "") and (VENV / "pyvenv.cfg").exists():
        return
    say(f"making .venv with Python {sys.version.split()[0]}")
    for link in (VENV / "bin").glob("python*"):
        link.unlink()  # a link to a Python that is gone would be kept otherwise
    has_pip = _works(sys.executable, "-m", "pip", "--version") or shutil.which("uv") is not None
    for extra in [("--without-pip",), ()] if has_pip else [()]:
        if _works(sys.executable, "-m", "venv", *extra, VENV):
            return
    stop(ADVICE)


def _installers(name: str) -> Iterator[list[str]]:
    """The commands that can install a set into `.venv`, best first."""
    if (uv := shutil.which("uv")) is not None:
        yield [uv, "pip", "install", "--quiet", "--python", str(PYTHON)]
    quiet = ["install", "--quiet", "--disable-pip-version-check", "--no-warn-script-location"]
    if name == "test":
        quiet.append("--no-compile")  # most of it is never loaded, and what is loaded is kept compiled from then on
    if _works(PYTHON, "-m", "pip", "--version"):
        yield [str(PYTHON), "-m", "pip", *quiet]
    if _works(sys.executable, "-m", "pip", "--python", PYTHON, "--version"):
        yield [sys.executable, "-m", "pip", "--python", str(PYTHON), *quiet]


def _install(name: str) -> None:
    locks = [part for lock in SETS[name] for part in ("--requirement", str(ROOT / lock))]
    environment = {**os.environ, "PIP_USER": "0"}
    tried = False
    for command in _installers(name):
        tried = True
        say(f"installing the {name} set from {' and '.join(SETS[name])} with {Path(command[0]).name}")
        packages = subprocess.run([*command, "--require-hashes", *locks], env=environment, check=False)
        if packages.returncode == 0:
            project = [*command, "--no-deps", "--no-build-isolation", "--editable", str(ROOT)]
            if subprocess.run(project, env=environment, check=False).returncode == 0:
                return
        say(f"{Path(command[0]).name} could not install it (its reason is above)")
    stop("Nothing could install the packages. Is there a way to a package index?" if tried else ADVICE)


def prepare(name: str) -> Path:
    """Makes sure that `.venv` holds a set of packages and the project itself, editable.

    Args: name is a key of `SETS`. Returns: the environment's Python. Ends the program with a sentence when it cannot.
    """
    if sys.version_info < (3, 11):  # noqa: UP036 -- an older Python may well be what starts this file
        stop(f"Python 3.11 or newer is needed; this is {sys.version.split()[0]} ({sys.executable})")
    if _installed().get(name) != _fingerprint(name):
        with _alone():
            if _installed().get(name) != _fingerprint(name):  # another run may have done it while we waited
                _make_venv()
                _install(name)
                held = [*SETS][: [*SETS].index(name) + 1]
                rows = _installed() | {one: _fingerprint(one) for one in held}
                fresh = VENV / "aparte-sets.json.new"
                fresh.write_text(json.dumps(rows))
                fresh.replace(VENV / "aparte-sets.json")
                say("ready")
    return PYTHON


def hand_over(python: Path, *arguments: str) -> NoReturn:
    """Becomes `python` with these arguments: exit status, signals and terminal are then the command's own."""
    os.execv(python, [str(python), *arguments])
