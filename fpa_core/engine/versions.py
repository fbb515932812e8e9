"""Writing what has a natural key: bars, orders, positions, snapshots. A different version replaces the stored one.

Rows whose keys are free are inserted as they are; the others are compared with the present versions and, if they differ, with the earlier ones.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from fpa_core.engine.matched import Owners
from fpa_core.engine.merge import Action, Outcome, Stored, merge_versions
from fpa_core.engine.rows import Key, Range, Row, shape_of
from fpa_core.engine.sorting import Mask, SortedRows, sort
from fpa_core.engine.tables import Writer
from fpa_core.kinds import Kind
from fpa_core.protocols import WriteCounts

__all__ = ["VersionWriter"]

ROWS_AT_ONCE = 65_536
"""Rows turned into Python values at once: enough for speed, few enough for the memory of a small machine."""


class VersionWriter:
    """Writes rows of one batch under the revision rule.

    :param stands: whether a stored version, given the batch that brought it and its key, is later than everything that is written; for kinds
        whose versions have no order of their own.
    """

    def __init__(
        self, tables: Writer, owners: Owners, stands: Callable[[int, Key], bool] = lambda _batch, _key: False
    ) -> None:
        self._tables = tables
        self._owners = owners
        self._batch = owners.batch
        self._stands = stands

    def write(self, kind: Kind, table: pa.Table) -> WriteCounts:
        """Add rows."""
        counts = WriteCounts()
        for start in range(0, table.num_rows, ROWS_AT_ONCE):
            counts += self._write(kind, sort(kind, table.slice(start, ROWS_AT_ONCE)))
        return counts

    def _write(self, kind: Kind, rows: SortedRows) -> WriteCounts:
        sizes = np.diff(np.append(rows.groups, len(rows)))
        contested = self._contested(kind, rows) | np.repeat(sizes > 1, sizes)
        fresh = (~contested).tolist()
        inserted = sum(fresh)
        if inserted:
            values = [itertools.compress(column, fresh) for column in rows.values]
            added = (itertools.repeat(self._batch, inserted), itertools.repeat(None, inserted))
            self._tables.rows.insert(kind, zip(*values, *added, strict=True))
        counts = WriteCounts(inserted=inserted)
        return counts + self._settle(kind, rows, contested) if inserted < len(rows) else counts

    def _contested(self, kind: Kind, rows: SortedRows) -> Mask:
        """Return which rows lie among stored ones of their prefix: only these may meet one."""
        shape = shape_of(kind)
        if not shape.timed:
            return np.ones(len(rows), bool)
        prefixes, times = rows.values[: len(shape.prefix)], np.array(rows.values[len(shape.prefix)], np.int64)
        starts = rows.runs.tolist()
        ends = [*starts[1:], len(rows)]
        ranges = [
            Range(tuple(str(column[start]) for column in prefixes), int(times[start]), int(times[end - 1]))
            for start, end in zip(starts, ends, strict=True)
        ]
        contested = np.zeros(len(rows), bool)
        for start, end, span in zip(starts, ends, self._tables.rows.spans(kind, ranges), strict=True):
            if span is not None:
                contested[start:end] = (times[start:end] >= span[0]) & (times[start:end] <= span[1])
        return contested

    def _settle(self, kind: Kind, rows: SortedRows, contested: Mask) -> WriteCounts:
        """Compare rows with the stored versions of their keys: one look, one insert, one retirement."""
        width, among = len(shape_of(kind).key), contested.tolist()
        columns = rows.values if all(among) else [list(itertools.compress(column, among)) for column in rows.values]
        keys = list(zip(*columns[:width], strict=True))
        distinct = list(dict.fromkeys(keys))
        present = list(self._tables.rows.at(kind, distinct))
        own = self._owners.own(self._tables, {row[-2] for row in present})
        duplicate = repeated = 0
        arriving = list(zip(*columns, strict=True))
        if len(distinct) == len(keys):  # most rows are what is stored already, and are compared as a whole
            stored = [row[:-2] for row in present]
            different = [] if stored == arriving else list(itertools.filterfalse(set(stored).__contains__, arriving))
            duplicate = len(arriving) - len(different)
            if own:
                brought = dict(zip(stored, (row[-2] for row in present), strict=True))
                repeated = sum(brought.get(row) in own for row in arriving)
            arriving = different
        groups: dict[Key, list[Row]] = defaultdict(list)
        for row in arriving:
            groups[row[:width]].append(row[width:])
        counts = WriteCounts(duplicate=duplicate, repeated=repeated)
        return counts + self._merge(kind, groups, {row[:width]: row for row in present}, own) if groups else counts

    def _merge(
        self, kind: Kind, groups: Mapping[Key, Sequence[Row]], present: Mapping[Key, Row], own: set[int]
    ) -> WriteCounts:
        shape = shape_of(kind)
        contents_of = shape.contents
        past = self._past(kind, groups, present)
        version: Callable[[Row], Any] | None = None
        if kind.version is not None:
            place = shape.content.index(kind.version)
            version = lambda content: content[place]  # noqa: E731
        writes = _Writes(self._batch)
        tally = dict.fromkeys(Action, 0)
        repeated = 0
        for key, contents in groups.items():
            found = present.get(key)
            stored = None if found is None else Stored(found, found[contents_of], found[-2] in own)
            recall: Callable[[Row], bool | None] | None = None if kind.returns else past.get(key, _NONE).get
            if stored is not None and version is None and any(content != stored.content for content in contents):
                recall = _anything if self._stands(stored.place[-2], key) else recall
            for outcome in merge_versions(contents, stored, recall, version):
                writes.take(key, found, outcome)
                tally[outcome.action] += 1
                repeated += outcome.repeated
        writes.apply(self._tables, kind)
        revised = tally[Action.REVISE] + tally[Action.OUTDATED]
        return WriteCounts(tally[Action.INSERT], tally[Action.DUPLICATE], revised, repeated)

    def _past(
        self, kind: Kind, groups: Mapping[Key, Sequence[Row]], present: Mapping[Key, Row]
    ) -> Mapping[Key, Mapping[Row, bool]]:
        """Return the versions that later ones replaced, under each key that is stored, each with whether it came with this batch."""
        found: dict[Key, dict[Row, bool]] = defaultdict(dict)
        if not kind.returns:
            width, contents = len(shape_of(kind).key), shape_of(kind).contents
            # What was taken back on purpose may come again; what was replaced by a later version may not.
            history = self._tables.rows.history_at(kind, [key for key in groups if key in present])
            replaced = [row for row in history if row[-1] in ("revised", "outdated")]
            own = self._owners.own(self._tables, {row[-4] for row in replaced})
            for row in replaced:
                past, content = found[row[:width]], row[contents]
                past[content] = row[-4] in own or past.get(content, False)
        return found


class _Writes:
    """What becomes of the rows of one comparison."""

    def __init__(self, batch: int) -> None:
        self._batch = batch
        self._inserts: dict[Key, Row] = {}
        self._retired: list[Key] = []
        self._history: list[Row] = []

    def take(self, key: Key, stored: Row | None, outcome: Outcome[Row]) -> None:
        """Note what one outcome asks for."""
        row = (*key, *outcome.content, self._batch, None)
        if outcome.action is Action.OUTDATED:
            self._history.append((*row, self._batch, "outdated"))
        elif outcome.action is not Action.DUPLICATE:
            if key in self._inserts:  # it revises a version that arrived with it
                self._history.append((*self._inserts[key], self._batch, "revised"))
            elif stored is not None:
                self._retired.append(key)
            self._inserts[key] = row

    def apply(self, tables: Writer, kind: Kind) -> None:
        """Write it."""
        if self._retired:
            tables.rows.retire_keys(kind, self._retired, by=self._batch, reason="revised")
        if self._history:
            tables.rows.insert_history(kind, self._history)
        if self._inserts:
            tables.rows.insert(kind, self._inserts.values())


_NONE: Mapping[Row, bool] = {}


def _anything(_: Row) -> bool:
    return False
