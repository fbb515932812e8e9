"""An optional thread that frees expired entries of a cache that is not written to."""

from __future__ import annotations

import logging
import os
import threading
import weakref
from collections.abc import Callable

from fpa_core.exceptions import CacheError

__all__ = ["Sweeper"]

logger = logging.getLogger("fpa.cache")

_running: weakref.WeakSet[Sweeper] = weakref.WeakSet()


class Sweeper:
    """Purges a cache periodically until it is closed or garbage-collected.

    The thread is a daemon and references the object of *purge*, the cache, weakly, so it keeps neither the process nor the cache alive. A purge that fails is
    logged, and tried again at the next time. A forked child gets its own thread.

    :param purge: a method of the cache that frees expired entries.
    :param seconds: time between two purges.
    """

    _purge: weakref.WeakMethod[Callable[[], object]]
    _stop: threading.Event

    def __init__(self, purge: Callable[[], object], seconds: float) -> None:
        if not seconds > 0:
            raise CacheError(f"sweep_every must be more than 0 seconds, not {seconds!r}")
        self._seconds = seconds
        self.start(purge)
        _running.add(self)

    def start(self, purge: Callable[[], object] | None = None) -> None:
        """Start the thread; *purge* is None in a forked child, which sweeps the same cache as its parent."""
        purge = self._purge() if purge is None else purge
        if purge is None:
            return
        self._stop = stop = threading.Event()  # the parent's may be locked for ever in the child
        self._purge = weakref.WeakMethod(purge, lambda _: stop.set())
        threading.Thread(
            target=_sweep, args=(self._purge, stop, self._seconds), name="fpa-cache-sweeper", daemon=True
        ).start()

    def stop(self) -> None:
        """Stop the thread."""
        _running.discard(self)
        self._stop.set()


def _sweep(reference: weakref.WeakMethod[Callable[[], object]], stop: threading.Event, seconds: float) -> None:
    while not stop.wait(seconds):
        purge = reference()
        if purge is None:
            return
        try:
            purge()
        except Exception:
            if not stop.is_set():  # closed during the purge
                logger.exception("sweeping the cache failed; next try in %s s", seconds)
        del purge  # so that the wait does not keep it alive


def _restart() -> None:
    for sweeper in list(_running):
        sweeper.start()


if hasattr(os, "register_at_fork"):  # not on Windows, which does not fork
    os.register_at_fork(after_in_child=_restart)
