"""The rules as they apply to rejected records, which have lost the rows around them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from attrs import evolve

from fpa_core.exceptions import DataError
from fpa_core.ingest.entries import rejected_record
from fpa_core.kinds import kind_of
from fpa_core.protocols import Finding, Quarantined, Severity

if TYPE_CHECKING:
    from fpa_core.validator import DataValidator

__all__ = ["ReplayRules"]

CRASHED = "RULE_CRASHED: "
"""The prefix of the findings of a rule that raised an exception."""


class ReplayRules:
    """Checks rejected records against the enabled rules.

    :param ignore_rules: ids of rules whose errors count as warnings.
    :raises DataError: if one of them is unknown or disabled.
    """

    def __init__(self, validator: DataValidator, ignore_rules: Collection[str] = ()) -> None:
        rules = {rule["id"]: rule for rule in validator.rules()}
        if isinstance(ignore_rules, str) or not isinstance(ignore_rules, Iterable):
            raise DataError(
                f"ignore_rules: a collection of rule ids is needed, not {ignore_rules!r}", field="ignore_rules"
            )
        if unknown := [rule for rule in ignore_rules if not isinstance(rule, str) or rule not in rules]:
            raise DataError(
                f"rule {unknown[0]!r} is unknown or disabled; nothing to ignore",
                hint="`fpa rules` lists the enabled rules",
                field="ignore_rules",
                value=unknown[0],
            )
        self._validator = validator
        self._ignored = frozenset(ignore_rules)
        beyond = [rule for rule in rules.values() if rule["scope"] != "row"]
        self._beyond = frozenset(rule["id"] for rule in beyond)
        self._errors = frozenset(rule["id"] for rule in beyond if _rejects(rule))

    def check(self, record: Any, earlier: Sequence[Mapping[str, Any]]) -> Sequence[Finding]:
        """Return what rules about single records find now, and the *earlier* findings of other rules that are still errors."""
        now = [each for each in self._validator.check(record) if _rule(each.rule) not in self._beyond]
        then = [
            _finding(record, each)
            for each in earlier
            if each["severity"] == "error" and _rule(each["rule"]) in self._errors
        ]
        return [
            evolve(each, severity=Severity.WARNING) if _rule(each.rule) in self._ignored else each
            for each in (*now, *then)
        ]

    def rejected(self, record: Any, row: int | None, findings: Sequence[Finding]) -> Quarantined:
        """Return the quarantine entry of a record."""
        return rejected_record(record, row, findings)


def _rule(name: str) -> str:
    return name.removeprefix(CRASHED)


def _rejects(rule: Mapping[str, Any]) -> bool:
    """Return whether a rule has severity error for at least some records."""
    severities = [rule["severity"], *(each.get("severity") for each in rule.get("overrides", {}).values())]
    return Severity.ERROR in severities


def _finding(record: Any, earlier: Mapping[str, Any]) -> Finding:
    kind = kind_of(record)
    rest = {name: earlier[name] for name in ("limit", "related") if name in earlier}
    return Finding(
        earlier["rule"],
        Severity(earlier["severity"]),
        earlier["message"],
        kind.name,
        getattr(record, kind.subject),
        record.ts_ns,
        earlier["observed"],
        **rest,
    )
