"""The documentation is kept true: every setting, frame, error code and command has its row, every link its target."""

from __future__ import annotations

import dataclasses
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

import checks
from aparte import cli, errors, frames
from aparte.config import Settings, ranges

ROOT = Path(__file__).resolve().parent.parent
OPERATIONS = (ROOT / "docs" / "OPERATIONS.md").read_text()
PROTOCOL = (ROOT / "docs" / "PROTOCOL.md").read_text()
PAGES = [path for path in checks.own_files() if path.suffix == ".md"]
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)|<img[^>]+src=\"([^\"]+)\"")
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


def rows(page: str) -> dict[str, list[list[str]]]:
    """The rows of a page's tables: the first cell, without its back-ticks, to all cells of each row of that name."""
    found: dict[str, list[list[str]]] = {}
    for line in page.splitlines():
        if line.startswith("| `"):
            cells = [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
            found.setdefault(cells[0].strip("`"), []).append(cells)
    return found


def heirs(root: type) -> Iterator[type]:
    for heir in root.__subclasses__():
        yield heir
        yield from heirs(heir)


def commands(command: click.Command, path: str = "aparte") -> Iterator[str]:
    if isinstance(command, click.Group):
        for name, inner in command.commands.items():
            yield from commands(inner, f"{path} {name}")
    else:
        yield path


def slug(heading: str) -> str:
    """The anchor of a heading, as code hosts make it."""
    return re.sub(r"[^\w\- ]", "", heading.replace("`", "").strip().lower()).replace(" ", "-")


@pytest.mark.parametrize("field", dataclasses.fields(Settings), ids=lambda field: field.name)
def test_it_documents_every_setting_with_its_default_and_range(field: dataclasses.Field[object]) -> None:
    found = rows(OPERATIONS).get(field.name, [])
    assert len(found) == 1, f"docs/OPERATIONS.md has {len(found)} rows for the setting {field.name}"
    _, shown, span, meaning = found[0]
    assert meaning
    low, high = ranges().get(field.name, (None, None))
    assert span == ("" if low is None else f"{low:,} to {high:,}")
    if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
        assert shown == "required"
    elif field.default is None:
        assert shown == "none"
    else:
        default = field.default if field.default is not dataclasses.MISSING else field.default_factory()  # type: ignore[misc] # one of the two is there, see above
        value = tomllib.loads(f"value = {shown.strip('`')}")["value"]
        assert value == (list(default) if isinstance(default, tuple) else default)


def test_it_documents_no_setting_that_does_not_exist() -> None:
    table = OPERATIONS.partition("## Settings")[2].partition("\n## ")[0]
    assert set(rows(table)) == {field.name for field in dataclasses.fields(Settings)}


@pytest.mark.parametrize("tag", sorted({heir.__struct_config__.tag for heir in heirs(frames.Frame)}))
def test_it_documents_every_frame(tag: str) -> None:
    assert tag in rows(PROTOCOL), f"docs/PROTOCOL.md has no row for the frame {tag}"


@pytest.mark.parametrize("kind", sorted(frames.BODIES))
def test_it_documents_every_kind_of_event(kind: str) -> None:
    assert kind in rows(PROTOCOL), f"docs/PROTOCOL.md has no row for the event {kind}"


@pytest.mark.parametrize("error", [errors.AparteError, *heirs(errors.AparteError)], ids=lambda error: error.code)
def test_it_documents_every_error_code_with_its_status(error: type[errors.AparteError]) -> None:
    found = rows(PROTOCOL).get(error.code, [])  # a frame or an event may have the same name
    assert str(error.status) in {row[1] for row in found}, f"docs/PROTOCOL.md: no row `{error.code}` | {error.status}"


def test_it_gives_every_error_a_code_of_its_own() -> None:
    codes = [error.code for error in [errors.AparteError, *heirs(errors.AparteError)]]
    assert len(codes) == len(set(codes))


@pytest.mark.parametrize("path", sorted(commands(cli.main)))
def test_it_documents_every_command(path: str) -> None:
    assert path in rows(OPERATIONS), f"docs/OPERATIONS.md has no row for the command {path}"


def test_it_documents_no_command_that_does_not_exist() -> None:
    shown = {name for name in rows(OPERATIONS) if name.startswith("aparte ")}
    assert shown == set(commands(cli.main))


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_it_links_only_to_what_is_there(page: Path) -> None:
    text = FENCE.sub("", (ROOT / page).read_text())
    for plain, image in LINK.findall(text):
        target, _, anchor = (plain or image).partition("#")
        if re.match(r"[a-z]+:", target):
            continue
        place = (ROOT / page).parent / target if target else ROOT / page
        assert place.exists(), f"{page} links to {target}, which is not there"
        if anchor and place.suffix == ".md":
            headings = re.findall(r"^#+ (.+)$", FENCE.sub("", place.read_text()), re.MULTILINE)
            assert anchor in {slug(heading) for heading in headings}, f"{page}: {place.name} has no heading #{anchor}"


def test_it_names_no_package_registry() -> None:
    assert checks.naming_a_registry(checks.own_files()) == []


def test_it_keeps_files_short() -> None:
    assert checks.too_long(checks.own_files()) == []
