"""Entries in a dict, bounded, with expiry in steps of seconds and an eviction policy beside it."""

from __future__ import annotations

import heapq
import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from attrs import evolve

from fpa_core.cache.fork import fork_safe_lock
from fpa_core.protocols import MISS, Capability, Entry, Miss, Usage
from fpa_plugins.memory.policies import Lru, Node, S3Fifo

__all__ = ["LruMemoryCache", "MemoryCache"]

MAX_GENERATIONS = 100_000
"""Tags whose generations are remembered one by one; beyond that all are forgotten and a new one for all begins."""

SWEEP_PER_PUT = 2
"""Expired entries dropped with each put: more than come in, so that a busy cache keeps no expired ones, and no put waits for a long sweep."""


class MemoryCache:
    """The backend, with S3-FIFO.

    A hit takes no lock: it is one dict lookup and a number raised on the node, where a lost increment does no harm. All else holds one
    lock. Values go out of existence after it was released, since their finalizers are foreign code.
    """

    capabilities: frozenset[Capability] = frozenset()

    def __init__(self, *, max_entries: int = 100_000, max_bytes: int | None = None) -> None:
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        self._lock = fork_safe_lock()
        self._bytes = 0
        self._evicted: Counter[str] = Counter()
        self._serial = itertools.count(1)
        self._base = 0  # the generation of tags never bumped
        self._generations: dict[str, int] = {}
        self._empty()

    def _empty(self) -> None:
        self._nodes: dict[str, Node] = {}
        self._policy = self._make_policy()
        self._due: dict[int, dict[str, None]] = {}  # the keys to drop in each second
        self._seconds: list[int] = []  # a heap of those seconds
        self._bytes = 0

    def _make_policy(self) -> S3Fifo | Lru:
        return S3Fifo(self._max_entries)

    def get(self, key: str) -> Entry | Miss:
        """Return the entry, expired or not, or MISS."""
        node = self._nodes.get(key)
        if node is None:
            return MISS
        if node.uses < S3Fifo.SATURATION:
            node.uses += 1
        return node.entry

    def get_many(self, keys: Iterable[str]) -> dict[str, Entry]:
        """Return those of the entries that are there."""
        return {key: entry for key in keys if (entry := self.get(key)) is not MISS}

    def put(self, key: str, entry: Entry, *, fence: Mapping[str, int] | None = None) -> bool:
        """Keep the entry unless it is too large or a generation in *fence* has moved on."""
        dropped: list[Node | Entry] = []  # outlives the lock below, and the values in it with it
        with self._lock:
            if fence is not None and not self._stands(fence):
                return False
            self._sweep(entry.stored_at, SWEEP_PER_PUT, dropped)
            if self._max_bytes is not None and entry.size > self._max_bytes:
                self._evicted["oversize"] += 1
                self._remove(key, dropped)
                return False
            node = self._nodes.get(key)
            if node is None:
                node = self._nodes[key] = Node(entry)
                self._policy.add(key, node)
            else:
                dropped.append(node.entry)
                self._bytes -= node.entry.size
                node.entry = entry
            self._bytes += entry.size
            self._schedule(key, node)
            while len(self._nodes) > self._max_entries or (
                self._max_bytes is not None and self._bytes > self._max_bytes
            ):
                self._evicted["size"] += 1
                self._forget(self._policy.evict(), dropped)
            return key in self._nodes

    def touch(self, key: str, expires_at: float | None, keep_until: float | None) -> bool:
        """Give the entry other times."""
        with self._lock:
            node = self._nodes.get(key)
            if node is None:
                return False
            node.entry = evolve(node.entry, expires_at=expires_at, keep_until=keep_until)
            self._schedule(key, node)
            return True

    def delete(self, key: str) -> bool:
        """Forget the entry; tell whether there was one."""
        dropped: list[Node | Entry] = []
        with self._lock:
            return self._remove(key, dropped)

    def keys(self, prefix: str = "") -> Iterator[str]:
        """Yield the keys that begin with *prefix*, as they were at the first step."""
        with self._lock:
            keys = list(self._nodes)
        yield from (key for key in keys if key.startswith(prefix))

    def generations(self, tags: Sequence[str]) -> dict[str, int]:
        """Return the present generation of each tag."""
        while True:
            base, known = self._base, self._generations
            found = {tag: known.get(tag, base) for tag in tags}
            if known is self._generations:  # else all were forgotten meanwhile, and base is of the past
                return found

    def bump(self, tags: Sequence[str]) -> None:
        """Give each tag a generation it never had."""
        with self._lock:
            if len(self._generations) + len(tags) > MAX_GENERATIONS:
                self._base, self._generations = next(self._serial), {}
            for tag in tags:
                self._generations[tag] = next(self._serial)

    def purge(self, now: float, limit: int | None = None) -> int:
        """Drop entries past use at *now*, to the second, at most *limit*."""
        purged = 0
        while limit is None or purged < limit:
            dropped: list[Node | Entry] = []
            step = 1000 if limit is None else min(limit - purged, 1000)  # others get at the lock in between
            with self._lock:
                self._sweep(now, step, dropped)
            purged += len(dropped)
            if len(dropped) < step:
                break
        return purged

    def clear(self) -> int:
        """Drop every entry and return how many there were."""
        with self._lock:
            old = self._nodes
            self._empty()
        return len(old)

    def usage(self) -> Usage:
        """Tell how full it is."""
        return Usage(len(self._nodes), self._bytes, dict(self._evicted))

    def close(self) -> None:
        """Let everything go."""
        self.clear()

    # Under the lock

    def _stands(self, fence: Mapping[str, int]) -> bool:
        return all(self._generations.get(tag, self._base) == generation for tag, generation in fence.items())

    def _remove(self, key: str, dropped: list[Node | Entry]) -> bool:
        node = self._nodes.get(key)
        if node is None:
            return False
        self._policy.discard(key, node)
        self._forget(key, dropped)
        return True

    def _forget(self, key: str, dropped: list[Node | Entry]) -> None:
        node = self._nodes.pop(key)
        if node.due is not None:
            del self._due[node.due][key]
        self._bytes -= node.entry.size
        dropped.append(node)

    def _schedule(self, key: str, node: Node) -> None:
        entry = node.entry
        moment = entry.expires_at if entry.keep_until is None else entry.keep_until
        due = None if moment is None else -int(-moment // 1)  # the whole second at or after it
        if due == node.due:
            return
        if node.due is not None:
            del self._due[node.due][key]
        node.due = due
        if due is None:
            return
        keys = self._due.get(due)
        if keys is None:
            keys = self._due[due] = {}
            heapq.heappush(self._seconds, due)
        keys[key] = None

    def _sweep(self, now: float, limit: int, dropped: list[Node | Entry]) -> None:
        while self._seconds and self._seconds[0] <= now and limit:
            keys = self._due[self._seconds[0]]
            while keys and limit:
                self._evicted["expired"] += 1
                self._remove(next(reversed(keys)), dropped)
                limit -= 1
            if not keys:
                del self._due[heapq.heappop(self._seconds)]


class LruMemoryCache(MemoryCache):
    """The backend, with LRU."""

    _policy: Lru

    def _make_policy(self) -> Lru:
        return Lru(self._max_entries)

    def get(self, key: str) -> Entry | Miss:
        """Return the entry, expired or not, or MISS."""
        with self._lock:
            node = self._nodes.get(key)
            if node is None:
                return MISS
            self._policy.use(key)
            return node.entry
