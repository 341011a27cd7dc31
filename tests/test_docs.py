"""The documentation is kept true to the code.

Every setting, command, frame, field, event, error, close code, route, module and floor has its row; every name that a
page mentions is there, and so is every link's target.
"""

from __future__ import annotations

import dataclasses
import importlib
import json
import re
import tomllib
import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import click
import msgspec
import pytest

import checks
from aparte import cli, errors, frames, jobs, peers, views
from aparte.actions import tokens
from aparte.config import Settings, ranges
from aparte.frames import words
from aparte.model import Agent, Role
from aparte.routes import ROUTES
from aparte.store import Directory, Stored
from aparte.ws import agent, connection, visitor

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "server" / "aparte"
OPERATIONS = (ROOT / "docs" / "OPERATIONS.md").read_text()
PROTOCOL = (ROOT / "docs" / "PROTOCOL.md").read_text()
ARCHITECTURE = (ROOT / "docs" / "ARCHITECTURE.md").read_text()
DECISIONS = sorted((ROOT / "docs" / "adr").glob("*.md"))
LAYERS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"][0]["layers"]
NOT_BUILT = {"bus", "routing", "bot"}  # places that the contract keeps
PAGES = [path for path in checks.own_files() if path.suffix == ".md"]
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)|<img[^>]+src=\"([^\"]+)\"")
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
QUOTED = re.compile(r"`([^`]+)`")


def rows(page: str) -> dict[str, list[list[str]]]:
    """The rows of a page's tables: the first cell, without its back-ticks, to all cells of each row of that name."""
    found: dict[str, list[list[str]]] = {}
    for line in page.splitlines():
        if line.startswith("| `"):
            cells = [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
            found.setdefault(cells[0].strip("`"), []).append(cells)
    return found


def heirs(root: type) -> Iterator[type]:
    # Not those that a test makes for itself.
    for heir in [one for one in root.__subclasses__() if one.__module__.startswith("aparte.")]:
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


@pytest.mark.parametrize("error", [errors.AparteError, *heirs(errors.AparteError)], ids=lambda error: error.code)
def test_it_documents_every_error_code_with_its_status(error: type[errors.AparteError]) -> None:
    found = rows(PROTOCOL).get(error.code, [])  # a frame or an event may have the same name
    assert str(error.status) in {row[1] for row in found}, f"docs/PROTOCOL.md: no row `{error.code}` | {error.status}"


def test_it_gives_every_error_a_code_of_its_own() -> None:
    # The catalogue's own; a module may make a kind of one for itself under its code.
    kinds = [one for one in heirs(errors.AparteError) if one.__module__ == errors.__name__]
    codes = [error.code for error in [errors.AparteError, *kinds]]
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


def section(page: str, heading: str) -> str:
    assert f"\n## {heading}\n" in page, heading
    return page.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]


def quoted(cell: str) -> set[str]:
    return set(QUOTED.findall(cell))


def tag_of(kind: Any) -> str:
    return str(kind.__struct_config__.tag)


# ── PROTOCOL: frames ────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("heading", "union"),
    [("From a visitor", frames.FromVisitor), ("From an agent", frames.FromAgent)],
    ids=["visitor", "agent"],
)
def test_it_tells_what_each_side_may_send_with_every_field(heading: str, union: Any) -> None:
    told = rows(section(PROTOCOL, heading))
    assert set(told) == {tag_of(kind) for kind in get_args(union)}
    for kind in get_args(union):
        fields = told[tag_of(kind)][0][1]
        needed, _, optional = fields.partition("(")
        assert quoted(fields) == set(kind.__struct_fields__), tag_of(kind)
        may_be_left_out = kind.__struct_fields__[len(kind.__struct_fields__) - len(kind.__struct_defaults__) :]
        assert quoted(optional) == set(may_be_left_out), f"{tag_of(kind)}: what may be left out"
        assert not quoted(needed) & set(may_be_left_out)


@pytest.mark.parametrize("limit", ["message", "opening", "deed", "typing", "look", "frame"])
def test_it_tells_what_each_frame_counts_as(limit: str) -> None:
    counts = {"said": "message", "opened": "opening", "replied": "deed", "frames": "frame"}
    counts |= {"typed": "typing", "looked": "look"}
    for heading, table in (("From a visitor", visitor.RULES), ("From an agent", agent.RULES)):
        told = {name for name, (row,) in rows(section(PROTOCOL, heading)).items() if row[3] == limit}
        assert told == {tag_of(kind) for kind, rule in table.items() if counts[rule.counts] == limit}


def test_it_tells_what_the_server_says_to_whom_with_every_field() -> None:
    to_visitor, to_agent = get_args(frames.ToVisitor), get_args(frames.ToAgent)
    expected = {}
    for kind in {*to_visitor, *to_agent}:
        to = "both" if kind in to_visitor and kind in to_agent else "visitor" if kind in to_visitor else "agent"
        expected[tag_of(kind), to] = set(kind.__struct_fields__)
    told = {
        (name, row[1]): quoted(row[2])
        for name, found in rows(section(PROTOCOL, "From the server")).items()
        for row in found
    }
    assert told == expected


def test_it_tells_every_part_of_a_frame_with_its_fields() -> None:
    told = {name: quoted(found[0][1]) for name, found in rows(section(PROTOCOL, "Parts of frames")).items()}
    parts = set(heirs(frames.Part)) - set(frames.BODIES.values())
    assert told == {part.__name__: set(part.__struct_fields__) for part in parts}  # type: ignore[attr-defined] # all are Structs


# ── PROTOCOL: events ────────────────────────────────────────────────────────────────────────────────────────────


def filled(kind: Any) -> Any:
    """A value of this type in which no field holds its default."""
    if get_origin(kind) in (typing.Union, types.UnionType):
        return filled(next(one for one in get_args(kind) if one is not type(None)))
    if get_origin(kind) is Literal:
        return next(one for one in get_args(kind) if one)  # "" is the default where it may stand
    if get_origin(kind) is list:
        return [filled(get_args(kind)[0])]
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return kind(**{name: filled(hint) for name, hint in typing.get_type_hints(kind).items() if hint is not None})
    return {str: "x", int: 7, float: 7.0, bool: True}[kind]


def leaves(value: Any, path: str = "") -> Iterator[str]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from leaves(inner, f"{path}.{name}" if path else name)
    else:
        yield path


@pytest.mark.parametrize("kind", sorted(frames.BODIES))
def test_it_tells_who_sees_which_field_of_an_event(kind: str) -> None:
    (_, both, staff_only, _meaning) = rows(section(PROTOCOL, "Kinds of events"))[kind][0]
    stored = Stored("c" * 22, 2, 1, "e" * 22, kind, "agent", "a" * 22, 1.0, filled(frames.BODIES[kind]))
    directory = Directory({}, {"a" * 22: Agent("a" * 22, "Claire", "claire@air.example", Role.AGENT)})
    to_staff = set(leaves(json.loads(bytes(views.staff_event(stored, directory).body))))
    if kind in frames.STAFF_ONLY:
        assert both == "not to visitors"
        assert quoted(staff_only) == to_staff
        return
    to_visitor = set(leaves(json.loads(bytes(views.visitor_event(stored, directory).body))))
    assert quoted(both) == to_visitor
    assert quoted(staff_only) == to_staff - to_visitor


def test_it_tells_no_kind_that_does_not_exist() -> None:
    assert set(rows(section(PROTOCOL, "Kinds of events"))) == set(frames.BODIES)


# ── PROTOCOL: codes, limits, routes, the example ────────────────────────────────────────────────────────────────


def test_it_tells_every_code_that_ends_a_connection() -> None:
    ours = {peers.SLOW, jobs.SIGNED_OUT, tokens.REPLACED}
    ours |= {getattr(connection, name) for name in vars(connection) if name.startswith("CLOSE_")}
    ours |= {error.close for error in [errors.AparteError, *heirs(errors.AparteError)]}
    librarys = {1001, 1006, 1007, 1009}  # our own farewell, and what a browser sees or the server's library says
    told = {int(code) for code in rows(section(PROTOCOL, "How a connection ends"))}
    assert told == ours | librarys


def test_it_tells_no_error_that_does_not_exist() -> None:
    codes = {error.code for error in [errors.AparteError, *heirs(errors.AparteError)]}
    assert set(rows(section(PROTOCOL, "Errors"))) == codes | {"bad_method"}  # this one has no class: see app.py


def test_it_tells_the_limits_of_the_wire() -> None:
    told = {name: int(row[1].replace(",", "")) for name, (row,) in rows(section(PROTOCOL, "Limits")).items()}
    assert told == {name: value for name, value in vars(words).items() if name.isupper() and isinstance(value, int)}


def test_it_tells_every_route_and_who_may_use_it() -> None:
    told = {name: row[1] for name, (row,) in rows(section(PROTOCOL, "HTTP")).items()}
    assert told == {f"{one.method} {one.path.replace(':path', '')}": one.who for one in ROUTES}


def test_it_tells_every_message_between_host_page_and_frame() -> None:
    named = set(re.findall(r"\{aparte: '(\w+)'", (ROOT / "widget" / "messages.js").read_text()))
    assert set(rows(section(PROTOCOL, "Host page and frame"))) == named


def test_it_shows_an_example_that_the_decoders_take() -> None:
    lines = [
        line
        for block in re.findall(r"^```frames\n(.*?)^```", PROTOCOL, re.MULTILINE | re.DOTALL)
        for line in block.splitlines()
    ]
    assert len(lines) > 20
    from_server = {
        "V": msgspec.json.Decoder(frames.ToVisitor),
        "A": msgspec.json.Decoder(frames.ToAgent),
    }
    for line in lines:
        who, direction, data = line.split(" ", 2)
        if direction == "→":
            (frames.decode_visitor if who == "V" else frames.decode_agent)(data)
            continue
        frame = from_server[who].decode(data)
        for event in [frame] if isinstance(frame, frames.Event) else getattr(frame, "items", []):
            msgspec.json.decode(event.body, type=frames.BODIES[event.kind])


# ── ARCHITECTURE ────────────────────────────────────────────────────────────────────────────────────────────────


def modules() -> set[str]:
    """Every module as the code map names it: a file, or a folder for its `__init__`."""
    ours = [path.relative_to("server/aparte") for path in checks.own_files() if path.is_relative_to("server/aparte")]
    names = {
        f"{path.parent.as_posix()}/" if path.name == "__init__.py" else path.as_posix()
        for path in ours
        if path.suffix == ".py" and "migrations" not in path.parts
    }
    return names - {"./"}


def test_it_maps_every_module() -> None:
    assert set(rows(section(ARCHITECTURE, "Code map"))) == modules()


def test_it_tells_the_floors_as_the_contract_has_them() -> None:
    contract = [set(re.findall(r"\w+", layer)) - NOT_BUILT for layer in LAYERS]
    told = [
        quoted(line.split("|")[2]) for line in section(ARCHITECTURE, "Floors").splitlines() if line.startswith("| ")
    ]
    assert [floor for floor in told if floor] == contract
    assert not any((PACKAGE / name).exists() or (PACKAGE / f"{name}.py").exists() for name in NOT_BUILT)


def dotted() -> list[str]:
    """Names of our code in ARCHITECTURE and in the decisions: `module.thing`, from the package on."""
    tops = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    pages = [ARCHITECTURE, *(page.read_text() for page in DECISIONS)]
    found = {name for page in pages for name in re.findall(r"`([a-z]\w*(?:\.\w+)+)`", page)}
    return sorted(name for name in found if name.partition(".")[0] in tops and not name.endswith((".py", ".js")))


@pytest.mark.parametrize("name", dotted())
def test_it_names_only_what_is_in_the_code(name: str) -> None:
    steps = name.split(".")
    thing: Any = importlib.import_module("aparte")
    for at, step in enumerate(steps):
        if isinstance(thing, types.ModuleType) and not hasattr(thing, step):
            thing = importlib.import_module("aparte." + ".".join(steps[: at + 1]))
        else:
            thing = getattr(thing, step)


def test_it_names_only_files_that_are_there() -> None:
    named = {
        name for name in quoted(FENCE.sub("", ARCHITECTURE)) if re.fullmatch(r"[\w/.-]+\.(py|js|mjs|ts|toml)", name)
    }
    assert len(named) > 100
    places = (PACKAGE, ROOT, ROOT / "static" / "shared")
    assert [name for name in named if not any((place / name).exists() for place in places)] == []


# ── decisions ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_it_numbers_the_decisions_without_a_gap() -> None:
    assert [path.name[:5] for path in DECISIONS] == [f"{number:04}-" for number in range(1, len(DECISIONS) + 1)]


@pytest.mark.parametrize("page", DECISIONS, ids=lambda page: page.stem)
def test_it_tells_context_decision_and_consequences_on_one_page(page: Path) -> None:
    text = page.read_text()
    assert text.startswith(f"# {page.name[:4]} ")
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == ["Context", "Decision", "Consequences"]
    assert text.count("\n") <= 60
