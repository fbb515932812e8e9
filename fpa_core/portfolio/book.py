"""The book of one account: lots that fills opened, what closing them gained, and what corporate actions made of them.

A lot's *cost* is what was paid for it, fees included; of a short lot it is what was received, less fees. A *gain* is proceeds less cost: the
adjusted basis is subtracted from the amount realised (U.S. Internal Revenue Code, sections 1001, 1011 and 1012). A fee in another currency
than the price is no part of a cost: it stays an expense in its own currency.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Literal, TypeAlias, TypeVar

from attrs import define, evolve, frozen

from fpa_core.amounts import decimal_of, fraction_of
from fpa_core.exceptions import DataError
from fpa_core.models import CorporateAction, CorporateActionType, Fill, Side
from fpa_core.numbers import ns_text

__all__ = ["Book", "Closing", "Disposal", "Lot", "Method", "OpenLot", "in_order"]

Method: TypeAlias = Literal["fifo", "lifo", "average"] | Mapping[str, Sequence[str]]
"""Which lots a fill closes first: the oldest, the newest, or a share of all at their average cost; or, by the id of the closing fill, the ids of
the fills that opened the lots (specific identification). What is not identified is closed first in, first out, as the U.S. IRS has it
(Publication 550, "Identification not possible")."""


@frozen(kw_only=True)
class Lot:
    """An open lot.

    :ivar quantity: what is left of it; negative if it is short.
    :ivar price: the cost of one unit, fees included; ``cost`` that of the lot. Of a short lot, what was received.
    :ivar opened_ns: when its fill was; ``fill_id`` which fill it was. Of lots at their average cost, the first one.
    """

    account: str
    symbol: str
    quantity: Decimal
    price: Decimal
    cost: Decimal
    currency: str
    multiplier: Decimal
    opened_ns: int
    fill_id: str | None


@frozen(kw_only=True)
class Disposal:
    """A part of a lot that was closed, by a fill or by a merger.

    :ivar quantity: how much was closed; negative if it was short. It is 0 for cash in a merger that leaves the shares.
    :ivar gain: proceeds less cost, fees of both fills included.
    :ivar opened_by: the id of the fill that opened the lot, ``closed_by`` of the one that closed it; None for a merger.
    """

    account: str
    symbol: str
    quantity: Decimal
    opened_ns: int
    closed_ns: int
    proceeds: Decimal
    cost: Decimal
    gain: Decimal
    currency: str
    opened_by: str | None
    closed_by: str | None


@define
class OpenLot:
    """A lot in the book, in fractions."""

    quantity: Fraction
    cost: Fraction
    multiplier: Fraction
    opened_ns: int
    fill_id: str | None

    @property
    def basis(self) -> Fraction:
        """The cost, or, of a short lot, what was received, as a negative number: market value less this is the unrealised gain."""
        return self.cost if self.quantity > 0 else -self.cost

    def take(self, quantity: Fraction) -> Fraction:
        """Remove a quantity without sign, and return its share of the cost."""
        share = self.cost * quantity / abs(self.quantity)
        self.cost -= share
        self.quantity += -quantity if self.quantity > 0 else quantity
        return share


T = TypeVar("T")


@frozen
class Closing:
    """A disposal in fractions; the fields are those of :class:`Disposal`."""

    symbol: str
    currency: str
    quantity: Fraction
    proceeds: Fraction
    cost: Fraction
    opened_ns: int
    closed_ns: int
    opened_by: str | None
    closed_by: str | None

    @property
    def gain(self) -> Fraction:
        """Proceeds less cost."""
        return self.proceeds - self.cost


Place: TypeAlias = tuple[str, str]
"""A symbol and a currency: what is bought in two currencies is two positions."""


def in_order(fills: Iterable[Fill], actions: Iterable[CorporateAction]) -> list[Fill | CorporateAction]:
    """Return what happened in the order in which it counts.

    At one instant corporate actions come first, as the ex-date is the first instant without the claim; then purchases, then sales, then by id:
    brokers that tell only days leave the order within one open.
    """

    def place(event: Fill | CorporateAction) -> tuple[int, int, str]:
        if isinstance(event, CorporateAction):
            return event.ts_ns, 0, event.action_type
        return event.ts_ns, 1 if event.side is Side.BUY else 2, event.fill_id or ""

    return sorted(itertools.chain(fills, actions), key=place)


class Book:
    """The lots of one account, as its fills and corporate actions, taken in order, leave them."""

    def __init__(self, account: str, method: Method = "fifo") -> None:
        if not isinstance(method, Mapping) and method not in ("fifo", "lifo", "average"):
            raise DataError(
                f"method: {method!r} is unknown",
                hint="one of: fifo, lifo, average; or the ids of lots by the id of the fill that closes them",
                field="method",
                value=method,
            )
        self.account = account
        self.closings: list[Closing] = []
        self.merger_cash: dict[str, Fraction] = defaultdict(Fraction)
        self._method = method
        self._open: dict[Place, list[OpenLot]] = {}

    def take_all(self, events: Iterable[Fill | CorporateAction]) -> Book:
        """Take events, which are in order, and return the book."""
        for event in events:
            self.take(event)
        return self

    def take(self, event: Fill | CorporateAction) -> None:
        """Take one event that is not earlier than those before.

        :raises DataError: if a corporate action lacks what it takes to apply it, or named lots do not fit the fill.
        """
        if isinstance(event, Fill):
            self._fill(event)
        else:
            self._act(event)

    # What it holds

    def places(self) -> Iterator[tuple[str, str, Sequence[OpenLot]]]:
        """Yield symbol, currency and open lots of every position, in order."""
        for symbol, currency in sorted(self._open):
            yield symbol, currency, self._open[symbol, currency]

    def quantity(self, symbol: str) -> Fraction:
        """Return how much of a symbol is held, in all currencies."""
        return sum((lot.quantity for name, _, lots in self.places() if name == symbol for lot in lots), Fraction(0))

    def lots(self) -> list[Lot]:
        """Return the open lots by symbol, currency and age."""
        return [
            Lot(
                account=self.account,
                symbol=symbol,
                quantity=decimal_of(lot.quantity),
                price=decimal_of(lot.cost / (abs(lot.quantity) * lot.multiplier)),
                cost=decimal_of(lot.cost),
                currency=currency,
                multiplier=decimal_of(lot.multiplier),
                opened_ns=lot.opened_ns,
                fill_id=lot.fill_id,
            )
            for symbol, currency, lots in self.places()
            for lot in lots
        ]

    def disposals(self) -> list[Disposal]:
        """Return what was closed, in order."""
        return [
            Disposal(
                account=self.account,
                symbol=one.symbol,
                quantity=decimal_of(one.quantity),
                opened_ns=one.opened_ns,
                closed_ns=one.closed_ns,
                proceeds=decimal_of(one.proceeds),
                cost=decimal_of(one.cost),
                gain=decimal_of(one.gain),
                currency=one.currency,
                opened_by=one.opened_by,
                closed_by=one.closed_by,
            )
            for one in self.closings
        ]

    # Fills

    def _fill(self, fill: Fill) -> None:
        quantity, value = Fraction(fill.quantity), Fraction(fill.value)
        if quantity <= 0:
            raise DataError(f"fill {fill.fill_id}: a quantity of {fill.quantity} opens and closes nothing", value=fill)
        fee = fraction_of(fill.fee) if fill.fee_currency in (None, fill.currency) else Fraction(0)
        place = (fill.symbol, fill.currency)
        bought = fill.side is Side.BUY
        left = quantity
        for lot in self._closing(place, fill):
            closed = min(left, abs(lot.quantity))
            amount = (value + fee if bought else value - fee) * closed / quantity
            self._dispose(fill.symbol, fill.currency, lot, closed, amount, fill.ts_ns, fill.fill_id)
            left -= closed
            if not left:
                break
        lots = [lot for lot in self._open.get(place, ()) if lot.quantity]
        if left:
            cost = (value + fee if bought else value - fee) * left / quantity
            multiplier = Fraction(1) if fill.multiplier is None else Fraction(fill.multiplier)
            opened = OpenLot(left if bought else -left, cost, multiplier, fill.ts_ns, fill.fill_id)
            lots.append(opened)
            if self._method == "average":
                lots = [_pooled(lots)]
        self._keep(place, lots)

    def _closing(self, place: Place, fill: Fill) -> Iterator[OpenLot]:
        """Yield the lots that a fill closes, in the order in which it does."""
        held = self._open.get(place, ())
        against = [lot for lot in held if (lot.quantity > 0) == (fill.side is Side.SELL)]
        if self._method == "lifo":
            against.reverse()
        if isinstance(self._method, Mapping):
            named = self._method.get(fill.fill_id or "", ())
            by_id = {lot.fill_id: lot for lot in against}
            if missing := [name for name in named if name not in by_id]:
                raise DataError(
                    f"fill {fill.fill_id} of {fill.symbol} cannot close a lot of fill {missing[0]!r}: it is not open then",
                    hint=f"open: {', '.join(str(lot.fill_id) for lot in against) or 'none'}",
                    field="method",
                    value=missing[0],
                )
            chosen = [by_id[name] for name in named]
            if chosen and sum((abs(lot.quantity) for lot in chosen), Fraction(0)) < Fraction(fill.quantity):
                raise DataError(
                    f"fill {fill.fill_id} of {fill.symbol} closes more than the lots that are named for it",
                    hint="name more lots, or none",
                    field="method",
                    value=fill.fill_id,
                )
            against = chosen or against
        return iter(against)

    def _dispose(
        self,
        symbol: str,
        currency: str,
        lot: OpenLot,
        quantity: Fraction,
        amount: Fraction,
        closed_ns: int,
        closed_by: str | None,
    ) -> None:
        """Close a quantity of a lot for an amount: received for a long one, paid for a short one."""
        long = lot.quantity > 0
        share = lot.take(quantity)
        proceeds, cost = (amount, share) if long else (share, amount)
        self.closings.append(
            Closing(
                symbol,
                currency,
                quantity if long else -quantity,
                proceeds,
                cost,
                lot.opened_ns,
                closed_ns,
                lot.fill_id,
                closed_by,
            )
        )

    def _keep(self, place: Place, lots: Sequence[OpenLot]) -> None:
        left = [lot for lot in lots if lot.quantity]
        if left:
            self._open[place] = left
        else:
            self._open.pop(place, None)

    # Corporate actions

    def _act(self, action: CorporateAction) -> None:
        apply: Callable[[CorporateAction, Place, list[OpenLot]], None] | None = {
            CorporateActionType.SPLIT: self._split,
            CorporateActionType.SYMBOL_CHANGE: self._rename,
            CorporateActionType.SPINOFF: self._spin_off,
            CorporateActionType.MERGER: self._merge,
        }.get(action.action_type)
        if apply is None:  # a dividend is cash, which a cash flow tells
            return
        for place in [place for place in self._open if place[0] == action.symbol]:
            apply(action, place, self._open.pop(place))

    def _split(self, action: CorporateAction, place: Place, lots: list[OpenLot]) -> None:
        """Multiply the quantity, and leave the cost as a whole as it is (IRS Publication 550, "Stock splits")."""
        ratio = _needed(action, action.ratio, "a ratio (new_rate)")
        for lot in lots:
            lot.quantity *= ratio
        self._keep(place, lots)

    def _rename(self, action: CorporateAction, place: Place, lots: list[OpenLot]) -> None:
        self._join((_needed(action, action.new_symbol, "a new_symbol"), place[1]), lots)

    def _spin_off(self, action: CorporateAction, place: Place, lots: list[OpenLot]) -> None:
        """Divide the cost between both shares, as the company publishes it; without a fraction all of it stays (IRC section 358)."""
        ratio = _needed(action, action.ratio, "a ratio (new_rate)")
        symbol = _needed(action, action.new_symbol, "a new_symbol")
        moved = fraction_of(action.basis_fraction)
        new = [
            OpenLot(lot.quantity * ratio, lot.cost * moved, lot.multiplier, lot.opened_ns, lot.fill_id) for lot in lots
        ]
        for lot in lots:
            lot.cost *= 1 - moved
        self._keep(place, lots)
        self._join((symbol, place[1]), new)

    def _merge(self, action: CorporateAction, place: Place, lots: list[OpenLot]) -> None:
        """Exchange shares for others, for cash, or for both. Cash beside shares reduces the cost, and what exceeds it is a gain."""
        symbol, currency = place
        cash = fraction_of(action.amount)
        if action.ratio is None and action.amount is None:
            _needed(action, None, "a ratio (new_rate) or an amount")
        if cash and action.currency != currency:
            raise DataError(
                f"the merger of {symbol} of {ns_text(action.ts_ns)} pays {action.currency}, and its lots are in {currency}",
                hint="store it with the amount in the currency of the lots",
                value=action,
            )
        for lot in lots:
            amount = cash * abs(lot.quantity)
            self.merger_cash[currency] += amount if lot.quantity > 0 else -amount
            if action.ratio is None:
                self._dispose(symbol, currency, lot, abs(lot.quantity), amount, action.ts_ns, None)
                continue
            if amount:
                self._pay_out(symbol, currency, lot, amount, action.ts_ns)
            lot.quantity *= action.ratio
        if action.ratio is not None:
            self._join((action.new_symbol or symbol, currency), lots)

    def _pay_out(self, symbol: str, currency: str, lot: OpenLot, amount: Fraction, at_ns: int) -> None:
        share = min(amount, lot.cost)
        lot.cost -= share
        proceeds, cost = (amount, share) if lot.quantity > 0 else (share, amount)
        self.closings.append(
            Closing(symbol, currency, Fraction(0), proceeds, cost, lot.opened_ns, at_ns, lot.fill_id, None)
        )

    def _join(self, place: Place, lots: Sequence[OpenLot]) -> None:
        """Add lots to a position. Long and short ones of one symbol close nothing: the broker tells that by fills."""
        there = sorted([*self._open.get(place, ()), *lots], key=lambda lot: lot.opened_ns)
        if self._method == "average":
            sides = [[lot for lot in there if (lot.quantity > 0) is long] for long in (True, False)]
            there = [_pooled(side) for side in sides if side]
        self._keep(place, there)


def _pooled(lots: Sequence[OpenLot]) -> OpenLot:
    """Return lots of one direction as one, at their average cost."""
    quantity = sum((lot.quantity for lot in lots), Fraction(0))
    value = sum((lot.quantity * lot.multiplier for lot in lots), Fraction(0))
    cost = sum((lot.cost for lot in lots), Fraction(0))
    return evolve(lots[0], quantity=quantity, cost=cost, multiplier=value / quantity)


def _needed(action: CorporateAction, value: T | None, what: str) -> T:
    if value is None:
        raise DataError(
            f"the {action.action_type} of {action.symbol} of {ns_text(action.ts_ns)} has no {what.removeprefix('a ')}",
            hint=f"store it again with {what}",
            value=action,
        )
    return value
