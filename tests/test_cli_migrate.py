"""Twin of cli/migrate.py: the command asks, shows how far it is, tells what came of it, and what is to be done."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

import databases
import pgserver
from commandline import GOOD, aparte, doctor, here, installed, says, template

__all__ = ["here", "installed", "template"]

pytestmark = [pytest.mark.postgresql_alone, pytest.mark.usefixtures("dialect")]


@pytest.fixture
def urls(installed: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The names of two empty databases, which the settings name from now on; an agent is on SQLite."""
    added = aparte("agent", "add", "anna@air.example", "--name", "Anna", "--password-stdin", stdin=GOOD)
    assert added.exit_code == 0, added.output
    server = pgserver.shared()
    names = [server.make(), server.make()]
    databases._made.extend(names)
    for setting, name in zip(("DATABASE_URL", "KEYRING_URL"), names, strict=True):
        monkeypatch.setenv(f"APARTE_{setting}", server.url(name))
    yield names


def tables(name: str) -> list[str]:
    return [
        row[0]
        for row in pgserver.shared().run("SELECT tablename FROM pg_tables WHERE schemaname = 'public'", database=name)
    ]


def test_it_copies_and_everything_works_on_the_new_settings(urls: list[str]) -> None:
    done = aparte("migrate-store", "--yes")
    assert done.exit_code == 0, done.output
    assert "NOT THE SAME" not in done.stdout
    assert done.stdout.count("the same") == 17
    assert "remove aparte-data/aparte.db" in done.stdout.replace(f"{Path.cwd()}/", "")
    assert "copied agent: 1 of 1 rows" in done.stderr
    assert "anna@air.example" in aparte("agent", "list").stdout
    found = doctor()
    assert found["keys"][0]
    assert found["migrations"][0]
    again = aparte("migrate-store", "--yes")
    assert (again.exit_code, again.stdout) == (0, "The copy had been finished before; nothing was changed.\n")


def test_it_asks_first(urls: list[str]) -> None:
    asked = aparte("migrate-store", stdin="n\n")
    assert asked.exit_code == 1
    assert "aparte.db goes into postgresql://" in asked.stderr
    unanswered = aparte("migrate-store")
    assert (unanswered.exit_code, unanswered.stdout) == (2, "")
    assert unanswered.stderr.endswith("add --yes.\n")
    assert tables(urls[0]) == tables(urls[1]) == []
    assert aparte("migrate-store", stdin="y\n").exit_code == 0


def test_it_tells_a_program(urls: list[str]) -> None:
    said = json.loads(aparte("migrate-store", "--yes", "--json").stdout)
    assert said["is_same"] is True
    [agents] = [one for one in said["tables"] if one["table"] == "agent"]
    assert agents["rows"] == agents["copied_rows"] == 1
    assert agents["sha256"] == agents["copied_sha256"]


def test_it_ends_with_status_1_when_a_table_is_not_the_same(urls: list[str]) -> None:
    with closing(sqlite3.connect("aparte-data/aparte.db")) as database, database:
        row = ("x", "y", "", None, b"", "open", None, 1 << 40, 1.0, 1.0)  # more than the other side's column holds
        database.execute("INSERT INTO identity_check VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", row)
    done = aparte("migrate-store", "--yes")
    assert done.exit_code == 1
    assert "aparte: not the same on both sides: identity_check (data). Nothing may use the copy." in done.stderr
    assert done.stdout.count("NOT THE SAME") == 1
    assert "Next:" not in done.stdout
    says(aparte("agent", "list"), "has not been finished")


def test_it_says_why_it_cannot(urls: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    pgserver.shared().run("CREATE TABLE ledger (id int)", database=urls[0])
    says(aparte("migrate-store", "--yes"), "holds something else already")
    for setting in ("DATABASE_URL", "KEYRING_URL"):
        monkeypatch.delenv(f"APARTE_{setting}")
    says(aparte("migrate-store", "--yes"), "database_url and keyring_url: not set")
    monkeypatch.setenv("APARTE_DATABASE_URL", pgserver.shared().url("nosuch"))
    monkeypatch.setenv("APARTE_KEYRING_URL", pgserver.shared().url("nosuchring"))
    says(aparte("migrate-store", "--yes"), "make it with createdb")


def test_nothing_uses_a_copy_that_has_not_been_finished(urls: list[str]) -> None:
    assert aparte("migrate-store", "--yes").exit_code == 0
    run = pgserver.shared().run
    for name, table, value, looked in ((urls[0], "store_info", "x", "migrations"), (urls[1], "ring", "\\x00", "keys")):
        run(f"INSERT INTO {table} VALUES ('copying', '{value}')", database=name)
        for words in (("agent", "list"), ("init",)):
            says(aparte(*words), "has not been finished, so nothing may use it yet. Run aparte migrate-store again")
        is_well, what = doctor()[looked]
        assert not is_well
        assert "aparte migrate-store" in what
        run(f"DELETE FROM {table} WHERE name = 'copying'", database=name)
    assert aparte("agent", "list").exit_code == 0


def test_it_makes_no_new_installation_beside_one_that_waits_to_be_copied(urls: list[str]) -> None:
    says(aparte("init"), "run aparte migrate-store; to begin anew set another data")
    says(aparte("agent", "list"), "to bring one from SQLite `aparte migrate-store`")
    assert tables(urls[0]) == tables(urls[1]) == []
