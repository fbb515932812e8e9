"""DataCache: cached values on any backend. It decides their lifetimes, their invalidation, and which caller loads them."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor
from datetime import timedelta
from functools import partial
from types import TracebackType
from typing import Any, Final, Self, TypeVar

from fpa_core.cache.answers import Hit, Miss, MissReason, WarmReport
from fpa_core.cache.bulk_loading import BulkLoading, BulkRequest
from fpa_core.cache.entry_reader import EntryReader, Found
from fpa_core.cache.keys import EVERYTHING, SEPARATOR, Pattern, fences_of
from fpa_core.cache.loading import Loading, Request
from fpa_core.cache.removals import Removal, Removals
from fpa_core.cache.stats import CacheStats, Count
from fpa_core.cache.sweeper import Sweeper
from fpa_core.cache.ttl import UNSET, Lifetimes, Ttl, Unset, duration
from fpa_core.cache.values import SIZES, FrozenValue
from fpa_core.exceptions import CacheError
from fpa_core.protocols import MAX_KEY_LENGTH, CacheBackend, Capability, Entry, RemovalCause

__all__ = ["DataCache"]

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])

WARM_JITTER = 0.1
"""Minimum jitter of warmed values, so that values loaded together do not expire together."""

REMOVED_AT_ONCE: Final = 500
"""Keys that a pattern removes in one call of the backend, so that others use it in between."""

_UNTAGGED: Final[Mapping[str, int]] = {}


def _nothing(_: str) -> None:
    """Do nothing, in place of a quick lookup."""


class DataCache:
    """Values under text keys, with lifetimes, tags, and one load at a time for each key; safe for threads and asyncio.

    Records, lists and tuples of them, Arrow tables, bytes, Decimal, datetime, and JSON values can be cached. A stored None is a value. Lists
    and dicts are returned as copies, which the caller may change.

    :param backend: where entries are kept.
    :param ttl: how long a value stays fresh by default: seconds, ``"5m"``, a timedelta, an aware datetime, a function from
        the current UTC time to one, or None for ever. With zero or less nothing is stored.
    :param ttls: the same by kind of value; ``negative_ttl`` for a None returned by a loader.
    :param namespace: separates the keys and tags of this cache from others on the same backend. Include a version to drop old entries.
    :param jitter: the largest share by which lifetimes are shortened at random.
    :param stale_while_revalidate: for how long a stale value is served while one caller, or *executor*, loads a new one.
    :param stale_if_error: for how long a stale value is served if its loader raises.
    :param sweep_every: how often a thread frees expired entries; None for no thread: then writing frees them, and :meth:`purge`.
    :param clock: seconds; by default the wall clock if entries outlive the process or are shared, else the monotonic clock.
    :ivar is_shared: whether other processes use the same entries.
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
            raise CacheError(f"{namespace!r} cannot be a namespace", hint=f"use non-empty text without {SEPARATOR!r}")
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
        self._longest = MAX_KEY_LENGTH - len(self._prefix)
        self._clock = clock or (time.time if outlives else time.monotonic)
        self._reader = EntryReader(backend, self._prefix, self._clock, lifetimes)
        self._counters = self._reader.counters
        self._loading = Loading(self._reader, executor)
        self._bulk = BulkLoading(self._loading)
        self._under_way = self._loading.flights.under_way
        self._removals = Removals(backend, self._prefix)
        self.is_shared = Capability.SHARED in backend.capabilities
        self._closed = False
        # Fast paths of `get` and `set`, for values that are not encoded and a clock that is never set back.
        quick = not (self._reader.encodes or self._reader.outlives)
        self._quick: Callable[[str], Entry | None] = backend.get if quick else _nothing
        self._fixed_ttl = lifetimes.fixed_ttl if quick else None
        self._hit, self._stored = self._counters.hit, self._counters.stored
        self._sweeper = None if sweep_every is None else Sweeper(self.purge, duration(sweep_every, "sweep_every"))

    # Reading

    def get(self, key: str, default: Any = None) -> Any:
        """Return the value, or *default* if there is no usable one."""
        try:
            entry = self._quick(self._prefix + key)
        except TypeError:
            self._full(key)  # raises for a key that is no text
            raise
        if entry is not None and not entry.tags and ((due := entry.expires_at) is None or self._clock() < due):
            entry.uses += 1
            self._hit()
            value = entry.value
            return value.copy(value.value) if type(value) is FrozenValue else value
        found = self._reader.find(self._prefix + key)
        self._reader.count(found)
        return default if isinstance(found, MissReason) else found.copy_out()

    def lookup(self, key: str, *, stale: bool = False) -> Hit | Miss:
        """Return the value with its age and remaining lifetime, or why there is none.

        :param stale: also return a stale value, while it is kept for ``stale_while_revalidate`` or ``stale_if_error``.
        """
        found = self._reader.find(self._full(key), stale=stale)
        self._reader.count(found)
        return self._answer(found)

    def get_many(self, keys: Iterable[str]) -> dict[str, Any]:
        """Return the values found, by key, in the order of *keys*."""
        values: dict[str, Any] = {}
        wanted = self._full_names(keys)
        for full, found in self._reader.find_many(list(wanted)).items():
            self._reader.count(found)
            if isinstance(found, Found):
                values[wanted[full]] = found.copy_out()
        return values

    def contains(self, key: str) -> bool:
        """Return whether there is a fresh value, without counting a read."""
        return isinstance(self._reader.find(self._full(key)), Found)

    __contains__ = contains

    def keys(self, pattern: str = "*") -> list[str]:
        """Return the keys that match *pattern* (see :mod:`fpa_core.cache.keys`), including expired ones not yet swept."""
        compiled = Pattern(pattern)
        cut = len(self._prefix)
        keys = (full[cut:] for full in self._backend.keys(self._prefix + compiled.prefix))
        return [key for key in keys if compiled.matches(key)]

    # Writing

    def set(
        self, key: str, value: Any, ttl: Ttl | Unset = UNSET, *, tags: Iterable[str] = (), kind: str | None = None
    ) -> bool:
        """Store *value*; return whether it was stored.

        If the lifetime is zero or less, or the value is too large for the backend, it is not stored, and an older entry of the key is deleted.

        :param tags: names under which :meth:`invalidate_tags` invalidates it.
        :param kind: whose ``ttls`` entry applies if no *ttl* is given.
        :raises CacheError: if the key, value, tag or lifetime is invalid; the value's type is named.
        """
        full = self._prefix + key if type(key) is str and len(key) <= self._longest else self._full(key)
        seconds = self._fixed_ttl if ttl is UNSET and kind is None and tags == () and not self._under_way else None
        if seconds is not None and (size := SIZES.get(type(value), 0)):
            now = self._clock()
            if self._backend.put(full, Entry(value, now, now + seconds, None, size, _UNTAGGED)):
                self._stored()
                return True
        if full in self._under_way:  # a value being loaded is older than this one
            self._backend.bump(fences_of(full)[:1])
        generations = _UNTAGGED if tags == () else self._backend.generations(self._reader.tag_names(tags))
        if self._reader.store(full, value, self._reader.lifetimes.choose(ttl, kind), generations):
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
        """Store each value as :meth:`set` does; return how many were stored."""
        names = tuple(tags)
        return sum(self.set(key, value, ttl, tags=names, kind=kind) for key, value in values.items())

    def touch(self, key: str, ttl: Ttl | Unset = UNSET, *, kind: str | None = None) -> bool:
        """Reset the lifetime of a fresh value, as if it were stored now; return whether there was one."""
        full = self._full(key)
        now = self._clock()
        expiry = self._reader.lifetimes.expiry(now, self._reader.lifetimes.choose(ttl, kind))
        if self._reader.miss_reason(self._backend.get(full), now) is not None:
            return False
        return not self.delete(key) if expiry is None else self._backend.touch(full, *expiry)

    def delete(self, key: str) -> bool:
        """Delete the key; return whether it existed. The result of a load in progress will not be stored."""
        existed = self._drop(self._full(key))
        self._counters.add(Count.DELETES, existed)
        return existed

    def clear(self) -> int:
        """Delete every key of this namespace; return how many there were."""
        return self._remove_matching("*", RemovalCause.EXPLICIT)

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
        """Return the value; if there is none, load and store it.

        One caller loads, and the others wait for its value or its error. A value whose key or tags were invalidated during the load is
        returned to the callers that asked before, but not stored.

        :raises CacheError: if the loader, directly or through others, waits for its own key.
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
        """Do the same as :meth:`get_or_load` without blocking the event loop. If the leading task is cancelled, a waiting one takes over."""
        value: T = await self._loading.aget(self._request(key, loader, ttl, tags, kind))
        return value

    def get_or_load_many(
        self,
        keys: Iterable[str],
        loader: Callable[[Sequence[str]], Mapping[str, T]],
        ttl: Ttl | Unset = UNSET,
        *,
        tags: Iterable[str] = (),
        kind: str | None = None,
    ) -> dict[str, T]:
        """Return the values by key, in the order of *keys*; missing ones are loaded together and stored.

        The loader gets the missing keys and returns a mapping of them to values. A key it leaves out is left out of the result, and nothing is
        stored for it. Each key has its single flight: a key that another caller is loading is not passed to this loader.

        :raises CacheError: if the loader does not return a mapping, or waits for one of its own keys.
        """
        found = self._bulk.get(request := self._many(keys, loader, ttl, tags, kind))
        return {key: found[full] for full, key in request.keys.items() if full in found}

    async def aget_or_load_many(
        self,
        keys: Iterable[str],
        loader: Callable[[Sequence[str]], Awaitable[Mapping[str, T]] | Mapping[str, T]],
        ttl: Ttl | Unset = UNSET,
        *,
        tags: Iterable[str] = (),
        kind: str | None = None,
    ) -> dict[str, T]:
        """Do the same as :meth:`get_or_load_many` without blocking the event loop."""
        found = await self._bulk.aget(request := self._many(keys, loader, ttl, tags, kind))
        return {key: found[full] for full, key in request.keys.items() if full in found}

    def cached(
        self,
        *,
        ttl: Ttl | Unset = UNSET,
        tags: Iterable[str] | Callable[..., Iterable[str]] = (),
        kind: str | None = None,
    ) -> Callable[[F], F]:
        """Decorate a function or coroutine function so that calls with equal arguments are answered from the cache.

        :param tags: texts, or a function from the call's arguments to texts.
        """
        from fpa_core.cache.memoize import memoize

        def decorate(function: F) -> F:
            return memoize(
                function,
                load=partial(self.get_or_load, ttl=ttl, kind=kind),
                aload=partial(self.aget_or_load, ttl=ttl, kind=kind),
                delete=self.delete,
                tags=tags,
            )

        return decorate

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
        from fpa_core.cache.warming import warm

        return warm(self.contains, loader, keys, self._warmer(self._loading.get, ttl, tags, kind), workers)

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
        """Do the same as :meth:`warm_cache` on the running event loop."""
        from fpa_core.cache.warming import awarm

        return await awarm(self.contains, loader, keys, self._warmer(self._loading.aget, ttl, tags, kind), workers)

    # Invalidating

    def invalidate_tags(self, *tags: str) -> None:
        """Invalidate every value stored under any of *tags*, in constant time. Their number is not known."""
        if names := self._reader.tag_names(tags):
            self._backend.bump(names)

    def invalidate_pattern(self, pattern: str) -> int:
        """Delete the keys that match *pattern* (see :mod:`fpa_core.cache.keys`); return how many. Takes time proportional to their number."""
        return self._remove_matching(pattern, RemovalCause.INVALIDATED)

    def _remove_matching(self, pattern: str, cause: RemovalCause) -> int:
        compiled = Pattern(pattern)
        self._backend.bump([self._prefix + EVERYTHING])  # first, so that no load that began before is stored after
        matching = [
            key
            for key in self._backend.keys(self._prefix + compiled.prefix)
            if compiled.matches(key[len(self._prefix) :])
        ]
        removed = 0
        for start in range(0, len(matching), REMOVED_AT_ONCE):
            existed = self._backend.delete_many(matching[start : start + REMOVED_AT_ONCE])
            removed += len(existed)
            for full in existed:
                self._removals.notify(full, cause)
        self._end_copies(self._prefix + EVERYTHING)
        self._counters.add(Count.DELETES, removed)
        return removed

    def purge(self, limit: int | None = None) -> int:
        """Drop expired entries, at most *limit*, and return how many; backends also do so when they are written to."""
        if limit is not None and not isinstance(limit, int):
            raise CacheError(f"limit: a whole number is needed, not {limit!r}")
        return self._backend.purge(self._clock(), limit)

    # Listeners, statistics, closing

    def on_removal(self, listener: Callable[[Removal], None]) -> Callable[[], None]:
        """Call *listener* with a :class:`~fpa_core.cache.Removal`, key and cause, for each removed entry.

        Return a function that removes the listener.

        It runs in the thread whose operation removed the entry, with no lock held. Exceptions it raises are logged. Entries that other
        processes remove from a shared cache are reported only there.
        """
        return self._removals.add(listener)

    def get_stats(self) -> CacheStats:
        """Return the statistics of this cache; subtract an earlier one to get those of the time between."""
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

    def __repr__(self) -> str:
        namespace = self._prefix.removesuffix(SEPARATOR)
        return f"<DataCache {namespace!r} on {type(self._backend).__name__}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # Inside

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
        if not callable(loader):
            raise CacheError(f"the loader of {key!r} cannot be called: it is {loader!r}")
        return Request(self._full(key), loader, ttl, self._reader.tag_names(tags), kind, jitter)

    def _many(
        self,
        keys: Iterable[str],
        loader: Callable[[Sequence[str]], Any],
        ttl: Ttl | Unset,
        tags: Iterable[str],
        kind: str | None,
    ) -> BulkRequest:
        return BulkRequest(self._full_names(keys), loader, ttl, self._reader.tag_names(tags), kind)

    def _warmer(
        self, get: Callable[[Request], Any], ttl: Ttl | Unset, tags: Iterable[str], kind: str | None
    ) -> Callable[[str, Callable[[], Any]], Any]:
        names = tuple(tags)
        return lambda key, load: get(self._request(key, load, ttl, names, kind, jitter=WARM_JITTER))

    def _full_names(self, keys: Iterable[str]) -> dict[str, str]:
        """Return keys by their names with the prefix."""
        if isinstance(keys, str) or not isinstance(keys, Iterable):
            raise CacheError(f"keys are a collection of texts; write ({keys!r},) for one")
        return {self._full(key): key for key in keys}

    def _full(self, key: str) -> str:
        if not isinstance(key, str):
            raise CacheError(
                f"a cache key must be text, not {type(key).__name__}", hint="make_key joins parts to a key"
            )
        if len(key) > self._longest:
            problem = f"a cache key has at most {self._longest:,} characters, and this one has {len(key):,}"
            raise CacheError(problem, hint="use a digest of what makes it long")
        return self._prefix + key

    def _drop(self, full: str) -> bool:
        fence = fences_of(full)[0]
        self._backend.bump([fence])  # first, so that no load that began before is stored after
        existed = self._remove(full, RemovalCause.EXPLICIT)
        self._end_copies(fence)
        return existed

    def _end_copies(self, fence: str) -> None:
        """Bump the fence again: another process may have copied the entry between the first bump and the removal."""
        if self.is_shared:
            self._backend.bump([fence])

    def _remove(self, full: str, cause: RemovalCause) -> bool:
        if not self._backend.delete(full):
            return False
        self._removals.notify(full, cause)
        return True

    def _answer(self, found: Found | MissReason) -> Hit | Miss:
        if isinstance(found, MissReason):
            return Miss(found)
        entry = found.entry
        remaining = None if entry.expires_at is None else max(entry.expires_at - found.now, 0.0)
        return Hit(found.copy_out(), max(found.now - entry.stored_at, 0.0), remaining, found.stale)
