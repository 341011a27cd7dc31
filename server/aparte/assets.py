"""The browser's files: read once, hashed together, served compressed and immutable.

Knows files and their types. Must not know pages.
"""

from __future__ import annotations

import gzip
import hashlib
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from aparte.errors import NotFound

_TYPES: Final = {
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".txt": "text/plain; charset=utf-8",
}
_FOLDERS: Final = ("widget", "static/shared", "static/vendor", "static/panel", "static/pages")
_IMPORT: Final = re.compile(rb"""(?:from|import)\s*["'](\.{1,2}/[^"']{1,200})["']""")


@dataclass(slots=True)
class Asset:
    """One file. `packed` is made at its first use, so that a start does not wait for it."""

    body: bytes
    type: str
    tag: str
    _packed: bytes = b""

    @property
    def packed(self) -> bytes:
        if not self._packed:
            self._packed = gzip.compress(self.body, 9, mtime=0)
        return self._packed


@dataclass(slots=True)
class Assets:
    """All files by their path from the project's root, and the build hash that their addresses carry."""

    files: dict[str, Asset]
    build: str
    _graph: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def get(self, path: str) -> Asset:
        """Raises NotFound."""
        try:
            return self.files[path]
        except KeyError:
            raise NotFound() from None

    def url(self, path: str) -> str:
        """The address of a file under this build. Raises NotFound for one that is not there."""
        self.get(path)
        return f"/a/{self.build}/{path}"

    def modules(self, entry: str) -> tuple[str, ...]:
        """Everything that a module imports, itself first: for `modulepreload`."""
        if entry not in self._graph:
            found: list[str] = []
            waiting = [entry]
            while waiting:
                path = waiting.pop(0)
                if path in found or path not in self.files:
                    continue
                found.append(path)
                imports = _IMPORT.finditer(self.files[path].body)
                waiting.extend(_joined(path, match.group(1).decode()) for match in imports)
            self._graph[entry] = tuple(found)
        return self._graph[entry]


def _joined(path: str, relative: str) -> str:
    parts = path.split("/")[:-1]
    for step in relative.split("/"):
        if step == "..":
            parts = parts[:-1]
        elif step != ".":
            parts.append(step)
    return "/".join(parts)


def root() -> Path:
    """Where `widget/` and `static/` lie: in the installed package, or at the checkout's root."""
    packed = Path(__file__).parent / "_web"
    return packed if packed.is_dir() else Path(__file__).parents[2]


def load() -> Assets:
    """Reads every file that the chat host serves."""
    base = root()
    files: dict[str, Asset] = {}
    whole = hashlib.sha256()
    for folder in _FOLDERS:
        for path in sorted((base / folder).rglob("*")):
            if path.is_file() and path.suffix in _TYPES and not path.name.endswith(".d.ts"):
                name, body = path.relative_to(base).as_posix(), path.read_bytes()
                tag = hashlib.sha256(body).hexdigest()[:20]
                files[name] = Asset(body, _TYPES[path.suffix], tag)
                whole.update(f"{name}:{tag}\n".encode())
    return Assets(files, whole.hexdigest()[:16])
