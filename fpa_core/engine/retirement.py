"""Sealed rows that become history: a segment that goes as a whole is moved to the retired ones as it is; of another one the part that goes is taken out."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from fpa_core.engine import catalog
from fpa_core.engine.catalog import SegmentInfo
from fpa_core.engine.compaction import replace_segments
from fpa_core.engine.filters import BatchFilter, covered, selected
from fpa_core.engine.segment_rows import opened
from fpa_core.engine.segment_writer import write_retired
from fpa_core.engine.sorting import Mask
from fpa_core.engine.subject_rows import SubjectRows, decoded, read_segments
from fpa_core.engine.tables import Writer
from fpa_core.exceptions import CorruptionError
from fpa_core.kinds import Kind
from fpa_core.protocols import Query
from fpa_core.segments.reader import Segment

__all__ = ["Release", "add_history", "retire_sealed", "retire_sealed_batch"]

SEGMENTS_AT_ONCE = 64

Release = Callable[[Sequence[SegmentInfo]], None]
"""Is told of segments before they change: whoever keeps something about them has to settle it."""


def retire_sealed(tables: Writer, query: Query, *, by: int, reason: str, release: Release) -> int:
    """Move the sealed rows that *query* selects, its limit aside, to the history; return how many they are."""
    batches = BatchFilter.of(tables, query)
    infos = [info for info in tables.segments.find(query) if batches.meets(info)]
    return _retire(
        tables,
        infos,
        lambda info: covered(info, query, batches),
        lambda info, segment: selected(segment, info, query, batches),
        (by, reason),
        release,
    )


def retire_sealed_batch(tables: Writer, kind: Kind, batch: int, *, by: int, reason: str, release: Release) -> int:
    """Move the sealed rows that a batch or its children brought or restored to the history; return how many they are."""
    query = Query(kind, batch=batch)
    family = np.array(tables.batches.family(query), np.int64)
    batches = BatchFilter(among=family)
    infos = [info for info in tables.segments.find(Query(kind)) if batches.meets(info)]

    def chosen(_: SegmentInfo, segment: Segment) -> Mask:
        mask: Mask = np.isin(segment.integers("batch"), family)
        since = segment.since()
        return mask if since is None else mask | np.isin(since, family)

    return _retire(tables, infos, lambda info: covered(info, query, batches), chosen, (by, reason), release)


def _retire(
    tables: Writer,
    infos: Sequence[SegmentInfo],
    is_whole: Callable[[SegmentInfo], bool],
    chosen: Callable[[SegmentInfo, Segment], Mask],
    retired: tuple[int, str],
    release: Release,
) -> int:
    count = 0
    for start in range(0, len(infos), SEGMENTS_AT_ONCE):
        some = infos[start : start + SEGMENTS_AT_ONCE]
        whole = [info for info in some if is_whole(info)]
        looked_at = [info for info in some if not is_whole(info)]
        contents = tables.segments.contents([info.id for info in looked_at])
        parts: list[tuple[SegmentInfo, Mask]] = []
        for info in looked_at:
            mask = chosen(info, opened(info, contents.get(info.id)))
            if mask.all():
                whole.append(info)
            elif mask.any():
                parts.append((info, mask))
        release([*whole, *(info for info, _ in parts)])
        tables.retired.retire([info.id for info in whole], by=retired[0], reason=retired[1])
        for info, mask in parts:
            rows = decoded(info, opened(info, contents[info.id]))
            replace_segments(tables, info.kind, [info], [(info.subject, rows.only(~mask))])
            add_history(tables, info.kind, info.subject, rows.only(mask), *retired)
        count += sum(info.rows for info in whole) + sum(int(mask.sum()) for _, mask in parts)
    return count


def add_history(tables: Writer, kind: Kind, subject: str, rows: SubjectRows, by: int, reason: str) -> None:
    """Add rows of one subject, in order of time, to the history: as segments that are read back, or as single rows if they are few.

    :raises CorruptionError: if what is read is not what was written.
    """
    if len(rows) < catalog.LEAST_ROWS:
        tables.rows.insert_history(kind, ((*row, by, reason) for row in rows.plain(kind)))
        return
    start = 0
    for info in write_retired(tables, [rows.pending(kind, subject)], by, reason):
        if not read_segments(tables, [info])[info.id].equals(kind, rows.part(start, start + info.rows)):
            raise CorruptionError(f"{info} does not hold what was written to it", operation="retire")
        start += info.rows
    if start != len(rows):
        raise CorruptionError(f"{start} of {len(rows)} rows of {subject} were retired", operation="retire")
