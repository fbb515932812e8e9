"""Rows as other engines take them: one decimal type for all columns of a table, and times in microseconds beside exact nanoseconds.

Spark and Iceberg give a column one decimal type of at most 38 digits, and know no nanoseconds. So each time column of a kind is there twice: under its name,
such as ``timestamp``, rounded down to the microsecond, and under the name of its field, such as ``ts_ns``, as nanoseconds since 1970. A value
that does not fit the decimal type is an error, never rounded.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fpa_core.arrow import columns
from fpa_core.exceptions import DataError
from fpa_core.kinds import Kind

__all__ = ["DIGITS", "MICROSECONDS", "SCALE", "conform", "interchange_schema"]

DIGITS = 38
"""Digits of the decimal type, before and after the point."""

SCALE = 18
"""Digits after the point unless asked otherwise: enough for one wei of ether, and leaves 20 before the point."""

MICROSECONDS = pa.timestamp("us", "UTC")


def interchange_schema(kind: Kind, scale: int = SCALE) -> pa.Schema:
    """Return the schema of the rows of *kind*: its columns in their order, each time followed by its nanoseconds.

    :param scale: digits after the point of decimal columns, from 0 to 38.
    :raises DataError: for another scale.
    """
    if not isinstance(scale, int) or not 0 <= scale <= DIGITS:
        raise DataError(
            f"scale: a whole number from 0 to {DIGITS} is needed, not {scale!r}", field="scale", value=scale
        )
    types = {"text": pa.string(), "integer": pa.int64(), "decimal": pa.decimal128(DIGITS, scale), "time": MICROSECONDS}
    fields = []
    for column in kind.columns:
        fields.append(pa.field(column.name, types[column.type], nullable=not column.required))
        if column.type == "time":
            fields.append(pa.field(column.field, pa.int64(), nullable=not column.required))
    return pa.schema(fields)


def conform(kind: Kind, batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """Return a batch of rows of *kind*, with decimals in any form, in a schema that :func:`interchange_schema` made.

    :raises DataError: if a decimal does not fit.
    """
    arrays = []
    for wanted in schema:
        column = kind.by_name.get(wanted.name)
        if column is None:
            arrays.append(columns.times_as_ns(batch.column(kind.by_field[wanted.name].name)))
            continue
        array = batch.column(column.name)
        if column.type == "time":
            arrays.append(_microseconds(array))
        elif column.type == "decimal":
            arrays.append(_decimals(kind, array, batch.schema.field(column.name), wanted.type))
        else:
            arrays.append(array.cast(wanted.type))
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _microseconds(times: pa.Array) -> pa.Array:
    """Return times rounded down, those before 1970 too."""
    ns = columns.times_as_ns(times)
    floored = np.floor_divide(ns.fill_null(0).to_numpy(zero_copy_only=False), 1_000)
    missing = ns.is_null().to_numpy(zero_copy_only=False) if ns.null_count else None
    return pa.array(floored, pa.int64(), mask=missing).cast(MICROSECONDS)


def _decimals(kind: Kind, array: pa.Array, own: pa.Field, wanted: pa.Decimal128Type) -> pa.Array:
    scale = columns.scale_of(own)
    try:
        # Arrow's own casts overflow in silence for some numbers that are too wide.
        if _digits_before(array, scale) > DIGITS - wanted.scale:
            raise pa.ArrowInvalid("too many digits before the point")
        found = columns.as_numeric(array) if scale is None else columns.from_scaled(array, scale)
        return found if found.type == wanted else found.cast(wanted)
    except pa.ArrowInvalid as error:
        raise DataError(
            f"{kind.name}.{own.name}: a value does not fit a decimal of {DIGITS} digits with {wanted.scale} after the point",
            hint="choose another scale for decimal columns",
            field=own.name,
        ) from error


def _digits_before(array: pa.Array, scale: int | None) -> int:
    """Return the most digits before the point, from the first that is not zero."""
    if scale is None:
        return columns.max_digits(pc.utf8_ltrim(columns.as_texts(array), "-0"))[0]
    ends = pc.min_max(array)
    peak = max((abs(ends[name].as_py() or 0) for name in ("min", "max")), default=0)
    return (len(str(peak)) if peak else 0) - scale
