"""A whole cache backend made of four methods: what a minimal one need not have is done here."""

from __future__ import annotations

import itertools
import secrets
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias, TypeVar

from attrs import evolve

from fpa_core.cache.fork import fork_safe_lock
from fpa_core.exceptions import CacheError, FpaError
from fpa_core.protocols import Capability, Entry, MinimalCache, RemovalCause, RemovalListener, Usage

__all__ = ["CompletedCache"]

T = TypeVar("T")

MAX_GENERATIONS = 100_000
"""The largest number of tags with their own generations. Beyond it, all are dropped and a new common one starts."""

STEP = 256
"""Entries looked at by a purge before other threads get the lock."""

Removed: TypeAlias = list[tuple[str, RemovalCause]]


class CompletedCache:
    """A :class:`~fpa_core.protocols.CacheBackend` over a :class:`~fpa_core.protocols.MinimalCache` of this process.

    It adds reading of many keys, fences and generations, touching, purging, usage, removal listeners and typed errors. Purging, listing and
    :meth:`usage` look at every entry.

    :param minimal: the four methods.
    :param stores_bytes: whether values must be bytes.
    :param close: called once when the cache is closed; None if there is nothing to release.
    """

    def __init__(
        self, minimal: MinimalCache, *, stores_bytes: bool = False, close: Callable[[], None] | None = None
    ) -> None:
        self.capabilities = frozenset({Capability.STORES_BYTES} if stores_bytes else ())
        self._minimal = minimal
        self._close = close
        self._closed = False
        self._lock = fork_safe_lock()
        self._evicted: Counter[str] = Counter()
        self._listeners: tuple[RemovalListener, ...] = ()
        self._serial = itertools.count(secrets.randbits(61))
        self._base = next(self._serial)
        self._generations: dict[str, int] = {}

    def get(self, key: str, /) -> Entry | None:
        """Return the entry, expired or not, or None."""
        return self._call(self._minimal.get, key)

    def get_many(self, keys: Iterable[str]) -> dict[str, Entry]:
        """Return the existing entries of *keys*, by key."""
        return {key: entry for key in keys if (entry := self.get(key)) is not None}

    def put(self, key: str, entry: Entry, *, fence: Mapping[str, int] | None = None) -> bool:
        """Store the entry unless it is too large or a generation in *fence* has changed."""
        removed: Removed = []
        with self._lock:
            if fence is not None and not self._current(fence):
                return False
            stored = self._put(key, entry, removed)
        self._notify(removed)
        return stored

    def touch(self, key: str, expires_at: float | None, keep_until: float | None) -> bool:
        """Change the times of the entry."""
        removed: Removed = []
        with self._lock:
            if (old := self.get(key)) is None:
                return False
            touched = self._put(key, evolve(old, expires_at=expires_at, keep_until=keep_until), removed)
        self._notify([(name, cause) for name, cause in removed if name != key])
        return touched

    def delete(self, key: str) -> bool:
        """Delete the entry, and return whether there was one."""
        with self._lock:
            return self._call(self._minimal.delete, key)

    def delete_many(self, keys: Sequence[str]) -> list[str]:
        """Delete the entries of *keys*, and return those for which there was one."""
        with self._lock:
            return [key for key in keys if self._call(self._minimal.delete, key)]

    def keys(self, prefix: str = "") -> Iterator[str]:
        """Yield the keys that begin with *prefix*, as they were at the first step."""
        with self._lock:
            keys = list(self._call(self._minimal.keys))
        yield from (key for key in keys if key.startswith(prefix))

    def generations(self, tags: Sequence[str]) -> dict[str, int]:
        """Return the current generation of each tag."""
        with self._lock:
            return {tag: self._generations.get(tag, self._base) for tag in tags}

    def bump(self, tags: Sequence[str]) -> None:
        """Give each tag a new generation."""
        with self._lock:
            if len(self._generations) + len(tags) > MAX_GENERATIONS:
                self._base, self._generations = next(self._serial), {}
            self._generations.update({tag: next(self._serial) for tag in tags})

    def purge(self, now: float, limit: int | None = None) -> int:
        """Delete at most *limit* entries that are useless at *now*."""
        purged = 0
        keys = list(self.keys())
        for start in range(0, len(keys), STEP):
            removed: Removed = []
            with self._lock:
                for key in keys[start : start + STEP]:
                    if limit is not None and purged >= limit:
                        break
                    if (entry := self.get(key)) is not None and _is_over(entry, now):
                        removed.append((key, self._cause(entry, now)))
                        purged += self._call(self._minimal.delete, key)
                self._evicted["expired"] += len(removed)
            self._notify(removed)
        return purged

    def clear(self) -> int:
        """Delete all entries and return their number."""
        with self._lock:
            return sum(self._call(self._minimal.delete, key) for key in list(self._call(self._minimal.keys)))

    def usage(self) -> Usage:
        """Return the usage, counted entry by entry."""
        found = self.get_many(self.keys())
        return Usage(len(found), sum(entry.size for entry in found.values()), dict(self._evicted))

    def add_removal_listener(self, listener: RemovalListener) -> None:
        """Notify *listener* of entries that expire, or are evicted or replaced."""
        with self._lock:
            self._listeners = (*self._listeners, listener)

    def close(self) -> None:
        """Release what the minimal cache holds."""
        with self._lock:
            closed, self._closed = self._closed, True
        if not closed and self._close is not None:
            self._call(self._close)

    # Under the lock

    def _current(self, fence: Mapping[str, int]) -> bool:
        return all(self._generations.get(tag, self._base) == generation for tag, generation in fence.items())

    def _put(self, key: str, entry: Entry, removed: Removed) -> bool:
        """Store the entry and add to *removed* what it replaced and evicted."""
        old = self.get(key)
        evicted = self._call(self._minimal.put, key, entry)
        stored = key not in evicted
        self._evicted["size"] += len(evicted) - (not stored)
        self._evicted["oversize"] += not stored
        if old is not None and stored:
            removed.append((key, self._cause(old, entry.stored_at)))
        removed += [(name, RemovalCause.EVICTED) for name in evicted if name != key or old is not None]
        return stored

    def _cause(self, entry: Entry, now: float) -> RemovalCause:
        """Return why an entry that is replaced, or purged, leaves."""
        if not self._current(entry.tags):
            return RemovalCause.INVALIDATED
        return RemovalCause.EXPIRED if _is_over(entry, now) else RemovalCause.REPLACED

    def _notify(self, removed: Removed) -> None:
        for listener in self._listeners:
            for key, cause in removed:
                listener(key, cause)

    def _call(self, method: Callable[..., T], *given: Any) -> T:
        """Call a method of the minimal cache; what it raises is a CacheError."""
        try:
            return method(*given)
        except FpaError:
            raise
        except Exception as error:
            name = type(self._minimal).__name__
            raise CacheError(f"the cache {name} failed: {type(error).__name__}: {error}") from error


def _is_over(entry: Entry, now: float) -> bool:
    """Return whether an entry is of no use any more, not even as a stale one."""
    until = entry.expires_at if entry.keep_until is None else entry.keep_until
    return until is not None and until <= now
