"""Where the demo's pages, styles and scripts lie: in the installed package, or at the root of a checkout.

Knows paths only. Must not know what the files are for.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Final

_PLACES: Final = (
    Path(__file__).parents[1] / "_web" / "static" / "demo",
    Path(__file__).parents[3] / "static" / "demo",
)

MEDIA: Final = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".html": "text/html; charset=utf-8",
}


def media_type(name: str) -> str:
    """The media type of one of the demo's files, by its ending."""
    return MEDIA[Path(name).suffix]


@functools.cache
def demo_file(name: str) -> bytes:
    """One of the demo's own files, read once. `name` comes from our code, never from a request."""
    for place in _PLACES:
        if (place / name).is_file():
            return (place / name).read_bytes()
    raise FileNotFoundError(f"The demo's file {name} is missing from this installation.")
