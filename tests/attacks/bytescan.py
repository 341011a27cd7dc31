"""Looks for words in everything that lies on a disk, however they are written down.

Knows encodings and containers. Must not know what the words mean or who wrote the files. Finds nothing that was
encrypted, which is the point.
"""

from __future__ import annotations

import base64
import contextlib
import gzip
import json
import zlib
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import quote

_GZIP = b"\x1f\x8b\x08"
_ZLIB = (b"\x78\x01", b"\x78\x5e", b"\x78\x9c", b"\x78\xda")
_PACKED = 1 << 16  # bytes of one packed member that are looked into


def _base64(data: bytes) -> set[bytes]:
    """What of base64 is sure to be there, wherever `data` begins within a group of three."""
    found = set()
    for before in range(3):
        code = base64.b64encode(b"\0" * before + data)
        start = (0, 2, 3)[before]  # the characters that the bytes before have a part in
        sure = (before + len(data)) * 8 // 6  # those that the bytes after have a part in are not sure
        found |= {code[start:sure], code[start:sure].translate(bytes.maketrans(b"+/", b"-_"))}
    return found


def written(word: str) -> set[bytes]:
    """The ways in which a word may lie in a file. What is longer than a name or an address is looked for as it is."""
    ways: set[bytes] = set()
    for text in {word} if len(word) > 30 else {word, word.lower(), word.upper(), word.casefold()}:
        plain = text.encode()
        for data in (plain, text.encode("utf-16-le"), text.encode("utf-16-be")):
            ways |= {data, data.hex().encode(), data.hex().upper().encode()} | _base64(data)
        ways |= {json.dumps(text)[1:-1].encode(), quote(text).encode(), quote(text, safe="").lower().encode()}
    return ways


def _members(data: bytes) -> Iterable[bytes]:
    """What is packed inside, by gzip or zlib, from wherever it begins."""
    for head in (_GZIP, *_ZLIB):
        at = data.find(head)
        while at >= 0:
            unpack = zlib.decompressobj(31 if head == _GZIP else 15)
            with contextlib.suppress(zlib.error):  # two or three bytes that only look like a beginning
                yield unpack.decompress(data[at : at + _PACKED], 16 * _PACKED)
            at = data.find(head, at + 1)


def scan(folders: Iterable[Path], words: Iterable[str]) -> list[str]:
    """Every hit as "path: word". Names of files and folders count as content."""
    ways = {word: sorted(written(word)) for word in words}
    hits = []
    for path in sorted(file for folder in folders for file in folder.rglob("*")):
        contents = [str(path.name).encode()]
        if path.is_file():
            data = path.read_bytes()
            contents += [data, *_members(data)]
        hits += [
            f"{path}: {word}" for word, forms in ways.items() if any(form in one for one in contents for form in forms)
        ]
    return hits


def plant(folder: Path, word: str) -> dict[str, Path]:
    """Files that hold the word in every way that a leak could write it: what proves that `scan` is not blind."""
    plain = word.encode()
    noise = bytes(range(256))
    files = {
        "utf8": noise + plain + noise,
        "utf16": noise + word.encode("utf-16-le"),
        "utf16be": word.encode("utf-16-be") + noise,
        "base64-0": base64.b64encode(b"abc" + plain + b"xy"),
        "base64-1": base64.b64encode(b"abcd" + plain),
        "base64-2": base64.urlsafe_b64encode(b"ab" + plain + b"x"),
        "json": json.dumps({"text": f"so {word} says"}).encode(),
        "hex": (noise[:3] + plain).hex().encode(),
        "percent": quote(f"?q={word}").encode(),
        "upper": word.upper().encode(),
        "gzip": noise + gzip.compress(b"before " + plain) + noise,
        "zlib": zlib.compress(plain + b" after"),
    }
    for name, data in files.items():
        (folder / name).write_bytes(data)
    (folder / f"name-{word}").write_bytes(b"")
    return {name: folder / name for name in (*files, f"name-{word}")}
