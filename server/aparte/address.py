"""E-mail addresses: what we accept as one, and how one is shown in part.

Pure. Knows only text. Must not know whose address it is, nor send anything.
"""

from __future__ import annotations

import re
from typing import Final

# RFC 5321 sizes; the dot-atom form of RFC 5322 only. Quoted local parts and address literals are refused: they are
# almost never a person's address, and they are where header injection and mis-delivery hide.
_LOCAL: Final = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*"
_LABEL: Final = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_ADDRESS: Final = re.compile(rf"({_LOCAL})@((?:{_LABEL}\.)*{_LABEL})")


def is_address(text: str) -> bool:
    """Whether `text` is one plain ASCII e-mail address and nothing else (no name, no line end, no second one)."""
    match = _ADDRESS.fullmatch(text)
    return match is not None and len(match[1]) <= 64 and len(text) <= 254


def mask(email: str) -> str:
    """`m.dupont@example.org` becomes `m•••••@e••••••.org`. To be shown after V2 only: a mask is a leak.

    The number of dots is always the same, so that it does not tell the length. A local part or a domain's name of
    one letter shows nothing of itself.
    """
    local, _, domain = email.rpartition("@")
    name, dot, top = domain.rpartition(".")
    shown = local[0] if len(local) > 1 else ""
    place = name[0] if len(name) > 1 else ""
    return f"{shown}•••••@{place}••••••{dot}{top if dot else ''}"
