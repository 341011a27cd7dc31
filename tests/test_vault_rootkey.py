"""The root key file."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from aparte import errors
from aparte.vault import rootkey


def written(path: Path, content: bytes, mode: int = 0o400) -> Path:
    path.write_bytes(content)
    path.chmod(mode)
    return path


def test_it_makes_a_random_key_of_mode_0400(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "root-2031.key"
    made = rootkey.make(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o400
    assert path.read_bytes() == made.secret
    assert made.name == "root-2031"
    assert rootkey.read(path) == made
    assert rootkey.make(tmp_path / "keys" / "root-2032.key").secret != made.secret
    assert repr(made.secret) not in repr(made)


def test_it_never_replaces_a_key(tmp_path: Path) -> None:
    path = tmp_path / "root.key"
    made = rootkey.make(path)
    with pytest.raises(errors.BadSetting, match="cannot be written") as refusal:
        rootkey.make(path)
    assert str(path) in str(refusal.value)
    assert rootkey.read(path) == made


def test_it_names_keys_by_numbers_that_a_header_holds() -> None:
    ids = [rootkey.id_of(f"root-{n}") for n in range(200)]
    assert len(set(ids)) == 200
    assert all(0 < number < 1 << 63 for number in ids)
    assert rootkey.id_of("root-1") == 6_713_008_776_788_328_395  # pinned: it is in every wrap on the disk


@pytest.mark.parametrize("mode", [0o440, 0o404, 0o444, 0o600 | 0o020, 0o401, 0o777])
def test_it_refuses_a_key_that_others_may_open(tmp_path: Path, mode: int) -> None:
    path = written(tmp_path / "root.key", os.urandom(32), mode)
    with pytest.raises(errors.WrongKey, match="chmod 0400") as refusal:
        rootkey.read(path)
    assert str(path) in str(refusal.value)


@pytest.mark.parametrize("mode", [0o400, 0o600, 0o500])
def test_it_takes_a_key_that_only_its_owner_may_open(tmp_path: Path, mode: int) -> None:
    secret = os.urandom(32)
    assert rootkey.read(written(tmp_path / "root.key", secret, mode)).secret == secret


@pytest.mark.parametrize("size", [0, 1, 16, 31, 33, 64, 5000])
def test_it_refuses_a_key_of_another_length(tmp_path: Path, size: int) -> None:
    with pytest.raises(errors.WrongKey, match="exactly 32 bytes"):
        rootkey.read(written(tmp_path / "root.key", os.urandom(size)))


@pytest.mark.parametrize(
    "content", [bytes(32), b"\xff" * 32, bytes(range(8)) * 4, b"correct horse battery staple 123\n"[:32]]
)
def test_it_refuses_a_key_that_is_not_random(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(errors.WrongKey, match="not random"):
        rootkey.read(written(tmp_path / "root.key", content))


def test_it_refuses_what_is_no_plain_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", 0o400)  # must not wait for a writer
    for path in (tmp_path, tmp_path / "pipe"):
        with pytest.raises(errors.WrongKey, match="not a plain file"):
            rootkey.read(path)


def test_it_says_why_a_key_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(errors.WrongKey, match="missing"):
        rootkey.read(tmp_path / "root.key")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(errors.WrongKey, match="cannot be read"):
        rootkey.read(tmp_path / "loop")


def test_it_says_where_a_key_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(errors.BadSetting, match="root_key"):
        rootkey.make(tmp_path / "file" / "root.key")
