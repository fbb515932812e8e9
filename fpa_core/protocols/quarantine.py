"""Rejected records and queries for them: the quarantine that every store keeps beside its tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any

from attrs import frozen

from fpa_core.patterns import matches_any

__all__ = ["SHAPE", "VERSION", "QuarantineCount", "QuarantineQuery", "Quarantined", "State"]

SHAPE = "record.shape"
"""The rule id of rows that could not be parsed into records."""

VERSION = "record.version"
"""The rule id of records that were not replayed because their batch itself stored another version, and which came first is not known."""


class State(StrEnum):
    """The state of a rejected record."""

    OPEN = "open"
    """It awaits a decision."""
    REPLAYED = "replayed"
    """It was stored unchanged."""
    FIXED = "fixed"
    """It was stored with changes."""
    DISCARDED = "discarded"
    """It was discarded by a user."""
    UNDONE = "undone"
    """Its batch was undone."""


@frozen
class Quarantined:
    """A record that failed validation, or a row that could not be parsed into a record.

    :ivar raw: the record as JSON, or the unchanged line of the file.
    :ivar findings: the reasons, as plain mappings (see :meth:`fpa_core.protocols.Finding.as_dict`).
    :ivar row: its position in the source, from 1; positions of a snapshot have the row of the snapshot.
    :ivar state: see :class:`State`.
    :ivar batch: the batch that rejected it; ``changed_by`` the batch that set its state, None if the state has not changed.
    :ivar cells: for a row that could not be parsed, the texts of its cells by column of the kind; None if they are unknown.
    """

    kind: str
    subject: str | None
    ts_ns: int | None
    row: int | None
    raw: str
    findings: tuple[Mapping[str, Any], ...]
    state: str = State.OPEN
    id: int = 0
    batch: int = 0
    changed_by: int | None = None
    cells: Mapping[str, str] | None = None


@frozen
class QuarantineQuery:
    """A selection of rejected records; all given conditions must hold.

    :ivar ids: the ids of the records; ``batch`` the batch that rejected them.
    :ivar kind: the name of their kind.
    :ivar symbols: patterns of subjects, ``rules`` of the rules broken, ``origins`` of the origins of their batches (see
        :mod:`fpa_core.patterns`): one of each must match; None for any.
    :ivar states: their states; None for any.
    :ivar changed_by: the batch that set their state.
    :ivar limit: the maximum number of records; None for all.
    :ivar in_order: whether to order by batch and position in the source; otherwise the latest come first.
    """

    batch: int | None = None
    ids: tuple[int, ...] | None = None
    kind: str | None = None
    symbols: tuple[str, ...] | None = None
    rules: tuple[str, ...] | None = None
    origins: tuple[str, ...] | None = None
    states: tuple[str, ...] | None = None
    changed_by: int | None = None
    limit: int | None = None
    in_order: bool = False

    def matcher(self) -> Callable[[Quarantined], bool]:
        """Return a function that says whether a record is among those asked for, as far as the record shows: its batch has the origin."""
        ids = None if self.ids is None else frozenset(self.ids)
        return lambda record: (
            self.batch in (None, record.batch)
            and self.kind in (None, record.kind)
            and self.changed_by in (None, record.changed_by)
            and (ids is None or record.id in ids)
            and (self.states is None or record.state in self.states)
            and (self.symbols is None or matches_any(self.symbols, record.subject))
            and (self.rules is None or any(matches_any(self.rules, one.get("rule")) for one in record.findings))
        )


@frozen
class QuarantineCount:
    """The number of rejected records of one batch, kind and state."""

    batch: int
    kind: str
    state: str
    records: int
