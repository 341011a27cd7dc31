"""The checks that need no running product: style, types, layers, the house's rules on files, the documentation.

Knows how each tool is called. Runs on the standard library alone; the tools come from `.venv` and `node_modules`.
"""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bootstrap import ROOT, say

LONGEST_FILE = 400  # lines
COUNTED = {".py", ".js", ".mjs", ".css"}
NOT_COUNTED = re.compile(r"(^|/)(vendor|migrations|node_modules)/")

# Hosts of package registries. Where packages come from is the business of the machine, not of the project.
REGISTRY = re.compile(
    r"(registry\.(npmjs\.org|yarnpkg\.com|npmmirror\.com)|(?<![\w.])(pypi|test\.pypi)\.org|files\.pythonhosted\.org"
    r"|index\.crates\.io|proxy\.golang\.org|deb\.debian\.org|cdn\.(jsdelivr\.net|playwright\.dev)|unpkg\.com)"
)

LOCKS = {
    "requirements-test.lock": ("--extra=demo", "--extra=test"),
    "requirements.lock": ("--extra=demo", "--constraint=requirements-test.lock"),
    "requirements-postgres.lock": (
        "--extra=demo",
        "--extra=postgres",
        "--extra=valkey",
        "--constraint=requirements-test.lock",
    ),
    "requirements-cluster.lock": ("--extra=cluster", "--constraint=requirements-test.lock"),
    "requirements-build.lock": (
        "--only-build-deps",
        "--build-deps-for=editable",
        "--constraint=requirements-test.lock",
    ),
}


def own_files() -> list[Path]:
    """The project's files as git sees them, relative to its root; all but dotted folders where git is not."""
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    if listing.returncode == 0:
        found = [Path(name) for name in listing.stdout.decode().split("\0") if name]
    else:
        found = [path.relative_to(ROOT) for path in ROOT.rglob("*") if not path.is_dir()]
        found = [path for path in found if not any(part.startswith(".") for part in path.parts[:-1])]
        found = [path for path in found if "node_modules" not in path.parts]
    return sorted(path for path in found if (ROOT / path).is_file())


def too_long(files: list[Path]) -> list[str]:
    """A sentence for each source file of more than `LONGEST_FILE` lines."""
    wrong = []
    for path in files:
        if path.suffix in COUNTED and not NOT_COUNTED.search(path.as_posix()):
            lines = (ROOT / path).read_bytes().count(b"\n")
            if lines > LONGEST_FILE:
                wrong.append(f"{path}: {lines} lines, at most {LONGEST_FILE}; split it by noun")
    return wrong


def naming_a_registry(files: list[Path]) -> list[str]:
    """A sentence for each line of a text file that names a package registry's host."""
    wrong = []
    for path in files:
        text = (ROOT / path).read_bytes()
        if b"\0" in text:
            continue
        for number, line in enumerate(text.decode(errors="replace").splitlines(), 1):
            if found := REGISTRY.search(line):
                wrong.append(f"{path}:{number}: names the registry host {found[0]}; take it out")
    return wrong


def _files_are_in_order() -> tuple[bool, str]:
    files = own_files()
    wrong = too_long(files) + naming_a_registry(files)
    return not wrong, "\n".join(wrong)


def _command(*arguments: str | Path) -> Callable[[], tuple[bool, str]]:
    def run() -> tuple[bool, str]:
        done = subprocess.run(
            arguments, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
        )
        return done.returncode == 0, done.stdout

    return run


def run(python: Path, *, with_docs: bool) -> int:
    """Runs every check, two at a time, and prints a line for each and the whole output of those that fail.

    Args: python is the environment's; with_docs also runs the documentation's tests, which are part of pytest's
    whole run; before that, all tests are loaded instead. Returns: 0 when all held, else 1.
    """
    todo: dict[str, Callable[[], tuple[bool, str]]] = {
        "types of Python (mypy)": _command(python, "-m", "mypy"),
        "style (ruff check)": _command(python, "-m", "ruff", "check"),
        "form (ruff format)": _command(python, "-m", "ruff", "format", "--check"),
        "layers (import-linter)": _command(python.with_name("lint-imports"), "--no-cache"),
        "types of JavaScript (tsc)": _command("node_modules/.bin/tsc", "--project", "tsconfig.json"),
        "length of files, registry hosts": _files_are_in_order,
    }
    if with_docs:
        todo["documentation"] = _command(python, "-m", "pytest", "-q", "tests/test_docs.py")
    else:  # in the shade of mypy; pytest keeps what it compiled, and its workers would each do it again
        todo["every test can be loaded (pytest)"] = _command(python, "-m", "pytest", "--collect-only", "-qqq")

    def timed(check: Callable[[], tuple[bool, str]]) -> tuple[bool, str, float]:
        start = time.monotonic()
        held, output = check()
        return held, output, time.monotonic() - start

    say(f"{len(todo)} checks")
    failed = 0
    with ThreadPoolExecutor(2) as pool:
        for name, (held, output, seconds) in zip(todo, pool.map(timed, todo.values()), strict=True):
            say(f"  {'ok    ' if held else 'FAILED'} {name}, {seconds:.1f} s")
            if not held:
                failed += 1
                print(output.strip(), file=sys.stderr, flush=True)
    return 1 if failed else 0


def write_locks(python: Path, npm: list[str]) -> int:
    """Writes the lock files anew: the newest versions that fit, a hash for every file, no address. Returns: status."""
    quiet = ["--quiet", "--upgrade", "--generate-hashes", "--strip-extras", "--allow-unsafe", "--no-header"]
    silent = ["--no-emit-index-url", "--no-emit-find-links", "--no-emit-trusted-host", "--no-emit-options"]
    for lock, options in LOCKS.items():
        say(f"writing {lock}")
        compile_it = [python, "-m", "piptools", "compile", *quiet, *silent, *options, f"--output-file={lock}"]
        if subprocess.run([*compile_it, "pyproject.toml"], cwd=ROOT, check=False).returncode != 0:
            return 1
    say("writing package-lock.json")
    return subprocess.run([*npm, "install", "--package-lock-only"], cwd=ROOT, check=False).returncode
