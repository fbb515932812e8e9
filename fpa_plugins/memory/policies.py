"""Who goes when the cache is full."""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import Protocol

from fpa_core.protocols import Entry, Miss

__all__ = ["SATURATION", "Lru", "Node", "Policy", "S3Fifo"]

SATURATION = 3
"""Uses that S3-FIFO tells apart; more make no difference."""


class Node:
    """A place in the cache.

    :ivar entry: what is there, MISS once it has left the cache; ``key`` under which key.
    :ivar uses: how often it was used lately, up to what the policy tells apart.
    :ivar proven: whether it is in the main queue; ``gone`` whether it left the cache, and only its queue has not noticed.
    :ivar due: the second its expiry is due.
    """

    __slots__ = ("due", "entry", "gone", "key", "proven", "uses")

    def __init__(self, key: str, entry: Entry) -> None:
        self.key = key
        self.entry: Entry | Miss = entry
        self.uses = 0
        self.proven = self.gone = False
        self.due: int | None = None


class Policy(Protocol):
    """Keeps nodes in an order of its own. Called under the cache's lock."""

    def add(self, node: Node) -> None:
        """Take in a new node."""
        ...

    def discard(self, node: Node) -> None:
        """Forget a node that is there."""
        ...

    def evict(self) -> Node:
        """Forget the node that is worth least, and return it; there is at least one."""
        ...


class S3Fifo:
    """S3-FIFO: three queues, and hits that only raise a number on the node, so that they need no lock and no reordering.

    New keys wait in a small queue, a tenth of the cache. Those used while they wait move to the main queue; the rest go, and only their
    names are remembered: one that returns soon goes straight to the main queue. The main queue gives a used key another round. A scan of keys
    used once therefore passes through the small queue and leaves the main one alone.
    """

    def __init__(self, max_entries: int) -> None:
        self._max_entries = max_entries
        self._small = Queue()
        self._main = Queue()
        self._ghosts: OrderedDict[int, None] = OrderedDict()  # hashes: a collision costs a place, not a mistake

    def add(self, node: Node) -> None:
        """Take in a new node."""
        if self._ghosts and self._ghosts.pop(hash(node.key), self) is None:
            node.proven = True
            self._main.nodes.append(node)
        else:
            self._small.nodes.append(node)

    def discard(self, node: Node) -> None:
        """Forget a node that is there."""
        (self._main if node.proven else self._small).discard(node)

    def evict(self) -> Node:
        """Forget the node that is worth least, and return it."""
        small, main = self._small, self._main
        while True:
            in_small = len(small)
            if in_small and (not (in_main := len(main)) or 9 * in_small >= in_main):
                node = small.pop()
                if not node.uses:
                    self._remember(node.key)
                    return node
                node.proven = True
                node.uses = 0
            else:
                node = main.pop()
                if not node.uses:
                    return node
                node.uses -= 1
            main.nodes.append(node)

    def _remember(self, key: str) -> None:
        self._ghosts[hash(key)] = None
        if len(self._ghosts) > max(len(self._main), len(self._small)):
            self._ghosts.popitem(last=False)


class Queue:
    """Nodes in the order they came. Those taken out of the middle stay until they are met, or are half of all."""

    __slots__ = ("_gone", "nodes")

    def __init__(self) -> None:
        self.nodes: deque[Node] = deque()
        self._gone = 0

    def __len__(self) -> int:
        return len(self.nodes) - self._gone

    def pop(self) -> Node:
        """Take out the oldest."""
        while True:
            node = self.nodes.popleft()
            if not node.gone:
                return node
            self._gone -= 1

    def discard(self, node: Node) -> None:
        """Take out *node*, which is among them."""
        node.gone = True
        self._gone += 1
        if 2 * self._gone > len(self.nodes):
            self.nodes = deque(each for each in self.nodes if not each.gone)
            self._gone = 0


class Lru:
    """Least recently used first. Its hits reorder, under the lock."""

    def __init__(self, max_entries: int) -> None:  # noqa: ARG002 - the same call makes either policy
        self._order: OrderedDict[str, Node] = OrderedDict()

    def add(self, node: Node) -> None:
        """Take in a new node."""
        self._order[node.key] = node

    def use(self, node: Node) -> None:
        """Note a hit."""
        self._order.move_to_end(node.key)

    def discard(self, node: Node) -> None:
        """Forget a node that is there."""
        del self._order[node.key]

    def evict(self) -> Node:
        """Forget the node that is worth least, and return it."""
        return self._order.popitem(last=False)[1]
