"""The audit log."""

from __future__ import annotations

import itertools
from collections.abc import Generator, Sequence

from fpa_core.engine.plain.state import Part
from fpa_core.engine.tables import AuditWriter
from fpa_core.protocols import AuditEntry

__all__ = ["AuditLog"]


class AuditLog(Part, AuditWriter):
    """See :class:`fpa_core.engine.tables.AuditWriter`."""

    def last(self) -> AuditEntry | None:
        return self._state.audit_log[-1] if self._state.audit_log else None

    def scan(self, first: int = 1, size: int = 4_096) -> Generator[Sequence[AuditEntry], None, None]:
        entries = (entry for entry in list(self._state.audit_log) if entry.seq >= first)
        while page := list(itertools.islice(entries, size)):
            yield page

    def add(self, entry: AuditEntry) -> None:
        self._own.audit_log.append(entry)
