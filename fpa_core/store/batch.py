"""A batch being written to a store: what it wrote and changed, and the receipt it ends with."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from fpa_core.arrow.conversion import to_table
from fpa_core.kinds import KINDS, ORDERS, POSITIONS, Kind
from fpa_core.protocols import (
    CoverageEntry,
    Quarantined,
    QuarantineQuery,
    Query,
    Receipt,
    StoreTransaction,
    WriteCounts,
)

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["StoreBatch"]


class StoreBatch:
    """A batch being written; when its context has ended, :attr:`receipt` is its outcome.

    :ivar id: of the batch.
    :ivar counts: what became of the rows written so far; ``deleted`` how many rows were deleted.
    :ivar known: rejected records that were in quarantine already.
    :ivar changed: the subjects changed so far, by kind; None if they are unknown.
    """

    def __init__(self, transaction: StoreTransaction, origin: str, file: str | None, clock: Callable[[], int]) -> None:
        from fpa_core.identity import IdMaker

        self.id = transaction.batch_id
        self.counts = WriteCounts()
        self.known = 0
        self.deleted = 0
        self.changed: dict[Kind, frozenset[str] | None] = {}
        self._transaction = transaction
        self._origin = origin
        self._file = file
        self._clock = clock
        self._ids = IdMaker()
        self._quarantined = 0
        self._read: int | None = None
        self._started = time.perf_counter()
        self._complete: Callable[[Receipt], Receipt] | None = None
        self._receipt: Receipt | None = None

    def write(self, kind: Kind, table: pa.Table) -> WriteCounts:
        """Add rows, with decimals in any form (see :mod:`fpa_core.arrow.columns`); orders and positions without a time get the present one.

        Fills and cash flows without an id get one (see :mod:`fpa_core.identity`).
        """
        from fpa_core.arrow.columns import as_dictionary  # and with it Arrow, which opening a store does not need

        table = self._ids.complete(kind, _stamp(kind, table, self._clock))
        place = table.schema.get_field_index(kind.by_field[kind.subject].name)
        # As a dictionary, which the backend needs to divide the rows, and which has the subjects that are changed.
        given = table.column(place)
        subjects = as_dictionary(given.chunk(0) if given.num_chunks == 1 else given.combine_chunks())
        counts = self._transaction.write(kind, table.set_column(place, table.schema.names[place], subjects))
        self.counts += counts
        if counts.inserted or counts.revised:
            self._mark(kind, subjects.dictionary.to_pylist())
        return counts

    def write_records(self, kind: Kind, records: Sequence[Any]) -> WriteCounts:
        """Add a few records; the same as :meth:`write` of their rows."""
        if kind in {ORDERS, POSITIONS} or kind.made_id is not None:
            return self.write(kind, to_table(kind, records))
        counts = self._transaction.write_records(kind, records)
        self.counts += counts
        if counts.inserted or counts.revised:
            self._mark(kind, map(attrgetter(kind.subject), records))
        return counts

    def delete(self, query: Query) -> int:
        """Delete the rows that *query* selects, keep them in the history, and return how many they were."""
        deleted = self._transaction.delete(query)
        self.deleted += deleted
        if deleted:
            self._mark(query.kind, query.only)
        return deleted

    def undo(self, batch_id: int) -> int:
        """Undo an earlier batch, and return how many rows changed."""
        changed = self._transaction.undo(batch_id)
        self.deleted += changed
        for kind in KINDS.values():
            self._mark(kind, None)
        return changed

    def quarantine(self, records: Sequence[Quarantined]) -> Sequence[Quarantined]:
        """Put rejected records into the quarantine, and return those that were not there already; the others are duplicates."""
        kept = self._transaction.quarantine(records)
        self._quarantined += len(kept)
        self.known += len(records) - len(kept)
        self.counts += WriteCounts(duplicate=len(records) - len(kept))
        return kept

    def replay(self, kind: Kind, table: pa.Table, ids: Sequence[int], *, fixed: bool = False) -> WriteCounts:
        """Write rows that were rejected before; see :meth:`fpa_core.protocols.StoreTransaction.replay`."""
        table = self._ids.complete(kind, table)
        counts = self._transaction.replay(kind, table, ids, fixed=fixed)
        self.counts += counts
        if ids:  # those not counted stay open
            self._quarantined += len(ids) - (counts.inserted + counts.duplicate + counts.revised)
        if counts.inserted or counts.revised:
            self._mark(kind, table.column(kind.by_field[kind.subject].name).unique().to_pylist())
        return counts

    def reject_again(self, records: Sequence[Quarantined]) -> None:
        """Leave rejected records in the quarantine, with their new findings."""
        self._transaction.reject_again(records)
        self._quarantined += len(records)

    def discard(self, query: QuarantineQuery) -> int:
        """Mark the open records that *query* selects as discarded, and return how many they were."""
        return self._transaction.discard(query)

    def cover(self, entries: Sequence[CoverageEntry]) -> None:
        """Enter ranges of time that are fetched with this batch into the ledger."""
        self._transaction.cover(entries)

    def finish(self, *, read: int, reading: str | None = None, digest: str | None = None) -> None:
        """Record how many rows were read, rejected ones included, how (see :attr:`fpa_core.protocols.Batch.reading`), and the digest of the file."""
        self._transaction.finish(read=read, reading=reading, digest=digest)
        self._read = read

    def announce(self) -> None:
        """Pass on to other processes what was changed, with the commit, which comes next."""
        if self.changed:
            self._transaction.announce(self.changed)

    def _mark(self, kind: Kind, subjects: Iterable[str] | None) -> None:
        known = self.changed.get(kind, frozenset())
        self.changed[kind] = None if known is None or subjects is None else known | frozenset(subjects)

    def complete_receipt(self, complete: Callable[[Receipt], Receipt]) -> None:
        """Call *complete* with the receipt after the commit; listeners and callers get the receipt it returns."""
        self._complete = complete

    def committed(self) -> Receipt:
        """Return the final receipt; called once, after the commit."""
        receipt = self.receipt
        self._receipt = receipt if self._complete is None else self._complete(receipt)
        return self._receipt

    @property
    def receipt(self) -> Receipt:
        """The outcome so far; after the commit, the final one."""
        if self._receipt is not None:
            return self._receipt
        counts = self.counts
        total = counts.inserted + counts.duplicate + counts.revised + self._quarantined
        return Receipt(
            read=total if self._read is None else self._read,
            inserted=counts.inserted,
            duplicate=counts.duplicate,
            revised=counts.revised,
            quarantined=self._quarantined,
            batch=self.id,
            origin=self._origin,
            file=self._file,
            seconds=time.perf_counter() - self._started,
        )


def _stamp(kind: Kind, table: pa.Table, clock: Callable[[], int]) -> pa.Table:
    """Fill in the missing times of orders and positions."""
    if kind not in {ORDERS, POSITIONS}:
        return table
    import pyarrow as pa
    import pyarrow.compute as pc

    for name, default in (
        ("timestamp", pa.scalar(clock(), pa.timestamp("ns", "UTC"))),
        ("updated_at", table.column("timestamp")),
    ):
        if name in table.schema.names and table.column(name).null_count:
            filled = pc.coalesce(table.column(name), table.column("timestamp") if name == "updated_at" else default)
            table = table.set_column(table.schema.names.index(name), name, filled)
    return table
