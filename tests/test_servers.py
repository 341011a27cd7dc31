"""Twin of cli/servers.py: an installation on PostgreSQL is made once, looked at, and refused with the fix."""

from __future__ import annotations

from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

import databases
import pgserver
from aparte import postgres
from aparte.config import Database
from aparte.config.database import database_from
from aparte.errors import BadSetting
from aparte.store import migrate
from aparte.store.engine import writing_engine
from aparte.store.schema import metadata
from aparte.vault import Vault
from commandline import aparte, here

__all__ = ["here"]

pytestmark = [pytest.mark.postgresql_alone, pytest.mark.usefixtures("dialect")]


# ── making it ───────────────────────────────────────────────────────────────────────────────────────────────────


def empty() -> Database:
    server = pgserver.shared()
    name = server.make()
    databases._made.append(name)
    return database_from(server.url(name), None)


def test_it_makes_what_the_schema_says(tmp_path: Path) -> None:
    engine = writing_engine(empty())
    migrate.to_head(engine, tmp_path)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, metadata) == []
    engine.dispose()


def test_it_lets_several_nodes_begin_at_once(tmp_path: Path) -> None:
    place = empty()
    assert databases.migrated_at_once(place, tmp_path) == []
    assert databases.rows(place, "SELECT version_num FROM alembic_version") == [(migrate.HEAD,)]


def test_a_migration_that_fails_leaves_nothing_half_done(tmp_path: Path) -> None:
    place = empty()
    databases.rows(place, "CREATE TABLE visitor_session (id text)")  # in the way of one of the last tables
    engine = writing_engine(place)
    with pytest.raises(Exception, match="already exists"):
        migrate.to_head(engine, tmp_path)
    engine.dispose()
    found = databases.rows(place, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    assert found == [("visitor_session",)]


def test_it_refuses_a_ring_that_is_not_there_and_makes_none(tmp_path: Path) -> None:
    key = tmp_path / "root.key"
    Vault.create(keyring=empty(), root_key=key).close()
    place = empty()
    with pytest.raises(BadSetting, match="keyring_url"):
        Vault.open(keyring=place, root_key=key)
    assert databases.rows(place, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'") == []


def test_it_makes_no_second_ring(tmp_path: Path) -> None:
    key, place = tmp_path / "root.key", empty()
    Vault.create(keyring=place, root_key=key).close()
    before = databases.rows(place, "SELECT * FROM key")
    with pytest.raises(BadSetting, match="already"):
        Vault.create(keyring=place, root_key=key)
    assert databases.rows(place, "SELECT * FROM key") == before


# ── the commands ────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def environ(tmp_path: Path, here: None) -> dict[str, str]:
    server = pgserver.shared()
    names = [server.make(), server.make()]
    databases._made.extend(names)
    urls = dict(zip(("APARTE_DATABASE_URL", "APARTE_KEYRING_URL"), map(server.url, names), strict=True))
    return {"APARTE_DATA": str(tmp_path / "data"), "APARTE_ROOT_KEY": str(tmp_path / "key" / "root.key"), **urls}


def test_it_is_made_once_and_looked_at(environ: dict[str, str]) -> None:
    made = aparte("init", **environ)
    assert made.exit_code == 0, made.output
    assert "nothing was changed" in aparte("init", **environ).output
    said = aparte("doctor", **environ).output
    assert "✓ keys: the root key opens the key ring" in said
    assert "✓ database: postgresql://" in said
    assert f"✓ migrations: at {migrate.HEAD}" in said
    # The tests' own server does not wait for its disk.
    assert "✗ durability of database: fsync = off, full_page_writes = off" in said


def test_it_says_what_is_wrong_with_an_address_and_shows_no_password(environ: dict[str, str], tmp_path: Path) -> None:
    server = pgserver.shared()
    server.run("DROP ROLE IF EXISTS guarded")
    server.run("CREATE ROLE guarded LOGIN PASSWORD 'Kanarienvogel1'")
    assert aparte("init", **environ).exit_code == 0
    name = environ["APARTE_DATABASE_URL"].partition("?")[0].rpartition("/")[2]
    file = tmp_path / "secret"
    file.write_text("Kanarienvogel2")
    file.chmod(0o400)
    for url, fix in (
        (server.url("nosuch"), "make it with createdb"),
        (server.url(name, "nobodyhere"), "make the account with createuser"),
        (server.url(name, "guarded"), "correct the user in the address, or the password in its file"),
        ("postgresql://aparte@127.0.0.1:1/aparte", "see that it runs"),
        ("postgresql://aparte:Kanarienvogel3@127.0.0.1/aparte", "a password does not belong here"),
        ("postgresql://aparte@127.0.0.1/aparte?password=Kanarienvogel3", "a password does not belong here"),
    ):
        said = aparte(
            "agent", "list", **environ | {"APARTE_DATABASE_URL": url, "APARTE_DATABASE_PASSWORD_FILE": str(file)}
        )
        assert said.exit_code == 2, said.output
        assert fix in said.output, said.output
        assert "Kanarienvogel" not in said.output
    server.run("ALTER ROLE guarded PASSWORD 'Kanarienvogel2'")
    found = postgres.is_made(database_from(server.url(name, "guarded"), file), "conversation")
    assert found is True
