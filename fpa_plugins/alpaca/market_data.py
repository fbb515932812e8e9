"""History of quotes, trades and bars, one page of Alpaca's at a time."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from fpa_core.arrow.conversion import to_table
from fpa_core.exceptions import DataError, SourceError
from fpa_core.intervals import is_dated, longest_ns
from fpa_core.kinds import BARS, QUOTES, TRADES, Kind
from fpa_core.models import Quote, Trade
from fpa_core.numbers import ns_text, to_ns
from fpa_core.protocols import Chunk, Correction, Estimate, HistoryRequest, Page, Reject
from fpa_plugins.alpaca.library import StockHistoricalDataClient
from fpa_plugins.alpaca.messages import INVALID, RECORDS, TIMEFRAMES, cancellation, date_of, midnight_of, raw_text
from fpa_plugins.alpaca.rest import Stopped, stopping

__all__ = ["MarketDataClient"]

DAY_NS = 86_400 * 10**9

TRADED_SECONDS = 16 * 3600
"""Seconds of a day with trading, before and after the regular hours included."""

ROWS_PER_DAY = {QUOTES: 1_000_000, TRADES: 100_000}
"""About what a liquid name has on the whole market; the estimate of one whose past is not known."""


class MarketDataClient:
    """Alpaca's historical data.

    :param page_rows: rows asked for in one request, at most 10,000.
    """

    def __init__(self, rest: StockHistoricalDataClient, *, feed: str, page_rows: int) -> None:
        self._rest = rest
        self._feed = feed
        self._page_rows = page_rows

    def estimate(self, request: HistoryRequest) -> Estimate:
        """Return what a history is expected to take; exact for bars, unless some are missing."""
        days = math.ceil((request.end - request.start) / DAY_NS)
        if request.kind is BARS:
            rows = math.ceil(days * _bars_per_day(_interval(request)))
        else:
            rows = days * ROWS_PER_DAY[_supported(request.kind)]
        return Estimate(max(1, math.ceil(rows / self._page_rows)), rows)

    def history(self, request: HistoryRequest) -> Iterator[Page]:
        """Yield the rows of a range. All pages but the last end within an instant, of which more rows may follow."""
        name = _supported(request.kind).name
        make = functools.partial(RECORDS[request.kind], request.symbol, interval=request.interval)
        dated = request.kind is BARS and is_dated(_interval(request))
        start, end = (midnight_of(at) if dated else at for at in (request.start, request.end))
        if start >= end:
            yield Page(None, request.end)
            return
        parameters: dict[str, Any] = {
            "symbols": request.symbol,
            "start": ns_text(start),
            "end": ns_text(end - 1),  # Alpaca includes it
            "limit": self._page_rows,
            "sort": "asc",
            "feed": self._feed,
        }
        if request.kind is BARS:
            parameters |= {"timeframe": TIMEFRAMES[_interval(request)], "adjustment": "raw"}
        read, until, token = 0, request.start, None
        while True:
            try:
                with stopping(request.stop):
                    answer: Any = self._rest.get(
                        f"/stocks/{name}", parameters | ({"page_token": token} if token else {})
                    )
            except Stopped:
                return
            messages = _rows(answer, name, request.symbol)
            last = token
            token = answer.get("next_page_token")
            if token is not None and token == last:
                raise SourceError("alpaca: two pages of a history have the same token", source="alpaca")
            chunk, cancelled = _chunk(request.kind, messages, make, read)
            read += len(messages)
            if token is None:
                until = request.end
            elif messages:
                last_ns = to_ns(messages[-1]["t"])
                until = max(until, date_of(last_ns) if dated else last_ns)
            yield Page(chunk, until, cancelled)
            if token is None:
                return

    def latest(self, kind: Kind, symbols: Sequence[str]) -> list[Quote | Trade]:
        """Return the latest quote or trade of each symbol that has one."""
        name = _supported(kind).name
        parameters = {"symbols": ",".join(symbols), "feed": self._feed}
        answer: Any = self._rest.get(f"/stocks/{name}/latest", parameters)
        found = answer.get(name) if isinstance(answer, dict) else None
        return [RECORDS[kind](symbol, message) for symbol, message in (found or {}).items()]


def _supported(kind: Kind) -> Kind:
    if kind not in RECORDS:
        raise DataError(
            f"alpaca has no history of {kind.name}",
            hint=f"it has {', '.join(one.name for one in RECORDS)}",
            field="kind",
        )
    return kind


def _interval(request: HistoryRequest) -> str:
    if request.interval not in TIMEFRAMES:
        raise DataError(
            f"alpaca has no bars of the interval {request.interval!r}",
            hint="it has 1m to 59m, 1h to 23h, 1d, 1w, 1mo, 2mo, 3mo, 6mo and 12mo",
            field="interval",
            value=request.interval,
        )
    return str(request.interval)


def _bars_per_day(interval: str) -> float:
    return 1.0 if is_dated(interval) else TRADED_SECONDS * 10**9 / longest_ns(interval)


def _rows(answer: Any, name: str, symbol: str) -> Sequence[Any]:
    """Return the messages of a page.

    :raises SourceError: if the answer has another shape.
    """
    page = answer.get(name, answer) if isinstance(answer, dict) else answer
    rows = [] if page is None else page.get(symbol, []) if isinstance(page, dict) and name in answer else None
    if not isinstance(rows, list):
        raise SourceError(f"alpaca: an answer has no {name}", source="alpaca", status=200)
    return rows


def _chunk(
    kind: Kind, messages: Sequence[Any], make: Callable[[Any], Any], before: int
) -> tuple[Chunk | None, list[Correction]]:
    """Return messages as a chunk, without trades that are no longer valid."""
    records, rows, rejects, cancelled = [], [], [], []
    for row, message in enumerate(messages, before + 1):
        try:
            record = make(message)
        except (DataError, KeyError, TypeError, AttributeError) as error:
            rejects.append(_rejected(row, message, error))
            continue
        if kind is TRADES and message.get("u") in INVALID:
            if record.trade_id is not None:
                cancelled.append(cancellation({"S": record.symbol, **message}))
            continue
        records.append(record)
        rows.append(row)
    if not records and not rejects:
        return None, cancelled
    return Chunk(kind, to_table(kind, records), rows, rejects), cancelled


def _rejected(row: int, message: Any, error: Exception) -> Reject:
    problem = error.message if isinstance(error, DataError) else f"the message has no {error}"
    return Reject(row, raw_text(message), problem)
