"""DataCache: one contract for cached values on every backend. How long they live, what invalidates them, and who loads them is decided here."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Executor
from datetime import timedelta
from types import TracebackType
from typing import Any, Final, Self

from fpa_core.cache.answers import Hit, Miss, MissReason
from fpa_core.cache.keys import EVERYTHING, SEPARATOR, Pattern, fences_of
from fpa_core.cache.lifetimes import UNSET, Lifetimes, Ttl, Unset, duration
from fpa_core.cache.loading import Loading
from fpa_core.cache.removals import Removal, Removals
from fpa_core.cache.several import SeveralLoading
from fpa_core.cache.shelf import Found, Shelf
from fpa_core.cache.stats import CacheStats, Count
from fpa_core.cache.sweeper import Sweeper
from fpa_core.cache.values import SIZES, Held
from fpa_core.cache.verbs import LoadingVerbs
from fpa_core.exceptions import CacheError
from fpa_core.protocols import CacheBackend, Capability, Entry, RemovalCause

__all__ = ["DataCache"]

_UNTAGGED: Final[Mapping[str, int]] = {}


def _nothing(_: str) -> None:
    """Stand for a quick lookup where there is none."""


class DataCache(LoadingVerbs):
    """Values under text keys, with lifetimes, tags, and one load at a time for each key; safe for threads and asyncio.

    What may be cached: records, lists and tuples of them, Arrow tables, bytes, Decimal, datetime, and what JSON can say. A stored None is a
    value. What is returned is the caller's own: changing a list or dict changes nobody else's.

    :param backend: where entries are kept.
    :param ttl: how long a value stays fresh when nothing else is said: seconds, ``"5m"``, a timedelta, an aware datetime, a function from
        the present UTC time to one, or None for ever. Zero and less do not store.
    :param ttls: the same by kind of value; ``negative_ttl`` for a None that a loader returned.
    :param namespace: keeps this cache's keys and tags apart from others' on the same backend; put a version into it to leave old ones behind.
    :param jitter: up to which share lifetimes are shortened at random.
    :param stale_while_revalidate: for how long past its time a value is served while one caller, or *executor*, loads a new one.
    :param stale_if_error: for how long past its time a value is served when its loader raises.
    :param sweep_every: how often a thread of this cache frees what expired; None for no thread: then writing frees it, and :meth:`purge`.
    :param clock: seconds; by default the wall clock where entries outlive the process or are shared, else the monotonic one.
    """

    def __init__(
        self,
        backend: CacheBackend,
        *,
        ttl: Ttl = "5m",
        ttls: Mapping[str, Ttl] | None = None,
        negative_ttl: Ttl | Unset = UNSET,
        namespace: str = "fpa",
        jitter: float = 0.0,
        stale_while_revalidate: float | str | timedelta = 0,
        stale_if_error: float | str | timedelta = 0,
        sweep_every: float | str | timedelta | None = None,
        clock: Callable[[], float] | None = None,
        executor: Executor | None = None,
    ) -> None:
        if not namespace or SEPARATOR in namespace:
            raise CacheError(f"{namespace!r} cannot be a namespace", hint=f"it is a text without {SEPARATOR!r}")
        outlives = not backend.capabilities.isdisjoint({Capability.PERSISTENT, Capability.SHARED})
        lifetimes = Lifetimes(
            default=ttl,
            kinds=dict(ttls or {}),
            negative=negative_ttl,
            jitter=jitter,
            while_revalidate=stale_while_revalidate,
            if_error=stale_if_error,
        )
        self._backend = backend
        self._prefix = namespace + SEPARATOR
        self._clock = clock or (time.time if outlives else time.monotonic)
        self._shelf = Shelf(backend, self._prefix, self._clock, lifetimes)
        self._counters = self._shelf.counters
        self._loading = Loading(self._shelf, executor)
        self._several = SeveralLoading(self._loading)
        self._under_way = self._loading.flights.under_way
        self._removals = Removals(backend, self._prefix)
        self._shared = Capability.SHARED in backend.capabilities
        self._closed = False
        # `get` and `set` have a quick way each, for values that are kept as they are by a clock that is never set back.
        quick = not (self._shelf.encodes or self._shelf.outlives)
        self._quick: Callable[[str], Entry | None] = backend.get if quick else _nothing
        self._usual = lifetimes.usual if quick else None
        self._hit, self._stored = self._counters.hit, self._counters.stored
        self._sweeper = None if sweep_every is None else Sweeper(self, duration(sweep_every, "sweep_every"))

    # Reading

    def get(self, key: str, default: Any = None) -> Any:
        """Return the value, or *default* when there is none of use."""
        entry = self._quick(self._prefix + key)
        if entry is not None and not entry.tags and ((due := entry.expires_at) is None or self._clock() < due):
            entry.uses += 1
            self._hit()
            held = entry.value
            return held.copy(held.value) if type(held) is Held else held
        found = self._shelf.find(self._prefix + key)
        self._shelf.count(found)
        return default if isinstance(found, MissReason) else found.give()

    def lookup(self, key: str, *, stale: bool = False) -> Hit | Miss:
        """Return the value with its age and remaining lifetime, or why there is none.

        :param stale: also return a value past its time, while it is kept for ``stale_while_revalidate`` or ``stale_if_error``.
        """
        found = self._shelf.find(self._full(key), stale=stale)
        self._shelf.count(found)
        return self._answer(found)

    def get_many(self, keys: Iterable[str]) -> dict[str, Any]:
        """Return the values that are there, by key, in the order asked."""
        values: dict[str, Any] = {}
        wanted = {self._full(key): key for key in keys}
        for full, found in self._shelf.find_many(list(wanted)).items():
            self._shelf.count(found)
            if isinstance(found, Found):
                values[wanted[full]] = found.give()
        return values

    def contains(self, key: str) -> bool:
        """Tell whether there is a fresh value, without counting a read."""
        return isinstance(self._shelf.find(self._full(key)), Found)

    __contains__ = contains

    def keys(self, pattern: str = "*") -> list[str]:
        """Return the keys that match *pattern* (see :mod:`fpa_core.cache.keys`), expired ones that are not yet swept included."""
        compiled = Pattern(pattern)
        cut = len(self._prefix)
        keys = (full[cut:] for full in self._backend.keys(self._prefix + compiled.prefix))
        return [key for key in keys if compiled.matches(key)]

    # Writing

    def set(
        self, key: str, value: Any, ttl: Ttl | Unset = UNSET, *, tags: Iterable[str] = (), kind: str | None = None
    ) -> bool:
        """Store *value*; tell whether it was kept.

        A lifetime of zero or less stores nothing, and a value too large for the backend is not kept; either way the key is gone then.

        :param tags: names under which :meth:`invalidate_tags` ends it.
        :param kind: whose ``ttls`` entry holds when no *ttl* is given.
        :raises CacheError: for a key, value, tag or lifetime that cannot be; the value's type is named.
        """
        full = self._prefix + key if type(key) is str else self._full(key)
        seconds = self._usual if ttl is UNSET and kind is None and tags == () and not self._under_way else None
        if seconds is not None and (size := SIZES.get(type(value), 0)):
            now = self._clock()
            if self._backend.put(full, Entry(value, now, now + seconds, None, size, _UNTAGGED)):
                self._stored()
                return True
        if full in self._under_way:  # what is being loaded is older than this value
            self._backend.bump(fences_of(full)[:1])
        generations = _UNTAGGED if tags == () else self._backend.generations(self._shelf.tag_names(tags))
        if self._shelf.keep(full, value, self._shelf.lifetimes.choose(ttl, kind), generations):
            return True
        self._drop(full)
        return False

    def set_many(
        self,
        values: Mapping[str, Any],
        ttl: Ttl | Unset = UNSET,
        *,
        tags: Iterable[str] = (),
        kind: str | None = None,
    ) -> int:
        """Store each value as :meth:`set` does; return how many were kept."""
        names = tuple(tags)
        return sum(self.set(key, value, ttl, tags=names, kind=kind) for key, value in values.items())

    def touch(self, key: str, ttl: Ttl | Unset = UNSET, *, kind: str | None = None) -> bool:
        """Let a fresh value live on from now as if it were just stored; tell whether there was one."""
        full = self._full(key)
        now = self._clock()
        span = self._shelf.lifetimes.span(now, self._shelf.lifetimes.choose(ttl, kind))
        if self._shelf.judge(self._backend.get(full), now) is not None:
            return False
        return not self.delete(key) if span is None else self._backend.touch(full, *span)

    def delete(self, key: str) -> bool:
        """Forget the key; tell whether it was there. A load of it that is under way will not be kept."""
        existed = self._drop(self._full(key))
        self._counters.add(Count.DELETES, existed)
        return existed

    def clear(self) -> int:
        """Forget every key of this namespace; return how many there were."""
        return self._remove_matching("*", RemovalCause.EXPLICIT)

    # Invalidating

    def invalidate_tags(self, *tags: str) -> None:
        """End every value stored under any of *tags*, at once and in constant time. How many they were is not known."""
        if names := self._shelf.tag_names(tags):
            self._backend.bump(names)

    def invalidate_pattern(self, pattern: str) -> int:
        """Forget the keys that match *pattern* (see :mod:`fpa_core.cache.keys`); return how many. Takes time in their number."""
        return self._remove_matching(pattern, RemovalCause.INVALIDATED)

    def _remove_matching(self, pattern: str, cause: RemovalCause) -> int:
        compiled = Pattern(pattern)
        self._backend.bump([self._prefix + EVERYTHING])  # first: no load that began before this may be kept after it
        matching = [
            key
            for key in self._backend.keys(self._prefix + compiled.prefix)
            if compiled.matches(key[len(self._prefix) :])
        ]
        removed = sum(self._remove(key, cause) for key in matching)
        self._end_copies(self._prefix + EVERYTHING)
        self._counters.add(Count.DELETES, removed)
        return removed

    def purge(self, limit: int | None = None) -> int:
        """Drop entries that are past any use, at most *limit*, and return how many; backends also do so as they are written to."""
        return self._backend.purge(self._clock(), limit)

    # Telling and ending

    def on_removal(self, listener: Callable[[Removal], None]) -> Callable[[], None]:
        """Call *listener* with a :class:`~fpa_core.cache.Removal`, key and cause, for each entry that leaves; return what ends that.

        It runs in the thread whose operation took the entry away, with no lock held. What it raises is logged. Entries that other processes
        take out of a shared cache are told there.
        """
        return self._removals.add(listener)

    def get_stats(self) -> CacheStats:
        """Return what this cache has done; one from later less one from earlier tells what happened between."""
        usage = self._backend.usage()
        return CacheStats(
            **self._counters.totals(), evicted=dict(usage.evicted), entries=usage.entries, bytes=usage.bytes
        )

    def close(self) -> None:
        """Close the backend; calling it twice does nothing."""
        if not self._closed:
            self._closed = True
            if self._sweeper is not None:
                self._sweeper.stop()
            self._backend.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # Inside

    def _full(self, key: str) -> str:
        if not isinstance(key, str):
            raise CacheError(f"a cache key is text, not {type(key).__name__}", hint="make_key joins parts to one")
        return self._prefix + key

    def _drop(self, full: str) -> bool:
        fence = fences_of(full)[0]
        self._backend.bump([fence])  # first: no load that began before this may be kept after it
        existed = self._remove(full, RemovalCause.EXPLICIT)
        self._end_copies(fence)
        return existed

    def _end_copies(self, fence: str) -> None:
        """Move the fence on once more: another process may have copied what it found between the first time and the removal."""
        if self._shared:
            self._backend.bump([fence])

    def _remove(self, full: str, cause: RemovalCause) -> bool:
        if not self._backend.delete(full):
            return False
        self._removals.tell(full, cause)
        return True

    def _answer(self, found: Found | MissReason) -> Hit | Miss:
        if isinstance(found, MissReason):
            return Miss(found)
        entry = found.entry
        remaining = None if entry.expires_at is None else max(entry.expires_at - found.now, 0.0)
        return Hit(found.give(), max(found.now - entry.stored_at, 0.0), remaining, found.stale)
