"""Requests to Alpaca's REST interface through alpaca-py: with a time-out, within the rate limit, retried, and with exact decimals.

alpaca-py itself has no time-out, waits three seconds whatever the server says, retries only 429 and 504, reads numbers as floats, and raises
errors that fail on bodies that are not JSON. All of this passes through one of its methods, which is replaced here.
"""

from __future__ import annotations

import contextlib
import contextvars
import json
import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from typing import Any, TypeVar

import requests
from attrs import frozen

from fpa_core.exceptions import SourceError
from fpa_core.sources.rates import RateLimiter
from fpa_plugins.alpaca.library import CorporateActionsClient, StockHistoricalDataClient, TradingClient

__all__ = ["Client", "Requests", "Stopped", "sending", "stopping"]

Client = TypeVar("Client", StockHistoricalDataClient, CorporateActionsClient, TradingClient)

_log = logging.getLogger("fpa.alpaca")

LONGEST_WAIT = 65.0
"""The longest pause that a rate limit can ask for, in seconds: its window is a minute."""

_TRANSIENT = {429, 500, 502, 503, 504}
_NEVER = threading.Event()
_stop: contextvars.ContextVar[threading.Event] = contextvars.ContextVar("stop", default=_NEVER)


class Stopped(Exception):  # noqa: N818  # not an error: the caller asked for it
    """Raised when a request is cancelled."""


@contextlib.contextmanager
def stopping(stop: threading.Event) -> Iterator[None]:
    """Cancel the requests of this context as soon as *stop* is set: raise :class:`Stopped`."""
    token = _stop.set(stop)
    try:
        yield
    finally:
        _stop.reset(token)


@frozen
class Requests:
    """Sends requests.

    :ivar timeout: seconds that a whole answer may take.
    :ivar tries: how often a request is sent at most.
    :ivar backoff: the first pause between two tries, in seconds; it doubles up to 30 s.
    :ivar mask: takes the keys out of what a server says.
    """

    limiter: RateLimiter
    timeout: float
    tries: int
    backoff: float = 1.0
    mask: Callable[[str], str] = str
    wall_clock: Callable[[], float] = time.time

    def send(self, session: requests.Session, method: str, url: str, options: Mapping[str, Any]) -> Any:
        """Return the answer as JSON, its fractions as Decimal.

        :raises SourceError: if the server refuses, or does not answer properly within the budget of tries.
        :raises Stopped: if the request is cancelled.
        """
        stop = _stop.get()
        problem: SourceError | None = None
        for number in range(self.tries):
            if problem is not None:
                pause = min(30.0, self.backoff * 2 ** (number - 1))
                _log.warning("%s; trying again", problem.message)
                if stop.wait(pause):
                    raise Stopped
            if not self.limiter.wait(stop):
                raise Stopped
            try:
                return self._send(session, method, url, options)
            except SourceError as error:
                if not error.transient:
                    raise
                problem = error
        assert problem is not None
        raise problem

    def _send(self, session: requests.Session, method: str, url: str, options: Mapping[str, Any]) -> Any:
        place = url.partition("://")[2]
        deadline = time.monotonic() + self.timeout
        try:
            with session.request(method, url, stream=True, timeout=self.timeout, **options) as response:
                parts = []
                for part in response.iter_content(1 << 16):
                    parts.append(part)
                    if time.monotonic() > deadline:
                        raise requests.Timeout
                body = b"".join(parts)
        except requests.Timeout:
            raise SourceError(
                f"alpaca: no whole answer from {place} within {self.timeout:g} s",
                hint="raise timeout in [sources.alpaca], or try later",
                source="alpaca",
                transient=True,
            ) from None
        except requests.RequestException as error:
            # The text of the error may hold the request; its class says enough.
            raise SourceError(
                f"alpaca: the connection to {place} failed: {type(error).__name__}", source="alpaca", transient=True
            ) from None
        if response.status_code not in {200, 207}:
            raise self._refusal(response, body, place)
        if not body:
            return None
        try:
            return json.loads(body, parse_float=Decimal)
        except ValueError:
            raise SourceError(
                f"alpaca: {place} answered with something that is not JSON", source="alpaca", status=200, transient=True
            ) from None

    def _refusal(self, response: requests.Response, body: bytes, place: str) -> SourceError:
        status = response.status_code
        if status == 429:
            self.limiter.pause(self._until_reset(response.headers))
        said = ""
        with contextlib.suppress(ValueError):  # the bodies of gateways are HTML
            message = json.loads(body)
            if isinstance(message, dict) and "message" in message:
                said = f": {self.mask(str(message['message']))}"
        hint = None
        if status in {401, 403}:
            hint = "check the keys, whether they are of a paper account, and what the plan of the account includes"
        return SourceError(
            f"alpaca: {place} answered with status {status}{said}",
            hint=hint,
            source="alpaca",
            status=status,
            transient=status in _TRANSIENT,
        )

    def _until_reset(self, headers: Mapping[str, str]) -> float:
        try:
            seconds = float(headers["X-Ratelimit-Reset"]) - self.wall_clock()
        except (KeyError, ValueError):
            return 1.0
        return min(LONGEST_WAIT, max(0.05, seconds))


def sending(client: Client, sender: Requests) -> Client:
    """Make a client of alpaca-py send through *sender*, and return it."""

    def send(method: str, url: str, opts: dict[str, Any], retry: int) -> Any:  # noqa: ARG001  # as alpaca-py calls it
        return sender.send(client._session, method, url, opts)  # noqa: SLF001

    client._one_request = send  # type: ignore[method-assign]  # noqa: SLF001
    return client
