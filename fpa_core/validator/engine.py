"""DataValidator, the validator that users call: it runs a validator backend, counts the results, and splits tables."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, MutableMapping, Sequence
from typing import TYPE_CHECKING, Any, get_args

import attrs

from fpa_core.arrow.conversion import from_table, to_table
from fpa_core.exceptions import DataError, PluginError
from fpa_core.kinds import (
    BARS,
    CASH,
    CORPORATE_ACTIONS,
    FILLS,
    ORDERS,
    POSITIONS,
    QUOTES,
    SNAPSHOTS,
    TRADES,
    Kind,
    kind_of,
)
from fpa_core.models import (
    Bar,
    CashFlow,
    CorporateAction,
    Fill,
    Number,
    Order,
    PortfolioSnapshot,
    Position,
    Quote,
    Record,
    Time,
    Trade,
)
from fpa_core.protocols import Capability, Finding, Severity, StoredBars, StoredOrder, ValidatorBackend
from fpa_core.validator import consistency
from fpa_core.validator.result import ResultBuilder, Split, ValidationResult, merged
from fpa_core.validator.rule import Rule, rule_problems
from fpa_core.validator.validation_run import Clock, ValidationRun

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["DataValidator", "ValidationRun"]

_RECORDS = get_args(Record)


class DataValidator:
    """Validates records and tables by the rules of its backend.

    :param level: the level for rules added by :meth:`register`.
    :param now_ns: returns the current time in nanoseconds, for rules about time.
    :param examples: findings kept of each rule of a table; counts are always complete.
    :param stored: looks up the order that is stored under an id, for rules that compare an order with its stored state.
    :param stored_bars: looks up stored bars, for rules that compare new bars with them.
    :param origins: by rule id, where the rule and its parameters came from, as returned by :meth:`rules`.
    """

    def __init__(
        self,
        backend: ValidatorBackend,
        *,
        level: str = "standard",
        now_ns: Clock = time.time_ns,
        examples: int = 20,
        stored: StoredOrder | None = None,
        stored_bars: StoredBars | None = None,
        origins: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> None:
        self.backend = backend
        self.level = level
        self._now_ns = now_ns
        self.examples = examples
        self._stored = stored
        self._stored_bars = stored_bars
        self._origins = origins or {}
        self._described: tuple[object, Sequence[Mapping[str, Any]]] | None = None

    def __repr__(self) -> str:
        return f"<DataValidator at level {self.level}, {len(self.rules())} rules>"

    def check(self, record: Record, memory: MutableMapping[str, Any] | None = None) -> tuple[Finding, ...]:
        """Return the findings of one record; the fastest way for live data.

        :param memory: state of series rules: an empty mapping at first, and the same mapping for each following record.
        """
        return tuple(
            self.backend.check(
                record, memory, now_ns=self._now_ns(), stored=self._stored, stored_bars=self._stored_bars
            )
        )

    def validate(
        self, what: Record | Iterable[Record] | tuple[Kind | str, pa.Table], *, examples: int | None = None
    ) -> ValidationResult:
        """Validate a record, any number of them, or a table given as ``(kind, table)``.

        :param examples: findings to keep of each rule of a table; None for the number of this validator. For records all are kept.
        """
        if isinstance(what, _RECORDS):
            what = (what,)
        if isinstance(what, tuple) and len(what) == 2 and hasattr(what[1], "num_rows"):
            run = self._start_run(examples)
            run.validate(kind_of(what[0]), what[1])
            return run.result()
        return self._validate_records(what)

    def _validate_records(self, records: Any) -> ValidationResult:
        builder = ResultBuilder()
        memory: dict[str, Any] = {}
        for row, record in enumerate(records):
            findings = self.backend.check(
                record,
                memory,
                now_ns=self._now_ns(),
                tallies=builder.counts,
                stored=self._stored,
                stored_bars=self._stored_bars,
            )
            builder.rows += 1
            if findings:
                refused = any(finding.severity is Severity.ERROR for finding in findings)
                for finding in findings:
                    builder.keep(attrs.evolve(finding, row=row))
                    builder.flag(finding.rule, 0 if refused else 1)
        return builder.result(self.rules())

    def sessions(self, subject: str, start_ns: int, end_ns: int) -> Sequence[tuple[int, int]] | None:
        """Return the sessions of a symbol's market that overlap a range of time, as opens and closes in nanoseconds, in order.

        None if no rule has a calendar for the symbol, or the calendar does not cover the whole range.
        """
        if Capability.SESSIONS not in self.backend.capabilities:
            return None
        return self.backend.sessions(subject, start_ns, end_ns)

    def start_run(self, examples: int | None = None, *, against_store: bool = True) -> ValidationRun:
        """Return a new run for tables that arrive in chunks.

        :param examples: findings to keep of each rule; None for the number of this validator, 0 if only the split is of interest.
        :param against_store: whether rules may compare with stored records; not if these are what is validated.
        """
        return self._start_run(examples, against_store=against_store)

    def _start_run(self, examples: int | None = None, *, against_store: bool = True) -> ValidationRun:
        return ValidationRun(
            self.backend,
            self._now_ns,
            self.examples if examples is None else examples,
            stored=self._stored if against_store else None,
            stored_bars=self._stored_bars if against_store else None,
            rules=self.rules,
        )

    def split(self, kind: Kind | str, table: pa.Table) -> Split:
        """Split a table: every row is accepted, or rejected with all its findings.

        Rows are validated in the given order, rejected ones included. Among the accepted rows alone, series rules may have other results;
        ``split.result.accepted_series_counts`` has these counts.
        """
        run = self._start_run()
        split = run.split(kind, table)
        alone = self._start_run()
        alone.validate(kind, split.accepted)
        series = {rule["id"] for rule in self.rules() if rule["scope"] == "series"}
        again = {rule: tally for rule, tally in alone.result().counts.items() if rule in series}
        return attrs.evolve(split, result=attrs.evolve(run.result(), accepted_series_counts=again))

    def validate_dataset(self, data: Mapping[Kind | str, pa.Table | Iterable[Record]]) -> ValidationResult:
        """Validate tables or records of several kinds, each on its own and against the others.

        Trades are compared with the current quotes, bars and fills of orders with the trades of their time, positions with quotes, and snapshots
        with the positions of their account and time, as far as these are given. Row positions in findings are those within each kind.
        """
        tables: dict[str, pa.Table] = {}
        records: dict[str, Sequence[Any]] = {}
        for name, given in data.items():
            kind = kind_of(name)
            if hasattr(given, "num_rows"):
                tables[kind.name] = given
            else:
                records[kind.name] = list(given)
                tables[kind.name] = to_table(kind, records[kind.name])
        if {SNAPSHOTS.name, POSITIONS.name} <= tables.keys():
            held, seen = (
                records.get(kind.name) or from_table(kind, tables[kind.name]) for kind in (POSITIONS, SNAPSHOTS)
            )
            records[SNAPSHOTS.name] = list(consistency.with_positions(seen, held))
        results = []
        for name, table in tables.items():
            run = self._start_run()
            run.validate(
                name, table, records.get(name), others={other: tables[other] for other in tables if other != name}
            )
            results.append(run.result())
        return merged(results)

    def register(self, rule: Rule | type[Rule]) -> None:
        """Add a rule that no plugin provides.

        :raises PluginError: if its id is taken, or it is not a usable rule.
        """
        if problems := rule_problems(rule if isinstance(rule, type) else type(rule)):
            raise PluginError(f"this rule cannot be used: {'; '.join(problems)}")
        made = rule if isinstance(rule, Rule) else rule()
        if (effective := made.at(self.level)) is not None:
            self.backend.add(effective)

    def rules(self) -> Sequence[Mapping[str, Any]]:
        """Return descriptions of the enabled rules: id, kinds, severity, parameters with values, defaults and origins, plugin, summary."""
        described = self.backend.rules()
        if self._described is None or self._described[0] is not described:
            unknown: dict[str, Any] = {"plugin": None, "distribution": None, "version": None, "origins": {}}
            complete = [{**rule, **unknown, **self._origins.get(rule["id"], {})} for rule in described]
            self._described = described, complete
        return self._described[1]

    def validate_quote(self, quote: Quote) -> ValidationResult:
        """Validate a quote."""
        return self._validate_one(quote, Quote)

    def validate_trade(self, trade: Trade) -> ValidationResult:
        """Validate a trade."""
        return self._validate_one(trade, Trade)

    def validate_bar(self, bar: Bar) -> ValidationResult:
        """Validate a bar."""
        return self._validate_one(bar, Bar)

    def validate_order(self, order: Order) -> ValidationResult:
        """Validate the current state of an order."""
        return self._validate_one(order, Order)

    def validate_position(self, position: Position) -> ValidationResult:
        """Validate a position."""
        return self._validate_one(position, Position)

    def validate_portfolio_snapshot(self, snapshot: PortfolioSnapshot) -> ValidationResult:
        """Validate a snapshot and each of its positions."""
        self._require(snapshot, PortfolioSnapshot)
        return self.validate([snapshot, *snapshot.positions])

    def validate_fill(self, fill: Fill) -> ValidationResult:
        """Validate a fill."""
        return self._validate_one(fill, Fill)

    def validate_cash_flow(self, flow: CashFlow) -> ValidationResult:
        """Validate a cash flow."""
        return self._validate_one(flow, CashFlow)

    def validate_corporate_action(self, action: CorporateAction) -> ValidationResult:
        """Validate a corporate action."""
        return self._validate_one(action, CorporateAction)

    def _validate_one(self, record: Record, record_class: type[Any]) -> ValidationResult:
        self._require(record, record_class)
        return self.validate(record)

    @staticmethod
    def _require(record: object, record_class: type[Any]) -> None:
        if not isinstance(record, record_class):
            raise DataError(f"expected a {record_class.__name__}, not {type(record).__name__}", value=record)

    def validate_price_bounds(self, symbol: str, price: Number) -> bool:
        """Return whether *price* is plausible for a trade of *symbol*.

        It is, unless a rule about the price of trades has a warning or an error; ``trade.bounds`` takes limits.
        """
        trade = Trade(symbol, self._now_ns(), price, 1)
        return not any(
            finding.severity is not Severity.INFO and "price" in finding.observed for finding in self.check(trade)
        )

    def validate_timestamp_consistency(self, timestamps: Iterable[Time]) -> ValidationResult:
        """Validate that times never go back and are not in the future; each that is, or cannot be read, is an error."""
        return consistency.validate_times(timestamps, self._now_ns())

    def validate_data_consistency(
        self,
        quotes: Iterable[Quote] = (),
        trades: Iterable[Trade] = (),
        *,
        snapshots: Iterable[PortfolioSnapshot] = (),
        positions: Iterable[Position] = (),
        bars: Iterable[Bar] = (),
        orders: Iterable[Order] = (),
        fills: Iterable[Fill] = (),
        cash: Iterable[CashFlow] = (),
        corporate_actions: Iterable[CorporateAction] = (),
    ) -> ValidationResult:
        """Validate records against each other, as :meth:`validate_dataset` does, but only by rules that compare records."""
        given: dict[Kind | str, Iterable[Record]] = {
            QUOTES: quotes,
            TRADES: trades,
            BARS: bars,
            ORDERS: orders,
            POSITIONS: positions,
            SNAPSHOTS: snapshots,
            FILLS: fills,
            CASH: cash,
            CORPORATE_ACTIONS: corporate_actions,
        }
        whole = self.validate_dataset({kind: list(records) for kind, records in given.items()})
        return consistency.across(whole, {rule["id"] for rule in self.rules() if rule["scope"] == "dataset"})
