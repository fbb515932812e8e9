"""DataCache: one contract for cached values on every backend. How long they live, what invalidates them, and who loads them is decided here."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from concurrent.futures import Executor
from datetime import timedelta
from functools import partial
from types import TracebackType
from typing import Any, Self, TypeVar

from fpa_core.cache.answers import Hit, Miss, MissReason, WarmReport
from fpa_core.cache.keys import SEPARATOR, Pattern
from fpa_core.cache.lifetimes import UNSET, Lifetimes, Ttl, Unset
from fpa_core.cache.loading import Loading, Request
from fpa_core.cache.memoize import memoize
from fpa_core.cache.shelf import EVERYTHING, Found, Shelf
from fpa_core.cache.stats import CacheStats, Count
from fpa_core.cache.values import Held
from fpa_core.cache.warming import awarm, warm
from fpa_core.exceptions import CacheError
from fpa_core.protocols import MISS, CacheBackend, Capability

__all__ = ["DataCache"]

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])

_HITS = int(Count.HITS)
WARM_JITTER = 0.1
"""Least jitter of warmed values: they are made together and should not expire together."""


class DataCache:
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
        self._closed = False
        # The quick way of `get`: nothing to decode, and no wall clock that may have been set back.
        self._quick = None if self._shelf.encodes or self._shelf.outlives else backend.get

    # Reading

    def get(self, key: str, default: Any = None) -> Any:
        """Return the value, or *default* when there is none of use."""
        if (quick := self._quick) is not None:
            entry = quick(self._prefix + key)
            if entry is not MISS and not entry.tags and ((due := entry.expires_at) is None or self._clock() < due):
                self._counters.add(_HITS)
                held = entry.value
                return held.copy(held.value) if type(held) is Held else held
            found = self._shelf.examine(entry)
        else:
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
        full = self._full(key)
        if full in self._loading.flights:  # what is being loaded is older than this value
            self._backend.bump(self._shelf.fences(full)[:1])
        generations = self._backend.generations(self._shelf.tag_names(tags)) if tags != () else {}
        rule = self._shelf.lifetimes.choose(ttl, kind)
        if self._shelf.keep(full, value, rule, tags=generations):
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
        return self.invalidate_pattern("*")

    # Loading

    def get_or_load(
        self,
        key: str,
        loader: Callable[[], T],
        ttl: Ttl | Unset = UNSET,
        *,
        tags: Iterable[str] = (),
        kind: str | None = None,
    ) -> T:
        """Return the value; when there is none, load it, and store what the loader returns.

        One caller loads, the others wait for its value or its error. A value whose key or tags were invalidated during the load is
        returned to those who asked before that, but not stored.

        :raises CacheError: when the loader, directly or through others, waits for its own key.
        """
        value: T = self._loading.get(self._request(key, loader, ttl, tags, kind))
        return value

    async def aget_or_load(
        self,
        key: str,
        loader: Callable[[], Awaitable[T] | T],
        ttl: Ttl | Unset = UNSET,
        *,
        tags: Iterable[str] = (),
        kind: str | None = None,
    ) -> T:
        """Do as :meth:`get_or_load` without blocking the event loop; a leader that is cancelled hands over to one who waits."""
        value: T = await self._loading.aget(self._request(key, loader, ttl, tags, kind))
        return value

    def cached(
        self,
        *,
        ttl: Ttl | Unset = UNSET,
        tags: Iterable[str] | Callable[..., Iterable[str]] = (),
        kind: str | None = None,
    ) -> Callable[[F], F]:
        """Decorate a function or coroutine function: equal arguments are answered from the cache.

        :param tags: texts, or a function from the call's arguments to texts.
        """
        return partial(memoize, self, ttl=ttl, tags=tags, kind=kind)

    def warm_cache(
        self,
        loader: Callable[[str], Any],
        keys: Iterable[str],
        *,
        ttl: Ttl | Unset = UNSET,
        tags: Iterable[str] = (),
        kind: str | None = None,
        workers: int = 4,
    ) -> WarmReport:
        """Load the keys that are not fresh, *workers* at a time; one that fails does not stop the rest."""
        return warm(self, loader, keys, self._warmer(self._loading.get, ttl, tags, kind), workers)

    async def awarm_cache(
        self,
        loader: Callable[[str], Any],
        keys: Iterable[str],
        *,
        ttl: Ttl | Unset = UNSET,
        tags: Iterable[str] = (),
        kind: str | None = None,
        workers: int = 16,
    ) -> WarmReport:
        """Do as :meth:`warm_cache` on the running event loop."""
        return await awarm(self, loader, keys, self._warmer(self._loading.aget, ttl, tags, kind), workers)

    # Invalidating

    def invalidate_tags(self, *tags: str) -> None:
        """End every value stored under any of *tags*, at once and in constant time. How many they were is not known."""
        if names := self._shelf.tag_names(tags):
            self._backend.bump(names)

    def invalidate_pattern(self, pattern: str) -> int:
        """Forget the keys that match *pattern* (see :mod:`fpa_core.cache.keys`); return how many. Takes time in their number."""
        compiled = Pattern(pattern)
        self._backend.bump([self._prefix + EVERYTHING])  # first: no load that began before this may be kept after it
        matching = [
            key
            for key in self._backend.keys(self._prefix + compiled.prefix)
            if compiled.matches(key[len(self._prefix) :])
        ]
        removed = sum(map(self._backend.delete, matching))
        self._counters.add(Count.DELETES, removed)
        return removed

    def purge(self, limit: int | None = None) -> int:
        """Drop entries that are past any use, at most *limit*, and return how many; backends also do so as they are written to."""
        return self._backend.purge(self._clock(), limit)

    # Telling and ending

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
        self._backend.bump(self._shelf.fences(full)[:1])  # first: no load that began before this may be kept after it
        return self._backend.delete(full)

    def _answer(self, found: Found | MissReason) -> Hit | Miss:
        if isinstance(found, MissReason):
            return Miss(found)
        entry = found.entry
        remaining = None if entry.expires_at is None else max(entry.expires_at - found.now, 0.0)
        return Hit(found.give(), max(found.now - entry.stored_at, 0.0), remaining, found.stale)

    def _request(
        self,
        key: str,
        loader: Callable[[], Any],
        ttl: Ttl | Unset,
        tags: Iterable[str],
        kind: str | None,
        *,
        jitter: float | None = None,
    ) -> Request:
        return Request(self._full(key), loader, ttl, self._shelf.tag_names(tags), kind, jitter)

    def _warmer(
        self, get: Callable[[Request], Any], ttl: Ttl | Unset, tags: Iterable[str], kind: str | None
    ) -> Callable[[str, Callable[[], Any]], Any]:
        names = tuple(tags)
        return lambda key, load: get(self._request(key, load, ttl, names, kind, jitter=WARM_JITTER))
