"""Two caches as one backend: a near one in this process in front of a far one, which has the say.

How the near copies are kept from being older than they may: each carries the generations of the entry's tags and of its key's fences, read
from the far cache *before* its value was; a copy is given out only while these stand there. So what ends an entry anywhere ends its copies
everywhere: a tag, a pattern, a deletion. And each carries the number of the last write of this process to its key's slot; a write gives the
slot a new number, so a copy that was made beside it is never given out after it.

What is left: a value that *another* process replaces without ending the old one shows here when the copy's lifetime is over.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final

from attrs import define, evolve

from fpa_core.cache.fork import fork_safe_lock
from fpa_core.cache.keys import fences_of
from fpa_core.cache.values import UNREADABLE, bare, hold
from fpa_core.envelope import EnvelopeError, decode, encode
from fpa_core.exceptions import CacheError
from fpa_core.protocols import CacheBackend, Capability, Entry, RemovalWatcher, Usage

__all__ = ["TieredCache"]

SLOTS: Final = 4096
"""Numbers of writes that are kept; keys share them by hash, which costs a copy now and then."""


@define
class _Copy:
    """What the near cache keeps as a value: the entry as it is given out, what must still stand for that, and the slot's number."""

    entry: Entry
    generations: Mapping[str, int]
    write: int


class TieredCache:
    """A backend made of two. The times of entries are the same in both, so a copy lives for what remained of the entry's life.

    :param near: a cache that keeps objects in this process, as ``memory`` does, and that nobody else uses.
    :param far: the cache behind it, of any kind; listing, statistics and removals are its.
    :param clock: seconds, as :class:`~fpa_core.cache.DataCache` over this has them.
    :raises CacheError: when *near* keeps bytes.
    """

    def __init__(self, near: CacheBackend, far: CacheBackend, *, clock: Callable[[], float] = time.time) -> None:
        if Capability.STORES_BYTES in near.capabilities:
            raise CacheError(
                "the first of two caches must keep objects in this process", hint='as in backend = ["memory", "disk"]'
            )
        self.capabilities = far.capabilities - {Capability.STORES_BYTES}
        self._encodes = Capability.STORES_BYTES in far.capabilities
        self._near = near
        self._far = far
        self._clock = clock
        self._lock = fork_safe_lock()
        self._serial = itertools.count(1)
        self._writes = [0] * SLOTS

    def get(self, key: str) -> Entry | None:
        """Return the near copy while it stands, else what the far cache has, and keep a copy."""
        copy = self._copy(key)
        if copy is not None and self._far.generations(tuple(copy.generations)) == copy.generations:
            return copy.entry
        return self._fetch((key,)).get(key)

    def get_many(self, keys: Iterable[str]) -> dict[str, Entry]:
        """Return those of the entries that are there, asking the far cache once for generations and once for the rest."""
        wanted = tuple(keys)
        copies = {key: copy for key in wanted if (copy := self._copy(key)) is not None}
        names = {name for copy in copies.values() for name in copy.generations}
        present = self._far.generations(tuple(names)) if names else {}
        found = {
            key: copy.entry
            for key, copy in copies.items()
            if all(present[name] == generation for name, generation in copy.generations.items())
        }
        return found | self._fetch([key for key in wanted if key not in found])

    def put(self, key: str, entry: Entry, *, fence: Mapping[str, int] | None = None) -> bool:
        """Keep the entry in the far cache, and a copy unless another write to its slot went on beside this one."""
        stands = self._far.generations(fences_of(key)) if fence is None else fence
        write = self._begin(key)
        try:
            kept = self._far.put(key, self._outward(entry), fence=fence)
        finally:
            alone, after = self._end(key, write)
        if kept and alone:
            self._keep_copy(key, entry, stands, after)
        else:
            self._near.delete(key)
        return kept

    def touch(self, key: str, expires_at: float | None, keep_until: float | None) -> bool:
        """Give the entry other times."""
        write = self._begin(key)
        try:
            return self._far.touch(key, expires_at, keep_until)
        finally:
            self._end(key, write)

    def delete(self, key: str) -> bool:
        """Forget the entry; tell whether there was one."""
        write = self._begin(key)
        try:
            return self._far.delete(key)
        finally:
            self._end(key, write)
            self._near.delete(key)

    def keys(self, prefix: str = "") -> Iterator[str]:
        """Yield the keys that begin with *prefix*."""
        return self._far.keys(prefix)

    def generations(self, tags: Sequence[str]) -> Mapping[str, int]:
        """Return the present generation of each tag, which is that of the far cache."""
        return self._far.generations(tags)

    def bump(self, tags: Sequence[str]) -> None:
        """Give each tag a generation it never had."""
        self._far.bump(tags)

    def purge(self, now: float, limit: int | None = None) -> int:
        """Drop entries past use from both; return how many the far cache had."""
        self._near.purge(now, limit)
        return self._far.purge(now, limit)

    def clear(self) -> int:
        """Drop every entry and return how many there were."""
        try:
            return self._far.clear()
        finally:
            with self._lock:
                self._writes = [next(self._serial)] * SLOTS
            self._near.clear()

    def usage(self) -> Usage:
        """Tell how full the far cache is; evictions of the near one are those whose cause begins with ``near``."""
        far = self._far.usage()
        near = {f"near {cause}": count for cause, count in self._near.usage().evicted.items()}
        return evolve(far, evicted={**far.evicted, **near})

    def watch(self, watcher: RemovalWatcher) -> None:
        """Tell *watcher* of entries that leave the far cache; one that only leaves the near one is still there."""
        self._far.watch(watcher)

    def close(self) -> None:
        """Close both."""
        try:
            self._near.close()
        finally:
            self._far.close()

    # Copies

    def _copy(self, key: str) -> _Copy | None:
        """Return the near copy if nothing known here speaks against it."""
        near = self._near.get(key)
        if near is None:
            return None
        copy: _Copy = near.value
        if copy.write != self._writes[hash(key) % SLOTS]:
            return None
        # Past its time the far cache may have what another process put there since.
        return copy if near.expires_at is None or self._clock() < near.expires_at else None

    def _fetch(self, keys: Sequence[str]) -> dict[str, Entry]:
        """Return what the far cache has of *keys*, and keep copies."""
        if not keys:
            return {}
        # Before the entries are read: whatever ends or replaces one after this makes the copy void.
        writes = {key: self._writes[hash(key) % SLOTS] for key in keys}
        fences = {key: fences_of(key) for key in keys}
        present = self._far.generations(tuple({name for names in fences.values() for name in names}))
        single = len(keys) == 1  # most backends answer one more quickly than many
        found = {key: self._far.get(key) for key in keys} if single else self._far.get_many(keys)
        entries: dict[str, Entry] = {}
        for key, entry in found.items():
            if entry is not None:
                entries[key] = held = self._inward(entry)
                if held.value is not UNREADABLE:
                    self._keep_copy(key, held, {name: present[name] for name in fences[key]}, writes[key])
        return entries

    def _keep_copy(self, key: str, entry: Entry, stands: Mapping[str, int], write: int) -> None:
        copy = _Copy(evolve(entry, standing=True), {**entry.tags, **stands}, write)
        self._near.put(key, evolve(entry, value=copy, tags={}))

    def _outward(self, entry: Entry) -> Entry:
        if not self._encodes:
            return entry
        content = encode(bare(entry.value))
        return evolve(entry, value=content, size=len(content))

    def _inward(self, entry: Entry) -> Entry:
        if not self._encodes:
            return entry
        try:
            value, size = hold(decode(entry.value))
        except EnvelopeError:
            value, size = UNREADABLE, 0
        return evolve(entry, value=value, size=size, standing=entry.standing)

    # Writes: the slot's number changes before and after, so whoever read it in between, or began before, is found out.

    def _begin(self, key: str) -> int:
        with self._lock:
            self._writes[hash(key) % SLOTS] = write = next(self._serial)
        return write

    def _end(self, key: str, write: int) -> tuple[bool, int]:
        """Return whether no other write to the slot began or ended since *write*, and the number copies may carry from now on."""
        slot = hash(key) % SLOTS
        with self._lock:
            alone = self._writes[slot] == write
            self._writes[slot] = after = next(self._serial)
        return alone, after
