"""A batch that is written in groups, each durable on its own: the engine's side of a live stream."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from fpa_core.engine.appending import Appender
from fpa_core.engine.audit_log import AuditTrail, append
from fpa_core.engine.in_doubt import has_entry, settled
from fpa_core.engine.tables import Database, Writer
from fpa_core.engine.transaction import Claims, Transaction, begin
from fpa_core.exceptions import LostWritesError
from fpa_core.protocols import AuditEntry, Batch

__all__ = ["EngineStream"]


class EngineStream:
    """See :class:`fpa_core.protocols.StoreStream`. Each group is a batch of its own, a child of the stream's batch."""

    def __init__(self, database: Database, origin: str, audit: AuditTrail) -> None:
        self._database = database
        self._origin = origin
        self._audit = audit
        entry: AuditEntry | None = None
        with settled(database, lambda: entry), database.writer("begin a stream") as tables:
            self.batch_id = begin(tables, Batch(0, origin, 0)).id
            entry = append(tables.audit_log, "stream", {"origin": origin}, batch=self.batch_id)
        assert entry is not None
        self._last = entry
        audit.committed(entry)
        self._claims = Claims(lasting=True)
        self._appender = Appender(database)

    @contextlib.contextmanager
    def group(self) -> Iterator[Transaction]:
        """Write a group."""
        try:
            entry: AuditEntry | None = None
            with (
                settled(self._database, lambda: entry),
                self._database.writer("write a group of a stream") as tables,
            ):
                if not self._appender.begin():
                    self._check_kept(tables)
                batch = begin(tables, Batch(0, self._origin, 0, parent=self.batch_id))
                group = Transaction(tables, batch, self._claims, self._appender, self._database.announce)
                yield group
                entry = group.record()
                self._appender.end()
        except BaseException:
            self._appender.forget()  # it may remember rows that were not kept
            self._claims.rollback()
            raise
        assert entry is not None
        self._last = entry
        self._claims.commit()
        self._audit.committed(entry)

    def _check_kept(self, tables: Writer) -> None:
        """Check that the server has the last group: what rows were recognised as would be wrong otherwise, and rows would be missing.

        :raises LostWritesError: if it has not, as a replica that was behind when it took over.
        """
        if not has_entry(tables, self._last):
            raise LostWritesError(
                f"the server has lost what it acknowledged: the last group of the stream that is batch {self.batch_id} is not there",
                hint="begin a new stream, and write again what was written since the failover, and before it for as long as the replica was behind",
                operation="write a group of a stream",
            )

    def close(self) -> None:
        """Forget the rows that were recognised."""
        self._claims = Claims(lasting=True)
