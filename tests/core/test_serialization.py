"""Values as dicts and as bytes come back equal, and nothing but what was written is read."""

from __future__ import annotations

import json
import math
import pickle
import subprocess
import sys
import zlib
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fpa_core.cache import codec as cache_codec
from fpa_core.cache.codec import DecodeError, decode, encode
from fpa_core.exceptions import CacheError, DataError
from fpa_core.kinds import QUOTES, kind_of
from fpa_core.models import Bar, Order, PortfolioSnapshot, Position, Quote, Trade
from fpa_core.serialization import from_dict, to_dict

T = 1_700_000_000_123_456_789
RECORDS = [
    Quote("AAPL", T, "1.50", None, bid_size=0),
    Trade("AAPL", T, "-36.98", 1, trade_id="1"),
    Bar("AAPL", T, None, None, None, "1e-20", None, "1m", trade_count=3),
    Order("1", "AAPL", 1, "buy", "limit", "filled", timestamp=T, updated_at=T),
    Order("2", "AAPL", None, "sell", "market"),
    Position("AAPL", -1, None, 3, side="short"),
    PortfolioSnapshot(T, "1", positions=[Position("B", 1, 2, 3, side="long"), Position("A", 1, 2, 3)]),
    PortfolioSnapshot(T, 10**60),
]


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: type(record).__name__)
def test_records_survive_as_json(record):
    """A record becomes JSON under its public names and comes back equal."""
    data = to_dict(record)
    assert record == from_dict(type(record), json.loads(json.dumps(data)))
    assert all(type(value) in (str, int, list, type(None)) for value in data.values())
    assert {column.name for column in kind_of(record).columns} <= set(data)


def test_json_is_exact_and_canonical():
    """Decimals and nanoseconds are written exactly, as canonical text."""
    data = to_dict(RECORDS[0])
    assert (data["timestamp"], data["bid"], data["ask"]) == ("2023-11-14T22:13:20.123456789Z", "1.5", None)


@pytest.mark.parametrize(
    ("kind", "data", "problems"),
    [
        ("quote", {"symbol": "A"}, ["timestamp", "bid", "ask"]),
        ("quote", to_dict(RECORDS[0]) | {"colour": "red"}, ["colour"]),
        ("quote", to_dict(RECORDS[0]) | {"bid": "cheap"}, ["Quote.bid"]),
        ("quote", to_dict(RECORDS[0]) | {"timestamp": "2024-01-01T00:00"}, ["zone"]),
        ("snapshot", to_dict(RECORDS[6]) | {"positions": [{"symbol": "A"}]}, ["Position", "quantity"]),
        ("snapshot", to_dict(RECORDS[6]) | {"positions": 5}, ["positions"]),
        ("quote", [], ["mapping"]),
    ],
    ids=["missing", "unknown", "number", "zone", "nested", "shape", "list"],
)
def test_what_is_no_record_is_refused(kind, data, problems):
    """Fields that are missing, unknown or wrong are named."""
    with pytest.raises(DataError) as caught:
        from_dict(kind, data)
    assert [problem for problem in problems if problem not in caught.value.message] == []


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary()
    | st.decimals(allow_nan=False) | st.datetimes(timezones=st.just(UTC)) | st.sampled_from(RECORDS),
    lambda inner: st.lists(inner) | st.tuples(inner, inner)
    | st.dictionaries(st.text() | st.integers() | st.just("$tuple"), inner),
    max_leaves=8,
)  # fmt: skip


@given(plain)
def test_values_survive_the_envelope(value):
    """Any nesting of what may be cached comes back equal and of the same type."""
    got = decode(encode(value))
    assert (value, type(value)) == (got, type(got))


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: type(record).__name__)
def test_lists_of_records_survive_the_envelope(record):
    """Lists and tuples of one class of record, positions of snapshots included, come back equal."""
    for value in ([record] * 3, (record, record), [record, RECORDS[0]]):
        assert value == decode(encode(value))


def test_tables_survive_the_envelope():
    """An Arrow table comes back equal, an empty one too."""
    for table in (pa.table({"a": [Decimal("1.1")]}), QUOTES_TABLE, pa.table({})):
        assert table.equals(decode(encode(table)))


QUOTES_TABLE = pa.table({"price": pa.array([1, None], pa.int64())})


def test_odd_values_survive_the_envelope():
    """Not-a-number, negative zero, an offset, and a Decimal's own exponent are kept."""
    assert math.isnan(decode(encode(math.nan)))
    assert str(decode(encode(-0.0))) == "-0.0"
    assert str(decode(encode(Decimal("1.500")))) == "1.500"
    moment = datetime(2024, 1, 1, 12, tzinfo=timezone(timedelta(hours=5, minutes=30)))
    assert decode(encode(moment)).utcoffset() == timedelta(hours=5, minutes=30)


@pytest.mark.parametrize(
    "value", [{1}, object(), [object()], timedelta(1), 10**5000], ids=["set", "object", "nested", "delta", "int"]
)
def test_other_values_are_refused(value):
    """A value of any other type is an error when it is encoded."""
    with pytest.raises(CacheError, match="cannot be cached"):
        encode(value)


def test_circles_are_refused():
    """A value that contains itself is an error."""
    circle: list[object] = []
    circle.append(circle)
    with pytest.raises(CacheError, match="contains itself"):
        encode(circle)


def sealed(body):
    """Return *body* under a valid head and checksum."""
    return b"FPA\x01" + zlib.crc32(body).to_bytes(4, "little") + body


GOOD = encode({"a": 1})


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"FPA\x01",
        GOOD[:-1],
        GOOD[:-1] + b"]",
        b"X" + GOOD[1:],
        pickle.dumps(1),
        sealed(b""),
        sealed(b"\x00"),
        sealed(b"\xffos"),
        sealed(b"\x09os.system" + b"\0" * 8),
        sealed(GOOD[8:-1]),
        sealed(GOOD[8:].replace(b'{"a":1}', b'{"$import":"os"}')),
    ],
    ids=repr,
)  # fmt: skip
def test_other_bytes_are_not_read(content):
    """Bytes that are damaged, foreign, cut short or name an unknown codec are one kind of error."""
    with pytest.raises(DecodeError):
        decode(content)


@given(st.binary(max_size=200))
def test_no_bytes_do_harm(content):
    """Whatever the bytes, reading them ends in that error, with a valid checksum too."""
    for each in (content, sealed(content)):
        with pytest.raises(DecodeError):
            decode(each)


def test_a_changed_class_is_not_read_as_the_old_one(monkeypatch):
    """Bytes written before a record class changed are an error, not a wrong record."""
    written = encode([RECORDS[0]])
    codec = cache_codec._codec("quotes", [QUOTES, QUOTES], list, list)
    monkeypatch.setattr(cache_codec, "_BY_HEAD", {codec.head: codec})
    with pytest.raises(DecodeError, match="version"):
        decode(written)


def test_importing_is_cheap():
    """Importing the modules loads neither Arrow nor cattrs."""
    code = "import sys, fpa_core.cache.codec; sys.exit(any(name in sys.modules for name in ('pyarrow', 'cattrs')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
