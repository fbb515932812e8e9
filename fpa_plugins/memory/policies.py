"""Eviction policies."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Mapping
from typing import Protocol

from fpa_core.protocols import Entry

__all__ = ["Lru", "Policy", "S3Fifo"]

SATURATION = 3
"""The largest number of uses that S3-FIFO counts."""


class Policy(Protocol):
    """An eviction policy: keeps the keys in its own order. Its methods are called under the cache's lock."""

    def add(self, key: str) -> None:
        """Add a new key."""
        ...

    def discard(self, key: str) -> None:
        """Remove an existing key."""
        ...

    def evict(self) -> str:
        """Remove and return the key to evict. There is at least one key."""
        ...


class S3Fifo:
    """S3-FIFO: three queues. A hit only increments a counter of the entry, so it needs no lock and no reordering.

    New keys enter a small queue, a tenth of the cache. Those used while they are in it move to the main queue. The others are evicted, and only
    their hashes are remembered: a key that returns soon enters the main queue directly. A used key in the main queue gets another round. A scan
    of keys used once therefore passes only through the small queue.

    :param entries: the entries of the cache; the policy reads and decrements their ``uses``.
    """

    def __init__(self, entries: Mapping[str, Entry]) -> None:
        self._entries = entries
        self._small = Line()
        self._main: OrderedDict[str, None] = OrderedDict()
        self._ghosts: OrderedDict[int, None] = OrderedDict()  # hashes: a collision only costs a place in the main queue

    def add(self, key: str) -> None:
        """Add a new key."""
        if self._ghosts and self._ghosts.pop(hash(key), self) is None:
            self._main[key] = None
        else:
            self._small.keys.append(key)

    def discard(self, key: str) -> None:
        """Remove an existing key."""
        if self._main.pop(key, self) is self:
            self._small.discard(key)

    def evict(self) -> str:
        """Remove and return the key to evict."""
        small, main = self._small, self._main
        while True:
            if (waiting := len(small)) and 9 * waiting >= len(main):
                key = small.pop()
                entry = self._entries[key]
                if not entry.uses:
                    self._remember(key)
                    return key
                entry.uses = 0
            else:
                key, _ = main.popitem(last=False)
                entry = self._entries[key]
                if not entry.uses:
                    return key
                entry.uses = min(entry.uses, SATURATION) - 1
            main[key] = None

    def _remember(self, key: str) -> None:
        self._ghosts[hash(key)] = None
        if len(self._ghosts) > max(len(self._main), len(self._small)):
            self._ghosts.popitem(last=False)


class Line:
    """A FIFO queue of keys, nearly all of which leave at the front. It costs a tenth of an OrderedDict.

    A key removed from the middle stays in place until it reaches the front, or until half of all keys are removed ones.

    :ivar keys: the keys, including removed ones; new ones are appended.
    """

    __slots__ = ("_count", "_gone", "keys")

    def __init__(self) -> None:
        self.keys: deque[str] = deque()
        self._gone: dict[str, int] = {}  # how often each was removed and not yet dropped
        self._count = 0  # their total

    def __len__(self) -> int:
        return len(self.keys) - self._count

    def pop(self) -> str:
        """Remove and return the oldest key."""
        while self._is_gone(key := self.keys.popleft()):
            pass
        return key

    def discard(self, key: str) -> None:
        """Remove *key*, which must exist."""
        self._gone[key] = self._gone.get(key, 0) + 1
        self._count += 1
        if 2 * self._count > len(self.keys):
            self.keys = deque(key for key in self.keys if not self._is_gone(key))

    def _is_gone(self, key: str) -> bool:
        """Return whether *key* at the front was removed before. Of equal keys, the earlier one was."""
        times = self._gone.pop(key, 0)
        if times > 1:
            self._gone[key] = times - 1
        self._count -= bool(times)
        return bool(times)


class Lru:
    """Evicts the least recently used key. Hits reorder the keys under the lock."""

    def __init__(self) -> None:
        self._order: OrderedDict[str, None] = OrderedDict()

    def add(self, key: str) -> None:
        """Add a new key."""
        self._order[key] = None

    def use(self, key: str) -> None:
        """Record a hit."""
        self._order.move_to_end(key)

    def discard(self, key: str) -> None:
        """Remove an existing key."""
        del self._order[key]

    def evict(self) -> str:
        """Remove and return the least recently used key."""
        return self._order.popitem(last=False)[0]
