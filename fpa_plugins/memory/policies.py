"""Who goes when the cache is full."""

from __future__ import annotations

from collections import OrderedDict
from typing import Protocol

from fpa_core.protocols import Entry

__all__ = ["Lru", "Node", "Policy", "S3Fifo"]


class Node:
    """A place in the cache: the entry, how often it was used lately, whether it is among the proven, and the second its expiry is due."""

    __slots__ = ("due", "entry", "proven", "uses")

    def __init__(self, entry: Entry) -> None:
        self.entry = entry
        self.uses = 0
        self.proven = False
        self.due: int | None = None


class Policy(Protocol):
    """Keeps keys in an order of its own. Called under the cache's lock."""

    def add(self, key: str, node: Node) -> None:
        """Take in a new key."""
        ...

    def discard(self, key: str, node: Node) -> None:
        """Forget a key that is there."""
        ...

    def evict(self) -> str:
        """Forget the key that is worth least, and return it; there is at least one."""
        ...


class S3Fifo:
    """S3-FIFO: three queues, and hits that only raise a number on the node, so that they need no lock and no reordering.

    New keys wait in a small queue, a tenth of the cache. Those used while they wait move to the main queue; the rest go, and only their
    names are remembered: one that returns soon goes straight to the main queue. The main queue gives a used key another round. A scan of keys
    used once therefore passes through the small queue and leaves the main one alone.
    """

    SATURATION = 3
    """Uses that are told apart; more make no difference."""

    def __init__(self, max_entries: int) -> None:
        self._max_entries = max_entries
        self._small: OrderedDict[str, Node] = OrderedDict()
        self._main: OrderedDict[str, Node] = OrderedDict()
        self._ghosts: OrderedDict[int, None] = OrderedDict()  # hashes: a collision costs a place, not a mistake

    def add(self, key: str, node: Node) -> None:
        """Take in a new key."""
        if self._ghosts and self._ghosts.pop(hash(key), self) is None:
            node.proven = True
            self._main[key] = node
        else:
            self._small[key] = node

    def discard(self, key: str, node: Node) -> None:
        """Forget a key that is there."""
        del (self._main if node.proven else self._small)[key]

    def evict(self) -> str:
        """Forget the key that is worth least, and return it."""
        small, main = self._small, self._main
        while True:
            if small and (not main or 10 * len(small) >= len(small) + len(main)):
                key, node = small.popitem(last=False)
                if not node.uses:
                    self._remember(key)
                    return key
                node.proven = True
            else:
                key, node = main.popitem(last=False)
                if not node.uses:
                    return key
                node.uses -= 1
                main[key] = node
                continue
            node.uses = 0
            main[key] = node

    def _remember(self, key: str) -> None:
        self._ghosts[hash(key)] = None
        if len(self._ghosts) > max(len(self._main), len(self._small)):
            self._ghosts.popitem(last=False)


class Lru:
    """Least recently used first. Its hits reorder, under the lock."""

    def __init__(self, max_entries: int) -> None:  # noqa: ARG002 - the same call makes either policy
        self._order: OrderedDict[str, None] = OrderedDict()

    def add(self, key: str, node: Node) -> None:  # noqa: ARG002
        """Take in a new key."""
        self._order[key] = None

    def use(self, key: str) -> None:
        """Note a hit."""
        self._order.move_to_end(key)

    def discard(self, key: str, node: Node) -> None:  # noqa: ARG002
        """Forget a key that is there."""
        del self._order[key]

    def evict(self) -> str:
        """Forget the key that is worth least, and return it."""
        return self._order.popitem(last=False)[0]
