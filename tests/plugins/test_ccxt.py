"""History of crypto exchanges: the real ccxt against a server that answers in the shapes of Binance, with the habits of exchanges."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from attrs import define, field, frozen
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fpa_core import hookimpl
from fpa_core.arrow.conversion import from_table
from fpa_core.exceptions import ConfigError, DataError, SourceError
from fpa_core.kinds import BARS, QUOTES, TRADES
from fpa_core.layer import open_layer
from fpa_core.models import Bar, Side, Trade
from fpa_core.numbers import Instant
from fpa_core.plugins import PluginManager
from fpa_core.protocols import Capability, HistoryRequest

pytest.importorskip("ccxt")

from fpa_plugins.ccxt.plugin import CcxtOptions, create

T0 = 1_609_459_200_000
"""2021-01-01, in milliseconds."""
MS = 10**6

MARKET = {
    "symbol": "BTCUSDT", "status": "TRADING", "baseAsset": "BTC", "baseAssetPrecision": 8, "quoteAsset": "USDT", "quotePrecision": 8,
    "quoteAssetPrecision": 8, "orderTypes": ["LIMIT"], "isSpotTradingAllowed": True, "isMarginTradingAllowed": False,
    "filters": [
        {"filterType": "PRICE_FILTER", "minPrice": "0.01", "maxPrice": "1000000.00", "tickSize": "0.01"},
        {"filterType": "LOT_SIZE", "minQty": "0.00001", "maxQty": "9000.0", "stepSize": "0.00001"},
    ],
    "permissions": ["SPOT"],
}  # fmt: skip


@define
class Exchange:
    """Rows in Binance's shapes, and the habits with which they are given.

    :ivar page: rows in an answer at most, whatever the limit.
    :ivar window: milliseconds that an answer looks ahead at most; None for any.
    :ivar failures: statuses of the next answers.
    """

    klines: list[list[Any]] = field(factory=list)
    trades: list[dict[str, Any]] = field(factory=list)
    page: int = 1_000
    window: int | None = None
    failures: list[int] = field(factory=list)
    asked: list[dict[str, str]] = field(factory=list)
    url: str = ""

    def answer(self, path: str, query: dict[str, str]) -> tuple[int, Any]:
        if path.endswith("exchangeInfo"):
            return 200, {
                "timezone": "UTC",
                "serverTime": 1,
                "rateLimits": [],
                "exchangeFilters": [],
                "symbols": [MARKET],
            }
        self.asked.append(query)
        if self.failures:
            return self.failures.pop(0), {"code": -1003, "msg": "it is busy"}
        since = int(query["startTime"])
        limit = min(int(query["limit"]), self.page)
        until = int(query.get("endTime", 2**62))
        until = until if self.window is None else min(until, since + self.window)
        if path.endswith("klines"):
            return 200, [row for row in self.klines if since <= row[0] <= until][:limit]
        return 200, [row for row in self.trades if since <= row["T"] <= until][:limit]


@pytest.fixture
def exchange() -> Iterator[Exchange]:
    """Run the server."""
    state = Exchange()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            """Do nothing."""

        def do_GET(self) -> None:
            """Answer."""
            url = urlsplit(self.path)
            status, body = state.answer(url.path, {name: values[0] for name, values in parse_qs(url.query).items()})
            text = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    state.url = f"http://127.0.0.1:{server.server_address[1]}"
    yield state
    server.shutdown()
    server.server_close()
    thread.join(10)


Make = Callable[..., Any]


@pytest.fixture
def source(exchange: Exchange) -> Make:
    """Return a function that makes the source."""
    spot = {"fetchMarkets": {"types": ["spot"]}}
    return lambda **options: create(CcxtOptions(**({"url": exchange.url, "backoff": 0.01, "options": spot} | options)))


def kline(number: int, close: str = "28961.66000000") -> list[Any]:
    """Return a bar of the minute of a number."""
    at = T0 + number * 60_000
    return [
        at,
        "28923.63",
        "28961.66",
        "28913.12",
        close,
        "27.457032",
        at + 59_999,
        "794382.04",
        1292,
        "16.7",
        "4853.8",
        "0",
    ]


def trade(number: int, ms: int, price: str = "28923.63000000") -> dict[str, Any]:
    """Return an aggregated trade."""
    return {"a": number, "p": price, "q": "0.01000000", "f": number, "l": number, "T": T0 + ms, "m": True, "M": True}


def asked(kind: Any, start: int = 0, end: int = 3_600_000, **more: Any) -> HistoryRequest:
    return HistoryRequest(kind=kind, symbol="BTC/USDT", start=(T0 + start) * MS, end=(T0 + end) * MS, **more)


def rows_of(source: Any, request: HistoryRequest) -> list[Any]:
    pages = list(source.history(request))
    untils = [page.until for page in pages]
    assert sorted(untils) == untils
    assert request.end == untils[-1]
    return [row for page in pages if page.chunk is not None for row in from_table(request.kind, page.chunk.table)]


def test_declared(source: Make) -> None:
    """It has a history, data at any time, and the limit that ccxt knows of the exchange."""
    binance = source()
    assert ({Capability.HISTORY}, "ccxt:binance", None) == (binance.capabilities, binance.origin, binance.calendar)
    assert binance.limit.requests > 100


def test_bars_and_trades_are_exact(exchange: Exchange, source: Make) -> None:
    """Numbers are those that the exchange writes; trades have their id and the side of the aggressor."""
    exchange.klines = [kline(0, "28961.123456789012345678")]
    exchange.trades = [trade(7, 123)]
    (bar,) = rows_of(source(), asked(BARS, interval="1m"))
    expected = Bar(
        "BTC/USDT",
        Instant(T0 * MS),
        "28923.63",
        "28961.66",
        "28913.12",
        Decimal("28961.123456789012345678"),
        "27.457032",
        "1m",
    )
    assert expected == bar
    (found,) = rows_of(source(), asked(TRADES))
    assert Trade("BTC/USDT", Instant((T0 + 123) * MS), "28923.63", "0.01", None, "binance", "7", Side.SELL) == found


def test_short_pages_are_no_end(exchange: Exchange, source: Make) -> None:
    """Pages that are shorter than asked for are followed by others, until the range ends."""
    exchange.klines = [kline(number) for number in range(60)]
    exchange.page = 7
    assert [T0 + number * 60_000 for number in range(10, 50)] == [
        bar.ts_ns // MS for bar in rows_of(source(), asked(BARS, 600_000, 3_000_000, interval="1m"))
    ]


def test_empty_pages_are_no_end(exchange: Exchange, source: Make) -> None:
    """Hours without trades are passed over; what comes after them is fetched."""
    exchange.window = 3_600_000
    exchange.trades = [trade(1, 0), trade(2, 20_000_000)]
    assert ["1", "2"] == [one.trade_id for one in rows_of(source(), asked(TRADES, 0, 30_000_000))]


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], max_examples=20, deadline=None
)
@given(st.lists(st.integers(0, 40), max_size=40).map(sorted), st.integers(1, 9), st.sampled_from([None, 3, 3_600_000]))
def test_no_row_is_lost_or_doubled(
    exchange: Exchange, source: Make, times: list[int], page: int, window: int | None
) -> None:
    """However pages cut rows of a millisecond, each comes once; more of them than a page holds are an error, not a loss."""
    exchange.trades = [trade(number, at) for number, at in enumerate(times, 1)]
    exchange.page = page
    exchange.window = window
    inside = [str(number) for number, at in enumerate(times, 1) if 5 <= at < 35]
    try:
        found = rows_of(source(page_rows=page, window=(window or 3_600_000) / 1_000), asked(TRADES, 5, 35))
    except SourceError:
        assert max(times.count(at) for at in times) >= page
        return
    assert inside == [one.trade_id for one in found]


def test_pages_that_cut_a_millisecond_between_ids(exchange: Exchange, source: Make) -> None:
    """Trades 9, 10 and 11 of one millisecond, of which ccxt puts 10 before 9, come once each and in order, wherever a page ends."""
    exchange.trades = [trade(6, 3), trade(7, 3), trade(9, 5), trade(10, 5), trade(11, 5), trade(12, 6)]
    for page in (4, 5, 6):
        exchange.page = page
        found = [one.trade_id for one in rows_of(source(page_rows=page), asked(TRADES))]
        assert ["6", "7", "9", "10", "11", "12"] == found


def test_a_page_of_one_millisecond(exchange: Exchange, source: Make) -> None:
    """More rows of a millisecond than an exchange gives, whatever the limit, are an error, not a loss; fewer than a hundred are all there."""
    exchange.page = 120
    exchange.trades = [trade(number, 5) for number in range(1, 100)]
    assert 99 == len(rows_of(source(), asked(TRADES)))
    exchange.trades = [trade(number, 5) for number in range(1, 151)]
    with pytest.raises(SourceError, match="same millisecond"):
        rows_of(source(), asked(TRADES))


def test_failures(exchange: Exchange, source: Make) -> None:
    """What may pass is tried again; what stays is an error of the source that says so."""
    exchange.klines = [kline(0)]
    exchange.failures = [503, 502]
    assert 1 == len(rows_of(source(), asked(BARS, interval="1m")))
    exchange.failures = [503] * 2
    with pytest.raises(SourceError, match="ccxt:binance: ") as caught:
        rows_of(source(tries=2), asked(BARS, interval="1m"))
    assert caught.value.transient


def test_what_there_is_not(source: Make) -> None:
    """Unknown exchanges, pairs, kinds and intervals are refused with what there is."""
    with pytest.raises(ConfigError, match="'binanse'") as caught:
        source(exchange="binanse")
    assert "binance" in str(caught.value.hint)
    with pytest.raises(DataError, match="XYZ"):
        list(source().history(HistoryRequest(kind=TRADES, symbol="XYZ/USDT", start=T0 * MS, end=T0 * MS + 1)))
    with pytest.raises(DataError, match="no history of quotes"):
        rows_of(source(), asked(QUOTES))
    with pytest.raises(DataError, match="'7m'"):
        rows_of(source(), asked(BARS, interval="7m"))


def test_cancelled(exchange: Exchange, source: Make) -> None:
    """A history that is told to stop claims no more than it has read."""
    exchange.klines = [kline(number) for number in range(60)]
    exchange.page = 7
    stop = threading.Event()
    pages = source().history(asked(BARS, interval="1m", stop=stop))
    first = next(pages)
    stop.set()
    assert [] == list(pages)
    assert first.until == (T0 + 6 * 60_000) * MS


def test_through_the_layer(exchange: Exchange, source: Make) -> None:
    """`data.get` stores bars of an exchange and asks for each range once."""
    exchange.klines = [kline(number) for number in range(60)]
    exchange.page = 13

    @frozen
    class Options:
        """None."""

    class Plugin:
        @hookimpl
        def fpa_register_sources(self, register: Any) -> None:
            register("coins", lambda _: source(), Options)

    manager = PluginManager(extra=[("coins", Plugin())])
    with open_layer(":memory:", plugins=manager) as data:
        for _ in range(2):
            bars = data.get(
                Bar, "BTC/USDT", Instant(T0 * MS), Instant((T0 + 3_600_000) * MS), via="coins", interval="1m"
            )
            assert 60 == bars.count()
        before = len(exchange.asked)
        plan = data.sources.plan(
            "coins",
            data.sources.gaps(
                "coins", Bar, "BTC/USDT", start=Instant(T0 * MS), end=Instant((T0 + 3_600_000) * MS), interval="1m"
            ),
        )
        assert (0, before) == (plan.requests, len(exchange.asked))
