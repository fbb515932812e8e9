"""Validation of tables that arrive in chunks."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import attrs

from fpa_core.kinds import Kind, kind_of
from fpa_core.protocols import RANKS, Failure, Finding, Severity, StoredBars, StoredOrder, ValidatorBackend, Verdict
from fpa_core.validator.result import Refused, ResultBuilder, Split, ValidationResult

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Clock", "ValidationRun"]

Clock = Callable[[], int]
"""Returns the current time in nanoseconds since 1970."""


class ValidationRun:
    """Validates tables that arrive in chunks, and counts over all of them in bounded memory.

    :param stored: looks up the order that is stored under an id; ``stored_bars`` looks up stored bars.
    :param rules: returns descriptions of the enabled rules.
    """

    def __init__(
        self,
        backend: ValidatorBackend,
        now_ns: Clock,
        examples: int,
        *,
        stored: StoredOrder | None = None,
        stored_bars: StoredBars | None = None,
        rules: Callable[[], Sequence[Mapping[str, Any]]] = list,
    ) -> None:
        self._backend = backend
        self._now_ns = now_ns
        self._stored = stored
        self._stored_bars = stored_bars
        self._rules = rules
        self._memory: dict[str, Any] = {}
        self._builder = ResultBuilder(examples)

    def split(self, kind: Kind | str, table: pa.Table, records: Sequence[Any] | None = None) -> Split:
        """Split the rows into those that break a rule of severity error and the others.

        :param records: the same rows as records, if the caller has them.
        """
        import numpy as np
        import pyarrow.compute as pc

        kind = kind_of(kind)
        broken = self._validate(kind, table, records)
        refused = _refused(broken)
        flagged = self._flag(broken, refused)
        if refused is None:
            return Split(table, np.arange(table.num_rows), (), flagged)
        accepted = pc.invert(refused)
        rows = np.flatnonzero(accepted.to_numpy(zero_copy_only=False))
        return Split(table.filter(accepted), rows, self._explain(kind, table, records, broken, refused), flagged)

    def validate(
        self,
        kind: Kind | str,
        table: pa.Table,
        records: Sequence[Any] | None = None,
        *,
        others: Mapping[str, pa.Table] | None = None,
    ) -> None:
        """Validate the rows without splitting them; *records* as for :meth:`split`.

        :param others: other tables by the name of their kind, for rules of scope ``dataset``.
        """
        broken = self._validate(kind_of(kind), table, records, others)
        self._flag(broken, _refused(broken))

    def result(self) -> ValidationResult:
        """Return the result so far."""
        return self._builder.result(self._rules())

    def _validate(
        self,
        kind: Kind,
        table: pa.Table,
        records: Sequence[Any] | None,
        others: Mapping[str, pa.Table] | None = None,
    ) -> list[Verdict]:
        """Validate the rows, update the result, and return the verdicts with failures."""
        verdicts = self._backend.validate(
            kind,
            table,
            self._memory,
            records=records,
            now_ns=self._now_ns(),
            stored=self._stored,
            stored_bars=self._stored_bars,
            others=others,
        )
        broken = []
        for verdict in verdicts:
            failed = _count_failed(verdict)
            tally = self._builder.tally(verdict.rule)
            tally.not_evaluated += verdict.passed.null_count - verdict.covered_elsewhere
            tally.evaluated += len(verdict.passed) - verdict.passed.null_count
            tally.failed += failed
            if failed:
                broken.append(verdict)
                if room := self._builder.room(verdict.rule):
                    for finding in self._backend.explain(kind, verdict, table, room, records=records):
                        assert finding.row is not None
                        self._builder.keep(attrs.evolve(finding, row=self._builder.rows + finding.row))
        self._builder.rows += table.num_rows
        return broken

    def _flag(self, broken: Sequence[Verdict], refused: pa.BooleanArray | None) -> dict[str, int]:
        """Count the accepted rows that broke each rule."""
        import pyarrow.compute as pc

        flagged = {}
        for verdict in broken:
            failed = _failed(verdict) if refused is None else pc.and_not(_failed(verdict), refused)
            if failed.true_count:
                flagged[verdict.rule] = failed.true_count
                self._builder.flag(verdict.rule, failed.true_count)
        return flagged

    def _explain(
        self,
        kind: Kind,
        table: pa.Table,
        records: Sequence[Any] | None,
        broken: Sequence[Verdict],
        refused: pa.BooleanArray,
    ) -> tuple[Refused, ...]:
        """Return all findings of each rejected row."""
        import pyarrow.compute as pc

        rows = pc.indices_nonzero(refused)
        part = table.take(rows)
        positions = rows.to_pylist()
        chosen = None if records is None else [records[position] for position in positions]
        findings: list[list[Finding]] = [[] for _ in positions]
        for verdict in broken:
            narrowed = attrs.evolve(verdict, passed=verdict.passed.take(rows), why=_narrowed(verdict.why, positions))
            for finding in self._backend.explain(kind, narrowed, part, records=chosen):
                assert finding.row is not None
                findings[finding.row].append(attrs.evolve(finding, row=positions[finding.row]))
        worst_first = (sorted(found, key=lambda each: RANKS[each.severity]) for found in findings)
        return tuple(Refused(position, tuple(found)) for position, found in zip(positions, worst_first, strict=True))


def _narrowed(why: Callable[[int], Failure] | None, positions: Sequence[int]) -> Callable[[int], Failure] | None:
    return None if why is None else lambda row: why(positions[row])


def _count_failed(verdict: Verdict) -> int:
    passed = verdict.passed
    return int(len(passed) - passed.null_count - passed.true_count)


def _failed(verdict: Verdict) -> pa.BooleanArray:
    import pyarrow.compute as pc

    return pc.fill_null(pc.invert(verdict.passed), False)


def _refused(broken: Sequence[Verdict]) -> pa.BooleanArray | None:
    """Return which rows broke a rule of severity error; None if no row did."""
    import pyarrow.compute as pc

    errors = [_failed(verdict) for verdict in broken if verdict.severity is Severity.ERROR]
    return functools.reduce(pc.or_, errors) if errors else None
