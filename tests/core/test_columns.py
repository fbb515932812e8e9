"""Arrow columns keep every decimal and every nanosecond, and say which values are none."""

from __future__ import annotations

from decimal import Decimal

import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from strategies import any_decimals, decimals, instants

from fpa_core.arrow import columns, parsing
from fpa_core.exceptions import DataError
from fpa_core.numbers import MAX_NS, MIN_NS, decimal_text, ns_text, to_decimal, to_ns

LARGE, SMALL = Decimal("1" + "0" * 70), Decimal("1E-70")
TIME = "2024-05-01T14:30:00Z"
MAY = 1_714_573_800 * 10**9


def some(values):
    """Make lists of *values* and nulls."""
    return st.lists(st.none() | values, max_size=12)


def texts_of(values):
    return [None if value is None else decimal_text(value) for value in values]


def strings(values):
    return pa.array(values, pa.string())


# Decimals


@given(some(any_decimals()) | some(decimals(4, 8)) | some(decimals(20, 30)))
@example([])
@example([None, None])
@example([LARGE, SMALL])
@example([Decimal("0E-76"), Decimal("-0.0"), Decimal("0E+70")])
@example([Decimal("1E-7"), Decimal("0.0000010"), Decimal("-1.20E-10"), Decimal(100)])
@example([Decimal("9" * 38), Decimal("-" + "9" * 38)])
@example([Decimal("9" * 76), Decimal("-" + "9" * 75)])
def test_decimals_round_trip(values):
    """Any decimals come back equal, as decimals and as canonical texts, whatever type their column has."""
    column = parsing.decimal_column(values)
    assert values == columns.as_decimals(column)
    assert texts_of(values) == columns.as_texts(column).to_pylist()
    assert texts_of(values) == texts_of(columns.as_decimals(column))


@given(some(any_decimals()) | some(decimals()))
def test_texts_and_numbers_mean_the_same(values):
    """A column of canonical texts becomes numbers where these fit, and comes back the same."""
    texts = strings(texts_of(values))
    numeric = columns.as_numeric(texts)
    assert values == columns.as_decimals(texts) == columns.as_decimals(numeric)
    assert texts.equals(columns.as_texts(numeric))
    assert numeric.equals(columns.as_numeric(numeric))


@given(some(any_decimals()), st.integers(0, 5))
def test_slices_of_columns(values, start):
    """A slice of a column has the values of the slice."""
    column = parsing.decimal_column(values).slice(start)
    assert values[start:] == columns.as_decimals(column)
    assert texts_of(values[start:]) == columns.as_texts(column).to_pylist()
    assert values[start:] == columns.as_decimals(pa.chunked_array([column]).combine_chunks())


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], pa.decimal128(38, 0)),
        (["1.25", "100"], pa.decimal128(38, 2)),
        (["1" * 30, "0.00000001"], pa.decimal128(38, 8)),
        (["1" * 30, "0.000000001"], pa.decimal256(76, 9)),
        (["1" * 70, "0.000001"], pa.decimal256(76, 6)),
        (["1" * 70, "0.0000001"], pa.string()),
        ([LARGE, SMALL], pa.string()),
    ],
)
def test_the_narrowest_type_is_taken(values, expected):
    """A column is decimal128 where that holds all of its values, else decimal256, else text."""
    column = parsing.decimal_column([Decimal(value) for value in values])
    assert expected == column.type


def test_numbers_too_wide_for_one_scale_do_not_wrap():
    """A large number beside a small one stays what it is, although Arrow's own cast wraps round in silence."""
    column, problems = parsing.parse_decimals(strings([str(LARGE), "1E-70", None, "0." + "0" * 69 + "1"]))
    assert {} == problems
    assert [LARGE, SMALL, None, SMALL] == columns.as_decimals(column)


@pytest.mark.parametrize("scale", [-3, -1, 0, 6, 7, 38])
def test_columns_of_any_scale(scale):
    """Decimal columns that others made are read whatever their scale, below zero or above six."""
    values = [Decimal(value).scaleb(-scale) for value in (0, 1, -10, 12_300)]
    column = pa.array([*values, None], pa.decimal128(38, scale))
    assert [*texts_of(values), None] == columns.as_texts(column).to_pylist()
    assert [*values, None] == columns.as_decimals(column)


def test_decimals_come_back_canonical():
    """Decimals from a column have no spare zeros, so their texts do not depend on their neighbours."""
    column = parsing.decimal_column([Decimal("1.50"), Decimal("0.00000001"), Decimal("-0")])
    assert ["1.5", "1E-8", "0"] == [str(value) for value in columns.as_decimals(column)]


@given(st.lists(some(any_decimals()) | some(decimals(4, 8)), min_size=1, max_size=4))
@example([[Decimal(10**37)], [Decimal("1E-38")]])
@example([[Decimal(10**37)], [Decimal("0.1")]])
@example([[LARGE, SMALL], [Decimal(1)], [None]])
@example([[Decimal("9" * 60)], [Decimal("0.5")]])
def test_unified_columns_keep_their_values(parts):
    """Columns of different types become columns of one type with the same values."""
    unified = columns.to_common_type([parsing.decimal_column(values) for values in parts])
    assert 1 == len({part.type for part in unified})
    assert parts == [columns.as_decimals(part) for part in unified]
    assert [texts_of(values) for values in parts] == [columns.as_texts(part).to_pylist() for part in unified]


@pytest.mark.parametrize("wrong", [Decimal("NaN"), Decimal("Infinity"), Decimal("1E+77"), Decimal("1E-77")])
def test_decimals_that_no_record_holds_are_refused(wrong):
    """A decimal that no record would hold is an error with its place, counted from one."""
    with pytest.raises(DataError) as caught:
        parsing.decimal_column([Decimal(1), None, wrong])
    assert (True, 3) == (caught.value.value is wrong, caught.value.row)


NUMBERS = (
    st.text("0123456789+-.eE _x", max_size=8) | st.builds(str, any_decimals()) | st.sampled_from(["1" * 77, "1E-77"])
)


@given(some(NUMBERS))
@example(["1.", ".5", "+1", "-.5e3", " 7 ", "1\n"])
@example(["x", "1e3", None, "", "1" * 100, "2"])
@example(["1" * 100, "1E-70", "y"])
def test_parsed_decimals_are_those_of_single_values(texts):
    """A column of texts is read exactly as each text alone would be, with each problem at its place."""
    expected, expected_problems = [], {}
    for place, text in enumerate(texts):
        try:
            expected.append(None if text is None else to_decimal(text))
        except DataError as error:
            expected.append(None)
            expected_problems[place] = error.message.removeprefix("value: ")
    column, problems = parsing.parse_decimals(strings(texts))
    assert expected == columns.as_decimals(column)
    assert texts_of(expected) == columns.as_texts(column).to_pylist()
    assert expected_problems == problems


@pytest.mark.parametrize(
    ("texts", "expected"),
    [([], (0, 0)), ([None], (0, 0)), (["1", None], (1, 0)), (["-12.5", "1.125"], (3, 3)), ([".5", "1."], (1, 1))],
)
def test_digits(texts, expected):
    """The most characters before and after the point are counted, a sign among them."""
    assert expected == columns.max_digits(strings(texts))


@pytest.mark.parametrize(
    ("digits", "expected"),
    [
        ((0, 0), pa.decimal128(38, 0)),
        ((30, 8), pa.decimal128(38, 8)),
        ((30, 9), pa.decimal256(76, 9)),
        ((0, 76), pa.decimal256(76, 76)),
        ((1, 76), None),
    ],
)
def test_decimal_type(digits, expected):
    """The narrower type with room enough is named, or none."""
    assert expected == columns.decimal_type(*digits)


# Times


@given(some(instants()))
@example([None])
@example([MAX_NS, MIN_NS + 1, 0, -1, -1_000, -1_000_000_000])
def test_times_round_trip(values):
    """Times come back equal, as nanoseconds and as the canonical text of each."""
    column = columns.time_column(values)
    texts = [None if ns is None else ns_text(ns) for ns in values]
    assert columns.TIME == column.type
    assert values == columns.times_as_ns(column).to_pylist()
    assert texts == columns.times_as_texts(column).to_pylist()
    again, problems = parsing.parse_times(strings(texts))
    assert (values, {}) == (columns.times_as_ns(again).to_pylist(), problems)


ZONES = st.sampled_from(["", "Z", "z", " Z", "+02:00", "-0430", "+05", "+23:59", "+24:00", "+05:60", " UTC"])
MOMENTS = st.builds(
    lambda day, separator, clock, fraction, zone: f"{day}{separator}{clock}{fraction}{zone}",
    st.sampled_from(["2024-05-01", "1969-12-31", "2024-02-30", "1600-01-01", "3000-01-01", "2262-04-11", "24-05-01"]),
    st.sampled_from(["T", " ", "_"]),
    st.sampled_from(["14:30:00", "23:59:59", "14:30", "14", "24:30:00", "14:30:60"]),
    st.sampled_from(["", ".5", ".123456789", ".1234567891", ",25", "."]),
    ZONES,
)


@given(some(MOMENTS | st.builds(ns_text, instants())), st.booleans())
@example(["2024-05-01T14:30:00Z", "2024-02-30T00:00:00Z", "x", None, "3000-01-01T00:00:00Z"], False)
@example(["2024-05-01", "2024-05-01T14:30:00"], True)
def test_parsed_times_are_those_of_single_values(texts, dates):
    """A column of texts is read exactly as each text alone would be, with each problem at its place."""
    expected, expected_problems = [], {}
    for place, text in enumerate(texts):
        try:
            expected.append(None if text is None else to_ns(text, dates=dates))
        except DataError as error:
            expected.append(None)
            expected_problems[place] = error.message.removeprefix("timestamp: ")
    column, problems = parsing.parse_times(strings(texts), dates=dates)
    assert columns.TIME == column.type
    assert expected == columns.times_as_ns(column).to_pylist()
    assert expected_problems == problems


def test_bare_numbers_are_nanoseconds():
    """A text of 16 to 19 digits is a count of nanoseconds; fewer might be seconds or a year, and are refused."""
    texts = [str(MAY), f" -{MAY} ", "1" * 16, "1714573800", "2024", f"--{MAY}", "9" * 19, "1" * 20, TIME]
    column, problems = parsing.parse_times(strings(texts))
    assert [MAY, -MAY, int("1" * 16), *[None] * 5, MAY] == columns.times_as_ns(column).to_pylist()
    assert {3, 4, 5, 6, 7} == set(problems)


@pytest.mark.parametrize("texts", [[], [None], [None, None]])
def test_columns_without_values(texts):
    """Columns without a value have no problems and keep their length."""
    for parse in (parsing.parse_decimals, parsing.parse_times):
        column, problems = parse(strings(texts))
        assert (texts, {}) == (column.to_pylist(), problems)


@given(st.integers(0, 30), st.sets(st.integers(0, 29), max_size=5))
def test_problems_stand_at_their_places(size, wrong):
    """Each bad value is null in the result and is named by its position; all others are read."""
    wrong = {place for place in wrong if place < size}
    for parse, good, value in ((parsing.parse_decimals, "1.5", Decimal("1.5")), (parsing.parse_times, TIME, MAY)):
        column, problems = parse(strings(["?" if place in wrong else good for place in range(size)]))
        values = columns.as_decimals(column) if good == "1.5" else columns.times_as_ns(column).to_pylist()
        assert [None if place in wrong else value for place in range(size)] == values
        assert wrong == set(problems)
        assert all("'?' is not a" in problem for problem in problems.values())


@given(
    st.lists(st.tuples(st.sampled_from(["IBM", "", "É", "SPY"]), st.integers(1, 40)), max_size=20),
    st.sampled_from([1, 2, 8]),
    st.sampled_from([1, 10**6]),
)
def test_a_dictionary_is_the_usual_one(runs, block, long):
    """However the equal texts lie, and whether they are looked up in runs or in halves, their dictionary is the usual one."""
    texts = strings([text for text, count in runs for _ in range(count)])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(columns, "_BLOCK", block)
        patch.setattr(columns, "_LONG", long)
        patch.setattr(columns, "_SHORT_RUN", 2)
        assert columns.as_dictionary(texts).equals(texts.dictionary_encode())


def test_nulls_and_dictionaries_pass_through():
    """Nulls are kept, and what is a dictionary already stays one."""
    texts = pa.array([None, *["IBM"] * 20_000])
    assert columns.as_dictionary(texts).equals(texts.dictionary_encode())
    assert columns.as_dictionary(texts.dictionary_encode()).equals(texts.dictionary_encode())


@given(some(st.integers(-9, 9)), st.integers(0, 12), st.integers(0, 12))
def test_which_values_are_there(values, start, length):
    """The mask of any part of a column says what Arrow says of each value, and is None if all are there."""
    texts = [None if value is None else str(value) for value in values]
    for column in (pa.array(values * 7, pa.int64()), pa.array(texts * 7, pa.string())):
        part = column.slice(min(start, len(column)), 6 * length)
        found = columns.valid_mask(part)
        assert (found is None) == (part.null_count == 0)
        if found is not None:
            assert part.is_valid().to_pylist() == found.tolist()
