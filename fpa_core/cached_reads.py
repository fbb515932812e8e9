"""Reads of the store through a cache that may fail: a cache makes reads faster, and must neither stop them nor make a stored batch look failed."""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Generic, TypeVar

from fpa_core.cache.dependencies import changed_tags, read_tags
from fpa_core.exceptions import CacheError

if TYPE_CHECKING:
    from fpa_core.cache import DataCache
    from fpa_core.protocols import Query
    from fpa_core.store.batch import Changed

__all__ = ["CachedReads"]

LONGEST_KEY = 1_000
"""Characters of a key. Of a longer one, as of a query of many symbols, the rest is a digest."""

RETRY_AFTER = 1.0
"""Seconds for which a cache that failed is left alone."""

T = TypeVar("T")
_log = logging.getLogger("fpa.cache")


class CachedReads:
    """Answers reads from a cache, and ends answers that a change made old.

    When the cache fails, reads go to the store, with one warning. An invalidation that failed is remembered, and the cache is bypassed
    by this process until it has been made up for: no answer is older than the last acknowledged write.

    :param cache: opens the cache when it is first needed.
    :param monotonic: the clock that says when a failed cache is tried again, in seconds.
    """

    def __init__(self, cache: Callable[[], DataCache], monotonic: Callable[[], float] = time.monotonic) -> None:
        self._cache = cache
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._missed: set[str] = set()
        self._failed = False
        self._retry_at = 0.0

    def open(self) -> None:
        """Open the cache now; if it fails, that is a warning."""
        try:
            self._cache()
        except (CacheError, OSError) as error:
            self._fail(error)

    def read(self, key: str, load: Callable[[], T], query: Query) -> T:
        """Return the answer to a query: the cached one, or what *load* returns."""
        if not self._usable():
            return load()
        # What the store says in the middle of it is no failure of the cache.
        guarded = _Load(load)
        try:
            found = self._cache().get_or_load(_shortened(key), guarded, tags=read_tags(query), kind=query.kind.name)
        except (CacheError, OSError) as error:
            if guarded.failed is error:
                raise
            self._fail(error)
            return load()
        self._recovered()
        return found

    def invalidate(self, changed: Changed) -> None:
        """End the answers that depend on what was changed; if the cache fails, later."""
        with self._lock:
            self._missed.update(changed_tags(changed))
        self._make_up()

    def _usable(self) -> bool:
        """Return whether the cache may be asked; one that failed is tried again after a while."""
        if not self._failed and not self._missed:
            return True
        return self._monotonic() >= self._retry_at and self._make_up()

    def _make_up(self) -> bool:
        """Do the invalidations that are due; return whether that worked."""
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


class _Load(Generic[T]):
    """Calls a loader, and remembers the error it raised."""

    def __init__(self, load: Callable[[], T]) -> None:
        self._load = load
        self.failed: BaseException | None = None

    def __call__(self) -> T:
        try:
            return self._load()
        except BaseException as error:
            self.failed = error
            raise
