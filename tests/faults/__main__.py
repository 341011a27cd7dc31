"""`python3 tests/faults [ARGS]`: sets up what the tests need, then runs the fault laboratory; `--help` tells the ARGS.

Runs on the standard library alone, since it starts before anything is installed.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent / "server"))

import bootstrap
import equipment


def main(arguments: list[str]) -> None:
    """Becomes the laboratory. Its exit status is 1 when anything was lost, doubled, out of order, or failed."""
    python = bootstrap.prepare("test")
    os.environ.update(equipment.prepare(python))
    os.environ["PYTHONPATH"] = os.pathsep.join(str(bootstrap.ROOT / name) for name in ("server", "tests"))
    bootstrap.hand_over(python, "-m", "faults.lab", *arguments)


if __name__ == "__main__":
    main(sys.argv[1:])
