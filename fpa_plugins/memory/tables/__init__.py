"""The engine's port over plain Python structures: for tests and notebooks, and the reference that other stores are compared with.

A state is never changed. A change makes a new one, which shares everything that it does not touch: a reader keeps the state it began with, a commit
makes the writer's state the latest, and a rollback forgets it. Clear comes before fast: most methods look at every row of a subject, and at every
segment, batch or rejected record. What each method does is said in :mod:`fpa_core.engine.tables`.
"""

from __future__ import annotations

from fpa_plugins.memory.tables.audit_log import AuditLog
from fpa_plugins.memory.tables.batches import Batches
from fpa_plugins.memory.tables.coverage import Coverage
from fpa_plugins.memory.tables.quarantine import Quarantine
from fpa_plugins.memory.tables.rows import Rows
from fpa_plugins.memory.tables.segments import Retired, Segments
from fpa_plugins.memory.tables.state import State, View

__all__ = ["State", "Tables"]


class Tables:
    """A Writer, or a Reader of whom nobody asks for changes."""

    def __init__(self, state: State) -> None:
        self._view = view = View(state)
        self.rows = Rows(view)
        self.segments = Segments(view)
        self.retired = Retired(view)
        self.batches = Batches(view)
        self.quarantine = Quarantine(view)
        self.coverage = Coverage(view)
        self.audit_log = AuditLog(view)

    @property
    def state(self) -> State:
        """What the store holds, with the changes so far."""
        return self._view.state
