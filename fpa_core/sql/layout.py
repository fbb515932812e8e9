"""How a kind looks as a table of SQL, and its batches as rows of that table.

Each column of a kind is one, except for times, which are two: DuckDB pushes conditions on microseconds down to a reader, but not those on
nanoseconds. So ``timestamp`` is a time with zone in microseconds, rounded down, and ``ts_ns`` beside it is exact.

Decimals have one type for all rows of a query: ``DECIMAL(17, s)`` if it holds them, which 64 bits do, so that what segments store is handed over as it is;
else ``DECIMAL(38, s)``. *s* is the most digits after the point that any stored row has.
"""

from __future__ import annotations

import functools
from collections.abc import Collection, Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc
from attrs import field, frozen

from fpa_core.arrow import columns, decimals
from fpa_core.exceptions import DataError
from fpa_core.kinds import Column, Kind

__all__ = ["MICROSECONDS", "Layout", "TooNarrowError"]

NARROW = 17
"""Digits of decimals that 64 bits hold, as does the difference of two of them."""

WIDE = 38
"""The most digits of a decimal in SQL."""

MICROSECONDS = pa.timestamp("us", "UTC")
SUBJECT = pa.dictionary(pa.int32(), pa.string())
"""Symbols repeat: DuckDB takes those of a dictionary without looking at each."""


class TooNarrowError(Exception):
    """A number has more digits before the point than the store had estimated.

    :ivar column: the name of its column.
    """

    def __init__(self, column: str) -> None:
        super().__init__(column)
        self.column = column


@frozen(eq=False)
class Layout:
    """The columns of a kind in SQL.

    :ivar schema: their types.
    :ivar answered: the types with which they come back from DuckDB.
    :ivar sources: the column of the kind that each is made from.
    """

    kind: Kind
    schema: pa.Schema
    answered: pa.Schema
    sources: Mapping[str, Column]
    _schemas: dict[tuple[tuple[str, ...], bool], pa.Schema] = field(factory=dict, init=False, repr=False)

    @classmethod
    def of(cls, kind: Kind, digits: Mapping[str, tuple[int, int]], wide: Collection[str] = ()) -> Layout:
        """Return the layout for decimals of so many digits before and after the point; those named in *wide* have 38 in all."""
        fields: list[pa.Field] = []
        sources: dict[str, Column] = {}
        for column in kind.columns:
            own = [pa.field(column.name, column.arrow)]
            if column.type == "time":
                own = [pa.field(column.name, MICROSECONDS), pa.field(column.field, pa.int64())]
            elif column.field == kind.subject:
                own = [pa.field(column.name, SUBJECT)]
            elif column.type == "decimal":
                before, after = digits[column.name]
                narrow = before + after <= NARROW and column.name not in wide
                own = [
                    pa.field(
                        column.name, pa.decimal64(NARROW, after) if narrow else pa.decimal128(WIDE, min(after, WIDE))
                    )
                ]
            fields += own
            sources |= dict.fromkeys((one.name for one in own), column)
        return cls(kind, pa.schema(fields), pa.schema([one.with_type(_answered(one.type)) for one in fields]), sources)

    def needed(self, names: Sequence[str]) -> list[str]:
        """Return the columns of the kind that columns of SQL are made from."""
        return list(dict.fromkeys(self.sources[name].name for name in names))

    def batch(self, batch: pa.RecordBatch, names: Sequence[str], *, answered: bool = False) -> pa.RecordBatch:
        """Return rows of the kind as rows of SQL with the columns *names*, to be read by DuckDB or, if *answered*, as it would return them.

        :raises TooNarrowError: if a decimal needs a wider type.
        :raises DataError: if there is none.
        """
        batch = decimals.narrowed(self.kind, batch)
        schema = self.schema_of(names, answered=answered)
        return pa.RecordBatch.from_arrays([self._array(batch, one) for one in schema], schema=schema)

    def schema_of(self, names: Sequence[str], *, answered: bool = False) -> pa.Schema:
        """Return the schema of the columns *names*."""
        key = tuple(names), answered
        if key not in self._schemas:
            whole = self.answered if answered else self.schema
            self._schemas[key] = pa.schema([whole.field(name) for name in names])
        return self._schemas[key]

    def _array(self, batch: pa.RecordBatch, own: pa.Field) -> pa.Array:
        source = self.sources[own.name]
        array = batch.column(source.name)
        if source.type == "decimal":
            return self._decimal(array, columns.scale_of(batch.schema.field(source.name)), own)
        if source.type == "time":
            ns = columns.times_as_ns(array)
            return ns if pa.types.is_int64(own.type) else _floored(ns)
        return _subjects(array, sorted_rows=self.kind.multiset) if own.type == SUBJECT else array

    def _decimal(self, array: pa.Array, scale: int | None, own: pa.Field) -> pa.Array:
        target = own.type
        if array.null_count == len(array):
            return pa.nulls(len(array), target)
        narrow = target.precision == NARROW
        more = None if scale is None else target.scale - scale
        if more is not None and more >= 0 and decimals.fits(array, 10 ** (target.precision - more)):
            if narrow:
                integers = columns.rescale(array, more) if more else array
                if pa.types.is_decimal128(target):
                    return columns.from_scaled(integers, target.scale, NARROW)
                return _as_decimal64(integers, target)
            return columns.from_scaled(array, target.scale - more).cast(target)
        if narrow:
            raise TooNarrowError(own.name)
        texts = columns.as_texts(array if scale is None else columns.from_scaled(array, scale))
        before, after = columns.max_digits(texts)
        if after > target.scale or before + target.scale > WIDE:
            raise DataError(
                f"{self.kind.name}.{own.name} has numbers with {before} digits before and {max(after, target.scale)} after the point: "
                f"SQL has {WIDE} in all, and rounding them would be wrong",
                hint="leave the column out, or read it with select(), which holds any number",
                field=own.name,
            )
        return texts.cast(target)


def _answered(asked: pa.DataType) -> pa.DataType:
    """Return the type with which DuckDB returns a column of a type."""
    if asked == SUBJECT:
        return pa.string()
    return pa.decimal128(asked.precision, asked.scale) if pa.types.is_decimal(asked) else asked


def _floored(ns: pa.Array) -> pa.Array:
    """Return nanoseconds as microseconds, rounded down."""
    down = pc.divide(ns, 1_000)
    # Integers are divided towards zero: before 1970 a rest makes it one less.
    below = pc.less(ns, pc.multiply(down, 1_000))
    return pc.subtract(down, below.cast(pa.int64())).view(MICROSECONDS)


def _subjects(texts: pa.Array, *, sorted_rows: bool) -> pa.Array:
    """Return symbols as a dictionary; if they are in order and the first is the last, there is only one."""
    if sorted_rows and len(texts) and texts[0].equals(texts[-1]):
        # All are zero, and so in the dictionary: that need not be checked.
        return pa.DictionaryArray.from_arrays(_zeros(len(texts)), texts.slice(0, 1), safe=False)
    return texts.dictionary_encode()


def _zeros(count: int) -> pa.Array:
    """Return zeros; shorter columns of them share their memory."""
    shared = _shared_zeros()
    return shared.slice(0, count) if count <= len(shared) else pa.repeat(pa.scalar(0, pa.int32()), count)


@functools.cache
def _shared_zeros() -> pa.Array:
    return pa.repeat(pa.scalar(0, pa.int32()), 65_536)


def _as_decimal64(integers: pa.Array, target: pa.DataType) -> pa.Array:
    return pa.Array.from_buffers(target, len(integers), integers.buffers(), integers.null_count, integers.offset)
