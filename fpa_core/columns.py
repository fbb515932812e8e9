"""Arrow columns of exact values: decimals and nanosecond times, to and from text and Python objects, a whole column at a time.

A *decimal column* is ``decimal128(38, s)`` where its values fit, else ``decimal256(76, s)``, else their canonical texts. The three mean the
same; :func:`as_decimals`, :func:`as_texts` and :func:`as_numeric` turn any of them into what the caller needs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from fpa_core.exceptions import DataError
from fpa_core.numbers import decimal_text, to_decimal, to_ns

__all__ = [
    "TIME",
    "as_decimals",
    "as_numeric",
    "as_texts",
    "decimal_column",
    "parse_decimals",
    "parse_times",
    "time_column",
    "times_as_ns",
]

TIME = pa.timestamp("ns", "UTC")
"""The Arrow type of every time."""

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
    decimal_type = _narrowest(texts)
    if decimal_type is not None:
        try:
            return texts.cast(decimal_type), {}
        except pa.ArrowInvalid:
            pass
    # Not numbers, exponents, or too wide for one scale: one by one.
    values, problems = _one_by_one(texts.to_pylist(), lambda text: decimal_text(to_decimal(text)))
    canonical = pa.array(values, pa.string())
    return as_numeric(canonical), problems


def _narrowest(texts: pa.Array) -> pa.DataType | None:
    """Return the narrowest Arrow decimal that holds all *texts*; None where there is none, or exponents make counting digits pointless.

    The digits are counted here because Arrow's own cast lets some numbers that are too wide wrap round in silence.
    """
    length = pc.binary_length(texts)
    point = pc.find_substring(texts, ".")
    whole = pc.less(point, 0)
    scale = pc.max(pc.if_else(whole, 0, pc.subtract(pc.subtract(length, point), 1))).as_py() or 0
    digits = scale + (pc.max(pc.if_else(whole, length, point)).as_py() or 0)
    if digits > 76 or pc.any(pc.match_substring_regex(texts, "[eE]")).as_py():
        return None
    return pa.decimal128(38, scale) if digits <= 38 else pa.decimal256(76, scale)


def as_numeric(column: pa.Array) -> pa.Array:
    """Return *column* as Arrow decimals of one scale where that is possible, else as the canonical texts it is."""
    if not pa.types.is_string(column.type):
        return column
    decimal_type = _narrowest(column)
    return column if decimal_type is None else column.cast(decimal_type)


def as_texts(column: pa.Array) -> pa.Array:
    """Return the canonical texts of a decimal column (see :func:`fpa_core.numbers.decimal_text`)."""
    if pa.types.is_string(column.type):
        return column
    texts = column.cast(pa.string())
    if column.type.scale > 0:
        texts = pc.ascii_rtrim(pc.ascii_rtrim(texts, "0"), ".")
        # Arrow writes numbers far below one, and zero at a scale beyond six, with an exponent.
        if column.type.scale > 6 and pc.any(odd := pc.match_substring(column.cast(pa.string()), "E")).as_py():
            mended = [decimal_text(value) for value in column.filter(odd).to_pylist() if value is not None]
            texts = pc.replace_with_mask(texts, pc.fill_null(odd, False), pa.array(mended, pa.string()))
    return texts


def as_decimals(column: pa.Array) -> list[Decimal | None]:
    """Return the values of a decimal column as Decimals, in canonical form."""
    encoded = as_texts(column).dictionary_encode()
    values: list[Decimal | None] = [Decimal(text) for text in encoded.dictionary.to_pylist()]
    values.append(None)
    return list(map(values.__getitem__, pc.fill_null(encoded.indices, len(values) - 1).to_pylist()))


def time_column(values: Sequence[int | None]) -> pa.Array:
    """Return a time column of nanoseconds."""
    return pa.array(values, pa.int64()).cast(TIME)


def times_as_ns(column: pa.Array) -> pa.Array:
    """Return a time column as int64 nanoseconds, without copying."""
    return column.cast(pa.int64())


def parse_times(texts: pa.Array, *, dates: bool = False) -> tuple[pa.Array, Problems]:
    """Read ISO-8601 texts into a time column, and say what could not be read; *dates* as for :func:`fpa_core.numbers.to_ns`."""
    try:
        return texts.cast(TIME), {}
    except pa.ArrowInvalid:
        values, problems = _one_by_one(texts.to_pylist(), lambda text: to_ns(_time_value(text), dates=dates))
        return time_column(values), problems


def _time_value(text: str) -> str | int:
    """Nanoseconds written as a bare number are taken as such; fewer digits would be seconds or a year, and a guess."""
    digits = text.strip().lstrip("-")
    return int(text) if digits.isascii() and digits.isdigit() and 16 <= len(digits) <= 19 else text


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
