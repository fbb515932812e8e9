"""A circuit breaker: a server that keeps failing is left alone for a while, so that nobody waits for it."""

from __future__ import annotations

import time
from collections.abc import Callable

from fpa_core.cache.fork import fork_safe_lock

__all__ = ["CircuitBreaker"]

FAILURES = 3
"""Failures in a row after which the circuit opens."""


class CircuitBreaker:
    """Counts failures, and says whether the server may be asked.

    After three failures in a row it is not, until *retry_after* seconds have passed. Then one caller may ask; if that fails, too, the wait
    begins anew, and if it succeeds, all may ask again.

    :param retry_after: seconds.
    :ivar failures: how often the server failed, in all; ``refused`` how many calls were spared the wait.
    """

    def __init__(self, retry_after: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._retry_after = retry_after
        self._clock = clock
        self._lock = fork_safe_lock()
        self._in_a_row = 0
        self._retry_at = 0.0
        self.failures = 0
        self.refused = 0

    def may_ask(self) -> bool:
        """Return whether the caller may ask the server; it then reports :meth:`succeeded` or :meth:`failed`."""
        if self._in_a_row < FAILURES:
            return True
        with self._lock:
            if self._in_a_row < FAILURES:
                return True
            if (now := self._clock()) >= self._retry_at:
                self._retry_at = now + self._retry_after  # the others wait for the outcome
                return True
            self.refused += 1
            return False

    def succeeded(self) -> None:
        """Close the circuit."""
        if self._in_a_row:
            with self._lock:
                self._in_a_row = 0

    def failed(self) -> None:
        """Count a failure, and open the circuit after too many in a row."""
        with self._lock:
            self.failures += 1
            self._in_a_row += 1
            self._retry_at = self._clock() + self._retry_after
