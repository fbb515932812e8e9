"""Bars made from trades and from the middle of quotes, against a plain model, wherever the rows lie and however they are cut."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Context, Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pytest
import strategies as own
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from fpa_core.arrow.conversion import concat, from_table, to_table
from fpa_core.engine import catalog
from fpa_core.exceptions import DataError
from fpa_core.kinds import BARS, QUOTES, TRADES
from fpa_core.models import Bar, Quote, Trade
from fpa_core.numbers import EXACT, MIN_NS, Instant, ns_text
from fpa_core.store import DataStore
from fpa_core.store.derived import resample
from fpa_plugins.sqlite.plugin import SqliteOptions, open_store

SECOND = 10**9
UNITS = {"s": SECOND, "m": 60 * SECOND, "h": 3600 * SECOND, "d": 86400 * SECOND}

times = st.one_of(st.integers(-3 * 60 * SECOND, 3 * 60 * SECOND), st.integers(-(2**60), 2**60)).map(Instant)
symbols = st.sampled_from(["A", "B", "BRK[B]"])
sizes = st.one_of(st.decimals(0, 500, places=0), own.prices(), st.just(Decimal(0)))
trades = st.lists(st.builds(Trade, symbols, times, own.prices(), sizes), max_size=15)
quotes = st.lists(st.builds(Quote, symbols, times, own.optional_prices, own.optional_prices), max_size=15)


def start_of(ts: int, interval: str) -> int:
    """Return the start of an interval, by the calendar for weeks and months."""
    number, unit = int(interval.rstrip("smhdwo")), interval.lstrip("0123456789")
    if unit in UNITS:
        return ts // (number * UNITS[unit]) * number * UNITS[unit]
    day = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(days=ts // UNITS["d"])
    if unit == "mo":
        months = ((day.year - 1970) * 12 + day.month - 1) // number * number
        first = datetime(1970 + months // 12, months % 12 + 1, 1, tzinfo=UTC)
    else:
        first = day - timedelta(days=day.weekday())
        assert number == 1
    return (first - datetime(1970, 1, 1, tzinfo=UTC)).days * UNITS["d"]


def model(rows: Sequence[Any], interval: str) -> list[Bar]:
    """Return bars by the plainest of means, from rows by symbol and time."""
    found = []
    for (symbol, start), group in itertools.groupby(
        rows, lambda row: (row.symbol, Instant(start_of(row.ts_ns, interval)))
    ):
        each = list(group)
        prices = [row.price if isinstance(row, Trade) else row.mid for row in each]
        bar = [symbol, start, prices[0], max(prices), min(prices), prices[-1]]
        if isinstance(each[0], Quote):
            found.append(Bar(*bar, None, interval))
            continue
        volume = amount = Decimal(0)
        for row in each:
            volume, amount = EXACT.add(volume, row.size), EXACT.add(amount, EXACT.multiply(row.price, row.size))
        vwap = Context(prec=18, rounding=ROUND_HALF_EVEN).divide(amount, volume) if volume else None
        found.append(Bar(*bar, volume, interval, vwap, len(each)))
    return found


def ordered(rows: Sequence[Any]) -> list[Any]:
    return sorted(rows, key=lambda row: (row.symbol, row.ts_ns))


def two_sided(rows: Sequence[Quote]) -> list[Quote]:
    return [row for row in ordered(rows) if row.mid is not None]


intervals = st.sampled_from(["1s", "1m", "7m", "1h", "1d", "1w", "1mo", "5mo"])


@given(trades, intervals, st.integers(1, 5))
def test_bars_of_trades(rows: list[Trade], interval: str, cut: int) -> None:
    """Bars of trades are those of the model, from one batch and from many."""
    table = to_table(TRADES, ordered(rows)).combine_chunks()
    for size in (cut, 1_000):
        made = list(resample.resample(table.to_batches(size), interval, "trades"))
        expected = model(ordered(rows), interval)
        assert expected == [bar for part in made for bar in from_table(BARS, part)]
        assert all(part.num_rows for part in made)


@given(quotes, intervals, st.integers(1, 5))
def test_bars_of_mids(rows: list[Quote], interval: str, cut: int) -> None:
    """Bars of the middle of quotes leave out those with a side missing, and have no volume."""
    table = to_table(QUOTES, ordered(rows)).combine_chunks()
    for size in (cut, 1_000):
        made = list(resample.resample(table.to_batches(size), interval, "mid"))
        assert model(two_sided(rows), interval) == [bar for part in made for bar in from_table(BARS, part)]


@pytest.fixture(params=["hot", "mixed", "sealed"])
def layout(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Keep rows hot, in small segments among hot rows, or all sealed."""
    least, most = {"hot": (10**9, 16_384), "mixed": (2, 3), "sealed": (1, 4)}[request.param]
    monkeypatch.setattr(catalog, "LEAST_ROWS", least)
    monkeypatch.setattr(catalog, "SEGMENT_ROWS", most)
    return iter(())


@pytest.mark.usefixtures("layout")
def test_bars_of_a_store() -> None:
    """Bars of stored rows are those of the model, whatever the layout."""

    @given(trades, quotes)
    def law(trade_rows: list[Trade], quote_rows: list[Quote]) -> None:
        with (
            TemporaryDirectory(ignore_cleanup_errors=True) as folder,
            DataStore(open_store(SqliteOptions(path=Path(folder) / "a.db", synchronous="normal"))) as store,
        ):
            store.save([*trade_rows, *quote_rows])
            assert model(store.get_trades(), "1m") == store.bars(None, "1m").to_list()
            assert model(two_sided(quote_rows), "1h") == list(store.bars(None, "1h", from_="mid"))
            table = store.bars("A", "1 min", start=0, end=SECOND * 60).to_arrow()
            inside = store.get_trades("A", 0, SECOND * 60)
            assert model(inside, "1m") == from_table(BARS, table)

    law()


def test_sums_beyond_64_bits() -> None:
    """Volumes and amounts that pass 64 bits stay exact, within a batch and over several."""
    rows = [Trade("A", Instant(ts), "922337203685.4775807", "9223372036854775807") for ts in range(6)]
    table = to_table(TRADES, rows).combine_chunks()
    for size in (1, 2, 6):
        parts = resample.resample(table.to_batches(size), "1m", "trades")
        assert model(rows, "1m") == from_table(BARS, concat(BARS, list(parts)))


def test_half_open_intervals(store: DataStore) -> None:
    """A trade at the very end of an interval belongs to the next one; where there is no trade there is no bar."""
    minute = UNITS["m"]
    store.save(
        [Trade("A", Instant(ts), price, 1) for ts, price in ((0, 1), (minute - 1, 2), (minute, 3), (5 * minute, 4))]
    )
    found = [(bar.ts_ns // minute, bar.open, bar.close, bar.trade_count) for bar in store.bars("A")]
    assert [(0, 1, 2, 2), (1, 3, 3, 1), (5, 4, 4, 1)] == found


def test_bars_can_be_saved(store: DataStore) -> None:
    """Bars that were made can be stored, and come back as they were."""
    store.save([Trade("A", Instant(ts * SECOND), f"1.{ts:03}", 3) for ts in range(200)])
    made = store.bars("A", "1m")
    store.save_bars(made)
    assert made.to_list() == store.get_bars("A", "1m")
    assert pa.table(made).equals(made.to_arrow())


def test_bars_of_nothing(store: DataStore) -> None:
    """Bars of no rows are an empty table of bars."""
    table = store.bars("A").to_arrow()
    assert (0, list(BARS.by_name)) == (table.num_rows, table.column_names)
    store.save(Quote("A", Instant(1), None, 2))
    assert [] == store.bars("A", from_="mid").to_list()


def test_what_bars_cannot_be_made_of(store: DataStore) -> None:
    """Bars of anything but trades and mids, or of no interval, are refused when they are described."""
    with pytest.raises(DataError, match="from_: 'bids' is none of: trades, mid"):
        store.bars("A", from_="bids")
    with pytest.raises(DataError, match="'fortnight' is not an interval"):
        store.bars("A", "fortnight")


@pytest.mark.parametrize("interval", ["1mo", "1w", "1d"])
def test_an_interval_that_begins_too_early(store: DataStore, interval: str) -> None:
    """A bar whose start 64 bits cannot hold is an error, not another time."""
    store.save(Trade("A", Instant(MIN_NS + 1), 1, 1))
    with pytest.raises(DataError, match="begins before 1677-09-21"):
        store.bars("A", interval).to_list()


@given(
    trades,
    st.sampled_from([("1m", "5m"), ("1m", "1d"), ("1h", "1w"), ("1d", "1w"), ("1d", "3mo"), ("30s", "90s")]),
    st.sampled_from([2, 5, 16_384]),
)
def test_bars_of_bars_are_bars_of_what_those_were_made_of(
    rows: list[Trade], intervals: tuple[str, str], size: int
) -> None:
    """Shorter bars make the longer ones that their trades make; the average of averages is as exact as these are."""
    short, long = intervals
    made = model(ordered(rows), short)
    table = to_table(BARS, made).select(resample.needed(short))
    tables = resample.resample(table.to_batches(size), long, short)
    found = [bar for each in tables for bar in from_table(BARS, each)]
    expected = model(ordered(rows), long)
    assert [evolve(bar, vwap=None) for bar in expected] == [evolve(bar, vwap=None) for bar in found]
    for one, other in zip(expected, found, strict=True):
        assert (one.vwap is None) == (other.vwap is None)
        if one.vwap is not None and other.vwap is not None:
            assert abs(one.vwap - other.vwap) <= Decimal("1e-15") * max(abs(one.high), abs(one.low))


def test_what_a_shorter_bar_does_not_know_is_not_known_of_the_longer(store: DataStore) -> None:
    """Volume, average and number of trades are null if one of the bars has none; an average of no volume is not missed."""
    minute = 60 * SECOND
    bars = [
        Bar("A", Instant(0), 1, 3, 1, 2, 10, "1m", "1.5", 4),
        Bar("A", Instant(minute), 2, 2, 2, 2, 0, "1m", None, 0),
        Bar("A", Instant(5 * minute), 2, 2, "0.5", 1, None, "1m", None, None),
        Bar("A", Instant(6 * minute), 1, 1, 1, 1, 5, "1m", 1, 1),
    ]
    store.save(bars)
    assert [
        Bar("A", Instant(0), 1, 3, 1, 2, 10, "5m", "1.5", 4),
        Bar("A", Instant(5 * minute), 2, 2, "0.5", 1, None, "5m", None, None),
    ] == store.bars("A", "5m", from_="1m").to_list()


def test_days_of_a_time_zone(store: DataStore) -> None:
    """Days begin at midnight of the zone, whatever its clock does, and are stored under their date; so do weeks."""
    prices = {
        "2024-03-09T23:00:00-05:00": 1,
        "2024-03-10T00:00:00-05:00": 2,
        "2024-03-10T23:59:59-04:00": 3,
        "2024-03-11T00:00:00-04:00": 4,
    }
    rows = [Trade("A", time, price, 1) for time, price in prices.items()]
    store.save(rows)
    days = store.bars("A", "1d", tz="America/New_York").to_list()
    assert [("2024-03-09", 1, 1), ("2024-03-10", 2, 3), ("2024-03-11", 4, 4)] == [
        (ns_text(bar.ts_ns)[:10], bar.open, bar.close) for bar in days
    ]
    weeks = store.bars("A", "1w", tz="America/New_York").to_list()
    assert [("2024-03-04", 3), ("2024-03-11", 4)] == [(ns_text(bar.ts_ns)[:10], bar.close) for bar in weeks]


@pytest.mark.parametrize(
    ("interval", "given", "message"),
    [
        ("5m", {"from_": "2m"}, "bars of 2m do not make up bars of 5m"),
        ("1m", {"from_": "1m"}, "do not make up"),
        ("1w", {"from_": "2d"}, "do not make up"),
        ("1mo", {"from_": "1w"}, "do not make up"),
        ("1h", {"tz": "America/New_York"}, "only days, weeks and months"),
        ("1w", {"from_": "1d", "tz": "America/New_York"}, "only those made of shorter rows"),
        ("1d", {"tz": "Moon/Base"}, "is no time zone"),
    ],
)
def test_intervals_and_zones_that_do_not_fit(
    interval: str, given: dict[str, str], message: str, store: DataStore
) -> None:
    """What cannot be made is refused before anything is read."""
    with pytest.raises(DataError, match=message):
        store.bars("A", interval, **given)
