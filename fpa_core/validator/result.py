"""What a validation returns: the findings, the counts by rule, and the two halves of a table that was split."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import attrs

from fpa_core.exceptions import ValidationError
from fpa_core.protocols import Finding, Severity, Tally

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

__all__ = ["Ledger", "Refused", "Split", "ValidationResult", "merged"]


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
    :ivar result: the counts and findings, where :meth:`DataValidator.split` made it.
    """

    accepted: pa.Table
    accepted_rows: npt.NDArray[np.int64]
    refused: tuple[Refused, ...] = ()
    flagged: Mapping[str, int] = attrs.field(factory=dict)
    result: ValidationResult | None = None


@attrs.frozen
class ValidationResult:
    """What the rules say of one record or many.

    :ivar rows: how many records were judged.
    :ivar findings: what is wrong; of a large table, the first examples of each rule.
    :ivar counts: by rule id, how many records it judged, could not judge, and found wrong. These are complete.
    :ivar flagged: how many records that are valid nevertheless broke each rule of a lesser severity.
    :ivar rules: the rules that judged, as :meth:`DataValidator.rules` describes them: parameters, where each came from, plugin, version.
    :ivar tolerated: the rules that were broken, but not by more than their parameter ``tolerate`` allows. Each counts one severity less.
    :ivar again: the counts of rules about series among the accepted rows alone, where :meth:`DataValidator.split` was asked for them.
    """

    rows: int
    findings: tuple[Finding, ...] = ()
    counts: Mapping[str, Tally] = attrs.field(factory=dict)
    flagged: Mapping[str, int] = attrs.field(factory=dict)
    rules: tuple[Mapping[str, Any], ...] = attrs.field(default=(), repr=False)
    tolerated: frozenset[str] = frozenset()
    again: Mapping[str, Tally] | None = None

    @property
    def is_valid(self) -> bool:
        """Whether no rule of severity error was broken beyond what it tolerates."""
        return all(self.severity_of(finding) is not Severity.ERROR for finding in self.findings)

    def severity_of(self, finding: Finding) -> Severity:
        """Return how much a finding counts in the whole: one severity less where its rule tolerates it."""
        if finding.rule not in self.tolerated:
            return finding.severity
        return Severity.WARNING if finding.severity is Severity.ERROR else Severity.INFO

    def to_arrow(self) -> pa.Table:
        """Return the findings as a table: a row for each field that each finding is about.

        Its columns: ``row`` (position), ``kind``, ``key`` (symbol or account), ``timestamp``, ``rule``, ``severity``, ``field``, ``observed``,
        ``limit``, ``related`` (the other record), ``message``. Values are texts, exact; a finding about no field has one row.
        """
        import pyarrow as pa

        nothing: list[tuple[str | None, Any]] = [(None, None)]
        rows = [
            (finding, name, None if value is None else str(value))
            for finding in self.findings
            for name, value in [*finding.observed.items()] or nothing
        ]
        text, found = pa.string(), [finding for finding, _, _ in rows]
        return pa.table(
            {
                "row": pa.array([each.row for each in found], pa.int64()),
                "kind": pa.array([each.kind for each in found], text),
                "key": pa.array([each.subject for each in found], text),
                "timestamp": pa.array([each.ts_ns for each in found], pa.timestamp("ns", "UTC")),
                "rule": pa.array([each.rule for each in found], text),
                "severity": pa.array([str(each.severity) for each in found], text),
                "field": pa.array([name for _, name, _ in rows], text),
                "observed": pa.array([value for _, _, value in rows], text),
                "limit": pa.array([each.limit for each in found], text),
                "related": pa.array([each.related for each in found], text),
                "message": pa.array([each.message for each in found], text),
            }
        )

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
            "tolerated": sorted(self.tolerated),
        }

    def _sentences(self, severity: Severity) -> list[str]:
        return [
            f"{finding.rule}: {finding.message}" for finding in self.findings if self.severity_of(finding) is severity
        ]


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

    def result(self, rules: Iterable[Mapping[str, Any]] = ()) -> ValidationResult:
        """Return what is known so far; *rules* describes the rules in force."""
        counts = {rule: attrs.evolve(tally) for rule, tally in self.counts.items()}
        judged = tuple(rule for rule in rules if rule["id"] in counts)
        tolerated = frozenset(rule["id"] for rule in judged if _tolerates(rule.get("tolerate"), counts[rule["id"]]))
        return ValidationResult(self.rows, tuple(self._findings), counts, dict(self.flagged), judged, tolerated)


def _tolerates(most: float | None, tally: Tally) -> bool:
    if most is None or not tally.failed:
        return False
    return tally.failed <= (most if isinstance(most, int) else most * tally.evaluated)


def merged(results: Iterable[ValidationResult]) -> ValidationResult:
    """Return the results about several kinds of record as one; positions of rows stay those within each kind."""
    ledger = Ledger()
    rules: dict[str, Mapping[str, Any]] = {}
    for result in results:
        ledger.rows += result.rows
        for finding in result.findings:
            ledger.keep(finding)
        for rule, tally in result.counts.items():
            total = ledger.tally(rule)
            total.evaluated += tally.evaluated
            total.not_evaluated += tally.not_evaluated
            total.failed += tally.failed
        for rule, count in result.flagged.items():
            ledger.flag(rule, count)
        rules |= {rule["id"]: rule for rule in result.rules}
    return ledger.result(rules.values())
