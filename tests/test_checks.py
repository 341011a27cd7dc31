"""The house's own checks notice what they are for."""

from __future__ import annotations

from pathlib import Path

import pytest

import checks


@pytest.mark.parametrize(
    ("name", "lines", "wrong"), [("a.py", 400, 0), ("a.py", 401, 1), ("a.css", 401, 1), ("a.md", 401, 0)]
)
def test_it_notices_a_file_that_is_too_long(tmp_path: Path, name: str, lines: int, wrong: int) -> None:
    path = tmp_path / name
    path.write_text("x\n" * lines)
    assert len(checks.too_long([path])) == wrong


def test_it_lets_vendored_files_be_long(tmp_path: Path) -> None:
    path = tmp_path / "static" / "vendor" / "a.js"
    path.parent.mkdir(parents=True)
    path.write_text("x\n" * 1000)
    assert checks.too_long([path]) == []


@pytest.mark.parametrize("host", [["registry", "npmjs", "org"], ["pypi", "org"], ["files", "pythonhosted", "org"]])
def test_it_notices_a_registry_host(tmp_path: Path, host: list[str]) -> None:
    path = tmp_path / "a.json"
    path.write_text(f'{{\n"resolved": "https://{".".join(host)}/x"}}\n')
    assert len(checks.naming_a_registry([path])) == 1
    path.write_text('{"version": "1"}\n')
    assert checks.naming_a_registry([path]) == []


def test_it_looks_at_the_projects_own_files_and_at_no_others() -> None:
    found = {path.as_posix() for path in checks.own_files()}
    assert {"pyproject.toml", "tests/checks.py", "server/aparte/errors.py"} <= found
    assert not any(name.startswith((".venv/", "node_modules/")) for name in found)
