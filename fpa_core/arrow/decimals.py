"""The forms in which reads return decimal columns: exact decimals, floats, scaled integers or text.

The batches of one read may have different types for a column, depending on how it is stored (see :mod:`fpa_core.arrow.columns`).
A :class:`Width` collects the required size; :func:`shaped` then gives every batch the same schema.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Literal, TypeAlias, get_args

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from attrs import define, field

from fpa_core.arrow import columns
from fpa_core.exceptions import DataError
from fpa_core.kinds import Kind

__all__ = [
    "Prices",
    "Width",
    "check_prices",
    "empty_schema",
    "fits",
    "floats",
    "in_form",
    "narrowed",
    "peak",
    "schema_of",
    "shaped",
    "table_of",
    "widen",
    "widths_of",
]

Prices: TypeAlias = Literal["decimal", "float", "scaled", "text"]
"""``decimal``: Arrow decimals, or text if no decimal type holds all values. ``float``: the nearest 64-bit float of each. ``scaled``: 64-bit integers,
the field's metadata telling the scale, or decimals, without that, where they do not fit. ``text``: canonical texts."""

_FORMS = get_args(Prices)
_EXACT_INTEGER = 2**53
_EXACT_POWER = 22
"""A float holds integers to 2**53 and powers of ten to 10**22 exactly, so one division of them rounds once, which is to the nearest."""


def check_prices(prices: str) -> None:
    """Check that *prices* is a known form.

    :raises DataError: if it is unknown; the message lists the known forms.
    """
    if prices not in _FORMS:
        raise DataError(f"prices: unknown form {prices!r}; one of: {', '.join(_FORMS)}", field="prices", value=prices)


@define
class Width:
    """The size that the values of a decimal column need.

    :ivar peaks: the largest magnitude of the scaled integers at each scale.
    :ivar before: the most digits before the point of values that are not scaled integers; ``after`` has those after the point.
    """

    peaks: dict[int, int] = field(factory=dict)
    before: int = 0
    after: int = 0
    wide: bool = False

    def see(self, array: pa.Array, scale: int | None) -> None:
        """Include a part of the column."""
        if scale is not None:
            self.peaks[scale] = max(self.peaks.get(scale, 0), peak(array))
            return
        self.wide = True
        before, after = columns.max_digits(columns.as_texts(array))
        self.before, self.after = max(self.before, before), max(self.after, after)

    def field(self, name: str, prices: Prices) -> pa.Field:
        """Return the field that holds all parts."""
        if prices == "float":
            return pa.field(name, pa.float64())
        if prices == "text":
            return pa.field(name, pa.string())
        after = max([self.after, *self.peaks])
        fits = all(peak * 10 ** (after - scale) < 2**63 for scale, peak in self.peaks.items())
        if prices == "scaled" and fits and not self.wide:
            return columns.scaled_field(name, after)
        before = max([self.before, *(len(str(peak)) - scale for scale, peak in self.peaks.items())])
        return pa.field(name, columns.decimal_type(before, after) or pa.string())


def widen(widths: dict[str, Width], kind: Kind, batch: pa.RecordBatch) -> None:
    """Include the decimal columns of *batch* in *widths*."""
    for place, column in enumerate(batch.schema):
        if kind.by_name[column.name].type == "decimal":
            widths.setdefault(column.name, Width()).see(batch.column(place), columns.scale_of(column))


def widths_of(kind: Kind, batches: Iterable[pa.RecordBatch]) -> dict[str, Width]:
    """Return the width of each decimal column of *batches*."""
    widths: dict[str, Width] = {}
    for batch in batches:
        widen(widths, kind, batch)
    return widths


def schema_of(kind: Kind, names: Sequence[str], widths: dict[str, Width], prices: Prices) -> pa.Schema:
    """Return the schema of the columns *names*."""
    return pa.schema(
        [
            widths[name].field(name, prices) if name in widths else pa.field(name, kind.by_name[name].arrow)
            for name in names
        ]
    )


def empty_schema(kind: Kind, names: Sequence[str], prices: Prices) -> pa.Schema:
    """Return the schema for a result without rows."""
    decimal = {"float": pa.float64(), "text": pa.string()}
    fields = []
    for column in [kind.by_name[name] for name in names]:
        if column.type == "decimal" and prices == "scaled":
            fields.append(columns.scaled_field(column.name, 0))
        else:
            arrow = decimal.get(prices, column.arrow) if column.type == "decimal" else column.arrow
            fields.append(pa.field(column.name, arrow))
    return pa.schema(fields)


def _wide(kind: Kind, schema: pa.Schema) -> list[int]:
    """Return which columns are decimals that are not scaled integers. Every small read asks: their type tells sooner than their metadata."""
    return [
        place
        for place, (name, own) in enumerate(zip(schema.names, schema.types, strict=True))
        if kind.by_name[name].type == "decimal" and not pa.types.is_int64(own)
    ]


def narrowed(kind: Kind, batch: pa.RecordBatch) -> pa.RecordBatch:
    """Return *batch* with its decimals as scaled integers if they fit."""
    wide = _wide(kind, batch.schema)
    if not wide:
        return batch
    fields, arrays = list(batch.schema), batch.columns
    for place in wide:
        own = fields[place]
        array = columns.as_numeric(arrays[place])
        if (found := columns.as_scaled(array)) is not None:
            array, fields[place] = found[0], columns.scaled_field(own.name, found[1])
        else:
            fields[place] = pa.field(own.name, array.type)
        arrays[place] = array
    return pa.RecordBatch.from_arrays(arrays, schema=pa.schema(fields))


def in_form(kind: Kind, batches: Iterable[pa.RecordBatch], prices: Prices) -> Iterator[pa.RecordBatch]:
    """Yield each batch with its decimals in a form, in the narrowest type that holds those of this batch.

    :param batches: as a store yields them: scaled, or, for ``text``, as texts.
    """
    for batch in batches:
        one = batch if prices == "text" else narrowed(kind, batch)
        yield shaped(kind, one, schema_of(kind, one.schema.names, widths_of(kind, [one]), prices))


def shaped(kind: Kind, batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """Return *batch* in *schema*, which :func:`schema_of` made for all batches of the read.

    :raises DataError: if a value does not fit the schema.
    """
    arrays = batch.columns
    for place, (own, wanted) in enumerate(zip(batch.schema, schema, strict=True)):
        if kind.by_name[own.name].type == "decimal":
            try:
                arrays[place] = _converted(arrays[place], columns.scale_of(own), wanted)
            except pa.ArrowInvalid as error:
                raise DataError(
                    f"{kind.name}.{own.name}: a row that came during the reading does not fit the others: {error}",
                    hint="read again",
                    field=own.name,
                ) from error
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def table_of(kind: Kind, names: Sequence[str], batches: Sequence[pa.RecordBatch], prices: Prices) -> pa.Table:
    """Return *batches* as one table."""
    if not batches:
        return empty_schema(kind, names, prices).empty_table()
    first = batches[0].schema
    alike = prices == "scaled" and all(batch.schema.equals(first, check_metadata=True) for batch in batches[1:])
    if alike and not _wide(kind, first):
        return pa.Table.from_batches(batches)  # as read from segments
    schema = schema_of(kind, names, widths_of(kind, batches), prices)
    return pa.Table.from_batches([shaped(kind, batch, schema) for batch in batches], schema)


def peak(integers: pa.Array) -> int:
    """Return the largest magnitude of integers."""
    ends = pc.min_max(integers)
    least, most = ends["min"].as_py(), ends["max"].as_py()
    return 0 if least is None else max(-least, most)


def fits(integers: pa.Array, bound: int) -> bool:
    """Return whether the magnitude of all integers of 64 bits is below *bound*."""
    if integers.null_count or not len(integers) or bound > 2**63 - 1:
        return peak(integers) < bound
    numbers = np.frombuffer(integers.buffers()[1], np.int64, len(integers), 8 * integers.offset)
    return bool(-bound < numbers.min() and numbers.max() < bound)  # half of the time that Arrow takes


def _converted(array: pa.Array, scale: int | None, wanted: pa.Field) -> pa.Array:
    if pa.types.is_string(wanted.type):
        return columns.as_texts(array if scale is None else columns.from_scaled(array, scale))
    if pa.types.is_float64(wanted.type):
        return _floats(array, scale)
    target = columns.scale_of(wanted)
    if target is not None and scale is not None and scale <= target:
        return array if scale == target else columns.rescale(array, target - scale)
    if scale is not None:
        array = columns.from_scaled(array, scale)
    return array if array.type == wanted.type else array.cast(wanted.type)


def floats(array: pa.Array) -> pa.Array:
    """Return the nearest float of each value of Arrow decimals."""
    scaled = columns.as_scaled(array)
    return _floats(array, None) if scaled is None else _floats(*scaled)


def _floats(array: pa.Array, scale: int | None) -> pa.Array:
    """Return the nearest float of each value."""
    if scale is not None and scale <= _EXACT_POWER and peak(array) <= _EXACT_INTEGER:
        return pc.divide(array.cast(pa.float64()), float(10**scale))
    texts = columns.as_texts(array if scale is None else columns.from_scaled(array, scale))
    encoded = texts.dictionary_encode()
    nearest = np.array([float(text) for text in encoded.dictionary.to_pylist()], np.float64)
    return pa.array(nearest).take(encoded.indices)
