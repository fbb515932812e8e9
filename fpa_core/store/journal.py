"""The writing half of a live stream: groups of records become part of its batch, and the receipt grows."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from attrs import evolve

from fpa_core.exceptions import DatabaseBusyError
from fpa_core.identity import IdMaker
from fpa_core.kinds import KINDS, SNAPSHOTS, Kind
from fpa_core.models import PortfolioSnapshot
from fpa_core.protocols import Quarantined, Receipt, WriteCounts
from fpa_core.store.batch import StoreBatch
from fpa_core.store.tickets import Group

if TYPE_CHECKING:
    from fpa_core.store.datastore import DataStore
    from fpa_core.store.stream import Gate

__all__ = ["Journal"]

TRIES = 3
"""How often a group is tried while other writers hold the database; each time takes as long as the store's busy timeout."""


_MADE = frozenset(kind.record for kind in KINDS.values() if kind.made_id is not None)


class Journal:
    """Writes the groups of one stream, one after the other.

    :ivar id: of the batch that all of them belong to.
    """

    def __init__(self, store: DataStore, source: str, gate: Gate | None, clock: Callable[[], int]) -> None:
        self._store = store
        self._source = source
        self._gate = gate
        self._clock = clock
        self._stream = store.backend.stream(origin=source)
        self.id = self._stream.batch_id
        self._kinds: set[Kind] = set()
        self._ids = IdMaker()
        self._counts = WriteCounts()
        self._rows = 0
        self._quarantined = 0
        self._warnings: dict[str, int] = {}
        self._started = time.perf_counter()
        self._seconds = 0.0

    def write(self, group: Group) -> None:
        """Make a group durable; nothing that is cached afterwards is older."""
        if not _MADE.isdisjoint(map(type, group.records)):
            group.records = self._ids.complete_records(group.records)  # once, however often the group is tried
        records, refused = self._judged(group)
        for left in reversed(range(TRIES)):
            try:
                with contextlib.ExitStack() as telling:
                    batch, kept = self._commit(records, group, refused, telling)
                    self._store.tell(batch.changed)
                break
            except DatabaseBusyError:
                if not left:
                    raise
        self._counts += batch.counts
        self._quarantined += len(kept)
        if kept and self._gate is not None:
            self._gate.refused(self.id, kept)

    def _judged(self, group: Group) -> tuple[list[Any], list[Quarantined]]:
        """Return the records that may be stored, and those that may not; note in the group what the rules say."""
        if self._gate is None:
            return group.records, []
        records: list[Any] = []
        refused: list[Quarantined] = []
        for place, record in enumerate(group.records):
            self._rows += 1
            before = len(refused)
            good = self._passed(self._gate, [record], place, group, refused)
            if good and isinstance(record, PortfolioSnapshot) and record.positions:
                held = self._passed(self._gate, record.positions, place, group, refused)
                good = [evolve(record, positions=held)]
            records += good
            if len(refused) > before:
                group.refused.add(place)
        return records, refused

    def _passed(
        self, gate: Gate, records: Sequence[Any], place: int, group: Group, refused: list[Quarantined]
    ) -> list[Any]:
        passed = []
        for record in records:
            findings, aside = gate.judge(record, self._rows)
            if findings:
                group.findings[place] = (*group.findings.get(place, ()), *findings)
            if aside is not None:
                refused.append(aside)
                continue
            for finding in findings:
                self._warnings[finding.rule] = self._warnings.get(finding.rule, 0) + 1
            passed.append(record)
        return passed

    def _commit(
        self, records: Sequence[Any], group: Group, refused: Sequence[Quarantined], telling: contextlib.ExitStack
    ) -> tuple[StoreBatch, Sequence[Quarantined]]:
        by_kind = self._store.grouped(records)
        with self._stream.group() as transaction:
            batch = StoreBatch(transaction, self._source, None, self._clock)
            for kind, part in by_kind.items():
                batch.write_records(kind, part)
            if SNAPSHOTS in by_kind:  # as they came: a position that was refused was held all the same
                self._store.drop_sold(batch, (one for one in group.records if isinstance(one, PortfolioSnapshot)))
            kept = batch.quarantine(refused) if refused else ()
            telling.enter_context(self._store.telling.batch())  # before the commit
        self._kinds.update(by_kind)
        return batch, kept

    def close(self) -> None:
        """End the batch."""
        self._seconds = time.perf_counter() - self._started
        self._stream.close()
        if self._gate is not None:
            self._gate.ended(self.receipt)

    @property
    def receipt(self) -> Receipt:
        """What has been committed so far."""
        counts = self._counts
        return Receipt(
            read=counts.inserted + counts.duplicate + counts.revised + self._quarantined,
            inserted=counts.inserted,
            duplicate=counts.duplicate,
            revised=counts.revised,
            quarantined=self._quarantined,
            batch=self.id,
            source=self._source,
            kind=next(iter(self._kinds)).name if len(self._kinds) == 1 else None,
            warnings=dict(self._warnings),
            seconds=self._seconds or time.perf_counter() - self._started,
        )
