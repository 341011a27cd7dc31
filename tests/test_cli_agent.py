"""`aparte agent`: real accounts, real password hashes, a real terminal to ask at."""

from __future__ import annotations

import os
import pty
import re
import sys
import time
from pathlib import Path

import pytest

from aparte.cli import parts, passwords
from commandline import APARTE, CANARY, GOOD, aparte, clean_environment, here, installed, says, template

__all__ = ["here", "installed", "template"]

pytestmark = pytest.mark.usefixtures("here")


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


def test_it_says_what_is_wrong_with_a_short_password_and_offers_a_good_one(installed: Path) -> None:
    told = aparte("agent", "add", "bob@b.example", "--name", "Bob", "--password-stdin", stdin="hello\n").stderr
    assert "easy to guess" in told
    assert "--generate makes a good one" in told
    assert "the name and the address" not in told
    named = aparte("agent", "add", "bob@b.example", "--name", "Bob", "--password-stdin", stdin="bob1\n").stderr
    assert "little but the name and the address. --generate" in named


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
    says(
        aparte("agent", "add", "A@b.example", "--name", "B", "--generate"), "already.*aparte agent password A@b.example"
    )
    # And before it asks for a password, or says that there is nobody to ask.
    says(aparte("agent", "add", "A@b.example", "--name", "B"), "already")


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


def test_it_says_how_to_do_without_a_question_where_nobody_answers(installed: Path) -> None:
    aparte("agent", "add", "a@b.example", "--name", "A", "--generate")
    result = aparte("agent", "disable", "a@b.example")
    assert result.exit_code == 2
    assert result.stderr.splitlines()[-1].endswith("To do it without a question, add --yes.")
    assert "disabled" not in aparte("agent", "list").stdout


@pytest.mark.parametrize(
    "words", [("disable",), ("disable", "--yes"), ("enable",), ("password",), ("password", "--generate")]
)
def test_it_says_when_there_is_nobody_of_this_address_and_asks_nothing(installed: Path, words: tuple[str, ...]) -> None:
    result = aparte("agent", words[0], "nobody@b.example", *words[1:], stdin="y\n")
    says(result, "no agent.*aparte agent list")
    assert "?" not in result.output


def test_it_sets_a_new_password(installed: Path) -> None:
    aparte("agent", "add", "a@b.example", "--name", "A", "--generate")
    assert aparte("agent", "password", "a@b.example", "--password-stdin", stdin=GOOD).exit_code == 0
    assert is_password_of("a@b.example", GOOD)
