"""Checks: how the assurance of a conversation is raised, and by which methods.

Knows the registry of methods. One file per method; `life.py` is what they share.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

from aparte.identity import email_code
from aparte.identity.method import Method

__all__ = ["METHODS", "Method"]

METHODS: Final = MappingProxyType({"email_code": email_code.METHOD})
