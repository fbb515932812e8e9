"""The receipt every ingest returns: what was read and what became of each row."""

from __future__ import annotations

from typing import Any

from attrs import asdict, field, frozen

__all__ = ["Receipt", "Rejection"]


@frozen
class Rejection:
    """Rows that were quarantined for one reason.

    :ivar reason: the rule, or what was wrong with the row without its values.
    :ivar rows: how many there are.
    :ivar row: the first of them, counted from 1 in its file; ``example`` what was wrong with it; ``hint`` the option that mends it.
    """

    reason: str
    rows: int
    row: int | None
    example: str
    hint: str | None = None


@frozen
class Receipt:
    """What one batch brought. ``read`` is the sum of inserted, duplicate, revised and quarantined.

    :ivar batch: id of the batch in the store; what ``as_known_at`` and undo refer to.
    :ivar source: where it came from; ``file`` the name of the file, if it was one.
    :ivar kind: the kind of its records; None for a batch of several kinds.
    :ivar duplicate: rows that the store, or the same batch, already held; nothing was added.
    :ivar revised: rows that replaced an earlier version, which stays in the history.
    :ivar quarantined: rows that broke a rule of severity error, or were no records; they are kept aside with the reason.
    :ivar warnings: findings that did not keep a row out, by rule.
    :ivar rejected: rows that were quarantined by this batch or, if they had come before, by an earlier one.
    :ivar rejections: why, the most frequent reason first.
    :ivar notes: what a person should know, in sentences.
    :ivar seconds: time taken.
    """

    read: int
    inserted: int
    duplicate: int
    revised: int
    quarantined: int
    batch: int
    source: str
    kind: str | None = None
    file: str | None = None
    warnings: dict[str, int] = field(factory=dict)
    rejected: int = 0
    rejections: tuple[Rejection, ...] = ()
    notes: tuple[str, ...] = ()
    seconds: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        """As plain JSON-able values."""
        return asdict(self) | {"notes": list(self.notes), "seconds": round(self.seconds, 3)}
