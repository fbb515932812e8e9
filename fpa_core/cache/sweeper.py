"""An optional thread that frees expired entries of a cache that is not written to."""

from __future__ import annotations

import logging
import os
import threading
import weakref
from typing import TYPE_CHECKING

from fpa_core.exceptions import CacheError

if TYPE_CHECKING:
    from fpa_core.cache.datacache import DataCache

__all__ = ["Sweeper"]

logger = logging.getLogger("fpa.cache")

_running: weakref.WeakSet[Sweeper] = weakref.WeakSet()


class Sweeper:
    """Purges a cache periodically until it is closed or garbage-collected.

    The thread is a daemon and references the cache weakly, so it keeps neither the process nor the cache alive. A purge that fails is
    logged, and tried again at the next time. A forked child gets its own thread.

    :param seconds: time between two purges.
    """

    _cache: weakref.ref[DataCache]
    _stop: threading.Event

    def __init__(self, cache: DataCache, seconds: float) -> None:
        if not seconds > 0:
            raise CacheError(f"sweep_every must be more than 0 seconds, not {seconds!r}")
        self._seconds = seconds
        self.start(cache)
        _running.add(self)

    def start(self, cache: DataCache | None = None) -> None:
        """Start the thread; *cache* is None in a forked child, which sweeps the same cache as its parent."""
        cache = self._cache() if cache is None else cache
        if cache is None:
            return
        self._stop = stop = threading.Event()  # the parent's may be locked for ever in the child
        self._cache = weakref.ref(cache, lambda _: stop.set())
        threading.Thread(
            target=_sweep, args=(self._cache, stop, self._seconds), name="fpa-cache-sweeper", daemon=True
        ).start()

    def stop(self) -> None:
        """Stop the thread."""
        _running.discard(self)
        self._stop.set()


def _sweep(reference: weakref.ref[DataCache], stop: threading.Event, seconds: float) -> None:
    while not stop.wait(seconds):
        cache = reference()
        if cache is None:
            return
        try:
            cache.purge()
        except Exception:
            if not stop.is_set():  # closed during the purge
                logger.exception("sweeping the cache failed; next try in %s s", seconds)
        del cache  # so that the wait does not keep it alive


def _restart() -> None:
    for sweeper in list(_running):
        sweeper.start()


if hasattr(os, "register_at_fork"):  # not on Windows, which does not fork
    os.register_at_fork(after_in_child=_restart)
