"""Results of validation: the findings, the counts by rule, and the two parts of a table that was split."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import attrs

from fpa_core.exceptions import ValidationError
from fpa_core.protocols import Finding, Severity, Tally

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd
    import polars as pl
    import pyarrow as pa

__all__ = ["Refused", "ResultBuilder", "Split", "ValidationResult", "merged"]


class Refused(NamedTuple):
    """A rejected row: its position in the table, and all its findings."""

    row: int
    findings: tuple[Finding, ...]


@attrs.frozen(eq=False)
class Split:
    """A table split in two parts; every row is in exactly one.

    :ivar accepted: the rows that broke no rule of severity error, in their order.
    :ivar accepted_rows: their positions in the table that was split, from 0.
    :ivar refused: the rejected rows, in their order.
    :ivar flagged: number of accepted rows that broke each rule of a lower severity.
    :ivar result: the counts and findings, if made by :meth:`DataValidator.split`; else None.
    """

    accepted: pa.Table
    accepted_rows: npt.NDArray[np.int64]
    refused: tuple[Refused, ...] = ()
    flagged: Mapping[str, int] = attrs.field(factory=dict)
    result: ValidationResult | None = None


@attrs.frozen
class ValidationResult:
    """The result of validating one record or many.

    :ivar rows: number of records validated.
    :ivar findings: the problems found; for a table, the first examples of each rule.
    :ivar counts: by rule id, the numbers of records evaluated, not evaluated and failed. They are complete.
    :ivar flagged: number of valid records that broke each rule of a lower severity.
    :ivar rules: the rules applied, as described by :meth:`DataValidator.rules`.
    :ivar tolerated: the rules broken by no more records than their parameter ``tolerate`` allows; their severity is lowered by one.
    :ivar accepted_series_counts: the counts of series rules among the accepted rows alone, if made by :meth:`DataValidator.split`.
    """

    rows: int
    findings: tuple[Finding, ...] = ()
    counts: Mapping[str, Tally] = attrs.field(factory=dict)
    flagged: Mapping[str, int] = attrs.field(factory=dict)
    rules: tuple[Mapping[str, Any], ...] = attrs.field(default=(), repr=False)
    tolerated: frozenset[str] = frozenset()
    accepted_series_counts: Mapping[str, Tally] | None = None

    @property
    def is_valid(self) -> bool:
        """Whether no rule of severity error was broken by more records than it tolerates."""
        return all(self.severity_of(finding) is not Severity.ERROR for finding in self.findings)

    def severity_of(self, finding: Finding) -> Severity:
        """Return the severity of a finding, lowered by one if its rule tolerates it."""
        if finding.rule not in self.tolerated:
            return finding.severity
        return Severity.WARNING if finding.severity is Severity.ERROR else Severity.INFO

    def sentence(self, finding: Finding) -> str:
        """Return what is wrong, in a sentence: what the rule says of the record, or what it expects and what it got."""
        expected = next((rule.get("summary") for rule in self.rules if rule["id"] == finding.rule), None)
        text = finding.message.rstrip(".")
        seen = ", ".join(
            f"{name} {'missing' if value is None else value}"
            for name, value in finding.observed.items()
            if value is None or str(value) not in text
        )
        if finding.message == expected:
            text = f"expected: {text[:1].lower()}{text[1:]}"
            text += f"; got: {seen}" if seen else ""
        elif seen:
            text += f" ({seen})"
        return f"{text}; before: {finding.related}" if finding.related and finding.related not in text else text

    def to_arrow(self) -> pa.Table:
        """Return the findings as a table, with a row for each field of each finding.

        Its columns: ``row`` (position), ``kind``, ``key`` (symbol or account), ``timestamp``, ``rule``, ``severity``, ``field``, ``observed``,
        ``limit``, ``related`` (the other record), ``message``. Values are exact texts; a finding without fields has one row.
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

    def to_pandas(self) -> pd.DataFrame:
        """Return the findings as a pandas frame, with the columns of :meth:`to_arrow`."""
        from fpa_core.arrow import frames

        return frames.to_pandas(self.to_arrow())

    def to_polars(self) -> pl.DataFrame:
        """Return the findings as a polars frame, with the columns of :meth:`to_arrow`."""
        from fpa_core.arrow import frames

        return frames.to_polars(self.to_arrow())

    def write(self, path: str | os.PathLike[str]) -> int:
        """Write the table of the findings to a file, and return its number of rows; its name ends in ``.parquet``, ``.csv`` or ``.jsonl``."""
        from fpa_core.export import write_table

        return write_table(self.to_arrow(), path)

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
        """Raise a ValidationError that carries the findings, if the result is not valid."""
        if not self.is_valid:
            raise ValidationError("; ".join(self.errors), findings=self.findings)

    def as_dict(self) -> dict[str, Any]:
        """Return JSON-compatible values."""
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


class ResultBuilder:
    """Collects the counts and the first findings of each rule during a run, in bounded memory.

    :param examples: number of findings to keep of each rule; None for all.
    """

    def __init__(self, examples: int | None = None) -> None:
        self.rows = 0
        self.counts: dict[str, Tally] = {}
        self.flagged: dict[str, int] = {}
        self._examples = examples
        self._findings: list[Finding] = []
        self._kept: dict[str, int] = {}

    def tally(self, rule: str) -> Tally:
        """Return the counts of *rule*, which the caller increases."""
        return self.counts.setdefault(rule, Tally())

    def flag(self, rule: str, count: int) -> None:
        """Count accepted records that broke *rule*."""
        if count:
            self.flagged[rule] = self.flagged.get(rule, 0) + count

    def room(self, rule: str) -> int | None:
        """Return how many more findings of *rule* will be kept; None for any number."""
        return None if self._examples is None else self._examples - self._kept.get(rule, 0)

    def keep(self, finding: Finding) -> None:
        """Keep *finding*, if there is room."""
        if self.room(finding.rule) != 0:
            self._kept[finding.rule] = self._kept.get(finding.rule, 0) + 1
            self._findings.append(finding)

    def result(self, rules: Iterable[Mapping[str, Any]] = ()) -> ValidationResult:
        """Return the result so far; *rules* describes the enabled rules."""
        counts = {rule: attrs.evolve(tally) for rule, tally in self.counts.items()}
        applied = tuple(rule for rule in rules if rule["id"] in counts)
        tolerated = frozenset(rule["id"] for rule in applied if _tolerates(rule.get("tolerate"), counts[rule["id"]]))
        return ValidationResult(self.rows, tuple(self._findings), counts, dict(self.flagged), applied, tolerated)


def _tolerates(most: float | None, tally: Tally) -> bool:
    if most is None or not tally.failed:
        return False
    return tally.failed <= (most if isinstance(most, int) else most * tally.evaluated)


def merged(results: Iterable[ValidationResult], examples: int | None = None) -> ValidationResult:
    """Return several results as one; row positions remain those within each.

    :param examples: number of findings to keep of each rule; None for all.
    """
    builder = ResultBuilder(examples)
    rules: dict[str, Mapping[str, Any]] = {}
    for result in results:
        builder.rows += result.rows
        for finding in result.findings:
            builder.keep(finding)
        for rule, tally in result.counts.items():
            total = builder.tally(rule)
            total.evaluated += tally.evaluated
            total.not_evaluated += tally.not_evaluated
            total.failed += tally.failed
        for rule, count in result.flagged.items():
            builder.flag(rule, count)
        rules |= {rule["id"]: rule for rule in result.rules}
    return builder.result(rules.values())
