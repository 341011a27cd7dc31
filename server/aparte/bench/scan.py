"""Looks for texts, byte by byte, in everything that a run has left on the disk.

Knows the forms in which a text could lie there by mistake. Must not know what the files are.
"""

from __future__ import annotations

import base64
import json
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Final

SHORTEST: Final = 16  # bytes of UTF-8; shorter ones turn up by chance
_KEY: Final = 16  # bytes at a form's beginning by which it is looked up


def forms(text: str) -> set[bytes]:
    """The bytes of a text: UTF-8, UTF-16 both ways, base64 in all three alignments and both alphabets, JSON-escaped."""
    plain = text.encode("utf-8", "surrogatepass")
    found = {plain, text.encode("utf-16-le", "surrogatepass"), text.encode("utf-16-be", "surrogatepass")}
    for shift, cut in ((0, 0), (1, 2), (2, 3)):
        # Bytes before the text change the first characters, bytes after it the last: what is left is always there.
        whole = base64.b64encode(bytes(shift) + plain).rstrip(b"=")
        steady = whole[cut : (shift + len(plain)) * 8 // 6]
        found |= {steady, steady.translate(bytes.maketrans(b"+/", b"-_"))}
    for escaped in (json.dumps(text), json.dumps(text, ensure_ascii=False)):
        found.add(escaped[1:-1].encode("utf-8", "surrogatepass"))
    return found


def files(folder: Path) -> list[Path]:
    """Every plain file under a folder."""
    return sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def found_in(paths: Iterable[Path], texts: Iterable[str]) -> dict[str, Path]:
    """The texts of SHORTEST bytes or more that stand in a file in any of their forms, each with the first such file.

    Raises: OSError for a file that cannot be read.
    """
    by_key: dict[bytes, list[tuple[bytes, str]]] = defaultdict(list)
    for text in set(texts):
        if len(text.encode("utf-8", "surrogatepass")) >= SHORTEST:
            for form in forms(text):
                by_key[form[:_KEY]].append((form, text))
    found: dict[str, Path] = {}
    for path in paths:
        data = path.read_bytes()
        for at in range(len(data) - _KEY + 1):
            key = data[at : at + _KEY]
            if key in by_key:
                for form, text in by_key[key]:
                    if text not in found and data.startswith(form, at):
                        found[text] = path
    return found
