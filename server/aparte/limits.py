"""Rates in memory: how many deeds of one kind a key may do within some seconds.

Knows counts and times. Must not know what a key stands for.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import OrderedDict
from typing import Final

KEYS: Final = 50_000  # remembered at once; the one not seen for longest is forgotten first


class Window:
    """At most `most` deeds in `seconds` per key. A key is remembered for as long as it has deeds that count."""

    def __init__(self, most: int, seconds: float, *, keys: int = KEYS) -> None:
        self._most = most
        self._seconds = seconds
        self._keys = keys
        self._deeds: OrderedDict[str, list[float]] = OrderedDict()  # a deque would take six times the room

    def take(self, key: str, now: float) -> float | None:
        """Counts a deed at `now` (seconds of any steady clock). None: go on; else the seconds to wait."""
        deeds = self._deeds.get(key)
        if deeds is None:
            self._forget(now)
            deeds = self._deeds[key] = []
            if len(self._deeds) > self._keys:
                self._deeds.popitem(last=False)
        else:
            self._deeds.move_to_end(key)
        # Not each time: what counts no more goes when it is half of all, or in the way.
        if len(deeds) >= self._most or (deeds and deeds[len(deeds) // 2] <= now - self._seconds):
            del deeds[: bisect_right(deeds, now - self._seconds)]
        if len(deeds) >= self._most:
            return deeds[0] + self._seconds - now
        deeds.append(now)
        return None

    def count(self, key: str, now: float) -> int:
        """The deeds of a key that count now."""
        deeds = self._deeds.get(key, [])
        return len(deeds) - bisect_right(deeds, now - self._seconds)

    def _forget(self, now: float) -> None:
        """Lets go of a few keys whose deeds count no more: more than may come, so that old ones do not pile up."""
        for _ in range(2):
            key = next(iter(self._deeds), None)
            if key is None or self._deeds[key][-1] > now - self._seconds:
                return
            del self._deeds[key]


class Shares:
    """At most `most` deeds in `seconds` by all keys together, shed fairly: when they are used up, a key that has had
    less than an equal share still gets its share, until twice as many have passed in all. So who floods alone takes
    nobody else's place."""

    def __init__(self, most: int, seconds: float) -> None:
        self._most = most
        self._seconds = seconds
        self._until = 0.0
        self._taken = 0
        self._by_key: dict[str, int] = {}  # as many as deeds at most

    def take(self, key: str, now: float) -> float | None:
        """As `Window.take`; the seconds are counted in steps, not as a moving window."""
        if now >= self._until:
            self._until, self._taken = now + self._seconds, 0
            self._by_key.clear()
        had = self._by_key.get(key, 0)
        if self._taken >= self._most:
            sharers = len(self._by_key) + (not had)
            if self._taken >= 2 * self._most or had >= self._most // sharers:
                return self._until - now
        self._taken += 1
        self._by_key[key] = had + 1
        return None


class Crowd:
    """Deeds of keys that belong to groups, e.g. addresses at a site: fair shares of the group's for each key, and of
    everybody's for each group."""

    def __init__(self, each: int, together: int, seconds: float) -> None:
        """Args: each: of one group; together: of all groups."""
        self._each = each
        self._seconds = seconds
        self._groups: dict[str, Shares] = {}
        self._all = Shares(together, seconds)

    def take(self, group: str, key: str, now: float) -> float | None:
        """As `Window.take`. Groups are the operator's, so that there are few."""
        shares = self._groups.get(group)
        if shares is None:
            shares = self._groups[group] = Shares(self._each, self._seconds)
        return shares.take(key, now) or self._all.take(group, now)


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
