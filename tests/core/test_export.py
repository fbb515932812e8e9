"""Records written as CSV, JSON Lines and Parquet come back equal, and a file is written whole or not at all."""

import csv
import io
import json
from decimal import Decimal

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from fpa_core import export
from fpa_core.arrow import columns, parsing
from fpa_core.arrow.conversion import from_table, to_table
from fpa_core.exceptions import DataError
from fpa_core.kinds import BARS, ORDERS, POSITIONS, QUOTES, SNAPSHOTS, TRADES, kind_of
from fpa_core.models import Bar, Order, PortfolioSnapshot, Position, Quote, Trade
from fpa_core.numbers import MAX_NS, MIN_NS, Instant, decimal_text, ns_text
from fpa_core.protocols import SourceRequest
from fpa_plugins.files.source import FilesSource

T = "2024-05-01T14:30:00.123456789Z"

RECORDS = {
    QUOTES: [
        Quote("SPY", Instant(0), "1.50", None, "100"),
        Quote('A,"B"', T, None, "0.00000000000000000001", ask_size=0, conditions="x\r\ny", ask_exchange=","),
    ],
    TRADES: [
        Trade("SPY", "2024-05-01T14:30:00.5Z", "-36.98", "1e3", trade_id="7"),
        Trade("Ä ö", T, "9" * 76, "0." + "1" * 76),
    ],
    BARS: [
        Bar("SPY", T, None, None, None, 1, None, "1d"),
        Bar("SPY", T, 1, 2, 3, 4, 5, "1m", vwap="1.25", trade_count=2**62),
    ],
    ORDERS: [
        Order("1", "SPY", 10, "buy", "limit", limit_price="1.5", timestamp=T),
        Order("2", "SPY", None, "sell", "market", "filled", 3, timestamp=T),
    ],
    POSITIONS: [
        Position("SPY", -5, "-100", None, account="mine", side="short", timestamp=T),
        Position("A", 1, 2, 3, timestamp=T),
    ],
    SNAPSHOTS: [PortfolioSnapshot(T, "1000.10", cash="-5", currency="EUR")],
}


def batches_of(records):
    """Return records as batches of one row each, as a scan might."""
    return [batch for record in records for batch in to_table(kind_of(record), [record]).to_batches()]


def read(path, kind):
    """Read a file back as records."""
    chunks = list(FilesSource().read(SourceRequest(str(path), kind=kind)))
    assert not [reject for chunk in chunks for reject in chunk.rejects]
    return [record for chunk in chunks for record in from_table(chunk.kind, chunk.table)]


@pytest.mark.parametrize("form", export.FORMATS)
@pytest.mark.parametrize("kind", RECORDS, ids=lambda kind: kind.name)
def test_what_is_written_reads_back_equal(tmp_path, kind, form):
    """Every kind survives every format: decimals of any width, nanoseconds, quotes, line ends, missing values."""
    path = tmp_path / f"records.{form}"
    assert export.write(kind, batches_of(RECORDS[kind]), path, form) == len(RECORDS[kind])
    assert RECORDS[kind] == read(path, kind)


def names(minimum=1):
    """Return a strategy for names such as symbols."""
    return st.text(st.characters(exclude_categories=["C", "Z"]), min_size=minimum, max_size=5)


PRICES = st.one_of(
    st.decimals(allow_nan=False, allow_infinity=False, places=6),
    st.sampled_from([Decimal("1E-40"), Decimal("9" * 40), Decimal("1e20"), Decimal("-0.10")]),
)


@pytest.mark.parametrize("form", export.FORMATS)
def test_any_trades_read_back_equal(tmp_path, form):
    """Any trades that a record can hold are equal after writing and reading."""
    path = tmp_path / f"trades.{form}"

    @settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(
        st.lists(
            st.builds(
                Trade,
                names(),
                timestamp=st.integers(MIN_NS + 1, MAX_NS).map(Instant),
                price=PRICES,
                size=PRICES,
                conditions=st.none() | st.text(st.characters(exclude_characters="\x00", codec="utf-8"), max_size=5),
            ),
            min_size=1,
            max_size=5,
        )
    )
    def check(trades):
        export.write(TRADES, batches_of(trades), path, form)
        assert trades == read(path, TRADES)

    check()


def test_csv_has_plain_values():
    """CSV has the kind's columns in order, plain digits, short ISO times, and nothing where a value is missing."""
    stream = io.BytesIO()
    assert export.write(QUOTES, batches_of(RECORDS[QUOTES]), stream) == 2
    assert stream.getvalue().decode() == (
        "symbol,timestamp,bid,ask,bid_size,ask_size,bid_exchange,ask_exchange,conditions\n"
        "SPY,1970-01-01T00:00:00Z,1.5,,100,,,,\n"
        '"A,""B""",2024-05-01T14:30:00.123456789Z,,0.00000000000000000001,,0,,",","x\r\ny"\n'
    )


def test_csv_is_what_the_csv_module_reads():
    """Another program's reader finds the same cells."""
    stream = io.BytesIO()
    export.write(QUOTES, batches_of(RECORDS[QUOTES]), stream)
    rows = list(csv.DictReader(io.StringIO(stream.getvalue().decode(), newline="")))
    assert [row["symbol"] for row in rows] == ["SPY", 'A,"B"']
    assert rows[1]["conditions"] == "x\r\ny"


def test_json_lines_have_strings_for_decimals():
    """JSON Lines leave out what is missing, and write decimals as strings and counts as numbers."""
    stream = io.BytesIO()
    export.write(BARS, batches_of(RECORDS[BARS]), stream, "jsonl")
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert lines[0] == {"symbol": "SPY", "timestamp": T, "close": "1", "interval": "1d"}
    assert (lines[1]["vwap"], lines[1]["trade_count"]) == ("1.25", 2**62)


def test_parquet_has_one_type_for_a_column(tmp_path):
    """A column is decimal128 where all its values fit one, and text where they do not."""
    path = tmp_path / "trades.parquet"
    export.write(
        TRADES,
        batches_of([Trade("A", Instant(1), "1.5", 1), Trade("A", Instant(2), "-200", "9" * 39)]),
        path,
        "parquet",
    )
    schema = parquet.read_schema(path)
    assert (schema.field("price").type, schema.field("size").type) == (pa.decimal128(38, 1), pa.string())
    assert schema.field("timestamp").type == columns.TIME


@pytest.mark.parametrize("form", export.FORMATS)
def test_no_rows_are_a_valid_file(form):
    """Nothing to write gives a header, an empty file or an empty table."""
    stream = io.BytesIO()
    assert export.write(QUOTES, [], stream, form) == 0
    if form == "parquet":
        assert parquet.read_table(stream).schema.names == [column.name for column in QUOTES.columns]
    else:
        assert len(stream.getvalue().splitlines()) == (form == "csv")


def test_large_exports_have_large_row_groups(tmp_path, monkeypatch):
    """Small batches are gathered into row groups, and large ones are turned into text slice by slice."""
    monkeypatch.setattr(export, "GROUP_ROWS", 40)
    monkeypatch.setattr(export, "SLICE_ROWS", 7)
    trades = [Trade("A", Instant(number), number, 1) for number in range(100)]
    for form in ("parquet", "csv"):
        path = tmp_path / f"trades.{form}"
        export.write(TRADES, to_table(TRADES, trades).to_batches(max_chunksize=30), path, form)
        assert trades == read(path, TRADES)
    assert parquet.ParquetFile(tmp_path / "trades.parquet").num_row_groups == 2


def test_a_failed_export_leaves_the_old_file(tmp_path):
    """When the rows break off, the path holds what it held before, and no draft is left."""
    path = tmp_path / "trades.csv"
    path.write_text("before")

    def broken():
        yield from batches_of(RECORDS[TRADES])
        raise RuntimeError("the scan failed")

    with pytest.raises(RuntimeError, match="the scan failed"):
        export.write(TRADES, broken(), path)
    assert [(each.name, each.read_text()) for each in tmp_path.iterdir()] == [("trades.csv", "before")]


def test_a_path_that_cannot_be_written_is_an_error(tmp_path):
    """A folder that is not there is said with the path."""
    with pytest.raises(DataError, match="cannot be written") as caught:
        export.write(TRADES, [], tmp_path / "none" / "trades.csv")
    assert caught.value.source == str(tmp_path / "none" / "trades.csv")


def test_an_unknown_format_is_an_error():
    """The formats there are are named."""
    with pytest.raises(DataError, match="unknown output format 'xml'") as caught:
        export.write(TRADES, [], io.BytesIO(), "xml")
    assert "csv, jsonl, parquet" in caught.value.hint


@given(
    st.lists(st.none() | st.integers(MIN_NS + 10**9, MAX_NS), max_size=5),
    st.sampled_from([1, 10**3, 10**5, 10**6, 10**9]),
)
def test_time_texts_equal_those_of_single_times(times, unit):
    """A column of times is written as each time alone would be."""
    times = [None if time is None else time // unit * unit for time in times]
    expected = [None if time is None else ns_text(time) for time in times]
    assert expected == columns.times_as_texts(columns.time_column(times)).to_pylist()


@given(st.lists(st.none() | PRICES, max_size=5))
def test_decimal_texts_equal_those_of_single_numbers(numbers):
    """A column of decimals is written as each number alone would be."""
    expected = [None if number is None else decimal_text(number) for number in numbers]
    assert expected == columns.as_texts(parsing.decimal_column(numbers)).to_pylist()
