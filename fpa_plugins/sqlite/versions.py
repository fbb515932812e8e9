"""Writing what has a natural key: bars, orders, positions, snapshots. A different version replaces the stored one."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import apsw
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from fpa_core.engine.merge import Action, Outcome, Stored, merge_versions
from fpa_core.kinds import Kind
from fpa_core.protocols import WriteCounts
from fpa_plugins.sqlite.arranging import Arranged, Group, Row, sort
from fpa_plugins.sqlite.schema import Tables, tables

__all__ = ["VersionWriter"]

ROWS_AT_ONCE = 65_536
"""Rows turned into Python values at once: enough for speed, few enough for the memory of a small machine."""


class VersionWriter:
    """Writes rows of one batch under the revision rule.

    :param stands: tells by the batch of a stored version whether it is later than all that is written; where versions have no order of their own.
    """

    def __init__(
        self, connection: apsw.Connection, batch_id: int, stands: Callable[[int], bool] = lambda _: False
    ) -> None:
        self._connection = connection
        self._batch_id = batch_id
        self._stands = stands

    def write(self, kind: Kind, table: pa.Table) -> WriteCounts:
        """Add rows; those that meet no stored ones, nor each other, in bulk."""
        counts = WriteCounts()
        for start in range(0, table.num_rows, ROWS_AT_ONCE):
            counts += self._write(kind, table.slice(start, ROWS_AT_ONCE))
        return counts

    def _write(self, kind: Kind, table: pa.Table) -> WriteCounts:
        arranged = sort(kind, table).arranged()
        contested = self._contested(kind, arranged)
        fresh = ~contested
        values = [itertools.compress(column, fresh.tolist()) for column in arranged.values]
        self._connection.executemany(tables(kind).insert, zip(*values, itertools.repeat(self._batch_id), strict=False))
        return WriteCounts(inserted=int(fresh.sum())) + self._settle(kind, list(arranged.only(contested)))

    def _contested(self, kind: Kind, arranged: Arranged) -> npt.NDArray[np.bool_]:
        """Tell which rows may meet stored ones, or each other: only these are looked at one key at a time."""
        t = tables(kind)
        contested = np.repeat(arranged.sizes > 1, arranged.sizes)
        if "ts_ns" not in kind.key:
            return contested | bool(self._connection.execute(f"SELECT EXISTS (SELECT 1 FROM {t.live})").get)
        place = kind.key.index("ts_ns")
        times = np.array(arranged.values[place], np.int64)
        prefix = [i for i in range(len(kind.key)) if i != place]
        where = " AND ".join(f"{kind.key[i]} = ?" for i in prefix)
        edges = [
            f"SELECT {edge}(ts_ns) FROM {t.live} WHERE {where} AND ts_ns >= ? AND ts_ns <= ?" for edge in ("min", "max")
        ]
        for start, end in itertools.pairwise([*arranged.runs.tolist(), len(arranged)]):
            bound = [arranged.values[i][start] for i in prefix] + [int(times[start]), int(times[end - 1])]
            first, last = (self._connection.execute(edge, bound).get for edge in edges)
            if first is not None:
                contested[start:end] |= (times[start:end] >= first) & (times[start:end] <= last)
        return contested

    def _settle(self, kind: Kind, groups: Sequence[Group]) -> WriteCounts:
        t = tables(kind)
        version = None if kind.version is None else _at(t.content.index(kind.version))
        present = f"SELECT batch, {', '.join(t.content)} FROM {t.live} WHERE {t.match_key}"
        tally = dict.fromkeys(Action, 0)
        repeated = 0
        for key, contents in groups:
            found = self._connection.execute(present, key).fetchone()
            stored = Stored(None, found[1:], found[0] == self._batch_id) if found else None

            def is_known(content: Row, key: Row = key) -> bool:
                return bool(self._connection.execute(t.was_replaced, (*key, *content)).get)

            knows: Callable[[Row], bool] | None = None if kind.returns else is_known
            if found and version is None and self._stands(found[0]):
                knows = _anything
            for outcome in merge_versions(contents, stored, knows, version):
                self._apply(t, key, outcome)
                tally[outcome.action] += 1
                repeated += outcome.repeated
        revised = tally[Action.REVISE] + tally[Action.OUTDATED]
        return WriteCounts(tally[Action.INSERT], tally[Action.DUPLICATE], revised, repeated)

    def _apply(self, t: Tables, key: Row, outcome: Outcome[Row]) -> None:
        row = (*key, *outcome.content, self._batch_id)
        if outcome.action is Action.REVISE:
            self._connection.execute(t.retire, (self._batch_id, "revised", *key))
        if outcome.action is Action.OUTDATED:
            self._connection.execute(t.record_history, (*row, self._batch_id, "outdated"))
        elif outcome.action is not Action.DUPLICATE:
            self._connection.execute(t.replace, row)


def _anything(_: Row) -> bool:
    return True


def _at(index: int) -> Callable[[Row], Any]:
    return lambda content: content[index]
