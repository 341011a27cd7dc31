"""The settings: environment and one TOML file become one frozen `Settings`.

Knows every setting, its default and what makes it wrong. Must not open the store, the key ring or a socket.
"""

from __future__ import annotations

from aparte.config.database import Database
from aparte.config.reading import CONFIG_VARIABLE, DEFAULT_FILE, PREFIX, load
from aparte.config.rules import check_places, is_host, is_loopback, is_public, read_secret, wrong_origin, wrong_secret
from aparte.config.settings import CHOICES, Settings, ranges

__all__ = [
    "CHOICES",
    "CONFIG_VARIABLE",
    "DEFAULT_FILE",
    "PREFIX",
    "Database",
    "Settings",
    "check_places",
    "is_host",
    "is_loopback",
    "is_public",
    "load",
    "ranges",
    "read_secret",
    "wrong_origin",
    "wrong_secret",
]
