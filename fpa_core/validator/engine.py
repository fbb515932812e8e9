"""DataValidator, the class users meet: it asks a validator backend, counts what that says, and splits good rows from bad ones."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, MutableMapping, Sequence
from typing import TYPE_CHECKING, Any, get_args

import attrs

from fpa_core.arrow.conversion import from_table, to_table
from fpa_core.exceptions import DataError, PluginError
from fpa_core.kinds import BARS, ORDERS, POSITIONS, QUOTES, SNAPSHOTS, TRADES, Kind, kind_of
from fpa_core.models import Bar, Number, Order, PortfolioSnapshot, Position, Quote, Record, Time, Trade
from fpa_core.protocols import Finding, Severity, StoredBars, StoredOrder, ValidatorBackend
from fpa_core.validator import consistency
from fpa_core.validator.examination import Clock, Examination
from fpa_core.validator.result import Ledger, Split, ValidationResult, merged
from fpa_core.validator.rule import Rule, rule_problems

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["DataValidator", "Examination"]

_RECORDS = get_args(Record)


class DataValidator:
    """Judges records and tables by the rules of its backend.

    :param level: the level at which rules added by :meth:`register` apply.
    :param now_ns: the clock, for rules about time.
    :param examples: findings kept of each rule when many records are judged; counts are always complete.
    :param stored: looks up the order that is stored under an id, for rules about what an order was before.
    :param stored_bars: looks up stored bars, for rules that judge arriving ones by them.
    :param origins: by rule id, where the rule and its parameters came from; :meth:`rules` tells it.
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
        self._examples = examples
        self._stored = stored
        self._stored_bars = stored_bars
        self._origins = origins or {}
        self._described: tuple[object, Sequence[Mapping[str, Any]]] | None = None

    def check(self, record: Record, memory: MutableMapping[str, Any] | None = None) -> tuple[Finding, ...]:
        """Return what is wrong with one record; the quickest way for live data.

        :param memory: what rules about series remember from one record to the next: the same mapping each time, empty at first.
        """
        return tuple(
            self.backend.check(
                record, memory, now_ns=self._now_ns(), stored=self._stored, stored_bars=self._stored_bars
            )
        )

    def validate(
        self, what: Record | Iterable[Record] | tuple[Kind | str, pa.Table], *, examples: int | None = None
    ) -> ValidationResult:
        """Judge a record, any number of them, or a table given as ``(kind, table)``.

        :param examples: findings to keep of each rule of a table; the validator's own number unless given. Of records all are kept.
        """
        if isinstance(what, _RECORDS):
            what = (what,)
        if isinstance(what, tuple) and len(what) == 2 and hasattr(what[1], "num_rows"):
            examination = self._begin(examples)
            examination.count(kind_of(what[0]), what[1])
            return examination.result()
        return self._validate_records(what)

    def _validate_records(self, records: Any) -> ValidationResult:
        ledger = Ledger()
        memory: dict[str, Any] = {}
        for row, record in enumerate(records):
            findings = self.backend.check(
                record,
                memory,
                now_ns=self._now_ns(),
                tallies=ledger.counts,
                stored=self._stored,
                stored_bars=self._stored_bars,
            )
            ledger.rows += 1
            if findings:
                refused = any(finding.severity is Severity.ERROR for finding in findings)
                for finding in findings:
                    ledger.keep(attrs.evolve(finding, row=row))
                    ledger.flag(finding.rule, 0 if refused else 1)
        return ledger.result(self.rules())

    def begin(self) -> Examination:
        """Begin to examine rows that come in chunks."""
        return self._begin()

    def _begin(self, examples: int | None = None, others: Mapping[str, pa.Table] | None = None) -> Examination:
        return Examination(
            self.backend,
            self._now_ns,
            examples or self._examples,
            stored=self._stored,
            stored_bars=self._stored_bars,
            others=others,
            rules=self.rules,
        )

    def split(self, kind: Kind | str, table: pa.Table) -> Split:
        """Part a whole table: every row is accepted, or refused with everything it broke.

        A row is judged as it arrived, after the rows before it, refused ones among them. Without these, rules about series may say something else
        of the accepted rows; ``split.result.again`` has their counts among those alone.
        """
        examination = self._begin()
        split = examination.split(kind, table)
        alone = self._begin()
        alone.count(kind, split.accepted)
        series = {rule["id"] for rule in self.rules() if rule["scope"] == "series"}
        again = {rule: tally for rule, tally in alone.result().counts.items() if rule in series}
        return attrs.evolve(split, result=attrs.evolve(examination.result(), again=again))

    def validate_dataset(self, data: Mapping[Kind | str, pa.Table | Iterable[Record]]) -> ValidationResult:
        """Judge tables or records of several kinds, each for itself and against the others.

        Trades are judged by the quotes that stood, bars and fills of orders by the trades of their time, positions by quotes, and snapshots by the
        positions of their account and time, as far as these are given. Positions of rows in findings are those within each kind.
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
            examination = self._begin(others={other: tables[other] for other in tables if other != name})
            examination.count(name, table, records.get(name))
            results.append(examination.result())
        return merged(results)

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
        """Describe the rules in force: id, kinds, severity, parameters with their values, defaults and origins, plugin, what they say."""
        described = self.backend.rules()
        if self._described is None or self._described[0] is not described:
            unknown: dict[str, Any] = {"plugin": None, "distribution": None, "version": None, "origins": {}}
            told = [{**rule, **unknown, **self._origins.get(rule["id"], {})} for rule in described]
            self._described = described, told
        return self._described[1]

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
        bars: Iterable[Bar] = (),
        orders: Iterable[Order] = (),
    ) -> ValidationResult:
        """Judge records against each other, as :meth:`validate_dataset` does, by the rules that do so and by no others."""
        given = {QUOTES: quotes, TRADES: trades, BARS: bars, ORDERS: orders, POSITIONS: positions, SNAPSHOTS: snapshots}
        whole = self.validate_dataset({kind: list(records) for kind, records in given.items()})
        return consistency.across(whole, {rule["id"] for rule in self.rules() if rule["scope"] == "dataset"})
