"""A thread that frees expired entries in a cache that nobody writes to; there is none unless it is asked for."""

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
    """Purges a cache every so many seconds, until it is closed or gone.

    The thread is a daemon and holds the cache weakly, so neither the process nor the cache lives on for it. A purge that fails is logged,
    and the next one tried. A forked child has a thread of its own.

    :param seconds: time between two purges.
    """

    _cache: weakref.ref[DataCache]
    _stop: threading.Event

    def __init__(self, cache: DataCache, seconds: float) -> None:
        if not seconds > 0:
            raise CacheError(f"a cache is swept every so many seconds, more than none, not {seconds!r}")
        self._seconds = seconds
        self.start(cache)
        _running.add(self)

    def start(self, cache: DataCache | None = None) -> None:
        """Run the thread; in a forked child, for the cache that the parent's thread sweeps."""
        cache = self._cache() if cache is None else cache
        if cache is None:
            return
        self._stop = stop = threading.Event()  # the parent's may be locked in the child for ever
        self._cache = weakref.ref(cache, lambda _: stop.set())
        threading.Thread(
            target=_sweep, args=(self._cache, stop, self._seconds), name="fpa-cache-sweeper", daemon=True
        ).start()

    def stop(self) -> None:
        """Let the thread end."""
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
            if not stop.is_set():  # closed in the middle of it
                logger.exception("sweeping the cache failed; it is tried again in %s s", seconds)
        del cache  # or the wait would keep it alive


def _restart() -> None:
    for sweeper in list(_running):
        sweeper.start()


if hasattr(os, "register_at_fork"):  # not on Windows, which does not fork
    os.register_at_fork(after_in_child=_restart)
