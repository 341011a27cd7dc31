"""What a thief, or a careless copy, does to a key ring's files."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any


def change(keyring: Path, statement: str, *values: object) -> None:
    """Tamper as a thief with write access would."""
    with closing(sqlite3.connect(keyring)) as database, database:
        assert database.execute(statement, values).rowcount > 0


def select(keyring: Path, statement: str, *values: object) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(keyring)) as database:
        return database.execute(statement, values).fetchall()


def wrapped(keyring: Path, key: int) -> bytes:
    [(value,)] = select(keyring, "SELECT wrapped FROM key WHERE id = ?", key)
    assert isinstance(value, bytes)
    return value


def on_disk(keyring: Path) -> bytes:
    return b"\n".join(path.read_bytes() for path in sorted(keyring.parent.iterdir()))


def core(value: bytes) -> bytes:
    """The nonce and the first half of the key: without them nobody can unwrap it."""
    return value[10:38]
