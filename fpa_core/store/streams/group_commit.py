"""Commit the groups of a stream: filter their records, write them as batches of their own, and add up the receipt of the stream."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Sequence
from typing import Any

from attrs import evolve

from fpa_core.exceptions import ConnectionLostError, DatabaseBusyError
from fpa_core.identity import IdMaker
from fpa_core.kinds import KINDS, SNAPSHOTS, Kind
from fpa_core.models import PortfolioSnapshot
from fpa_core.protocols import Quarantined, Receipt, WriteCounts
from fpa_core.retrying import Retry
from fpa_core.store.batch import StoreBatch
from fpa_core.store.streams.acks import CommitGroup
from fpa_core.store.streams.record_filter import RecordFilter
from fpa_core.store.writer import BatchWriter

__all__ = ["GroupCommitter"]

_MADE = frozenset(kind.record for kind in KINDS.values() if kind.made_id is not None)
"""The records that get an id if they have none."""


class GroupCommitter:
    """Commits the groups of one stream, one after the other, in one thread.

    :ivar id: the batch of the stream, the parent of the batches of its groups.
    """

    def __init__(self, writer: BatchWriter, origin: str, record_filter: RecordFilter | None) -> None:
        self._writer = writer
        self._origin = origin
        self._filter = record_filter
        self._stream = writer.rows.backend.stream(origin=origin)
        self.id = self._stream.batch_id
        self._ids = IdMaker()
        self._kinds: set[Kind] = set()
        self._counts = WriteCounts()
        self._rows = 0
        self._quarantined = 0
        self._warnings: dict[str, int] = {}
        self._started = time.perf_counter()
        self._seconds = 0.0

    def commit(self, group: CommitGroup) -> None:
        """Make a group durable and notify the listeners of the store."""
        warnings: dict[str, int] = {}
        if not _MADE.isdisjoint(map(type, group.records)):
            group.records = self._ids.complete_records(group.records)  # once, however often the group is tried
        records, rejected = self._filtered(group, warnings)
        retry = Retry()
        while True:
            try:
                with contextlib.ExitStack() as notifying:
                    batch, kept = self._write(records, group, rejected, warnings, notifying)
                    self._writer.notifications.changed(batch.changed)
                break
            except (DatabaseBusyError, ConnectionLostError) as error:
                retry.after(error)
        self._counts += batch.counts
        self._quarantined += len(kept)
        for rule, count in warnings.items():
            self._warnings[rule] = self._warnings.get(rule, 0) + count
        self._writer.notifications.committed(batch.committed())
        if kept and self._filter is not None:
            self._filter.rejected(self.id, kept)

    def _filtered(self, group: CommitGroup, warnings: dict[str, int]) -> tuple[list[Any], list[Quarantined]]:
        """Return the records to store and those to quarantine; note the findings in the group, and count those of stored records."""
        if self._filter is None:
            return group.records, []
        records: list[Any] = []
        rejected: list[Quarantined] = []
        for place, record in enumerate(group.records):
            self._rows += 1
            before = len(rejected)
            good = self._accepted(self._filter, [record], place, group, rejected, warnings)
            if good and isinstance(record, PortfolioSnapshot) and record.positions:
                held = self._accepted(self._filter, record.positions, place, group, rejected, warnings)
                good = [evolve(record, positions=held)]
            records += good
            if len(rejected) > before:
                group.rejected.add(place)
        return records, rejected

    def _accepted(
        self,
        record_filter: RecordFilter,
        records: Sequence[Any],
        place: int,
        group: CommitGroup,
        rejected: list[Quarantined],
        warnings: dict[str, int],
    ) -> list[Any]:
        accepted = []
        for record in records:
            findings, entry = record_filter.check(record, self._rows)
            if findings:
                group.findings[place] = (*group.findings.get(place, ()), *findings)
            if entry is not None:
                rejected.append(entry)
                continue
            for finding in findings:
                warnings[finding.rule] = warnings.get(finding.rule, 0) + 1
            accepted.append(record)
        return accepted

    def _write(
        self,
        records: Sequence[Any],
        group: CommitGroup,
        rejected: Sequence[Quarantined],
        warnings: dict[str, int],
        notifying: contextlib.ExitStack,
    ) -> tuple[StoreBatch, Sequence[Quarantined]]:
        by_kind = self._writer.grouped(records)
        kind = _only(by_kind)
        with self._stream.group() as transaction:
            batch = StoreBatch(transaction, self._origin, None, self._writer.clock)
            for each, part in by_kind.items():
                batch.write_records(each, part)
            if SNAPSHOTS in by_kind:  # as they came: a position that was rejected was held all the same
                self._writer.drop_sold(batch, (one for one in group.records if isinstance(one, PortfolioSnapshot)))
            kept = batch.quarantine(rejected) if rejected else ()
            if group.covers:
                batch.cover(group.covers)
            batch.complete_receipt(lambda receipt: evolve(receipt, kind=kind, warnings=warnings))
            self._writer.before_commit(batch, notifying)
        self._kinds.update(by_kind)
        return batch, kept

    def close(self) -> None:
        """End the stream."""
        self._seconds = time.perf_counter() - self._started
        self._stream.close()

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
            origin=self._origin,
            kind=_only(self._kinds),
            warnings=dict(self._warnings),
            seconds=self._seconds or time.perf_counter() - self._started,
        )


def _only(kinds: Iterable[Kind]) -> str | None:
    """Return the name of the only kind; None if there are several, or none."""
    names = [kind.name for kind in kinds]
    return names[0] if len(names) == 1 else None
