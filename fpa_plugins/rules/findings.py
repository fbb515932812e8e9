"""Build findings from verdicts: the record, the rule, the values, and the reason."""

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
    """Return the finding on a record that broke a rule. *failure* has the reasons that do not follow from the record alone."""
    limit = related = None
    if failure is not None:
        message, limit, related = failure.message, failure.limit, failure.related
    else:
        try:
            message, limit = rule.describe(record), rule.limit(record)
        except Exception:  # noqa: BLE001  # keep the verdict even if the message cannot be built
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
    """Return the finding that a rule crashed on a record."""
    reason = crash.strip().rpartition("\n")[2]
    return Finding(
        CRASHED + rule.id,
        Severity.ERROR,
        f"the rule crashed: {reason}",
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
