"""Which batches are committed, but not yet told of; and how those that end meanwhile wait for that.

A batch that finds its rows stored already, by one committed a moment before, changes nothing and tells nobody. Without waiting, its caller
could read from a cache that has not heard of the other batch yet, and miss the very rows whose writing was acknowledged.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator

__all__ = ["Telling"]


class Telling:
    """The batches of one store between their commit and the end of their telling."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._untold: dict[threading.Event, tuple[int, int]] = {}  # and in which process and thread

    @contextlib.contextmanager
    def batch(self) -> Iterator[None]:
        """Enter before the commit and leave after the telling; waits, unless something failed, for batches that were committed before."""
        told, own = threading.Event(), (os.getpid(), threading.get_ident())
        with self._lock:
            nested = own in self._untold.values()  # a listener that writes must not wait for who waits for it
            self._untold[told] = own
        try:
            yield
        finally:
            with self._lock:
                del self._untold[told]
                # A forked child has its parent's batches, but not the threads that would end them.
                others = () if nested else [each for each, (pid, _) in self._untold.items() if pid == own[0]]
            told.set()
        for other in others:
            other.wait()
