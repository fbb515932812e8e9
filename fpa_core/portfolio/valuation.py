"""What an account is worth at an instant: its positions at the last known prices, and its cash."""

from __future__ import annotations

import bisect
import itertools
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import TypeAlias

from attrs import define, field, frozen

from fpa_core.amounts import decimal_of
from fpa_core.converters import Number
from fpa_core.exceptions import DataError
from fpa_core.models import CashFlow, CashFlowType, CorporateAction, CorporateActionType, Fill
from fpa_core.numbers import ns_text, to_decimal
from fpa_core.portfolio.book import Book, Method, OpenLot, in_order
from fpa_core.portfolio.ledger import EXTERNAL, INCOME, Ledger
from fpa_core.portfolio.rates import Rates

__all__ = ["EquityPoint", "Holding", "Mark", "Marks", "Moment", "Walk", "holdings_of"]


@frozen
class Mark:
    """A price and when it was known: the end of a bar, or the time of a trade or quote."""

    price: Fraction
    ts_ns: int


Lookup: TypeAlias = Callable[[str, int], Mark | None]
"""Returns the last price of a symbol that was known at an instant; None if there is none."""


@frozen(kw_only=True)
class Holding:
    """A position: what is held of a symbol, what it cost and what it is worth.

    :ivar quantity: negative if it is short.
    :ivar cost: of the open lots, fees included; negative for a short position: what was received.
    :ivar average_price: cost by unit; None if nothing is left.
    :ivar price: the last price that was known, and ``price_ns`` when; None if there is none. After a split that is later than the price, the
        price is divided by its ratio.
    :ivar unrealized: market value less cost.
    :ivar stated: the quantity of the last snapshot, ``stated_ns`` when that was, ``difference`` what the fills say beyond it at that time, and
        ``explanation`` what may have caused it; None and empty without a snapshot.
    """

    account: str
    symbol: str
    currency: str
    quantity: Decimal
    cost: Decimal
    average_price: Decimal | None
    price: Decimal | None = None
    price_ns: int | None = None
    market_value: Decimal | None = None
    unrealized: Decimal | None = None
    stated: Decimal | None = None
    stated_ns: int | None = None
    difference: Decimal | None = None
    explanation: str = ""


@frozen(kw_only=True)
class EquityPoint:
    """The worth of an account at an instant, in one currency.

    :ivar equity: cash and market value of the positions together.
    :ivar external: money put in since the point before, less what was taken out.
    """

    account: str
    ts_ns: int
    currency: str
    cash: Decimal
    market_value: Decimal
    equity: Decimal
    external: Decimal


class Marks:
    """Prices of symbols at instants: given ones, else looked up.

    :param given: prices by symbol: a number that holds at any time, or numbers by the time from which they hold, in nanoseconds.
    :param lookup: where to find others.
    :param actions: splits, which divide a price that is older.
    """

    def __init__(
        self,
        given: Mapping[str, Number | Mapping[int, Number]] | None = None,
        lookup: Lookup | None = None,
        actions: Iterable[CorporateAction] = (),
    ) -> None:
        self._given: dict[str, tuple[list[int], list[Fraction]]] = {}
        for symbol, prices in (given or {}).items():
            dated = prices if isinstance(prices, Mapping) else {-(2**63): prices}
            times = sorted(dated)
            self._given[symbol] = times, [Fraction(to_decimal(dated[ts], f"prices.{symbol}")) for ts in times]
        self._lookup = lookup
        self._splits: dict[str, list[tuple[int, Fraction]]] = defaultdict(list)
        for action in actions:
            if action.action_type is CorporateActionType.SPLIT and action.ratio is not None:
                self._splits[action.symbol].append((action.ts_ns, action.ratio))

    def at(self, symbol: str, at_ns: int, *, closing: bool = False) -> Mark | None:
        """Return the last price that was known at an instant.

        :param closing: the instant is the last one of a day or another period, whose close counts although it is known only at the next one.
        """
        known_ns = at_ns + closing
        if symbol in self._given:
            times, prices = self._given[symbol]
            place = bisect.bisect_right(times, known_ns) - 1
            if place < 0:
                return None
            # One that holds at any time is of now, after every split.
            return Mark(prices[place], times[place] if len(times) > 1 or times[0] > -(2**63) else at_ns)
        mark = None if self._lookup is None else self._lookup(symbol, known_ns)
        if mark is None:
            return None
        price = mark.price
        for split_ns, ratio in self._splits[symbol]:
            if mark.ts_ns <= split_ns <= at_ns:
                price /= ratio
        return Mark(price, mark.ts_ns)


@define
class Moment:
    """An account at an instant, in fractions, by currency.

    :ivar known_ns: until when prices and rates counted.
    :ivar external: all money that was put in so far, less what was taken out; ``converted`` one side of exchanges of currencies.
    :ivar income: what was earned or paid so far, by what it is counted as and by currency.
    :ivar basis: the cost of what is open; ``realized`` the gains of what was closed.
    """

    ts_ns: int
    known_ns: int
    cash: dict[str, Fraction] = field(factory=dict)
    market_value: dict[str, Fraction] = field(factory=dict)
    external: dict[str, Fraction] = field(factory=dict)
    converted: dict[str, Fraction] = field(factory=dict)
    income: dict[tuple[str, str], Fraction] = field(factory=dict)
    basis: dict[str, Fraction] = field(factory=dict)
    realized: dict[str, Fraction] = field(factory=dict)

    @property
    def currencies(self) -> list[str]:
        """All currencies that it has something in."""
        return sorted({*self.cash, *self.market_value, *self.external})

    def equity(self, currency: str) -> Fraction:
        """Return cash and market value."""
        return self.cash.get(currency, Fraction(0)) + self.market_value.get(currency, Fraction(0))

    def into(self, currency: str, rates: Rates) -> Fraction:
        """Return the equity of all currencies in one, at the rates of its instant."""
        return sum(
            (rates.convert(self.equity(one), one, currency, self.known_ns) for one in self.currencies), Fraction(0)
        )


Event: TypeAlias = Fill | CorporateAction | CashFlow


class Walk:
    """Goes through what happened to an account in order of time, and stops wherever it is asked what the account is then."""

    def __init__(
        self,
        account: str,
        fills: Iterable[Fill],
        actions: Iterable[CorporateAction],
        flows: Iterable[CashFlow],
        method: Method = "fifo",
    ) -> None:
        self.book = Book(account, method)
        self.ledger = Ledger()
        trades: list[Event] = list(in_order(fills, actions))
        self._events = sorted(
            itertools.chain(trades, flows), key=lambda event: event.ts_ns
        )  # stable: trades keep their order
        self._next = 0
        self._closed = 0
        self._external: dict[str, Fraction] = defaultdict(Fraction)
        self._converted: dict[str, Fraction] = defaultdict(Fraction)
        self._income: dict[tuple[str, str], Fraction] = defaultdict(Fraction)
        self._realized: dict[str, Fraction] = defaultdict(Fraction)

    @property
    def first_ns(self) -> int | None:
        """When the first event was."""
        return self._events[0].ts_ns if self._events else None

    def external_times(self) -> list[int]:
        """Return the distinct times at which money was put in or taken out."""
        return sorted({e.ts_ns for e in self._events if isinstance(e, CashFlow) and e.flow_type in EXTERNAL})

    def to(self, at_ns: int) -> None:
        """Take all events up to an instant, which is included and not earlier than the one before."""
        while self._next < len(self._events) and self._events[self._next].ts_ns <= at_ns:
            self._take(self._events[self._next])
            self._next += 1

    def _take(self, event: Event) -> None:
        if not isinstance(event, CorporateAction):
            self.ledger.take(event)
        if not isinstance(event, CashFlow):
            self.book.take(event)
            for closing in self.book.closings[self._closed :]:
                self._realized[closing.currency] += closing.gain
            self._closed = len(self.book.closings)
            if isinstance(event, Fill) and event.fee and event.fee_currency not in (None, event.currency):
                self._income["fees", event.fee_currency or ""] -= Fraction(event.fee)
            return
        amount = Fraction(event.amount)
        if event.flow_type in EXTERNAL:
            self._external[event.currency] += amount
        elif event.flow_type is CashFlowType.CONVERSION:
            self._converted[event.currency] += amount
        elif event.flow_type in INCOME:
            self._income[INCOME[event.flow_type], event.currency] += amount

    def moment(self, at_ns: int, marks: Marks, *, closing: bool = False) -> Moment:
        """Return what the account is at an instant, which is not earlier than the one before.

        :param closing: see :meth:`Marks.at`.
        :raises DataError: if there is no price of something that is held then.
        """
        self.to(at_ns)
        value: dict[str, Fraction] = defaultdict(Fraction)
        basis: dict[str, Fraction] = defaultdict(Fraction)
        for symbol, currency, lots in self.book.places():
            mark = marks.at(symbol, at_ns, closing=closing)
            if mark is None:
                raise DataError(
                    f"there is no price of {symbol} at {ns_text(at_ns)} or before",
                    hint=f"store bars, trades or quotes of it, or give prices={{{symbol!r}: ...}}",
                    field="prices",
                    value=symbol,
                )
            for lot in lots:
                value[currency] += mark.price * lot.quantity * lot.multiplier
                basis[currency] += lot.basis
        return Moment(
            at_ns,
            at_ns + closing,
            dict(self.ledger.balances),
            dict(value),
            dict(self._external),
            dict(self._converted),
            dict(self._income),
            dict(basis),
            dict(self._realized),
        )


def holdings_of(book: Book, marks: Marks, at_ns: int) -> Iterator[Holding]:
    """Yield the positions of a book at an instant, by symbol and currency."""
    for symbol, currency, lots in book.places():
        yield _holding(book.account, symbol, currency, lots, marks.at(symbol, at_ns))


def _holding(account: str, symbol: str, currency: str, lots: Sequence[OpenLot], mark: Mark | None) -> Holding:
    quantity = sum((lot.quantity for lot in lots), Fraction(0))
    units = sum((lot.quantity * lot.multiplier for lot in lots), Fraction(0))
    basis = sum((lot.basis for lot in lots), Fraction(0))
    value = None if mark is None else mark.price * units
    return Holding(
        account=account,
        symbol=symbol,
        currency=currency,
        quantity=decimal_of(quantity),
        cost=decimal_of(basis),
        average_price=decimal_of(basis / units) if units else None,
        price=None if mark is None else decimal_of(mark.price),
        price_ns=None if mark is None else mark.ts_ns,
        market_value=None if value is None else decimal_of(value),
        unrealized=None if value is None else decimal_of(value - basis),
    )
