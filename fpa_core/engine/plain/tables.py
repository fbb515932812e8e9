"""The seven parts of the port over plain Python structures: the reference that other stores are compared with.

Clear comes before fast: most methods look at every row of a subject, and at every segment, batch or rejected record. What each method does is said
in :mod:`fpa_core.engine.tables`, which also has those that follow from others.
"""

from __future__ import annotations

from fpa_core.engine.plain.audit_log import AuditLog
from fpa_core.engine.plain.batches import Batches
from fpa_core.engine.plain.coverage import Coverage
from fpa_core.engine.plain.quarantine import Quarantine
from fpa_core.engine.plain.rows import Rows
from fpa_core.engine.plain.segments import Retired, Segments
from fpa_core.engine.plain.state import View

__all__ = ["PlainTables"]


class PlainTables:
    """A Writer, or a Reader of whom nobody asks for changes."""

    def __init__(self, view: View) -> None:
        self.rows = Rows(view)
        self.segments = Segments(view)
        self.retired = Retired(view)
        self.batches = Batches(view)
        self.quarantine = Quarantine(view)
        self.coverage = Coverage(view)
        self.audit_log = AuditLog(view)
