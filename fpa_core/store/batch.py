"""A batch on its way into a store: what it wrote, what it touched, and the receipt it ends with."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import attrgetter
from typing import TYPE_CHECKING, Any, TypeAlias

from fpa_core.arrow.conversion import to_table
from fpa_core.identity import IdMaker
from fpa_core.kinds import KINDS, ORDERS, POSITIONS, Kind
from fpa_core.protocols import Quarantined, QuarantineQuery, Query, Receipt, StoreTransaction, WriteCounts

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Changed", "StoreBatch"]

Changed: TypeAlias = Mapping[Kind, frozenset[str] | None]
"""What a batch touched: the subjects of each kind, or None where they are not known and it may be all."""


class StoreBatch:
    """A batch being written; :attr:`receipt` tells what it came to once its context has ended."""

    def __init__(self, transaction: StoreTransaction, source: str, file: str | None, clock: Callable[[], int]) -> None:
        self.id = transaction.batch_id
        self.counts = WriteCounts()
        self.known = 0  # refused records that were in quarantine already
        self.deleted = 0
        self.changed: dict[Kind, frozenset[str] | None] = {}
        self._transaction = transaction
        self._source = source
        self._file = file
        self._clock = clock
        self._ids = IdMaker()
        self._quarantined = 0
        self._read: int | None = None
        self._started = time.perf_counter()
        self._seconds = 0.0

    def write(self, kind: Kind, table: pa.Table) -> WriteCounts:
        """Add rows, with decimals in any form (see :mod:`fpa_core.arrow.columns`); orders and positions without a time get the present one.

        Fills and cash flows without an id get one (see :mod:`fpa_core.identity`).
        """
        from fpa_core.arrow.columns import as_dictionary  # and with it Arrow, which opening a store does not need

        table = self._ids.complete(kind, _stamp(kind, table, self._clock))
        place = table.schema.get_field_index(kind.by_field[kind.subject].name)
        # As a dictionary, which the backend needs to divide the rows, and which tells here what was touched.
        given = table.column(place)
        subjects = as_dictionary(given.chunk(0) if given.num_chunks == 1 else given.combine_chunks())
        counts = self._transaction.write(kind, table.set_column(place, table.schema.names[place], subjects))
        self.counts += counts
        if counts.inserted or counts.revised:
            self._touch(kind, subjects.dictionary.to_pylist())
        return counts

    def write_records(self, kind: Kind, records: Sequence[Any]) -> WriteCounts:
        """Add a few records, as :meth:`write` adds rows."""
        if kind in {ORDERS, POSITIONS} or kind.made_id is not None:
            return self.write(kind, to_table(kind, records))
        counts = self._transaction.write_records(kind, records)
        self.counts += counts
        if counts.inserted or counts.revised:
            self._touch(kind, map(attrgetter(kind.subject), records))
        return counts

    def delete(self, query: Query) -> int:
        """Take rows out of what reads return."""
        deleted = self._transaction.delete(query)
        self.deleted += deleted
        if deleted:
            self._touch(query.kind, query.only)
        return deleted

    def undo(self, batch_id: int) -> int:
        """Take back what an earlier batch brought."""
        changed = self._transaction.undo(batch_id)
        self.deleted += changed
        for kind in KINDS.values():
            self._touch(kind, None)
        return changed

    def quarantine(self, records: Sequence[Quarantined]) -> Sequence[Quarantined]:
        """Keep refused records aside, and return those that were not there already; the others are duplicates."""
        kept = self._transaction.quarantine(records)
        self._quarantined += len(kept)
        self.known += len(records) - len(kept)
        self.counts += WriteCounts(duplicate=len(records) - len(kept))
        return kept

    def replay(self, kind: Kind, table: pa.Table, ids: Sequence[int], *, fixed: bool = False) -> WriteCounts:
        """Put refused rows into the tables; see :meth:`fpa_core.protocols.StoreTransaction.replay`."""
        table = self._ids.complete(kind, table)
        counts = self._transaction.replay(kind, table, ids, fixed=fixed)
        self.counts += counts
        if counts.inserted or counts.revised:
            self._touch(kind, table.column(kind.by_field[kind.subject].name).unique().to_pylist())
        return counts

    def refuse_again(self, records: Sequence[Quarantined]) -> None:
        """Leave refused records where they are, with the findings of now."""
        self._transaction.refuse_again(records)
        self._quarantined += len(records)

    def discard(self, query: QuarantineQuery) -> int:
        """Discard refused records that are open."""
        return self._transaction.discard(query)

    def finish(self, *, read: int, reading: str | None = None) -> None:
        """Note how many rows the source held, refused ones included, and how they were read (see :attr:`fpa_core.protocols.Batch.reading`)."""
        self._transaction.finish(read=read, reading=reading)
        self._read = read

    def _touch(self, kind: Kind, subjects: Iterable[str] | None) -> None:
        known = self.changed.get(kind, frozenset())
        self.changed[kind] = None if known is None or subjects is None else known | frozenset(subjects)

    @property
    def receipt(self) -> Receipt:
        """What the batch came to."""
        counts = self.counts
        total = counts.inserted + counts.duplicate + counts.revised + self._quarantined
        return Receipt(
            read=total if self._read is None else self._read,
            inserted=counts.inserted,
            duplicate=counts.duplicate,
            revised=counts.revised,
            quarantined=self._quarantined,
            batch=self.id,
            source=self._source,
            file=self._file,
            seconds=self._seconds or time.perf_counter() - self._started,
        )


def _stamp(kind: Kind, table: pa.Table, clock: Callable[[], int]) -> pa.Table:
    """Fill in times that orders and positions may come without."""
    if kind not in {ORDERS, POSITIONS}:
        return table
    import pyarrow as pa
    import pyarrow.compute as pc

    for name, source in (
        ("timestamp", pa.scalar(clock(), pa.timestamp("ns", "UTC"))),
        ("updated_at", table.column("timestamp")),
    ):
        if name in table.schema.names and table.column(name).null_count:
            filled = pc.coalesce(table.column(name), table.column("timestamp") if name == "updated_at" else source)
            table = table.set_column(table.schema.names.index(name), name, filled)
    return table
