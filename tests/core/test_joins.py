"""Trades beside the quotes that prevailed, against a plain loop, wherever the rows lie and however they are cut."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
import pytest
import strategies as own
from hypothesis import given
from hypothesis import strategies as st

from fpa_core.engine import catalog
from fpa_core.exceptions import DataError
from fpa_core.models import Quote, Trade
from fpa_core.numbers import MAX_NS, MIN_NS, Instant
from fpa_core.store import DataStore
from fpa_core.store.derived import views
from fpa_plugins.sqlite.plugin import SqliteOptions, open_store

COLUMNS = ("bid", "ask", "bid_size", "ask_size")

symbols = st.sampled_from(["A", "B"])
times = st.one_of(own.FEW_NS, st.sampled_from([MIN_NS + 1, MAX_NS]))
quotes = st.lists(own.quotes(symbol=symbols, ts=times), max_size=10)
trades = st.lists(own.trades(symbol=symbols, ts=times), max_size=10)


@pytest.fixture(params=["mixed", "sealed"], scope="module", autouse=True)
def _layout(request: pytest.FixtureRequest) -> Iterator[None]:
    """Hold every law with small segments among hot rows, and with everything sealed at once."""
    least, most = {"mixed": (2, 3), "sealed": (1, 4)}[request.param]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(catalog, "LEAST_ROWS", least)
        patch.setattr(catalog, "SEGMENT_ROWS", most)
        yield


def naive(trade: Trade, quotes: Sequence[Quote], tolerance_ns: int | None) -> Quote | None:
    """Return the last quote of the symbol at or before the trade, by looking at all."""
    found = None
    for quote in quotes:
        if quote.symbol == trade.symbol and quote.ts_ns <= trade.ts_ns:
            found = quote
    if found is not None and tolerance_ns is not None and trade.ts_ns - found.ts_ns > tolerance_ns:
        return None
    return found


@given(quotes, trades, st.sampled_from([None, 0, 2]), st.sampled_from(["symbol", "time"]), st.booleans())
def test_join_against_a_loop(
    quotes: list[Quote], trades: list[Trade], tolerance_ns: int | None, order: str, latest_first: bool
) -> None:
    """Each trade gets the quote a plain loop finds, in any order of the trades; pairs and table say the same."""
    with (
        TemporaryDirectory(ignore_cleanup_errors=True) as folder,
        DataStore(open_store(SqliteOptions(path=Path(folder) / "a.db", synchronous="normal"))) as store,
    ):
        store.save([*quotes, *trades])
        stored = store.get_quotes()
        selection = store.select(Trade, order=order, latest_first=latest_first)
        tolerance = None if tolerance_ns is None else f"{tolerance_ns}ns"
        joined = store.join_quotes(selection, tolerance)
        expected = [(trade, naive(trade, stored, tolerance_ns)) for trade in selection]
        assert expected == joined.to_list() == list(joined)
        table = joined.to_arrow()
        assert [trade.price for trade, _ in expected] == [value.as_py() for value in table["price"]] or "string" in str(
            table["price"].type
        )
        times = [None if quote is None else quote.ts_ns for _, quote in expected]
        assert times == table["quote_timestamp"].cast(pa.int64()).to_pylist()
        plain = store.select(Trade, order=order, latest_first=latest_first).to_arrow()
        assert [*plain.column_names, "quote_timestamp", *COLUMNS] == table.column_names
        for name in COLUMNS:
            if "string" not in str(table[name].type):
                assert [None if quote is None else getattr(quote, name) for _, quote in expected] == table[
                    name
                ].to_pylist()


def test_the_last_of_equal_times_counts() -> None:
    """Of quotes at the very time of a trade the last to arrive prevails, even when they lie in several batches."""
    with (
        TemporaryDirectory(ignore_cleanup_errors=True) as folder,
        DataStore(open_store(SqliteOptions(path=Path(folder) / "a.db"))) as store,
    ):
        store.save([Quote("A", Instant(5), bid, 100) for bid in range(7)])
        store.save([Trade("A", Instant(4), 1, 1), Trade("A", Instant(5), 1, 1), Trade("A", Instant(6), 1, 1)])
        bids = [None if quote is None else quote.bid for _, quote in store.join_quotes(store.select(Trade))]
        assert [None, 6, 6] == bids


def test_quotes_of_one_origin(store: DataStore) -> None:
    """The quotes may be those of one venue alone, and those known at the time the trades were."""
    store.save(Trade("A", Instant(5), 1, 1))
    store.save(Quote("A", Instant(4), 1, 2), origin="files:x")
    then = store.batches()[0].recorded_ns
    store.save(Quote("A", Instant(5), 3, 4), origin="files:y")
    selection = store.select(Trade)
    assert [3, 1, 3] == [
        next(iter(store.join_quotes(selection, origin=origin)))[1].bid for origin in (None, "files:x", "files:*")
    ]
    assert [1] == [quote.bid for _, quote in store.join_quotes(store.select(Trade, as_known_at=then))]


def test_join_of_nothing(store: DataStore) -> None:
    """No trades make an empty table of the right columns; trades without quotes have nulls."""
    empty = store.join_quotes(store.select(Trade))
    assert ([], 0) == (empty.to_list(), empty.to_arrow().num_rows)
    assert "quote_timestamp" in empty.to_arrow().column_names
    store.save(Trade("A", Instant(5), 1, 1))
    table = pa.table(store.join_quotes(store.select(Trade, columns=["price"])))
    assert ([5], [None]) == (table["timestamp"].cast(pa.int64()).to_pylist(), table["bid"].to_pylist())
    assert empty.to_arrow().num_columns == table.num_columns == 8 + len(views.QUOTE_COLUMNS)


def test_only_trades_are_joined(store: DataStore) -> None:
    """A selection of anything else is refused."""
    with pytest.raises(DataError, match="trades are joined with quotes, not quotes"):
        store.join_quotes(store.select(Quote))  # type: ignore[arg-type]
