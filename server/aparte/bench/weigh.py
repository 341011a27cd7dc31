"""How many bytes a browser fetches: the loader, the opened widget and the panel, compressed as they are served.

Knows pages, the files that they name and the modules that those import. Must not know the files on the disk: what
counts is what the server sends.
"""

from __future__ import annotations

import http.client
import re
import zlib
from posixpath import normpath
from typing import Final
from urllib.parse import quote

from aparte.bench.servers import SITE, Installation
from aparte.errors import Unavailable

_LINKED: Final = re.compile(r"""<(?:script|link|img)\b[^>]*?\b(?:src|href)="(/[^"]+)\"""")
# A module that is imported by a call with its name counts too: it is fetched soon after, if not at once.
_IMPORTED: Final = re.compile(r"""(?:\bfrom|\bimport)\s*\(?\s*["'](\.{1,2}/[^"']+)["']""")
# What is kept for later stands in the script as a plain name, "./guard.min.js": fetched with the first words typed.
_LATER: Final = re.compile(r"""["'`](\./[\w.-]+\.js)["'`]""")
_LANGUAGE: Final = re.compile(r"(?<=[./-])(?:en|fr)(?=\.)")
_COMMENT: Final = re.compile(r"/\*.*?\*/", re.DOTALL)  # in which types are imported that no browser fetches
_STYLED: Final = re.compile(r"""(?:@import\s+|url\()\s*["']?(\.{0,2}/?[\w./-]+\.(?:css|svg|png|woff2))""")


def fetch(port: int, path: str) -> tuple[bytes, str]:
    """A GET that accepts gzip. Returns: the body as sent, and as text. Raises Unavailable unless it is 200."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path, headers={"accept-encoding": "gzip", "accept-language": "en"})
        answer = connection.getresponse()
        body = answer.read()
        if answer.status != 200:
            raise Unavailable(f"The server under test answered {path} with {answer.status}.")
        plain = body
        if answer.headers.get("content-encoding") == "gzip":
            plain = zlib.decompress(body, 16 + zlib.MAX_WBITS)
        return body, plain.decode("utf-8", "replace")
    finally:
        connection.close()


def needed(path: str, text: str) -> set[str]:
    """The addresses on the same host that a file makes a browser fetch."""
    folder = path.partition("?")[0].rpartition("/")[0]
    text = _COMMENT.sub("", text)
    relative = _STYLED.findall(text) if path.endswith(".css") else _IMPORTED.findall(text)
    found = {one if one.startswith("/") else normpath(f"{folder}/{one}") for one in relative}
    if not path.endswith((".css", ".js")):
        found = set(_LINKED.findall(text))
    return found


def whole(port: int, page: str) -> dict[str, int]:
    """A page and everything that it needs, each once. Returns: bytes as sent, by address. Raises Unavailable."""
    sizes: dict[str, int] = {}
    waiting = [page]
    while waiting:
        path = waiting.pop()
        if path in sizes:
            continue
        body, text = fetch(port, path)
        sizes[path] = len(body)
        waiting.extend(needed(path, text))
    return _one_language(sizes)


def later(port: int, opened: dict[str, int]) -> dict[str, int]:
    """What the scripts among the `opened` files fetch once somebody writes. Returns: bytes as sent, by address. Raises
    Unavailable."""
    known = {_LANGUAGE.sub("*", path) for path in opened}
    found: dict[str, int] = {}
    for script in (path for path in opened if path.endswith(".js")):
        for name in _LATER.findall(_COMMENT.sub("", fetch(port, script)[1])):
            if "fallback" in name:
                continue  # fetched where no WebSocket gets through
            found |= whole(port, normpath(f"{script.rpartition('/')[0]}/{name}"))
    return _one_language({path: size for path, size in found.items() if _LANGUAGE.sub("*", path) not in known})


def _one_language(sizes: dict[str, int]) -> dict[str, int]:
    """Of files that differ in their language alone, a browser fetches one: the heaviest counts."""
    kept: dict[str, str] = {}
    for path, size in sizes.items():
        same = _LANGUAGE.sub("*", path)
        if same not in kept or size > sizes[kept[same]]:
            kept[same] = path
    return {path: sizes[path] for path in kept.values()}


def sizes(made: Installation) -> tuple[int, int, int, int]:
    """Bytes of the loader; of the widget opened, the loader included; of what it fetches later; of the panel. Raises
    Unavailable."""
    loader = len(fetch(made.port, "/widget.js")[0])
    widget = whole(made.port, f"/frame/{SITE}?origin={quote(made.origin, safe='')}")
    panel = whole(made.port, "/panel")
    after = later(made.port, widget)
    return loader, loader + sum(widget.values()), sum(after.values()), sum(panel.values())
