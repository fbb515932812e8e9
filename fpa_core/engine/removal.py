"""Removing rows for good, with their history: hot ones, sealed ones, and the part of a segment that lies in a range of time."""

from __future__ import annotations

from collections import Counter

import numpy as np
from attrs import field, frozen

from fpa_core.engine.compaction import replace_segments
from fpa_core.engine.coverage import uncover
from fpa_core.engine.filters import BatchFilter, selected
from fpa_core.engine.retirement import add_history
from fpa_core.engine.rows import shape_of
from fpa_core.engine.segment_rows import opened
from fpa_core.engine.sorting import Mask, Numbers
from fpa_core.engine.subject_rows import decoded, read_segments
from fpa_core.engine.tables import Writer
from fpa_core.numbers import MAX_NS, MIN_NS
from fpa_core.protocols import Query

__all__ = ["RETENTION", "Removed", "remove"]

RETENTION = "retention"
"""The origin of the batch that notes which rows are gone for good because of their age."""

_SEGMENTS_AT_ONCE = 64


@frozen
class Removed:
    """What was removed.

    :ivar rows: rows that reads returned; ``history`` rows of the history.
    :ivar brought: how many rows of each batch are gone, as the check of a store counts them: each once, where the batch put it first.
    """

    rows: int = 0
    history: int = 0
    brought: Counter[int] = field(factory=Counter)


def remove(tables: Writer, query: Query) -> Removed:
    """Remove the rows that *query* selects by subject, time and value for good, with their history, and take their time out of the ledger of fetched ranges.

    All versions of a row have its time, so all of them go: nothing is left that an undo could bring back.
    """
    kind, brought = query.kind, Counter[int]()
    rows = _remove_sealed(tables, query, brought) if kind.multiset else 0
    for page in tables.rows.select(query, ("batch", "since")):
        brought.update(batch for batch, since in page if since is None)
    rows += tables.rows.delete(query)
    batch = shape_of(kind).place("batch")
    for page in tables.rows.history(query):
        brought.update(row[batch] for row in page if row[batch + 1] is None)
    history = _remove_retired(tables, query, brought) if kind.multiset else 0
    history += tables.rows.delete_history(query)
    uncover(tables, query)
    return Removed(rows, history, brought)


def _remove_sealed(tables: Writer, query: Query, brought: Counter[int]) -> int:
    """Remove sealed rows; what is left of a segment is written as a new one, and read back."""
    start_ns = MIN_NS if query.start_ns is None else query.start_ns
    end_ns = MAX_NS + 1 if query.end_ns is None else query.end_ns
    infos = list(tables.segments.find(query))
    removed = 0
    for first in range(0, len(infos), _SEGMENTS_AT_ONCE):
        some = infos[first : first + _SEGMENTS_AT_ONCE]
        for info, rows in zip(some, read_segments(tables, some).values(), strict=True):
            gone = _within(rows.times, start_ns, end_ns)
            _count(brought, rows.batches[gone & (rows.since < 0)])
            if gone.any():
                left = [] if gone.all() else [(info.subject, rows.only(~gone))]
                replace_segments(tables, query.kind, [info], left)
            removed += int(gone.sum())
    return removed


def _remove_retired(tables: Writer, query: Query, brought: Counter[int]) -> int:
    """Remove rows of retired segments; what is left of one stays history."""
    removed = 0
    for info in list(tables.retired.find(query)):
        segment = opened(info, tables.segments.contents([info.id]).get(info.id))
        rows, gone = decoded(info, segment), selected(segment, info, query, BatchFilter())
        if gone.any():
            _count(brought, rows.batches[gone & (rows.since < 0)])
            tables.retired.remove([info.id])
            if not gone.all():
                add_history(tables, info.kind, info.subject, rows.only(~gone), info.retired_by, info.reason)
            removed += int(gone.sum())
    return removed


def _within(times: Numbers, start_ns: int, end_ns: int) -> Mask:
    # The end may be one beyond the last time there can be.
    return (times >= start_ns) & (times <= end_ns - 1)


def _count(brought: Counter[int], batches: Numbers) -> None:
    numbers, counts = np.unique(batches, return_counts=True)
    brought.update(dict(zip(numbers.tolist(), counts.tolist(), strict=True)))
