"""Selections: what they filter, in what order and in what forms they give it, wherever the rows lie."""

from __future__ import annotations

import contextlib
import fnmatch
import inspect
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import strategies as own
from hypothesis import given
from hypothesis import strategies as st

from fpa_core.arrow import columns
from fpa_core.engine import catalog
from fpa_core.exceptions import DataError
from fpa_core.kinds import KINDS
from fpa_core.layer import DataLayer
from fpa_core.models import Bar, Quote, Trade
from fpa_core.numbers import Instant
from fpa_core.patterns import escape
from fpa_core.store import DataStore, selection, timeline
from fpa_core.store.queries import ColumnConditions, SelectOptions
from fpa_plugins.sqlite.plugin import SqliteOptions, open_store

DECIMALS = ("bid", "ask", "bid_size", "ask_size")


@pytest.fixture(params=["mixed", "sealed"], scope="module", autouse=True)
def _layout(request: pytest.FixtureRequest) -> Iterator[None]:
    """Hold every law with small segments among hot rows, and with everything sealed at once."""
    least, most = {"mixed": (2, 3), "sealed": (1, 4)}[request.param]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(catalog, "LEAST_ROWS", least)
        patch.setattr(catalog, "SEGMENT_ROWS", most)
        yield


@contextlib.contextmanager
def holding(*batches: Any, origins: Any = ()) -> Iterator[DataStore]:
    """Lend a store of its own, which holds the records of each batch, to one example of a property."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(ignore_cleanup_errors=True)))
        options = SqliteOptions(path=folder / "test.db", synchronous="normal")
        store = stack.enter_context(DataStore(open_store(options)))
        for number, records in enumerate(batches):
            store.save(records, origin=origins[number] if origins else "api")
        yield store


def by_symbol(quotes: list[Quote]) -> list[Quote]:
    return sorted(quotes, key=lambda quote: (quote.symbol, quote.ts_ns))


def values(table: pa.Table, name: str) -> list[Decimal | None]:
    """Return a column as decimals, whatever its form."""
    return columns.as_decimals(table.column(name).combine_chunks(), columns.scale_of(table.schema.field(name)))


few_symbols = st.sampled_from(["A", "AB", "B", "B*", "A[B]", "a"])
few_quotes = st.builds(Quote, few_symbols, own.FEW_NS, own.few_prices(), own.few_prices())
odd_quotes = own.quotes(symbol=st.sampled_from("AB"), ts=own.FEW_NS)

# Which rows


@given(st.lists(few_quotes, max_size=12), st.lists(st.text(st.sampled_from("AB*?[]"), max_size=3), max_size=3))
def test_patterns_of_symbols(quotes: list[Quote], patterns: list[str]) -> None:
    """A selection by patterns and names holds what fnmatch would let through, each row once."""
    with holding(quotes) as store:
        found = store.select(Quote, patterns)
        stored = store.get_quotes()
        wanted = [one.replace("[", "[[]") for one in patterns]
        expected = [quote for quote in stored if any(fnmatch.fnmatchcase(quote.symbol, one) for one in wanted)]
        assert expected == found.to_list()
        assert len(expected) == found.count()


def test_an_escaped_star() -> None:
    """A symbol with a star can be asked for alone, and what asks for one symbol takes it as it is."""
    quotes = [Quote(symbol, Instant(1), 1, 2) for symbol in ("B", "B*", "BC")]
    with holding(quotes) as store:
        assert [quotes[1]] == store.get_quotes("B\\*") == store.get_quotes(escape("B*"))
        assert quotes == store.get_quotes("B*")
        assert (quotes[1], quotes[1], None) == (store.latest("B*"), store.as_of("B*", 5), store.latest("B?"))
        store.delete(store.select(Quote, "B?"))
        assert quotes[:1] == store.get_quotes()


@given(
    st.lists(st.tuples(st.sampled_from(["files:a", "files:b", "api"]), st.lists(few_quotes, max_size=5)), max_size=4)
)
def test_origins(batches: list[tuple[str, list[Quote]]]) -> None:
    """A selection by origin holds the rows whose batch came from there, whether it is named or matched."""
    with holding(*(rows for _, rows in batches), origins=[origin for origin, _ in batches]) as store:
        for origin in ("files:a", "files:*", ["api", "files:b"], "nowhere", []):
            wanted = [origin] if isinstance(origin, str) else origin
            numbers = [
                batch.id for batch in store.batches() if any(fnmatch.fnmatchcase(batch.origin, one) for one in wanted)
            ]
            expected = [quote for number in numbers for quote in store.select(Quote, batch=number)]
            found = store.select(Quote, origin=origin)
            assert sorted(map(str, expected)) == sorted(map(str, found))
            assert len(expected) == found.count()


def test_latest_of_an_origin() -> None:
    """The last row of one origin is found behind later ones of another."""
    with holding(
        [Quote("A", Instant(1), 1, 2)], [Quote("A", Instant(2), 1, 2)] * 5, origins=["files:x", "files:y"]
    ) as store:
        latest = store.select(Quote, "A", origin="files:x", limit=1, latest_first=True)
        assert [1] == [quote.ts_ns for quote in latest]


# In what order


@given(st.lists(few_quotes, max_size=20), st.integers(0, 25), st.booleans(), st.sampled_from([1, 3, 500]))
def test_in_order_of_time(quotes: list[Quote], limit: int, latest_first: bool, most: int) -> None:
    """By time, rows of all symbols come as if they were sorted by time, symbol and arrival, or the other way round."""
    with holding(quotes) as store, pytest.MonkeyPatch.context() as patch:
        patch.setattr(timeline, "MOST", most)
        expected = sorted(store.get_quotes(), key=lambda quote: quote.ts_ns)
        expected = (expected[::-1] if latest_first else expected)[:limit]
        found = store.select(Quote, order="time", limit=limit, latest_first=latest_first)
        assert expected == found.to_list() == list(found)
        assert [quote.bid for quote in expected] == [
            value.normalize() if value else value
            for batch in found.batches(2)
            for value in batch.column("bid").to_pylist()
        ]


def test_limit_over_symbols_is_not_deleted() -> None:
    """What a limit leaves of several symbols by time is for reading."""
    with holding([Quote("A", Instant(1), 1, 2)]) as store:
        with pytest.raises(DataError, match="cannot be deleted"):
            store.delete(store.select(Quote, order="time", limit=1))
        store.delete(store.select(Quote, order="time"))
        assert [] == store.get_quotes()


# Which columns


@given(
    st.lists(odd_quotes, max_size=8),
    st.lists(st.sampled_from([*DECIMALS, "symbol", "timestamp", "conditions"]), min_size=1, max_size=4, unique=True),
)
def test_columns(quotes: list[Quote], names: list[str]) -> None:
    """Arrow forms have the columns asked for, in that order, with the values of the whole table; records have all."""
    with holding(quotes) as store:
        found, whole = store.select(Quote, columns=names), store.select(Quote).to_arrow()
        table = found.to_arrow()
        assert names == table.column_names == found.reader().schema.names
        assert [whole.column(name).to_pylist() for name in names] == [table.column(name).to_pylist() for name in names]
        assert by_symbol(quotes) == found.to_list()


@pytest.mark.parametrize(
    ("conditions", "message"),
    [
        ({"columns": ["bid", "colour"]}, "quotes have no column 'colour'"),
        ({"columns": []}, "columns: at least one is needed"),
        ({"order": "size"}, "order: 'size' is none of: symbol, time"),
        ({"symbol": "A*\\"}, "the pattern 'A\\*\\\\\\\\' ends in a backslash"),
        ({"origin": "?\\"}, "the pattern .* ends in a backslash"),
    ],
    ids=["column", "no columns", "order", "symbol", "origin"],
)
def test_what_makes_no_sense(store: DataStore, conditions: dict[str, Any], message: str) -> None:
    """A selection that makes no sense is refused when it is made."""
    with pytest.raises(DataError, match=message):
        store.select(Quote, **conditions)


def test_unknown_form(store: DataStore) -> None:
    """A form of prices that there is not is refused with those there are."""
    for act in (
        lambda s: s.to_arrow("exact"),
        lambda s: s.reader(prices="exact"),
        lambda s: list(s.batches(5, "exact")),
    ):
        with pytest.raises(DataError, match="prices: unknown form 'exact'; one of: decimal, float, scaled, text"):
            act(store.select(Quote))


# In what form


@given(st.lists(odd_quotes, max_size=12))
def test_forms_agree(quotes: list[Quote]) -> None:
    """Decimals, scaled integers and texts hold the same numbers, and floats the nearest to them."""
    with holding(quotes) as store:
        found = store.select(Quote)
        exact = found.to_arrow()
        for name in DECIMALS:
            expected = [getattr(quote, name) for quote in by_symbol(quotes)]
            assert expected == values(exact, name)
            assert expected == values(found.to_arrow("scaled"), name)
            assert expected == values(found.to_arrow("text"), name)
            floats = [None if value is None else float(value) for value in expected]
            assert floats == found.to_arrow("float").column(name).to_pylist()
            pieces = [value for batch in found.batches(3, "float") for value in batch.column(name).to_pylist()]
            assert floats == pieces


@given(st.lists(odd_quotes, max_size=12), st.sampled_from([1, 500]), st.booleans())
def test_one_schema_for_a_stream(quotes: list[Quote], held: int, by_time: bool) -> None:
    """A reader yields batches of one schema, the table's, whether or not all rows could be held at first."""
    with holding(quotes) as store, pytest.MonkeyPatch.context() as patch:
        patch.setattr(selection, "HELD", held)
        found = store.select(Quote, order="time" if by_time else "symbol")
        for prices in ("decimal", "scaled", "float", "text"):
            streamed = found.reader(3, prices=prices).read_all()
            table = found.to_arrow(prices)
            assert table.schema.names == streamed.schema.names
            for name in DECIMALS:
                if prices == "float":
                    assert table.column(name).to_pylist() == streamed.column(name).to_pylist()
                else:
                    assert values(table, name) == values(streamed, name)
        assert pa.table(found).equals(found.reader().read_all())


def test_scaled_where_it_fits() -> None:
    """Scaled columns are 64-bit integers with their scale, and decimals without one where these do not hold all values."""
    quotes = [Quote("A", Instant(1), "1.5", "1e12"), Quote("A", Instant(2), "0.25", "1e-12")]
    with holding(*[[quote] for quote in quotes]) as store:
        schema = store.select(Quote).to_arrow("scaled").schema
        assert (pa.int64(), 2) == (schema.field("bid").type, columns.scale_of(schema.field("bid")))
        assert (pa.decimal128(38, 12), None) == (schema.field("ask").type, columns.scale_of(schema.field("ask")))


def test_a_row_that_comes_between() -> None:
    """A row that does not fit what was found out before it came is an error, not another number."""
    with (
        holding([Quote("A", Instant(ts), "1.5", 2) for ts in range(5)]) as store,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setattr(selection, "HELD", 1)
        reader = store.select(Quote).reader(2)
        store.save(Quote("A", Instant(9), "0.00000000000000000000000000000000000000000012345", 2))
        with pytest.raises((DataError, pa.ArrowInvalid), match="came during the reading"):
            reader.read_all()


def test_duckdb_reads_a_selection() -> None:
    """A variable that holds a selection is a table to DuckDB, with the same answer as in Python."""
    duckdb = pytest.importorskip("duckdb")
    many = [Quote(symbol, Instant(ts), f"1.{ts:02}", f"1.{ts + 3:02}") for symbol in "AB" for ts in range(50)]
    with holding(many) as store:
        quotes = store.select("quotes")
        found = duckdb.sql("select symbol, count(*), avg(ask - bid) from quotes group by 1 order by 1").fetchall()
        assert quotes.count() == 100
    spreads = {symbol: [quote.spread for quote in many if quote.symbol == symbol] for symbol in "AB"}
    assert [(symbol, 50, pytest.approx(float(sum(each) / 50))) for symbol, each in spreads.items()] == found


def test_frames_in_any_form() -> None:
    """Frames have floats unless exact numbers are asked for; polars reads a selection as it stands."""
    pl = pytest.importorskip("polars")
    with holding(
        [Quote("A", Instant(1), "1.5", 2), Trade("A", Instant(1), "1.25", 3), Bar("A", Instant(1), 1, 2, 1, 2, 5, "1m")]
    ) as store:
        assert [1.5] == store.select(Quote).to_pandas()["bid"].tolist()
        assert [1.25] == store.select(Trade).to_polars()["price"].to_list()
        assert [Decimal("1.5")] == store.select(Quote).to_pandas("decimal")["bid"].tolist()
        assert Decimal("1.5") == store.select(Quote).to_pandas("arrow")["bid"].sum()
        assert [Decimal("1.25")] == store.select(Trade).to_polars("arrow")["price"].to_list()
        assert [1.0] == store.bars("A", "1m", from_="trades").to_pandas()["trade_count"].tolist()
        assert [1.25] == store.bars("A", "1m", from_="trades").to_polars()["close"].to_list()
        assert [1.5] == store.join_quotes(store.select(Trade)).to_pandas()["bid"].tolist()
        assert [Decimal("1.25")] == pl.DataFrame(store.select(Trade))["price"].to_list()


def test_what_is_a_table_is_written_to_files(tmp_path) -> None:
    """A selection, bars and a join are written exactly, in the format that the name says; with the columns that were selected."""
    with holding([Quote("A", Instant(1), "1.50", 2), Trade("A", Instant(1), "1.25", 3)]) as store:
        assert 1 == store.select(Quote, columns=["symbol", "bid"]).write(tmp_path / "quotes.csv")
        assert "symbol,bid\nA,1.5\n" == (tmp_path / "quotes.csv").read_text()
        assert 1 == store.bars("A", "1m").write(tmp_path / "bars.jsonl")
        assert '"close":"1.25"' in (tmp_path / "bars.jsonl").read_text()
        assert 1 == store.join_quotes(store.select(Trade)).write(tmp_path / "joined.parquet")
        assert [Decimal("1.5")] == pq.read_table(tmp_path / "joined.parquet")["bid"].to_pylist()


def test_a_selection_describes_itself() -> None:
    """The repr of a selection names what was asked for as it is asked, and its preview shows the first rows, escaped."""
    with holding([Quote("<A>", Instant(ts), f"1.{ts:02}", None, conditions="&\u202e") for ts in range(12)]) as store:
        assert "<Selection of quotes>" == repr(store.select(Quote))
        found = store.select(
            Quote, ["<A>", "B*"], start=5, end="2024-05-01", limit=11, latest_first=True, order="time",
            origin="api", columns=["timestamp", "symbol", "bid", "conditions"], conditions=None,
        )  # fmt: skip
        assert (
            "<Selection of quotes, symbol=['<A>', 'B*'], start='1970-01-01T00:00:00.000000005Z', end='2024-05-01T00:00:00Z', "
            "conditions=None, origin=['api'], limit=11, latest_first=True, order='time', "
            "columns=['timestamp', 'symbol', 'bid', 'conditions']>"
        ) == repr(found)
        preview = store.select(Quote, columns=["timestamp", "symbol", "bid", "conditions"], order="time")._repr_html_()
        row = "<tr><td>1970-01-01T00:00:00.000000001Z</td><td>&lt;A&gt;</td><td>1.01</td><td>&amp;\\u202e</td></tr>"
        assert row in preview
        assert 10 == preview.count("<tr><td>")
        assert "the first 10 rows" in preview
        assert "0 rows" in store.select(Quote, "none")._repr_html_()
        assert 3 == store.select(Quote, limit=3)._repr_html_().count("<tr><td>")


def test_select_shows_its_parameters() -> None:
    """Completion and help see each parameter, on the store and on the layer; type checkers know each column of each kind."""
    options = {
        "start",
        "end",
        "as_known_at",
        "batch",
        "origin",
        "limit",
        "latest_first",
        "columns",
        "order",
        "adjust",
        "max_age",
    }
    for cls in (DataStore, DataLayer):
        parameters = inspect.signature(cls.select).parameters
        assert options == {name for name, one in parameters.items() if one.kind is one.KEYWORD_ONLY}
    columns_of_all = {name for kind in KINDS.values() for name in kind.by_name} - {"symbol"}
    assert columns_of_all == ColumnConditions.__optional_keys__
    assert columns_of_all | options == SelectOptions.__optional_keys__
