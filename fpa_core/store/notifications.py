"""Notify listeners of committed batches, and let no batch end before those committed earlier have notified theirs.

A batch that finds its rows stored by one committed a moment before changes nothing and notifies nobody. Without waiting, its caller could read
from a cache that has not been notified of the other batch yet, and miss the very rows whose writing was acknowledged.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from collections.abc import Callable, Iterator
from typing import Any

from fpa_core.protocols import Changed, Receipt

__all__ = ["Notifications"]

_log = logging.getLogger("fpa.store")


class Notifications:
    """The listeners of one store, and its batches that are committed but have not notified them yet."""

    def __init__(self) -> None:
        self._change_listeners: list[Callable[[Changed], None]] = []
        self._commit_listeners: list[Callable[[Receipt], None]] = []
        self._lock = threading.Lock()
        self._pending: dict[threading.Event, tuple[int, int]] = {}  # with the process and thread of each

    def on_change(self, listener: Callable[[Changed], None]) -> None:
        """Call *listener* after each batch that changed something, before the writing call returns."""
        self._change_listeners.append(listener)

    def on_commit(self, listener: Callable[[Receipt], None]) -> None:
        """Call *listener* with the receipt of each committed batch, before the writing call returns."""
        self._commit_listeners.append(listener)

    @contextlib.contextmanager
    def pending(self) -> Iterator[None]:
        """Enter before the commit and leave once :meth:`changed` was called; then wait for the batches that were committed before."""
        done, own = threading.Event(), (os.getpid(), threading.get_ident())
        with self._lock:
            # A listener that writes must not wait for the batch that is notifying it.
            nested = own in self._pending.values()
            self._pending[done] = own
        try:
            yield
        finally:
            with self._lock:
                del self._pending[done]
                # A forked child has its parent's batches, but not the threads that would end them.
                others = () if nested else [each for each, (pid, _) in self._pending.items() if pid == own[0]]
            done.set()
        for other in others:
            other.wait()

    def changed(self, changed: Changed) -> None:
        """Notify the listeners of what a batch changed, if it changed anything."""
        if changed:
            self._notify(self._change_listeners, changed)

    def committed(self, receipt: Receipt) -> None:
        """Notify the listeners of a committed batch."""
        self._notify(self._commit_listeners, receipt)

    @staticmethod
    def _notify(listeners: list[Callable[[Any], None]], event: Any) -> None:
        for listener in listeners:
            try:
                listener(event)
            except Exception:  # noqa: BLE001  # the batch is committed, and its receipt must not be lost
                _log.exception("a listener failed after a batch was committed")
            except BaseException:
                _log.warning("interrupted while listeners were notified of a batch; it is committed")
                raise
