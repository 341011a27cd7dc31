"""A PostgreSQL database as a setting names it: read out of its address, judged, and shown without a secret.

Knows the form of the address. Must not connect, nor repeat a password that was written into it.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

EXAMPLE: Final = "postgresql://aparte@127.0.0.1:5432/aparte"
# Of the driver's own, what says where and how safely to connect. What could make a commit less durable is not here.
OPTIONS: Final = frozenset(
    {
        "host",
        "sslmode",
        "sslrootcert",
        "sslcert",
        "sslkey",
        "sslcrl",
        "channel_binding",
        "gssencmode",
        "target_session_attrs",
        "connect_timeout",
    }
)
_TLS: Final = ("disable", "require", "verify-ca", "verify-full")


@dataclass(frozen=True, slots=True)
class Database:
    """Where a database is, and the file that holds its password. `str` of it may be shown to anybody."""

    name: str
    user: str = ""
    host: str = ""  # empty: the driver's own choice, a socket of this machine
    port: int | None = None
    options: tuple[tuple[str, str], ...] = ()
    password_file: Path | None = None

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host if not self.host.startswith("/") else ""
        port = "" if self.port is None else f":{self.port}"
        return f"postgresql://{self.user}{'@' if self.user else ''}{host}{port}/{self.name}"

    def is_same(self, other: Database) -> bool:
        """Whether both name one database, whoever connects."""
        return (self.host, self.port or 5432, self.name) == (other.host, other.port or 5432, other.name)


def database_from(url: str, password_file: Path | None) -> Database:
    """Args: url: one that `wrong_database` finds nothing wrong with."""
    parts = urlsplit(url)
    options = dict(parse_qsl(parts.query))
    return Database(
        name=unquote(parts.path[1:]),
        user=unquote(parts.username or ""),
        host=options.pop("host", "") or _host(parts),
        port=parts.port,
        options=tuple(sorted(options.items())),
        password_file=password_file,
    )


def has_secret(url: str) -> bool:
    """Whether a password may have been written into it: then it is not repeated to anybody."""
    return "@" in url or "password" in url.lower()


def wrong_database(url: str, name: str) -> str:
    """What is wrong with an address, as a fix to print; empty when nothing is. Args: name: the setting's."""
    example = f"give an address such as {EXAMPLE}"
    try:
        parts = urlsplit(url)
        port, options = parts.port, parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
    except ValueError:
        return example
    if parts.scheme != "postgresql":
        return f"{example}; leave it empty for SQLite"
    given = dict(options)
    if parts.password is not None or "password" in given:
        file = f"{name.removesuffix('_url')}_password_file"
        return f"a password does not belong here: write it to a file of mode 0400, and name that file in {file}"
    if (
        not parts.path[1:]
        or "/" in parts.path[1:]
        or parts.fragment
        or port == 0
        or not url.isprintable()
        or " " in url
    ):
        return example
    if unknown := sorted(given.keys() - OPTIONS):
        return f"{unknown[0][:40]} is not understood here: of options give only {', '.join(sorted(OPTIONS))}"
    host = given.get("host") or _host(parts)
    if "," in host:
        return "name one host; let the network's name lead to the server that is written to"
    return _wrong_line(host, given.get("sslmode"))


def wrong_bell(url: str) -> str:
    """What is wrong with the address of a Valkey or Redis, as a fix to print; empty when nothing is."""
    example = "give an address such as redis://127.0.0.1:6379/0 or rediss://bell.example.org:6379/0"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return example
    if parts.password is not None:
        return (
            "a password does not belong here: write it to a file of mode 0400, and name that file in bell_password_file"
        )
    is_whole = parts.path.removeprefix("/").isdigit() or parts.path in ("", "/")
    if parts.scheme not in ("redis", "rediss") or not parts.hostname or port == 0 or not is_whole:
        return example
    if parts.query or parts.fragment or not url.isprintable() or " " in url:
        return example
    return ""


def _wrong_line(host: str, sslmode: str | None) -> str:
    if sslmode is not None and sslmode not in _TLS:
        return f"sslmode {sslmode[:20]} may end without TLS unnoticed: give one of {', '.join(_TLS)}"
    if sslmode is None and not _is_here(host):
        return (
            "the line to another machine must be named: add ?sslmode=verify-full (with sslrootcert), or "
            "?sslmode=disable where nobody else can reach the network between"
        )
    return ""


def _host(parts: SplitResult) -> str:
    return unquote(parts.hostname or "")


def _is_here(host: str) -> bool:
    if not host or host.startswith("/") or host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
