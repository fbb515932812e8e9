"""Counters that are exact without a lock, and the immutable statistics made of them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from enum import IntEnum, auto
from threading import get_ident
from typing import Any

from attrs import asdict, evolve, field, fields, frozen

from fpa_core.cache.fork import fork_safe_lock

__all__ = ["CacheStats", "Count", "Counters"]


class Count(IntEnum):
    """What is counted; the names are those of :class:`CacheStats`."""

    @staticmethod
    def _generate_next_value_(name: str, start: int, count: int, last_values: list[int]) -> int:  # noqa: ARG004
        return count

    HITS = auto()
    STALE_HITS = auto()
    ABSENT = auto()
    EXPIRED = auto()
    INVALIDATED = auto()
    UNDECODABLE = auto()
    LOADS = auto()
    LOAD_ERRORS = auto()
    SHARED_LOADS = auto()
    SETS = auto()
    REFUSED = auto()
    DELETES = auto()


class Counters:
    """Counters that lose no increment and never wait for a lock.

    Each thread has its own row, and totals are sums over the rows. A new thread with the identity of an ended one reuses its row, so rows do
    not accumulate. The two most frequent counts are faster still: ``hit()`` and ``stored()`` advance an iterator, which is atomic.
    """

    __slots__ = ("_load_seconds", "_lock", "_reads", "_rows", "hit", "stored")

    def __init__(self) -> None:
        self._rows: dict[int, list[int]] = {}
        self._load_seconds: dict[int, float] = {}
        self._lock = fork_safe_lock()
        self._reads = 0
        self.hit: Callable[[], int] = itertools.count().__next__
        self.stored: Callable[[], int] = itertools.count().__next__

    def add(self, count: int, amount: int = 1) -> None:
        """Increase *count* by *amount*."""
        try:
            self._rows[get_ident()][count] += amount
        except KeyError:
            self._rows[get_ident()] = row = [0] * len(Count)
            row[count] = amount

    def add_load(self, seconds: float) -> None:
        """Count a load that took *seconds*."""
        self.add(Count.LOADS)
        ident = get_ident()
        self._load_seconds[ident] = self._load_seconds.get(ident, 0.0) + seconds

    def totals(self) -> dict[str, Any]:
        """Return the sums under the names of :class:`CacheStats`."""
        with self._lock:  # reading an iterator advances it, so reads are counted too
            hits, stored = self.hit() - self._reads, self.stored() - self._reads
            self._reads += 1
        rows = list(self._rows.values())
        totals: dict[str, Any] = {count.name.lower(): sum(row[count] for row in rows) for count in Count}
        totals["hits"] += hits
        totals["sets"] += stored
        return totals | {"load_seconds": sum(list(self._load_seconds.values()))}


@frozen
class CacheStats:
    """Statistics of a cache since it was made. The difference of two covers the time between them.

    :ivar hits: reads answered with a fresh value; ``stale_hits`` with a stale one, if that was allowed.
    :ivar absent: reads of a key that does not exist; ``expired`` of one that expired, ``invalidated`` by a tag, ``undecodable`` stored by
        another version or damaged.
    :ivar loads: loaders that returned, in ``load_seconds`` altogether; ``load_errors`` those that raised; ``shared_loads`` the callers that
        waited for the loader of another caller.
    :ivar refused: values not stored: too large, or invalidated while they were loaded.
    :ivar evicted: entries that the backend evicted, by cause.
    :ivar entries: current number, including expired entries not yet swept; ``bytes`` their size.
    """

    hits: int = 0
    stale_hits: int = 0
    absent: int = 0
    expired: int = 0
    invalidated: int = 0
    undecodable: int = 0
    loads: int = 0
    load_errors: int = 0
    shared_loads: int = 0
    load_seconds: float = 0.0
    sets: int = 0
    refused: int = 0
    deletes: int = 0
    evicted: Mapping[str, int] = field(factory=dict)
    entries: int = 0
    bytes: int = 0

    @property
    def misses(self) -> int:
        """Reads that found no usable value."""
        return self.absent + self.expired + self.invalidated + self.undecodable

    @property
    def hit_rate(self) -> float | None:
        """Share of the reads that found a value; None before the first read."""
        found = self.hits + self.stale_hits
        return found / (found + self.misses) if found + self.misses else None

    def __sub__(self, earlier: CacheStats) -> CacheStats:
        """Return what was counted since *earlier*; ``entries`` and ``bytes`` are the current ones."""
        counted: dict[str, Any] = {
            each.name: getattr(self, each.name) - getattr(earlier, each.name)
            for each in fields(CacheStats)
            if each.name not in ("evicted", "entries", "bytes")
        }
        evicted = {cause: number - earlier.evicted.get(cause, 0) for cause, number in self.evicted.items()}
        return evolve(self, evicted=evicted, **counted)

    def as_dict(self) -> dict[str, Any]:
        """Return JSON-compatible values, including ``misses`` and ``hit_rate``."""
        return asdict(self) | {"misses": self.misses, "hit_rate": self.hit_rate}
