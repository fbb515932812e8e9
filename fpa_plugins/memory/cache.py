"""Entries in a dict, bounded, with expiry in steps of seconds and an eviction policy beside it."""

from __future__ import annotations

import heapq
import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import ceil, inf
from typing import TypeAlias

from attrs import evolve

from fpa_core.cache.fork import fork_safe_lock
from fpa_core.protocols import MISS, Capability, Entry, Miss, RemovalCause, RemovalWatcher, Usage
from fpa_plugins.memory.policies import SATURATION, Lru, Node, S3Fifo

__all__ = ["LruMemoryCache", "MemoryCache"]

MAX_GENERATIONS = 100_000
"""Tags whose generations are remembered one by one; beyond that all are forgotten and a new one for all begins."""

SWEEP_PER_PUT = 2
"""Expired entries dropped with each put: more than come in, so that a busy cache keeps no expired ones, and no put waits for a long sweep."""


Dropped: TypeAlias = list[tuple[str, Entry, RemovalCause]]
"""What was taken out under the lock, to be let go, and told of, outside it."""


# Members of an enumeration take their time to look up; these are named on every write.
_EVICTED, _EXPIRED, _EXPLICIT, _REPLACED = (
    RemovalCause.EVICTED,
    RemovalCause.EXPIRED,
    RemovalCause.EXPLICIT,
    RemovalCause.REPLACED,
)


class MemoryCache:
    """The backend, with S3-FIFO.

    A hit takes no lock: it is one dict lookup and a number raised on the node, where a lost increment does no harm. All else holds one
    lock. Values go out of existence after it was released, since their finalizers are foreign code, as watchers are.
    """

    capabilities: frozenset[Capability] = frozenset()

    def __init__(self, *, max_entries: int = 100_000, max_bytes: int | None = None) -> None:
        self._max_entries = max_entries
        self._max_bytes = inf if max_bytes is None else max_bytes
        self._lock = fork_safe_lock()
        self._evicted: Counter[str] = Counter()
        self._watchers: tuple[RemovalWatcher, ...] = ()
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
        if node.uses < SATURATION:
            node.uses += 1
        return node.entry

    def get_many(self, keys: Iterable[str]) -> dict[str, Entry]:
        """Return those of the entries that are there."""
        return {key: entry for key in keys if (entry := self.get(key)) is not MISS}

    def put(self, key: str, entry: Entry, *, fence: Mapping[str, int] | None = None) -> bool:
        """Keep the entry unless it is too large or a generation in *fence* has moved on."""
        dropped: Dropped = []  # outlives the lock below, and the values in it with it
        with self._lock:
            if fence is not None and not self._stands(fence):
                return False
            if self._seconds and self._seconds[0] <= entry.stored_at:
                self._sweep(entry.stored_at, SWEEP_PER_PUT, dropped)
            node = self._nodes.get(key)
            if node is None and (size := entry.size) <= self._max_bytes:
                self._nodes[key] = node = Node(key, entry)
                self._policy.add(node)
                self._bytes += size
                self._schedule(node, entry)
                kept = True
            else:
                kept = self._replace(key, entry, dropped)
            if len(self._nodes) > self._max_entries or self._bytes > self._max_bytes:
                self._make_room(dropped)
                kept = kept and key in self._nodes
        if dropped and self._watchers:
            self._tell(dropped)
        return kept

    def touch(self, key: str, expires_at: float | None, keep_until: float | None) -> bool:
        """Give the entry other times."""
        with self._lock:
            node = self._nodes.get(key)
            if node is None:
                return False
            assert node.entry is not MISS
            node.entry = evolve(node.entry, expires_at=expires_at, keep_until=keep_until)
            self._schedule(node, node.entry)
            return True

    def delete(self, key: str) -> bool:
        """Forget the entry; tell whether there was one."""
        dropped: Dropped = []
        with self._lock:
            return self._remove(key, _EXPLICIT, dropped)

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
            dropped: Dropped = []
            step = 1000 if limit is None else min(limit - purged, 1000)  # others get at the lock in between
            with self._lock:
                self._sweep(now, step, dropped)
            self._tell(dropped)
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

    def watch(self, watcher: RemovalWatcher) -> None:
        """Tell *watcher* of entries that go of themselves."""
        with self._lock:
            self._watchers = (*self._watchers, watcher)

    def close(self) -> None:
        """Let everything go."""
        self.clear()

    def _tell(self, dropped: Dropped) -> None:
        for watcher in self._watchers:
            for key, entry, cause in dropped:
                watcher(key, cause if self._stands(entry.tags) else RemovalCause.INVALIDATED)

    # Under the lock

    def _stands(self, fence: Mapping[str, int]) -> bool:
        return all(self._generations.get(tag, self._base) == generation for tag, generation in fence.items())

    def _replace(self, key: str, entry: Entry, dropped: Dropped) -> bool:
        """Put *entry* where there is one; one that is too large is refused, and the old one goes all the same."""
        if entry.size > self._max_bytes:
            self._evicted["oversize"] += 1
            self._remove(key, _EVICTED, dropped)
            return False
        node = self._nodes[key]
        old, node.entry = node.entry, entry
        assert old is not MISS
        over = node.due is not None and node.due <= entry.stored_at
        dropped.append((key, old, _EXPIRED if over else _REPLACED))
        self._bytes += entry.size - old.size
        self._schedule(node, entry)
        return True

    def _make_room(self, dropped: Dropped) -> None:
        while len(self._nodes) > self._max_entries or self._bytes > self._max_bytes:
            self._evicted["size"] += 1
            self._forget(self._policy.evict(), _EVICTED, dropped)

    def _remove(self, key: str, cause: RemovalCause, dropped: Dropped) -> bool:
        node = self._nodes.get(key)
        if node is None:
            return False
        self._policy.discard(node)
        self._forget(node, cause, dropped)
        return True

    def _forget(self, node: Node, cause: RemovalCause, dropped: Dropped) -> None:
        key, entry = node.key, node.entry
        assert entry is not MISS
        del self._nodes[key]
        if node.due is not None:
            del self._due[node.due][key]
        self._bytes -= entry.size
        dropped.append((key, entry, cause))
        node.entry = MISS  # a queue may hold the node for a while; the value goes at once

    def _schedule(self, node: Node, entry: Entry) -> None:
        moment = entry.expires_at if entry.keep_until is None else entry.keep_until
        due = None if moment is None else ceil(moment)
        if due == node.due:
            return
        if node.due is not None:
            del self._due[node.due][node.key]
        node.due = due
        if due is None:
            return
        keys = self._due.get(due)
        if keys is None:
            keys = self._due[due] = {}
            heapq.heappush(self._seconds, due)
        keys[node.key] = None

    def _sweep(self, now: float, limit: int, dropped: Dropped) -> None:
        while self._seconds and self._seconds[0] <= now and limit:
            keys = self._due[self._seconds[0]]
            while keys and limit:
                self._evicted["expired"] += 1
                self._remove(next(reversed(keys)), _EXPIRED, dropped)
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
            self._policy.use(node)
            return node.entry
