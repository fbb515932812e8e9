"""The methods of DataCache that load: one value, many, the results of a function, or values in advance."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from fpa_core.cache.answers import WarmReport
from fpa_core.cache.bulk_loading import BulkLoading, BulkRequest
from fpa_core.cache.loading import Loading, Request
from fpa_core.cache.memoize import memoize
from fpa_core.cache.ttl import UNSET, Ttl, Unset
from fpa_core.cache.warming import awarm, warm

if TYPE_CHECKING:
    from fpa_core.cache.entry_reader import EntryReader

__all__ = ["LoadingVerbs"]

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])

WARM_JITTER = 0.1
"""Minimum jitter of warmed values, so that values loaded together do not expire together."""


class LoadingVerbs:
    """The methods of :class:`~fpa_core.cache.DataCache` that take loaders."""

    _loading: Loading
    _bulk: BulkLoading
    _reader: EntryReader

    _full: Callable[[str], str]
    contains: Callable[[str], bool]
    delete: Callable[[str], bool]

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
        """Do the same as :meth:`warm_cache` on the running event loop."""
        return await awarm(self, loader, keys, self._warmer(self._loading.aget, ttl, tags, kind), workers)

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
        return Request(self._full(key), loader, ttl, self._reader.tag_names(tags), kind, jitter)

    def _many(
        self,
        keys: Iterable[str],
        loader: Callable[[Sequence[str]], Any],
        ttl: Ttl | Unset,
        tags: Iterable[str],
        kind: str | None,
    ) -> BulkRequest:
        return BulkRequest({self._full(key): key for key in keys}, loader, ttl, self._reader.tag_names(tags), kind)

    def _warmer(
        self, get: Callable[[Request], Any], ttl: Ttl | Unset, tags: Iterable[str], kind: str | None
    ) -> Callable[[str, Callable[[], Any]], Any]:
        names = tuple(tags)
        return lambda key, load: get(self._request(key, load, ttl, names, kind, jitter=WARM_JITTER))
