"""The check of batches and of the quarantine: references, counts, and the clock."""

from __future__ import annotations

import itertools
import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping

from fpa_core.engine.tables import Database
from fpa_core.kinds import KINDS
from fpa_core.numbers import ns_text
from fpa_core.operations.guard import RESTORE
from fpa_core.protocols import Batch, Problem, QuarantineQuery, Severity, State

__all__ = ["SET_ASIDE", "Ledger", "QuarantineCheck", "ahead_of"]

SET_ASIDE = "repair:set-aside"
"""The origin of the batch that notes which rows a repair took away with a damaged segment."""

TOLERANCE_NS = 60 * 10**9
"""How far the clocks of two computers may differ."""


def ahead_of(batches: Mapping[int, Batch], now_ns: int) -> list[Batch]:
    """Return the batches that were recorded after the present time, by id."""
    return [batch for batch in batches.values() if batch.recorded_ns > now_ns + TOLERANCE_NS]


class Ledger:
    """The batches of a store.

    :ivar batches: by id, in order; empty until :meth:`problems` was read to its end.
    """

    def __init__(self, database: Database, now_ns: int) -> None:
        self._database = database
        self._now_ns = now_ns
        self.batches: dict[int, Batch] = {}

    def problems(self) -> Iterator[Problem]:
        """Yield what is wrong with the batches by themselves."""
        with self._database.reader("check the batches") as tables:
            self.batches = {batch.id: batch for batch in reversed(tables.batches.find(children=True))}
        yield from self._references()
        yield from self._sums()
        yield from self._clock()

    def compare(self, brought: Mapping[int, int]) -> Iterator[Problem]:
        """Yield the batches of which there are more or fewer rows than they say they brought.

        :param brought: the rows that each batch has brought, wherever they are now.
        """
        parents = self._parents()
        aside = [
            json.loads(batch.reading) for batch in self.batches.values() if batch.origin == SET_ASIDE and batch.reading
        ]
        for batch in self.batches.values():
            said = 0 if batch.id in parents else batch.inserted + batch.revised
            if (there := brought.get(batch.id, 0)) == said:
                continue
            problem = f"it brought {said:,} rows by its counts, and {there:,} are there with their history"
            if any(one["first"] <= batch.id <= one["last"] and 0 < said - there <= one["rows"] for one in aside):
                problem += ": the others were in a damaged segment, which was set aside"
                remedy = f"ingest {batch.file or batch.origin} again, unless that was done"
                yield Problem("batch", _name(batch), problem, remedy, Severity.WARNING)
            else:
                yield Problem("batch", _name(batch), problem, RESTORE)

    def _parents(self) -> set[int]:
        return {batch.parent for batch in self.batches.values() if batch.parent is not None}

    def _references(self) -> Iterator[Problem]:
        for batch in self.batches.values():
            for name in ("undone_by", "replays", "parent", "undoes"):
                other = getattr(batch, name)
                if other is not None and other not in self.batches:
                    yield Problem("batch", _name(batch), f"its {name} is batch {other}, which is not there", RESTORE)
            if min(batch.read, batch.inserted, batch.duplicate, batch.revised, batch.quarantined, batch.deleted) < 0:
                yield Problem("batch", _name(batch), "it has a count below 0", RESTORE)

    def _sums(self) -> Iterator[Problem]:
        names = ("inserted", "duplicate", "revised", "quarantined", "deleted")
        sums: dict[int, Counter[str]] = defaultdict(Counter)
        for batch in self.batches.values():
            if batch.parent is not None:
                sums[batch.parent].update({name: getattr(batch, name) for name in names})
        for parent, groups in sums.items():
            stream = self.batches.get(parent)
            different = [] if stream is None else [name for name in names if getattr(stream, name) != groups[name]]
            if stream is not None and different:
                problem = f"{' and '.join(different)}: its counts are not the sums of those of its groups"
                yield Problem("batch", _name(stream), problem, RESTORE)

    def _clock(self) -> Iterator[Problem]:
        mend = "reads as known before that time leave it out; `fpa store check --repair` sets it to the present"
        for batch in ahead_of(self.batches, self._now_ns):
            problem = f"it was recorded at {ns_text(batch.recorded_ns)}, which is yet to come: the clock was ahead"
            yield Problem("clock", _name(batch), problem, mend, Severity.WARNING)
        for before, after in itertools.pairwise(self.batches.values()):
            if after.recorded_ns < before.recorded_ns:
                problem = f"it was recorded before batch {before.id}, which is earlier: somebody changed the time"
                yield Problem("clock", _name(after), problem, RESTORE)
            elif after.recorded_ns == before.recorded_ns + 1:
                problem = f"the clock was behind the time of batch {before.id}: it has the first time after that one"
                remedy = "check the clock; the order of the batches is right"
                yield Problem("clock", _name(after), problem, remedy, Severity.WARNING)


class QuarantineCheck:
    """The rejected records of a store.

    :ivar records: how many there are.
    """

    def __init__(self, database: Database, batches: Mapping[int, Batch]) -> None:
        self._database = database
        self._batches = batches
        self.records = 0

    def problems(self) -> Iterator[Problem]:
        """Yield what is wrong with the records, and with their numbers."""
        counts: Counter[int] = Counter()
        last = max(self._batches, default=0)
        with self._database.reader("check the quarantine") as tables:
            for record in tables.quarantine.select(QuarantineQuery()):
                if record.batch > last:
                    continue  # it came meanwhile
                self.records += 1
                counts[record.batch] += 1
                if faults := self._faults(record.batch, record.changed_by, record.kind, str(record.state)):
                    yield Problem("quarantine", f"rejected row {record.id}", "; ".join(faults), RESTORE)
        for batch in self._batches.values():
            # A replay also counts what it has rejected again, which stays the record of the batch it replays.
            if batch.parent is None and batch.replays is None and counts[batch.id] != batch.quarantined:
                problem = f"it has {counts[batch.id]:,} rejected rows, and {batch.quarantined:,} by its count"
                yield Problem("quarantine", _name(batch), problem, RESTORE)

    def _faults(self, batch: int, changed_by: int | None, kind: str, state: str) -> list[str]:
        faults = []
        if batch not in self._batches:
            faults.append(f"its batch {batch} is not there")
        if changed_by is not None and changed_by not in self._batches and changed_by <= max(self._batches, default=0):
            faults.append(f"batch {changed_by}, which changed it, is not there")
        if kind and kind not in KINDS:
            faults.append(f"its kind {kind!r} is unknown")
        if state not in set(State):
            faults.append(f"its state {state!r} is unknown")
        return faults


def _name(batch: Batch) -> str:
    return f"batch {batch.id} ({batch.file or batch.origin})"
