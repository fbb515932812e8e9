"""Decimals, times and durations: exact, or refused with the field and the value."""

from __future__ import annotations

import time
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal, localcontext
from enum import IntEnum
from fractions import Fraction
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from strategies import any_decimals, instants

from fpa_core.exceptions import DataError
from fpa_core.numbers import (
    EXACT,
    MAX_DIGITS,
    MAX_NS,
    MIN_NS,
    decimal_text,
    from_ns,
    ns_text,
    to_decimal,
    to_ns,
    to_seconds,
)

NEW_YORK = ZoneInfo("America/New_York")
DAY = 86_400 * 10**9
MAY = 1_714_573_800 * 10**9  # 2024-05-01T14:30:00Z


def refusal(call, *args, **kwargs):
    """Return the error of a call that must be refused."""
    with pytest.raises(DataError) as caught:
        call(*args, **kwargs)
    return caught.value


# Decimals


@given(any_decimals(), any_decimals())
@example(Decimal("1.50"), Decimal("1.5"))
@example(Decimal("1E+3"), Decimal(1000))
@example(Decimal("-0.00"), Decimal("0E+5"))
@example(Decimal("1E-76"), Decimal(0))
def test_equal_decimals_have_equal_texts(one, other):
    """Two decimals are equal exactly when their canonical texts are."""
    assert (one == other) == (decimal_text(one) == decimal_text(other))


@given(any_decimals(), st.integers(0, 9))
def test_text_does_not_depend_on_the_scale(number, zeros):
    """Zeros at the end of a decimal leave its text as it is."""
    scaled = number.as_tuple()
    longer = Decimal((scaled.sign, (*scaled.digits, *[0] * zeros), scaled.exponent - zeros))
    assert decimal_text(number) == decimal_text(longer)


@given(any_decimals())
def test_text_is_exact_and_plain(number):
    """The canonical text stands for the same number and has no exponent, no plus, no spare zeros and no negative zero."""
    text = decimal_text(number)
    assert number == Decimal(text)
    assert set(text) <= set("-.0123456789")
    assert text != "-0"
    assert "." not in text or text[-1] not in "0."
    assert text == decimal_text(Decimal(text))


@pytest.mark.parametrize(
    ("number", "text"),
    [
        ("0", "0"),
        ("-0", "0"),
        ("-0.000", "0"),
        ("0E+5", "0"),
        ("0E-20", "0"),
        ("100", "100"),
        ("1E+2", "100"),
        ("100.00", "100"),
        ("-36.980", "-36.98"),
        ("1E-8", "0.00000001"),
        ("1.10E-7", "0.00000011"),
    ],
)
def test_canonical_texts(number, text):
    """Numbers are written as people write them."""
    assert text == decimal_text(Decimal(number))


@given(any_decimals())
def test_decimals_and_their_texts_are_taken_as_they_are(number):
    """A decimal, its text and its text with an exponent all stand for that very number."""
    assert number.as_tuple() == to_decimal(number).as_tuple()
    assert number == to_decimal(str(number))
    assert number == to_decimal(f"\t{number:E} " if number.is_signed() else f" +{number:e}\n")


@given(st.integers(-(10**MAX_DIGITS) + 1, 10**MAX_DIGITS - 1))
def test_integers_are_exact(number):
    """Integers of up to 76 digits are taken whole."""
    assert number == to_decimal(number)


@given(st.floats(allow_nan=False, allow_infinity=False, min_value=1e-50, max_value=1e70) | st.just(0.1))
def test_floats_are_read_through_their_shortest_text(number):
    """A float is the decimal one sees, not the binary fraction behind it."""
    for each in (number, -number, np.float64(number)):
        assert Decimal(repr(float(each))) == to_decimal(each)


def test_numpy_scalars_are_numbers():
    """Scalars of numpy are taken, narrow floats through the shortest text of their own width."""
    assert Decimal("0.1") == to_decimal(np.float32("0.1"))
    assert Decimal("0.1") == to_decimal(np.array(0.1, np.float32))
    assert Decimal(255) == to_decimal(np.uint8(255))
    assert Decimal(2**64 - 1) == to_decimal(np.uint64(2**64 - 1))


def test_subclasses_become_plain_decimals():
    """A subclass of Decimal or int is taken for its value alone."""

    class Price(Decimal):
        pass

    number = to_decimal(Price("1.50"))
    assert (Decimal, "1.50") == (type(number), str(number))
    assert Decimal(3) == to_decimal(IntEnum("Level", {"HIGH": 3}).HIGH)


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        False,
        "",
        " ",
        ".",
        "-",
        "+.",
        "e5",
        "1e",
        "1e5.5",
        "--1",
        "1 000",
        "1,000",
        "1_000",
        "0x10",
        "1.2.3",
        "nan",
        "NaN",
        "sNaN",
        "inf",
        "-Infinity",
        "\u0661",  # a digit, but not one of ours
        "\u00bd",
        "12\x00",
        b"1",
        1j,
        [],
        {},
        object,
        Fraction(1, 2),
        float("nan"),
        float("inf"),
        float("-inf"),
        Decimal("NaN"),
        Decimal("sNaN"),
        Decimal("-Infinity"),
        np.float32("nan"),
        np.float64("inf"),
        np.bool_(True),
        np.complex64(1),
        np.datetime64("2024-01-01", "ns"),
        np.timedelta64(5, "s"),
        np.array([1.5]),
        np.array([1, 2]),
    ],
    ids=repr,
)
def test_what_is_no_number_is_refused(value):
    """What is no finite number, by type or by text, is an error with the field and the value."""
    error = refusal(to_decimal, value, "Quote.bid")
    assert ("Quote.bid", True) == (error.field, error.value is value)
    assert error.message.startswith("Quote.bid: ")


@pytest.mark.parametrize(
    "value",
    [
        10**MAX_DIGITS,
        -(10**MAX_DIGITS),
        10**5_000,
        "1" * 77,
        "1e76",
        "1e999999999",
        "1e-77",
        "1.5e-76",
        "0." + "0" * 76 + "1",
        "0e-77",
        Decimal("1E+76"),
        Decimal("1E-77"),
        Decimal("1e999999"),
        1e76,
        1e-77,
        np.float64(1e300),
    ],
    ids=lambda value: str(value)[:12] if isinstance(value, str) else type(value).__name__,
)
def test_what_is_too_long_is_refused(value):
    """Numbers of more than 76 digits on one side of the point are refused, with the field and the value."""
    error = refusal(to_decimal, value, "Bar.close")
    assert ("Bar.close", True) == (error.field, error.value is value)
    assert "more than 76 digits" in error.message


@pytest.mark.parametrize(
    "text", ["9" * 76, "-" + "9" * 76, "1e75", "1e-76", "0." + "9" * 76, "9" * 76 + "." + "9" * 76]
)
def test_the_longest_numbers_are_taken(text):
    """As many as 76 digits on both sides of the point are exact."""
    assert Decimal(text) == to_decimal(text)


@given(st.text("0123456789+-.eE _", max_size=9))
def test_texts_are_taken_as_a_decimal_takes_them(text):
    """A text is a number exactly when it is one for Decimal, but for underscores."""
    try:
        expected = None if "_" in text else Decimal(text.strip())
    except ArithmeticError:
        expected = None
    if expected is not None and expected.adjusted() < MAX_DIGITS and expected.as_tuple().exponent >= -MAX_DIGITS:
        assert expected == to_decimal(text)
    else:
        refusal(to_decimal, text)


def test_precision_of_the_context_is_ignored():
    """A program's own decimal context rounds nothing here."""
    with localcontext(prec=3):
        assert Decimal("1.23456789") == to_decimal("1.23456789")
        assert "1.23456789" == decimal_text(Decimal("1.234567890"))
        assert Decimal(123456) == to_decimal(123456)


def test_sums_and_products_of_allowed_numbers_are_exact():
    """Two of the longest numbers add and multiply without rounding; a third of one raises."""
    long = Decimal("9" * 76 + "." + "9" * 76)
    assert long == EXACT.divide(EXACT.multiply(long, 2), 2)
    assert 0 == EXACT.subtract(EXACT.add(long, long), EXACT.multiply(long, 2))
    assert len(EXACT.multiply(long, long).as_tuple().digits) == 304
    with pytest.raises(ArithmeticError):
        EXACT.divide(Decimal(1), Decimal(3))


def test_hostile_texts_are_refused_at_once():
    """The time to refuse a text grows with its length alone, and the message does not repeat all of it."""
    began = time.process_time()
    for text in ("1" * 200_000 + "x", "1" * 200_000 + "." * 2, "2024-" * 50_000, "1" * 200_000 + "q"):
        for read in (to_decimal, to_ns, to_seconds):
            assert len(str(refusal(read, text))) < 400
    assert time.process_time() - began < 2


# Times


@given(instants())
def test_integers_are_nanoseconds(ns):
    """An int, of Python or numpy, is a count of nanoseconds since 1970."""
    assert ns == to_ns(ns)
    assert ns == to_ns(np.int64(ns))


@given(instants())
@example(0)
@example(-1)
@example(999_999_999)
@example(MAX_NS)
@example(MIN_NS + 1)
def test_texts_round_trip(ns):
    """The text of a time stands for that very nanosecond."""
    assert ns == to_ns(ns_text(ns))


@given(instants())
def test_texts_have_as_few_digits_as_are_exact(ns):
    """The text of a time has 0, 3, 6 or 9 digits after the second, and no three zeros at the end."""
    whole, _, fraction = ns_text(ns).removesuffix("Z").partition(".")
    assert len("2024-05-01T14:30:00") == len(whole)
    assert len(fraction) in {0, 3, 6, 9}
    assert not fraction.endswith("000")
    assert ns_text(ns).endswith("Z")


@pytest.mark.parametrize(
    ("ns", "text"),
    [
        (0, "1970-01-01T00:00:00Z"),
        (-1, "1969-12-31T23:59:59.999999999Z"),
        (MAY, "2024-05-01T14:30:00Z"),
        (MAY + 500_000_000, "2024-05-01T14:30:00.500Z"),
        (MAY + 1_000, "2024-05-01T14:30:00.000001Z"),
        (MAY + 123_456_789, "2024-05-01T14:30:00.123456789Z"),
        (MAX_NS, "2262-04-11T23:47:16.854775807Z"),
        (MIN_NS + 1, "1677-09-21T00:12:43.145224193Z"),
    ],
)
def test_canonical_time_texts(ns, text):
    """Times are written in UTC with a Z."""
    assert text == ns_text(ns)


@given(instants())
def test_datetimes_are_cut_to_microseconds(ns):
    """The datetime of a time is aware, in UTC, and short of it by less than a microsecond."""
    moment = from_ns(ns)
    assert moment.utcoffset() == timedelta(0)
    if ns // 1000 * 1000 > MIN_NS:
        assert ns // 1000 * 1000 == to_ns(moment)


@given(
    st.datetimes(datetime.fromisoformat("1700-01-01"), datetime.fromisoformat("2200-01-01")),
    st.timedeltas(timedelta(hours=-23, minutes=-59), timedelta(hours=23, minutes=59)),
)
def test_datetimes_of_any_offset(moment, offset):
    """An aware datetime is the instant it names, whatever its offset, to the microsecond."""
    expected = (moment.replace(tzinfo=UTC) - from_ns(0) - offset) // timedelta(microseconds=1) * 1000
    assert expected == to_ns(moment.replace(tzinfo=timezone(offset)))


def test_hours_that_occur_twice_are_told_apart():
    """When clocks go back, the fold says which of the two hours is meant."""
    first = datetime(2024, 11, 3, 1, 30, tzinfo=NEW_YORK)
    assert to_ns("2024-11-03T05:30:00Z") == to_ns(first)
    assert to_ns("2024-11-03T06:30:00Z") == to_ns(first.replace(fold=1))


@given(st.integers(0, 999_999_999), st.integers(0, 9))
def test_texts_of_any_digits(fraction, digits):
    """ISO text has any number of digits up to nine after the second."""
    kept = f"{fraction:09d}"[:digits]
    text = f"2024-05-01T14:30:00{'.' if kept else ''}{kept}Z"
    assert MAY + int(kept.ljust(9, "0")) == to_ns(text)


@pytest.mark.parametrize(
    "text",
    [
        "2024-05-01T14:30:00Z",
        "2024-05-01 14:30:00z",
        " 2024-05-01T14:30Z\n",
        "2024-05-01T14:30:00.000 Z",
        "2024-05-01T14:30:00,000000000Z",
        "2024-05-01T16:30:00+02:00",
        "2024-05-01T16:30:00+0200",
        "2024-05-01T16:30:00+02",
        "2024-05-01T10:30:00-04:00",
        "2024-05-01T20:15:00 +05:45",
        "2024-05-02T14:29:00+23:59",
        "2024-05-01T14:30:00-00:00",
    ],
)
def test_spellings_of_an_instant(text):
    """ISO-8601 is taken with a T or a blank, with or without seconds, with any offset."""
    assert MAY == to_ns(text)


@pytest.mark.parametrize(
    "value",
    [
        datetime(2024, 5, 1, 14, 30),  # noqa: DTZ001
        date(2024, 5, 1),
        "2024-05-01T14:30:00",
        "2024-05-01 14:30",
        "2024-05-01",
    ],
    ids=str,
)
def test_times_without_a_zone_are_refused(value):
    """A time without a zone names no instant; the hint says how to add one."""
    error = refusal(to_ns, value, "Quote.timestamp")
    assert ("Quote.timestamp", value) == (error.field, error.value)
    assert "no time zone" in error.message
    assert "timezone.utc" in error.hint


def test_dates_are_midnights_where_they_are_asked_for():
    """With *dates*, a date or its text is its midnight in UTC; a time without a zone is refused all the same."""
    assert DAY == to_ns("1970-01-02", dates=True)
    assert -DAY == to_ns(date(1969, 12, 31), dates=True)
    assert MAY == to_ns("2024-05-01T14:30Z", dates=True)
    for naive in ("2024-05-01T14:30", datetime(2024, 5, 1)):  # noqa: DTZ001
        assert "no time zone" in refusal(to_ns, naive, dates=True).message


@pytest.mark.parametrize(
    "value",
    [
        "",
        "now",
        "14:30:00Z",
        "20240501T143000Z",
        "2024-5-1T14:30:00Z",
        "2024-05-01T14Z",
        "2024-05-01T14:30:00.Z",
        "2024-05-01T14:30:00.1234567890Z",
        "2024-05-01T14:30:00+05:60",
        "2024-05-01T14:30:00+24:00",
        "2024-05-01T14:30:00 UTC",
        "2024-05-01T25:00:00Z",
        "2024-05-01T14:60:00Z",
        "2024-05-01T23:59:60Z",
        "2024-02-30T00:00:00Z",
        "2023-02-29T00:00:00Z",
        "2024-13-01T00:00:00Z",
        "0000-01-01T00:00:00Z",
        "\u0662\u0660\u0662\u0664-05-01T14:30:00Z",
        None,
        True,
        1.5,
        Decimal(1),
        b"2024-05-01T14:30:00Z",
        timedelta(1),
        [],
        np.float64(1),
        np.bool_(True),
        np.timedelta64(1, "s"),
        np.datetime64("NaT", "ns"),
        np.array(["2024-05-01"], "datetime64[s]"),
        np.array([1, 2]),
    ],
    ids=repr,
)
def test_what_is_no_time_is_refused(value):
    """What is no time, by type or by text, is an error with the field and the value."""
    error = refusal(to_ns, value, "Trade.timestamp")
    assert ("Trade.timestamp", True) == (error.field, error.value is value)
    assert error.message.startswith("Trade.timestamp: ")


@pytest.mark.parametrize(
    "value",
    [
        MAX_NS + 1,
        MIN_NS,
        10**5_000,
        np.uint64(2**63),
        "2262-04-11T23:47:16.854775808Z",
        "1677-09-21T00:12:43.145224192Z",
        "9999-12-31T23:59:59-23:59",
        "0001-01-01T00:00:00+23:59",
        datetime(2263, 1, 1, tzinfo=UTC),
        datetime.min.replace(tzinfo=timezone(timedelta(hours=23))),
        datetime.max.replace(tzinfo=timezone(timedelta(hours=-23))),
        np.datetime64("3000-01-01"),
        np.datetime64("1600-01-01", "s"),
        np.datetime64(10**15, "Y"),
        np.datetime64(1, "ps"),
        np.datetime64(-1, "as"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, int) else str(value),
)
def test_times_that_are_no_nanosecond_of_64_bits_are_refused(value):
    """Instants outside 1677 to 2262, or between two nanoseconds, are refused rather than wrapped or rounded."""
    error = refusal(to_ns, value, "timestamp")
    assert ("timestamp", True) == (error.field, error.value is value)
    assert "1677-09-21 to 2262-04-11" in error.message


def test_numpy_datetimes():
    """A datetime64 of any unit counts in UTC and is exact to the nanosecond."""
    assert MAY + 123_456_789 == to_ns(np.datetime64("2024-05-01T14:30:00.123456789"))
    assert DAY == to_ns(np.datetime64("1970-01-02"))
    assert 31 * DAY == to_ns(np.datetime64("1970-02"))
    assert -1 == to_ns(np.datetime64(-1_000, "ps"))
    assert MAY == to_ns(np.array("2024-05-01T14:30", "datetime64[m]"))


def test_datetimes_with_nanoseconds():
    """A datetime with an attribute for the last three digits, as pandas has it, keeps them."""

    class Precise(datetime):
        nanosecond = 789

    assert 123_456_789 == to_ns(Precise(1970, 1, 1, 0, 0, 0, 123_456, tzinfo=UTC))


@pytest.mark.parametrize("text", ["2024-05-01T14:30:00.123456789Z", "1969-12-31T23:59:59.999999999Z"])
def test_pandas_timestamps(text):
    """Timestamps of pandas are exact to the nanosecond in any zone; naive ones and NaT are refused."""
    pandas = pytest.importorskip("pandas")
    stamp = pandas.Timestamp(text)
    assert to_ns(text) == to_ns(stamp)
    assert to_ns(text) == to_ns(stamp.tz_convert("Asia/Kathmandu"))
    assert "no time zone" in refusal(to_ns, stamp.tz_localize(None)).message
    refusal(to_ns, pandas.NaT)


# Durations


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (0, 0.0),
        (2, 2.0),
        (0.25, 0.25),
        (timedelta(minutes=1, milliseconds=5), 60.005),
        ("1ns", 1e-9),
        ("5us", 5e-6),
        ("50ms", 0.05),
        ("5 s", 5.0),
        ("1.5h", 5400.0),
        (" 5m ", 300.0),
        ("7d", 604_800.0),
        ("2w", 1_209_600.0),
        ("0s", 0.0),
    ],
)
def test_durations(value, seconds):
    """Durations are numbers of seconds, timedeltas, or numbers with a unit."""
    assert seconds == to_seconds(value)


@pytest.mark.parametrize(
    "value",
    [
        -1,
        -0.5,
        timedelta(seconds=-1),
        "-5m",
        "5",
        "m",
        "5 minutes",
        "1e3s",
        "5M",
        "1.s",
        "",
        None,
        True,
        [],
        float("nan"),
        float("inf"),
        10**400,
        10**5_000,
        "9" * 400 + "w",
    ],
    ids=lambda value: str(value)[:12] if not isinstance(value, int) else f"int {value.bit_length()} bits",
)
def test_what_is_no_duration_is_refused(value):
    """What is no duration, negative or endless is an error with the field and the value."""
    error = refusal(to_seconds, value, "timeout")
    assert ("timeout", True) == (error.field, error.value is value)
    assert error.message.startswith("timeout: ")
