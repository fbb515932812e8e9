"""The store over a database's tables: what keeps the contracts, for every backend."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from attrs import asdict

from fpa_core.engine.asked import check_quarantine_query, check_query, check_values
from fpa_core.engine.audit_log import AuditTrail, append
from fpa_core.engine.rows import plain_value, shape_of
from fpa_core.engine.segment_cache import SegmentCache
from fpa_core.engine.tables import Database
from fpa_core.exceptions import ConnectionLostError, DatabaseBusyError, DataError
from fpa_core.kinds import KINDS, Kind
from fpa_core.protocols import (
    AuditEntry,
    Batch,
    Capability,
    Changed,
    ChangeFeed,
    CoverageEntry,
    InventoryEntry,
    QuarantineCount,
    Quarantined,
    QuarantineQuery,
    Query,
    Sealed,
    StoreDescription,
    StoredVersion,
)
from fpa_core.retrying import retried, retried_until_given

if TYPE_CHECKING:
    import pyarrow as pa

    from fpa_core.engine.stream import EngineStream
    from fpa_core.engine.transaction import Transaction

__all__ = ["EngineStore"]


class EngineStore:
    """See :class:`fpa_core.protocols.StoreBackend`.

    What needs Arrow is imported when it is first used: a list of batches or an inventory does without.
    A read whose connection to a server is lost is tried again for a while, as long as it has given nothing to its caller.

    :param database: the backend's tables.
    :param seal_rows: on closing after a write, quotes and trades of a symbol with at least so many hot rows are sealed; None for never.
    :param read_cache: bytes of memory for sealed rows that were read for a range of time, decoded; 0 for none.
    :ivar audit: tells of each entry of the audit log, once it is committed.
    """

    def __init__(self, database: Database, *, seal_rows: int | None = None, read_cache: int = 0) -> None:
        self.database = database
        self.capabilities = database.capabilities
        self._seal_rows = seal_rows
        self._written = False
        self._segments = SegmentCache(read_cache)
        self.audit = AuditTrail()

    def close(self) -> None:
        """Seal what is worth it, if that is the policy, and release the database."""
        try:
            if self._seal_rows is not None and self._written and self.database.is_open():
                # Whoever is writing at this moment will seal when it closes, and a server that is gone can wait.
                with contextlib.suppress(DatabaseBusyError, ConnectionLostError):
                    for kind in (
                        KINDS.values()
                    ):  # to look for history to seal may take long, and is left to whoever asks for it
                        self._seal(kind, None, self._seal_rows, past=False)
        finally:
            self._written = False
            self._segments.clear()
            self.database.close()

    def seal(self, kind: Kind, *, subject: str | None = None, least: int = 1) -> Sealed:
        """Move hot rows of quotes and trades into segments, merge small segments, and seal the history."""
        check_values({"symbol": subject})
        if not isinstance(least, int):
            raise DataError(f"least: a number of rows is needed, not {least!r}", field="least", value=least)
        return self._seal(kind, subject, least, past=True)

    def _seal(self, kind: Kind, subject: str | None, least: int, *, past: bool) -> Sealed:
        if not kind.multiset or Capability.SEAL not in self.capabilities:
            return Sealed()
        from fpa_core.engine import compaction

        done = compaction.seal(self.database, kind, subject=subject, least=least)
        if past:
            done += Sealed(history=self.seal_history(kind, subject))
        # The steps are transactions of their own, and change nothing that is read: the act as a whole is recorded.
        if done.rows or done.history:
            self.record_act("seal", {"kind": kind.name, "symbol": subject, **asdict(done)})
        return done

    def seal_history(self, kind: Kind, subject: str | None = None) -> int:
        """Seal rows of the history of quotes and trades; return how many they were."""
        from fpa_core.engine import history_sealing

        return history_sealing.seal_history(self.database, kind, subject=subject)

    def record_act(self, action: str, details: Mapping[str, Any]) -> AuditEntry:
        """Add the entry of an act of maintenance to the audit log, and return it."""
        from fpa_core.engine.in_doubt import settled

        entry: AuditEntry | None = None
        with settled(self.database, lambda: entry), self.database.writer("write to the audit log") as tables:
            entry = append(tables.audit_log, action, details)
        assert entry is not None
        self.audit.committed(entry)
        return entry

    @retried_until_given
    def audit_entries(self, first: int = 1) -> Generator[AuditEntry, None, None]:
        """Yield the entries of the audit log from a number on."""
        with self.database.reader("read the audit log") as tables:
            for page in tables.audit_log.scan(first):
                yield from page

    @contextlib.contextmanager
    def transaction(
        self, *, origin: str, file: str | None = None, digest: str | None = None, replays: int | None = None
    ) -> Iterator[Transaction]:
        """Begin a batch."""
        from fpa_core.engine.appending import Appender
        from fpa_core.engine.in_doubt import settled
        from fpa_core.engine.transaction import Claims, Transaction, begin

        entry: AuditEntry | None = None
        with settled(self.database, lambda: entry), self.database.writer("write a batch") as tables:
            batch = begin(tables, Batch(0, origin, 0, file=file, digest=digest, replays=replays))
            transaction = Transaction(tables, batch, Claims(), Appender(self.database), self.database.announce)
            yield transaction
            entry = transaction.record()
        assert entry is not None
        self._written = True
        self.audit.committed(entry)

    def stream(self, *, origin: str) -> EngineStream:
        """Begin a batch that is written in groups."""
        from fpa_core.engine.stream import EngineStream

        stream = EngineStream(self.database, origin, self.audit)
        self._written = True
        return stream

    @retried_until_given
    def scan(
        self, query: Query, rows: int = 16_384, *, columns: Sequence[str] | None = None, scaled: bool = False
    ) -> Generator[pa.RecordBatch, None, None]:
        """Yield the rows of *query* in order."""
        from fpa_core.engine.scan import scan

        check_query(query)
        with self.database.reader(f"read {query.kind.name}") as tables:
            yield from scan(tables, query, rows, columns, scaled=scaled, cache=self._segments)

    @retried
    def latest(self, kind: Kind, subject: str) -> Sequence[Any] | None:
        """Return the values of the last row of a multiset's subject; None if only a scan can tell."""
        if not (type(subject) is str and subject.isascii()):
            check_values({"symbol": subject})
        return self.database.latest(kind, subject)

    @retried
    def history(self, kind: Kind, key: Mapping[str, Any]) -> Sequence[StoredVersion]:
        """Return every version of the record with a key, in the order in which they became known."""
        from fpa_core.engine.history import history_at

        check_values(key)
        shape = shape_of(kind)
        place = tuple(plain_value(kind, name, key[name]) for name in shape.key)
        columns = [shape.place(column.field) for column in kind.columns]
        batch, since = shape.place("batch"), shape.place("since")
        times: dict[int, int] = {}
        with self.database.reader(f"read the history of {kind.name}") as tables:

            def when(number: int) -> int:
                if number not in times:
                    (found,) = tables.batches.find(batch=number)
                    times[number] = found.recorded_ns
                return times[number]

            versions = [
                (
                    row[since] or row[batch],
                    StoredVersion(
                        [row[column] for column in columns],
                        row[batch],
                        when(row[since] or row[batch]),
                        *((row[-2], when(row[-2]), row[-1]) if len(row) > len(shape.columns) else ()),
                    ),
                )
                for row in (*history_at(tables, kind, [place]), *tables.rows.at(kind, [place]))
            ]
        # Of versions of one batch, those that were retired came before the one that stands.
        return [version for _, version in sorted(versions, key=lambda each: each[0])]

    @retried
    def count(self, query: Query) -> int:
        """Count the rows of *query*."""
        from fpa_core.engine.scan import count

        check_query(query)
        with self.database.reader(f"count {query.kind.name}") as tables:
            return count(tables, query)

    @retried
    def inventory(self, kind: Kind) -> Sequence[InventoryEntry]:
        """Return how many rows of each subject there are, and from when to when."""
        with self.database.reader("take the inventory") as tables:
            hot, sealed = tables.rows.inventory(kind), tables.segments.inventory(kind) if kind.multiset else ()
        found: dict[str, InventoryEntry] = {}
        for entry in (*hot, *sealed):
            other = found.get(entry.subject)
            found[entry.subject] = entry if other is None else other + entry
        return [found[subject] for subject in sorted(found)]

    @retried
    def digits(self, kind: Kind) -> Mapping[str, tuple[int, int]]:
        """Return the most digits before and after the point of each decimal column."""
        from fpa_core.engine.digits import digits_of

        with self.database.reader(f"read {kind.name}") as tables:
            return digits_of(tables, kind)

    @retried
    def row_ranges(self, query: Query, parts: int) -> Sequence[InventoryEntry]:
        """Return where the rows of *query* lie, from the catalog and the indexes."""
        from fpa_core.engine import row_ranges

        check_query(query)
        with self.database.reader("look where rows lie") as tables:
            return row_ranges.row_ranges(tables, query, parts)

    @retried
    def changed_parts(self, kind: Kind, spans: Sequence[tuple[int, int]], after: int, upto: int) -> set[int] | None:
        """Return in which parts of time rows differ between two batches; see :func:`fpa_core.engine.changes.changed_parts`."""
        from fpa_core.engine import changes

        with self.database.reader("look for changes") as tables:
            return changes.changed_parts(tables, kind, spans, after, upto)

    @retried
    def batches(self, *, batch: int | None = None, limit: int | None = None, children: bool = False) -> Sequence[Batch]:
        """Return batches, latest first."""
        check_values({"batch": batch, "limit": limit})
        with self.database.reader("list batches") as tables:
            return tables.batches.find(batch=batch, limit=limit, children=children)

    @retried
    def coverage(self, kind: Kind | None = None, subject: str | None = None) -> Sequence[CoverageEntry]:
        """Return the ledger of fetched ranges."""
        check_values({"symbol": subject})
        with self.database.reader("read the ledger of fetched ranges") as tables:
            return tables.coverage.find(None if kind is None else kind.name, subject)

    @retried_until_given
    def quarantined(self, query: QuarantineQuery) -> Generator[Quarantined, None, None]:
        """Yield rejected records."""
        check_quarantine_query(query)
        with self.database.reader("read the quarantine") as tables:
            yield from tables.quarantine.select(query)

    @retried
    def count_quarantined(self, query: QuarantineQuery) -> Sequence[QuarantineCount]:
        """Count rejected records."""
        check_quarantine_query(query)
        with self.database.reader("count the quarantine") as tables:
            return tables.quarantine.count(query)

    def follow(self, on_change: Callable[[Changed | None], None]) -> ChangeFeed:
        """Return a feed of what other processes change."""
        return self.database.follow(on_change)

    @retried
    def describe(self) -> StoreDescription:
        """Return what and where the database is."""
        return self.database.describe()
