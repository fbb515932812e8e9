"""What a store holds at one moment, and what one reader or writer sees of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from attrs import evolve, field, frozen

from fpa_core.engine.catalog import RetiredSegment, SegmentInfo
from fpa_core.engine.rows import Row
from fpa_core.protocols import AuditEntry, Batch, CoverageEntry, Quarantined

__all__ = ["Part", "Shelves", "State", "View"]

Shelves = Mapping[str, Sequence[Row]]
"""Rows by the first value of their key, in the order in which they are read; equals by arrival. No shelf is empty."""


@frozen(eq=False)
class State:
    """All that a store holds at one moment: rows by the names of kinds, all else by ids, what batches did to rejected records by the batches' ids."""

    live: dict[str, Shelves] = field(factory=dict)
    history: dict[str, Shelves] = field(factory=dict)
    segments: dict[int, tuple[SegmentInfo, bytes]] = field(factory=dict)
    retired: dict[int, tuple[RetiredSegment, bytes]] = field(factory=dict)
    batches: dict[int, Batch] = field(factory=dict)
    rejected: dict[int, tuple[int, Quarantined]] = field(factory=dict)
    rejected_before: dict[int, Sequence[Quarantined]] = field(factory=dict)
    matches: dict[int, Sequence[tuple[str, str, int, int, int]]] = field(factory=dict)
    coverage: dict[int, Sequence[CoverageEntry]] = field(factory=dict)
    audit_log: dict[int, AuditEntry] = field(factory=dict)


class View:
    """The state that a reader began with, or that a writer has made so far."""

    def __init__(self, state: State) -> None:
        self.state = state

    def change(self, name: str, more: Mapping[Any, Any], left: Mapping[Any, Any] | None = None) -> None:
        """Put *more* entries into a mapping of the state, in the place of others with their keys; *left* is what is kept of it, None for all."""
        self.state = evolve(self.state, **{name: {**(getattr(self.state, name) if left is None else left), **more}})


class Part:
    """One part of the port, over a view."""

    def __init__(self, view: View) -> None:
        self._view = view

    @property
    def _state(self) -> State:
        return self._view.state
