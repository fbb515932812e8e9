"""Arrow columns of exact values: decimals and nanosecond times, to and from text and Python objects, a whole column at a time.

A *decimal column* is ``decimal128(38, s)`` where its values fit, else ``decimal256(76, s)``, else their canonical texts. The three mean the
same; :func:`as_decimals`, :func:`as_texts` and :func:`as_numeric` turn any of them into what the caller needs.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from fpa_core.exceptions import DataError
from fpa_core.numbers import decimal_text, ns_text, to_decimal, to_ns

__all__ = [
    "TIME",
    "as_decimals",
    "as_numeric",
    "as_texts",
    "decimal_column",
    "decimal_type",
    "digits",
    "parse_decimals",
    "parse_times",
    "time_column",
    "times_as_ns",
    "times_as_texts",
    "unified",
]

TIME = pa.timestamp("ns", "UTC")
"""The Arrow type of every time."""

_PLAIN_NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)$"
_PLAIN_TIME = r"^\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)$"
_SHORTEST_TIME = len("2024-05-01T14:30:00Z")
_NANOSECONDS = re.compile(r"-?\d{16,19}", re.ASCII)

T = TypeVar("T")

Problems = dict[int, str]
"""What was wrong in a column: the position of each bad value and why it was refused; the value itself is null in the result."""


def decimal_column(values: Sequence[Decimal | None]) -> pa.Array:
    """Return a decimal column of *values*."""
    column, problems = parse_decimals(
        pa.array([None if value is None else str(value) for value in values], pa.string())
    )
    if problems:  # only numbers that no model would have let through
        position, problem = next(iter(problems.items()))
        raise DataError(problem, value=values[position], row=position + 1)
    return column


def parse_decimals(texts: pa.Array) -> tuple[pa.Array, Problems]:
    """Read decimal texts into a decimal column, and say what could not be read."""
    narrowest = _narrowest(texts)
    if narrowest is not None:
        try:
            return texts.cast(narrowest), {}
        except pa.ArrowInvalid:
            pass
    # Exponents, blanks and what is no number are looked at one by one; as a rule they are few.
    texts, problems = _mended(texts, _PLAIN_NUMBER, lambda text: decimal_text(to_decimal(text)))
    if (narrowest := _narrowest(texts)) is not None:
        return texts.cast(narrowest), problems
    # Too wide for one scale, or for any.
    values, more = _one_by_one(texts.to_pylist(), lambda text: decimal_text(to_decimal(text)))
    return as_numeric(pa.array(values, pa.string())), problems | more


def digits(texts: pa.Array) -> tuple[int, int]:
    """Return the most characters that stand before and after the point of decimal *texts*; a sign counts, to be on the safe side."""
    length = pc.binary_length(texts)
    point = pc.find_substring(texts, ".")
    whole = pc.less(point, 0)
    after = pc.max(pc.if_else(whole, 0, pc.subtract(pc.subtract(length, point), 1))).as_py() or 0
    return pc.max(pc.if_else(whole, length, point)).as_py() or 0, after


def decimal_type(before: int, after: int) -> pa.DataType | None:
    """Return the narrower of the two decimal types that has so many digits before and after the point; None where neither has."""
    if before + after > 76:
        return None
    return pa.decimal128(38, after) if before + after <= 38 else pa.decimal256(76, after)


def _narrowest(texts: pa.Array) -> pa.DataType | None:
    """Return the narrowest Arrow decimal that holds all *texts*; None where there is none, or exponents make counting digits pointless.

    The digits are counted here because Arrow's own cast lets some numbers that are too wide wrap round in silence.
    """
    found = decimal_type(*digits(texts))
    if found is None or _any_has(texts, "E") or _any_has(texts, "e"):
        return None
    return found


def _any_has(texts: pa.Array, letter: str) -> bool:
    return bool(pc.any(pc.match_substring(texts, letter)).as_py())


def as_numeric(column: pa.Array) -> pa.Array:
    """Return *column* as Arrow decimals of one scale where that is possible, else as the canonical texts it is."""
    if not pa.types.is_string(column.type):
        return column
    narrowest = _narrowest(column)
    return column if narrowest is None else column.cast(narrowest)


def as_texts(column: pa.Array) -> pa.Array:
    """Return the canonical texts of a decimal column (see :func:`fpa_core.numbers.decimal_text`)."""
    if pa.types.is_string(column.type):
        return column
    written = column.cast(pa.string())
    scale = column.type.scale
    texts = pc.ascii_rtrim(pc.ascii_rtrim(written, "0"), ".") if scale > 0 else written
    # Arrow writes numbers far below one, zero at a scale beyond six, and all at a scale below zero, with an exponent.
    if not 0 <= scale <= 6 and _any_has(written, "E"):
        odd = pc.fill_null(pc.match_substring(written, "E"), False)
        mended = [decimal_text(value) for value in column.filter(odd).to_pylist()]
        texts = pc.replace_with_mask(texts, odd, pa.array(mended, pa.string()))
    return texts


def unified(parts: Sequence[pa.Array]) -> list[pa.Array]:
    """Return decimal columns in one type that holds them all: Arrow decimals of the largest scale, or texts where that cannot be."""
    types = {part.type for part in parts}
    if len(types) == 1:
        return list(parts)
    if all(pa.types.is_decimal128(one) for one in types):
        wide = pa.decimal128(38, max(one.scale for one in types))
        try:
            return [part.cast(wide) for part in parts]
        except pa.ArrowInvalid:
            pass
    return [as_texts(part) for part in parts]


def as_decimals(column: pa.Array) -> list[Decimal | None]:
    """Return the values of a decimal column as Decimals, in canonical form."""
    encoded = column.dictionary_encode()  # prices recur: each is made once
    values: list[Decimal | None] = [Decimal(text) for text in as_texts(encoded.dictionary).to_pylist()]
    values.append(None)
    return list(map(values.__getitem__, pc.fill_null(encoded.indices, len(values) - 1).to_pylist()))


def time_column(values: Sequence[int | None]) -> pa.Array:
    """Return a time column of nanoseconds."""
    return pa.array(values, pa.int64()).cast(TIME)


def times_as_ns(column: pa.Array) -> pa.Array:
    """Return a time column as int64 nanoseconds, without copying."""
    return column.cast(pa.int64())


def times_as_texts(column: pa.Array) -> pa.Array:
    """Return a time column as ISO-8601 UTC texts with 0, 3, 6 or 9 fractional digits each (see :func:`fpa_core.numbers.ns_text`)."""
    # Arrow writes "2024-05-01 14:30:00.123456789" and always all the digits of the unit.
    texts = pc.binary_replace_slice(column.cast(pa.timestamp("ns")).cast(pa.string()), 10, 11, "T")
    ns = times_as_ns(column)
    for unit, length in ((1_000, 26), (1_000_000, 23), (1_000_000_000, 19)):
        exact = pc.equal(ns, pc.multiply(pc.divide(ns, unit), unit))
        texts = pc.if_else(exact, pc.utf8_slice_codeunits(texts, 0, length), texts)
    return pc.binary_join_element_wise(texts, "Z", "")


def parse_times(texts: pa.Array, *, dates: bool = False) -> tuple[pa.Array, Problems]:
    """Read ISO-8601 texts into a time column, and say what could not be read; *dates* as for :func:`fpa_core.numbers.to_ns`."""
    try:
        # Arrow also takes hours without minutes, which are shorter than any time with seconds.
        if (pc.min(pc.binary_length(texts)).as_py() or 0) >= _SHORTEST_TIME:
            return texts.cast(TIME), {}
    except pa.ArrowInvalid:
        pass
    texts, problems = _mended(texts, _PLAIN_TIME, lambda text: ns_text(to_ns(_time_value(text), dates=dates)))
    try:
        return texts.cast(TIME), problems
    except pa.ArrowInvalid:  # of the right shape and yet no time, as a 30th of February
        values, more = _one_by_one(texts.to_pylist(), to_ns)
        return time_column(values), problems | more


def _time_value(text: str) -> str | int:
    """Nanoseconds written as a bare number are taken as such; fewer digits would be seconds or a year, and a guess."""
    return int(text) if _NANOSECONDS.fullmatch(text.strip()) else text


def _mended(texts: pa.Array, plain: str, convert: Callable[[str], str]) -> tuple[pa.Array, Problems]:
    """Return *texts* with those that are not *plain* put in plain form, or null where they have none, and why these have none."""
    odd = pc.invert(pc.fill_null(pc.match_substring_regex(texts, plain), True))
    values, problems = _one_by_one(texts.filter(odd).to_pylist(), convert)
    places = pc.indices_nonzero(odd).to_pylist()
    mended = pc.replace_with_mask(texts, odd, pa.array(values, pa.string()))
    return mended, {places[position]: problem for position, problem in problems.items()}


def _one_by_one(values: Sequence[Any], convert: Callable[[Any], T]) -> tuple[list[T | None], Problems]:
    results: list[T | None] = []
    problems: Problems = {}
    for position, value in enumerate(values):
        try:
            results.append(None if value is None else convert(value))
        except DataError as error:
            results.append(None)
            problems[position] = error.message.split(": ", 1)[-1]
    return results, problems
