"""What a validation returns: the findings, the counts by rule, and the two halves of a table that was split."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import attrs

from fpa_core.exceptions import ValidationError
from fpa_core.protocols import Finding, Severity, Tally

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

__all__ = ["Ledger", "Refused", "Split", "ValidationResult"]


class Refused(NamedTuple):
    """A row kept out: its position in the table, and everything it broke."""

    row: int
    findings: tuple[Finding, ...]


@attrs.frozen(eq=False)
class Split:
    """A table in two parts: every row is in exactly one.

    :ivar accepted: the rows that broke no rule of severity error, in their order.
    :ivar accepted_rows: their positions in the table that was split, from 0.
    :ivar refused: the other rows, in their order.
    :ivar flagged: how many accepted rows broke each rule of a lesser severity.
    """

    accepted: pa.Table
    accepted_rows: npt.NDArray[np.int64]
    refused: tuple[Refused, ...] = ()
    flagged: Mapping[str, int] = attrs.field(factory=dict)


@attrs.frozen
class ValidationResult:
    """What the rules say of one record or many.

    :ivar rows: how many records were judged.
    :ivar findings: what is wrong; of a large table, the first examples of each rule.
    :ivar counts: by rule id, how many records it judged, could not judge, and found wrong. These are complete.
    :ivar flagged: how many records that are valid nevertheless broke each rule of a lesser severity.
    """

    rows: int
    findings: tuple[Finding, ...] = ()
    counts: Mapping[str, Tally] = attrs.field(factory=dict)
    flagged: Mapping[str, int] = attrs.field(factory=dict)

    @property
    def is_valid(self) -> bool:
        """Whether no rule of severity error was broken."""
        return all(finding.severity is not Severity.ERROR for finding in self.findings)

    @property
    def errors(self) -> list[str]:
        """The findings of severity error, as sentences."""
        return self._sentences(Severity.ERROR)

    @property
    def warnings(self) -> list[str]:
        """The findings of severity warning, as sentences."""
        return self._sentences(Severity.WARNING)

    @property
    def info(self) -> list[str]:
        """The findings of severity info, as sentences."""
        return self._sentences(Severity.INFO)

    def raise_for_errors(self) -> None:
        """Raise a ValidationError that carries the findings, unless the result is valid."""
        if not self.is_valid:
            raise ValidationError("; ".join(self.errors), findings=self.findings)

    def as_dict(self) -> dict[str, Any]:
        """As plain JSON-able values."""
        return {
            "valid": self.is_valid,
            "rows": self.rows,
            "rules": {rule: attrs.asdict(tally) for rule, tally in self.counts.items()},
            "findings": [finding.as_dict() | {"row": finding.row} for finding in self.findings],
        }

    def _sentences(self, severity: Severity) -> list[str]:
        return [f"{finding.rule}: {finding.message}" for finding in self.findings if finding.severity is severity]


class Ledger:
    """Keeps the counts and the first findings of each rule while an examination runs, in bounded memory.

    :param examples: findings to keep of each rule, at least one; None for all.
    """

    def __init__(self, examples: int | None = None) -> None:
        self.rows = 0
        self.counts: dict[str, Tally] = {}
        self.flagged: dict[str, int] = {}
        self._examples = examples if examples is None else max(examples, 1)
        self._findings: list[Finding] = []
        self._kept: dict[str, int] = {}

    def tally(self, rule: str) -> Tally:
        """Return the counts of *rule*, to be raised."""
        return self.counts.setdefault(rule, Tally())

    def flag(self, rule: str, count: int) -> None:
        """Count accepted records that broke *rule*."""
        if count:
            self.flagged[rule] = self.flagged.get(rule, 0) + count

    def room(self, rule: str) -> int | None:
        """Tell how many more findings of *rule* are wanted; None for any number."""
        return None if self._examples is None else self._examples - self._kept.get(rule, 0)

    def keep(self, finding: Finding) -> None:
        """Keep *finding*, if there is room."""
        if self.room(finding.rule) != 0:
            self._kept[finding.rule] = self._kept.get(finding.rule, 0) + 1
            self._findings.append(finding)

    def result(self) -> ValidationResult:
        """Return what is known so far."""
        counts = {rule: attrs.evolve(tally) for rule, tally in self.counts.items()}
        return ValidationResult(self.rows, tuple(self._findings), counts, dict(self.flagged))
