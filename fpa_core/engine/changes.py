"""Which ranges of time differ between two batches of a store: what a copy that is brought up to date has to read again."""

from __future__ import annotations

import bisect
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from fpa_core.engine.catalog import SegmentInfo
from fpa_core.engine.removal import RETENTION
from fpa_core.engine.rows import shape_of
from fpa_core.engine.sorting import Numbers
from fpa_core.engine.tables import Reader
from fpa_core.kinds import Kind
from fpa_core.numbers import MIN_NS
from fpa_core.protocols import Query

__all__ = ["changed_parts"]


def changed_parts(
    tables: Reader, kind: Kind, spans: Sequence[tuple[int, int]], after: int, upto: int
) -> set[int] | None:
    """Return the numbers of the parts of time in which rows known at the batch *upto* may differ from those known at the batch *after*.

    :param spans: ranges of time, both ends included, in order and apart. Part ``2 n + 1`` is span *n*; part 0 is the time before the first span, and part
        ``2 n + 2`` the time after span *n*, to the next one if there is one.
    :returns: None if all parts may differ, as after an undo or a replay, which change rows that other batches brought.
    """
    latest = tables.batches.find(limit=1, children=True)
    newer = tables.batches.find(limit=latest[0].id - after, children=True) if latest and latest[0].id > after else ()
    between = [batch for batch in newer if after < batch.id <= upto]
    if any(batch.undoes is not None or batch.replays is not None for batch in between):
        return None
    firsts, lasts = [first for first, _ in spans], [last for _, last in spans]
    parts: set[int] = set()
    for batch in between:
        if batch.origin == RETENTION and batch.reading:
            parts |= _without_rows(json.loads(batch.reading), kind, firsts, lasts)
    if kind.multiset:
        for info in (*tables.segments.find(Query(kind)), *tables.retired.find(Query(kind), known=upto)):
            if info.last_batch > after:
                parts |= _parts_of(info, firsts, lasts)
    starts, ends = np.array(firsts, np.int64), np.array(lasts, np.int64)
    for times in _brought(tables, kind, after, upto):
        found = np.searchsorted(starts, times, "right") + np.searchsorted(ends, times, "left")
        parts.update(np.unique(found).tolist())
    place = shape_of(kind).place("ts_ns")
    # A group of a stream is retired from under the batch of its stream.
    for root in {batch.parent or batch.id for batch in between if batch.revised or batch.deleted}:
        for rows in tables.rows.retired_by(kind, root):
            parts.update(_part(firsts, lasts, row[place]) for row in rows)
        parts.update(*(_parts_of(info, firsts, lasts) for info in tables.retired.retired_by(kind, root)))
    return parts


def _parts_of(info: SegmentInfo, firsts: Sequence[int], lasts: Sequence[int]) -> set[int]:
    """Return the parts in which a segment lies."""
    return set(range(_part(firsts, lasts, info.first_ns), _part(firsts, lasts, info.last_ns) + 1))


def _brought(tables: Reader, kind: Kind, after: int, upto: int) -> Iterator[Numbers]:
    """Yield the times of hot rows that later batches brought or restored."""
    for rows in tables.rows.select(Query(kind), ["ts_ns", "batch", "since"], known=upto):
        values = np.array([(ts, max(batch, since or 0)) for ts, batch, since in rows], np.int64)
        yield values[values[:, 1] > after, 0]


def _without_rows(note: Mapping[str, Any], kind: Kind, firsts: Sequence[int], lasts: Sequence[int]) -> set[int]:
    """Return the parts from which rows were deleted because of their age."""
    if note["kind"] != kind.name:
        return set()
    start_ns = MIN_NS if note["start_ns"] is None else note["start_ns"]
    return set(range(_part(firsts, lasts, start_ns), _part(firsts, lasts, note["end_ns"] - 1) + 1))


def _part(firsts: Sequence[int], lasts: Sequence[int], ns: int) -> int:
    return bisect.bisect_right(firsts, ns) + bisect.bisect_left(lasts, ns)
