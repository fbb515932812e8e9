"""The segment codec: whatever rows go in come out, and damage is never taken for data."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np
import pytest
import strategies as own
from hypothesis import given
from hypothesis import strategies as st

from fpa_core.arrow.conversion import from_table, to_table
from fpa_core.exceptions import CorruptionError
from fpa_core.kinds import QUOTES, TRADES, Kind, kind_of
from fpa_core.models import Bar, Quote, Trade
from fpa_core.segments.layout import Coding
from fpa_core.segments.reader import Segment
from fpa_core.segments.writer import encode_segment

NS = 1_367_000_000_000_000_000


def sorted_rows(rows: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Any]]:
    return st.lists(rows, min_size=1, max_size=30).map(lambda found: sorted(found, key=lambda row: row.ts_ns))


def read(kind: Kind, content: bytes, symbol: str, start: int = 0, end: int | None = None) -> list[Any]:
    """Return the records of a segment."""
    import pyarrow as pa

    segment = Segment(content)
    arrays = {"symbol": pa.array([symbol] * ((segment.rows if end is None else end) - start))}
    for column in kind.columns:
        if column.field != kind.subject:
            arrays[column.name] = segment.array(column.name, column.type, start, end)
    return from_table(kind, pa.table(arrays))


@given(
    st.one_of(
        sorted_rows(own.quotes(symbol=st.just("A"))),
        sorted_rows(own.trades(symbol=st.just("A"))),
        sorted_rows(own.bars(symbol=st.just("A"))),
    ),
    st.data(),
)
def test_rows_come_back(rows: list[Any], data: st.DataObject) -> None:
    """Any rows come back equal, whole and in part: all decimals, nanoseconds, nulls and texts."""
    kind = kind_of(rows[0])
    content = encode_segment(kind, to_table(kind, rows))
    assert rows == read(kind, content, "A")
    start = data.draw(st.integers(0, len(rows)))
    end = data.draw(st.integers(start, len(rows)))
    assert rows[start:end] == read(kind, content, "A", start, end)


integers = st.one_of(
    st.integers(-(2**63), 2**63 - 1),
    st.integers(0, 300),
    st.sampled_from([0, 1, 10**9, 2**31 - 1, 2**31, 2**32, -(2**31)]),
)
edges = st.sampled_from([0, 1, 2, 2**30, 2**31 - 2, 2**31 - 1])


@given(st.lists(integers, min_size=1, max_size=50) | st.lists(edges, min_size=1, max_size=50))
def test_any_integers_come_back(values: list[int]) -> None:
    """A column of integers comes back whatever its range, with numbers and differences beyond 64 bits."""
    rows = [Quote("A", NS, 1, 2)] * len(values)
    content = encode_segment(QUOTES, to_table(QUOTES, rows), {"extra": np.array(values, np.int64)})
    assert values == Segment(content).integers("extra").tolist()


@pytest.mark.parametrize("step", [1, 10, 1_000_000, 7])
def test_common_steps_take_no_room(step: int) -> None:
    """Times in milliseconds take no more room than times in nanoseconds."""
    rows = [Quote("A", NS + i * i % 97 * step, 1, 2) for i in range(500)]
    one = [Quote("A", NS + i * i % 97, 1, 2) for i in range(500)]
    size = len(encode_segment(QUOTES, to_table(QUOTES, rows)))
    assert abs(size - len(encode_segment(QUOTES, to_table(QUOTES, one)))) < 8


def test_a_night_between_rows_takes_no_width() -> None:
    """One long pause does not widen the differences of all other rows."""
    day = [NS + i * (1_000_003 + i % 7) for i in range(2_000)]
    rows = [Quote("A", ns, 1, 2) for ns in [*day, *(ns + 86_400 * 10**9 for ns in day)]]
    content = encode_segment(QUOTES, to_table(QUOTES, rows))
    assert len(content) / len(rows) < 4
    assert rows == read(QUOTES, content, "A")


def test_real_looking_quotes_are_small() -> None:
    """A minute of quotes on the cent takes a few bytes a row."""
    rng = np.random.default_rng(1)
    mids = 15_000 + np.cumsum(rng.integers(-1, 2, 4_000))
    times = NS + np.cumsum(rng.integers(1_000, 10**8, 4_000))
    rows = [
        Quote("A", int(ns), Decimal(int(mid)) / 100, Decimal(int(mid) + 2) / 100, 100 * int(size), 200)
        for ns, mid, size in zip(times, mids, rng.integers(1, 30, 4_000), strict=True)
    ]
    assert len(encode_segment(QUOTES, to_table(QUOTES, rows))) / len(rows) < 7


def test_numbers_too_long_for_64_bits_are_kept_as_texts() -> None:
    """Sizes with twenty decimals and huge amounts in one column stay exact."""
    sizes = ["0.00031099999999999997", "12345678901234567890.5", "1"]
    rows = [Trade("A", NS, 1, size) for size in sizes]
    content = encode_segment(TRADES, to_table(TRADES, rows))
    codings = {name: Segment(content)._head(name).coding for name in ("size", "price")}
    assert Coding.TEXT == codings["size"] != codings["price"]
    assert rows == read(TRADES, content, "A")


def test_integers_and_scale() -> None:
    """Numbers can be had as integers with their scale."""
    rows = [Bar("A", NS, None, "2.50", 1, "1.75", 5, "1m"), Bar("A", NS + 1, None, "2.25", 1, "1.5", 5, "1m")]
    segment = Segment(encode_segment(kind_of(Bar), to_table(kind_of(Bar), rows)))
    assert ([250, 225], 2) == (segment.integers("high").tolist(), segment.scale("high"))
    assert [NS, NS + 1] == segment.integers("timestamp").tolist()


@pytest.fixture(scope="module")
def content() -> bytes:
    """Make a segment with every coding in it."""
    rows = [
        Trade("A", NS + i * i, Decimal(i % 7) / 4, "0.00031099999999999997", "F" if i % 3 else None) for i in range(90)
    ]
    return encode_segment(TRADES, to_table(TRADES, rows), {"batch": np.arange(90)})


def read_all(content: bytes) -> None:
    segment = Segment(content, "trades of A")
    for column in TRADES.columns[1:]:
        segment.array(column.name, column.type)
    segment.integers("batch")


def test_no_changed_byte_goes_unnoticed(content: bytes) -> None:
    """Whichever byte is changed, reading reports damage instead of returning rows."""
    unnoticed = []
    for place in range(len(content)):
        damaged = bytearray(content)
        damaged[place] ^= 0x10
        try:
            read_all(bytes(damaged))
        except CorruptionError:
            continue
        unnoticed.append(place)
    assert [] == unnoticed


@pytest.mark.parametrize("cut", [0, 3, 20, 100, -1])
def test_cut_segments_are_damaged(content: bytes, cut: int) -> None:
    """A segment that lost its end is reported as damaged."""
    with pytest.raises(CorruptionError, match="trades of A is damaged"):
        read_all(content[:cut])


def test_only_the_columns_asked_for_are_checked(content: bytes) -> None:
    """Damage in one column does not keep the others from being read."""
    damaged = bytearray(content)
    damaged[-1] ^= 1
    segment = Segment(bytes(damaged))
    assert NS == segment.integers("timestamp")[0]
    with pytest.raises(CorruptionError, match="its column batch"):
        segment.integers("batch")
