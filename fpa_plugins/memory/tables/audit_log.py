"""The audit log."""

from __future__ import annotations

import itertools
from collections.abc import Generator, Sequence

from fpa_core.protocols import AuditEntry
from fpa_plugins.memory.tables.state import Part

__all__ = ["AuditLog"]


class AuditLog(Part):
    """See :class:`fpa_core.engine.tables.AuditWriter`."""

    def last(self) -> AuditEntry | None:
        return next(reversed(self._state.audit_log.values()), None)

    def scan(self, first: int = 1, size: int = 4_096) -> Generator[Sequence[AuditEntry], None, None]:
        entries = (entry for entry in self._state.audit_log.values() if entry.seq >= first)
        while page := list(itertools.islice(entries, size)):
            yield page

    def add(self, entry: AuditEntry) -> None:
        self._view.change("audit_log", {entry.seq: entry})
