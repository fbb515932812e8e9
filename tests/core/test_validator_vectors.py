"""Columns as rules see them: exact numbers of any width, words, and three-valued truths."""

import operator
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fpa_core.arrow.conversion import to_table
from fpa_core.arrow.parsing import decimal_column
from fpa_core.exceptions import DataError
from fpa_core.kinds import ORDERS, QUOTES
from fpa_core.models import Order, Quote
from fpa_core.numbers import EXACT, Instant
from fpa_core.validator import every
from fpa_core.validator.vectors import Columns, DecimalColumn, KleeneMask, _read

TRILEAN = st.sampled_from([True, False, None])


def truth(values):
    known = np.array([value is not None for value in values])
    holds = np.array([bool(value) for value in values])
    return KleeneMask(holds, None if known.all() else known)


def listed(result):
    return result.to_arrow().to_pylist()


def numbers(values, arrow_type=None):
    array = decimal_column(values)
    return _read(array if arrow_type is None else array.cast(arrow_type))


DECIMALS = st.one_of(
    st.decimals(allow_nan=False, allow_infinity=False, places=2, min_value=-1000, max_value=1000),
    st.builds(lambda n, e: Decimal(n).scaleb(-e), st.integers(-(10**18), 10**18), st.integers(0, 21)),
    st.builds(lambda n, e: EXACT.scaleb(Decimal(n), -e), st.integers(-(10**76) + 1, 10**76 - 1), st.integers(0, 76)),
    st.integers(-(2**63) - 2, 2**63 + 2).map(Decimal),
)
COLUMNS = st.lists(st.tuples(st.none() | DECIMALS, st.none() | DECIMALS), max_size=6)


@pytest.mark.parametrize("compare", [operator.lt, operator.le, operator.gt, operator.ge, operator.eq, operator.ne])
@given(pairs=COLUMNS)
def test_comparisons(compare, pairs):
    """Columns compare as their decimals do, whatever their scales and widths; a missing value makes the verdict unknown."""
    expected = [None if a is None or b is None else compare(a, b) for a, b in pairs]
    assert listed(compare(numbers([a for a, _ in pairs]), numbers([b for _, b in pairs]))) == expected


@pytest.mark.parametrize(
    ("combine", "exact"),
    [(operator.add, EXACT.add), (operator.sub, EXACT.subtract), (operator.mul, EXACT.multiply)],
)
@given(pairs=COLUMNS)
def test_arithmetic(combine, exact, pairs):
    """Sums, differences and products are exact, beyond 64 bits too."""
    result = combine(numbers([a for a, _ in pairs]), numbers([b for _, b in pairs]))
    for row, (a, b) in enumerate(pairs):
        if a is None or b is None:
            assert not result.known[row]
        else:
            assert EXACT.scaleb(Decimal(int(result.units[row])), -result.scale) == exact(a, b)


@given(values=st.lists(DECIMALS, max_size=6), other=DECIMALS)
def test_single_numbers(values, other):
    """A column combines with a single Decimal from either side, and with its absolute value."""
    column = numbers(values)
    assert listed(column < other) == [value < other for value in values]
    assert listed(other < column) == [other < value for value in values]
    assert listed(abs(other * column) >= 1) == [EXACT.abs(EXACT.multiply(other, value)) >= 1 for value in values]


@pytest.mark.parametrize("arrow_type", [pa.decimal128(38, 4), pa.decimal256(76, 4), pa.decimal128(9, 2)])
def test_every_arrow_decimal(arrow_type):
    """A column reads the same from each width of Arrow decimals, sliced and with nulls."""
    values = [Decimal("99.99"), None, Decimal("-1.50"), Decimal(0), Decimal("7.25")]
    column = decimal_column(values).cast(arrow_type)
    read = _read(column.slice(1, 3))
    assert read.units.tolist() == [0, -150 * 10 ** (read.scale - 2), 0]
    assert listed(read < 0) == [None, True, False]


@pytest.mark.skipif(not hasattr(pa, "decimal64"), reason="this pyarrow has no narrow decimals")
def test_narrow_decimals():
    """Arrow's narrow decimals are read too."""
    assert listed(numbers([Decimal("1.5"), None], pa.decimal64(10, 1)) == Decimal("1.50")) == [True, None]


def test_texts_and_integers():
    """Decimals that no Arrow decimal holds come as texts, and integers as they are."""
    huge = Decimal("9" * 70 + "." + "9" * 70)
    assert listed(numbers([huge, None, Decimal(-1)]) > 0) == [True, None, False]
    assert listed(_read(pa.array([1, None, 3])) > 2) == [False, None, True]
    assert listed(_read(pa.nulls(2)) > 2) == [None, None]


def test_stays_narrow():
    """Ordinary prices are computed in 64-bit integers, wider ones in Python's."""
    price = numbers([Decimal("1234.5678"), Decimal("-2.5")])
    assert (price * price).units.dtype == np.int64
    assert (price * price * price * price).units.dtype == object


def test_unhashable():
    """A column whose equality is a verdict for each row has no hash."""
    with pytest.raises(TypeError):
        hash(DecimalColumn(np.zeros(1, np.int64), 0, None, 0, 0))


@given(rows=st.lists(st.tuples(TRILEAN, TRILEAN), min_size=1))
def test_logic(rows):
    """And, or and not follow Kleene's tables."""
    one, two = truth([a for a, _ in rows]), truth([b for _, b in rows])
    both = [False if False in row else None if None in row else True for row in rows]
    either = [True if True in row else None if None in row else False for row in rows]
    assert listed(one & two) == both
    assert listed(one | two) == either
    assert listed(~one) == [None if a is None else not a for a, _ in rows]
    assert listed(one.where(two)) == [a if b is True else None for a, b in rows]


@given(rows=st.lists(st.tuples(TRILEAN, TRILEAN, TRILEAN), min_size=1))
def test_every_is_one_for_columns_and_values(rows):
    """Joining columns of verdicts gives what joining the verdicts of each row gives."""
    joined = Columns.every(*[truth(column) for column in zip(*rows, strict=True)])
    assert listed(joined) == [every(*row) for row in rows]


def test_words():
    """A missing text is not one of the words asked for, also in large and dictionary-encoded columns."""
    table = pa.table({"status": pa.array(["new", None, "filled"])})
    for column_type in (pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string())):
        words = Columns(ORDERS, table.cast(pa.schema({"status": column_type}))).strings("status")
        assert listed(words.isin("new", "filled")) == [True, False, True]
        assert listed(words.present()) == [True, False, True]


def test_left_out_columns():
    """A column that the table leaves out has the default of its field, as records made from the table do."""
    table = to_table(ORDERS, [Order("1", "IBM", 5, "buy", "market")]).select(["order_id", "symbol"])
    columns = Columns(ORDERS, table)
    assert listed(columns.strings("status").isin("new")) == [True]
    assert listed(columns.numbers("filled_quantity") == 0) == [True]
    assert listed(columns.numbers("quantity") == 0) == [None]
    assert listed(columns.numbers("ts_ns") == 0) == [None]
    assert listed(columns.unknown()) == [None]


def test_records():
    """Columns give their rows as records: those that came with the table, or made from it."""
    quotes = [Quote("IBM", Instant(1), 1, 2), Quote("IBM", Instant(2), 1, None)]
    table = to_table(QUOTES, quotes)
    assert Columns(QUOTES, table).records == quotes
    assert Columns(QUOTES, table, quotes).records is quotes


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        ("bid", pa.array([1.5]), "quotes.bid: expected a decimal column, not double"),
        ("timestamp", pa.array([1], pa.timestamp("us")), "quotes.timestamp: expected a time column"),
        ("symbol", pa.array([1]), "quotes.symbol: expected a text column, not int64"),
    ],
)
def test_wrong_types(name, array, message):
    """A column of another type is refused with its name, for it would be judged wrongly."""
    with pytest.raises(DataError, match=message):
        Columns(QUOTES, pa.table({name: array}))
