"""The check of the records of one kind: hot rows, their history, and sealed segments."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fpa_core.arrow import columns
from fpa_core.engine import scan
from fpa_core.engine.catalog import RetiredSegment, SegmentInfo
from fpa_core.engine.rows import Row, shape_of
from fpa_core.engine.segment_rows import opened, rows_of
from fpa_core.engine.segment_writer import last_row_text
from fpa_core.engine.tables import Database, Reader
from fpa_core.exceptions import CorruptionError, DatabaseError
from fpa_core.kinds import Kind
from fpa_core.operations.guard import RESTORE
from fpa_core.operations.ledger import Ledger
from fpa_core.protocols import Problem, Query

__all__ = ["KindCheck"]

DECIMAL = r"^(0|-?[1-9][0-9]*|-?(0|[1-9][0-9]*)\.[0-9]*[1-9])$"
"""The canonical text of a decimal."""

_REASONS = frozenset({"revised", "outdated", "deleted", "undone"})
_MOST = 20
"""Rows of one table that are named; more say nothing new."""


class KindCheck:
    """Looks at all records of one kind.

    :param ledger: the batches that there are; it is told how many rows each has brought.
    :ivar complete: whether all could be read.
    :ivar looked_at: how many rows, segments and rows of the history there are.
    """

    def __init__(self, database: Database, kind: Kind, ledger: Ledger) -> None:
        self._database = database
        self._kind = kind
        self._ledger = ledger
        self._present = ledger.last
        self._named = 0
        self.complete = False
        self.looked_at = {"rows": 0, "segments": 0, "history": 0}

    def problems(self) -> Iterator[Problem]:
        """Yield what is wrong with them."""
        sealed = SegmentsCheck(self._kind)
        try:
            with self._database.reader(f"check {self._kind.name}") as tables:
                # Batches that came after the others were read are no concern of this check.
                self._present = max((batch.id for batch in tables.batches.find(limit=1, children=True)), default=0)
                yield from self._live(tables)
                yield from self._history(tables)
                yield from self._sealed(tables, sealed)
                yield from self._retired(tables, sealed)
        except DatabaseError as error:
            yield Problem("row", f"the {self._kind.name}", error.message, error.hint or RESTORE)
            yield from self._one_by_one()
        else:
            self.complete = sealed.complete

    # Hot rows

    def _live(self, tables: Reader) -> Iterator[Problem]:
        extra = ["batch", "since"]
        for rows in scan.hot_batches(tables, Query(self._kind), None, 16_384, extra):
            self.looked_at["rows"] += rows.num_rows
            batches, since = (rows.column(name).to_numpy(zero_copy_only=False) for name in extra)
            restored = ~np.isnan(since) if since.dtype.kind == "f" else np.ones(len(since), bool)
            self._ledger.add(batches[~restored])
            yield from self._unknown(tables, batches, since[restored].astype(np.int64), self._kind.name)
            for column in self._kind.columns:
                yield from self._values(column.name, column.type, rows.column(column.name), required=column.required)

    def _unknown(self, tables: Reader, batches: np.ndarray, since: np.ndarray, where: str) -> Iterator[Problem]:
        """Yield the batches of rows that reads return, and that are not there or are undone."""
        for number in {*np.unique(batches).tolist(), *np.unique(since).tolist()}:
            if not self._is_known(number):
                yield Problem("row", where, f"rows of batch {number}, which is not there", RESTORE)
            elif number <= self._ledger.last and self._ledger.undone[number] and tables.batches.undone([number]):
                yield Problem("history", where, f"reads return rows of batch {number}, which is undone", RESTORE)

    def _values(self, name: str, column_type: str, values: pa.Array, *, required: bool) -> Iterator[Problem]:
        faults = [f"{values.null_count:,} rows have no {name}"] if required and values.null_count else []
        if column_type == "decimal" and pa.types.is_string(values.type):
            right = pc.match_substring_regex(values, DECIMAL)
            wrong = values.filter(pc.invert(right)).slice(0, 3).to_pylist()
            faults += [f"{name} is {value!r}, which is no decimal in its canonical form" for value in wrong]
        for fault in faults:
            if self._may_name():
                yield Problem("row", f"table {self._kind.name}", fault, RESTORE)

    def _may_name(self) -> bool:
        self._named += 1
        return self._named <= _MOST

    # The history

    def _history(self, tables: Reader) -> Iterator[Problem]:
        at = len(shape_of(self._kind).columns)
        table = f"table {self._kind.name}_history"
        for page in tables.rows.history(Query(self._kind)):
            self.looked_at["history"] += len(page)
            self._ledger.add(np.array([row[at - 2] for row in page if row[at - 1] is None], np.int64))
            for row in page:
                batch, since, retired, reason = row[at - 2 :]
                unknown = [one for one in (batch, since, retired) if one is not None and not self._is_known(one)]
                fault = None
                if unknown:
                    fault = f"batch {unknown[0]} is not there"
                # What an undo could not bring back, since its batch was undone before, is retired by that earlier undo.
                elif (since or batch) > retired and (since is None or reason != "undone"):
                    fault = f"retired by batch {retired}, before batch {since or batch} brought it"
                elif reason not in _REASONS:
                    fault = f"the reason {reason!r} is unknown"
                if fault and self._may_name():
                    yield Problem("history", f"{table}, {_key(self._kind, row)}", fault, RESTORE)
            if not self._kind.multiset:
                yield from self._overlaps(tables, page)

    def _is_known(self, batch: int) -> bool:
        return batch in self._ledger or self._ledger.last < batch <= self._present

    def _overlaps(self, tables: Reader, page: Sequence[Row]) -> Iterator[Problem]:
        """Yield rows that reads return though an earlier version of them ended only later."""
        width, at = len(shape_of(self._kind).key), len(shape_of(self._kind).columns)
        ended: dict[Row, int] = {}
        for row in page:
            if row[-1] != "outdated":
                ended[row[:width]] = max(row[at], ended.get(row[:width], 0))
        for row in tables.rows.at(self._kind, list(ended)):
            began = row[at - 1] or row[at - 2]
            if began < ended[row[:width]]:
                problem = (
                    f"it came with batch {began}, and an earlier version ended only with batch {ended[row[:width]]}"
                )
                yield Problem("history", f"table {self._kind.name}, {_key(self._kind, row)}", problem, RESTORE)

    # Segments

    def _sealed(self, tables: Reader, sealed: SegmentsCheck) -> Iterator[Problem]:
        for info in tables.segments.find(Query(self._kind)) if self._kind.multiset else ():
            self.looked_at["segments"] += 1
            self.looked_at["rows"] += info.rows
            yield from sealed.problems(info, tables.segments.contents([info.id]).get(info.id))
            self._ledger.add(sealed.new)
            yield from self._unknown(tables, sealed.batches, sealed.since, str(info))

    def _retired(self, tables: Reader, sealed: SegmentsCheck) -> Iterator[Problem]:
        for info in tables.retired.find(Query(self._kind)) if self._kind.multiset else ():
            self.looked_at["history"] += info.rows
            yield from sealed.problems(info, tables.segments.contents([info.id]).get(info.id))
            self._ledger.add(sealed.new)
            if fault := self._fault_of(info, sealed):
                yield Problem("history", str(info), fault, RESTORE)

    def _fault_of(self, info: RetiredSegment, sealed: SegmentsCheck) -> str | None:
        """Return what is wrong with how a segment became history."""
        numbers = {info.retired_by, *np.unique(sealed.batches).tolist(), *np.unique(sealed.since).tolist()}
        if unknown := sorted(one for one in numbers if not self._is_known(one)):
            return f"batch {unknown[0]} is not there"
        latest = int(sealed.new.max(initial=0))
        if info.reason != "undone":  # see _history
            latest = max(latest, int(sealed.since.max(initial=0)))
        if latest > info.retired_by:
            return f"retired by batch {info.retired_by}, before batch {latest} brought rows of it"
        return None if info.reason in _REASONS else f"the reason {info.reason!r} is unknown"

    def _one_by_one(self) -> Iterator[Problem]:
        """Look at each segment by itself, since one that cannot be read ends the look at all of them."""
        if not self._kind.multiset:
            return
        sealed = SegmentsCheck(self._kind)
        with self._database.reader(f"check {self._kind.name}") as tables:
            infos = [*tables.segments.find(Query(self._kind)), *tables.retired.find(Query(self._kind))]
        for info in infos:
            try:
                with self._database.reader("read a segment") as tables:
                    content = tables.segments.contents([info.id]).get(info.id)
            except DatabaseError as error:
                yield damaged(info, error.message)
            else:
                yield from sealed.problems(info, content)


class SegmentsCheck:
    """Decodes segments and holds them against their entries in the catalog, one after the other.

    :ivar batches: what brought the rows of the last one; ``since`` what restored some of them; ``new`` the batches of those that nothing restored.
    :ivar complete: whether all could be decoded.
    """

    def __init__(self, kind: Kind) -> None:
        self._kind = kind
        self._before: SegmentInfo | None = None
        self.complete = True
        self.batches = self.since = self.new = np.zeros(0, np.int64)

    def problems(self, info: SegmentInfo, content: bytes | None) -> Iterator[Problem]:
        """Yield what is wrong with a segment."""
        self.batches = self.since = self.new = np.zeros(0, np.int64)
        try:
            faults = self._faults(info, content)
        except CorruptionError as error:
            faults = [error.message]
        except (ValueError, LookupError, TypeError, ArithmeticError) as error:
            faults = [f"it cannot be decoded: {type(error).__name__}: {error}"]
        if faults:
            self.complete = False
            yield damaged(info, "; ".join(faults))

    def _faults(self, info: SegmentInfo, content: bytes | None) -> list[str]:
        before, self._before = self._before, info
        segment = opened(info, content)
        rows = rows_of(info, segment)
        times = columns.times_as_ns(rows.column("timestamp")).to_numpy()
        self.batches = segment.integers("batch")
        since = segment.since()
        restored = np.zeros(len(times), bool) if since is None else since >= 0
        self.since = np.zeros(0, np.int64) if since is None else since[restored]
        self.new = self.batches[~restored]
        last_batch = max(int(self.batches.max()), int(self.since.max(initial=0)))
        same = {
            "its number of rows": segment.rows == info.rows,
            "its length": len(content or b"") == info.bytes,
            "its first time": int(times[0]) == info.first_ns,
            "its last time": int(times[-1]) == info.last_ns,
            "its first batch": int(self.batches.min()) == info.first_batch,
            "its last batch": last_batch == info.last_batch,
            "its last row": json.loads(last_row_text(self._kind, info.subject, rows)) == json.loads(info.last_row),
        }
        faults = [f"{name} is not the one of the catalog" for name, right in same.items() if not right]
        if (times[1:] < times[:-1]).any():
            faults.append("its rows are not in order of time")
        if not isinstance(info, RetiredSegment) and before is not None and _overlap(before, info):
            faults.append(f"it overlaps with {before}")
        return faults


def _overlap(before: SegmentInfo, info: SegmentInfo) -> bool:
    return before.subject == info.subject and before.last_ns >= info.first_ns


def damaged(info: SegmentInfo, problem: str) -> Problem:
    """Return the problem of a damaged segment."""
    lost = f"the files of batches {info.first_batch} to {info.last_batch} bring its rows back"
    if isinstance(info, RetiredSegment):
        lost = f"its rows, which batch {info.retired_by} has taken away, are then neither known as of before nor brought back by an undo"
    remedy = f"restore a backup; or `fpa store check --repair` sets it aside, and {lost}"
    span = info.first_batch, info.last_batch
    return Problem("segment", str(info), problem, remedy, segment=info.id, batches=span, rows=info.rows)


def _key(kind: Kind, row: Row) -> str:
    return ", ".join(f"{name} {value}" for name, value in zip(kind.key, row, strict=False))
