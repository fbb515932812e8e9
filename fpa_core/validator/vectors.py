"""The columns of a table for rules: exact numbers, strings and masks (see :mod:`fpa_core.validator.exact`)."""

from __future__ import annotations

import functools
import operator
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import attrs
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fpa_core.arrow.columns import as_decimals, as_numeric, times_as_ns
from fpa_core.arrow.conversion import from_table
from fpa_core.exceptions import DataError
from fpa_core.kinds import Kind
from fpa_core.validator.exact import Bools, DecimalColumn, KleeneMask, units_of

__all__ = ["Columns", "DecimalColumn", "KleeneMask", "StringColumn"]


class StringColumn:
    """A column of strings."""

    def __init__(self, array: pa.Array) -> None:
        self.array = array

    def isin(self, *words: str) -> KleeneMask:
        """Return which rows have one of *words*; false for a missing value."""
        return KleeneMask(_bools(pc.is_in(self.array, pa.array(words, self.array.type))))

    def present(self) -> KleeneMask:
        """Return which rows have a value."""
        return KleeneMask(_bools(self.array.is_valid()))


class Columns:
    """The columns of a table, by the names of the record's fields.

    A column missing from the table has the default of its field, as in a record.

    :ivar series: results of :mod:`fpa_core.validator.lagged`, cached by key fields.
    :ivar lookups: results of other lookups for the table, cached for all rules.
    :raises DataError: if a column does not have the type of the kind.
    """

    def __init__(self, kind: Kind, table: pa.Table, records: Sequence[Any] | None = None) -> None:
        self.kind = kind
        self.table = table
        self._given = records
        self._numbers: dict[str, DecimalColumn] = {}
        self._values: dict[str, Sequence[Any]] = {}
        self._codes: dict[str, tuple[Any, list[Any]]] = {}
        self._chosen: tuple[Bools, Any, Columns] | None = None
        self.series: dict[tuple[str, ...], Any] = {}
        self.lookups: dict[str, Any] = {}
        for column in kind.columns:
            if column.name in table.schema.names:
                _require_type(kind, column.name, column.type, table.schema.field(column.name).type)

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def take(self, rows: Any) -> Columns:
        """Return the rows at the given positions."""
        if len(rows) == len(self):
            return self
        records = None if self._given is None else [self._given[row] for row in rows.tolist()]
        return Columns(self.kind, self.table.take(pa.array(rows)), records)

    def within(self, chosen: Bools) -> tuple[Any, Columns]:
        """Return the positions of the chosen rows, and these rows; the last result is cached."""
        if self._chosen is None or self._chosen[0] is not chosen:
            rows = np.flatnonzero(chosen)
            self._chosen = (chosen, rows, self.take(rows))
        return self._chosen[1:]

    def numbers(self, field: str) -> DecimalColumn:
        """Return a column of decimals, of integers, or of times, which are nanoseconds since 1970."""
        if field not in self._numbers:
            self._numbers[field] = _read(self.arrow(field))
        return self._numbers[field]

    def value(self, field: str, row: int) -> Any:
        """Return one value as in a record: a decimal, nanoseconds, an integer or a text; None if it is missing."""
        column = self.kind.by_field[field]
        if column.type == "text":
            return self.arrow(field)[row].as_py()
        value = self.numbers(field).value(row)
        return value if value is None or column.type == "decimal" else int(value)

    def values(self, field: str) -> Sequence[Any]:
        """Return a whole column with values as in records."""
        if field not in self._values:
            column = self.kind.by_field[field]
            array = self.arrow(field)
            if column.type == "decimal":
                self._values[field] = as_decimals(array)
            elif column.type == "time":
                self._values[field] = times_as_ns(array).to_pylist()
            else:
                self._values[field] = array.to_pylist()
        return self._values[field]

    def codes(self, field: str) -> tuple[Any, list[Any]]:
        """Return a column of strings as codes, and the string of each code; None for missing values."""
        if field not in self._codes:
            encoded = pc.dictionary_encode(self.arrow(field), null_encoding="encode")
            numbers = encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64)
            self._codes[field] = (numbers, encoded.dictionary.to_pylist())
        return self._codes[field]

    def strings(self, field: str) -> StringColumn:
        """Return a column of texts."""
        return StringColumn(self.arrow(field))

    def arrow(self, field: str) -> pa.Array:
        """Return a column as one Arrow array, for rules that use Arrow functions."""
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

    def unknown(self) -> KleeneMask:
        """Return a mask in which all rows are unknown."""
        none = np.zeros(len(self), np.bool_)
        return KleeneMask(none, none)

    @staticmethod
    def every(*masks: KleeneMask) -> KleeneMask:
        """Combine masks, ignoring unknown rows, as :func:`fpa_core.validator.every` does for single verdicts."""
        broken = functools.reduce(operator.or_, ((~mask).holds for mask in masks))
        known = [mask.known for mask in masks]
        seen = None if any(each is None for each in known) else functools.reduce(operator.or_, known)
        return KleeneMask(~broken, seen)


def _bools(array: pa.Array) -> Bools:
    values: Bools = array.to_numpy(zero_copy_only=False)
    return values


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
            f"{kind.name}.{name}: expected a {needed} column, not {found}",
            hint="make tables with fpa_core.arrow.conversion.to_table",
            field=f"{kind.name}.{name}",
        )


def _read(array: pa.Array) -> DecimalColumn:
    """Read an Arrow column of decimals, times or integers."""
    known = _bools(array.is_valid()) if array.null_count else None
    if pa.types.is_null(array.type):
        return DecimalColumn(np.zeros(len(array), np.int64), 0, np.zeros(len(array), np.bool_), 0, 0)
    array = as_numeric(array)
    if pa.types.is_string(array.type):
        return _from_decimals(as_decimals(array), known)
    if pa.types.is_decimal(array.type):
        scale, units = array.type.scale, _from_words(array, known)
    else:
        scale = 0
        units = times_as_ns(array).fill_null(0).to_numpy(zero_copy_only=False)
    low, high = (int(units.min()), int(units.max())) if len(units) else (0, 0)
    return DecimalColumn(units, scale, known, low, high)


def _from_words(array: pa.Array, known: Bools | None) -> Any:
    """Read decimals from their buffer: little-endian two's complement, one, two or four 64-bit words per value, the lowest first."""
    if not len(array):
        return np.zeros(0, np.int64)
    if array.type.bit_width < 64:
        array = array.cast(pa.decimal64(18, array.type.scale))
    width = array.type.bit_width // 64
    words = np.frombuffer(array.buffers()[1], np.int64)[array.offset * width :][: len(array) * width].reshape(-1, width)
    if known is not None:
        words = np.where(known[:, np.newaxis], words, 0)  # the buffer is undefined at nulls
    lowest = words[:, 0]
    sign = lowest >> 63
    if all(bool((words[:, place] == sign).all()) for place in range(1, width)):
        return np.ascontiguousarray(lowest)
    units = words[:, -1].astype(object)  # the highest word carries the sign
    for place in range(width - 2, -1, -1):
        units = (units << 64) | words[:, place].astype(np.uint64).astype(object)
    return units


def _from_decimals(values: Sequence[Decimal | None], known: Bools | None) -> DecimalColumn:
    scale = max((-int(value.as_tuple().exponent) for value in values if value is not None), default=0)
    scale = max(scale, 0)
    units = np.empty(len(values), object)
    units[:] = [0 if value is None else units_of(value, scale) for value in values]
    return DecimalColumn(units, scale, known, min(units, default=0), max(units, default=0))
