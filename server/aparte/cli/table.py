"""Tables for the terminal.

Knows columns and rows of text. Must not know what they say.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence


def show(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table. Text is shown as it is: square brackets are no markup, control characters no commands."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(Text("".join(one if one.isprintable() else "?" for one in cell)) for cell in row))
    # In a pipe the terminal's width would break lines that a program reads.
    Console(width=None if sys.stdout.isatty() else 10_000).print(table)
