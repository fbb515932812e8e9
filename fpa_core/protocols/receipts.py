"""The receipt that every ingest returns: counts of the rows read, by outcome."""

from __future__ import annotations

from typing import Any

from attrs import asdict, field, frozen

__all__ = ["Receipt", "Rejection"]


@frozen
class Rejection:
    """Rows that were quarantined for one reason.

    :ivar reason: the rule, or the problem of the row without its values.
    :ivar rows: the number of rows.
    :ivar row: the first of them, counted from 1 in its file; ``example`` its problem; ``hint`` the option that fixes it.
    """

    reason: str
    rows: int
    row: int | None
    example: str
    hint: str | None = None


@frozen
class Receipt:
    """The outcome of one batch. ``read`` is the sum of inserted, duplicate, revised and quarantined.

    :ivar batch: id of the batch in the store, used by ``as_known_at`` and undo.
    :ivar origin: where it came from, as ``files:fxcm``; ``file`` the name of the file, if it was one.
    :ivar kind: the kind of its records; None for a batch of several kinds.
    :ivar duplicate: rows that the store, or the same batch, already had; they were not added.
    :ivar revised: rows that replaced an earlier version, which remains in the history.
    :ivar quarantined: rows that broke a rule of severity error, or could not be parsed into records; they are in the quarantine.
    :ivar warnings: number of findings of accepted rows, by rule.
    :ivar rejected: rows quarantined by this batch, or already by an earlier one.
    :ivar rejections: the reasons, the most frequent first.
    :ivar notes: remarks for the user.
    :ivar seconds: time taken.
    """

    read: int
    inserted: int
    duplicate: int
    revised: int
    quarantined: int
    batch: int
    origin: str
    kind: str | None = None
    file: str | None = None
    warnings: dict[str, int] = field(factory=dict)
    rejected: int = 0
    rejections: tuple[Rejection, ...] = ()
    notes: tuple[str, ...] = ()
    seconds: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        """Return JSON-compatible values."""
        return asdict(self) | {"notes": list(self.notes), "seconds": round(self.seconds, 3)}
