"""A limiter for sources that may be asked only so often."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable

from fpa_core.protocols import RateLimit

__all__ = ["RateLimiter"]


SHORTEST = 1e-6
"""The shortest wait, in seconds."""


class RateLimiter:
    """Lets at most so many requests begin in any window of time. Safe to use from many threads.

    :param limit: the limit; None for none.
    :param monotonic: returns seconds that never go back.
    """

    def __init__(self, limit: RateLimit | None, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._limit = limit
        self._monotonic = monotonic
        self._begun: deque[float] = deque()
        self._not_before = float("-inf")
        self._lock = threading.Lock()

    def delay(self) -> float:
        """Return how many seconds to wait, or count a request as begun now and return 0."""
        with self._lock:
            now = self._monotonic()
            if self._not_before > now:
                return self._not_before - now
            if self._limit is None:
                return 0.0
            while self._begun and self._begun[0] <= now - self._limit.seconds:
                self._begun.popleft()
            if len(self._begun) < self._limit.requests:
                self._begun.append(now)
                return 0.0
            return max(SHORTEST, self._begun[0] + self._limit.seconds - now)  # which rounding may make nothing

    def pause(self, seconds: float) -> None:
        """Hold back requests for so many seconds, because the source asked for it."""
        with self._lock:
            self._not_before = max(self._not_before, self._monotonic() + seconds)

    def wait(self, stop: threading.Event) -> bool:
        """Wait until a request may begin; return false if *stop* was set meanwhile."""
        while (seconds := self.delay()) > 0:
            if stop.wait(seconds):
                return False
        return not stop.is_set()
