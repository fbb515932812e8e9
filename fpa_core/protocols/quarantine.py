"""What was refused, and how it is asked for: the quarantine that every store keeps beside its tables."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from attrs import frozen

__all__ = ["QuarantineCount", "QuarantineQuery", "Quarantined", "State"]


class State(StrEnum):
    """What became of a refused record."""

    OPEN = "open"
    """It waits for somebody to decide."""
    REPLAYED = "replayed"
    """It was put into the tables as it is."""
    FIXED = "fixed"
    """It was put into the tables with changes."""
    DISCARDED = "discarded"
    """Somebody decided that it is worth nothing."""
    UNDONE = "undone"
    """The batch that brought it was taken back."""


@frozen
class Quarantined:
    """A record that validation, or its own shape, kept out of the tables.

    :ivar raw: the record as JSON, or the line of the file as it stood.
    :ivar findings: why, as plain mappings (see :meth:`fpa_core.protocols.Finding.as_dict`).
    :ivar row: its position in the source, from 1; positions of a snapshot have that of the snapshot.
    :ivar state: what became of it (see :class:`State`).
    :ivar batch: the batch that refused it; ``changed_by`` the one that gave it its state, None while it is as it came.
    :ivar cells: of a row that is no record, the texts of its cells by the names of the kind's columns; None where it has none.
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
    """Which refused records to look at: every condition given must hold.

    :ivar ids: these records; ``batch`` those that this batch refused.
    :ivar kind: the name of their kind.
    :ivar symbols: patterns of subjects, ``rules`` of the rules they broke, ``origins`` of the origins of their batches (see
        :mod:`fpa_core.protocols.patterns`): one of each must match; None for any.
    :ivar states: what became of them; None for anything.
    :ivar changed_by: given their state by this batch.
    :ivar limit: at most so many.
    :ivar in_order: by batch and position in the source; else the latest first.
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


@frozen
class QuarantineCount:
    """How many refused records of one batch and kind are in one state."""

    batch: int
    kind: str
    state: str
    records: int
