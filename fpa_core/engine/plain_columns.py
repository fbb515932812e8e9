"""Columns of Arrow tables as lists of the plain values that rows hold (see :mod:`fpa_core.engine.rows`)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fpa_core.arrow import columns
from fpa_core.engine.rows import shape_of
from fpa_core.kinds import Kind

__all__ = ["plain_columns"]

SAMPLE = 4_096
"""Rows that show whether a column has many equal values."""


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
            yield _listed(array, partial(_decimal_texts, scale=scale))
        elif column.type == "time":
            yield columns.times_as_ns(array).to_pylist()
        else:
            yield _listed(array)


def _decimal_texts(array: pa.Array, scale: int | None) -> pa.Array:
    return columns.as_texts(array if scale is None else columns.from_scaled(array, scale))


def _listed(array: pa.Array, plain: Callable[[pa.Array], pa.Array] = lambda array: array) -> list[Any]:
    """Return an array as a list of plain values. Where many are equal, each is made once: that takes less time and memory, here and in what compares them."""
    if not pa.types.is_dictionary(array.type):
        if len(array) < SAMPLE or 2 * pc.count_distinct(array.slice(0, SAMPLE)).as_py() > SAMPLE:
            found: list[Any] = plain(array).to_pylist()
            return found
        array = array.dictionary_encode()
    values = np.array([*plain(array.dictionary).to_pylist(), None], object)
    places = array.indices.cast(pa.int64()).fill_null(len(values) - 1)
    return list(values[places.to_numpy()])
