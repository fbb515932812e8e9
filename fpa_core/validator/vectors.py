"""A table as rules see it: whole columns of exact numbers, words, and three-valued truths, with the operators one would use on single values.

Arrow's own decimal kernels refuse columns whose scales differ much, and sums at full precision. Here a column of decimals is a column of
integers with one power of ten: 64-bit ones while every value and result provably fits, Python's own beyond that. So every verdict is the
one exact arithmetic gives, and nearly always at the speed of plain integers.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any, TypeAlias

import attrs
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from fpa_core.columns import as_decimals, as_numeric, times_as_ns
from fpa_core.exceptions import DataError
from fpa_core.numbers import EXACT
from fpa_core.records import Kind, from_table

__all__ = ["Columns", "Numbers", "Truth", "Words"]

Bools: TypeAlias = npt.NDArray[np.bool_]

_MAX = 2**63 - 1


class Truth:
    """One verdict a row: true, false, or not known.

    :ivar holds: where it is known to be true.
    :ivar known: where it is known at all; None for everywhere.
    """

    __slots__ = ("holds", "known")

    def __init__(self, holds: Bools, known: Bools | None = None) -> None:
        self.holds = holds if known is None else holds & known
        self.known = known

    def __invert__(self) -> Truth:
        return Truth(~self.holds, self.known)

    def __and__(self, other: Truth) -> Truth:
        """Both; false where either is false, even if the other is not known."""
        return ~(~self | ~other)

    def __or__(self, other: Truth) -> Truth:
        """Either; true where one is true, even if the other is not known."""
        holds = self.holds | other.holds
        known = _both(self.known, other.known)
        return Truth(holds, known if known is None else known | holds)

    def where(self, condition: Truth) -> Truth:
        """Return this where *condition* is known to be true; elsewhere it is not known."""
        return Truth(self.holds, _both(self.known, condition.holds))

    def to_arrow(self) -> pa.BooleanArray:
        """Return an Arrow array with null for what is not known."""
        return pa.array(self.holds, mask=None if self.known is None else ~self.known)


class Words:
    """A column of texts."""

    def __init__(self, array: pa.Array) -> None:
        self.array = array

    def isin(self, *words: str) -> Truth:
        """Tell which rows have one of *words*; a missing text is none of them."""
        return Truth(_bools(pc.is_in(self.array, pa.array(words, self.array.type))))

    def present(self) -> Truth:
        """Tell which rows have a value."""
        return Truth(_bools(self.array.is_valid()))


@attrs.frozen(eq=False)
class Numbers:
    """A column of exact numbers: integers, all to be multiplied by ``10 ** -scale``; or one number, for all rows.

    Comparisons give a `Truth` that is not known where a value is missing.

    :ivar units: the integers; 0 where the value is missing.
    :ivar known: where there is a value; None for everywhere.
    :ivar low, high: bounds of the integers, by which overflow is ruled out beforehand.
    """

    units: Any
    scale: int
    known: Bools | None
    low: int
    high: int

    def present(self) -> Truth:
        """Tell which rows have a value."""
        return Truth(np.ones(len(self.units), np.bool_) if self.known is None else self.known)

    def __lt__(self, other: Numbers | Decimal | int) -> Truth:
        return self._compare(operator.lt, other)

    def __le__(self, other: Numbers | Decimal | int) -> Truth:
        return self._compare(operator.le, other)

    def __gt__(self, other: Numbers | Decimal | int) -> Truth:
        return self._compare(operator.gt, other)

    def __ge__(self, other: Numbers | Decimal | int) -> Truth:
        return self._compare(operator.ge, other)

    def __eq__(self, other: Numbers | Decimal | int) -> Truth:  # type: ignore[override]
        return self._compare(operator.eq, other)

    def __ne__(self, other: Numbers | Decimal | int) -> Truth:  # type: ignore[override]
        return self._compare(operator.ne, other)

    __hash__ = None  # type: ignore[assignment]

    def __add__(self, other: Numbers | Decimal | int) -> Numbers:
        one, two = _aligned(self, _numbers(other))
        return _combine(operator.add, one, two, one.scale, (one.low + two.low, one.high + two.high))

    def __sub__(self, other: Numbers | Decimal | int) -> Numbers:
        one, two = _aligned(self, _numbers(other))
        return _combine(operator.sub, one, two, one.scale, (one.low - two.high, one.high - two.low))

    def __mul__(self, other: Numbers | Decimal | int) -> Numbers:
        two = _numbers(other)
        ends = [a * b for a in (self.low, self.high) for b in (two.low, two.high)]
        return _combine(operator.mul, self, two, self.scale + two.scale, ends)

    __radd__ = __add__
    __rmul__ = __mul__

    def __abs__(self) -> Numbers:
        bound = max(-self.low, self.high)
        return Numbers(abs(self.units), self.scale, self.known, 0, bound)

    def _compare(self, compare: Callable[[Any, Any], Any], other: Numbers | Decimal | int) -> Truth:
        one, two = _aligned(self, _numbers(other))
        if not _fits(two.low, two.high):  # a single number beyond 64 bits compares with Python's integers only
            one = _wide(one)
        return Truth(compare(one.units, two.units), _both(one.known, two.known))


def _numbers(value: Numbers | Decimal | int) -> Numbers:
    if isinstance(value, Numbers):
        return value
    scale = max(0, -int(value.as_tuple().exponent)) if isinstance(value, Decimal) else 0
    units = _whole(value, scale) if isinstance(value, Decimal) else value
    return Numbers(units, scale, None, units, units)


def _whole(value: Decimal, scale: int) -> int:
    return int(EXACT.scaleb(value, scale))


def _fits(*ends: int) -> bool:
    return all(-_MAX <= end <= _MAX for end in ends)


def _wide(numbers: Numbers) -> Numbers:
    units = numbers.units.astype(object) if isinstance(numbers.units, np.ndarray) else numbers.units
    return attrs.evolve(numbers, units=units)


def _combine(
    operation: Callable[[Any, Any], Any], one: Numbers, two: Numbers, scale: int, ends: Sequence[int]
) -> Numbers:
    low, high = min(ends), max(ends)
    if not _fits(low, high, two.low, two.high, one.low, one.high):
        one, two = _wide(one), _wide(two)
    return Numbers(operation(one.units, two.units), scale, _both(one.known, two.known), low, high)


def _aligned(one: Numbers, two: Numbers) -> tuple[Numbers, Numbers]:
    """Bring both to the larger of their scales."""
    scale = max(one.scale, two.scale)
    return _rescaled(one, scale), _rescaled(two, scale)


def _rescaled(numbers: Numbers, scale: int) -> Numbers:
    if numbers.scale == scale:
        return numbers
    wider = numbers * 10 ** (scale - numbers.scale)
    return Numbers(wider.units, scale, wider.known, wider.low, wider.high)


def _both(one: Bools | None, two: Bools | None) -> Bools | None:
    return two if one is None else one if two is None else one & two


def _bools(array: pa.Array) -> Bools:
    values: Bools = array.to_numpy(zero_copy_only=False)
    return values


class Columns:
    """The columns of a table, by the names of the record's fields.

    A column the table leaves out has its field's default, as in a record.

    :raises DataError: when a column is not of the kind's type.
    """

    def __init__(self, kind: Kind, table: pa.Table, records: Sequence[Any] | None = None) -> None:
        self.kind = kind
        self.table = table
        self._given = records
        self._numbers: dict[str, Numbers] = {}
        for column in kind.columns:
            if column.name in table.schema.names:
                _require_type(kind, column.name, column.type, table.schema.field(column.name).type)

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def numbers(self, field: str) -> Numbers:
        """Return a column of decimals, of integers, or of times, which are nanoseconds since 1970."""
        if field not in self._numbers:
            self._numbers[field] = _read(self.arrow(field))
        return self._numbers[field]

    def words(self, field: str) -> Words:
        """Return a column of texts."""
        return Words(self.arrow(field))

    def arrow(self, field: str) -> pa.Array:
        """Return a column as one Arrow array, for a rule that prefers Arrow's functions."""
        column = self.kind.by_field[field]
        if column.name in self.table.schema.names:
            array = self.table.column(column.name)
            array = array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array
            return array.dictionary_decode() if pa.types.is_dictionary(array.type) else array
        default = getattr(attrs.fields(self.kind.record), field).default
        if default is None or default is attrs.NOTHING:
            return pa.nulls(len(self), column.arrow)
        return pa.repeat(pa.scalar(default if column.type == "decimal" else str(default)), len(self))

    @functools.cached_property
    def records(self) -> Sequence[Any]:
        """The rows as records."""
        return from_table(self.kind, self.table) if self._given is None else self._given

    def unknown(self) -> Truth:
        """Return a verdict that is known of no row."""
        none = np.zeros(len(self), np.bool_)
        return Truth(none, none)

    @staticmethod
    def every(*truths: Truth) -> Truth:
        """Join verdicts, leaving out what is not known, as :func:`fpa_core.validator.every` does for single ones."""
        broken = functools.reduce(operator.or_, ((~truth).holds for truth in truths))
        known = [truth.known for truth in truths]
        seen = None if any(each is None for each in known) else functools.reduce(operator.or_, known)
        return Truth(~broken, seen)


def _require_type(kind: Kind, name: str, needed: str, found: pa.DataType) -> None:
    fits = {
        "decimal": pa.types.is_decimal(found) or pa.types.is_string(found),
        "time": pa.types.is_timestamp(found) and found.unit == "ns",
        "integer": pa.types.is_integer(found),
        "text": pa.types.is_string(found)
        or pa.types.is_large_string(found)
        or (pa.types.is_dictionary(found) and pa.types.is_string(found.value_type)),
    }
    if not fits[needed] and not pa.types.is_null(found):
        raise DataError(
            f"{kind.name}.{name}: a {needed} column is needed, not {found}",
            hint="make tables with fpa_core.records.to_table",
            field=f"{kind.name}.{name}",
        )


def _read(array: pa.Array) -> Numbers:
    """Read an Arrow column of decimals, times or integers."""
    known = _bools(array.is_valid()) if array.null_count else None
    if pa.types.is_null(array.type):
        return Numbers(np.zeros(len(array), np.int64), 0, np.zeros(len(array), np.bool_), 0, 0)
    array = as_numeric(array)
    if pa.types.is_string(array.type):
        return _from_decimals(as_decimals(array), known)
    if pa.types.is_decimal(array.type):
        scale, units = array.type.scale, _from_words(array, known)
    else:
        scale = 0
        units = times_as_ns(array).fill_null(0).to_numpy(zero_copy_only=False)
    low, high = (int(units.min()), int(units.max())) if len(units) else (0, 0)
    return Numbers(units, scale, known, low, high)


def _from_words(array: pa.Array, known: Bools | None) -> Any:
    """Read decimals by their memory: little-endian two's complement, two or four 64-bit words a value, the lowest first."""
    if array.type.bit_width < 128:
        array = array.cast(pa.decimal128(38, array.type.scale))
    width = array.type.bit_width // 64
    if not len(array):
        return np.zeros(0, np.int64)
    words = np.frombuffer(array.buffers()[1], np.int64)[array.offset * width :][: len(array) * width].reshape(-1, width)
    if known is not None:
        words = np.where(known[:, np.newaxis], words, 0)  # what lies under a null is undefined
    lowest = words[:, 0]
    sign = lowest >> 63
    if all(bool((words[:, place] == sign).all()) for place in range(1, width)):
        return np.ascontiguousarray(lowest)
    units = words[:, -1].astype(object)  # the highest word carries the sign
    for place in range(width - 2, -1, -1):
        units = (units << 64) | words[:, place].astype(np.uint64).astype(object)
    return units


def _from_decimals(values: Sequence[Decimal | None], known: Bools | None) -> Numbers:
    scale = max((-int(value.as_tuple().exponent) for value in values if value is not None), default=0)
    scale = max(scale, 0)
    units = np.empty(len(values), object)
    units[:] = [0 if value is None else _whole(value, scale) for value in values]
    return Numbers(units, scale, known, min(units, default=0), max(units, default=0))
