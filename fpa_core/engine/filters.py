"""Which rows of a segment a query selects, apart from their time: by the batch that brought them, and by value."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from attrs import frozen

from fpa_core.arrow import columns
from fpa_core.engine.catalog import SegmentInfo
from fpa_core.engine.sorting import Mask, Numbers
from fpa_core.engine.tables import Reader
from fpa_core.numbers import decimal_text
from fpa_core.protocols import Query
from fpa_core.segments.reader import Segment

__all__ = ["BatchFilter", "covered", "inside", "matching", "selected", "span"]


@frozen
class BatchFilter:
    """Which batches rows may come from.

    :ivar last: the last batch known at the time asked for; None if that is the latest, or no time is asked for.
    :ivar among: the batches asked for, in order; None for any.
    """

    last: int | None = None
    among: Numbers | None = None

    @classmethod
    def of(cls, tables: Reader, query: Query) -> BatchFilter:
        """Return the filter of a query."""
        last = None if query.known_at_ns is None else tables.batches.last_known(query.known_at_ns)
        if last is not None and last == max(
            (batch.id for batch in tables.batches.find(limit=1, children=True)), default=0
        ):
            last = None  # what is known at the latest batch is what is there
        asked = query.batch is not None or query.origins is not None
        return cls(last, np.array(tables.batches.family(query), np.int64) if asked else None)

    def covers(self, info: SegmentInfo) -> bool:
        """Return whether all rows of a segment certainly come from these batches, by the catalog alone."""
        one = info.first_batch == info.last_batch
        return (self.last is None or info.last_batch <= self.last) and (
            self.among is None or (one and info.first_batch in self.among)
        )

    def meets(self, info: SegmentInfo) -> bool:
        """Return whether any row of a segment may come from them."""
        if self.last is not None and info.first_batch > self.last:
            return False
        if self.among is None:
            return True
        first = np.searchsorted(self.among, info.first_batch)
        return bool(first < len(self.among) and self.among[first] <= info.last_batch)


def matching(
    segment: Segment, info: SegmentInfo, query: Query, batches: BatchFilter, start: int, end: int
) -> Mask | None:
    """Return which rows from *start* to *end* of a segment meet the further conditions; None if all do."""
    masks: list[Mask] = []
    if not batches.covers(info):
        brought = segment.integers("batch")[start:end]
        if batches.last is not None:
            since = segment.since()
            masks.append((brought if since is None else np.maximum(brought, since[start:end])) <= batches.last)
        if batches.among is not None:
            masks.append(np.isin(brought, batches.among))
    for name, value in query.equal.items():
        column = query.kind.by_field[name]
        if name == query.kind.subject:
            masks.append(np.full(end - start, value == info.subject))
            continue
        array = segment.array(column.name, column.type, start, end)
        if value is None:
            masks.append(array.is_null().to_numpy(zero_copy_only=False))
            continue
        if column.type == "decimal":
            array, value = columns.as_texts(array), decimal_text(value)  # noqa: PLW2901
        elif column.type == "time":
            array = columns.times_as_ns(array)
        equal = pc.fill_null(pc.equal(array, pa.scalar(value, array.type)), False)
        masks.append(equal.to_numpy(zero_copy_only=False))
    return np.logical_and.reduce(masks) if masks else None


def span(segment: Segment, info: SegmentInfo, query: Query) -> tuple[int, int]:
    """Return the first row of a segment in the time of *query*, and the row after the last."""
    start, end = 0, segment.rows
    inside_start, inside_end = inside(info, query)
    if not (inside_start and inside_end):
        times = segment.integers("timestamp")
        start = 0 if inside_start else int(np.searchsorted(times, query.start_ns or 0))
        end = end if inside_end else int(np.searchsorted(times, query.end_ns or 0))
    return start, end


def inside(info: SegmentInfo, query: Query) -> tuple[bool, bool]:
    """Return whether the first and the last time of a segment are in the time of *query*."""
    return (
        query.start_ns is None or query.start_ns <= info.first_ns,
        query.end_ns is None or info.last_ns < query.end_ns,
    )


def covered(info: SegmentInfo, query: Query, batches: BatchFilter) -> bool:
    """Return whether *query* certainly selects all rows of a segment, by the catalog alone."""
    return all(inside(info, query)) and not query.equal and batches.covers(info)


def selected(segment: Segment, info: SegmentInfo, query: Query, batches: BatchFilter) -> Mask:
    """Return which rows of a segment *query* selects, its limit aside."""
    start, end = span(segment, info, query)
    mask = matching(segment, info, query, batches, start, end)
    chosen: Mask = np.zeros(segment.rows, bool)
    chosen[start:end] = True if mask is None else mask
    return chosen
