"""Notify listeners of removed entries and of the cause."""

from __future__ import annotations

import logging
from collections.abc import Callable

from attrs import frozen

from fpa_core.cache.fork import fork_safe_lock
from fpa_core.protocols import CacheBackend, RemovalCause

__all__ = ["Removal", "Removals"]

logger = logging.getLogger("fpa.cache")


@frozen
class Removal:
    """An entry was removed from the cache.

    :ivar key: its key; ``cause``: why it was removed.
    """

    key: str
    cause: RemovalCause


class Removals:
    """The listeners of one namespace of a backend.

    A listener is called in the thread whose operation removed the entry, after the operation and with no lock held. An exception it raises
    is logged, and affects neither the operation nor other listeners.
    """

    def __init__(self, backend: CacheBackend, prefix: str) -> None:
        self._backend = backend
        self._prefix = prefix
        self._lock = fork_safe_lock()
        self._watches = False
        self._listeners: tuple[Callable[[Removal], None], ...] = ()

    def add(self, listener: Callable[[Removal], None]) -> Callable[[], None]:
        """Call *listener* for each removal; return a function that removes it."""
        with self._lock:
            self._listeners = (*self._listeners, listener)
            watches, self._watches = self._watches, True
        if not watches:  # only now, so that backends do no work without listeners
            self._backend.add_removal_listener(self.notify)

        def remove() -> None:
            with self._lock:
                self._listeners = tuple(each for each in self._listeners if each is not listener)

        return remove

    def notify(self, full: str, cause: RemovalCause) -> None:
        """Notify listeners that the entry of *full*, a key with its prefix, was removed; keys of other namespaces are ignored."""
        if not self._listeners or not full.startswith(self._prefix):
            return
        removal = Removal(full[len(self._prefix) :], cause)
        for listener in self._listeners:
            try:
                listener(removal)
            except Exception:
                logger.exception("a removal listener failed on %r (%s)", removal.key, removal.cause)
