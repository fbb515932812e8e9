"""Test a rule of one's own: the same verdicts for single records, whole tables and chunks of them."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from fpa_core.arrow.conversion import to_table
from fpa_core.exceptions import DataError
from fpa_core.kinds import kind_of
from fpa_core.models import Record
from fpa_core.plugins import PluginManager
from fpa_core.protocols import Finding, Tally
from fpa_core.validator import DataValidator, Rule, ValidationResult, configure

__all__ = ["check_rule"]

CHUNKS = (1, 2, 7)
"""The sizes of the chunks in which a table is validated once more."""


def check_rule(
    rule: Rule | type[Rule],
    records: Record | Iterable[Record],
    *,
    against: Mapping[str, Iterable[Record]] | None = None,
    level: str = "strict",
    now_ns: int | None = None,
) -> ValidationResult:
    """Validate records of one kind with one rule, and return the result: its findings, and its counts in ``counts[rule.id]``.

    A rule about rows or series is run on the records one by one, on a table, and on a table in chunks, which must agree.

    :param rule: the rule with its parameters, or the class for the defaults.
    :param against: the other records by the name of their kind, for a rule of scope ``dataset``.
    :param level: the built-in level; it decides the severity of the findings.
    :param now_ns: the current time in nanoseconds, for rules that need it; None for the system clock.
    :raises AssertionError: if the ways disagree, or if the rule fails with an error of its own.
    :raises DataError: if the records are of several kinds, or there are none.
    :raises ConfigError: if the rule class cannot be used.
    """
    given = [records] if isinstance(records, Record) else list(records)
    kinds = {kind_of(type(record)) for record in given}
    if len(kinds) != 1:
        raise DataError("records of one kind are needed to check a rule", value=sorted(kind.name for kind in kinds))
    (kind,) = kinds
    made = rule if isinstance(rule, Rule) else rule()
    validator = _validator(made, level, time.time_ns() if now_ns is None else now_ns)
    if made.scope == "dataset":
        result = validator.validate_dataset(
            {kind: given, **{name: list(others) for name, others in (against or {}).items()}}
        )
        _require_no_crash(result)
        return result
    result = validator.validate(given)
    _require_no_crash(result)
    table = to_table(kind, given)
    for size in (table.num_rows, *CHUNKS):
        run = validator.start_run()
        for start in range(0, table.num_rows, size):
            run.validate(kind, table.slice(start, size))
        _require_equal(made.id, result, run.result(), size)
    return result


def _validator(rule: Rule, level: str, now_ns: int) -> DataValidator:
    """Return a validator with one rule, on the backend that is installed."""
    backend = PluginManager(block=()).validators.require("rules")
    rules = configure([type(rule)], level, {rule.id: rule})
    return DataValidator(
        backend.create(backend.options(), rules), level=level, now_ns=lambda: now_ns, examples=1_000_000
    )


def _require_no_crash(result: ValidationResult) -> None:
    for finding in result.findings:
        if finding.rule.startswith("RULE_CRASHED: "):
            raise AssertionError(f"the rule failed with an error of its own in row {finding.row}: {finding.message}")


def _require_equal(rule: str, live: ValidationResult, table: ValidationResult, size: int) -> None:
    _require_no_crash(table)
    one, two = (_said(each.findings) for each in (live, table))
    if differing := sorted({row for row, _ in one ^ two}):
        row = differing[0]
        texts = [sorted(text for place, text in each if place == row) or ["nothing"] for each in (one, two)]
        raise AssertionError(
            f"row {row}: {rule} says {texts[0][0]!r} of the single record, and {texts[1][0]!r} in a table in chunks of {size} rows"
        )
    tally, other = (each.counts.get(rule, Tally()) for each in (live, table))
    if tally != other:
        raise AssertionError(
            f"{rule} counts {tally} for single records, and {other} for a table in chunks of {size} rows"
        )


def _said(findings: Sequence[Finding]) -> set[tuple[Any, str]]:
    return {(finding.row, f"{finding.severity}: {finding.message}") for finding in findings}
