"""A batch that is written in groups, each durable on its own: the engine's side of a live stream."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from fpa_core.engine.appending import Appender
from fpa_core.engine.audit_log import AuditTrail, append
from fpa_core.engine.tables import Database
from fpa_core.engine.transaction import Claims, Transaction, begin
from fpa_core.protocols import Batch

__all__ = ["EngineStream"]


class EngineStream:
    """See :class:`fpa_core.protocols.StoreStream`. Each group is a batch of its own, a child of the stream's batch."""

    def __init__(self, database: Database, origin: str, audit: AuditTrail) -> None:
        self._database = database
        self._origin = origin
        self._audit = audit
        with database.writer("begin a stream") as tables:
            self.batch_id = begin(tables, Batch(0, origin, 0)).id
            entry = append(tables.audit_log, "stream", {"origin": origin}, batch=self.batch_id)
        audit.committed(entry)
        self._claims = Claims(lasting=True)
        self._appender = Appender(database)

    @contextlib.contextmanager
    def group(self) -> Iterator[Transaction]:
        """Write a group."""
        try:
            with self._database.writer("write a group of a stream") as tables:
                self._appender.begin()
                batch = begin(tables, Batch(0, self._origin, 0, parent=self.batch_id))
                group = Transaction(tables, batch, self._claims, self._appender, self._database.announce)
                yield group
                entry = group.record()
                self._appender.end()
        except BaseException:
            self._appender.forget()  # it may remember rows that were not kept
            self._claims.rollback()
            raise
        self._claims.commit()
        self._audit.committed(entry)

    def close(self) -> None:
        """Forget the rows that were recognised."""
        self._claims = Claims(lasting=True)
