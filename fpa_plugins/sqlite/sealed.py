"""Sealed rows: finding segments in the catalog, and reading them."""

from __future__ import annotations

import contextlib
import functools
import json
from collections.abc import Generator, Sequence
from typing import Any

import apsw
import numpy as np
import numpy.typing as npt
import pyarrow as pa
from attrs import frozen

from fpa_core.arrow import columns
from fpa_core.exceptions import CorruptionError
from fpa_core.kinds import KINDS, Kind
from fpa_core.numbers import ns_text
from fpa_core.protocols import Query
from fpa_core.segments.layout import checksum_of
from fpa_core.segments.reader import Segment
from fpa_plugins.sqlite.schema import subject_condition

__all__ = [
    "CATALOG",
    "LEAST_ROWS",
    "SEGMENT_ROWS",
    "Entry",
    "find",
    "last_record",
    "read",
    "remove",
    "rows_of",
]

Mask = npt.NDArray[np.bool_]
Numbers = npt.NDArray[np.int64]

SEGMENT_ROWS = 16_384
"""Rows of a full segment: enough to compress well, few enough to be read for a single row."""

LEAST_ROWS = 2_048
"""Rows from which a segment is worth its overhead; fewer stay hot until more have come."""

CATALOG = "id, kind, subject, first_ns, last_ns, rows, first_batch, last_batch, last_row, checksum"


@frozen
class Entry:
    """What the catalog says of a segment.

    :ivar first_batch: the earliest batch that brought one of its rows, and ``last_batch`` the latest.
    :ivar last_row: its last row as JSON, by public column names, so that the latest record needs no decoding.
    :ivar checksum: that of its header, in which those of its columns stand.
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

    def __str__(self) -> str:
        return f"the segment of {self.kind.name} of {self.subject} from {ns_text(self.first_ns)} to {ns_text(self.last_ns)}"


def find(connection: apsw.Connection, query: Query) -> Generator[Entry, None, None]:
    """Yield the segments that may hold rows of *query*, by subject and time, or the other way round if that is how it wants the rows.

    Who does not take all of them closes it: the connection stays at its moment for as long as the search is open, whatever becomes of the transaction.
    """
    if query.start_ns is not None and query.end_ns is not None and query.start_ns >= query.end_ns:
        return
    conditions, parameters = subject_condition("subject", query)
    conditions, parameters = ["kind = ?", *conditions], [query.kind.name, *parameters]
    forward = query.only is not None and len(query.only) == 1 and not query.reverse
    bounds: Sequence[tuple[str, Any]] = (
        ("last_ns >= ?", query.start_ns),
        ("first_ns < ?", None if forward else query.end_ns),
        ("first_batch <= ?", query.batch),
        ("last_batch >= ?", query.batch),
    )
    for condition, bound in bounds:
        if bound is not None:
            conditions.append(condition)
            parameters.append(bound)
    order = "subject DESC, last_ns DESC" if query.reverse else "subject, last_ns"
    sql = f"SELECT {CATALOG} FROM segments WHERE {' AND '.join(conditions)} ORDER BY {order}"
    with contextlib.closing(connection.execute(sql, parameters)) as cursor:
        for row in cursor:
            if forward and query.end_ns is not None and row[3] >= query.end_ns:
                return  # they never overlap: none comes after the first that begins too late, which the index cannot know
            yield Entry(row[0], KINDS[row[1]], *row[2:])


def read(connection: apsw.Connection, entry: Entry) -> Segment:
    """Return a segment, its header checked.

    :raises CorruptionError: when it is damaged, or another one than the catalog says.
    """
    content = connection.execute("SELECT content FROM segment_contents WHERE id = ?", (entry.id,)).get or b""
    segment = Segment(content, entry)
    if checksum_of(content) != entry.checksum:
        raise CorruptionError(
            f"{entry} is not what is stored under its number",
            hint="restore the database from a backup",
            operation="read a segment",
        )
    return segment


def rows_of(
    entry: Entry,
    segment: Segment,
    start: int = 0,
    end: int | None = None,
    *,
    names: Sequence[str] | None = None,
    scaled: bool = False,
) -> pa.RecordBatch:
    """Return rows of a segment with the columns of their kind, or those named; *scaled* as for :meth:`Segment.array`."""
    end = segment.rows if end is None else end
    kind = entry.kind
    arrays = []
    shape: list[tuple[str, pa.DataType, int | None]] = []
    for column in kind.columns if names is None else [kind.by_name[name] for name in names]:
        if column.field == kind.subject:
            array = _repeated(entry.subject, end - start)
        else:
            array = segment.array(column.name, column.type, start, end, scaled=scaled)
        arrays.append(array)
        integers = column.type == "decimal" and pa.types.is_int64(array.type)
        shape.append((column.name, array.type, segment.scale(column.name) if integers else None))
    return pa.RecordBatch.from_arrays(arrays, schema=_schema(tuple(shape)))


@functools.lru_cache(maxsize=256)
def _schema(shape: tuple[tuple[str, pa.DataType, int | None], ...]) -> pa.Schema:
    """Return the schema of columns, each with its name, type and scale; the segments of one kind share a few."""
    return pa.schema(
        [pa.field(name, kind) if scale is None else columns.scaled_field(name, scale) for name, kind, scale in shape]
    )


def _repeated(subject: str, count: int) -> pa.Array:
    """Return a column of one subject; the longer ones of one share their memory."""
    if count < SEGMENT_ROWS // 4:
        return pa.repeat(pa.scalar(subject), count)
    shared = _shared_names(subject)
    return shared.slice(0, count) if count <= len(shared) else pa.repeat(pa.scalar(subject), count)


@functools.lru_cache(maxsize=64)
def _shared_names(subject: str) -> pa.Array:
    return pa.repeat(pa.scalar(subject), 2 * SEGMENT_ROWS)


def remove(connection: apsw.Connection, entries: Sequence[Entry]) -> None:
    """Forget segments."""
    ids = [(entry.id,) for entry in entries]
    connection.executemany("DELETE FROM segments WHERE id = ?", ids)
    connection.executemany("DELETE FROM segment_contents WHERE id = ?", ids)


def last_record(entry: Entry, names: Sequence[str]) -> pa.RecordBatch:
    """Return the columns named of the last row of a segment without reading it."""
    values = json.loads(entry.last_row)
    types = {"time": columns.TIME, "integer": pa.int64()}
    by_name = entry.kind.by_name
    arrays = [pa.array([values.get(name)], types.get(by_name[name].type, pa.string())) for name in names]
    return pa.RecordBatch.from_arrays(arrays, names=list(names))
