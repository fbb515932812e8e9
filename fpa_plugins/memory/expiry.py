"""When entries are due to go: keys by the second, so that any number of lifetimes is swept in steps that do not grow."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from math import ceil, inf

from fpa_core.protocols import Entry

__all__ = ["Expiry"]


class Expiry:
    """The keys whose entries are past use from each second on. An entry's own times tell where its key is.

    :ivar first: the first of these seconds, infinite when there is none.
    """

    __slots__ = ("_keys", "_seconds", "first")

    def __init__(self) -> None:
        self.first: float = inf
        self._keys: dict[int, dict[str, None]] = {}
        self._seconds: list[int] = []  # a heap

    def add(self, key: str, entry: Entry) -> None:
        """Take in the key of an entry; of one that lasts for ever there is nothing to keep."""
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
        """Forget the key of an entry that was taken in."""
        if (second := _second(entry)) is not None:
            del self._keys[second][key]

    def replace(self, key: str, old: Entry, new: Entry) -> None:
        """Take in the key of *new* instead of that of *old*, which is the same key."""
        if _second(old) != _second(new):
            self.discard(key, old)
            self.add(key, new)

    def due(self, now: float) -> Iterator[str]:
        """Yield a key that is past use at *now* until there is none; each is to be discarded before the next is asked for."""
        while self.first <= now:
            keys = self._keys[self._seconds[0]]
            while keys:
                yield next(reversed(keys))
            del self._keys[heapq.heappop(self._seconds)]
            self.first = self._seconds[0] if self._seconds else inf


def _second(entry: Entry) -> int | None:
    moment = entry.expires_at if entry.keep_until is None else entry.keep_until
    return None if moment is None else ceil(moment)
