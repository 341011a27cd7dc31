"""What a method of checking is.

A method makes a secret for a started check, and judges an answer. Must not count tries: `life.py` does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from aparte.store.checks import Check
from aparte.vault import Vault


@dataclass(frozen=True, slots=True)
class Method:
    """`issue` returns a new secret and what is stored to judge it by; `verify` says whether an answer is right."""

    name: str
    issue: Callable[[Vault, Check], tuple[str, bytes]]
    verify: Callable[[Vault, Check, str], bool]
