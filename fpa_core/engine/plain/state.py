"""What a store holds at one moment, and what one reader or writer sees of it."""

from __future__ import annotations

from attrs import astuple, field, frozen

from fpa_core.engine.catalog import SegmentInfo
from fpa_core.engine.rows import Row
from fpa_core.protocols import AuditEntry, Batch, CoverageEntry, Quarantined

__all__ = ["Part", "StoreState", "View"]


@frozen(eq=False)
class StoreState:
    """All that a store holds at one moment. What is in a mapping or a list is replaced, and never changed itself.

    :ivar rows: by kind and subject, in the order in which they are read: live ones, and those of the history; each is followed by the batch that
        retired it and the reason, or by None and None.
    :ivar segments: by id, retired ones too.
    :ivar rejected_before: what records were before a batch changed them, with that batch.
    """

    rows: dict[tuple[str, str], list[Row]] = field(factory=dict)
    segments: dict[int, tuple[SegmentInfo, bytes]] = field(factory=dict)
    batches: dict[int, Batch] = field(factory=dict)
    rejected: dict[int, Quarantined] = field(factory=dict)
    rejected_before: list[tuple[Quarantined, int]] = field(factory=list)
    matches: list[tuple[int, str, str, int, int, int]] = field(factory=list)
    coverage: list[CoverageEntry] = field(factory=list)
    audit_log: list[AuditEntry] = field(factory=list)

    def copy(self) -> StoreState:
        """Return a state with mappings and lists of its own."""
        return StoreState(*(part.copy() for part in astuple(self, recurse=False)))

    def family(self, batch: int) -> set[int]:
        """Return the ids of a batch and of its children."""
        return {one.id for one in self.batches.values() if batch in (one.id, one.parent)}


class View:
    """The state that a reader began with, or that a writer has made so far: a copy, from its first change on."""

    def __init__(self, state: StoreState) -> None:
        self.state = self._first = state

    def own(self) -> StoreState:
        """Return the state to change."""
        if self.state is self._first:
            self.state = self._first.copy()
        return self.state


class Part:
    """One part of the port, over a view."""

    def __init__(self, view: View) -> None:
        self._view = view

    @property
    def _state(self) -> StoreState:
        """The state, to be read."""
        return self._view.state

    @property
    def _own(self) -> StoreState:
        """The state, to be changed."""
        return self._view.own()
