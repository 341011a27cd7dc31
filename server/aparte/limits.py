"""Rates in memory: how many deeds of one kind a key may do within a moving window.

Knows counts and times. Must not know what a key stands for.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import Final

KEYS: Final = 50_000  # remembered at once; the one not seen for longest is forgotten first


class Window:
    """At most `most` deeds in `seconds` per key."""

    def __init__(self, most: int, seconds: float, *, keys: int = KEYS) -> None:
        self._most = most
        self._seconds = seconds
        self._keys = keys
        self._deeds: OrderedDict[str, deque[float]] = OrderedDict()

    def take(self, key: str, now: float) -> float | None:
        """Counts a deed at `now` (seconds of any steady clock). None: go on; else the seconds to wait."""
        deeds = self._deeds.get(key)
        if deeds is None:
            deeds = self._deeds[key] = deque()
            if len(self._deeds) > self._keys:
                self._deeds.popitem(last=False)
        else:
            self._deeds.move_to_end(key)
        while deeds and deeds[0] <= now - self._seconds:
            deeds.popleft()
        if len(deeds) >= self._most:
            return deeds[0] + self._seconds - now
        deeds.append(now)
        return None


class Places:
    """At most `most` at once per key, e.g. sockets per address."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._taken: dict[str, int] = {}

    def enter(self, key: str) -> bool:
        taken = self._taken.get(key, 0)
        if taken >= self._most:
            return False
        self._taken[key] = taken + 1
        return True

    def leave(self, key: str) -> None:
        left = self._taken.get(key, 0) - 1
        if left > 0:
            self._taken[key] = left
        else:
            self._taken.pop(key, None)

    def __len__(self) -> int:
        return sum(self._taken.values())
