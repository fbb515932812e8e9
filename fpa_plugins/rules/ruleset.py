"""The rule engine: judges records one by one with ``check``, and whole tables with ``mask``."""

from __future__ import annotations

import time
import traceback
from collections.abc import Mapping, MutableMapping, Sequence
from typing import TYPE_CHECKING, Any

from attrs import evolve, frozen

from fpa_core.exceptions import PluginError
from fpa_core.numbers import ns_text
from fpa_core.protocols import Capability, Finding, Severity, Tally, Verdict
from fpa_core.records import KINDS, Kind, from_table, kind_of
from fpa_core.validator import Rule

if TYPE_CHECKING:
    import pyarrow as pa

    from fpa_core.validator.vectors import Columns

__all__ = ["RuleSet", "RulesOptions"]

CRASHED = "RULE_CRASHED: "


@frozen
class RulesOptions:
    """Settings of the rule engine: it has none beside the rules' own."""


class RuleSet:
    """A validator backend over rules. The rules of each kind are gathered once; judging calls them and nothing else.

    :param rules: rules as :func:`fpa_core.validator.configure` makes them; one without a severity gets that of level standard.
    """

    capabilities: frozenset[Capability] = frozenset()

    def __init__(self, rules: Sequence[Rule] = ()) -> None:
        self._rules: dict[str, Rule] = {}
        self._by_kind: dict[str, tuple[Rule, ...]] = {}
        for rule in rules:
            self.add(rule)

    def add(self, rule: Rule) -> None:
        """Put one more rule in force.

        :raises PluginError: when its id is taken.
        """
        if rule.id in self._rules:
            raise PluginError(f"there is already a rule {rule.id}", hint="choose another id")
        ready = rule if rule.severity else rule.at("standard")
        if ready is None:
            return
        # New collections in place of the old: another thread may be judging.
        self._rules = {**self._rules, rule.id: ready}
        in_order = sorted(self._rules.values(), key=lambda each: (each.priority, each.id))
        self._by_kind = {name: tuple(each for each in in_order if name in each.kinds) for name in KINDS}

    def rules(self) -> Sequence[Mapping[str, Any]]:
        """Describe the rules in force."""
        return [rule.as_dict() for rule in self._rules.values()]

    def check(
        self,
        record: Any,
        memory: MutableMapping[str, Any] | None = None,
        *,
        now_ns: int | None = None,
        tallies: MutableMapping[str, Tally] | None = None,
    ) -> Sequence[Finding]:
        """Judge one record; nothing found means nothing wrong."""
        kind = kind_of(record)
        findings: list[Finding] = []
        for rule in self._by_kind.get(kind.name, ()):
            try:
                verdict = rule.check(record, **_needs(rule, memory, now_ns)) if rule.needs else rule.check(record)
            except Exception as error:  # noqa: BLE001  # a rule may fail in any way, and none may stop the others
                verdict = None
                findings.append(_crashed(rule, kind, record, error))
                if tallies is not None:
                    _count(tallies, CRASHED + rule.id, passed=False)
            if tallies is not None:
                _count(tallies, rule.id, passed=verdict)
            if verdict is not None and not verdict:
                findings.append(_finding(rule, kind, record))
        return findings

    def inspect(
        self,
        kind: Kind,
        table: pa.Table,
        memory: MutableMapping[str, Any] | None = None,
        *,
        records: Sequence[Any] | None = None,
        now_ns: int | None = None,
    ) -> Sequence[Verdict]:
        """Judge every row of a table; one verdict a rule that applies, and one more for each that crashed.

        :raises DataError: when a column is not of the kind's type.
        """
        from fpa_core.validator.vectors import Columns

        rules = self._by_kind.get(kind.name, ())
        if not rules:
            return []
        columns = Columns(kind, table, records)
        now_ns = time.time_ns() if now_ns is None else now_ns
        return [verdict for rule in rules for verdict in _verdicts(rule, columns, _needs(rule, memory, now_ns))]

    def explain(
        self,
        kind: Kind,
        verdict: Verdict,
        table: pa.Table,
        limit: int | None = None,
        *,
        records: Sequence[Any] | None = None,
    ) -> Sequence[Finding]:
        """Turn the failures of a verdict into findings, at most *limit*, in the order of the rows."""
        import pyarrow.compute as pc

        rows = pc.indices_nonzero(pc.invert(pc.fill_null(verdict.passed, True)))[:limit]
        positions = rows.to_pylist()
        failed = from_table(kind, table.take(rows)) if records is None else [records[row] for row in positions]
        rule = self._rules[verdict.rule.removeprefix(CRASHED)]
        return [
            evolve(
                _finding(rule, kind, record)
                if verdict.crash is None
                else _crash_finding(rule, kind, record, verdict.crash),
                row=row,
            )
            for row, record in zip(positions, failed, strict=True)
        ]


def _needs(rule: Rule, memory: MutableMapping[str, Any] | None, now_ns: int | None) -> dict[str, Any]:
    given: dict[str, Any] = {}
    if "now_ns" in rule.needs:
        given["now_ns"] = time.time_ns() if now_ns is None else now_ns
    if "memory" in rule.needs:
        given["memory"] = {} if memory is None else memory.setdefault(rule.id, {})
    return given


def _count(tallies: MutableMapping[str, Tally], rule: str, *, passed: bool | None) -> None:
    tally = tallies.get(rule)
    if tally is None:
        tally = tallies[rule] = Tally()
    if passed is None:
        tally.not_evaluated += 1
    else:
        tally.evaluated += 1
        if not passed:
            tally.failed += 1


def _verdicts(rule: Rule, columns: Columns, given: Mapping[str, Any]) -> list[Verdict]:
    """Judge a table by one rule: by its mask, or by its check where there is none, or where Arrow cannot take the columns."""
    import pyarrow as pa

    severity = rule.severity or Severity.ERROR
    if rule.mask is not None:
        try:
            return [Verdict(rule.id, severity, _as_verdicts(rule.mask(columns, **given), len(columns)))]
        except (
            pa.ArrowInvalid,
            pa.ArrowNotImplementedError,
        ):  # no Arrow function for such columns: row by row, with equal verdicts
            return _by_rows(rule, severity, columns.records, given)
        except Exception:  # noqa: BLE001  # as in check
            rows = len(columns)
            nothing, false = pa.nulls(rows, pa.bool_()), pa.repeat(pa.scalar(False), rows)
            crash = traceback.format_exc()
            return [Verdict(rule.id, severity, nothing), Verdict(CRASHED + rule.id, Severity.ERROR, false, crash)]
    return _by_rows(rule, severity, columns.records, given)


def _as_verdicts(result: Any, rows: int) -> pa.BooleanArray:
    import pyarrow as pa

    array = result if isinstance(result, pa.Array | pa.ChunkedArray) else result.to_arrow()
    array = array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array
    if not pa.types.is_boolean(array.type) or len(array) != rows:
        raise TypeError(f"the mask gave {len(array)} values of type {array.type}, not {rows} booleans")
    return array


def _by_rows(rule: Rule, severity: Severity, records: Sequence[Any], given: Mapping[str, Any]) -> list[Verdict]:
    import pyarrow as pa

    passed: list[bool | None] = []
    crashed: set[int] = set()
    crash = ""
    for row, record in enumerate(records):
        try:
            verdict = rule.check(record, **given)
        except Exception:  # noqa: BLE001  # as in check
            crash = crash or traceback.format_exc()
            crashed.add(row)
            verdict = None
        passed.append(None if verdict is None else bool(verdict))
    verdicts = [Verdict(rule.id, severity, pa.array(passed, pa.bool_()))]
    if crashed:
        failed = pa.array([False if row in crashed else None for row in range(len(passed))], pa.bool_())
        verdicts.append(Verdict(CRASHED + rule.id, Severity.ERROR, failed, crash))
    return verdicts


def _finding(rule: Rule, kind: Kind, record: Any) -> Finding:
    try:
        message = rule.describe(record)
    except Exception:  # noqa: BLE001  # the verdict stands, whatever befalls the sentence
        message = rule.summary
    observed = dict(_observed(rule, kind, record))
    return Finding(
        rule.id, rule.severity or Severity.ERROR, message, kind.name, _subject(kind, record), record.ts_ns, observed
    )


def _observed(rule: Rule, kind: Kind, record: Any) -> Sequence[tuple[str, Any]]:
    values = []
    for name in rule.fields:
        value = getattr(record, name)
        column = kind.by_field.get(name)
        is_time = column is not None and column.type == "time" and value is not None
        values.append((column.name if column else name, ns_text(value) if is_time else value))
    return values


def _crashed(rule: Rule, kind: Kind, record: Any, error: Exception) -> Finding:
    return _crash_finding(rule, kind, record, "".join(traceback.format_exception(error)))


def _crash_finding(rule: Rule, kind: Kind, record: Any, crash: str) -> Finding:
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


def _subject(kind: Kind, record: Any) -> str | None:
    subject: str | None = getattr(record, kind.subject)
    return subject
