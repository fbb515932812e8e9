"""Parse text into Arrow columns of exact values, a whole column at a time. Unreadable values become null and are reported separately."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from fpa_core.arrow.columns import TIME, as_numeric, narrowest_decimal_type, time_column
from fpa_core.exceptions import DataError
from fpa_core.numbers import decimal_text, ns_text, to_decimal, to_ns

__all__ = ["decimal_column", "parse_decimals", "parse_times"]

_PLAIN_NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)$"
_PLAIN_TIME = r"^\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)$"
_SHORTEST_TIME = len("2024-05-01T14:30:00Z")
_NANOSECONDS = re.compile(r"-?\d{16,19}", re.ASCII)

T = TypeVar("T")

Problems = dict[int, str]
"""The problems of a column: the position of each invalid value, and the reason. The value is null in the result."""


def decimal_column(values: Sequence[Decimal | None]) -> pa.Array:
    """Return a decimal column of *values*."""
    column, problems = parse_decimals(
        pa.array([None if value is None else str(value) for value in values], pa.string())
    )
    if problems:  # only numbers that models reject
        position, problem = next(iter(problems.items()))
        raise DataError(problem, value=values[position], row=position + 1)
    return column


def parse_decimals(texts: pa.Array) -> tuple[pa.Array, Problems]:
    """Parse decimal texts into a decimal column; also return the problems."""
    found = narrowest_decimal_type(texts)
    if found is not None:
        try:
            return texts.cast(found), {}
        except pa.ArrowInvalid:
            pass
    # Exponents, blanks and invalid numbers are usually few, so they are handled one by one.
    texts, problems = _mended(texts, _PLAIN_NUMBER, lambda text: decimal_text(to_decimal(text)))
    if (found := narrowest_decimal_type(texts)) is not None:
        return texts.cast(found), problems
    # Too wide for one scale, or for any.
    values, more = _one_by_one(texts.to_pylist(), lambda text: decimal_text(to_decimal(text)))
    return as_numeric(pa.array(values, pa.string())), problems | more


def parse_times(texts: pa.Array, *, dates: bool = False) -> tuple[pa.Array, Problems]:
    """Parse ISO-8601 texts into a time column; also return the problems. *dates* as for :func:`fpa_core.numbers.to_ns`."""
    try:
        # Arrow also accepts hours without minutes; the length check excludes them.
        if (pc.min(pc.binary_length(texts)).as_py() or 0) >= _SHORTEST_TIME:
            return texts.cast(TIME), {}
    except pa.ArrowInvalid:
        pass
    texts, problems = _mended(texts, _PLAIN_TIME, lambda text: ns_text(to_ns(_time_value(text), dates=dates)))
    try:
        return texts.cast(TIME), problems
    except pa.ArrowInvalid:  # well-formed but invalid, such as the 30th of February
        values, more = _one_by_one(texts.to_pylist(), to_ns)
        return time_column(values), problems | more


def _time_value(text: str) -> str | int:
    """Return a bare number of nanoseconds as int. Other text is returned as is: fewer digits could be seconds or a year."""
    return int(text) if _NANOSECONDS.fullmatch(text.strip()) else text


def _mended(texts: pa.Array, plain: str, convert: Callable[[str], str]) -> tuple[pa.Array, Problems]:
    """Return *texts* with those that are not *plain* normalised, or null if they are invalid, and the problems of the invalid ones."""
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
