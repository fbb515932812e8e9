"""Read the store through a cache that may fail: a failing cache must neither stop reads nor make a stored batch look failed."""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar

from fpa_core.cache.dependencies import changed_tags, read_tags
from fpa_core.exceptions import CacheError
from fpa_core.kinds import KINDS

if TYPE_CHECKING:
    from fpa_core.cache import DataCache
    from fpa_core.protocols import Changed, ChangeFeed, Query

__all__ = ["CachedReads"]

LONGEST_KEY = 1_000
"""Characters of a key. Of a longer one, as of a query of many symbols, the rest is a digest."""

RETRY_AFTER = 1.0
"""Seconds until a cache that failed is tried again."""

P = ParamSpec("P")
T = TypeVar("T")
_log = logging.getLogger("fpa.cache")


class CachedReads:
    """Answers reads from a cache, and invalidates what a write changes.

    If the cache fails, one warning is logged, and reads go to the store. After a failed invalidation this process bypasses the cache until the
    invalidation has been repeated: no answer is older than the last acknowledged write.

    A cache that is not shared does not know what other processes write: if the store tells (see :meth:`follow`), their changes are invalidated
    as they are heard of, and while they cannot be heard of, reads go to the store.

    :param cache: returns the cache, which it opens at the first call.
    :param monotonic: seconds, for the time until a failed cache is tried again.
    """

    def __init__(self, cache: Callable[[], DataCache], monotonic: Callable[[], float] = time.monotonic) -> None:
        self._cache = cache
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._missed: set[str] = set()
        self._failed = False
        self._retry_at = 0.0
        self._follow: Callable[[Callable[[Changed | None], None]], ChangeFeed] | None = None
        self._feed: ChangeFeed | None = None
        self._deaf = False

    def open(self) -> None:
        """Open the cache now; log a warning if that fails."""
        try:
            self._cache()
        except (CacheError, OSError) as error:
            self._fail(error)

    def follow(self, follow: Callable[[Callable[[Changed | None], None]], ChangeFeed]) -> None:
        """Begin, with the first read, to follow what other processes change, by :meth:`fpa_core.protocols.StoreBackend.follow`."""
        self._follow, self._feed = follow, None

    def _hears_others(self, cache: DataCache) -> bool:
        """Return whether all that other processes changed until a moment ago is invalidated."""
        if self._follow is None:
            return True
        if self._feed is None:
            with self._lock:
                if cache.is_shared:  # whoever writes invalidates it
                    self._follow = None
                    return True
                if self._feed is None:
                    self._feed = self._follow(self._invalidate_elsewhere)
        if current := self._feed.is_current():
            if self._deaf:
                self._deaf = False
                _log.info("changes of other processes are heard of again")
        elif not self._deaf:
            self._deaf = True
            _log.warning("changes of other processes are not heard of, and reads go to the store until they are")
        return current

    def _invalidate_elsewhere(self, changed: Changed | None) -> None:
        self.invalidate(dict.fromkeys(KINDS.values()) if changed is None else changed)

    def read(self, key: str, load: Callable[[], T], query: Query) -> T:
        """Return the cached answer to *query*, or what *load* returns."""
        if not self._usable():
            return load()
        # An error of the store during the load is not a failure of the cache.
        guarded = _Load(load)
        try:
            cache = self._cache()
            if not self._hears_others(cache):
                return guarded()
            found = cache.get_or_load(_shortened(key), guarded, tags=read_tags(query), kind=query.kind.name)
        except (CacheError, OSError) as error:
            if guarded.failed is error:
                raise
            self._fail(error)
            return load()
        self._recovered()
        return found

    def read_many(
        self, keys: Sequence[str], load: Callable[[Sequence[str]], Mapping[str, T]], ttl: float
    ) -> Mapping[str, T]:
        """Return cached values by key; those that are missing are loaded together, and cached for *ttl* seconds."""
        if not self._usable():
            return load(keys)
        guarded = _Load(load)
        by_key = {_shortened(key): key for key in keys}

        def load_missing(missing: Sequence[str]) -> dict[str, T]:
            found = guarded([by_key[key] for key in missing])
            return {key: found[by_key[key]] for key in missing if by_key[key] in found}

        try:
            found = self._cache().get_or_load_many(list(by_key), load_missing, ttl)
        except (CacheError, OSError) as error:
            if guarded.failed is error:
                raise
            self._fail(error)
            return load(keys)
        self._recovered()
        return {by_key[key]: value for key, value in found.items()}

    def recall(self, key: str) -> Any:
        """Return a cached value; None if there is none, or the cache fails."""
        if not self._usable():
            return None
        try:
            return self._cache().get(_shortened(key))
        except (CacheError, OSError) as error:
            self._fail(error)
            return None

    def remember(self, key: str, value: Any, ttl: float, query: Query) -> None:
        """Cache a value for *ttl* seconds, or until the rows of *query* change; nothing is done if the cache fails."""
        if not self._usable():
            return
        try:
            self._cache().set(_shortened(key), value, ttl, tags=read_tags(query))
        except (CacheError, OSError) as error:
            self._fail(error)

    def invalidate(self, changed: Changed) -> None:
        """Invalidate the answers that depend on what was changed; if the cache fails, repeat that later."""
        with self._lock:
            self._missed.update(changed_tags(changed))
        self._repeat_missed()

    def forget(self) -> None:
        """Drop all answers, since the store is another one now; if the cache fails, that is a warning."""
        try:
            self._cache().clear()
        except (CacheError, OSError) as error:
            _log.warning(
                "the cache still holds answers of the store before: empty it with `fpa cache clear`: %s", error
            )

    def _usable(self) -> bool:
        """Return whether the cache may be used; one that failed is tried again after :data:`RETRY_AFTER`."""
        if not self._failed and not self._missed:
            return True
        return self._monotonic() >= self._retry_at and self._repeat_missed()

    def _repeat_missed(self) -> bool:
        """Repeat the invalidations that failed; return whether that worked."""
        with self._lock:
            due = frozenset(self._missed)
        try:
            if due:
                self._cache().invalidate_tags(*due)
        except (CacheError, OSError) as error:
            self._fail(error)
            return False
        with self._lock:
            self._missed -= due
        return True

    def _fail(self, error: Exception) -> None:
        with self._lock:
            first, self._failed = not self._failed, True
            self._retry_at = self._monotonic() + RETRY_AFTER
        if first:
            _log.warning("the cache has failed, and reads go to the store until it works again: %s", error)

    def _recovered(self) -> None:
        if self._failed:
            with self._lock:
                self._failed = False
            _log.info("the cache works again")


def _shortened(key: str) -> str:
    if len(key) <= LONGEST_KEY:
        return key
    return f"{key[:LONGEST_KEY]}:{hashlib.sha256(key.encode(errors='surrogatepass')).hexdigest()}"


class _Load(Generic[P, T]):
    """Calls a loader, and keeps the error it raised."""

    def __init__(self, load: Callable[P, T]) -> None:
        self._load = load
        self.failed: BaseException | None = None

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return self._load(*args, **kwargs)
        except BaseException as error:
            self.failed = error
            raise
