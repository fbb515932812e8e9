"""The check of batches and of the quarantine: references, counts, and the clock."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from fpa_core.engine.removal import RETENTION
from fpa_core.engine.tables import Database, Reader
from fpa_core.kinds import KINDS
from fpa_core.numbers import ns_text
from fpa_core.operations.guard import RESTORE
from fpa_core.protocols import Batch, Problem, QuarantineQuery, Severity, State

__all__ = ["SET_ASIDE", "Ledger", "QuarantineCheck", "ahead_of"]

SET_ASIDE = "repair:set-aside"
"""The origin of the batch that notes which rows a repair took away with a damaged segment."""

TOLERANCE_NS = 60 * 10**9
"""How far the clocks of two computers may differ."""

_SUMS = ("inserted", "duplicate", "revised", "quarantined", "deleted")
_UNKNOWN = -1

Counts: TypeAlias = npt.NDArray[np.int64]


def ahead_of(tables: Reader, now_ns: int) -> tuple[list[Batch], int]:
    """Return the batches that were recorded after the present time, by id, and the latest time of the others."""
    ahead: list[Batch] = []
    latest = 0
    for page in tables.batches.scan():
        for batch in page:
            if batch.recorded_ns > now_ns + TOLERANCE_NS:
                ahead.append(batch)
            else:
                latest = max(latest, batch.recorded_ns)
    return ahead, latest


class Ledger:
    """The batches of a store, by their ids. A stream has a batch for each of its groups, so there may be millions: only numbers are kept of them.

    :ivar count: how many there are; ``last`` the largest id.
    :ivar undone: whether each is undone.
    :ivar brought: how many rows each has brought, wherever they are now; the checks of the kinds count them.
    """

    def __init__(self, database: Database, now_ns: int) -> None:
        self._database = database
        self._now_ns = now_ns
        self.count = 0
        self.last = 0
        self.undone = np.zeros(0, bool)
        self.brought: Counts = np.zeros(0, np.int64)
        self._said: Counts = np.zeros(0, np.int64)
        self._rejected: Counts = np.zeros(0, np.int64)
        self._expired: Counts = np.zeros(0, np.int64)
        self._aside: list[dict[str, Any]] = []

    def problems(self) -> Iterator[Problem]:
        """Yield what is wrong with the batches by themselves; afterwards they are known."""
        with self._database.reader("check the batches") as tables:
            latest = tables.batches.find(limit=1, children=True)
            self.last = latest[0].id if latest else 0
            size = self.last + 1
            self.undone = np.zeros(size, bool)
            self.brought = np.zeros(size, np.int64)
            self._said = np.full(size, _UNKNOWN, np.int64)
            self._rejected = np.full(size, _UNKNOWN, np.int64)
            self._expired = np.zeros(size, np.int64)
            streams: dict[int, list[int]] = defaultdict(lambda: [0] * len(_SUMS))
            before: Batch | None = None
            for page in tables.batches.scan():
                for batch in page:
                    self._note(batch, streams)
                    yield from self._by_itself(batch)
                    yield from self._clock(before, batch)
                    before = batch
            yield from self._references(tables)
            yield from self._sums(tables, streams)

    def _note(self, batch: Batch, streams: dict[int, list[int]]) -> None:
        self.count += 1
        self._said[batch.id] = batch.inserted + batch.revised
        self.undone[batch.id] = batch.undone_by is not None
        # A replay also counts what it has rejected again, which stays the record of the batch it replays.
        if batch.parent is None and batch.replays is None:
            self._rejected[batch.id] = batch.quarantined
        if batch.parent is not None:
            sums = streams[batch.parent]
            for place, name in enumerate(_SUMS):
                sums[place] += getattr(batch, name)
        if batch.origin == SET_ASIDE and batch.reading:
            self._aside.append(json.loads(batch.reading))
        if batch.origin == RETENTION and batch.reading:
            for number, rows in json.loads(batch.reading)["brought"]:
                self._expired[number] += rows

    def __contains__(self, batch: int) -> bool:
        return 0 < batch <= self.last and self._said[batch] != _UNKNOWN

    def add(self, batches: Counts) -> None:
        """Count rows by the batches that brought them."""
        numbers, counts = np.unique(batches, return_counts=True)
        inside = (numbers > 0) & (numbers <= self.last)
        self.brought[numbers[inside]] += counts[inside]

    def _by_itself(self, batch: Batch) -> Iterator[Problem]:
        if min(batch.read, batch.inserted, batch.duplicate, batch.revised, batch.quarantined, batch.deleted) < 0:
            yield Problem("batch", _name(batch), "it has a count below 0", RESTORE)

    def _clock(self, before: Batch | None, batch: Batch) -> Iterator[Problem]:
        if batch.recorded_ns > self._now_ns + TOLERANCE_NS:
            problem = f"it was recorded at {ns_text(batch.recorded_ns)}, which is yet to come: the clock was ahead"
            remedy = "reads as known before that time leave it out; `fpa store check --repair` sets it to the present"
            yield Problem("clock", _name(batch), problem, remedy, Severity.WARNING)
        if before is not None and batch.recorded_ns < before.recorded_ns:
            problem = f"it was recorded before batch {before.id}, which is earlier: somebody changed the time"
            yield Problem("clock", _name(batch), problem, RESTORE)
        elif before is not None and batch.recorded_ns == before.recorded_ns + 1:
            problem = f"the clock was behind the time of batch {before.id}: it has the first time after that one"
            remedy = "check the clock; the order of the batches is right"
            yield Problem("clock", _name(batch), problem, remedy, Severity.WARNING)

    def _references(self, tables: Reader) -> Iterator[Problem]:
        for page in tables.batches.scan():
            for batch in page:
                for name in ("undone_by", "replays", "parent", "undoes"):
                    other = getattr(batch, name)
                    if other is not None and other not in self:
                        yield Problem(
                            "batch", _name(batch), f"its {name} is batch {other}, which is not there", RESTORE
                        )

    def _sums(self, tables: Reader, streams: dict[int, list[int]]) -> Iterator[Problem]:
        for parent, sums in streams.items():
            for stream in tables.batches.find(batch=parent):
                self._said[parent] = 0  # its rows are those of its groups
                different = [name for name, total in zip(_SUMS, sums, strict=True) if getattr(stream, name) != total]
                if different:
                    problem = f"{' and '.join(different)}: its counts are not the sums of those of its groups"
                    yield Problem("batch", _name(stream), problem, RESTORE)

    def compare(self) -> Iterator[Problem]:
        """Yield the batches of which there are more or fewer rows than they say they brought."""
        there = self.brought + self._expired
        different = np.flatnonzero((self._said != _UNKNOWN) & (self._said != there)).tolist()
        with self._database.reader("compare the batches") as tables:
            for number in different:
                for batch in tables.batches.find(batch=number):
                    yield self._mismatch(batch, int(self._said[number]), int(there[number]))

    def _mismatch(self, batch: Batch, said: int, there: int) -> Problem:
        problem = f"it brought {said:,} rows by its counts, and {there:,} are there with their history, or were deleted for their age"
        if any(one["first"] <= batch.id <= one["last"] and 0 < said - there <= one["rows"] for one in self._aside):
            problem += ": the others were in a damaged segment, which was set aside"
            remedy = f"ingest {batch.file or batch.origin} again, unless that was done"
            return Problem("batch", _name(batch), problem, remedy, Severity.WARNING)
        return Problem("batch", _name(batch), problem, RESTORE)

    def compare_rejected(self, tables: Reader, counts: Counter[int]) -> Iterator[Problem]:
        """Yield the batches that have more or fewer rejected rows than they say."""
        there = np.zeros(self.last + 1, np.int64)
        for number, rows in counts.items():
            if number in self:
                there[number] = rows
        for number in np.flatnonzero((self._rejected != _UNKNOWN) & (self._rejected != there)).tolist():
            # A stream may have rejected more since the batches were read.
            for batch in tables.batches.find(batch=number):
                if batch.quarantined != there[number]:
                    problem = f"it has {there[number]:,} rejected rows, and {batch.quarantined:,} by its count"
                    yield Problem("quarantine", _name(batch), problem, RESTORE)


class QuarantineCheck:
    """The rejected records of a store.

    :ivar records: how many there are.
    """

    def __init__(self, database: Database, ledger: Ledger) -> None:
        self._database = database
        self._ledger = ledger
        self.records = 0

    def problems(self) -> Iterator[Problem]:
        """Yield what is wrong with the records, and with their numbers."""
        counts: Counter[int] = Counter()
        with self._database.reader("check the quarantine") as tables:
            for record in tables.quarantine.select(QuarantineQuery()):
                if record.batch > self._ledger.last:
                    continue  # it came meanwhile
                self.records += 1
                counts[record.batch] += 1
                if faults := self._faults(record.batch, record.changed_by, record.kind, str(record.state)):
                    yield Problem("quarantine", f"rejected row {record.id}", "; ".join(faults), RESTORE)
            yield from self._ledger.compare_rejected(tables, counts)

    def _faults(self, batch: int, changed_by: int | None, kind: str, state: str) -> list[str]:
        faults = []
        if batch not in self._ledger:
            faults.append(f"its batch {batch} is not there")
        if changed_by is not None and changed_by not in self._ledger and changed_by <= self._ledger.last:
            faults.append(f"batch {changed_by}, which changed it, is not there")
        if kind and kind not in KINDS:
            faults.append(f"its kind {kind!r} is unknown")
        if state not in set(State):
            faults.append(f"its state {state!r} is unknown")
        return faults


def _name(batch: Batch) -> str:
    return f"batch {batch.id} ({batch.file or batch.origin})"
