"""The rows of sealed segments as Arrow."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from fpa_core.arrow import columns
from fpa_core.engine.catalog import SEGMENT_ROWS, SegmentInfo, last_values
from fpa_core.engine.damage import decoding
from fpa_core.exceptions import CorruptionError
from fpa_core.kinds import Kind
from fpa_core.segments.layout import checksum_of
from fpa_core.segments.reader import Segment

__all__ = ["joinable", "joined_rows", "last_record", "opened", "rows_of"]

JOINED_ROWS = 65_536
"""The most rows of segments that are read as one batch."""


def opened(info: SegmentInfo, content: bytes | memoryview | None) -> Segment:
    """Return a segment, its header checked.

    :raises CorruptionError: when it is damaged, or another one than the catalog says.
    """
    segment = Segment(content or b"", info)
    if checksum_of(content or b"") != info.checksum:
        raise CorruptionError(
            f"{info} is not the one stored under its number",
            hint="restore the database from a backup",
            operation="read a segment",
        )
    return segment


def rows_of(
    info: SegmentInfo,
    segment: Segment,
    start: int = 0,
    end: int | None = None,
    *,
    names: Sequence[str] | None = None,
    scaled: bool = False,
) -> pa.RecordBatch:
    """Return rows of a segment with the columns of their kind, or those named; *scaled* as for :meth:`Segment.array`."""
    end = segment.rows if end is None else end
    kind = info.kind
    arrays = []
    fields: list[tuple[str, pa.DataType, int | None]] = []
    for column in kind.columns if names is None else [kind.by_name[name] for name in names]:
        if column.field == kind.subject:
            array = _repeated(info.subject, end - start)
        else:
            array = segment.array(column.name, column.type, start, end, scaled=scaled)
        arrays.append(array)
        integers = column.type == "decimal" and pa.types.is_int64(array.type)
        fields.append((column.name, array.type, segment.scale(column.name) if integers else None))
    return pa.RecordBatch.from_arrays(arrays, schema=_schema(tuple(fields)))


def joined_rows(
    kind: Kind, subject: str, segments: Sequence[Segment], names: Sequence[str], scales: Sequence[int | None]
) -> pa.RecordBatch:
    """Return all rows of segments of one subject as one batch, its decimals as integers.

    :param scales: what :func:`joinable` returned for each of the segments.
    """
    count = sum(segment.rows for segment in segments)
    arrays = []
    fields: list[tuple[str, pa.DataType, int | None]] = []
    for name, scale in zip(names, scales, strict=True):
        column = kind.by_name[name]
        if column.field == kind.subject:
            array = _repeated(subject, count)
        else:
            # Arrow keeps memory that is given back; from elsewhere each column would be mapped, and its pages be made, anew.
            memory = pa.allocate_buffer(8 * count)
            values = np.frombuffer(memory, np.int64)
            start = 0
            for segment in segments:
                segment.write_integers(name, values[start : start + segment.rows])
                start += segment.rows
            array = pa.Array.from_buffers(
                columns.TIME if column.type == "time" else pa.int64(), count, [None, memory], 0
            )
        arrays.append(array)
        fields.append((name, array.type, scale))
    return pa.RecordBatch.from_arrays(arrays, schema=_schema(tuple(fields)))


def joinable(kind: Kind, segment: Segment, names: Sequence[str]) -> tuple[int | None, ...] | None:
    """Return the scale of each column, None for those that are no decimals; None if a column is not integers throughout.

    Segments of one subject for which this is the same can be read as one batch.
    """
    scales: list[int | None] = []
    for name in names:
        column = kind.by_name[name]
        if column.field != kind.subject and not segment.is_plain(name):
            return None
        scales.append(segment.scale(name) if column.type == "decimal" else None)
    return tuple(scales)


@functools.lru_cache(maxsize=256)
def _schema(shape: tuple[tuple[str, pa.DataType, int | None], ...]) -> pa.Schema:
    """Return the schema of columns, each with its name, type and scale; the segments of one kind share a few."""
    return pa.schema(
        [pa.field(name, kind) if scale is None else columns.scaled_field(name, scale) for name, kind, scale in shape]
    )


def _repeated(subject: str, count: int) -> pa.Array:
    """Return a column of one subject; the longer ones of one subject share their memory."""
    if count < SEGMENT_ROWS // 4:
        return pa.repeat(pa.scalar(subject), count)
    shared = _shared_names(subject, 2 * SEGMENT_ROWS if count <= 2 * SEGMENT_ROWS else JOINED_ROWS)
    return shared.slice(0, count) if count <= len(shared) else pa.repeat(pa.scalar(subject), count)


@functools.lru_cache(maxsize=64)
def _shared_names(subject: str, count: int) -> pa.Array:
    return pa.repeat(pa.scalar(subject), count)


def last_record(info: SegmentInfo, names: Sequence[str]) -> pa.RecordBatch:
    """Return the columns named of the last row of a segment without reading it."""
    types = {"time": columns.TIME, "integer": pa.int64()}
    by_name = info.kind.by_name
    values = last_values(info.last_row, info)
    with decoding("segments", info):
        arrays = [pa.array([values.get(name)], types.get(by_name[name].type, pa.string())) for name in names]
    return pa.RecordBatch.from_arrays(arrays, names=list(names))
