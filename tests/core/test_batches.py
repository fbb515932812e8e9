"""Narrow batches: the form in which rows are gathered, compared and joined on their way into segments."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
import strategies as own
from hypothesis import given
from hypothesis import strategies as st

from fpa_core.arrow import columns
from fpa_core.arrow.batches import combine_chunks, concat, equal_rows, to_decimal, to_scaled
from fpa_core.arrow.conversion import from_table, to_table
from fpa_core.kinds import QUOTES, TRADES, kind_of
from fpa_core.models import Quote
from fpa_core.numbers import Instant

rows = st.one_of(
    st.lists(own.quotes(symbol=st.just("A")), min_size=1, max_size=8),
    st.lists(own.trades(symbol=st.just("A")), min_size=1, max_size=8),
)


def narrow(records: list[Any]) -> pa.RecordBatch:
    kind = kind_of(records[0])
    return to_scaled(kind, combine_chunks(to_table(kind, records)))


@given(rows, st.booleans())
def test_nothing_changes(records: list[Any], without_subject: bool) -> None:
    """Rows made narrow and wide again are the same records, with the subject's column or with the subject beside it."""
    kind = kind_of(records[0])
    batch = narrow(records)
    if without_subject:
        batch = batch.drop_columns(["symbol"])
    assert records == from_table(kind, to_decimal(kind, batch, "A" if without_subject else None))


@given(rows, st.data())
def test_parts_make_the_whole(records: list[Any], data: st.DataObject) -> None:
    """Batches joined are the rows of all, whatever scales and columns each of them came with."""
    kind = kind_of(records[0])
    cut = data.draw(st.integers(0, len(records)))
    parts = [narrow(part) for part in (records[:cut], records[cut:]) if part]
    joined = concat(kind, parts)
    assert records == from_table(kind, to_decimal(kind, joined))
    assert equal_rows(kind, joined, narrow(records))


@given(st.lists(own.quotes(symbol=st.just("A")), min_size=2, max_size=2))
def test_same_means_equal(quotes: list[Quote]) -> None:
    """Two batches are the same exactly when their records are equal."""
    one, other = ([quote] for quote in quotes)
    assert equal_rows(QUOTES, narrow(one), narrow(other)) == (one == other)


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        ("1", "1.000", True),
        ("1", "1.001", False),
        ("9223372036854775807", "0.1", False),  # no 64 bits hold it at the other's scale
        ("1e-30", "1e-30", True),
        ("1e-30", "0", False),
    ],
)
def test_scales_do_not_matter(one: str, other: str, equal: bool) -> None:
    """Numbers are compared by value, whatever scale they came with."""
    batches = [
        to_scaled(
            QUOTES,
            pa.RecordBatch.from_arrays(
                [pa.array([1]).cast(columns.TIME), pa.array([text])], names=["timestamp", "bid"]
            ),
        )
        for text in (one, other)
    ]
    assert equal_rows(QUOTES, *batches) == equal


def test_empty_columns_are_left_out() -> None:
    """A column without any value is not carried along."""
    assert ["symbol", "timestamp", "bid"] == narrow([Quote("A", Instant(1), 2, None)]).schema.names


def test_one_piece_is_not_copied() -> None:
    """A table in one piece is taken as it is; one in several is put together."""
    table = to_table(TRADES, [])
    assert combine_chunks(table).num_rows == 0
    values = pa.array([Decimal(1)])
    single = pa.table({"price": values})
    assert values.buffers()[1].address == combine_chunks(single).column(0).buffers()[1].address
    assert combine_chunks(pa.concat_tables([single, single])).num_rows == 2
