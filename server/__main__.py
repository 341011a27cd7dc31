"""`python3 server [ARGS]`: sets up `.venv`, then becomes `aparte ARGS`; without arguments `aparte demo`.

Knows only the bootstrap, and which arguments need more packages than the others. Must not import the product: it runs before the product's packages are there.
"""

from __future__ import annotations

import sys

import bootstrap

if __name__ == "__main__":
    several = any(argument.partition("=")[0] == "--nodes" for argument in sys.argv[1:])
    python = bootstrap.prepare("cluster" if several else "run")
    bootstrap.hand_over(python, str(python.with_name("aparte")), *(sys.argv[1:] or ["demo"]))
