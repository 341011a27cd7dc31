"""`python3 server [ARGS]`: sets up `.venv`, then becomes `aparte ARGS`; without arguments `aparte demo`.

Knows only the bootstrap. Must not import the product: it runs before the product's packages are there.
"""

from __future__ import annotations

import sys

import bootstrap

if __name__ == "__main__":
    python = bootstrap.prepare("run")
    bootstrap.hand_over(python, str(python.with_name("aparte")), *(sys.argv[1:] or ["demo"]))
