"""Twin of store/migrate.py: what the migrations make is what the schema says."""

from __future__ import annotations

import fcntl
import re
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Engine

import databases
from aparte.store import migrate
from aparte.store.engine import writing_engine
from aparte.store.schema import metadata


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return writing_engine(tmp_path / "aparte.db")


def found(engine: Engine) -> migrate.Found:
    with engine.connect() as connection:
        return migrate.look(connection)


def test_it_makes_what_the_schema_says(engine: Engine, tmp_path: Path) -> None:
    migrate.to_head(engine, tmp_path)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, metadata) == []
    engine.dispose()


def test_it_knows_its_newest_revision() -> None:
    files = (Path(migrate.__file__).parent / "migrations" / "versions").glob("*.py")
    found = dict(
        re.search(r'^revision = "(\w+)".*?^down_revision = (.*?)$', f.read_text(), re.MULTILINE | re.DOTALL).groups()
        for f in files
    )  # type: ignore[union-attr]  # there is one
    before = {value.strip().strip('"') for value in found.values()}
    assert [revision for revision in found if revision not in before] == [migrate.HEAD]


def test_each_migration_says_who_may_use_the_database_after_it() -> None:
    files = sorted((Path(migrate.__file__).parent / "migrations" / "versions").glob("*.py"))
    says = [re.findall(r'^(?:revision|min_version) = "(\w+)"', file.read_text(), re.MULTILINE) for file in files]
    assert all(len(one) == 2 and one[1] <= one[0] for one in says)
    assert [one[1] for one in says] == sorted(one[1] for one in says)  # who was shut out is not let in again


def test_it_does_nothing_twice(engine: Engine, tmp_path: Path) -> None:
    assert found(engine) == migrate.Found(None)
    migrate.to_head(engine, tmp_path)
    assert found(engine).revision == migrate.HEAD
    before = (tmp_path / "aparte.db").read_bytes()
    migrate.to_head(engine, tmp_path)
    assert (tmp_path / "aparte.db").read_bytes() == before
    engine.dispose()


def test_it_lets_several_begin_at_once(tmp_path: Path) -> None:
    assert databases.migrated_at_once(tmp_path / "aparte.db", tmp_path) == []
    with closing(sqlite3.connect(tmp_path / "aparte.db")) as database:
        assert database.execute("SELECT version_num FROM alembic_version").fetchall() == [(migrate.HEAD,)]


def test_it_does_not_even_look_while_another_begins(engine: Engine, tmp_path: Path) -> None:
    with (tmp_path / "migrate.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        waiting = threading.Thread(target=migrate.to_head, args=(engine, tmp_path))
        waiting.start()
        waiting.join(0.2)
        assert waiting.is_alive()
        assert not (tmp_path / "aparte.db").exists()
        fcntl.flock(lock, fcntl.LOCK_UN)
        waiting.join()
    assert found(engine).revision == migrate.HEAD
    engine.dispose()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit SET action = 'nothing' WHERE id = 1",
        "UPDATE audit SET id = 9 WHERE id = 1",
        "DELETE FROM audit WHERE id = 1",
        "DELETE FROM audit",
        "REPLACE INTO audit VALUES (1, 2.0, 'agent', 'b', 'other', '', '')",
    ],
)
def test_it_makes_an_audit_log_that_only_grows(engine: Engine, tmp_path: Path, statement: str) -> None:
    migrate.to_head(engine, tmp_path)
    engine.dispose()
    with closing(sqlite3.connect(tmp_path / "aparte.db")) as database:
        add = (
            "INSERT INTO audit (at, actor_kind, actor_id, action, conversation_id, detail) "
            "VALUES (1.0, 'agent', 'a', 'told', '', '')"
        )
        database.execute(add)
        database.execute(add)
        database.commit()
        before = database.execute("SELECT * FROM audit").fetchall()
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            database.execute(statement)
        assert database.execute("SELECT * FROM audit").fetchall() == before
        assert len(before) == 2
