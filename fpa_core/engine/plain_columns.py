"""Columns of Arrow tables as lists of the plain values that rows hold (see :mod:`fpa_core.engine.rows`)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa

from fpa_core.arrow import columns
from fpa_core.engine.rows import shape_of
from fpa_core.kinds import Kind

__all__ = ["plain_columns"]


def plain_columns(kind: Kind, table: pa.Table | pa.RecordBatch, names: Sequence[str] | None = None) -> list[list[Any]]:
    """Return columns of a table, by field name, as lists of the values that rows hold; those of :attr:`Shape.fields` for None."""
    return list(_plain_columns(kind, table, shape_of(kind).fields if names is None else names))


def _plain_columns(kind: Kind, table: pa.Table | pa.RecordBatch, names: Sequence[str]) -> Iterator[list[Any]]:
    for name in names:
        column = kind.by_field[name]
        place = table.schema.get_field_index(column.name)
        if place < 0:
            yield [None] * table.num_rows
            continue
        array = table.column(place)
        if isinstance(array, pa.ChunkedArray):
            array = array.combine_chunks()
        if column.type == "decimal":
            scale = columns.scale_of(table.schema.field(place))
            array = columns.as_texts(array if scale is None else columns.from_scaled(array, scale))
        elif column.type == "time":
            array = columns.times_as_ns(array)
        yield array.to_pylist()
