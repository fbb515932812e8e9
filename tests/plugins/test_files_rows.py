"""The files source keeps the positions of rows exact, whatever stands between them."""

import datetime as dt
import struct
import uuid
from decimal import Decimal

import pyarrow as pa
import pytest
from pyarrow import parquet

from fpa_core.arrow.conversion import from_table
from fpa_core.exceptions import DataError
from fpa_core.protocols import SourceRequest, is_shortened
from fpa_plugins.files import delimited, rows
from fpa_plugins.files.source import FilesSource

HEADER = b"symbol,timestamp,price,size,conditions\n"
GOOD = b"A,2024-05-01T14:30:00Z,1,1,\n"


def outcome(path, **request):
    """Return the positions read, the positions refused with their problems, and the records."""
    chunks = list(FilesSource().read(SourceRequest(str(path), **request)))
    read = [position for chunk in chunks for position in chunk.rows]
    rejects = {reject.row: reject for chunk in chunks for reject in chunk.rejects}
    return read, rejects, [record for chunk in chunks for record in from_table(chunk.kind, chunk.table)]


def trades(folder, content):
    """Make a CSV file of trades with these lines after the header."""
    path = folder / "trades.csv"
    path.write_bytes(HEADER + content)
    return path


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (b"A,2024-05-01T14:30:00Z,1,1\n", "4 cells, but the header has 5"),
        (b"A,2024-05-01T14:30:00Z,1,1,,x\n", "6 cells, but the header has 5"),
        (b"   \n", "1 cells, but the header has 5"),
        (b"A,2024-05-01T14:30:00Z,abc,1,\n", "price: 'abc' is not a decimal number"),
        (b"A,2024-05-01T14:30:00Z,,1,\n", "price: it is missing"),
        (b",yesterday,1,1,\n", "symbol: it is missing; timestamp: 'yesterday' is not an ISO-8601 time"),
        (b"A,2024-05-01T14:30:00,1,1,\n", "has no time zone"),
        (b"A,2024-05-01,1,1,\n", "is a date without a time"),
        (b"A\x07,2024-05-01T14:30:00Z,1,1,\n", "symbol: 'A\\x07' is not a name"),
        (b"A,2024-05-01T14:30:00Z,1,1,\xff\n", "bytes that are not UTF-8"),
        (b"A,2024-05-01T14:30:00Z,1,1,\x00\n", "conditions: expected text of at most 4096 characters and without NUL"),
        (
            b"A,2024-05-01T14:30:00Z,1,1," + b"x" * 200_000 + b"\n",
            "conditions: expected text of at most 4096 characters",
        ),
        (b'A,2024-05-01T14:30:00Z,1,1,"' + b"x" * 200_000 + b'"\n', "field larger than field limit"),
        (b'A,2024-05-01T14:30:00Z,1,1,"x"y\n', "',' expected after '\"'"),
        (b'A,2024-05-01T14:30:00Z,1,1,"x\n', None),
    ],
)
@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_a_bad_row_is_rejected_alone(tmp_path, line, problem, end):
    """A row of the wrong shape keeps its position and its text, and costs no other row."""
    content = (GOOD + b"\n" + GOOD + line + b"\n\n" + GOOD).replace(b"\n", end)
    read, rejects, records = outcome(trades(tmp_path, content))
    assert (read, list(rejects), len(records)) == ([1, 2, 4], [3], 3)
    assert problem is None or problem in rejects[3].problem
    assert rejects[3].raw[:20] == line.decode("utf-8", "backslashreplace")[:20].rstrip("\n")
    assert len(rejects[3].raw) <= rows.MAX_RAW + 128
    assert is_shortened(rejects[3].raw) == (len(line.rstrip()) > rows.MAX_RAW)


def test_quoted_cells_may_hold_anything(tmp_path):
    """Commas, quotes and line ends within quotes belong to the cell, and a row of several lines is one row."""
    path = trades(tmp_path, GOOD + b'"A,B",2024-05-01T14:30:00Z,"1",1,"x\r\n\n""y"""\n' + GOOD)
    read, rejects, records = outcome(path)
    assert (read, rejects) == ([1, 2, 3], {})
    assert (records[1].symbol, records[1].conditions) == ("A,B", 'x\r\n\n"y"')


def test_a_quoted_row_may_reach_into_the_next_block(tmp_path):
    """Positions stay exact where a quoted row begins in one block of the file and ends in another."""
    block = b"".join(b"A,2024-05-01T14:30:00Z,%d,1,\n" % number for number in range(1, 2500))
    quoted = b'A,2024-05-01T14:30:00Z,0,1,"' + b"line\n" * 800 + b'"\n'
    read, rejects, records = outcome(trades(tmp_path, block + quoted + block + b"x\n" + block), chunk_rows=1000)
    assert list(rejects) == [5000]
    assert [*range(1, 5000), *range(5001, 7500)] == read
    assert (3999, Decimal(1)) == (len(records[2499].conditions), records[2500].price)


def test_a_quote_that_is_never_closed_costs_one_line(tmp_path, monkeypatch):
    """The search for the end of a quote is given up in time, and the lines after it are read as rows."""
    monkeypatch.setattr(delimited, "MAX_RECORD", 1000)
    path = trades(tmp_path, GOOD + b'A,2024-05-01T14:30:00Z,1,1,"x\n' + GOOD * 100)
    read, rejects, _ = outcome(path)
    assert ([1, *range(3, 103)], [2]) == (read, list(rejects))
    assert rejects[2].problem == "a quote is not closed"


def test_old_line_ends_are_line_ends(tmp_path):
    """Files whose lines end with a carriage return alone are read as any other."""
    path = tmp_path / "trades.csv"
    path.write_bytes(
        (b"\xef\xbb\xbf" + HEADER + GOOD * 4000 + b'A,2024-05-01T14:30:00Z,1,1,"x"\n').replace(b"\n", b"\r")
    )
    read, rejects, _ = outcome(path, chunk_rows=1000)
    assert (list(range(1, 4002)), {}) == (read, rejects)


def test_a_byte_order_mark_within_the_file_is_data(tmp_path):
    """Only the first bytes of a file can be its byte order mark."""
    read, rejects, records = outcome(trades(tmp_path, b"\xef\xbb\xbf" + GOOD + GOOD))
    assert (read, list(rejects), [record.symbol for record in records]) == ([2], [1], ["A"])


def test_numbers_of_any_width_are_exact(tmp_path):
    """Prices that no single decimal type holds together come out with all their digits."""
    wide = ["1" * 38, "0." + "1" * 38, "9" * 76, "0." + "9" * 76, "1e-7"]
    content = b"".join(b"A,2024-05-01T14:30:00Z,%s,1,\n" % number.encode() for number in wide)
    assert [Decimal(number) for number in wide] == [trade.price for trade in outcome(trades(tmp_path, content))[2]]


# Parquet


def parquet_trades(folder, **columns):
    """Make a Parquet file of two trades, with these columns in place of the ordinary ones."""
    ordinary = {
        "symbol": pa.array(["A", "B"]),
        "timestamp": pa.array([1000, 2000], pa.timestamp("us", "UTC")),
        "price": pa.array([Decimal("1.50"), Decimal("-2.25")], pa.decimal128(7, 2)),
        "size": pa.array([1, 2], pa.uint16()),
    }
    path = folder / "trades.parquet"
    parquet.write_table(pa.table(ordinary | columns), path)
    return path


@pytest.mark.parametrize(
    ("column", "values", "expected"),
    [
        ("price", pa.array([0.1, 1e-7]), ["0.1", "0.0000001"]),
        ("price", pa.array([0.1, 1e22], pa.float32()), ["0.1", "1e22"]),
        ("price", pa.array([3, 2**64 - 1], pa.uint64()), ["3", "18446744073709551615"]),
        ("price", pa.array([Decimal("0.10"), Decimal("9" * 60)], pa.decimal256(76, 2)), ["0.1", "9" * 60]),
        ("price", pa.array(["1.5", "1e2"]).dictionary_encode(), ["1.5", "100"]),
        ("price", pa.array([b"1.5", b"2"], pa.large_binary()), ["1.5", "2"]),
        ("price", pa.array(["1.5", "2"], pa.large_string()), ["1.5", "2"]),
    ],
)
def test_parquet_numbers_are_exact(tmp_path, column, values, expected):
    """Decimals and integers of any width, texts, and floats by their shortest representation."""
    records = outcome(parquet_trades(tmp_path, **{column: values}))[2]
    assert [Decimal(text) for text in expected] == [getattr(record, column) for record in records]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (pa.array([1, 2], pa.timestamp("s", "Europe/Berlin")), [10**9, 2 * 10**9]),
        (pa.array([1, 2], pa.timestamp("ns", "UTC")), [1, 2]),
        (
            pa.array([1_700_000_000_000_000_001, 1_700_000_000_000_000_002]),
            [1_700_000_000_000_000_001, 1_700_000_000_000_000_002],
        ),
        (pa.array(["1970-01-01T00:00:01Z", "1970-01-01T00:00Z"]), [10**9, 0]),
    ],
)
def test_parquet_times_are_exact(tmp_path, values, expected):
    """Times of any unit and zone, nanoseconds as integers, and texts."""
    assert [trade.ts_ns for trade in outcome(parquet_trades(tmp_path, timestamp=values))[2]] == expected


@pytest.mark.parametrize(
    ("columns", "problem"),
    [
        ({"timestamp": pa.array([2**36, 2**36], pa.timestamp("s", "Nowhere/Town"))}, "is outside"),
        ({"timestamp": pa.array([-(2**63)] * 2, pa.int64()).cast(pa.timestamp("ns", "UTC"))}, "NaT is not a time"),
        ({"price": pa.array([float("inf"), float("-inf")])}, "is not a decimal number"),
        ({"price": pa.array([float("nan"), float("nan")])}, "price: it is missing"),
        ({"price": pa.array([None, None], pa.float64())}, "price: it is missing"),
        ({"price": pa.array([True, False])}, "'true' is not a decimal number"),
        ({"price": pa.array([[1], [2]])}, "'[1]' is not a decimal number"),
        ({"price": pa.array([[10**9 + 1]] * 2, pa.list_(pa.timestamp("ns")))}, "is not a decimal number"),
        ({"symbol": pa.array([b"\xff", b"\xff"])}, "symbol: bytes that are not UTF-8"),
        ({"symbol": pa.array(["", ""])}, "symbol: it is missing"),
    ],
)
def test_parquet_rows_that_are_no_records_are_rejected(tmp_path, columns, problem):
    """Values that are no number, no instant or no text refuse their row, which is kept as JSON."""
    read, rejects, _ = outcome(parquet_trades(tmp_path, **columns))
    assert (read, list(rejects)) == ([], [1, 2])
    assert problem in rejects[1].problem
    assert '"size": "1"' in rejects[1].raw


@pytest.mark.parametrize(
    ("times", "problem"),
    [
        (pa.array([0, 0], pa.timestamp("us")), "has no time zone"),
        (pa.array([dt.date(2024, 5, 1)] * 2), "they are dates, which name no instant"),
        (pa.array([1.5, 1.5]), "a number whose unit is not certain"),
    ],
)
def test_parquet_times_that_name_no_instant_are_asked_about(tmp_path, times, problem):
    """A whole column of times that name no instant is refused at once, with the option that mends it."""
    with pytest.raises(DataError, match=problem):
        outcome(parquet_trades(tmp_path, timestamp=times))


def test_a_parquet_text_that_lies_is_rejected(tmp_path):
    """A text column whose bytes are not UTF-8 refuses the row instead of failing later."""
    lying = pa.Array.from_buffers(
        pa.string(), 2, [None, pa.py_buffer(struct.pack("3i", 0, 1, 2)), pa.py_buffer(b"A\xff")]
    )
    for symbols in (lying, pa.DictionaryArray.from_arrays(pa.array([0, 1], pa.int32()), lying)):
        read, rejects, _ = outcome(parquet_trades(tmp_path, symbol=symbols))
        assert (read, list(rejects)) == ([1], [2])


def test_parquet_identifiers_are_texts(tmp_path):
    """Integers, UUIDs and lists stand as their text where a text is wanted."""
    one = uuid.UUID(int=1)
    uuids = pa.ExtensionArray.from_storage(pa.uuid(), pa.array([one.bytes, None], pa.binary(16)))
    lists = pa.array([["@", "I"], None])
    path = parquet_trades(tmp_path, trade_id=uuids, conditions=lists, exchange=pa.array([4, None]))
    first, second = outcome(path)[2]
    assert (first.trade_id, first.conditions, first.exchange) == (str(one), '["@", "I"]', "4")
    assert (second.trade_id, second.conditions, second.exchange) == (None, None, None)


def test_a_parquet_file_without_rows_is_refused(tmp_path):
    """No rows are an error, not an empty success."""
    path = tmp_path / "none.parquet"
    parquet.write_table(pa.table({"symbol": pa.array([], pa.string())}), path)
    with pytest.raises(DataError, match="the file has no rows"):
        outcome(path)
