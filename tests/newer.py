"""Versions of the program that do not exist: one that adds to the schema, and a later one that takes away.

Knows how a migration looks. The code stays this version's: only what migrates is the newer one's.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from aparte.config import Database
from aparte.store import migrate
from aparte.store.engine import writing_engine

_HEAD: Final = (
    'revision = "{revision}"\ndown_revision = "{before}"\nmin_version = "{oldest}"\n'
    "import os, time\nimport sqlalchemy as sa\nfrom alembic import op\n"
)
# An older version writes no mood, and knows nothing of the other table.
EXPAND: Final = (
    _HEAD.format(revision="0002", before="0001", oldest="0001")
    + """
def upgrade():
    op.add_column("conversation", sa.Column("mood", sa.Text(), nullable=False, server_default="calm"))
    if os.environ.get("STOP_HALF_WAY"):
        print("half way", flush=True)
        time.sleep(60)
    op.create_table("survey", sa.Column("id", sa.Text(), primary_key=True))
    op.bulk_insert(sa.table("survey", sa.column("id")), [{"id": "first"}])
"""
)
# An older version cannot do without what is gone.
CONTRACT: Final = (
    _HEAD.format(revision="0003", before="0002", oldest="0002")
    + """
def upgrade():
    op.drop_column("conversation", "unread")
"""
)


def scripts(folder: Path, *, contracts: bool) -> Path:
    """The migrations of a newer version."""
    place = folder / f"newer-{contracts}"
    if not place.exists():
        shutil.copytree(migrate._SCRIPTS, place, ignore=shutil.ignore_patterns("__pycache__"))
        (place / "versions" / "0002_next.py").write_text(EXPAND)
        if contracts:
            (place / "versions" / "0003_later.py").write_text(CONTRACT)
    return place


@contextlib.contextmanager
def installed(folder: Path, *, contracts: bool = False) -> Iterator[None]:
    """Within the block it is the newer version that migrates."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(migrate, "_SCRIPTS", scripts(folder, contracts=contracts))
        patch.setattr(migrate, "HEAD", "0003" if contracts else "0002")
        yield


def upgrade(place: Path | Database, folder: Path, *, contracts: bool = False) -> None:
    """What a node of the newer version does first."""
    engine = writing_engine(place)
    try:
        with installed(folder, contracts=contracts):
            migrate.to_head(engine, folder)
    finally:
        engine.dispose()


def killed_half_way(place: Path | Database, folder: Path) -> None:
    """The same in a process that is killed when half of it is done."""
    program = (
        "import sys; from pathlib import Path, PosixPath; from aparte.config import Database\n"
        "from aparte.store import migrate; from aparte.store.engine import writing_engine\n"
        f"migrate._SCRIPTS, migrate.HEAD = Path({str(scripts(folder, contracts=False))!r}), '0002'\n"
        f"migrate.to_head(writing_engine({place!r}), Path({str(folder)!r}))\n"
    )
    environment = os.environ | {"STOP_HALF_WAY": "1"}
    with subprocess.Popen([sys.executable, "-c", program], env=environment, stdout=subprocess.PIPE, text=True) as one:
        assert one.stdout is not None
        assert one.stdout.readline() == "half way\n"
        one.kill()
