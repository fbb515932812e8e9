"""What yfinance sends its requests with: within a rate limit, with a time-out, and to another host if one is given."""

from __future__ import annotations

import re
import threading
from typing import Any

from curl_cffi.requests import Response, Session

from fpa_core.sources.rates import RateLimiter

__all__ = ["LimitedSession", "Stopped"]

LONGEST_PAUSE = 120.0
"""The longest pause in seconds that an answer may ask for."""


class Stopped(Exception):  # noqa: N818  # not an error: the caller asked for it
    """Raised when a request is cancelled."""


class LimitedSession(Session[Response]):
    """A session of curl_cffi, which Yahoo takes for a browser.

    :param host: the host to send requests to instead of Yahoo's; None for Yahoo's.
    :ivar stop: set to cancel what waits for the limit.
    """

    def __init__(self, limiter: RateLimiter, timeout: float, host: str | None) -> None:
        super().__init__(impersonate="chrome")
        self._limiter = limiter
        self._limit = timeout
        self._host = host
        self.stop = threading.Event()

    def request(self, method: Any, url: str, **options: Any) -> Any:  # type: ignore[override]
        """Send a request when the limit allows it.

        :raises Stopped: if it was cancelled before.
        """
        if not self._limiter.wait(self.stop):
            raise Stopped
        if self._host is not None:
            url = re.sub(r"^https?://[^/]+", self._host, url)
        response = super().request(method, url, **(options | {"timeout": self._limit}))
        if response.status_code == 429:
            asked = response.headers.get("Retry-After") or ""
            if asked.isdecimal():
                self._limiter.pause(min(LONGEST_PAUSE, float(asked)))
        return response
