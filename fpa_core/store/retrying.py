"""Decide whether a write that failed, and of which nothing was kept, is tried again."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from fpa_core.exceptions import ConnectionLostError, DatabaseBusyError, DatabaseError

__all__ = ["Retry"]

BUSY_TRIES = 3
"""How often a write is tried while other writers hold the database; each try waits for the store's busy timeout."""

LOST_FOR = 30.0
"""Seconds for which a write is tried while the server cannot be reached: a replica needs a while to take over."""

SHORTEST_PAUSE, LONGEST_PAUSE = 0.05, 0.5
"""Seconds between two tries while the server cannot be reached; each pause is twice as long as the one before."""

_log = logging.getLogger("fpa.store")


class Retry:
    """The tries of one write, which must be the same each time: rows that an earlier try stored would be recognised.

    :param monotonic: seconds; ``sleep`` waits for so many.
    """

    def __init__(
        self, monotonic: Callable[[], float] = time.monotonic, sleep: Callable[[float], object] = time.sleep
    ) -> None:
        self._monotonic = monotonic
        self._sleep = sleep
        self._busy = 0
        self._lost_at: float | None = None
        self._pause = SHORTEST_PAUSE

    def after(self, error: DatabaseError) -> None:
        """Return when the next try is due, or raise *error* if there is none."""
        if isinstance(error, DatabaseBusyError):
            self._busy += 1
            if self._busy < BUSY_TRIES:
                return
        elif isinstance(error, ConnectionLostError):
            now = self._monotonic()
            if self._lost_at is None:
                self._lost_at = now
                _log.warning("%s; trying again for %g s", error.message.partition("\n")[0], LOST_FOR)
            if now - self._lost_at < LOST_FOR:
                self._sleep(self._pause)
                self._pause = min(2 * self._pause, LONGEST_PAUSE)
                return
        raise error
