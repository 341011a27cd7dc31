"""Reads the settings: one TOML file, overlaid by the environment.

Knows where a value was written and how to say so. Must not repeat a secret that was written in the wrong place, nor
open the store, the key ring or a socket.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any, Final, NamedTuple, get_type_hints

import msgspec

from aparte import errors
from aparte.config import rules
from aparte.config.database import has_secret
from aparte.config.settings import CHOICES, Settings, ranges

PREFIX: Final = "APARTE_"
CONFIG_VARIABLE: Final = "APARTE_CONFIG"
DEFAULT_FILE: Final = Path("aparte.toml")

_FILE_BYTES: Final = 1 << 20
# 32 bytes in hexadecimal or base64: somebody pasted a key where a path belongs.
_KEY_LIKE: Final = re.compile(r"[0-9A-Fa-f]{64}\Z|[A-Za-z0-9+_-][A-Za-z0-9+/_-]{42}=?\Z")
_SECRET_LIKE: Final = re.compile(r"password|secret|token|key|passphrase", re.IGNORECASE)


class _Given(NamedTuple):
    """A value as it was written. `base` is where a relative path starts; text comes from the environment."""

    label: str
    value: object
    base: Path
    is_text: bool


def load(config_file: Path | None, environ: Mapping[str, str]) -> Settings:
    """The settings of this installation, checked.

    Args: config_file: a TOML file; None takes $APARTE_CONFIG, else ./aparte.toml where it exists. environ: overlays
        the file, `APARTE_PORT=8080` over `port = 8080`; lists are separated by commas.
    Raises: errors.BadSetting, which names everything that is wrong, each with its fix.
    """
    wrong: list[str] = []
    file = _find_file(config_file, environ)
    table, base = _read_file(file)
    given = _from_file(table, base, wrong) | _read_environment(environ, wrong)
    if file is None and not given and not wrong:
        raise errors.BadSetting(
            f"There is no {DEFAULT_FILE} in this folder, and nothing is set in the environment: go to the folder that has "
            "it, give --config FILE, or run `aparte init` for a new installation."
        )
    kinds = get_type_hints(Settings)
    values: dict[str, Any] = {}
    bad: set[str] = set()
    for field in fields(Settings):
        name = field.name
        if name not in given:
            if name == "keyring" and "keyring_url" in given:
                values[name] = Path()  # there is no such file then, and nobody asks for it
            elif field.default is MISSING:
                bad.add(name)
                wrong.append(
                    f"{name}: not set: give a path, in the file or as {PREFIX}{name.upper()}; see `aparte init`"
                )
            continue
        try:
            values[name] = _convert(name, kinds[name], given[name])
        except ValueError as error:
            bad.add(name)
            wrong.append(f"{given[name].label}{error}")
    # A rule about several settings is asked only where each of them makes sense by itself.
    missing: dict[str, Any] = {name: Path() for name in bad & {"data", "keyring", "root_key"}}
    settings = Settings(**missing, **values)
    for names, rule in rules.RULES:
        if not bad.intersection(names):
            wrong.extend(rule(settings))
    if wrong:
        raise errors.BadSetting(rules.sentence(wrong))
    return settings


def _find_file(chosen: Path | None, environ: Mapping[str, str]) -> Path | None:
    if chosen is not None:
        return chosen
    if environ.get(CONFIG_VARIABLE):
        return Path(environ[CONFIG_VARIABLE])
    return DEFAULT_FILE if DEFAULT_FILE.exists() else None


def _read_file(path: Path | None) -> tuple[dict[str, object], Path]:
    """What the file holds, and the folder where its relative paths start. Raises errors.BadSetting when it is no settings
    file: then nothing is said of single settings, since nobody knows which of them it was meant to hold."""
    if path is None:
        return {}, Path()
    try:
        with path.open("rb") as file:
            raw = file.read(_FILE_BYTES + 1)
        if len(raw) <= _FILE_BYTES:
            return tomllib.loads(raw.decode()), path.absolute().parent
        why = "too long for settings: give another file"
    except OSError as error:
        why = f"{error.strerror}: give a file that can be read, or run `aparte init --config {path}`"
    except UnicodeDecodeError:
        why = "not UTF-8: save it again as UTF-8"
    except RecursionError:
        why = "nested too deep: write one `name = value` per line"
    except ValueError as error:  # tomllib's own, and int()'s for a number of thousands of digits
        why = f"not TOML: {error}: {_fix(str(error))}"
    raise errors.BadSetting(f"{path}: {why}")


def _fix(error: str) -> str:
    """What to do about an error of tomllib, which names the place but not the mistake."""
    if error.startswith("Cannot overwrite"):
        return "this setting is given twice: keep one"
    if error.startswith("Invalid value"):
        return 'give a value; a text stands in quotes, as in host = "127.0.0.1"'
    return "write one `name = value` per line"


def _from_file(table: dict[str, object], base: Path, wrong: list[str]) -> dict[str, _Given]:
    known = {field.name for field in fields(Settings)}
    wrong.extend(_unknown(name, name, known) for name in table if name not in known)
    return {
        name: _Given(f"{name} = {_shown(name, value)}", value, base, is_text=False)
        for name, value in table.items()
        if name in known
    }


def _read_environment(environ: Mapping[str, str], wrong: list[str]) -> dict[str, _Given]:
    known = {field.name for field in fields(Settings)}
    found = {}
    for variable, value in environ.items():
        if not variable.startswith(PREFIX) or variable == CONFIG_VARIABLE:
            continue
        name = variable.removeprefix(PREFIX).lower()
        if name in known and variable.isupper():
            found[name] = _Given(f"{variable} = {_shown(name, value)}", value, Path.cwd(), is_text=True)
        else:
            wrong.append(_unknown(variable, name, known))
    return found


def _unknown(written: str, name: str, known: set[str]) -> str:
    from difflib import get_close_matches

    label = rules.clean(written)
    if _SECRET_LIKE.search(name):
        # Its value is not repeated: it may be the secret itself.
        return f"{label}: no such setting; a secret is kept in a file of mode 0400, named by smtp_password_file or root_key"
    near = get_close_matches(name, known, n=1)
    return f"{label}: no such setting; " + (
        f"did you mean {PREFIX + near[0].upper() if written.startswith(PREFIX) else near[0]}?"
        if near
        else "see docs/OPERATIONS.md for all of them"
    )


def _convert(name: str, kind: Any, given: _Given) -> Any:
    """The value in its type and range. Raises ValueError with what to append to the value: the fix."""
    value = given.value
    if kind in (int, float):
        low, high = ranges()[name]
        noun = "a whole number" if kind is int and type(value) is not int else "a number"
        fix = f": give {noun} from {_plain(low)} to {_plain(high)}"
        try:
            number = msgspec.convert(value, kind, strict=not given.is_text)
        except (msgspec.ValidationError, UnicodeError, OverflowError) as error:
            raise ValueError(fix) from error
        if not low <= number <= high:  # so written that NaN, which compares with nothing, is refused
            raise ValueError(fix)
        return number
    if kind == tuple[str, ...]:
        items = (
            [item.strip() for item in value.split(",") if item.strip()]
            if isinstance(value, str) and given.is_text
            else value
        )
        try:
            return msgspec.convert(items, tuple[str, ...], strict=True)
        except msgspec.ValidationError as error:
            raise ValueError(': give a list of texts, e.g. ["10.0.0.2"]') from error
    if not isinstance(value, str):
        raise ValueError(": give a text in quotes")  # noqa: TRY004 - one kind of error carries every fix
    if not value.isprintable():
        raise ValueError(": give printable characters only")
    if name in CHOICES and value not in CHOICES[name]:
        raise ValueError(f": give one of {', '.join(CHOICES[name])}")
    return value if kind is str else _path(value, kind, given.base)


def _path(value: str, kind: Any, base: Path) -> Path | None:
    if not value and kind != Path:
        return None
    if not value:
        raise ValueError(": give a path")
    if value.startswith("~"):
        raise ValueError(": ~ is not expanded here: write the whole path")
    if _KEY_LIKE.match(value):
        raise ValueError(": this looks like a secret itself: write it to a file of mode 0400 and give that file's path")
    return base / value


def _shown(name: str, value: object) -> str:
    if isinstance(value, str) and (name == "root_key" or name.endswith("_file")) and _KEY_LIKE.match(value):
        return "(not shown)"
    if isinstance(value, str) and name in ("database_url", "keyring_url") and has_secret(value):
        return "(not shown)"
    if isinstance(value, int) and value.bit_length() > 64:
        return "(a huge number)"  # Python refuses to print some of them
    return rules.clean(str(value).lower() if isinstance(value, bool) else str(value))


def _plain(number: float) -> str:
    return str(int(number)) if number == int(number) else str(number)
