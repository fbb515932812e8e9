"""The catalog of sealed segments: what is known of a segment without reading it, and its rows once it was read."""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
from attrs import frozen

from fpa_core.arrow import columns
from fpa_core.engine.damage import decoding
from fpa_core.exceptions import CorruptionError
from fpa_core.kinds import Kind
from fpa_core.numbers import ns_text
from fpa_core.segments.layout import checksum_of
from fpa_core.segments.reader import Segment

__all__ = ["LEAST_ROWS", "SEGMENT_ROWS", "SegmentInfo", "last_record", "last_values", "opened", "rows_of"]

SEGMENT_ROWS = 16_384
"""Rows of a full segment: enough to compress well, few enough to be read for a single row."""

LEAST_ROWS = 2_048
"""Rows from which a segment is worth its overhead; fewer stay hot until more have come."""


@frozen
class SegmentInfo:
    """What the catalog says of a segment.

    :ivar id: given by the store; 0 for a segment that is still to be added.
    :ivar first_batch: the earliest batch that brought one of its rows, and ``last_batch`` the latest that brought or restored one.
    :ivar last_row: its last row as JSON, by public column names, so that the latest record needs no decoding.
    :ivar checksum: that of its header, in which those of its columns stand.
    :ivar bytes: its length.
    """

    id: int
    kind: Kind
    subject: str
    first_ns: int
    last_ns: int
    rows: int
    first_batch: int
    last_batch: int
    last_row: str
    checksum: bytes
    bytes: int

    def __str__(self) -> str:
        return f"the segment of {self.kind.name} of {self.subject} from {ns_text(self.first_ns)} to {ns_text(self.last_ns)}"


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
    shared = _shared_names(subject)
    return shared.slice(0, count) if count <= len(shared) else pa.repeat(pa.scalar(subject), count)


@functools.lru_cache(maxsize=64)
def _shared_names(subject: str) -> pa.Array:
    return pa.repeat(pa.scalar(subject), 2 * SEGMENT_ROWS)


def last_record(info: SegmentInfo, names: Sequence[str]) -> pa.RecordBatch:
    """Return the columns named of the last row of a segment without reading it."""
    types = {"time": columns.TIME, "integer": pa.int64()}
    by_name = info.kind.by_name
    values = last_values(info.last_row, info)
    with decoding("segments", info):
        arrays = [pa.array([values.get(name)], types.get(by_name[name].type, pa.string())) for name in names]
    return pa.RecordBatch.from_arrays(arrays, names=list(names))


def last_values(last_row: str, segment: object) -> dict[str, Any]:
    """Return the values of the last row of a segment, by public column names, from what the catalog says of it."""
    with decoding("segments", segment):
        return dict(json.loads(last_row))
