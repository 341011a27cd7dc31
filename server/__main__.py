"""`python3 server [ARGS]`: sets up `.venv`, then becomes `aparte ARGS`; without arguments `aparte demo`.

Knows only the bootstrap, and which arguments need more packages than the others. Must not import the product: it runs before the product's packages are there.
"""

from __future__ import annotations

import sys

import bootstrap

MOST_NODES = 9  # as `aparte demo` says it


def packages(arguments: list[str]) -> str:
    """The set that these arguments need. Ends the program for a number of nodes that the demo would refuse afterwards.

    `bench --nodes` has no number.
    """
    name, value = "", ""
    for argument, after in zip(arguments, [*arguments[1:], ""], strict=False):
        if argument.partition("=")[0] == "--nodes":
            name, value = "--nodes", argument.partition("=")[2] or after
    if not name:
        return "run"
    if arguments[0] == "demo" and value not in map(str, range(1, MOST_NODES + 1)):
        bootstrap.stop(f"--nodes takes a number from 1 to {MOST_NODES}. Try: python3 server demo --nodes 2")
    return "run" if value == "1" else "cluster"


if __name__ == "__main__":
    python = bootstrap.prepare(packages(sys.argv[1:]))
    bootstrap.hand_over(python, str(python.with_name("aparte")), *(sys.argv[1:] or ["demo"]))
