"""The command, on real parts: real folders, keys and databases, a real mail server, a real airline."""

from __future__ import annotations

import json
import os
import pty
import re
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from aparte import cli, config
from aparte.cli import parts, passwords

APARTE = (sys.executable, "-c", "from aparte.cli import main; main(prog_name='aparte')")
GOOD = "violet kettle drummer sandpit"
CANARY = "Wilhelmina Kanarek"


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An installation that `aparte init` made. Its settings name no absolute path, so that it can be copied."""
    folder = tmp_path_factory.mktemp("installation")
    subprocess.run([*APARTE, "init"], cwd=folder, env=clean_environment(), check=True, capture_output=True)
    return folder


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("APARTE_")]:
        monkeypatch.delenv(name)
    mask = os.umask(0o022)  # a command changes it for its own process, and here that is ours
    yield
    os.umask(mask)


@pytest.fixture
def installed(template: Path, tmp_path: Path) -> Path:
    """A fresh installation in the working folder."""
    shutil.copytree(template, tmp_path, dirs_exist_ok=True)
    return tmp_path


def clean_environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("APARTE_")}


def aparte(*words: str, stdin: str = "", **environ: str) -> Result:
    """The command, inside this process."""
    return CliRunner().invoke(cli.main, words, input=stdin, env=environ, prog_name="aparte", catch_exceptions=False)


def process(*words: str | bytes, **environ: str) -> subprocess.CompletedProcess[str]:
    """The command, in a process of its own."""
    environment = clean_environment() | environ
    return subprocess.run(
        [*APARTE, *words], env=environment, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
    )


def says(result: Result, sentence: str) -> None:
    """Status 2, and the sentence on standard error alone."""
    assert result.exit_code == 2, result.output
    assert re.search(sentence, result.stderr), result.stderr
    assert result.stdout == ""


def everything(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Every file's mode and bytes."""
    return {
        str(path.relative_to(folder)): (path.stat().st_mode, path.read_bytes())
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def doctor(*words: str) -> dict[str, tuple[bool, str]]:
    """What the doctor found, by name; its status goes with it."""
    result = aparte("doctor", "--json", *words)
    found = {one["name"]: (one["ok"], one["says"]) for one in json.loads(result.stdout)}
    assert result.exit_code == (0 if all(ok for ok, _ in found.values()) else 1)
    return found


def wrong(found: dict[str, tuple[bool, str]]) -> list[str]:
    return [name for name, (ok, _) in found.items() if not ok]


def leaves(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    if isinstance(command, click.Group):
        for name, inner in command.commands.items():
            yield from leaves(inner, (*path, name))
    else:
        yield path, command


# Help.


@pytest.mark.parametrize("path", [path for path, _ in leaves(cli.main)], ids=" ".join)
def test_it_explains_each_command_with_an_example(path: tuple[str, ...]) -> None:
    result = aparte(*path, "--help")
    assert result.exit_code == 0
    assert "Example" in result.output
    assert f"  aparte {' '.join(path)}" in result.output
    command = dict(leaves(cli.main))[path]
    for option in command.params:
        assert not isinstance(option, click.Option) or option.help or option.name == "role", option.name


def test_it_loads_nothing_heavy_for_help_nor_for_settings() -> None:
    program = (
        "import sys\nfrom aparte.cli import main\n"
        "print([name for name in ('rich', 'zxcvbn', 'sqlalchemy', 'cryptography', 'starlette', 'asyncio', 'structlog')"
        " if name in sys.modules])"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ended.stdout == "[]\n"


# Wrong settings.


@pytest.mark.parametrize(
    "words",
    [("serve",), ("init",), ("agent", "list"), ("agent", "add", "a@b.example", "--name", "A"), ("site", "list")],
    ids=" ".join,
)
def test_it_answers_wrong_settings_with_sentences_and_no_traceback(tmp_path: Path, words: tuple[str, ...]) -> None:
    ended = process(*words, APARTE_PORT="99999", APARTE_DATA="d", APARTE_KEYRING="d/k", APARTE_ROOT_KEY="d/r")
    assert ended.returncode == 2
    assert ended.stdout == ""
    assert "Traceback" not in ended.stderr
    assert ended.stderr.startswith("aparte: 4 settings are wrong:\n  APARTE_PORT = 99999: give a whole number")
    assert list(tmp_path.iterdir()) == []


def test_it_finds_the_settings_file_that_the_environment_names(installed: Path) -> None:
    (installed / "aparte.toml").rename(installed / "other.toml")
    assert aparte("agent", "list", APARTE_CONFIG="other.toml").exit_code == 0
    says(aparte("agent", "list"), "data: not set")


def test_it_refuses_words_that_are_no_text(installed: Path) -> None:
    for words in (
        (b"agent", b"add", b"a\xff@b.example", b"--name", b"A", b"--generate"),
        (b"site", b"snippet", b"\xff"),
    ):
        ended = process(*words)
        assert ended.returncode == 2
        assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("words", [("agent", "list"), ("site", "list"), ("agent", "disable", "a@b.example", "--yes")])
def test_it_makes_nothing_but_by_init(tmp_path: Path, words: tuple[str, ...]) -> None:
    places = {"APARTE_DATA": "d", "APARTE_KEYRING": "r/k.db", "APARTE_ROOT_KEY": "k/root.key"}
    says(aparte(*words, **places), "aparte init")
    assert list(tmp_path.iterdir()) == []


# init.


def test_it_makes_an_installation_for_its_own_account_alone(tmp_path: Path) -> None:
    ended = process("init")
    assert ended.returncode == 0, ended.stderr
    modes = {str(path.relative_to(tmp_path)): path.stat().st_mode & 0o777 for path in tmp_path.rglob("*")}
    assert {name: mode for name, mode in modes.items() if mode & 0o077} == {}
    assert modes["aparte-key/root.key"] == 0o400
    assert (tmp_path / "aparte-key/root.key").stat().st_size == 32
    assert ended.stdout.count("made ") == 5
    assert "aparte agent add" in ended.stdout


def test_it_writes_settings_that_it_then_understands(installed: Path) -> None:
    text = (installed / "aparte.toml").read_text()
    uncommented = re.sub(r"^# (?=\w+ = )", "", text, flags=re.MULTILINE)
    assert uncommented != text
    (installed / "all.toml").write_text(uncommented)
    secret = installed / "aparte-key/smtp.secret"
    secret.write_text("x")
    secret.chmod(0o400)
    assert config.load(installed / "all.toml", {}).mail_from == "Air Example <chat@example.org>"


def test_it_changes_nothing_when_run_again(installed: Path) -> None:
    before = everything(installed)
    again = aparte("init")
    assert again.exit_code == 0
    assert "nothing was changed" in again.stdout
    assert everything(installed) == before


def test_it_takes_the_places_from_the_environment_without_a_file(tmp_path: Path) -> None:
    places = {"APARTE_DATA": "d", "APARTE_KEYRING": "r/k.db", "APARTE_ROOT_KEY": "k/root.key"}
    assert aparte("init", **places).exit_code == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["d", "k", "r"]


def test_it_takes_a_root_key_that_is_there(tmp_path: Path) -> None:
    key = tmp_path / "aparte-key/root.key"
    key.parent.mkdir(mode=0o700)
    key.write_bytes(bytes(range(7, 39)))
    key.chmod(0o400)
    result = aparte("init")
    assert "there  root key" in result.stdout
    assert key.read_bytes() == bytes(range(7, 39))


def test_it_makes_no_new_ring_beside_data_that_need_the_old_one(installed: Path) -> None:
    (installed / "aparte-keyring/keyring.db").unlink()
    before = everything(installed)
    says(aparte("init"), "Put the key ring back")
    assert everything(installed) == before


@pytest.mark.parametrize("loss", ["absent", "other", "open"])
def test_it_makes_no_new_root_key_in_place_of_a_lost_one(installed: Path, loss: str) -> None:
    key = installed / "aparte-key/root.key"
    if loss == "open":
        key.chmod(0o440)
    else:
        key.unlink()
    if loss == "other":
        key.write_bytes(os.urandom(32))
        key.chmod(0o400)
    before = everything(installed)
    for words in (("init",), ("agent", "list")):
        says(aparte(*words), "root key")
    ended = process("serve")
    assert ended.returncode == 2
    assert "aparte: The root key" in ended.stderr
    assert everything(installed) == before


@pytest.mark.parametrize("place", ["aparte-data", "aparte-keyring", "aparte-key"])
def test_it_names_a_place_that_cannot_be_made(tmp_path: Path, place: str) -> None:
    (tmp_path / place).write_text("a file in the way")
    result = aparte("init")
    says_path = result.exit_code == 2 and place in result.stderr
    assert says_path, result.output
    assert (tmp_path / place).read_text() == "a file in the way"


# agent.


def test_it_makes_a_password_and_shows_it_once(installed: Path) -> None:
    result = aparte("agent", "add", "anna@b.example", "--name", "Anna", "--role", "supervisor", "--generate")
    assert result.exit_code == 0
    found = re.search(r"^password: (\S+)$", result.stdout, re.MULTILINE)
    assert found
    assert is_password_of("anna@b.example", found[1])
    assert "http://127.0.0.1:8080/panel" in result.stdout
    passwords.check(found[1], ("Anna",))


def test_it_makes_another_password_each_time() -> None:
    made = {passwords.generated() for _ in range(50)}
    assert len(made) == 50
    assert all(re.fullmatch(r"[a-km-np-z2-9]{5}(-[a-km-np-z2-9]{5}){3}", one) for one in made)


def is_password_of(email: str, password: str) -> bool:
    """Whether the stored hash is this password's."""
    from aparte.store import people
    from aparte.vault import verify_password

    async def look(store):  # type: ignore[no-untyped-def]  # the store's own types say it
        return await store.read(lambda connection: people.agent_by_email(connection, store.vault, email))

    found = parts.in_store(parts.settings(None), look)
    return found is not None and verify_password(found[1], password)


def test_it_takes_a_strong_password_without_a_name() -> None:
    passwords.check(GOOD, ())


def test_it_reads_a_password_from_standard_input(installed: Path) -> None:
    result = aparte(
        "agent", "add", "sam@b.example", "--name", "Sam", "--password-stdin", stdin=f"{GOOD}\r\nnext line\n"
    )
    assert result.exit_code == 0
    assert GOOD not in result.output
    assert is_password_of("sam@b.example", GOOD)
    assert not is_password_of("sam@b.example", GOOD + " ")


@pytest.mark.parametrize(
    ("password", "sentence"),
    [
        ("", "easy to guess"),
        ("hunter2", "very common|easy to guess"),
        ("Password1!", "easy to guess"),
        ("wilhelmina.kanarek", "easy to guess"),
        ("kanarek@b.example", "easy to guess"),
        ("aparteaparte", "easy to guess"),
        ("x" * 2000, "at most 1,024"),
        ("violet\tkettle drummer sandpit", "control character"),
    ],
)
def test_it_refuses_a_password_that_can_be_guessed(installed: Path, password: str, sentence: str) -> None:
    words = ("agent", "add", "kanarek@b.example", "--name", CANARY, "--password-stdin")
    says(aparte(*words, stdin=password + "\n"), sentence)
    assert "kanarek" not in aparte("agent", "list").stdout


def test_it_wants_to_know_where_the_password_comes_from(installed: Path) -> None:
    words = ("agent", "add", "a@b.example", "--name", "A")
    says(aparte(*words), "--generate or --password-stdin")
    says(aparte(*words, "--generate", "--password-stdin"), "not both")


def test_it_judges_a_long_password_at_once() -> None:
    began = time.perf_counter()
    passwords.check("aB3 dE6 " * 125, ())
    assert time.perf_counter() - began < 2


def test_it_asks_for_a_password_at_the_terminal_until_it_is_good(installed: Path) -> None:
    told = at_terminal(
        ("agent", "add", "t@b.example", "--name", "T"),
        [
            ("Password", "hunter2"),
            ("easy to guess", ""),
            ("Password", GOOD),
            ("Once more", "other"),
            ("not the same", ""),
        ],
        [("Password", GOOD), ("Once more", GOOD)],
    )
    assert GOOD not in told
    assert is_password_of("t@b.example", GOOD)


def at_terminal(words: tuple[str, ...], *talks: list[tuple[str, str]]) -> str:
    """Runs the command at a terminal; waits for each sentence and types the answer that goes with it."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execve(sys.executable, [*APARTE, *words], clean_environment())
    seen = unread = ""
    for sentence, answer in [one for talk in talks for one in talk]:
        while sentence not in unread:
            more = os.read(terminal, 4096).decode()
            seen, unread = seen + more, unread + more
        unread = unread.partition(sentence)[2]
        if answer:
            # The prompt is printed before the echo is switched off; what comes between would be seen.
            time.sleep(0.2)
            os.write(terminal, f"{answer}\n".encode())
    try:
        while more := os.read(terminal, 4096).decode():
            seen += more
    except OSError:
        pass  # Linux ends a terminal's output with EIO once its last process has gone
    os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0, seen
    return seen


@pytest.mark.parametrize(
    ("email", "name", "sentence"),
    [
        ("nobody", "A", "not an e-mail address"),
        ("a@b.example\nBcc: c@d.example", "A", "not an e-mail address"),
        ("a@b.example", " ", "1 to 80 visible"),
        ("a@b.example", "A" * 81, "1 to 80 visible"),
        ("a@b.example", "A\x1b[2J", "1 to 80 visible"),
        ("a@b.example", "A\u202eB", "1 to 80 visible"),
        ("a@b.example", "A\u200bB", "1 to 80 visible"),
    ],
)
def test_it_refuses_a_person_without_a_proper_name_or_address(
    installed: Path, email: str, name: str, sentence: str
) -> None:
    says(aparte("agent", "add", email, "--name", name, "--generate"), sentence)


def test_it_adds_an_address_once(installed: Path) -> None:
    assert aparte("agent", "add", "a@b.example", "--name", "A", "--generate").exit_code == 0
    says(aparte("agent", "add", "A@b.example", "--name", "B", "--generate"), "exists already")


def test_it_lists_people_as_they_are_written(installed: Path) -> None:
    assert "aparte agent add" in aparte("agent", "list").stdout
    aparte("agent", "add", "a@b.example", "--name", "[bold]Zoë[/bold] " + "x" * 60, "--role", "admin", "--generate")
    (line,) = (line for line in aparte("agent", "list").stdout.splitlines() if "a@b.example" in line)
    assert line.split() == ["a@b.example", "[bold]Zoë[/bold]", "x" * 60, "admin", "yes"]


def test_it_ends_and_gives_back_an_access(installed: Path) -> None:
    aparte("agent", "add", "a@b.example", "--name", "A", "--generate")
    refused = aparte("agent", "disable", "a@b.example", stdin="n\n")
    assert refused.exit_code == 1
    assert "disabled" not in aparte("agent", "list").stdout
    assert aparte("agent", "disable", "a@b.example", stdin="y\n").exit_code == 0
    assert "disabled" in aparte("agent", "list").stdout
    assert aparte("agent", "enable", "a@b.example").exit_code == 0
    assert "disabled" not in aparte("agent", "list").stdout


@pytest.mark.parametrize("words", [("disable", "--yes"), ("enable",), ("password", "--generate")])
def test_it_says_when_there_is_nobody_of_this_address(installed: Path, words: tuple[str, ...]) -> None:
    says(aparte("agent", words[0], "nobody@b.example", *words[1:]), "no agent")


def test_it_sets_a_new_password(installed: Path) -> None:
    aparte("agent", "add", "a@b.example", "--name", "A", "--generate")
    assert aparte("agent", "password", "a@b.example", "--password-stdin", stdin=GOOD).exit_code == 0
    assert is_password_of("a@b.example", GOOD)


# site.


def test_it_adds_a_site_and_prints_its_line(installed: Path) -> None:
    result = aparte("site", "add", "shop", "--name", "The Shop", "--origin", "HTTPS://www.Shop.example:443/")
    line = '<script async src="http://127.0.0.1:8080/widget.js" data-site="shop"></script>\n'
    assert result.stdout.endswith(line)
    assert aparte("site", "snippet", "shop").stdout == line
    assert "https://www.shop.example " in aparte("site", "list").stdout


def test_it_prints_the_address_that_visitors_use(installed: Path) -> None:
    aparte("site", "add", "shop", "--name", "S")
    proxied = {"APARTE_PUBLIC_URL": "https://chat.example.org", "APARTE_TRUSTED_PROXIES": "127.0.0.1"}
    assert 'src="https://chat.example.org/widget.js"' in aparte("site", "snippet", "shop", **proxied).stdout
    says(aparte("site", "snippet", "shop", APARTE_PORT="0"), "set port or public_url")
    says(aparte("site", "snippet", "shoe"), "no site of this id")


def test_it_replaces_a_site_only_when_told_to(installed: Path) -> None:
    aparte("site", "add", "shop", "--name", "Old")
    says(aparte("site", "add", "shop", "--name", "New"), "--replace")
    assert "Old" in aparte("site", "list").stdout
    assert aparte("site", "add", "shop", "--name", "New", "--replace").stdout.startswith("Replaced")
    assert "Old" not in aparte("site", "list").stdout


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--name", ""),
        ("--name", "A\x07"),
        ("--name", "x" * 81),
        ("--desk", "x" * 81),
        ("--origin", "www.shop.example"),
        ("--origin", "http://www.shop.example"),
        ("--origin", "https://*.shop.example"),
        ("--origin", "https://www.shop.example/page"),
        ("--origin", "null"),
        ("--phone", "call us"),
        ("--accent", "red"),
        ("--accent", "#0b5cad;}"),
        ("--format", "(a+)+"),
        ("--format", "X"),
        ("--link-host", "https://www.shop.example"),
        ("--link-host", "www.Shop.example"),
    ],
)
def test_it_refuses_a_sites_wrong_option(installed: Path, option: str, value: str) -> None:
    given = {"--name": "Shop"} | {option: value}
    says(aparte("site", "add", "shop", *[word for pair in given.items() for word in pair]), f"{option}: .*give ")


@pytest.mark.parametrize("site_id", ["", "Shop", "a b", "-a", "a/b", "x" * 41, "é"])
def test_it_refuses_a_sites_wrong_id(installed: Path, site_id: str) -> None:
    says(aparte("site", "add", "--name", "Shop", "--", site_id), "ID: give")


def test_it_names_all_wrong_options_at_once(installed: Path) -> None:
    result = aparte("site", "add", "Shop", "--name", "", "--accent", "red", "--records-url", "https://x.example")
    says(result, "4 options are wrong")
    assert "give all three or none" in result.stderr


def secret(content: str = "0123456789abcdef0123456789abcdef", mode: int = 0o400) -> str:
    path = Path("records.secret")
    path.write_text(content)
    path.chmod(mode)
    return str(path)


@pytest.mark.parametrize(
    ("url", "key", "content", "mode", "sentence"),
    [
        ("https://booking.example", "k1", "s" * 40, 0o440, "others may read it"),
        ("https://booking.example", "k1", "short", 0o400, "fewer than 32 bytes"),
        ("http://booking.example", "k1", "s" * 40, 0o400, "https"),
        ("https://booking.example", "k 1", "s" * 40, 0o400, "key id"),
        ("not a url", "k1", "s" * 40, 0o400, "--records-"),
    ],
)
def test_it_refuses_a_booking_system_that_could_not_be_trusted(
    installed: Path, url: str, key: str, content: str, mode: int, sentence: str
) -> None:
    given = ("--records-url", url, "--records-key", key, "--records-secret-file", secret(content, mode))
    result = aparte("site", "add", "shop", "--name", "S", *given)
    says(result, sentence)
    assert content not in result.stderr


def test_it_keeps_what_it_was_told_encrypted(installed: Path) -> None:
    content = "canary-secret-0123456789abcdef0123"
    aparte("agent", "add", "kanarek@b.example", "--name", CANARY, "--password-stdin", stdin=GOOD)
    given = (
        "--records-url",
        "https://booking.example",
        "--records-key",
        "k1",
        "--records-secret-file",
        secret(content),
    )
    added = aparte("site", "add", "shop", "--name", f"{CANARY}'s", "--desk", "Kanarek desk", *given)
    assert added.exit_code == 0, added.output
    assert content not in aparte("site", "list").stdout
    Path("records.secret").unlink()
    kept = b"".join(path.read_bytes() for path in installed.rglob("*") if path.is_file())
    for canary in ("kanarek", "Kanarek", content, GOOD):
        for form in (canary.encode(), canary.encode("utf-16-le")):
            assert form not in kept


# Sizes of what is asked: the command ends rather than hangs when its reader goes.


def test_it_ends_quietly_when_its_reader_has_gone(installed: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    ended = subprocess.run(
        [*APARTE, "agent", "list"],
        env=clean_environment(),
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(writing)
    assert "Traceback" not in ended.stderr


def test_it_uses_the_durable_settings_that_the_doctor_asks_for(installed: Path) -> None:
    with sqlite3.connect(installed / "aparte-data/aparte.db") as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    connection.close()
    assert doctor()["durability"] == (True, "write-ahead log, synchronous FULL")
