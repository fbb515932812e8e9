"""The memory cache backend: entries in a bounded dict, with indexes for expiry and eviction."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from math import inf
from typing import TypeAlias

from attrs import evolve

from fpa_core.cache.fork import fork_safe_lock
from fpa_core.protocols import Capability, Entry, RemovalCause, RemovalListener, Usage
from fpa_plugins.memory.expiry import Expiry
from fpa_plugins.memory.policies import Lru, Policy, S3Fifo

__all__ = ["LruMemoryCache", "MemoryCache"]

MAX_GENERATIONS = 100_000
"""The largest number of tags with their own generations. Beyond it, all are dropped and a new common one starts."""

SWEEP_PER_PUT = 2
"""Expired entries removed with each put: more than are added, so that none accumulate in a busy cache and no put waits for a long sweep."""


Dropped: TypeAlias = list[tuple[str, Entry, RemovalCause]]
"""Entries removed under the lock. They are released and reported to watchers outside it."""


class MemoryCache:
    """The memory cache with S3-FIFO.

    A hit takes no lock: it is one lookup in a dict. All other operations hold one lock. Values are released after the lock, because their
    finalizers are foreign code, as are watchers.
    """

    capabilities: frozenset[Capability] = frozenset()

    def __init__(self, *, max_entries: int = 100_000, max_bytes: int | None = None) -> None:
        self._max_entries = max_entries
        self._max_bytes = inf if max_bytes is None else max_bytes
        self._lock = fork_safe_lock()
        self._evicted: Counter[str] = Counter()
        self._watchers: tuple[RemovalListener, ...] = ()
        self._serial = itertools.count(1)
        self._base = 0  # the generation of tags never bumped
        self._generations: dict[str, int] = {}
        self._entries: dict[str, Entry] = {}
        self._bytes = 0
        self._expiry = Expiry()
        self._policy = self._make_policy()

    def _make_policy(self) -> Policy:
        return S3Fifo(self._entries)

    @property
    def get(self) -> Callable[[str], Entry | None]:
        """The function that returns the entry of a key, expired or not, or None. It is the dict's own method, which is faster than a wrapper."""
        return self._entries.get

    def get_many(self, keys: Iterable[str]) -> dict[str, Entry]:
        """Return the existing entries of *keys*, by key."""
        return {key: entry for key in keys if (entry := self.get(key)) is not None}

    def put(self, key: str, entry: Entry, *, fence: Mapping[str, int] | None = None) -> bool:
        """Store the entry unless it is too large or a generation in *fence* has changed."""
        dropped: Dropped = []  # must outlive the lock below, together with the values in it
        self._lock.acquire()  # acquired by hand, because this runs on every write and a with statement takes twice as long
        try:
            if fence is not None and not self._stands(fence):
                return False
            if self._expiry.first <= entry.stored_at:
                self._sweep(entry.stored_at, SWEEP_PER_PUT, dropped)
            if key not in self._entries and entry.size <= self._max_bytes:
                self._entries[key] = entry
                self._policy.add(key)
                self._expiry.add(key, entry)
                self._bytes += entry.size
                kept = True
            else:
                kept = self._replace(key, entry, dropped)
            if self._bytes > self._max_bytes or len(self._entries) > self._max_entries:
                self._make_room(dropped)
                kept = kept and key in self._entries
        finally:
            self._lock.release()
        if dropped and self._watchers:
            self._tell(dropped)
        return kept

    def touch(self, key: str, expires_at: float | None, keep_until: float | None) -> bool:
        """Change the times of the entry."""
        with self._lock:
            old = self._entries.get(key)
            if old is None:
                return False
            self._entries[key] = entry = evolve(old, expires_at=expires_at, keep_until=keep_until)
            self._expiry.replace(key, old, entry)
            return True

    def delete(self, key: str) -> bool:
        """Delete the entry, and return whether there was one."""
        dropped: Dropped = []
        with self._lock:
            return self._remove(key, RemovalCause.EXPLICIT, dropped)

    def delete_many(self, keys: Sequence[str]) -> list[str]:
        """Delete the entries of *keys*, and return those for which there was one."""
        dropped: Dropped = []
        with self._lock:
            for key in keys:
                self._remove(key, RemovalCause.EXPLICIT, dropped)
        return [key for key, *_ in dropped]

    def keys(self, prefix: str = "") -> Iterator[str]:
        """Yield the keys that begin with *prefix*, as they were at the first step."""
        with self._lock:
            keys = list(self._entries)
        yield from (key for key in keys if key.startswith(prefix))

    def generations(self, tags: Sequence[str]) -> dict[str, int]:
        """Return the current generation of each tag."""
        while True:
            base, known = self._base, self._generations
            found = {tag: known.get(tag, base) for tag in tags}
            if known is self._generations:  # otherwise all were dropped meanwhile, and base is outdated
                return found

    def bump(self, tags: Sequence[str]) -> None:
        """Give each tag a new generation."""
        with self._lock:
            if len(self._generations) + len(tags) > MAX_GENERATIONS:
                self._base, self._generations = next(self._serial), {}
            for tag in tags:
                self._generations[tag] = next(self._serial)

    def purge(self, now: float, limit: int | None = None) -> int:
        """Delete at most *limit* entries that are useless at *now*, to the second."""
        purged = 0
        while limit is None or purged < limit:
            dropped: Dropped = []
            step = 1000 if limit is None else min(limit - purged, 1000)  # let others take the lock in between
            with self._lock:
                self._sweep(now, step, dropped)
            self._tell(dropped)
            purged += len(dropped)
            if len(dropped) < step:
                break
        return purged

    def clear(self) -> int:
        """Delete all entries and return their number."""
        with self._lock:
            dropped = self._entries.copy()
            self._entries.clear()
            self._policy, self._expiry, self._bytes = self._make_policy(), Expiry(), 0
        return len(dropped)

    def usage(self) -> Usage:
        """Return the usage of the cache."""
        return Usage(len(self._entries), self._bytes, dict(self._evicted))

    def add_removal_listener(self, listener: RemovalListener) -> None:
        """Notify *listener* of entries that expire or are evicted."""
        with self._lock:
            self._watchers = (*self._watchers, listener)

    def close(self) -> None:
        """Release all entries."""
        self.clear()

    def _tell(self, dropped: Dropped) -> None:
        for watcher in self._watchers:
            for key, entry, cause in dropped:
                watcher(key, cause if self._stands(entry.tags) else RemovalCause.INVALIDATED)

    # Under the lock

    def _stands(self, fence: Mapping[str, int]) -> bool:
        return all(self._generations.get(tag, self._base) == generation for tag, generation in fence.items())

    def _replace(self, key: str, entry: Entry, dropped: Dropped) -> bool:
        """Replace an existing entry by *entry*. If *entry* is too large it is not stored, but the old one is removed nevertheless."""
        if entry.size > self._max_bytes:
            self._evicted["oversize"] += 1
            self._remove(key, RemovalCause.EVICTED, dropped)
            return False
        old, self._entries[key] = self._entries[key], entry
        entry.uses = old.uses
        self._expiry.replace(key, old, entry)
        self._bytes += entry.size - old.size
        until = old.expires_at if old.keep_until is None else old.keep_until
        over = until is not None and until <= entry.stored_at
        dropped.append((key, old, RemovalCause.EXPIRED if over else RemovalCause.REPLACED))
        return True

    def _make_room(self, dropped: Dropped) -> None:
        while self._bytes > self._max_bytes or len(self._entries) > self._max_entries:
            self._evicted["size"] += 1
            self._forget(self._policy.evict(), RemovalCause.EVICTED, dropped)

    def _remove(self, key: str, cause: RemovalCause, dropped: Dropped) -> bool:
        if key not in self._entries:
            return False
        self._policy.discard(key)
        self._forget(key, cause, dropped)
        return True

    def _forget(self, key: str, cause: RemovalCause, dropped: Dropped) -> None:
        entry = self._entries.pop(key)
        self._expiry.discard(key, entry)
        self._bytes -= entry.size
        dropped.append((key, entry, cause))

    def _sweep(self, now: float, limit: int, dropped: Dropped) -> None:
        for key in islice(self._expiry.due(now), limit):
            self._evicted["expired"] += 1
            self._remove(key, RemovalCause.EXPIRED, dropped)


class LruMemoryCache(MemoryCache):
    """The memory cache with LRU."""

    _policy: Lru

    def _make_policy(self) -> Lru:
        return Lru()

    @property
    def get(self) -> Callable[[str], Entry | None]:
        """The function that returns the entry of a key, expired or not, or None."""
        return self._use

    def _use(self, key: str) -> Entry | None:
        with self._lock:
            entry = self._entries.get(key)
            if entry is not None:
                self._policy.use(key)
            return entry
