"""The three places: data, key ring and root key must not lie inside one another."""

from __future__ import annotations

from pathlib import Path

import pytest

from aparte import errors
from aparte.config import check_places


def test_it_accepts_three_places_apart(tmp_path: Path) -> None:
    check_places(tmp_path / "data", tmp_path / "ring" / "ring.db", tmp_path / "root" / "root.key")
    # A name that only begins alike is another folder.
    check_places(tmp_path / "data", tmp_path / "data-ring" / "ring.db", tmp_path / "data-root" / "root.key")


@pytest.mark.parametrize(
    ("keyring", "root_key", "named"),
    [
        ("data/ring.db", "root/root.key", "keyring"),
        ("data/deep/er/ring.db", "root/root.key", "keyring"),
        ("data", "root/root.key", "keyring"),
        ("ring/ring.db", "data/root.key", "root_key"),
        ("ring/ring.db", "data/keys/root.key", "root_key"),
        ("ring/ring.db", "ring/root.key", "root_key"),
        ("ring/ring.db", "ring/keys/root.key", "root_key"),
        ("ring/ring.db", "ring/ring.db", "root_key"),
        ("other/../data/ring.db", "root/root.key", "keyring"),
        ("ring/ring.db", "root/../data/root.key", "root_key"),
        ("to-data/ring.db", "root/root.key", "keyring"),  # through a link
        ("ring/ring.db", "to-data/root.key", "root_key"),
        ("ring/ring.db", "to-ring/root.key", "root_key"),
        ("to-ring/ring.db", "ring/root.key", "root_key"),
        ("data/out/ring.db", "root/root.key", "keyring"),  # a link out of the data folder: copies follow links
        ("ring/ring.db", "data/out/root.key", "root_key"),
        ("other/linked.db", "ring/root.key", "root_key"),  # the ring itself is a link
    ],
)
def test_it_refuses_places_inside_one_another(tmp_path: Path, keyring: str, root_key: str, named: str) -> None:
    for folder in ("data", "ring", "root", "other"):
        (tmp_path / folder).mkdir()
    (tmp_path / "to-data").symlink_to(tmp_path / "data")
    (tmp_path / "to-ring").symlink_to(tmp_path / "ring")
    (tmp_path / "data" / "out").symlink_to(tmp_path / "other")
    (tmp_path / "other" / "linked.db").symlink_to(tmp_path / "ring" / "ring.db")
    with pytest.raises(errors.BadSetting, match=named):
        check_places(tmp_path / "data", tmp_path / keyring, tmp_path / root_key)


def test_it_judges_relative_paths_by_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    check_places(Path("data"), tmp_path / "ring" / "ring.db", Path("root/root.key"))
    with pytest.raises(errors.BadSetting, match="keyring"):
        check_places(Path("data"), tmp_path / "data" / "ring.db", Path("root/root.key"))
