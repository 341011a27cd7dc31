"""What the short forms of the scenarios run on."""

from __future__ import annotations

from pathlib import Path

import pytest

from faults.lab import Bench


@pytest.fixture
def bench(prepared: Path, tmp_path: Path) -> Bench:
    """A small bench with the same dice every time."""
    return Bench(prepared, tmp_path, seed=1, size=0.02, kills=3)
