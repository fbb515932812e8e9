"""From a verdict to a finding: who broke which rule, with what values, and why."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fpa_core.kinds import Kind
from fpa_core.numbers import ns_text
from fpa_core.protocols import Failure, Finding, Severity
from fpa_core.validator import Rule

__all__ = ["CRASHED", "crash_finding", "finding"]

CRASHED = "RULE_CRASHED: "


def finding(rule: Rule, severity: Severity, kind: Kind, record: Any, failure: Failure | None) -> Finding:
    """Say of a record that broke a rule what is wrong with it; *failure* has the reasons that do not lie in the record."""
    limit = related = None
    if failure is not None:
        message, limit, related = failure.message, failure.limit, failure.related
    else:
        try:
            message, limit = rule.describe(record), rule.limit(record)
        except Exception:  # noqa: BLE001  # the verdict stands, whatever befalls the sentence
            message = rule.summary
    observed = dict(_observed(rule, kind, record))
    return Finding(
        rule.id,
        severity,
        message,
        kind.name,
        _subject(kind, record),
        record.ts_ns,
        observed,
        limit=limit,
        related=related,
    )


def crash_finding(rule: Rule, kind: Kind, record: Any, crash: str) -> Finding:
    """Say of a record that a rule crashed on it."""
    reason = crash.strip().rpartition("\n")[2]
    return Finding(
        CRASHED + rule.id,
        Severity.ERROR,
        f"the rule failed instead of judging: {reason}",
        kind.name,
        _subject(kind, record),
        record.ts_ns,
        {"traceback": crash},
    )


def _observed(rule: Rule, kind: Kind, record: Any) -> Sequence[tuple[str, Any]]:
    values = []
    for name in rule.fields:
        value = getattr(record, name)
        column = kind.by_field.get(name)
        is_time = column is not None and column.type == "time" and value is not None
        values.append((column.name if column else name, ns_text(value) if is_time else value))
    return values


def _subject(kind: Kind, record: Any) -> str | None:
    subject: str | None = getattr(record, kind.subject)
    return subject
