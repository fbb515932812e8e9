"""The questions one has about an account, answered from a store: ``data.portfolio``."""

from __future__ import annotations

import itertools
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any, Literal, TypeAlias
from zoneinfo import ZoneInfo

from attrs import evolve, frozen

from fpa_core.amounts import decimal_of
from fpa_core.arrow.conversion import from_values
from fpa_core.converters import Number
from fpa_core.exceptions import DatabaseError, DataError
from fpa_core.formats import zone_of
from fpa_core.kinds import FILLS, ORDERS, POSITIONS
from fpa_core.models import (
    CashFlow,
    CorporateAction,
    Fill,
    Order,
    PortfolioSnapshot,
    Position,
)
from fpa_core.numbers import from_ns, to_ns
from fpa_core.patterns import escape
from fpa_core.portfolio.attribution import by_symbol
from fpa_core.portfolio.book import Book, Lot, Method, in_order
from fpa_core.portfolio.ledger import EXTERNAL
from fpa_core.portfolio.performance import PnL, Valued, change, change_in_one, money_weighted, time_weighted
from fpa_core.portfolio.rates import Rates
from fpa_core.portfolio.reconciliation import Discrepancy, explain_quantity, reconcile
from fpa_core.portfolio.sources import StoredMarks
from fpa_core.portfolio.valuation import EquityPoint, Holding, Marks, Moment, Walk, holdings_of
from fpa_core.protocols import Capability
from fpa_core.store import DataStore
from fpa_core.store.freshness import freshness_of

__all__ = ["Grouping", "OrderVersion", "Portfolio", "Prices"]

Grouping: TypeAlias = Literal["day", "month", "year", "symbol", "account"]
Prices: TypeAlias = Mapping[str, Number | Mapping[Any, Number]]
"""Prices by symbol: a number that holds at any time, or numbers by the time from which they hold."""

_PERIODS = ("day", "month", "year")
_GROUPINGS = (*_PERIODS, "symbol", "account")


@frozen(kw_only=True)
class OrderVersion:
    """One version of an order.

    :ivar batch: the batch that brought it; ``known_ns`` when it could be read from.
    :ivar retired_ns: when another one took its place, ``retired_by`` by which batch and ``reason`` why; None while it is current.
    """

    order: Order
    batch: int
    known_ns: int
    retired_by: int | None
    retired_ns: int | None
    reason: str | None


@frozen
class _Records:
    """What happened to an account up to an instant."""

    account: str
    fills: Sequence[Fill]
    actions: Sequence[CorporateAction]
    flows: Sequence[CashFlow]
    at_ns: int

    def walk(self, method: Method = "fifo") -> Walk:
        return Walk(self.account, self.fills, self.actions, self.flows, method)

    def book(self, method: Method) -> Book:
        return Book(self.account, method).take_all(in_order(self.fills, self.actions))


class Portfolio:
    """Positions, lots, gains, equity, returns and reconciliation of the accounts in a store, all calculated when asked for.

    Common parameters of its methods:

    - *account*: None if there is only one.
    - *as_of* (or *end*): the instant up to which everything counts, included; None for now. A date is its midnight in UTC.
    - *as_known_at*: use only what was known then: later batches, revisions and deletions do not count.
    - *method*: which lots are closed first, see :data:`~fpa_core.portfolio.book.Method`.
    - *max_age*: how old the price may be that something is valued at, or a rate of exchange, as ``"4d"``: from the end of its bar, or the time of the trade
      or quote, to the instant that it is valued for. An older one, and a missing one, is a :class:`~fpa_core.exceptions.StaleDataError`; *prices* and
      *rates* that are given have no age. None for any age.
    - *prices*: prices to use in place of stored ones, see :data:`Prices`. Stored ones are the latest of the closes of bars that have ended,
      trades and middles of quotes.
    - *currency*: one to convert all amounts into; None leaves each amount in its own. *rates* gives rates, as ``{"EURUSD": "1.085"}``; others are
      looked up as prices of such symbols. Without a rate there is an error, never a guess.

    :param clock: the present time in nanoseconds.
    """

    def __init__(self, store: DataStore, clock: Callable[[], int] = time.time_ns) -> None:
        self._store = store
        self._clock = clock

    def accounts(self, *, as_known_at: Any = None) -> list[str]:
        """Return the accounts that have fills, cash flows or snapshots."""
        known = _known(as_known_at)
        found: set[str] = set()
        for what in (Fill, CashFlow, PortfolioSnapshot):
            found |= set(
                self._store.select(what, columns=["account"], **known).to_arrow().column(0).unique().to_pylist()
            )
        return sorted(found)

    # Positions and lots

    def positions(
        self,
        account: str | None = None,
        *,
        as_of: Any = None,
        as_known_at: Any = None,
        max_age: Any = None,
        from_: Literal["fills", "snapshots"] = "fills",
        method: Method = "fifo",
        prices: Prices | None = None,
    ) -> list[Holding]:
        """Return what an account holds, by symbol and currency.

        Each holding is compared with the last snapshot at or before *as_of*: ``difference`` is what the fills say beyond it at its time, and
        ``explanation`` what may have caused it.

        :param from_: ``"fills"`` counts fills and corporate actions; ``"snapshots"`` takes the quantities, values and costs of the last
            snapshot, and nothing that came later.
        """
        if from_ not in ("fills", "snapshots"):
            raise DataError(f"from_: {from_!r} is unknown", hint="one of: fills, snapshots", field="from_")
        records = self._records(account, as_of, as_known_at)
        stated = self._stated(records.account, records.at_ns, as_known_at)
        marks = self._marks(prices, records, as_known_at, max_age)
        if from_ == "snapshots":
            if (freshness := freshness_of(max_age, self._clock)) is not None:
                for position in stated:
                    freshness.check_record(POSITIONS, position.symbol, position, _earliest(records.at_ns, as_known_at))
            return [_stated_holding(position) for position in stated]
        holdings = list(holdings_of(records.book(method), marks, records.at_ns))
        return list(_compared(holdings, stated, records)) if stated else holdings

    def lots(
        self,
        account: str | None = None,
        *,
        as_of: Any = None,
        as_known_at: Any = None,
        method: Method = "fifo",
    ) -> list[Lot]:
        """Return the open lots of an account, by symbol, currency and age."""
        return self._records(account, as_of, as_known_at).book(method).lots()

    def realized(
        self,
        account: str | None = None,
        by: Grouping | None = None,
        *,
        start: Any = None,
        end: Any = None,
        as_known_at: Any = None,
        method: Method = "fifo",
        tz: str = "UTC",
    ) -> list[Any]:
        """Return what was closed from *start* on, which is included, to *end*: every disposal, or, grouped, a :class:`PnL` with ``realized`` alone.

        :param by: ``"day"``, ``"month"`` or ``"year"`` in the time zone *tz*, ``"symbol"`` or ``"account"``; None for each disposal.
        """
        _check(by)
        records = self._records(account, end, as_known_at)
        book = records.book(method)
        start_ns = _instant(start, "start")
        chosen = [
            (closing, disposal)
            for closing, disposal in zip(book.closings, book.disposals(), strict=True)
            if start_ns is None or start_ns <= closing.closed_ns
        ]
        if by is None:
            return [disposal for _, disposal in chosen]
        zone = zone_of(tz)
        sums: dict[tuple[str, str], Fraction] = defaultdict(Fraction)
        for closing, _ in chosen:
            key = _key(by, closing.closed_ns, closing.symbol, records.account, zone)
            sums[key, closing.currency] += closing.gain
        zero = Decimal(0)
        rest = dict.fromkeys(
            ("unrealized", "dividends", "interest", "fees", "taxes", "other", "fx", "unexplained"), zero
        )
        return [
            PnL(key=key, currency=currency, realized=decimal_of(gain), total=decimal_of(gain), **rest)
            for (key, currency), gain in sorted(sums.items())
        ]

    # What it earned and is worth

    def pnl(
        self,
        account: str | None = None,
        by: Grouping = "day",
        *,
        start: Any = None,
        end: Any = None,
        as_known_at: Any = None,
        max_age: Any = None,
        method: Method = "fifo",
        prices: Prices | None = None,
        currency: str | None = None,
        rates: Mapping[str, Number] | None = None,
        tz: str = "UTC",
    ) -> list[PnL]:
        """Return what an account earned, by period, by symbol, or as a whole (``"account"``), from *start* on, or from its beginning.

        Periods in which nothing changed are left out. Amounts are converted at the rates of the end of each period.

        :raises DataError: if there is no price of something that was held at the end of a period.
        """
        _check(by)
        records = self._records(account, end, as_known_at)
        walk = records.walk(method)
        first = _instant(start, "start")
        begun = walk.first_ns if first is None else first
        if begun is None or begun > records.at_ns:
            return []
        marks = self._marks(prices, records, as_known_at, max_age)
        converter = self._rates(rates, as_known_at, max_age)
        if by == "symbol":

            def told(amount: Fraction, own: str) -> tuple[Fraction, str]:
                if currency is None:
                    return amount, own
                return converter.convert(amount, own, currency, records.at_ns), currency

            fills, flows, end_ns = records.fills, records.flows, records.at_ns
            return by_symbol(walk, fills, flows, marks, start_ns=begun, end_ns=end_ns, convert=told)
        before = walk.moment(begun - 1, marks, closing=True)
        zone = zone_of(tz)
        edges = [records.at_ns] if by == "account" else list(_edges(by, begun, records.at_ns, zone))
        rows: list[PnL] = []
        for edge in edges:
            after = walk.moment(edge, marks, closing=edge < records.at_ns)
            key = _key(by, edge, "", records.account, zone)
            if currency is not None:
                rows.append(change_in_one(key, before, after, currency, converter))
            else:
                names = sorted({*before.currencies, *after.currencies})
                rows += [change(key, before, after, own) for own in names]
            before = after
        return [row for row in rows if any((row.total, row.realized, row.unexplained))]

    def equity(
        self,
        account: str | None = None,
        *,
        every: Literal["day", "month", "year"] | None = "day",
        start: Any = None,
        end: Any = None,
        as_known_at: Any = None,
        max_age: Any = None,
        prices: Prices | None = None,
        currency: str | None = None,
        rates: Mapping[str, Number] | None = None,
        tz: str = "UTC",
    ) -> list[EquityPoint]:
        """Return what an account is worth at the end of every period, and what was put in or taken out since the one before.

        :param every: ``"day"``, ``"month"`` or ``"year"`` in the time zone *tz*; None for *end* alone. Without *start* it begins with the account.
        :raises DataError: if there is no price of something that was held.
        """
        if every is not None and every not in _PERIODS:
            raise DataError(f"every: {every!r} is unknown", hint=f"one of: {', '.join(_PERIODS)}", field="every")
        records = self._records(account, end, as_known_at)
        walk = records.walk()
        first = _instant(start, "start")
        begun = walk.first_ns if first is None else first
        if begun is None or begun > records.at_ns:
            return []
        marks = self._marks(prices, records, as_known_at, max_age)
        converter = self._rates(rates, as_known_at, max_age)
        edges = [records.at_ns] if every is None else list(_edges(every, begun, records.at_ns, zone_of(tz)))
        before: Moment | None = None
        if first is not None:
            before = walk.moment(begun - 1, marks, closing=True)
        points: list[EquityPoint] = []
        for edge in edges:
            moment = walk.moment(edge, marks, closing=edge < records.at_ns)
            points += _points(records.account, before, moment, currency, converter)
            before = moment
        return points

    def returns(
        self,
        account: str | None = None,
        method: Literal["time_weighted", "money_weighted"] = "time_weighted",
        *,
        start: Any = None,
        end: Any = None,
        as_known_at: Any = None,
        max_age: Any = None,
        prices: Prices | None = None,
        currency: str | None = None,
        rates: Mapping[str, Number] | None = None,
    ) -> Decimal:
        """Return the rate of return of an account: 0.05 is 5 percent. See :func:`time_weighted`, which is of the whole time, and
        :func:`money_weighted`, which is by year.

        :raises DataError: if the account has several currencies and none to convert them into is named, if a price or rate is missing, or if no
            rate of return has a meaning.
        """  # noqa: D205
        if method not in ("time_weighted", "money_weighted"):
            raise DataError(
                f"method: {method!r} is unknown", hint="one of: time_weighted, money_weighted", field="method"
            )
        records = self._records(account, end, as_known_at)
        walk = records.walk()
        first = _instant(start, "start")
        begun = walk.first_ns if first is None else first
        if begun is None or begun >= records.at_ns:
            raise DataError(f"account {records.account}: nothing happened before the end", field="start")
        into = currency or self._only_currency(records)
        marks = self._marks(prices, records, as_known_at, max_age)
        converter = self._rates(rates, as_known_at, max_age)
        points: list[Valued] = []
        for at_ns in sorted({begun, *(ts for ts in walk.external_times() if begun <= ts <= records.at_ns)}):
            equity = walk.moment(at_ns - 1, marks).into(into, converter)
            put_in = sum(
                (
                    converter.convert(Fraction(flow.amount), flow.currency, into, at_ns)
                    for flow in records.flows
                    if flow.ts_ns == at_ns and flow.flow_type in EXTERNAL
                ),
                Fraction(0),
            )
            points.append(Valued(at_ns, equity, put_in))
        points.append(Valued(records.at_ns, walk.moment(records.at_ns, marks).into(into, converter), Fraction(0)))
        return decimal_of(time_weighted(points)) if method == "time_weighted" else money_weighted(points)

    def _only_currency(self, records: _Records) -> str:
        found = {fill.currency for fill in records.fills} | {flow.currency for flow in records.flows}
        found |= {fill.fee_currency for fill in records.fills if fill.fee and fill.fee_currency}
        if len(found) != 1:
            raise DataError(
                f"account {records.account} has amounts in {', '.join(sorted(found))}",
                hint='say into which currency to convert them: --currency USD, or in Python currency="USD"',
                field="currency",
            )
        return found.pop()

    # Orders and reconciliation

    def history(self, order_id: str, account: str | None = None) -> list[OrderVersion]:
        """Return every version of an order, in the order in which they became known, each with its batch and time.

        :param account: None if only one account has an order of that id.
        :raises DataError: if there is no such order, or several accounts have one and none is named.
        """
        if Capability.VERSIONS not in self._store.backend.capabilities:
            raise DatabaseError("this store cannot list versions: its backend lacks the capability 'history'")
        if account is None:
            order = self._store.get_order(order_id)
            account = "default" if order is None else order.account
        versions = self._store.backend.history(ORDERS, {"order_id": order_id, "account": account})
        if not versions:
            raise DataError(
                f"account {account} has no order {order_id!r}, and never had one", field="order_id", value=order_id
            )
        return [
            OrderVersion(
                order=from_values(ORDERS, one.values),
                batch=one.batch,
                known_ns=one.known_ns,
                retired_by=one.retired_by,
                retired_ns=one.retired_ns,
                reason=one.reason,
            )
            for one in versions
        ]

    def reconcile(self, account: str | None = None, *, as_of: Any = None, as_known_at: Any = None) -> list[Discrepancy]:
        """Return what does not add up in an account, to the cent: nothing if all does.

        Orders are held against their fills; the amounts of fills against price, quantity and fee; snapshots against positions and cash as they follow
        from fills, corporate actions and cash flows; dividends that were paid against what was held at the ex-date.
        """
        records = self._records(account, as_of, as_known_at)
        known = _known(as_known_at)
        end = records.at_ns + 1
        name = records.account
        orders = [
            order
            for order in self._store.select(Order, account=name, **known).to_list()
            if order.updated_ns is not None and order.updated_ns < end
        ]
        snapshots = self._store.select(PortfolioSnapshot, escape(name), end=end, **known).to_list()
        positions = self._store.select(Position, account=name, end=end, **known).to_list()
        return reconcile(name, orders, records.fills, records.actions, records.flows, snapshots, positions)

    # Records

    def _records(self, account: str | None, as_of: Any, as_known_at: Any) -> _Records:
        name = self._account(account, as_known_at)
        at_ns = self._clock() if as_of is None else to_ns(as_of, "as_of", dates=True)
        known = _known(as_known_at)
        end = at_ns + 1
        fills = self._store.select(FILLS, account=name, end=end, **known).to_list()
        flows = self._store.select(CashFlow, escape(name), end=end, **known).to_list()
        actions: dict[str, list[CorporateAction]] = {}
        wanted = {fill.symbol for fill in fills}
        while wanted:  # what a symbol becomes has actions of its own
            for symbol in wanted:
                actions[symbol] = self._store.select(CorporateAction, escape(symbol), end=end, **known).to_list()
            wanted = {
                action.new_symbol
                for symbol in wanted
                for action in actions[symbol]
                if action.new_symbol is not None and action.new_symbol not in actions
            }
        return _Records(name, fills, list(itertools.chain.from_iterable(actions.values())), flows, at_ns)

    def _account(self, account: str | None, as_known_at: Any) -> str:
        if account is not None:
            return account
        found = self.accounts(as_known_at=as_known_at)
        if len(found) == 1:
            return found[0]
        raise DataError(
            f"there are several accounts: {', '.join(found)}" if found else "no account has fills, cash or snapshots",
            hint="say which account" if found else "fpa ingest FILE stores them",
            field="account",
        )

    def _stated(self, account: str, at_ns: int, as_known_at: Any) -> list[Position]:
        """Return the positions of the last snapshot at or before an instant."""
        known = _known(as_known_at)
        snapshot = self._store.select(
            PortfolioSnapshot, escape(account), end=at_ns + 1, limit=1, latest_first=True, **known
        ).first()
        positions = self._store.select(Position, account=account, end=at_ns + 1, **known).to_list()
        times = {position.ts_ns for position in positions if position.ts_ns is not None}
        if snapshot is not None and snapshot.positions:
            times.add(snapshot.ts_ns)
        return [position for position in positions if position.ts_ns == max(times)] if times else []

    def _marks(self, prices: Prices | None, records: _Records, as_known_at: Any, max_age: Any) -> Marks:
        given: dict[str, Any] = {
            symbol: {to_ns(at, "prices", dates=True): price for at, price in value.items()}
            if isinstance(value, Mapping)
            else value
            for symbol, value in (prices or {}).items()
        }
        return Marks(given, self._stored_marks(as_known_at, max_age), records.actions)

    def _rates(self, rates: Mapping[str, Number] | None, as_known_at: Any, max_age: Any) -> Rates:
        return Rates(rates, self._stored_marks(as_known_at, max_age).price)

    def _stored_marks(self, as_known_at: Any, max_age: Any) -> StoredMarks:
        return StoredMarks(self._store, as_known_at, freshness_of(max_age, self._clock))


def _known(as_known_at: Any) -> dict[str, Any]:
    return {} if as_known_at is None else {"as_known_at": as_known_at}


def _earliest(at_ns: int, as_known_at: Any) -> int:
    return at_ns if as_known_at is None else min(at_ns, to_ns(as_known_at, "as_known_at", dates=True))


def _instant(value: Any, name: str) -> int | None:
    return None if value is None else to_ns(value, name, dates=True)


def _check(by: str | None) -> None:
    if by is not None and by not in _GROUPINGS:
        raise DataError(f"by: {by!r} is unknown", hint=f"one of: {', '.join(_GROUPINGS)}", field="by", value=by)


def _key(by: str, ts_ns: int, symbol: str, account: str, zone: ZoneInfo) -> str:
    if by in ("symbol", "account"):
        return symbol if by == "symbol" else account
    day = from_ns(ts_ns).astimezone(zone).date().isoformat()
    return day[: {"day": 10, "month": 7, "year": 4}[by]]


def _edges(by: str, start_ns: int, end_ns: int, zone: ZoneInfo) -> Iterator[int]:
    """Yield the last instant of each period from *start_ns* on, and *end_ns*, which ends the last one."""
    day = from_ns(start_ns).astimezone(zone).date()
    while True:
        if by == "day":
            day += timedelta(days=1)
        elif by == "month":
            day = (day.replace(day=1) + timedelta(days=32)).replace(day=1)
        else:
            day = day.replace(year=day.year + 1, month=1, day=1)
        edge = to_ns(datetime(day.year, day.month, day.day, tzinfo=zone)) - 1
        if edge >= end_ns:
            yield end_ns
            return
        yield edge


def _points(
    account: str, before: Moment | None, moment: Moment, currency: str | None, rates: Rates
) -> Iterator[EquityPoint]:
    def external(own: str) -> Fraction:
        earlier = Fraction(0) if before is None else before.external.get(own, Fraction(0))
        return moment.external.get(own, Fraction(0)) - earlier

    def turned(amount: Fraction, own: str) -> Fraction:
        return amount if currency is None else rates.convert(amount, own, currency, moment.known_ns)

    rows: list[tuple[str, Fraction, Fraction, Fraction]] = [
        (
            own,
            turned(moment.cash.get(own, Fraction(0)), own),
            turned(moment.market_value.get(own, Fraction(0)), own),
            turned(external(own), own),
        )
        for own in moment.currencies
    ]
    if currency is not None and rows:
        _, cash, value, put_in = zip(*rows, strict=True)
        rows = [(currency, sum(cash, Fraction(0)), sum(value, Fraction(0)), sum(put_in, Fraction(0)))]
    for own, held, worth, flow in rows:
        yield EquityPoint(
            account=account,
            ts_ns=moment.ts_ns,
            currency=own,
            cash=decimal_of(held),
            market_value=decimal_of(worth),
            equity=decimal_of(held + worth),
            external=decimal_of(flow),
        )


def _stated_holding(position: Position) -> Holding:
    """Return the holding that a snapshot states; what it does not state is None, its cost 0."""
    cost = position.cost_basis
    unrealized = position.unrealized_pnl
    if unrealized is None and cost is not None and position.market_value is not None:
        unrealized = decimal_of(Fraction(position.market_value) - Fraction(cost))
    return Holding(
        account=position.account,
        symbol=position.symbol,
        currency="",
        quantity=position.quantity,
        cost=Decimal(0) if cost is None else cost,
        average_price=position.avg_entry_price,
        price=position.current_price,
        price_ns=None if position.current_price is None else position.ts_ns,
        market_value=position.market_value,
        unrealized=unrealized,
        stated=position.quantity,
        stated_ns=position.ts_ns,
        difference=Decimal(0),
    )


def _compared(holdings: Sequence[Holding], stated: Sequence[Position], records: _Records) -> Iterator[Holding]:
    """Yield holdings with what the last snapshot has of them, and those that only the snapshot has."""
    at_ns = stated[0].ts_ns
    assert at_ns is not None
    then = [event for event in in_order(records.fills, records.actions) if event.ts_ns <= at_ns]
    book = Book(records.account).take_all(then)
    said = {position.symbol: Fraction(position.quantity) for position in stated}
    seen = set()
    for holding in holdings:
        symbol = holding.symbol
        seen.add(symbol)
        yield _explained(holding, said.get(symbol, Fraction(0)), book.quantity(symbol), at_ns, records)
    for position in stated:
        if position.symbol not in seen and book.quantity(position.symbol) != said[position.symbol]:
            nothing = evolve(_stated_holding(position), quantity=Decimal(0), cost=Decimal(0), average_price=None)
            empty = evolve(nothing, price=None, price_ns=None, market_value=None, unrealized=None)
            yield _explained(empty, said[position.symbol], book.quantity(position.symbol), at_ns, records)


def _explained(holding: Holding, said: Fraction, own: Fraction, at_ns: int, records: _Records) -> Holding:
    why = "" if own == said else explain_quantity(holding.symbol, own, said, at_ns, records.fills, records.actions)
    return evolve(holding, stated=decimal_of(said), stated_ns=at_ns, difference=decimal_of(own - said), explanation=why)
