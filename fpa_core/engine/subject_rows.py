"""Rows of one subject as columns, with what the store knows of each: what sealing, removal and the history work on."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
from attrs import evolve, frozen

from fpa_core.arrow import columns
from fpa_core.arrow.batches import concat, equal_rows
from fpa_core.engine.catalog import SegmentInfo
from fpa_core.engine.plain_columns import plain_columns
from fpa_core.engine.rows import Row
from fpa_core.engine.segment_rows import opened, rows_of
from fpa_core.engine.segment_writer import PendingSegment
from fpa_core.engine.sorting import Mask, Numbers
from fpa_core.engine.tables import Reader
from fpa_core.kinds import Kind
from fpa_core.segments.reader import Segment

__all__ = ["SubjectRows", "decoded", "in_order", "joined", "read_segments"]

_READ_AT_ONCE = 64


@frozen(eq=False)
class SubjectRows:
    """Rows of one subject, with the batch, place of arrival and restoring batch (below 0 for none) of each."""

    rows: pa.RecordBatch
    batches: Numbers
    places: Numbers
    since: Numbers

    def __len__(self) -> int:
        return len(self.batches)

    @functools.cached_property
    def times(self) -> Numbers:
        """The time of each row."""
        return columns.times_as_ns(self.rows.column("timestamp")).to_numpy()  # type: ignore[no-any-return]

    def part(self, start: int, end: int) -> SubjectRows:
        """Return the rows from *start* to *end*."""
        return SubjectRows(
            self.rows.slice(start, end - start), self.batches[start:end], self.places[start:end], self.since[start:end]
        )

    def only(self, chosen: Mask) -> SubjectRows:
        """Return some of the rows."""
        return SubjectRows(
            self.rows.filter(pa.array(chosen)), self.batches[chosen], self.places[chosen], self.since[chosen]
        )

    def pending(self, kind: Kind, subject: str) -> PendingSegment:
        """Return them on their way into segments."""
        return PendingSegment(kind, subject, self.rows, self.batches, self.places, self.since, read_times=self.times)

    def equals(self, kind: Kind, other: SubjectRows) -> bool:
        """Return whether another one holds the same."""
        return equal_rows(kind, self.rows, other.rows) and all(
            np.array_equal(one, two)
            for one, two in ((self.batches, other.batches), (self.places, other.places), (self.since, other.since))
        )

    def restored(self, by: int) -> SubjectRows:
        """Return the rows as a batch restores them."""
        return evolve(self, since=np.full(len(self), by))

    def plain(self, kind: Kind) -> Iterator[Row]:
        """Return them as hot rows."""
        restored = [None if one < 0 else one for one in self.since.tolist()]
        return zip(*plain_columns(kind, self.rows), self.places.tolist(), self.batches.tolist(), restored, strict=True)


def read_segments(tables: Reader, infos: Sequence[SegmentInfo]) -> dict[int, SubjectRows]:
    """Return the rows of segments by the segments' ids."""
    found: dict[int, SubjectRows] = {}
    for start in range(0, len(infos), _READ_AT_ONCE):
        some = infos[start : start + _READ_AT_ONCE]
        contents = tables.segments.contents([info.id for info in some])
        found |= {info.id: decoded(info, opened(info, contents.get(info.id))) for info in some}
    return found


def decoded(info: SegmentInfo, segment: Segment) -> SubjectRows:
    """Return the rows of a segment."""
    since = segment.since()
    since = np.full(segment.rows, -1) if since is None else since
    return SubjectRows(rows_of(info, segment, scaled=True), segment.integers("batch"), segment.places(), since)


def joined(kind: Kind, parts: Sequence[SubjectRows]) -> SubjectRows:
    """Return rows of one subject, one part after the other."""
    if len(parts) == 1:
        return parts[0]
    batches, places, since = (
        np.concatenate([getattr(part, name) for part in parts]) for name in ("batches", "places", "since")
    )
    return SubjectRows(concat(kind, [part.rows for part in parts]), batches, places, since)


def in_order(kind: Kind, parts: Sequence[SubjectRows]) -> SubjectRows:
    """Return rows of one subject by time, and at one time by arrival."""
    whole = joined(kind, parts)
    times = whole.times
    order = np.lexsort([whole.places, times])
    if (order[1:] > order[:-1]).all():
        return whole
    rows = whole.rows.take(pa.array(order))
    return SubjectRows(rows, whole.batches[order], whole.places[order], whole.since[order])
