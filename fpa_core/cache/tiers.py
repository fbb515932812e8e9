"""Two caches as one backend: an L1 cache in this process in front of an authoritative L2 cache.

How L1 copies are kept from being stale: each carries the generations of the entry's tags and of its key's fences, read from L2 *before* the
value was read. A copy is returned only while L2 still has these generations. So a tag, a pattern or a deletion in any process invalidates
the copies of all. Each copy also carries the number of this process's last write to its key's slot; a write gives the slot a new number, so
a copy made during a write is never returned after it.

Limitation: a value that *another* process replaces, without invalidating the old one, is seen here when the copy expires.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final

from attrs import define, evolve

from fpa_core.cache.codec import DecodeError, decode, encode
from fpa_core.cache.fork import fork_safe_lock
from fpa_core.cache.keys import fences_of
from fpa_core.cache.values import UNREADABLE, freeze, unwrap
from fpa_core.exceptions import ConfigError
from fpa_core.protocols import CacheBackend, Capability, Entry, RemovalListener, Usage

__all__ = ["TieredCache"]

SLOTS: Final = 4096
"""Write numbers that are kept. Keys share them by hash; a collision costs a copy."""


@define
class _Copy:
    """The value of an L1 entry: the entry to return, the generations it depends on, and the write number of its slot."""

    entry: Entry
    generations: Mapping[str, int]
    write: int


class TieredCache:
    """A backend made of two. An entry expires at the same time in both.

    :param l1: a cache that keeps objects in this process, as ``memory`` does, and that is used by nothing else.
    :param l2: the cache behind it, of any kind; listing, statistics and removals are those of L2.
    :param clock: seconds; the clock of the :class:`~fpa_core.cache.DataCache` that uses this backend.
    :raises ConfigError: if *l1* stores bytes.
    """

    def __init__(self, l1: CacheBackend, l2: CacheBackend, *, clock: Callable[[], float] = time.time) -> None:
        if Capability.STORES_BYTES in l1.capabilities:
            raise ConfigError(
                "the first of two caches must keep objects in this process", hint='as in backend = ["memory", "disk"]'
            )
        self.capabilities = l2.capabilities - {Capability.STORES_BYTES}
        self._encodes = Capability.STORES_BYTES in l2.capabilities
        self._l1 = l1
        self._l2 = l2
        self._clock = clock
        self._lock = fork_safe_lock()
        self._serial = itertools.count(1)
        self._writes = [0] * SLOTS

    def get(self, key: str) -> Entry | None:
        """Return the L1 copy if it is still valid, else the entry of L2, and keep a copy."""
        copy = self._copy(key)
        if copy is not None and self._l2.generations(tuple(copy.generations)) == copy.generations:
            return copy.entry
        return self._fetch((key,)).get(key)

    def get_many(self, keys: Iterable[str]) -> dict[str, Entry]:
        """Return the entries that exist, asking L2 once for generations and once for the rest."""
        wanted = tuple(keys)
        copies = {key: copy for key in wanted if (copy := self._copy(key)) is not None}
        names = {name for copy in copies.values() for name in copy.generations}
        present = self._l2.generations(tuple(names)) if names else {}
        found = {
            key: copy.entry
            for key, copy in copies.items()
            if all(present[name] == generation for name, generation in copy.generations.items())
        }
        return found | self._fetch([key for key in wanted if key not in found])

    def put(self, key: str, entry: Entry, *, fence: Mapping[str, int] | None = None) -> bool:
        """Store the entry in L2, and a copy in L1 unless another write to its slot was concurrent."""
        generations = self._l2.generations(fences_of(key)) if fence is None else fence
        write = self._begin(key)
        try:
            kept = self._l2.put(key, self._encode(entry), fence=fence)
        finally:
            alone, after = self._end(key, write)
        if kept and alone:
            self._keep_copy(key, entry, generations, after)
        else:
            self._l1.delete(key)
        return kept

    def touch(self, key: str, expires_at: float | None, keep_until: float | None) -> bool:
        """Change the expiry times of the entry."""
        write = self._begin(key)
        try:
            return self._l2.touch(key, expires_at, keep_until)
        finally:
            self._end(key, write)

    def delete(self, key: str) -> bool:
        """Delete the entry; return whether there was one."""
        write = self._begin(key)
        try:
            return self._l2.delete(key)
        finally:
            self._end(key, write)
            self._l1.delete(key)

    def delete_many(self, keys: Sequence[str]) -> Sequence[str]:
        """Delete the entries of *keys*; return those for which there was one."""
        writes = [(key, self._begin(key)) for key in keys]
        try:
            return self._l2.delete_many(keys)
        finally:
            for key, write in writes:
                self._end(key, write)
            self._l1.delete_many(keys)

    def keys(self, prefix: str = "") -> Iterator[str]:
        """Yield the keys that begin with *prefix*."""
        return self._l2.keys(prefix)

    def generations(self, tags: Sequence[str]) -> Mapping[str, int]:
        """Return the current generation of each tag, which is that of L2."""
        return self._l2.generations(tags)

    def bump(self, tags: Sequence[str]) -> None:
        """Give each tag a new generation."""
        self._l2.bump(tags)

    def purge(self, now: float, limit: int | None = None) -> int:
        """Drop expired entries from both; return how many L2 had."""
        self._l1.purge(now, limit)
        return self._l2.purge(now, limit)

    def clear(self) -> int:
        """Drop every entry and return how many there were."""
        try:
            return self._l2.clear()
        finally:
            with self._lock:
                self._writes = [next(self._serial)] * SLOTS
            self._l1.clear()

    def usage(self) -> Usage:
        """Return the usage of L2; evictions of L1 are those whose cause begins with ``l1``."""
        usage = self._l2.usage()
        of_l1 = {f"l1 {cause}": count for cause, count in self._l1.usage().evicted.items()}
        return evolve(usage, evicted={**usage.evicted, **of_l1})

    def add_removal_listener(self, listener: RemovalListener) -> None:
        """Call *listener* for entries that L2 removes; an entry that only L1 drops is still in the cache."""
        self._l2.add_removal_listener(listener)

    def close(self) -> None:
        """Close both."""
        try:
            self._l1.close()
        finally:
            self._l2.close()

    # Copies

    def _copy(self, key: str) -> _Copy | None:
        """Return the L1 copy unless it is known here to be outdated."""
        entry = self._l1.get(key)
        if entry is None:
            return None
        copy: _Copy = entry.value
        if copy.write != self._writes[hash(key) % SLOTS]:
            return None
        # After that time L2 may have an entry that another process stored since.
        return copy if entry.expires_at is None or self._clock() < entry.expires_at else None

    def _fetch(self, keys: Sequence[str]) -> dict[str, Entry]:
        """Return the entries of *keys* in L2, and keep copies."""
        if not keys:
            return {}
        # Read before the entries: what invalidates or replaces one after this also invalidates the copy.
        writes = {key: self._writes[hash(key) % SLOTS] for key in keys}
        fences = {key: fences_of(key) for key in keys}
        present = self._l2.generations(tuple({name for names in fences.values() for name in names}))
        single = len(keys) == 1  # most backends are faster for one key
        found = {key: self._l2.get(key) for key in keys} if single else self._l2.get_many(keys)
        entries: dict[str, Entry] = {}
        for key, entry in found.items():
            if entry is not None:
                entries[key] = decoded = self._decode(entry)
                if decoded.value is not UNREADABLE:
                    self._keep_copy(key, decoded, {name: present[name] for name in fences[key]}, writes[key])
        return entries

    def _keep_copy(self, key: str, entry: Entry, generations: Mapping[str, int], write: int) -> None:
        copy = _Copy(evolve(entry, tags_verified=True), {**entry.tags, **generations}, write)
        self._l1.put(key, evolve(entry, value=copy, tags={}))

    def _encode(self, entry: Entry) -> Entry:
        if not self._encodes:
            return entry
        content = encode(unwrap(entry.value))
        return evolve(entry, value=content, size=len(content))

    def _decode(self, entry: Entry) -> Entry:
        if not self._encodes:
            return entry
        try:
            value, size = freeze(decode(entry.value))
        except DecodeError:
            value, size = UNREADABLE, 0
        return evolve(entry, value=value, size=size, tags_verified=entry.tags_verified)

    # Writes: the slot's number changes before and after, so a read that overlaps a write is detected.

    def _begin(self, key: str) -> int:
        with self._lock:
            self._writes[hash(key) % SLOTS] = write = next(self._serial)
        return write

    def _end(self, key: str, write: int) -> tuple[bool, int]:
        """Return whether no other write to the slot began or ended since *write*, and the number for new copies."""
        slot = hash(key) % SLOTS
        with self._lock:
            alone = self._writes[slot] == write
            self._writes[slot] = after = next(self._serial)
        return alone, after
