"""History from Yahoo Finance: the real yfinance against a server that answers in Yahoo's shapes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from attrs import frozen
from hypothesis import given
from hypothesis import strategies as st

from fpa_core import hookimpl
from fpa_core.arrow.conversion import from_table
from fpa_core.exceptions import DataError, SourceError
from fpa_core.kinds import BARS, CORPORATE_ACTIONS, QUOTES
from fpa_core.layer import open_layer
from fpa_core.models import Bar, CorporateAction
from fpa_core.numbers import ns_text, to_ns
from fpa_core.plugins import PluginManager
from fpa_core.protocols import Capability, HistoryRequest

pytest.importorskip("yfinance")

import yfinance
from yahoo_server import Day, Listing, Minute, YahooServer, utc, yahoo_server
from yfinance.data import YfData

from fpa_plugins.yfinance.plugin import YfinanceOptions, create
from fpa_plugins.yfinance.prices import Split, factor_on, ratio_of, shortest, whole

NOW = to_ns("2020-09-04T12:00:00Z")

APPLE = Listing(
    days=[
        Day(date(2020, 8, 6), "441.62", "457.65", "439.19", "455.61", 50_607_225),
        Day(date(2020, 8, 7), "452.82", "454.70", "441.17", "444.45", 49_511_403),
        Day(date(2020, 8, 28), "504.05", "505.77", "498.31", "499.23", 46_907_479),
        Day(date(2020, 8, 31), "127.58", "131.00", "126.00", "129.04", 225_702_688),
    ],
    splits={date(2020, 8, 31): (4, 1)},
    dividends={date(2020, 8, 7): "0.82"},
)
"""Apple in August 2020: prices and volumes as they were traded."""


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[YahooServer]:
    """Run the server; yfinance keeps time zones and cookies in a folder of the test."""
    yfinance.set_tz_cache_location(str(tmp_path_factory.mktemp("yfinance")))
    with yahoo_server() as state:
        yield state


@pytest.fixture
def yahoo(running: YahooServer) -> YahooServer:
    """Return the server, which lists Apple alone."""
    running.listings = {"AAPL": APPLE}
    running.faults.clear()
    running.asked.clear()
    return running


Make = Callable[..., Any]


@pytest.fixture
def source(yahoo: YahooServer) -> Make:
    """Return a function that makes the source."""
    from fpa_plugins.yfinance.source import YfinanceSource

    given = {"url": yahoo.url, "backoff": 0.01, "requests_per_minute": 100_000}
    return lambda **options: YfinanceSource(YfinanceOptions(**(given | options)), lambda: NOW)


def asked(
    kind: Any = BARS, symbol: str = "AAPL", start: str = "2020-08-01", end: str = "2020-09-01", **more: Any
) -> HistoryRequest:
    interval = "1d" if kind is BARS else None
    given = {"interval": interval} | more
    return HistoryRequest(kind=kind, symbol=symbol, start=to_ns(start, dates=True), end=to_ns(end, dates=True), **given)


def rows_of(source: Any, request: HistoryRequest) -> list[Any]:
    pages = list(source.history(request))
    assert request.end == pages[-1].until
    return [row for page in pages if page.chunk is not None for row in from_table(request.kind, page.chunk.table)]


def test_declared(source: Make) -> None:
    """It has a history; raw and adjusted prices have names of their own in provenance."""
    assert {Capability.HISTORY} == source().capabilities
    assert ["yfinance", "yfinance:splits", "yfinance:adjusted"] == [
        source(prices=prices).origin for prices in ("raw", "splits", "adjusted")
    ]
    assert "none" not in {source(calendar="none").calendar, source().calendar}


def test_prices_as_they_were_traded(source: Make) -> None:
    """Yahoo's adjustment for splits is undone, those after the range included, and so is its rounding to single precision."""
    for end in ("2020-09-01", "2020-08-29"):
        rows = rows_of(source(), asked(end=end))
        expected = [
            (day.on.isoformat(), *map(Decimal, (day.open, day.high, day.low, day.close, day.volume)))  # type: ignore[arg-type]
            for day in APPLE.days
            if day.on.isoformat() < end
        ]
        assert expected == [
            (ns_text(row.ts_ns)[:10], row.open, row.high, row.low, row.close, row.volume) for row in rows
        ]


def test_prices_as_yahoo_sends_them(source: Make) -> None:
    """Asked for, prices stay adjusted for splits, or for splits and dividends."""
    first = rows_of(source(prices="splits"), asked())[0]
    assert ("113.9025", 202_428_900) == (str(first.close), first.volume)
    adjusted = rows_of(source(prices="adjusted"), asked())
    assert pytest.approx(113.9025 * 0.99) == float(adjusted[0].close)
    assert Decimal("129.04") == adjusted[-1].close


def test_splits_and_dividends(yahoo: YahooServer, source: Make) -> None:
    """Splits, dividends and gains of funds are corporate actions under their ex-dates, amounts as they were paid, of splits the exact ratio."""
    yahoo.listings["FUND"] = Listing(
        days=APPLE.days,
        splits={date(2020, 8, 7): (1, 3), date(2020, 8, 31): (3, 2)},
        dividends={date(2020, 8, 6): "0.31", date(2020, 8, 28): "0.12"},
        gains={date(2020, 8, 28): "1.5"},
        currency="EUR",
        kind="ETF",
    )
    assert [CorporateAction("AAPL", "2020-08-07T00:00:00Z", "dividend", amount="0.82"), CorporateAction("AAPL", "2020-08-31T00:00:00Z", "split", 4, 1)] == rows_of(
        source(), asked(CORPORATE_ACTIONS)
    )  # fmt: skip
    found = rows_of(source(), asked(CORPORATE_ACTIONS, "FUND"))
    assert [
        ("2020-08-06", "dividend", Decimal("0.31"), None, "EUR"),
        ("2020-08-07", "split", None, Fraction(1, 3), "USD"),
        ("2020-08-28", "dividend", Decimal("0.12"), None, "EUR"),
        ("2020-08-28", "special_dividend", Decimal("1.5"), None, "EUR"),
        ("2020-08-31", "split", None, Fraction(3, 2), "USD"),
    ] == [(ns_text(one.ts_ns)[:10], str(one.action_type), one.amount, one.ratio, one.currency) for one in found]
    assert found[3].type_raw == "Capital Gains"


def test_an_exchange_that_opens_before_midnight_in_utc(yahoo: YahooServer, source: Make) -> None:
    """A bar of a day has the exchange's date; an ex-date in Sydney begins there, as midnight in UTC is within the session."""
    yahoo.listings["BHP.AX"] = Listing(
        days=[Day(date(2020, 1, day), "40", "40.5", "39.5", "40.25", 100) for day in (6, 7)],
        dividends={date(2020, 1, 7): "0.5"},
        zone="Australia/Sydney",
        opens=(10, 0),
        currency="AUD",
    )
    wanted = {"symbol": "BHP.AX", "start": "2020-01-01", "end": "2020-02-01"}
    assert ["2020-01-06T00:00:00Z", "2020-01-07T00:00:00Z"] == [
        ns_text(bar.ts_ns) for bar in rows_of(source(), asked(**wanted))
    ]
    assert ["2020-01-06T13:00:00Z"] == [
        ns_text(one.ts_ns) for one in rows_of(source(), asked(CORPORATE_ACTIONS, **wanted))
    ]


def test_bars_within_the_day(yahoo: YahooServer, source: Make) -> None:
    """Minutes are fetched in windows that Yahoo allows, at exact times, and a later split is undone."""
    minutes = [
        Minute(utc(2020, 8, day, 14, minute), "500.1", "500.25", "499.5", "500.05", 1_000 + minute)
        for day in (21, 24, 27, 28)
        for minute in (0, 1)
    ]
    yahoo.listings = {"AAPL": Listing(days=APPLE.days, minutes=minutes, splits=APPLE.splits)}
    bars = rows_of(source(), asked(start="2020-08-21T14:01:00Z", end="2020-08-28T14:01:00Z", interval="1m"))
    assert [one.at for one in minutes[1:-1]] == [bar.timestamp for bar in bars]
    assert {("500.05", "1m")} == {(str(bar.close), bar.interval) for bar in bars}
    assert [1_001, 1_000] == [bar.volume for bar in bars[:2]]
    bars = rows_of(source(), asked(start="2020-08-10", end="2020-09-01", interval="1m"))
    assert len(minutes) == len(bars)
    assert 2 + 4 == source().estimate(asked(start="2020-08-10", end="2020-09-01", interval="1m")).requests


def test_what_yahoo_does_not_have_is_not_empty(yahoo: YahooServer, source: Make) -> None:
    """A range without sessions is empty; an unknown symbol, and minutes that are too old, are errors with Yahoo's words."""
    weekend = list(source().history(asked(start="2020-08-29", end="2020-08-31")))
    assert [None] == [page.chunk for page in weekend]
    yahoo.listings["NEW"] = Listing()
    assert [] == rows_of(source(), asked(symbol="NEW"))
    with pytest.raises(DataError, match="no symbol 'GONE'"):
        rows_of(source(), asked(symbol="GONE"))
    yahoo.longest = 5
    with pytest.raises(SourceError, match="Only 8 days") as caught:
        rows_of(source(prices="splits"), asked(interval="1m"))
    yahoo.longest = 8
    assert not caught.value.transient


def test_days_without_a_price(yahoo: YahooServer, source: Make) -> None:
    """A day with an action alone is no bar; one without a close is quarantined; a missing price is None."""
    days = [
        Day(date(2020, 8, 5), None, None, None, None, None),
        Day(date(2020, 8, 6), None, "2.5", "2", "2.25", 10),
        Day(date(2020, 8, 7), "2", "2.5", "2", None, 10),
    ]
    yahoo.listings["THIN"] = Listing(days=days, dividends={date(2020, 8, 5): "0.1"})
    (page,) = source().history(asked(symbol="THIN"))
    (bar,) = from_table(BARS, page.chunk.table)
    assert (None, Decimal("2.25")) == (bar.open, bar.close)
    (reject,) = page.chunk.rejects
    assert "close" in reject.problem
    assert reject.raw.startswith("2020-08-07T")
    assert 1 == len(rows_of(source(), asked(CORPORATE_ACTIONS, "THIN")))


@pytest.mark.parametrize(("currency", "unit"), [(None, "an unknown currency"), ("GBp", "GBp or GBP")])
def test_a_currency_that_is_not_said(yahoo: YahooServer, source: Make, currency: str | None, unit: str) -> None:
    """A dividend whose currency Yahoo leaves open, as pence or pounds, is quarantined, and is no dividend in dollars; splits are taken."""
    yahoo.listings["ODD"] = Listing(days=APPLE.days, splits=APPLE.splits, dividends=APPLE.dividends, currency=currency)
    (page,) = source().history(asked(CORPORATE_ACTIONS, "ODD"))
    assert ["split"] == [one.action_type for one in from_table(CORPORATE_ACTIONS, page.chunk.table)]
    (reject,) = page.chunk.rejects
    assert unit in reject.problem
    assert "2020-08-07,Dividends,0.205" in reject.raw
    (later,) = source().history(asked(CORPORATE_ACTIONS, "ODD", start="2020-08-08"))
    assert [] == list(later.chunk.rejects)


@pytest.mark.parametrize(
    "fault",
    [(429, "Too Many Requests\r\n"), (503, "<html>busy</html>"), (200, "Will be right back"), (200, "{}"), (200, "<!doctype")],
)  # fmt: skip
def test_failures(yahoo: YahooServer, source: Make, fault: tuple[int, str]) -> None:
    """What may pass is tried again; what stays is an error, never an empty history."""
    rows_of(source(), asked())  # so that yfinance knows the time zone
    yahoo.faults = [fault] * 3
    assert 4 == len(rows_of(source(), asked()))
    yahoo.faults = [fault] * 20
    with pytest.raises(SourceError) as caught:
        rows_of(source(tries=2), asked())
    assert caught.value.transient


def test_settings_of_yfinance_stay(yahoo: YahooServer, source: Make) -> None:
    """The session and the settings of the process are as before, after an error too: its other questions do not go through ours."""
    before = YfData()._session
    yahoo.faults = [(500, "")] * 20
    with pytest.raises(SourceError):
        rows_of(source(tries=1), asked())
    yahoo.faults.clear()
    rows_of(source(), asked())
    assert yfinance.config.debug.hide_exceptions is True
    assert before is YfData()._session


def test_what_there_is_not(source: Make) -> None:
    """Other kinds and intervals are refused with what there is; weeks are made of days."""
    with pytest.raises(DataError, match="no history of quotes"):
        rows_of(source(), asked(QUOTES))
    with pytest.raises(DataError, match="'1w'") as caught:
        rows_of(source(), asked(interval="1w"))
    assert "from_='1d'" in str(caught.value.hint)


def test_limit_and_cancelling(yahoo: YahooServer, source: Make) -> None:
    """The limit of requests holds back the next one, and a history that waits can be cancelled."""
    slow = source(requests_per_minute=1)
    stop = threading.Event()
    timer = threading.Timer(0.2, stop.set)
    timer.start()
    assert [] == list(slow.history(asked(stop=stop)))
    assert len(yahoo.asked) <= 1
    timer.join()


def test_through_the_layer(yahoo: YahooServer, source: Make) -> None:
    """`data.get` fetches bars and actions once, and adjusted reads are those of Yahoo: 499.23 before the split is 124.8075."""

    @frozen
    class Options:
        """None."""

    class Plugin:
        @hookimpl
        def fpa_register_sources(self, register: Any) -> None:
            register("yahoo", lambda _: source(), Options)

    manager = PluginManager(extra=[("yahoo", Plugin())])
    with open_layer(":memory:", plugins=manager, clock=lambda: NOW) as data:
        for _ in range(2):
            assert 4 == data.get(Bar, "AAPL", "2020-08-01", "2020-09-01", via="yahoo").count()
            assert 2 == data.get(CorporateAction, "AAPL", "2020-08-01", "2020-09-01", via="yahoo").count()
        assert 2 == len([query for _, query in yahoo.asked if "period1" in query])
        closes = [str(bar.close) for bar in data.select(Bar, "AAPL", adjust="splits")]
        assert ["113.9025", "111.1125", "124.8075", "129.04"] == closes


PRICES = st.decimals("0.0001", "99999", places=4).map(lambda price: Decimal(f"{price:.6g}"))
RATIOS = st.builds(Fraction, st.integers(1, 50), st.integers(1, 50))


@given(PRICES, st.lists(RATIOS, max_size=3))
def test_six_digits_survive_any_splits(price: Decimal, ratios: list[Fraction]) -> None:
    """A price of up to six digits, divided by the ratios of splits and rounded to single precision, is found again."""
    first = date(2020, 1, 1)
    splits = [Split(first + timedelta(days=1 + number), ratio) for number, ratio in enumerate(ratios)]
    factor = factor_on(splits, first)
    sent = float(np.float32(float(Fraction(price) / factor)))
    assert price == shortest(sent, factor)


@given(st.integers(1, 10_000), st.integers(1, 10_000))
def test_ratios_are_exact(new: int, old: int) -> None:
    """The ratio of a split is found again in its quotient."""
    assert Fraction(new, old) == ratio_of(new / old)


def test_numbers_that_are_none() -> None:
    """Not a number is None; numbers of shares are whole unless Yahoo sends fractions."""
    nan = float("nan")
    assert (None, None, Decimal("0.5"), 7) == (shortest(nan), whole(nan), whole(0.5), whole(28.0, Fraction(4)))


def test_create_without_yfinance(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the package the error names the extra."""
    import sys

    from fpa_core.exceptions import MissingDependencyError

    monkeypatch.setitem(sys.modules, "yfinance", None)
    monkeypatch.delitem(sys.modules, "fpa_plugins.yfinance.source", raising=False)
    with pytest.raises(MissingDependencyError) as caught:
        create(YfinanceOptions())
    assert "[yfinance]" in str(caught.value)
