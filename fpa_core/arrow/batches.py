"""Narrow batches: the compact form of rows before they are written to segments.

A *narrow batch* is a record batch of a kind whose decimals are scaled integers if 64 bits hold them (see :mod:`fpa_core.arrow.columns`).
Columns without any value may be absent. Stores sort, gather and compare rows in this form.
"""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from fpa_core.arrow import columns, decimals
from fpa_core.kinds import Column, Kind

__all__ = ["combine_chunks", "concat", "equal_rows", "to_decimal", "to_scaled"]


def combine_chunks(table: pa.Table) -> pa.RecordBatch:
    """Return a table as one batch. It is copied only if it has several chunks."""
    whole = [column.chunk(0) if column.num_chunks == 1 else column.combine_chunks() for column in table.columns]
    return pa.RecordBatch.from_arrays(whole, schema=table.schema)


def to_scaled(kind: Kind, rows: pa.RecordBatch) -> pa.RecordBatch:
    """Return rows with decimals in any form as a narrow batch."""
    return decimals.narrowed(
        kind,
        rows.select(
            [
                field.name
                for field, column in zip(rows.schema, rows.columns, strict=True)
                if column.null_count < len(column)
            ]
        ),
    )


def to_decimal(kind: Kind, batch: pa.RecordBatch, subject: str | None = None) -> pa.Table:
    """Return a narrow batch as a table of all columns of *kind*, decimals as Arrow decimals or texts.

    :param subject: the value of the subject's column if the batch does not have it.
    """
    arrays = []
    for column in kind.columns:
        if column.field == kind.subject and subject is not None:
            arrays.append(pa.repeat(pa.scalar(subject), batch.num_rows))
            continue
        place = batch.schema.get_field_index(column.name)
        if place < 0:
            arrays.append(pa.nulls(batch.num_rows, column.arrow))
            continue
        array, scale = batch.column(place), columns.scale_of(batch.schema.field(place))
        arrays.append(array if scale is None else columns.from_scaled(array, scale))
    return pa.table(arrays, names=[column.name for column in kind.columns])


def concat(kind: Kind, batches: Sequence[pa.RecordBatch]) -> pa.RecordBatch:
    """Return narrow batches as one."""
    if len(batches) == 1:
        return batches[0]
    fields, arrays = [], []
    for column in kind.columns:
        if any(column.name in batch.schema.names for batch in batches):
            array, field = _joined(column, batches)
            arrays.append(array)
            fields.append(field)
    return decimals.narrowed(kind, pa.RecordBatch.from_arrays(arrays, schema=pa.schema(fields)))


def _joined(column: Column, batches: Sequence[pa.RecordBatch]) -> tuple[pa.Array, pa.Field]:
    places = [batch.schema.get_field_index(column.name) for batch in batches]
    found = [
        (batch.column(place), batch.schema.field(place))
        for batch, place in zip(batches, places, strict=True)
        if place >= 0
    ]
    scales = {columns.scale_of(field) for _, field in found}
    if column.type != "decimal" or (len(scales) == 1 and None not in scales):
        parts = [array for array, _ in found]
        field = found[0][1]
    else:
        wide = [
            array if (scale := columns.scale_of(field)) is None else columns.from_scaled(array, scale)
            for array, field in found
        ]
        parts = columns.to_common_type(wide)
        field = pa.field(column.name, parts[0].type)
    present = iter(parts)
    whole = [
        next(present) if place >= 0 else pa.nulls(batch.num_rows, field.type)
        for batch, place in zip(batches, places, strict=True)
    ]
    return pa.concat_arrays(whole), field


def equal_rows(kind: Kind, one: pa.RecordBatch, other: pa.RecordBatch) -> bool:
    """Return whether two narrow batches have the same rows, ignoring the subject."""
    if one.num_rows != other.num_rows:
        return False
    columns_of = [dict(zip(batch.schema.names, batch.columns, strict=True)) for batch in (one, other)]
    for column in kind.columns:
        arrays = [named.get(column.name) for named in columns_of]
        present = [array is not None and array.null_count < len(array) for array in arrays]
        if column.field == kind.subject or not any(present):
            continue
        if not all(present):
            return False
        decimal = column.type == "decimal"
        scales = [columns.scale_of(batch.schema.field(column.name)) if decimal else None for batch in (one, other)]
        if not _equal(arrays, scales):
            return False
    return True


def _equal(arrays: list[pa.Array], scales: list[int | None]) -> bool:
    if scales[0] is None or scales[1] is None:
        arrays = [
            array if scale is None else columns.from_scaled(array, scale)
            for array, scale in zip(arrays, scales, strict=True)
        ]
    elif scales[0] != scales[1]:
        finer = max(scales[0], scales[1])
        try:
            arrays = [columns.rescale(array, finer - (scale or 0)) for array, scale in zip(arrays, scales, strict=True)]
        except pa.ArrowInvalid:  # too large for 64 bits at the finer scale, but the other's values fit: they differ
            return False
    return columns.equal(arrays[0], arrays[1])
