"""A server on loopback that answers as Yahoo Finance does to yfinance: charts with their events, cookies and crumbs, and its faults.

Shape: the answers of ``/v8/finance/chart``, as recorded in the tests of yfinance (``tests/data``). Prices are single-precision numbers, and those before
a split are divided by its ratio; so are volumes multiplied, and dividends divided.
"""

from __future__ import annotations

import contextlib
import json
import math
import threading
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from zoneinfo import ZoneInfo

import numpy as np
from attrs import define, field, frozen

__all__ = ["Day", "Listing", "Minute", "YahooServer", "yahoo_server"]

STEPS = {"1m": 60, "2m": 120, "5m": 300, "15m": 900, "30m": 1_800, "60m": 3_600, "90m": 5_400}


@frozen
class Day:
    """A day as it was traded: prices as texts, None for a day of which Yahoo has no price."""

    on: date
    open: str | None
    high: str | None
    low: str | None
    close: str | None
    volume: int | None


@frozen
class Minute:
    """A bar within a day, at a time in UTC."""

    at: datetime
    open: str
    high: str
    low: str
    close: str
    volume: int


@define
class Listing:
    """A security: what was traded, and what the company did.

    :ivar splits: new and old shares by date; ``dividends`` and ``gains`` amounts as they were paid.
    """

    days: list[Day] = field(factory=list)
    minutes: list[Minute] = field(factory=list)
    splits: dict[date, tuple[int, int]] = field(factory=dict)
    dividends: dict[date, str] = field(factory=dict)
    gains: dict[date, str] = field(factory=dict)
    zone: str = "America/New_York"
    opens: tuple[int, int] = (9, 30)
    currency: str | None = "USD"
    kind: str = "EQUITY"

    def opening(self, day: date) -> int:
        """Return when the exchange opens, in seconds since 1970."""
        return int(datetime(day.year, day.month, day.day, *self.opens, tzinfo=ZoneInfo(self.zone)).timestamp())

    def factor(self, day: date) -> Fraction:
        """Return what prices of a day are divided by."""
        later = [Fraction(new, old) for on, (new, old) in self.splits.items() if on > day]
        return math.prod(later, start=Fraction(1))


@define
class YahooServer:
    """The state of the server; everything may be changed while it runs.

    :ivar faults: status and body of the next answers for charts; ``asked`` the requests for charts so far.
    :ivar longest: days of bars of a minute that it gives in one answer.
    """

    listings: dict[str, Listing] = field(factory=dict)
    faults: list[tuple[int, str]] = field(factory=list)
    asked: list[tuple[str, dict[str, str]]] = field(factory=list)
    longest: int = 8
    url: str = ""

    def answer(self, path: str, query: dict[str, str]) -> tuple[int, str]:
        """Return status and body."""
        if path.endswith("/getcrumb"):
            return 200, "kRum8/aBcDe"
        if not path.startswith("/v8/finance/chart/"):
            return (200, "") if path == "/" else (404, "Not Found")
        symbol = unquote(path.rpartition("/")[2])
        self.asked.append((symbol, query))
        if self.faults:
            return self.faults.pop(0)
        listing = self.listings.get(symbol)
        if listing is None:
            return 404, _error("Not Found", "No data found, symbol may be delisted")
        first, last = int(query.get("period1", 0)), int(query.get("period2", 2**40))
        if query["interval"] == "1m" and last - first > self.longest * 86_400:
            return 422, _error(
                "Unprocessable Entity", "1m data not available. Only 8 days worth of 1m granularity data are allowed."
            )
        return 200, json.dumps(
            {"chart": {"result": [self._chart(symbol, listing, query["interval"], first, last)], "error": None}}
        )

    def _chart(self, symbol: str, listing: Listing, interval: str, first: int, last: int) -> dict[str, Any]:
        rows: Sequence[Any]
        if interval == "1d":
            rows = [(listing.opening(day.on), day.on, day) for day in listing.days]
        else:
            rows = [(int(one.at.timestamp()), one.at.date(), one) for one in listing.minutes]
        rows = [row for row in rows if first <= row[0] < last]
        quote: dict[str, list[Any]] = {name: [] for name in ("open", "high", "low", "close", "volume")}
        for _, on, row in rows:
            factor = listing.factor(on)
            for name in ("open", "high", "low", "close"):
                quote[name].append(_single(getattr(row, name), factor))
            quote["volume"].append(None if row.volume is None else int(row.volume * factor))
        result: dict[str, Any] = {"meta": _meta(symbol, listing, interval)}
        indicators: dict[str, Any] = {"quote": [quote if rows else {}]}
        if rows:
            result["timestamp"] = [at for at, _, _ in rows]
            if interval == "1d":
                # A made-up adjustment: of every dividend, a hundredth.
                after = [sum(on > day for on in listing.dividends) for _, day, _ in rows]
                closes = [
                    None if close is None else close * 0.99**count
                    for close, count in zip(quote["close"], after, strict=True)
                ]
                indicators["adjclose"] = [{"adjclose": closes}]
        if events := _events(listing, first, last):
            result["events"] = events
        return result | {"indicators": indicators}


def _single(text: str | None, factor: Fraction) -> float | None:
    return None if text is None else float(np.float32(float(Fraction(Decimal(text)) / factor)))


def _events(listing: Listing, first: int, last: int) -> dict[str, Any]:
    events: dict[str, Any] = {}

    def add(name: str, on: date, message: Mapping[str, Any]) -> None:
        at = listing.opening(on)
        if first <= at < last:
            events.setdefault(name, {})[str(at)] = {"date": at, **message}

    for on, text in listing.dividends.items():
        add("dividends", on, {"amount": float(Fraction(Decimal(text)) / listing.factor(on))})
    for on, text in listing.gains.items():
        add("capitalGains", on, {"amount": float(Fraction(Decimal(text)) / listing.factor(on))})
    for on, (new, old) in listing.splits.items():
        add("splits", on, {"numerator": float(new), "denominator": float(old), "splitRatio": f"{new}:{old}"})
    return events


def _meta(symbol: str, listing: Listing, interval: str) -> dict[str, Any]:
    zone = ZoneInfo(listing.zone)
    dates = sorted({day.on for day in listing.days} | {one.at.astimezone(zone).date() for one in listing.minutes})
    today = dates[-1] if dates else date(2024, 5, 1)

    def period(day: date, hours: tuple[float, float]) -> dict[str, Any]:
        begin = listing.opening(day) + int(hours[0] * 3600)
        offset = datetime.fromtimestamp(begin, zone).utcoffset() or timedelta(0)
        return {
            "timezone": datetime.fromtimestamp(begin, zone).tzname(),
            "start": begin,
            "end": begin + int(hours[1] * 3600),
            "gmtoffset": int(offset.total_seconds()),
        }  # fmt: skip

    meta = {
        "currency": listing.currency, "symbol": symbol, "exchangeName": "NMS", "fullExchangeName": "NasdaqGS",
        "instrumentType": listing.kind, "firstTradeDate": 345479400, "regularMarketTime": listing.opening(today) + 23_400,
        "hasPrePostMarketData": True, "gmtoffset": period(today, (0, 6.5))["gmtoffset"], "timezone": period(today, (0, 6.5))["timezone"],
        "exchangeTimezoneName": listing.zone, "regularMarketPrice": 129.04, "chartPreviousClose": 124.81, "priceHint": 2,
        "currentTradingPeriod": {
            "pre": period(today, (-5.5, 5.5)), "regular": period(today, (0, 6.5)), "post": period(today, (6.5, 4)),
        },
        "dataGranularity": interval, "range": "",
        "validRanges": ["1d", "5d", "1mo", "3mo", "6mo", "1y", "2y", "5y", "10y", "ytd", "max"],
    }  # fmt: skip
    if interval != "1d":
        meta["tradingPeriods"] = [[period(day, (0, 6.5))] for day in dates]
    return meta


def _error(code: str, description: str) -> str:
    return json.dumps({"chart": {"result": None, "error": {"code": code, "description": description}}})


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    state: YahooServer

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Do nothing."""

    def do_GET(self) -> None:
        """Answer."""
        url = urlsplit(self.path)
        status, body = self.state.answer(url.path, {name: values[0] for name, values in parse_qs(url.query).items()})
        data = body.encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json" if body.startswith("{") else "text/html")
        self.send_header("Content-Length", str(len(data)))
        if status == 429:
            self.send_header("Retry-After", "0")
        self.end_headers()
        with contextlib.suppress(OSError):
            self.wfile.write(data)


@contextlib.contextmanager
def yahoo_server() -> Iterator[YahooServer]:
    """Run the server on a free port of loopback."""
    state = YahooServer()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"state": state}))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    state.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


def utc(*parts: int) -> datetime:
    """Return a time in UTC."""
    return datetime(*parts, tzinfo=UTC)  # type: ignore[arg-type]
