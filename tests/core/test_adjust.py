"""Prices that are adjusted on read: by CRSP's factors, as known at a time, and without a change of what is stored."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fpa_core
from fpa_core.amounts import decimal_of
from fpa_core.exceptions import DataError
from fpa_core.models import Bar, CorporateAction, Order, Quote, Trade


def day(number: int, month: int = 5) -> str:
    return f"2024-{month:02}-{number:02}T00:00:00Z"


def bar(number: int, close, volume=100, symbol: str = "A", interval: str = "1d") -> Bar:
    return Bar(symbol, day(number), close, close, close, close, volume, interval, close)


@pytest.fixture
def store() -> Iterator[fpa_core.DataStore]:
    """Open a store in memory."""
    with fpa_core.open(":memory:") as data:
        yield data.store


def closes(store, **asked) -> list[tuple[Decimal, Decimal]]:
    return [(one.close, one.volume) for one in store.select(Bar, "A", **asked)]


def test_splits_and_dividends(store):
    """Prices before an ex-date are divided by the ratio and reduced by the dividend's part of the close; volumes are multiplied."""
    stored = [bar(1, 400), bar(2, 404), bar(3, 100), bar(4, 102)]
    split, paid = CorporateAction("A", day(3), "split", 4), CorporateAction("A", day(4), "dividend", amount=1)
    store.save([*stored, split, paid, bar(1, 7, symbol="B")])
    assert [(100, 400), (101, 400), (100, 100), (102, 100)] == closes(store, adjust="splits")
    assert [(99, 400), (Decimal("99.99"), 400), (99, 100), (102, 100)] == closes(store, adjust="all")
    assert [(400, 100), (404, 100), (100, 100), (102, 100)] == closes(store), "what is stored never changes"
    (first, *_) = store.select(Bar, adjust="all")
    assert [Decimal(99)] * 5 == [first.open, first.high, first.low, first.close, first.vwap]
    assert [7] == [one.close for one in store.select(Bar, "B", adjust="all")]


def test_every_way_of_reading_agrees(store):
    """Records, tables, batches and readers, by time and with few columns, hold the same adjusted prices."""
    store.save(
        [bar(1, "10.01"), bar(2, 11), bar(3, 3), bar(1, 5, symbol="B"), CorporateAction("A", day(3), "split", 1, 3)]
    )
    expected = [Decimal("30.03"), Decimal(33), Decimal(3), Decimal(5)]
    selection = store.select(Bar, adjust="splits")
    assert expected == [one.close for one in selection] == [one.close for one in selection.to_list()]
    for prices in ("decimal", "text"):
        assert expected == list(map(Decimal, selection.to_arrow(prices)["close"].to_pylist()))
        assert expected == [
            Decimal(v) for batch in selection.batches(prices=prices) for v in batch["close"].to_pylist()
        ]
    assert expected == selection.reader().read_all()["close"].to_pylist()
    few = store.select(Bar, columns=["close"], order="time", adjust="splits")
    assert [Decimal("30.03"), Decimal(5), Decimal(33), Decimal(3)] == few.to_arrow()["close"].to_pylist()
    assert ["close"] == few.to_arrow().column_names
    assert [Decimal(3)] == [one.close for one in store.select(Bar, "A", limit=1, latest_first=True, adjust="splits")]


def test_trades_and_quotes(store):
    """Prices and sizes of trades and quotes are adjusted by the instant; a missing side stays missing."""
    store.save(
        [
            Trade("A", "2024-05-02T23:59:59.999999999Z", 12, 5),
            Trade("A", day(3), 3, 5),
            Quote("A", day(1), 12, None, 7, None),
            CorporateAction("A", day(3), "split", 4),
        ]
    )
    assert [(3, 20), (3, 5)] == [(one.price, one.size) for one in store.select(Trade, adjust="splits")]
    (quote,) = store.select(Quote, adjust="splits")
    assert (3, None, 28, None) == (quote.bid, quote.ask, quote.bid_size, quote.ask_size)


def test_as_known_at(store):
    """A read as known earlier knows no action that was stored later."""
    store.save([bar(1, 8), bar(2, 2)])
    known = store.batches()[0].recorded_ns
    store.save(CorporateAction("A", day(2), "split", 4))
    assert [8, 2] == [price for price, _ in closes(store, adjust="splits", as_known_at=known)]
    assert [2, 2] == [price for price, _ in closes(store, adjust="splits")]


def test_an_answer_is_never_older_than_an_action():
    """An action that is stored between two reads counts in the second, whatever a cache holds."""
    with fpa_core.open(":memory:") as data:
        data.store.save([bar(1, 8), bar(2, 2)])
        ask = data.select(Bar, "A", adjust="splits")
        assert [8, 2] == [one.close for one in ask.to_list()]
        data.store.save(CorporateAction("A", day(2), "split", 4))
        assert [2, 2] == [one.close for one in ask.to_list()]


def test_what_cannot_be_adjusted_is_refused(store):
    """An unknown word, a kind without prices, a dividend without a close before it, and deleting adjusted rows are errors."""
    with pytest.raises(DataError, match="'both' is unknown"):
        store.select(Bar, adjust="both")
    with pytest.raises(DataError, match="orders have no prices"):
        store.select(Order, adjust="all")
    store.save([bar(3, 5), CorporateAction("A", day(3), "dividend", amount=1)])
    assert [(5, 100)] == closes(store, adjust="splits")
    with pytest.raises(DataError, match="no daily bar before"):
        closes(store, adjust="all")
    store.save(bar(2, "0.5"))
    with pytest.raises(DataError, match=r"the close before it is 0\.5"):
        closes(store, adjust="all")
    with pytest.raises(DataError, match="cannot be deleted"):
        store.delete(store.select(Bar, "A", adjust="splits"))


prices = st.lists(st.decimals("0.01", 1000, places=2), min_size=2, max_size=12)
steps = st.lists(
    st.tuples(st.integers(1, 11), st.integers(1, 9), st.integers(1, 9)), max_size=4, unique_by=lambda s: s[0]
)


@settings(max_examples=60, deadline=None)
@given(prices, steps)
def test_returns_of_adjusted_prices_are_those_of_a_holder(found, splits):
    """Between any two days the adjusted price grows as the worth of one share held over all splits does."""
    with fpa_core.open(":memory:") as data:
        data.store.save([bar(1 + place, price) for place, price in enumerate(found)])
        data.store.save([CorporateAction("A", day(1 + place), "split", new, old) for place, new, old in splits])
        adjusted = [one.close for one in data.select(Bar, "A", adjust="splits")]
    for start, price in enumerate(found):
        shares = Fraction(1)
        for place, new, old in splits:
            if start < place <= len(found) - 1:
                shares *= Fraction(new, old)
        # From here to the last day: one share becomes so many, so the price of today is divided by that.
        later = [one for one in splits if one[0] > len(found) - 1]
        for _, new, old in later:
            shares *= Fraction(new, old)
        assert decimal_of(Fraction(price) / shares) == adjusted[start]
