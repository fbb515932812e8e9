"""The audit log in SQL."""

from __future__ import annotations

from collections.abc import Generator, Sequence

from attrs import astuple

from fpa_core.engine.sql.session import Session
from fpa_core.engine.tables import AuditWriter
from fpa_core.protocols import AuditEntry

__all__ = ["SqlAuditLog"]

_NAMES = "seq, ts_ns, action, user_name, host, process, program, batch, details, hash"


class SqlAuditLog(AuditWriter):
    """See :class:`fpa_core.engine.tables.AuditWriter`."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def last(self) -> AuditEntry | None:
        """Return the last entry."""
        found = self._session.query(f"SELECT {_NAMES} FROM audit_log ORDER BY seq DESC LIMIT 1")
        return AuditEntry(*found[0]) if found else None

    def scan(self, first: int = 1, size: int = 4_096) -> Generator[Sequence[AuditEntry], None, None]:
        """Yield the entries from a number on, in order."""
        sql = f"SELECT {_NAMES} FROM audit_log WHERE seq >= ? ORDER BY seq"
        for page in self._session.stream(sql, [first], size=size):
            yield [AuditEntry(*row) for row in page]

    def add(self, entry: AuditEntry) -> None:
        """Add an entry."""
        sql = f"INSERT INTO audit_log ({_NAMES}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
        self._session.run(sql, astuple(entry))
