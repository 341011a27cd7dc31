"""`python3 tests [ARGS]`: sets up what the tests need, then runs the checks, node's tests and pytest.

    python3 tests           everything
    python3 tests check     the checks alone (linters, types, layers, house rules, documentation)
    python3 tests lock      writes the lock files anew from pyproject.toml and package.json
    python3 tests ARGS      sets up, then `pytest ARGS`

Runs on the standard library alone, since it starts before anything is installed. The status is not 0 when anything
failed, and the last line is pytest's own.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "server"))

import bootstrap
import checks
import equipment


def main(arguments: list[str]) -> int:
    """Does what the module's docstring says. Returns: the exit status."""
    python = bootstrap.prepare("test")
    if arguments == ["lock"]:
        return checks.write_locks(python, equipment.put_node_on_path(python))
    os.environ.update(equipment.prepare(python))
    # Hundreds of processes load the product, and each of three workers the tests: compiled once is enough.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    os.chdir(bootstrap.ROOT)
    if arguments == ["check"]:
        return checks.run(python, with_docs=True)
    if arguments:
        bootstrap.hand_over(python, "-m", "pytest", *arguments)
    failed = [] if checks.run(python, with_docs=False) == 0 else ["the checks"]
    scripts = sorted(str(path) for path in Path("tests/js").rglob("*.test.*js"))
    if scripts:
        bootstrap.say(f"node --test, {len(scripts)} files")
        if subprocess.run(["node", "--test", "--test-reporter=dot", *scripts], check=False).returncode != 0:
            failed.append("node's tests")
    if failed:
        bootstrap.say(f"{' and '.join(failed)} failed (see above), so this run ends with status 1 whatever pytest says")
    # Most tests wait for servers: a file at a time on each of three workers halves the time, also on two cores. In the
    # order of tests/conftest.py: xdist's own begins with the files of many tests, and ends with those of long ones.
    spread = ["-n", "3", "--dist", "loadfile", "--no-loadscope-reorder"]
    status = subprocess.run([python, "-m", "pytest", *spread], check=False).returncode
    return status or bool(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
