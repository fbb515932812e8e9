"""Who goes when the cache is full."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Mapping
from typing import Protocol

from fpa_core.protocols import Entry

__all__ = ["Lru", "Policy", "S3Fifo"]

SATURATION = 3
"""Uses that S3-FIFO tells apart; more make no difference."""


class Policy(Protocol):
    """Keeps keys in an order of its own. Called under the cache's lock."""

    def add(self, key: str) -> None:
        """Take in a new key."""
        ...

    def discard(self, key: str) -> None:
        """Forget a key that is there."""
        ...

    def evict(self) -> str:
        """Forget the key whose entry is worth least, and return it; there is at least one."""
        ...


class S3Fifo:
    """S3-FIFO: three queues, and hits that only raise a number on the entry, so that they need no lock and no reordering.

    New keys wait in a small queue, a tenth of the cache. Those used while they wait move to the main queue; the rest go, and only their
    names are remembered: one that returns soon goes straight to the main queue. The main queue gives a used key another round. A scan of keys
    used once therefore passes through the small queue and leaves the main one alone.

    :param entries: those of the cache, whose ``uses`` it reads and lowers.
    """

    def __init__(self, entries: Mapping[str, Entry]) -> None:
        self._entries = entries
        self._small = Line()
        self._main: OrderedDict[str, None] = OrderedDict()
        self._ghosts: OrderedDict[int, None] = OrderedDict()  # hashes: a collision costs a place, not a mistake

    def add(self, key: str) -> None:
        """Take in a new key."""
        if self._ghosts and self._ghosts.pop(hash(key), self) is None:
            self._main[key] = None
        else:
            self._small.keys.append(key)

    def discard(self, key: str) -> None:
        """Forget a key that is there."""
        if self._main.pop(key, self) is self:
            self._small.discard(key)

    def evict(self) -> str:
        """Forget the key whose entry is worth least, and return it."""
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
    """Keys in the order they came, of which nearly all leave at the front: it costs a tenth of an OrderedDict.

    One taken out of the middle stays where it is until it is met, or until such are half of all.

    :ivar keys: the keys, those taken out among them; new ones are appended here.
    """

    __slots__ = ("_count", "_gone", "keys")

    def __init__(self) -> None:
        self.keys: deque[str] = deque()
        self._gone: dict[str, int] = {}  # how often each was taken out and not met since
        self._count = 0  # of all these

    def __len__(self) -> int:
        return len(self.keys) - self._count

    def pop(self) -> str:
        """Take out the oldest."""
        while self._is_gone(key := self.keys.popleft()):
            pass
        return key

    def discard(self, key: str) -> None:
        """Take out *key*, which is among them."""
        self._gone[key] = self._gone.get(key, 0) + 1
        self._count += 1
        if 2 * self._count > len(self.keys):
            self.keys = deque(key for key in self.keys if not self._is_gone(key))

    def _is_gone(self, key: str) -> bool:
        """Tell whether *key*, met at its place, was taken out: of equal keys the earlier one was."""
        times = self._gone.pop(key, 0)
        if times > 1:
            self._gone[key] = times - 1
        self._count -= bool(times)
        return bool(times)


class Lru:
    """Least recently used first. Its hits reorder, under the lock."""

    def __init__(self) -> None:
        self._order: OrderedDict[str, None] = OrderedDict()

    def add(self, key: str) -> None:
        """Take in a new key."""
        self._order[key] = None

    def use(self, key: str) -> None:
        """Note a hit."""
        self._order.move_to_end(key)

    def discard(self, key: str) -> None:
        """Forget a key that is there."""
        del self._order[key]

    def evict(self) -> str:
        """Forget the key that was not used for longest, and return it."""
        return self._order.popitem(last=False)[0]
