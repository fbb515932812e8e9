"""Expiry of entries: keys grouped by second, so that the cost of a sweep does not grow with the number of lifetimes."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from math import ceil, inf

from fpa_core.protocols import Entry

__all__ = ["Expiry"]


class Expiry:
    """The keys by the second from which their entries are useless. The second follows from the times of the entry.

    :ivar first: the first of these seconds; infinite if there are no keys.
    """

    __slots__ = ("_keys", "_seconds", "first")

    def __init__(self) -> None:
        self.first: float = inf
        self._keys: dict[int, dict[str, None]] = {}
        self._seconds: list[int] = []  # a heap

    def add(self, key: str, entry: Entry) -> None:
        """Add the key of an entry. Entries that never expire are ignored."""
        moment = entry.keep_until
        if moment is None and (moment := entry.expires_at) is None:
            return
        second = ceil(moment)
        keys = self._keys.get(second)
        if keys is None:
            keys = self._keys[second] = {}
            heapq.heappush(self._seconds, second)
            self.first = self._seconds[0]
        keys[key] = None

    def discard(self, key: str, entry: Entry) -> None:
        """Remove the key of an entry that was added."""
        if (second := _second(entry)) is not None:
            del self._keys[second][key]

    def replace(self, key: str, old: Entry, new: Entry) -> None:
        """Move a key from the second of *old* to that of *new*; both entries have the same key."""
        if _second(old) != _second(new):
            self.discard(key, old)
            self.add(key, new)

    def due(self, now: float) -> Iterator[str]:
        """Yield keys whose entries are useless at *now*. The caller must discard each key before it requests the next."""
        while self.first <= now:
            keys = self._keys[self._seconds[0]]
            while keys:
                yield next(reversed(keys))
            del self._keys[heapq.heappop(self._seconds)]
            self.first = self._seconds[0] if self._seconds else inf


def _second(entry: Entry) -> int | None:
    moment = entry.expires_at if entry.keep_until is None else entry.keep_until
    return None if moment is None else ceil(moment)
