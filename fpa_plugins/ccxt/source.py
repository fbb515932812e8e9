"""The source ``ccxt``: trades and bars of an exchange, page by page.

ccxt asks for rows from a time on, in milliseconds. What comes is a habit of each exchange: pages are short whatever the limit, a page may be empty
although later ones are not, and rows of the last millisecond may be cut. So a page that is short or empty is no end; the end is the end of the range.
"""

from __future__ import annotations

import logging
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import ccxt

from fpa_core.arrow.conversion import to_table
from fpa_core.config import closest_match
from fpa_core.exceptions import ConfigError, DataError, SourceError
from fpa_core.intervals import longest_ns
from fpa_core.kinds import BARS, TRADES
from fpa_core.models import Bar, Trade
from fpa_core.numbers import Instant
from fpa_core.protocols import Capability, Chunk, Estimate, HistoryRequest, Page, RateLimit, Reject, SourceRequest
from fpa_core.sources.history import read_history
from fpa_core.sources.rates import RateLimiter
from fpa_plugins.ccxt.options import CcxtOptions

__all__ = ["CcxtSource"]

_log = logging.getLogger("fpa.ccxt")

MS = 10**6
TRADES_PER_DAY = 1_000_000
"""About what a liquid pair has; the estimate of one whose past is not known."""

SMALL_PAGE = 100
"""A page of fewer rows is not taken for one that was cut: every exchange gives more."""

Ask = Callable[[int], Sequence[Any]]


class CcxtSource:
    """See :class:`fpa_core.protocols.HistorySource`."""

    capabilities = frozenset({Capability.HISTORY})
    calendar: str | None = None

    def __init__(self, options: CcxtOptions) -> None:
        self.origin = f"ccxt:{options.exchange}"
        self.settles = options.settles
        self._options = options
        self._exchange = _exchange(options)
        self.limit: RateLimit | None = RateLimit(max(1, int(60_000 / self._exchange.rateLimit)), 60.0)
        self._limiter = RateLimiter(self.limit)
        self._lock = threading.Lock()  # ccxt's objects are not for several threads

    def read(self, request: SourceRequest) -> Iterator[Chunk]:
        """Yield the rows of a symbol for ``fpa ingest --via``."""
        return read_history(self, request, time.time_ns)

    def estimate(self, request: HistoryRequest) -> Estimate:
        """Return what a history is expected to take; for bars exact, if the exchange fills its pages."""
        length = request.end - request.start
        if request.kind is BARS:
            rows = -(-length // longest_ns(str(request.interval)))
        else:
            rows = -(-length * TRADES_PER_DAY // (86_400 * 10**9))
        return Estimate(max(1, -(-rows // self._options.page_rows)), rows)

    def history(self, request: HistoryRequest) -> Iterator[Page]:
        """Yield the pages of a history."""
        if request.start >= request.end:
            return iter(())
        if request.kind is BARS:
            return self._bars(request)
        if request.kind is TRADES:
            return self._trades(request)
        raise DataError(
            f"{self.origin} has no history of {request.kind.name}", hint="it has trades and bars", field="kind"
        )

    def _bars(self, request: HistoryRequest) -> Iterator[Page]:
        interval = str(request.interval)
        word = {"mo": "M"}.get(interval.lstrip("0123456789"), interval[-1])
        timeframe = f"{interval.rstrip('abcdefghijklmnopqrstuvwxyz')}{word}"
        if timeframe not in (self._exchange.timeframes or {}):
            raise DataError(
                f"{self.origin} has no bars of the interval {interval!r}",
                hint=f"it has {', '.join(self._exchange.timeframes or ())}",
                field="interval",
                value=interval,
            )
        step = longest_ns(interval) // MS
        limit = self._most("fetchOHLCV")

        def ask(since: int) -> Sequence[Any]:
            found: Sequence[Any] = self._exchange.fetch_ohlcv(request.symbol, timeframe, since, limit)
            return found

        def make(row: Any) -> Bar:
            return Bar(request.symbol, Instant(row[0] * MS), row[1], row[2], row[3], row[4], row[5], interval)

        return self._pages(request, ask, make, lambda row: row[0], tuple, limit, step * limit)

    def _trades(self, request: HistoryRequest) -> Iterator[Page]:
        limit = self._most("fetchTrades")

        def ask(since: int) -> Sequence[Any]:
            found: Sequence[Any] = self._exchange.fetch_trades(request.symbol, since, limit)
            return found

        def make(row: Any) -> Trade:
            return Trade(
                request.symbol,
                Instant(row["timestamp"] * MS),
                row["price"],
                row["amount"],
                exchange=self._exchange.id,
                trade_id=row["id"],
                side=row["side"],
            )

        return self._pages(
            request, ask, make, lambda row: row["timestamp"], _identity, limit, int(self._options.window * 1_000)
        )

    def _most(self, method: str) -> int:
        """Return how many rows to ask for: no more than ccxt knows that the exchange gives."""
        known = ((self._exchange.features or {}).get("spot") or {}).get(method) or {}
        return min(self._options.page_rows, known.get("limit") or self._options.page_rows)

    def _pages(
        self,
        request: HistoryRequest,
        ask: Ask,
        make: Callable[[Any], Any],
        time_of: Callable[[Any], int],
        identity: Callable[[Any], Any],
        limit: int,
        empty_step: int,
    ) -> Iterator[Page]:
        """Yield pages from the start of a range to its end.

        Each page after the first begins again at the last millisecond of the one before, since rows of that one may have been cut; those of its rows
        that are known by their identity are left out. After an empty page it goes on *empty_step* milliseconds later.

        ccxt orders rows of a millisecond by the text of their id, 10 before 9. So what is known cannot be told from its place, and the order is put right.
        """
        since, end_ms = request.start // MS, -(-request.end // MS)
        known: Counter[Any] = Counter()  # rows of the millisecond `since` that were delivered
        read = largest = 0
        while since < end_ms:
            rows = self._ask(ask, since, request.stop)
            if rows is None:
                return
            rows = sorted((row for row in rows if since <= time_of(row)), key=lambda row: (time_of(row), identity(row)))
            new = _without(rows, known, identity)
            largest = max(largest, len(rows))
            if not new:
                # Nothing more from this time on, as far as the exchange looked.
                # A page as large as any, of one millisecond alone, was cut: asking again gives the same rows.
                if rows and len(rows) >= min(limit, max(largest, SMALL_PAGE)):
                    raise SourceError(
                        f"{self.origin}: more than {len(rows):,} rows have the same millisecond, of which it lists no more",
                        source=self.origin,
                    )
                since, known = since + (1 if rows else empty_step), Counter()
                yield Page(None, min(request.end, since * MS))
                continue
            last = time_of(new[-1])
            of_last = Counter(identity(row) for row in new if time_of(row) == last)
            known = known + of_last if last == since else of_last
            since = last
            wanted = [row for row in new if request.start <= time_of(row) * MS < request.end]
            chunk = _chunk(request, wanted, make, read)
            read += len(wanted)
            yield Page(chunk, min(request.end, max(request.start, last * MS)))
        yield Page(None, request.end)

    def _ask(self, ask: Ask, since: int, stop: threading.Event) -> Sequence[Any] | None:
        """Return a page, or None if told to stop.

        :raises SourceError: if the exchange refuses, or does not answer within the budget of tries.
        """
        options = self._options
        for number in range(options.tries):
            if not self._limiter.wait(stop):
                return None
            try:
                with self._lock:
                    return ask(since)
            except ccxt.BadSymbol as error:
                raise DataError(
                    f"{self.origin}: {error}", hint="write pairs as ccxt does: BTC/USDT", field="symbol"
                ) from None
            except ccxt.NetworkError as error:
                problem = SourceError(
                    f"{self.origin}: {type(error).__name__}", source=self.origin, transient=True, hint="try later"
                )
                if number + 1 == options.tries:
                    raise problem from None
                _log.warning("%s; trying again", problem.message)
                if stop.wait(min(30.0, options.backoff * 2**number)):
                    return None
            except ccxt.BaseError as error:
                raise SourceError(f"{self.origin}: {type(error).__name__}: {error}", source=self.origin) from None
        raise AssertionError("unreachable")


def _identity(trade: Any) -> tuple[Any, ...]:
    """Return by what a trade is known again, and ordered within its millisecond: its id, numbers in their order; else all it has."""
    number = trade["id"]
    return (0, "", str(trade)) if number is None else (len(number), number, "")


def _without(rows: Sequence[Any], known: Mapping[Any, int], identity: Callable[[Any], Any]) -> list[Any]:
    """Return rows without those that are known, each as often as it is."""
    left = dict(known)
    new = []
    for row in rows:
        key = identity(row)
        if left.get(key, 0) > 0:
            left[key] -= 1
        else:
            new.append(row)
    return new


def _chunk(request: HistoryRequest, rows: Sequence[Any], make: Callable[[Any], Any], before: int) -> Chunk | None:
    records, numbers, rejects = [], [], []
    for number, row in enumerate(rows, before + 1):
        try:
            records.append(make(row))
            numbers.append(number)
        except (DataError, KeyError, TypeError, IndexError) as error:
            problem = error.message if isinstance(error, DataError) else f"the row has no {error}"
            rejects.append(Reject(number, repr(row), problem))
    if not rows:
        return None
    return Chunk(request.kind, to_table(request.kind, records), numbers, rejects)


def _exchange(options: CcxtOptions) -> Any:
    """Return ccxt's object for an exchange, which gives numbers as they were written.

    :raises ConfigError: if there is no such exchange.
    """
    if options.exchange not in ccxt.exchanges:
        raise ConfigError(
            f"sources.ccxt.exchange: ccxt has no exchange {options.exchange!r}",
            hint=closest_match(options.exchange, ccxt.exchanges),
        )
    exchange = getattr(ccxt, options.exchange)(
        {
            "enableRateLimit": False,  # the limiter waits, and can be stopped
            "timeout": int(options.timeout * 1_000),
            "number": str,
            "options": dict(options.options),
        }
    )
    if options.url is not None:
        exchange.urls["api"] = _with_host(exchange.urls["api"], options.url.rstrip("/"))
    return exchange


def _with_host(urls: Any, host: str) -> Any:
    if isinstance(urls, dict):
        return {name: _with_host(url, host) for name, url in urls.items()}
    return re.sub(r"^https?://[^/]+", host, urls) if isinstance(urls, str) else urls
