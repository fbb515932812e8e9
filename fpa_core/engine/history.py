"""The history of records from both places in which it lies: single rows, and retired segments."""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence

import numpy as np

from fpa_core.engine.catalog import RetiredSegment
from fpa_core.engine.filters import BatchFilter, covered, selected
from fpa_core.engine.rows import Key, Range, Row, shape_of
from fpa_core.engine.segment_rows import opened
from fpa_core.engine.subject_rows import SubjectRows, decoded, read_segments
from fpa_core.engine.tables import Reader
from fpa_core.kinds import Kind
from fpa_core.protocols import Query

__all__ = ["history_at", "history_rows", "read_history"]


def read_history(tables: Reader, query: Query) -> Iterator[list[Row]]:
    """Yield the history of the rows that *query* selects by subject, time and value, in any order: rows as the port has them."""
    yield from tables.rows.history(query)
    if query.kind.multiset:
        yield from _sealed_history(tables, query)


def _sealed_history(tables: Reader, query: Query) -> Iterator[list[Row]]:
    anything = BatchFilter()
    with contextlib.closing(tables.retired.find(query)) as found:
        for info in found:
            segment = opened(info, tables.segments.contents([info.id]).get(info.id))
            rows = decoded(info, segment)
            if not covered(info, query, anything):
                rows = rows.only(selected(segment, info, query, anything))
            if len(rows):
                yield history_rows(info, rows)


def history_rows(info: RetiredSegment, rows: SubjectRows) -> list[Row]:
    """Return rows of a retired segment as rows of the history."""
    return [(*row, info.retired_by, info.reason) for row in rows.plain(info.kind)]


def history_at(tables: Reader, kind: Kind, keys: Sequence[Key], reasons: Collection[str] | None = None) -> list[Row]:
    """Return the history under each of *keys*: rows as the port has them, those of one key by ``seq``, then as they became known.

    :param reasons: why they were retired; None for any reason.
    """
    rows = list(tables.rows.history_at(kind, keys))
    sealed = list(_sealed_at(tables, kind, keys, reasons)) if kind.multiset and keys else []
    if sealed:
        seq, batch, since, retired_by = (len(shape_of(kind).columns) + place for place in (-3, -2, -1, 0))
        rows = sorted([*rows, *sealed], key=lambda row: (row[seq], row[since] or row[batch], row[retired_by]))
    return rows if reasons is None else [row for row in rows if row[-1] in reasons]


def _sealed_at(tables: Reader, kind: Kind, keys: Sequence[Key], reasons: Collection[str] | None) -> Iterator[Row]:
    by_subject: dict[str, list[int]] = defaultdict(list)
    for subject, ts_ns in keys:
        by_subject[subject].append(ts_ns)
    times = [np.unique(np.array(each, np.int64)) for each in by_subject.values()]
    ranges = [Range((subject,), int(each[0]), int(each[-1])) for subject, each in zip(by_subject, times, strict=True)]
    for own, infos in zip(times, tables.retired.meeting(kind, ranges), strict=True):
        for info in infos:
            first = int(np.searchsorted(own, info.first_ns))
            if (reasons is None or info.reason in reasons) and first < len(own) and own[first] <= info.last_ns:
                rows = read_segments(tables, [info])[info.id]
                yield from history_rows(info, rows.only(np.isin(rows.times, own)))
