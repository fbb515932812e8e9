"""DataValidator, the class users meet: it asks a validator backend, counts what that says, and splits good rows from bad ones."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterable, Mapping, MutableMapping, Sequence
from typing import TYPE_CHECKING, Any, get_args

import attrs

from fpa_core.exceptions import DataError, PluginError
from fpa_core.models import Bar, Number, Order, PortfolioSnapshot, Position, Quote, Record, Time, Trade
from fpa_core.protocols import Finding, Severity, ValidatorBackend, Verdict
from fpa_core.records import Kind, kind_of
from fpa_core.validator import consistency
from fpa_core.validator.result import Ledger, Refused, Split, ValidationResult
from fpa_core.validator.rule import Rule, rule_problems

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["DataValidator", "Examination"]

Clock = Callable[[], int]
"""Tells the present moment in nanoseconds since 1970."""

_RECORDS = get_args(Record)


class DataValidator:
    """Judges records and tables by the rules of its backend.

    :param level: the level at which rules added by :meth:`register` apply.
    :param now_ns: the clock, for rules about time.
    :param examples: findings kept of each rule when many records are judged; counts are always complete.
    """

    def __init__(
        self, backend: ValidatorBackend, *, level: str = "standard", now_ns: Clock = time.time_ns, examples: int = 20
    ) -> None:
        self.backend = backend
        self.level = level
        self._now_ns = now_ns
        self._examples = examples

    def check(self, record: Record, memory: MutableMapping[str, Any] | None = None) -> tuple[Finding, ...]:
        """Return what is wrong with one record; the quickest way for live data.

        :param memory: what rules about series remember from one record to the next: the same mapping each time, empty at first.
        """
        return tuple(self.backend.check(record, memory, now_ns=self._now_ns()))

    def validate(
        self, what: Record | Iterable[Record] | tuple[Kind | str, pa.Table], *, examples: int | None = None
    ) -> ValidationResult:
        """Judge a record, any number of them, or a table given as ``(kind, table)``.

        :param examples: findings to keep of each rule of a table; the validator's own number unless given. Of records all are kept.
        """
        if isinstance(what, _RECORDS):
            what = (what,)
        if isinstance(what, tuple) and len(what) == 2 and hasattr(what[1], "num_rows"):
            examination = Examination(self.backend, self._now_ns, examples or self._examples)
            examination.count(kind_of(what[0]), what[1])
            return examination.result()
        return self._validate_records(what)

    def _validate_records(self, records: Any) -> ValidationResult:
        ledger = Ledger()
        memory: dict[str, Any] = {}
        for row, record in enumerate(records):
            findings = self.backend.check(record, memory, now_ns=self._now_ns(), tallies=ledger.counts)
            ledger.rows += 1
            if findings:
                refused = any(finding.severity is Severity.ERROR for finding in findings)
                for finding in findings:
                    ledger.keep(attrs.evolve(finding, row=row))
                    ledger.flag(finding.rule, 0 if refused else 1)
        return ledger.result()

    def begin(self) -> Examination:
        """Begin to examine rows that come in chunks."""
        return Examination(self.backend, self._now_ns, self._examples)

    def register(self, rule: Rule | type[Rule]) -> None:
        """Put a rule in force that comes from no plugin.

        :raises PluginError: when its id is taken, or it is no usable rule.
        """
        if problems := rule_problems(rule if isinstance(rule, type) else type(rule)):
            raise PluginError(f"this rule cannot be used: {'; '.join(problems)}")
        made = rule if isinstance(rule, Rule) else rule()
        if (effective := made.at(self.level)) is not None:
            self.backend.add(effective)

    def rules(self) -> Sequence[Mapping[str, Any]]:
        """Describe the rules in force: id, kinds, severity, parameters with their values and defaults, what they say."""
        return self.backend.rules()

    def validate_quote(self, quote: Quote) -> ValidationResult:
        """Judge a quote."""
        return self._validate_one(quote, Quote)

    def validate_trade(self, trade: Trade) -> ValidationResult:
        """Judge a trade."""
        return self._validate_one(trade, Trade)

    def validate_bar(self, bar: Bar) -> ValidationResult:
        """Judge a bar."""
        return self._validate_one(bar, Bar)

    def validate_order(self, order: Order) -> ValidationResult:
        """Judge an order as it stands."""
        return self._validate_one(order, Order)

    def validate_position(self, position: Position) -> ValidationResult:
        """Judge a position."""
        return self._validate_one(position, Position)

    def validate_portfolio_snapshot(self, snapshot: PortfolioSnapshot) -> ValidationResult:
        """Judge a snapshot and each of its positions."""
        self._require(snapshot, PortfolioSnapshot)
        return self.validate([snapshot, *snapshot.positions])

    def _validate_one(self, record: Record, record_class: type[Any]) -> ValidationResult:
        self._require(record, record_class)
        return self.validate(record)

    @staticmethod
    def _require(record: object, record_class: type[Any]) -> None:
        if not isinstance(record, record_class):
            raise DataError(f"a {record_class.__name__} is needed, not {type(record).__name__}", value=record)

    def validate_price_bounds(self, symbol: str, price: Number) -> bool:
        """Tell whether *price* is one at which *symbol* could trade.

        It is, unless a rule about the price of trades warns of it or refuses it; ``trade.bounds`` takes limits.
        """
        trade = Trade(symbol, self._now_ns(), price, 1)
        return not any(
            finding.severity is not Severity.INFO and "price" in finding.observed for finding in self.check(trade)
        )

    def validate_timestamp_consistency(self, timestamps: Iterable[Time]) -> ValidationResult:
        """Judge whether times never step back and none lies in the future; each that does, or is no time, is an error."""
        return consistency.examine_times(timestamps, self._now_ns())

    def validate_data_consistency(
        self,
        quotes: Iterable[Quote] = (),
        trades: Iterable[Trade] = (),
        *,
        snapshots: Iterable[PortfolioSnapshot] = (),
        positions: Iterable[Position] = (),
    ) -> ValidationResult:
        """Judge records against each other: trades against the quote that stood, snapshots against the positions of their account and time."""
        against_quotes = consistency.examine_trades(quotes, trades)
        whole = self.validate(consistency.with_positions(snapshots, positions))
        return consistency.joined(against_quotes, whole)


class Examination:
    """Judges rows that come in chunks, counting over all of them in bounded memory."""

    def __init__(self, backend: ValidatorBackend, now_ns: Clock, examples: int) -> None:
        self._backend = backend
        self._now_ns = now_ns
        self._memory: dict[str, Any] = {}
        self._ledger = Ledger(examples)

    def split(self, kind: Kind | str, table: pa.Table, records: Sequence[Any] | None = None) -> Split:
        """Part the rows that break a rule of severity error from those that break none.

        :param records: the same rows as records, where the caller has them.
        """
        import numpy as np
        import pyarrow.compute as pc

        kind = kind_of(kind)
        broken = self._judge(kind, table, records)
        refused = _refused(broken)
        flagged = self._flag(broken, refused)
        if refused is None:
            return Split(table, np.arange(table.num_rows), (), flagged)
        accepted = pc.invert(refused)
        rows = np.flatnonzero(accepted.to_numpy(zero_copy_only=False))
        return Split(table.filter(accepted), rows, self._explain(kind, table, records, broken, refused), flagged)

    def count(self, kind: Kind | str, table: pa.Table, records: Sequence[Any] | None = None) -> None:
        """Judge the rows without parting them; *records* as for :meth:`split`."""
        broken = self._judge(kind_of(kind), table, records)
        self._flag(broken, _refused(broken))

    def result(self) -> ValidationResult:
        """Return what was found so far."""
        return self._ledger.result()

    def _judge(self, kind: Kind, table: pa.Table, records: Sequence[Any] | None) -> list[Verdict]:
        """Judge the rows, count, keep examples, and return the verdicts that found something."""
        verdicts = self._backend.inspect(kind, table, self._memory, records=records, now_ns=self._now_ns())
        broken = []
        for verdict in verdicts:
            failed = _count_failed(verdict)
            tally = self._ledger.tally(verdict.rule)
            tally.not_evaluated += verdict.passed.null_count
            tally.evaluated += len(verdict.passed) - verdict.passed.null_count
            tally.failed += failed
            if failed:
                broken.append(verdict)
                if room := self._ledger.room(verdict.rule):
                    for finding in self._backend.explain(kind, verdict, table, room, records=records):
                        assert finding.row is not None
                        self._ledger.keep(attrs.evolve(finding, row=self._ledger.rows + finding.row))
        self._ledger.rows += table.num_rows
        return broken

    def _flag(self, broken: Sequence[Verdict], refused: pa.BooleanArray | None) -> dict[str, int]:
        """Count, of the rows that are not refused, those that broke each rule."""
        import pyarrow.compute as pc

        flagged = {}
        for verdict in broken:
            failed = _failed(verdict) if refused is None else pc.and_not(_failed(verdict), refused)
            if failed.true_count:
                flagged[verdict.rule] = failed.true_count
                self._ledger.flag(verdict.rule, failed.true_count)
        return flagged

    def _explain(
        self,
        kind: Kind,
        table: pa.Table,
        records: Sequence[Any] | None,
        broken: Sequence[Verdict],
        refused: pa.BooleanArray,
    ) -> tuple[Refused, ...]:
        """Tell everything that each refused row broke."""
        import pyarrow.compute as pc

        rows = pc.indices_nonzero(refused)
        part = table.take(rows)
        positions = rows.to_pylist()
        chosen = None if records is None else [records[position] for position in positions]
        findings: list[list[Finding]] = [[] for _ in positions]
        for verdict in broken:
            narrowed = attrs.evolve(verdict, passed=verdict.passed.take(rows))
            for finding in self._backend.explain(kind, narrowed, part, records=chosen):
                assert finding.row is not None
                findings[finding.row].append(attrs.evolve(finding, row=positions[finding.row]))
        return tuple(Refused(position, tuple(found)) for position, found in zip(positions, findings, strict=True))


def _count_failed(verdict: Verdict) -> int:
    passed = verdict.passed
    return int(len(passed) - passed.null_count - passed.true_count)


def _failed(verdict: Verdict) -> pa.BooleanArray:
    import pyarrow.compute as pc

    return pc.fill_null(pc.invert(verdict.passed), False)


def _refused(broken: Sequence[Verdict]) -> pa.BooleanArray | None:
    """Return which rows broke a rule of severity error; None when none did."""
    import pyarrow.compute as pc

    errors = [_failed(verdict) for verdict in broken if verdict.severity is Severity.ERROR]
    return functools.reduce(pc.or_, errors) if errors else None
