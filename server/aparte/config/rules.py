"""What makes settings wrong: one by one for hosts, addresses, databases, places and secret files, and against each other.

Knows `Settings` and the modes of the files that it names. Must not know where a value was written, nor open the store,
the key ring or a socket.
"""

from __future__ import annotations

import ipaddress
import os
import re
import stat
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from aparte import errors
from aparte.config.database import database_from, has_secret, wrong_bell, wrong_database
from aparte.config.settings import Settings

_SECRET_BYTES: Final = 4096
_SHOWN: Final = 60  # characters of a wrong value that are repeated to the operator
_HOST: Final = re.compile(r"(?=.{1,253}\Z)[A-Za-z0-9]([A-Za-z0-9-]{0,62})(\.[A-Za-z0-9][A-Za-z0-9-]{0,62})*\Z")
_NODE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]{0,39}\Z")
_TOKEN: Final = re.compile(r"[!-~]{32,512}\Z")  # a header carries it
_MAIL: Final = re.compile(r"(?:[^<>@\x00-\x1f]{0,80}<)?[^\s<>@,;:\"]{1,64}@[A-Za-z0-9.-]{1,190}>?\Z")
# The widest block that may still be called a proxy. Wider, and half the world could forge its address.
_WIDEST: Final = {4: 8, 6: 16}


def check_places(data: Path, keyring: Path, root_key: Path) -> None:
    """Refuse places from which one copied folder would carry both the lock and its key.

    Args: data: a folder; keyring: the key ring's file; root_key: the key's file. None need exist yet.
    Raises: errors.BadSetting that names each wrong one and the fix.
    """
    wrong = list(_wrong_places(data, keyring, root_key))
    if wrong:
        raise errors.BadSetting(sentence(wrong))


def read_secret(path: Path) -> str:
    """The text in a secret's file, without its last line end.

    Raises: errors.BadSetting when the file is absent, open to others, empty or too long. Never repeats the content.
    """
    fix = wrong_secret(path)
    if fix:
        raise errors.BadSetting(f"{path}: {fix}")
    return path.read_text("utf-8").rstrip("\r\n")


def is_loopback(host: str) -> bool:
    """Whether a host name or address can be reached from this machine only."""
    host = host.strip("[]").lower()
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_host(text: str) -> bool:
    """Whether `text` is a host name in ASCII, or an IP address."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        # A name that ends in a number would be read as a broken IPv4 address by every resolver and browser.
        return _HOST.match(text) is not None and not text.rpartition(".")[2].isdigit()
    return True


def is_public(url: str) -> bool:
    """Whether the address is one of another machine than this."""
    return not is_loopback(urlsplit(url).hostname or "")


def wrong_origin(url: str, example: str = "https://chat.example.org") -> str:
    """What is wrong with `url` as the bare address of a web server, as a fix to print; empty when nothing is."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return f"give an address such as {example}"
    host = parts.hostname or ""
    shown = (f"[{host}]" if ":" in host else host) + ("" if port is None else f":{port}")
    # urlsplit forgives spaces and line ends; a browser's Origin never has them.
    if parts.scheme not in ("http", "https") or not is_host(host) or port == 0 or not url.isprintable() or " " in url:
        return f"give an address such as {example}"
    if parts.username is not None or parts.path not in ("", "/") or parts.query or parts.fragment or url[-1:] in "?#":
        return f"give scheme and host only: {parts.scheme}://{shown}"
    if parts.scheme == "http" and not is_loopback(host):
        return f"plain HTTP is for this machine only: give https://{shown}"
    return ""


def wrong_secret(path: Path) -> str:
    """The fix for a secret's file that may not be used; empty when it may."""
    try:
        state = path.stat()
        if not stat.S_ISREG(state.st_mode):
            return "not a plain file: give the file that holds the secret"
        if state.st_mode & 0o077:
            return f"others may read it (mode {stat.S_IMODE(state.st_mode):04o}): run chmod 0400 {path}"
        if not 0 < state.st_size <= _SECRET_BYTES:
            return f"holds {state.st_size} bytes: write the secret, and nothing else, into it"
        path.read_bytes().decode()
    except OSError as error:
        return f"{error.strerror}: give a file that this account can read"
    except UnicodeDecodeError:
        return "not UTF-8: write the secret as plain text"
    return ""


def sentence(wrong: list[str]) -> str:
    """All that is wrong as one text, a line for each."""
    if len(wrong) == 1:
        return wrong[0]
    return "\n  ".join([f"{len(wrong)} settings are wrong:", *wrong])


def clean(text: str) -> str:
    """A value fit for a terminal and a log: printable characters only, and not too many."""
    kept = "".join(character if character.isprintable() else "?" for character in text[: _SHOWN + 1])
    return kept if len(kept) <= _SHOWN else kept[:_SHOWN] + "…"


def _wrong_places(data: Path, keyring: Path | None, root_key: Path) -> Iterator[str]:
    if keyring and _lies_in(keyring, data):
        yield f"keyring = {keyring}: lies in the data folder, so a copy of the data would carry its keys: put it elsewhere"
    if _lies_in(root_key, data):
        yield f"root_key = {root_key}: lies in the data folder, so a copy of the data would carry its key: put it elsewhere"
    if keyring and (_lies_in(root_key, keyring.parent) or _lies_in(root_key, keyring.resolve().parent)):
        yield f"root_key = {root_key}: lies in the key ring's folder: put it in a folder of its own"


def _lies_in(inner: Path, outer: Path) -> bool:
    # Judged as written and with links followed, since a copy may follow them or not.
    inners, outers = _spellings(inner), _spellings(outer)
    return any(a.is_relative_to(b) for a in inners for b in outers)


def _spellings(path: Path) -> tuple[Path, Path]:
    written = os.path.abspath(path)  # noqa: PTH100 - resolve() would follow the links, which is the second spelling
    return Path(written), path.resolve()


def _rule_places(s: Settings) -> Iterator[str]:
    # A ring in a database of a server lies in no folder of ours.
    yield from _wrong_places(s.data, None if s.keyring_url else s.keyring, s.root_key)


def _rule_databases(s: Settings) -> Iterator[str]:
    urls = {"database_url": s.database_url, "keyring_url": s.keyring_url}
    wrong = False
    for name, url in urls.items():
        if url and (fix := wrong_database(url, name)):
            wrong = True
            yield f"{name} = {'(not shown)' if has_secret(url) else clean(url)}: {fix}"
    for name, file in (
        ("database_password_file", s.database_password_file),
        ("keyring_password_file", s.keyring_password_file),
    ):
        url = name.replace("password_file", "url")
        if file and not urls[url]:
            yield f"{url}: not set, but {name} is: give both or neither"
        elif file and (fix := wrong_secret(file)):
            yield f"{name} = {file}: {fix}"
    if bool(s.database_url) != bool(s.keyring_url):
        missing, present = ("database_url", "keyring_url")[:: 1 if s.keyring_url else -1]
        yield f"{missing}: not set, but {present} is: give both, each a database of its own, or neither for SQLite"
    elif (
        s.database_url and not wrong and database_from(s.database_url, None).is_same(database_from(s.keyring_url, None))
    ):
        yield "keyring_url: names the database of database_url, so a copy of the data would carry its keys: give another"


def _rule_nodes(s: Settings) -> Iterator[str]:
    if s.node and not _NODE.match(s.node):
        yield f"node = {clean(s.node)}: give up to 40 letters, digits, dots and dashes"
    if s.bell_url and not s.database_url:
        yield "bell_url: several nodes need PostgreSQL: give database_url and keyring_url, or leave it out"
    if s.bell_url and (fix := wrong_bell(s.bell_url)):
        yield f"bell_url = {'(not shown)' if has_secret(s.bell_url) else clean(s.bell_url)}: {fix}"
    if s.bell_password_file and not s.bell_url:
        yield "bell_url: not set, but bell_password_file is: give both or neither"
    elif s.bell_password_file and (fix := wrong_secret(s.bell_password_file)):
        yield f"bell_password_file = {s.bell_password_file}: {fix}"


def _rule_host(s: Settings) -> Iterator[str]:
    if not is_host(s.host):
        yield f"host = {clean(s.host)}: give an address of this machine, e.g. 127.0.0.1"
    elif not is_loopback(s.host):
        if not s.public_url:
            yield f"public_url: not set, but host = {s.host} can be reached from elsewhere: give the https address people use"
        if not s.trusted_proxies:
            yield (
                f"host = {s.host}: plain HTTP beyond this machine is refused: take 127.0.0.1, or name in trusted_proxies "
                "the TLS proxy in front"
            )


def _rule_urls(s: Settings) -> Iterator[str]:
    for name, url in (("public_url", s.public_url), ("panel_url", s.panel_url)):
        fix = wrong_origin(url) if url else ""
        if not fix and url.startswith("http:") and not is_loopback(s.host):
            fix = f"people beyond this machine need https: give https://{urlsplit(url).netloc}"
        if not fix and url.startswith("https:") and not s.trusted_proxies:
            fix = "something speaks TLS in front of this server: name its address in trusted_proxies, e.g. 127.0.0.1"
        if fix:
            # A user and a password may have been written into it.
            yield f"{name} = {'(not shown)' if '@' in url else clean(url)}: {fix}"
    if s.panel_url.startswith("http:") and s.public_url.startswith("https:"):
        yield f"panel_url = {clean(s.panel_url)}: public_url is https, the panel must be too: give https"


def _rule_proxies(s: Settings) -> Iterator[str]:
    for proxy in s.trusted_proxies:
        try:
            network = ipaddress.ip_network(proxy)
        except ValueError:
            yield f"trusted_proxies = {clean(proxy)}: give an address or a block such as 10.0.0.0/24"
            continue
        if network.prefixlen < _WIDEST[network.version]:
            yield f"trusted_proxies = {proxy}: so wide that anybody could forge an address: name the proxy alone"


def _rule_mail(s: Settings) -> Iterator[str]:
    if s.smtp_host and not is_host(s.smtp_host):
        yield f"smtp_host = {clean(s.smtp_host)}: give a host name or an address alone"
    if s.smtp_security == "none" and s.smtp_host and not is_loopback(s.smtp_host):
        yield "smtp_security = none: allowed to this machine only: give starttls or tls"
    if s.smtp_host and not s.mail_from:
        yield "mail_from: not set, but smtp_host is: give the sender's address, e.g. chat@example.org"
    if s.mail_from and (not _MAIL.match(s.mail_from) or ("<" in s.mail_from) != s.mail_from.endswith(">")):
        yield f"mail_from = {clean(s.mail_from)}: give one address, e.g. chat@example.org"
    if bool(s.smtp_user) != bool(s.smtp_password_file):
        missing, present = ("smtp_user", "smtp_password_file")[:: 1 if s.smtp_password_file else -1]
        yield f"{missing}: not set, but {present} is: give both or neither"
    fix = wrong_secret(s.smtp_password_file) if s.smtp_password_file else ""
    if fix:
        yield f"smtp_password_file = {s.smtp_password_file}: {fix}"


def _rule_metrics(s: Settings) -> Iterator[str]:
    if not s.metrics_token_file:
        return
    fix = wrong_secret(s.metrics_token_file)
    if not fix and not _TOKEN.match(read_secret(s.metrics_token_file)):
        fix = "too easy to guess: write 32 letters and digits or more into it, such as openssl rand -hex 32 makes"
    if fix:
        yield f"metrics_token_file = {s.metrics_token_file}: {fix}"


# Pairs of which the first may not be larger than the second.
_ORDERED: Final = (
    ("session_idle_seconds", "session_seconds"),
    ("assurance_idle_seconds", "assurance_seconds"),
    ("sockets_per_address", "sockets_total"),
    ("sockets_unauthenticated", "sockets_total"),
    ("sockets_total", "connections_total"),
    ("site_messages_per_10s", "node_messages_per_10s"),
    ("site_opens_per_minute", "node_opens_per_minute"),
    ("write_batch", "write_queue"),
)


def _rule_ordered(s: Settings, small: str, large: str) -> Iterator[str]:
    if getattr(s, small) > getattr(s, large):
        yield f"{small} = {getattr(s, small)}: larger than {large} = {getattr(s, large)}: give at most that"


# Which settings a rule is about, and the rule.
RULES: Final[tuple[tuple[tuple[str, ...], Callable[[Settings], Iterator[str]]], ...]] = (
    (("data", "keyring", "keyring_url", "root_key"), _rule_places),
    (("database_url", "database_password_file", "keyring_url", "keyring_password_file"), _rule_databases),
    (("node", "bell_url", "bell_password_file", "database_url"), _rule_nodes),
    (("host", "public_url", "trusted_proxies"), _rule_host),
    (("host", "public_url", "panel_url", "trusted_proxies"), _rule_urls),
    (("trusted_proxies",), _rule_proxies),
    (("smtp_host", "smtp_security", "smtp_user", "smtp_password_file", "mail_from"), _rule_mail),
    (("metrics_token_file",), _rule_metrics),
    *((pair, partial(_rule_ordered, small=pair[0], large=pair[1])) for pair in _ORDERED),
)
