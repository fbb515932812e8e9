"""The seven parts of the port, over one session, and what every database can do that keeps them."""

from __future__ import annotations

from fpa_core.engine.sql.audit_log import SqlAuditLog
from fpa_core.engine.sql.batches import SqlBatches
from fpa_core.engine.sql.coverage import SqlCoverage
from fpa_core.engine.sql.quarantine import SqlQuarantine
from fpa_core.engine.sql.retired import SqlRetired
from fpa_core.engine.sql.rows import SqlRows
from fpa_core.engine.sql.segments import SqlSegments
from fpa_core.engine.sql.session import Session
from fpa_core.protocols import Capability

__all__ = ["CAPABILITIES", "SqlTables"]

CAPABILITIES = frozenset(
    {
        Capability.PERSISTENT,
        Capability.SHARED,
        Capability.KNOWN_AT,
        Capability.VERSIONS,
        Capability.UNDO,
        Capability.SEAL,
    }
)
"""What the engine makes of these tables in a database on disk that has transactions."""


class SqlTables:
    """See :class:`fpa_core.engine.tables.Writer`; within a transaction that only reads it is a Reader."""

    def __init__(self, session: Session) -> None:
        self.rows = SqlRows(session)
        self.segments = SqlSegments(session)
        self.retired = SqlRetired(session)
        self.batches = SqlBatches(session)
        self.quarantine = SqlQuarantine(session)
        self.coverage = SqlCoverage(session)
        self.audit_log = SqlAuditLog(session)
