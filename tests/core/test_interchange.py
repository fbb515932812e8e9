"""The form in which other engines take rows: exact, with nanoseconds, or refused."""

from __future__ import annotations

from decimal import Decimal

import pyarrow as pa
import pytest
import strategies as own
from hypothesis import given
from hypothesis import strategies as st

from fpa_core.arrow import decimals
from fpa_core.arrow.conversion import to_table
from fpa_core.arrow.interchange import MICROSECONDS, conform, interchange_schema
from fpa_core.exceptions import DataError
from fpa_core.kinds import BARS, KINDS, ORDERS, QUOTES
from fpa_core.models import Quote
from fpa_core.numbers import Instant


def conformed(quotes: list[Quote], scale: int, *, scaled: bool) -> pa.Table:
    schema = interchange_schema(QUOTES, scale)
    batches = to_table(QUOTES, quotes).to_batches()
    if scaled:
        batches = [decimals.narrowed(QUOTES, batch) for batch in batches]
    return pa.Table.from_batches([conform(QUOTES, batch, schema) for batch in batches], schema)


def fits(value: Decimal | None, scale: int) -> bool:
    """Return whether a decimal of 38 digits with *scale* after the point holds a value."""
    if value is None:
        return True
    scaled = value.scaleb(scale)
    return scaled == scaled.to_integral_value() and abs(scaled) < Decimal(10) ** 38


@given(st.lists(own.quotes(), max_size=8), st.integers(0, 38), st.booleans())
def test_exact_or_refused(quotes: list[Quote], scale: int, scaled: bool) -> None:
    """Every value is the same afterwards, to the last digit and nanosecond; a value that does not fit is an error."""
    values = [value for quote in quotes for value in (quote.bid, quote.ask, quote.bid_size, quote.ask_size)]
    if not all(fits(value, scale) for value in values):
        with pytest.raises(DataError, match="does not fit a decimal of 38 digits"):
            conformed(quotes, scale, scaled=scaled)
        return
    table = conformed(quotes, scale, scaled=scaled)
    for name in ("bid", "ask", "bid_size", "ask_size"):
        assert [getattr(quote, name) for quote in quotes] == table.column(name).to_pylist()
        assert pa.decimal128(38, scale) == table.schema.field(name).type
    assert [quote.ts_ns for quote in quotes] == table.column("ts_ns").to_pylist()
    assert [quote.ts_ns // 1_000 for quote in quotes] == table.column("timestamp").cast(pa.int64()).to_pylist()
    assert [quote.symbol for quote in quotes] == table.column("symbol").to_pylist()


def test_times_are_there_twice() -> None:
    """Each time of a kind is followed by its nanoseconds, and what a record must have cannot be null."""
    names = interchange_schema(ORDERS).names
    place, later = names.index("timestamp"), names.index("updated_at")
    assert ["ts_ns", "updated_ns"] == [names[place + 1], names[later + 1]]
    assert MICROSECONDS == interchange_schema(BARS).field("timestamp").type
    assert not interchange_schema(BARS).field("close").nullable
    assert interchange_schema(BARS).field("open").nullable


def test_times_before_1970_are_rounded_down() -> None:
    """A nanosecond before 1970 is in the last microsecond of 1969."""
    table = conformed([Quote("A", Instant(-1), 1, 2)], 2, scaled=True)
    assert [-1] == table.column("timestamp").cast(pa.int64()).to_pylist() == table.column("ts_ns").to_pylist()


@pytest.mark.parametrize("scale", [-1, 39, 1.5, "2"])
def test_a_scale_that_is_none(scale: object) -> None:
    """A scale that no decimal has is refused."""
    with pytest.raises(DataError, match="a whole number from 0 to 38 is needed"):
        interchange_schema(QUOTES, scale)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", KINDS.values(), ids=str)
def test_every_kind_has_a_schema(kind) -> None:
    """Every kind has a schema with all of its columns."""
    schema = interchange_schema(kind)
    assert set(kind.by_name) <= set(schema.names)
    assert schema.empty_table().num_rows == 0
