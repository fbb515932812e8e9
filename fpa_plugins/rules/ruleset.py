"""The rule engine: checks records one by one with ``check``, and validates whole tables with ``mask``."""

from __future__ import annotations

import traceback
from collections.abc import Mapping, MutableMapping, Sequence
from typing import TYPE_CHECKING, Any

from attrs import evolve

from fpa_core.arrow.conversion import from_table
from fpa_core.exceptions import PluginError
from fpa_core.kinds import KINDS, Kind, kind_of
from fpa_core.protocols import (
    RANKS,
    Capability,
    Failure,
    Finding,
    Reach,
    Severity,
    StoredBars,
    StoredOrder,
    Tally,
    Verdict,
)
from fpa_core.validator import Rule
from fpa_plugins.rules.bound_rules import BoundRule, RuleContext, with_present
from fpa_plugins.rules.findings import CRASHED, crash_finding, finding

if TYPE_CHECKING:
    import pyarrow as pa

    from fpa_core.validator.vectors import Columns

__all__ = ["RuleSet"]


class RuleSet:
    """A validator backend over rules. The rules of each kind are collected once.

    Rules about rows run first. A row that breaks one of them with severity error is not checked by the others, and is not part of any series, so
    that a wrong price does not make the next one, which is right, a jump.

    :param rules: rules as :func:`fpa_core.validator.configure` makes them; one without a severity gets that of level standard.
    """

    capabilities: frozenset[Capability] = frozenset({Capability.SESSIONS, Capability.REACH})

    def __init__(self, rules: Sequence[Rule] = ()) -> None:
        self._rules: dict[str, Rule] = {}
        self._plans: dict[str, tuple[BoundRule, ...]] = {}
        self._across: dict[str, tuple[BoundRule, ...]] = {}
        self._with_sessions: list[BoundRule] = []
        self._described: list[dict[str, Any]] | None = None
        for rule in rules:
            self._add(rule)
        self._gather()

    def add(self, rule: Rule) -> None:
        """Add and enable a rule.

        :raises PluginError: if its id is taken.
        """
        self._add(rule)
        self._gather()

    def _add(self, rule: Rule) -> None:
        if rule.id in self._rules:
            raise PluginError(f"duplicate rule {rule.id}", hint="choose another id")
        is_ready = rule.severity is not None or rule.overrides
        ready = rule if is_ready else rule.at("standard")
        if ready is not None:
            # Replace the collection instead of changing it: another thread may be validating.
            self._rules = {**self._rules, rule.id: ready}

    def _gather(self) -> None:
        self._described = None
        # Rules about rows first: rows they reject are not part of any series.
        in_order = sorted(self._rules.values(), key=lambda each: (each.scope != "row", each.priority, each.id))
        plans = {
            name: [BoundRule(each, kind) for each in in_order if name in each.kinds] for name, kind in KINDS.items()
        }
        self._across = {
            name: tuple(plan for plan in some if plan.rule.scope == "dataset") for name, some in plans.items()
        }
        self._plans = {
            name: tuple(plan for plan in some if plan.rule.scope != "dataset") for name, some in plans.items()
        }
        self._with_sessions = [
            BoundRule(each, KINDS[each.kinds[0]]) for each in in_order if type(each).sessions is not Rule.sessions
        ]

    def rules(self) -> Sequence[Mapping[str, Any]]:
        """Describe the enabled rules."""
        if self._described is None:
            self._described = [rule.as_dict() for rule in self._rules.values()]
        return self._described

    def check(
        self,
        record: Any,
        memory: MutableMapping[str, Any] | None = None,
        *,
        now_ns: int | None = None,
        tallies: MutableMapping[str, Tally] | None = None,
        stored: StoredOrder | None = None,
        stored_bars: StoredBars | None = None,
    ) -> Sequence[Finding]:
        """Check one record, and return the findings."""
        kind = kind_of(record)
        given = RuleContext(memory, now_ns, stored, stored_bars)
        findings: list[Finding] = []
        refused = False
        for plan in self._plans[kind.name]:
            rule = plan.rule if plan.plain else plan.pick(record)
            verdict: bool | Failure | None = None
            if rule is not None and not (refused and rule.scope != "row"):
                try:
                    verdict = rule.check(record, **plan.needs(given)) if rule.needs else rule.check(record)
                except Exception as error:  # noqa: BLE001  # a rule may raise anything, and must not stop the others
                    findings.append(crash_finding(rule, kind, record, "".join(traceback.format_exception(error))))
                    refused = refused or rule.scope == "row"
                    if tallies is not None:
                        _count(tallies, CRASHED + rule.id, False)
            if tallies is not None:
                _count(tallies, plan.rule.id, verdict)
            if verdict is not None and not verdict:
                assert rule is not None
                severity = rule.severity or Severity.ERROR
                failure = verdict if isinstance(verdict, Failure) else None
                findings.append(finding(rule, severity, kind, record, failure))
                if severity is Severity.ERROR:
                    refused = refused or rule.scope == "row"
                    if rule.stop and tallies is None:
                        break
        if len(findings) > 1:
            findings.sort(key=lambda each: RANKS[each.severity])
        return findings

    def validate(
        self,
        kind: Kind,
        table: pa.Table,
        memory: MutableMapping[str, Any] | None = None,
        *,
        records: Sequence[Any] | None = None,
        now_ns: int | None = None,
        stored: StoredOrder | None = None,
        stored_bars: StoredBars | None = None,
        others: Mapping[str, pa.Table] | None = None,
    ) -> Sequence[Verdict]:
        """Validate every row of a table. Return a verdict for each rule that applies and each severity it has, and one more for each crash.

        :raises DataError: if a column does not have the type of the kind.
        """
        from fpa_core.validator.vectors import Columns
        from fpa_plugins.rules.judging import judge, kept

        plans = self._plans[kind.name]
        across = [plan for plan in self._across[kind.name] if others and set(plan.rule.against) <= set(others)]
        if not plans and not across:
            return []
        columns = Columns(kind, table, records)
        given = with_present(RuleContext(memory, now_ns, stored, stored_bars))
        verdicts: list[Verdict] = []
        for plan in plans:
            if plan.rule.scope == "row":
                verdicts += _apart(judge(plan, columns, plan.needs(given)))
        within = kept(verdicts)
        for plan in plans:
            if plan.rule.scope != "row":
                verdicts += _apart(judge(plan, columns, plan.needs(given), within))
        if across:
            tables = {name: Columns(kind_of(name), other) for name, other in (others or {}).items()}
            for plan in across:
                verdicts += _apart(judge(plan, columns, {"others": tables, **plan.needs(given)}, within))
        return verdicts

    def reach(self, kind: Kind, table: pa.Table) -> Mapping[str, Sequence[Reach] | None]:
        """Return, by kind, which other rows the rules look at."""
        from fpa_core.validator.vectors import Columns

        columns = Columns(kind, table)
        found: dict[str, list[Reach] | None] = {}
        for plan in self._across[kind.name]:
            reaches = [_reach(rule, columns) for rule in plan.variants()]
            for name in plan.rule.against:
                known = found.setdefault(name, [])
                if known is not None:
                    found[name] = None if None in reaches else known + [each for each in reaches if each is not None]
        return found

    def explain(
        self,
        kind: Kind,
        verdict: Verdict,
        table: pa.Table,
        limit: int | None = None,
        *,
        records: Sequence[Any] | None = None,
    ) -> Sequence[Finding]:
        """Return the failures of a verdict as findings, at most *limit*, in the order of the rows."""
        import pyarrow.compute as pc

        rows = pc.indices_nonzero(pc.invert(pc.fill_null(verdict.passed, True)))[:limit]
        positions = rows.to_pylist()
        failed = from_table(kind, table.take(rows)) if records is None else [records[row] for row in positions]
        plan = self._plan(kind, verdict.rule.removeprefix(CRASHED))
        findings = []
        for row, record in zip(positions, failed, strict=True):
            rule = plan.of(getattr(record, kind.subject)) or plan.rule
            if verdict.crash is not None:
                found = crash_finding(rule, kind, record, verdict.crash)
            else:
                why = None if verdict.why is None else verdict.why(row)
                found = finding(rule, verdict.severity, kind, record, why)
            findings.append(evolve(found, row=row))
        return findings

    def sessions(self, subject: str, start_ns: int, end_ns: int) -> Sequence[tuple[int, int]] | None:
        """Return the sessions of a symbol's market that overlap a range of time; None if no rule has a calendar for all of it."""
        for plan in self._with_sessions:
            rule = plan.of(subject)
            found = None if rule is None else rule.sessions(start_ns, end_ns)
            if found is not None:
                return found
        return None

    def _plan(self, kind: Kind, rule: str) -> BoundRule:
        plans = (*self._plans[kind.name], *self._across[kind.name])
        return next(plan for plan in plans if plan.rule.id == rule)


def _reach(rule: Rule, columns: Columns) -> Reach | None:
    try:
        return rule.reach(columns)
    except Exception:  # noqa: BLE001  # a rule may raise anything: it gets all rows, and may raise again where that is told
        return None


def _apart(verdicts: list[Verdict]) -> list[Verdict]:
    """Mark, in several verdicts of one rule, the nulls that belong to the rows of the others, so that each row is counted once."""
    if len(verdicts) < 2:
        return verdicts
    first, *rest = verdicts
    own = [verdict for verdict in rest if verdict.rule == first.rule]
    if not own:
        return verdicts
    spoken = sum(len(verdict.passed) - verdict.passed.null_count for verdict in own)
    others = [
        evolve(verdict, covered_elsewhere=verdict.passed.null_count) if verdict.rule == first.rule else verdict
        for verdict in rest
    ]
    return [evolve(first, covered_elsewhere=spoken), *others]


def _count(tallies: MutableMapping[str, Tally], rule: str, verdict: bool | Failure | None) -> None:
    tally = tallies.get(rule)
    if tally is None:
        tally = tallies[rule] = Tally()
    if verdict is None:
        tally.not_evaluated += 1
    else:
        tally.evaluated += 1
        if not verdict:
            tally.failed += 1
