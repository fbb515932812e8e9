"""Checks across records: the order of times, and snapshots with their positions."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet

import attrs

from fpa_core.exceptions import DataError
from fpa_core.models import PortfolioSnapshot, Position, Time
from fpa_core.numbers import ns_text, to_ns
from fpa_core.protocols import Finding, Severity
from fpa_core.validator.result import ResultBuilder, ValidationResult

__all__ = ["across", "validate_times", "with_positions"]

_TOLERANCE_NS = 10**9


def validate_times(timestamps: Iterable[Time], now_ns: int) -> ValidationResult:
    """Check that times do not go back, and that none is more than a second after *now_ns*."""
    builder = ResultBuilder()
    last: int | None = None
    for row, timestamp in enumerate(timestamps):
        builder.rows += 1
        problems: dict[str, str | None] = {"time.form": None}
        try:
            ns = to_ns(timestamp)
        except DataError as error:
            problems["time.form"] = error.message
        else:
            problems["time.order"] = problems["time.future"] = None
            if last is not None and ns < last:
                problems["time.order"] = f"{ns_text(ns)} comes after {ns_text(last)}"
            if ns > now_ns + _TOLERANCE_NS:
                problems["time.future"] = f"{ns_text(ns)} is after the current time, {ns_text(now_ns)}"
            last = ns
        for rule, problem in problems.items():
            tally = builder.tally(rule)
            tally.evaluated += 1
            if problem is not None:
                tally.failed += 1
                builder.keep(
                    Finding(
                        rule, Severity.ERROR, problem, "timestamps", observed={"timestamp": str(timestamp)}, row=row
                    )
                )
    return builder.result()


def with_positions(
    snapshots: Iterable[PortfolioSnapshot], positions: Iterable[Position]
) -> Iterator[PortfolioSnapshot]:
    """Yield the snapshots; one without positions gets the given positions of its account and time."""
    held: dict[tuple[str, int | None], list[Position]] = defaultdict(list)
    for position in positions:
        held[position.account, position.ts_ns].append(position)
    for snapshot in snapshots:
        found = held.get((snapshot.account, snapshot.ts_ns))
        yield snapshot if snapshot.positions or not found else attrs.evolve(snapshot, positions=found)


def across(result: ValidationResult, rules: AbstractSet[str]) -> ValidationResult:
    """Return the part of a result that compares records: findings of *rules*, and of the sum of a snapshot's positions."""
    kept = rules | {"snapshot.total"}
    return attrs.evolve(
        result,
        findings=tuple(finding for finding in result.findings if finding.rule in kept),
        counts={rule: tally for rule, tally in result.counts.items() if rule in kept},
        flagged={rule: count for rule, count in result.flagged.items() if rule in kept},
        rules=tuple(rule for rule in result.rules if rule["id"] in kept),
    )
