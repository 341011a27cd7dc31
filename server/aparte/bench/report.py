"""The rows that a run ends with: their names, what they must be, and how they are shown and kept.

Knows figures and bounds; the bounds are the product's promises, in docs/PERFORMANCE.md. Must not know how anything is
measured.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

import msgspec
from rich.console import Console
from rich.table import Table

Better = Literal["more", "less", "under", ""]
_SIGNS: Final = {"more": "≥ ", "less": "≤ ", "under": "< ", "": ""}


@dataclass(frozen=True, slots=True)
class Row:
    """One figure. `better`: whether the value must be at least, at most or under `must`; "" where nothing is asked."""

    name: str
    value: float
    unit: str = ""
    must: float | None = None
    aim: float | None = None
    better: Better = field(default="", kw_only=True)

    @property
    def holds(self) -> bool | None:
        """Whether what must be is so; None where nothing must."""
        if self.must is None:
            return None
        if self.better == "more":
            return self.value >= self.must
        return self.value < self.must if self.better == "under" else self.value <= self.must

    def kept(self) -> dict[str, Any]:
        """The row as `--json` writes it."""
        row = asdict(self)
        del row["better"]
        return {**row, "holds": self.holds}


def quantile(ordered: list[float], share: float) -> float:
    """The value below which this share of the sorted values lies."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def none_of(name: str, count: int) -> Row:
    """A count that must be 0."""
    return Row(name, count, "", 0, None, better="less")


def number(value: float) -> str:
    """A figure with three digits that say something."""
    if value == int(value):
        return f"{int(value):,}"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.3g}"


def show(console: Console, rows: Sequence[Row]) -> None:
    """Prints the table."""
    table = Table(show_edge=False, pad_edge=False)
    table.add_column("what")
    for name in ("value", "unit", "must", "aim", "holds"):
        table.add_column(name, justify="left" if name in ("unit", "holds") else "right")
    for row in rows:
        sign = _SIGNS[row.better]
        bounds = ["" if bound is None else f"{sign}{number(bound)}" for bound in (row.must, row.aim)]
        holds = {None: "", True: "[green]yes[/green]", False: "[bold red]NO[/bold red]"}[row.holds]
        table.add_row(row.name, number(row.value), row.unit, *bounds, holds)
    console.print(table)


def write(path: Path, rows: Sequence[Row]) -> None:
    """Writes the rows as a JSON list. Raises OSError."""
    path.write_bytes(msgspec.json.format(msgspec.json.encode([row.kept() for row in rows]), indent=2) + b"\n")


def missed(rows: Sequence[Row]) -> list[Row]:
    """The rows that do not hold."""
    return [row for row in rows if row.holds is False]
