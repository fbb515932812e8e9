"""The files source judges every row as the record class would, and nothing in a file makes it fail in another way than with a DataError."""

import csv
import gzip
import io
import json
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fpa_core.arrow.conversion import from_table
from fpa_core.exceptions import DataError
from fpa_core.formats import Format
from fpa_core.kinds import KINDS
from fpa_core.protocols import SourceRequest
from fpa_core.words import NULLS
from fpa_plugins.files.source import FilesSource

FAST = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)

NUMBERS = st.one_of(
    st.sampled_from(
        ["", "0", "-0", "+1", "1.", ".5", "-.5", ".", "-", "1e5", "1E-7", "1e999", "nan", "inf", "1_0", " 1.5 ", "1,5"]
    ),
    st.sampled_from(
        ["0x10", "٣", "9" * 38, "9" * 39, "9" * 76, "9" * 77, "0." + "1" * 76, "0." + "1" * 77, "1\x00", "--1"]
    ),
    st.decimals(allow_nan=False, allow_infinity=False, places=4).map(str),
    st.text(max_size=4),
)
TIMES = st.one_of(
    st.sampled_from(
        [
            "",
            "2024-05-01T14:30:00Z",
            "2024-05-01 14:30:00.5+02:00",
            "2024-05-01T14:30Z",
            "2024-05-01T14Z",
            "2024-05-01",
            "2024-05-01T14:30:00",
            "2024-02-30T00:00:00Z",
            "2024-05-01T14:30:60Z",
            "2024-05-01T14:30:00.1234567891Z",
            "2024-05-01T14:30:00,5z",
            "2024-05-01T14:30:00-0530",
            "2024-05-01T14:30:00+05:99",
            "1677-09-21T00:12:43.145224192Z",
            "1677-09-21T00:12:43.145224193Z",
            "2262-04-11T23:47:16.854775807Z",
            "2262-04-11T23:47:16.854775808Z",
            "0001-01-01T00:00:00Z",
            "9999-12-31T23:59:59-01:00",
            "yesterday",
        ]
    ),
    st.datetimes().map(lambda moment: f"{moment.isoformat()}Z"),
)
TEXTS = st.one_of(
    st.sampled_from(
        ["", "A", "BRK.B", " A", "A ", "A\x00", "x" * 4096, "x" * 4097, "é", "A\u2028B", "\ufeff", "NULL", "NA"]
    ),
    st.text(max_size=5),
)
WORDS = st.sampled_from(
    ["", "buy", "SELL", " long ", "short", "filled", "Canceled", "market", "day", "GTC", "1d", "5 min", "0m", "x"]
)


def cells_of(column):
    """Return a strategy for the text of a cell of *column*."""
    if column.type == "decimal":
        return NUMBERS
    if column.type == "time":
        return TIMES
    if column.type == "integer":
        return st.one_of(st.sampled_from(["7", "7.0", "7.5", "1e3", str(2**63), str(-(2**63))]), NUMBERS)
    words = {"side", "order_type", "status", "time_in_force", "interval"}
    return WORDS if column.name in words else TEXTS


def verdict(kind, row, *, literal):
    """Return the record of a row of texts, as its class makes it once missing values are missing, or None if it makes none."""
    given_ = {name: text for name, text in row.items() if text.strip() != ""}
    texts = {column.name for column in kind.columns if column.type == "text"} if literal else {"symbol"}
    given_ = {name: text for name, text in given_.items() if name in texts or text.strip().lower() not in NULLS}
    for name in {"symbol", "account", "order_id", "currency"} & given_.keys():
        given_[name] = given_[name].strip()
    for name in {"side"} & given_.keys() if kind.name == "trades" else ():
        try:
            kind.by_name[name].convert(given_[name])
        except DataError:
            del given_[name]  # an aggressor that is not known
    optional = {column.name: None for column in kind.columns if not column.required}
    if kind.name == "bars" and len(given_.get("timestamp", "")) == len("2024-05-01"):
        given_["timestamp"] += "T00:00:00Z"
    try:
        return kind.record(**optional | given_)
    except (DataError, TypeError):
        return None


def read(path, **request):
    """Read a file whole: its records by position, its rejects by position."""
    records, rejects = {}, {}
    empty = 0
    for chunk in FilesSource().read(SourceRequest(str(path), **request)):
        assert chunk.table.schema.names == [column.name for column in chunk.kind.columns]
        chunk.table.validate(full=True)
        assert len(chunk.rows) == chunk.table.num_rows
        made = from_table(chunk.kind, chunk.table)
        assert not records.keys() & set(chunk.rows)
        records |= dict(zip(chunk.rows, made, strict=True))
        rejects |= {reject.row: reject for reject in chunk.rejects}
        empty += chunk.empty
    found = sorted([*records, *rejects])
    assert found == sorted(set(found))
    assert not found or found[-1] <= len(found) + empty
    return records, rejects


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_rows_are_judged_as_by_the_record_class(tmp_path, kind, form):
    """A row becomes a record when the class makes one of its texts, and then they are equal; else it is rejected."""
    names = [column.name for column in kind.columns]

    @FAST
    @given(
        st.lists(
            st.fixed_dictionaries({column.name: cells_of(column) for column in kind.columns}), min_size=1, max_size=6
        )
    )
    def judge(rows):
        path = tmp_path / f"rows.{form}"
        if form == "csv":
            text = io.StringIO()
            writer = csv.writer(text, lineterminator="\r\n")  # so that both are quoted within cells
            writer.writerow(names)
            writer.writerows([row[name] for name in names] for row in rows)
            path.write_bytes(text.getvalue().encode("utf-8", "surrogatepass"))
        else:
            path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
        # The header is our own, and JSON tells a missing value from a text: a text is what it says.
        expected = [verdict(kind, row, literal=True) for row in rows]
        try:
            # Numbers of the file alone might show a decimal comma; the record class knows none.
            records, rejects = read(path, kind=kind, format=Format(decimal="."))
        except DataError:  # no row says how the file is to be read
            assert expected == [None] * len(rows)
            return
        assert {row: made for row, made in enumerate(expected, 1) if made is not None} == records
        assert all(reject.problem and reject.raw for reject in rejects.values())

    judge()


def survives(path):
    """Read a file; whatever it holds, its rows add up or there is a DataError that names it."""
    for kind in (None, KINDS["quotes"]):
        try:
            read(path, kind=kind, symbol="A", chunk_rows=3)
        except DataError as error:
            named = str(path) in error.message and error.source == str(path)
        else:
            named = True
        assert named


LINES = st.lists(
    st.one_of(
        st.sampled_from(
            [
                b"A,2024-05-01T14:30:00Z,1,2",
                b'"A",2024-05-01T14:30:00Z,1,2',
                b'A,"',
                b'"',
                b"",
                b"\r",
                b"1,2,3,4,5",
                b"\xff,,,",
                b"\x00",
            ]
        ),
        st.binary(max_size=12),
    ),
    max_size=12,
)


@FAST
@given(LINES, st.sampled_from([b"\n", b"\r\n", b"\r"]), st.booleans())
def test_any_csv_adds_up(tmp_path, lines, end, bom):
    """Whatever lines follow a header, every row is a record or a reject."""
    path = tmp_path / "any.csv"
    path.write_bytes(b"\xef\xbb\xbf" * bom + end.join([b"symbol,timestamp,bid,ask", *lines]))
    survives(path)


@FAST
@given(
    st.lists(
        st.one_of(
            st.binary(max_size=12),
            st.recursive(
                st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=3),
                lambda inner: (
                    st.lists(inner, max_size=2)
                    | st.dictionaries(st.sampled_from(["symbol", "t", "bid", "Bid", "x"]), inner)
                ),
                max_leaves=4,
            ).map(lambda value: json.dumps(value).encode()),
        ),
        max_size=8,
    )
)
def test_any_json_lines_add_up(tmp_path, lines):
    """Whatever stands on the lines of a JSON Lines file, every row is a record or a reject."""
    path = tmp_path / "any.jsonl"
    path.write_bytes(b"\n".join([b'{"symbol":"A","t":"2024-05-01T14:30:00Z","bid":1.50,"ask":"2"}', *lines]))
    survives(path)


@FAST
@given(st.binary(max_size=200), st.sampled_from(["csv", "tsv", "jsonl", "parquet", "csv.gz", "jsonl.zst"]))
def test_any_bytes_are_survived(tmp_path, content, suffix):
    """A file of arbitrary bytes is read or refused with a DataError."""
    path = tmp_path / f"any.{suffix}"
    path.write_bytes(content)
    survives(path)


@FAST
@given(st.integers(0, 2000), st.integers(1, 255), st.sampled_from(["parquet", "csv.gz"]))
def test_damaged_files_are_survived(tmp_path, place, flip, suffix):
    """A file with a flipped byte is read or refused with a DataError."""
    whole = tmp_path / f"whole.{suffix}"
    if not whole.exists():
        rows = b"".join(b"A,2024-05-01T14:30:%02dZ,%d.5,2\n" % (number % 60, number) for number in range(200))
        content = b"symbol,timestamp,bid,ask\n" + rows
        if suffix == "csv.gz":
            whole.write_bytes(gzip.compress(content))
        else:
            from fpa_core.export import write

            plain = tmp_path / "plain.csv"
            plain.write_bytes(content)
            chunks = FilesSource().read(SourceRequest(str(plain)))
            write(KINDS["quotes"], (batch for chunk in chunks for batch in chunk.table.to_batches()), whole, "parquet")
    damaged = bytearray(whole.read_bytes())
    damaged[place % len(damaged)] ^= flip
    path = tmp_path / f"damaged.{suffix}"
    path.write_bytes(damaged)
    survives(path)


def test_json_numbers_keep_their_digits(tmp_path):
    """A JSON number is read by its digits, never through a binary float."""
    path = tmp_path / "exact.jsonl"
    path.write_text(
        '{"symbol":"A","timestamp":"2024-05-01T14:30:00Z","price":0.10000000000000000001,"size":12345678901234567890}\n'
    )
    records, _ = read(path)
    assert (Decimal("0.10000000000000000001"), Decimal(12345678901234567890)) == (records[1].price, records[1].size)
