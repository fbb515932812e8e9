"""Rules for fills and cash flows: against their orders, the bars of their day, each other, and what was held."""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from attrs import field, frozen

from fpa_core.models import CashFlow, CashFlowType, CorporateAction, CorporateActionType, Fill, Order, Side
from fpa_core.numbers import EXACT, decimal_text, ns_text, to_decimal
from fpa_core.protocols import Failure, StoredBars, StoredOrder
from fpa_core.validator import ERROR, FLAG, WARN, Rule
from fpa_plugins.rules.identities import Remembered
from fpa_plugins.rules.intervals import DAY
from fpa_plugins.rules.stored import page_of

if TYPE_CHECKING:
    from fpa_core.validator.vectors import Columns, KleeneMask

__all__ = ["RULES", "Amount", "Dividend", "Duplicate", "OfOrder", "OutsideBar", "Quantity", "Sign"]

_CENT = Decimal("0.01")


class Quantity(Rule):
    """The quantity of a fill is above zero; the side tells whether it was bought or sold.

    Good: sell 100. Bad: sell 0.
    """

    id = "fill.quantity"
    kind = "fills"
    fields = ("side", "quantity")
    levels = ERROR

    def check(self, fill: Fill) -> bool:
        """Check one fill."""
        return fill.quantity > 0

    def mask(self, columns: Columns) -> KleeneMask:
        """Validate a table."""
        return columns.numbers("quantity") > 0


@frozen(kw_only=True)
class Amount(Rule):
    """The amount of a fill is price times quantity times multiplier, with the fee: below zero for a purchase.

    Checked only if the broker states the amount, and the fee, if any, is in the currency of the price.

    Good: buy 10 at 5.00, fee 1.00, amount -51.00. Bad: amount -50.00.

    :ivar tolerance: how much it may differ: the broker rounds it.
    """

    id = "fill.amount"
    kind = "fills"
    fields = ("side", "price", "quantity", "fee", "amount")
    levels = FLAG

    tolerance: Decimal = field(default=_CENT, converter=to_decimal, metadata={"unit": "currency"})

    def check(self, fill: Fill) -> bool | None:
        """Check one fill."""
        if fill.amount is None or (fill.fee and fill.fee_currency not in (None, fill.currency)):
            return None
        return EXACT.abs(EXACT.subtract(fill.amount, _moved(fill))) <= self.tolerance

    def describe(self, fill: Fill) -> str:
        """Return a message with both amounts."""
        return (
            f"price, quantity and fee make {decimal_text(_moved(fill))}, not {decimal_text(fill.amount or Decimal(0))}"
        )


def _moved(fill: Fill) -> Decimal:
    value = EXACT.minus(fill.value) if fill.side is Side.BUY else fill.value
    return value if fill.fee is None else EXACT.subtract(value, fill.fee)


@frozen(kw_only=True)
class Duplicate(Remembered):
    """No other fill of the account has the same time, side, price and quantity.

    Both are kept: an order may well be executed twice at one price in one instant. But one that is listed under two ids, or in two rows of a
    corrected file, counts twice in every position.

    Good: buy 100 at 14:30:00 and 50 at 14:30:00. Bad: buy 100 at 14:30:00 twice.

    :ivar window: how many fills of each symbol and account are remembered.
    """

    id = "fill.duplicate"
    kind = "fills"
    identity = ("ts_ns", "side", "price", "quantity")
    values = ("fill_id",)
    fields = identity + values
    key = ("symbol", "account")
    levels = FLAG

    def judge(self, name: Any, before: tuple[Any, ...], now: tuple[Any, ...]) -> bool | Failure:
        """Compare two fills of one time, side, price and quantity."""
        if before == now and now[0] is not None:
            return True
        ts_ns, side, price, quantity = name
        told = f"{side} {decimal_text(quantity)} at {decimal_text(price)} of {ns_text(ts_ns)}"
        ids = f", as {before[0]} and as {now[0]}" if before[0] is not None else ""
        return Failure(f"{told} occurs twice{ids}: an execution may be listed twice")


@frozen(kw_only=True)
class OfOrder(Rule):
    """A fill fits its order: the symbol, the side, the limit, and, with the fills before it, the quantity.

    The order is the stored one; a fill whose order is not stored is not checked. A purchase is at the limit or below, a sale at the limit or above.

    Good: limit 10.00, bought at 9.99. Bad: bought at 10.01.
    """

    id = "fill.order"
    kind = "fills"
    fields = ("order_id", "side", "price", "quantity")
    levels = WARN
    scope: ClassVar[Literal["row", "series", "dataset"]] = "series"
    needs = ("memory", "stored")

    def check(self, fill: Fill, memory: MutableMapping[Any, Any], stored: StoredOrder | None) -> bool | Failure | None:
        """Check one fill."""
        if fill.order_id is None or stored is None:
            return None
        name = (fill.order_id, fill.account)
        if name not in memory:
            memory[name] = (stored(*name), {})
        order, filled = memory[name]
        if order is None:
            return None
        filled[fill.fill_id or len(filled)] = fill.quantity
        total = functools.reduce(EXACT.add, filled.values())
        problems = list(_problems(fill, order, total))
        return Failure(f"{'; '.join(problems)}: order {fill.order_id}") if problems else True


def _problems(fill: Fill, order: Order, filled: Decimal) -> Iterator[str]:
    if (fill.symbol, fill.side) != (order.symbol, order.side):
        yield f"a {fill.side} of {fill.symbol}, not a {order.side} of {order.symbol}"
        return
    limit = order.limit_price
    if limit is not None and (fill.price > limit if fill.side is Side.BUY else fill.price < limit):
        yield f"the price {decimal_text(fill.price)} is beyond the limit {decimal_text(limit)}"
    if order.quantity is not None and filled > order.quantity:
        yield f"{decimal_text(filled)} are filled of {decimal_text(order.quantity)}"


@frozen(kw_only=True)
class OutsideBar(Rule):
    """The price of a fill is between the low and the high of the stored bar of its day.

    The bar of the day in UTC is looked up, so trades outside of an exchange's hours may belong to another day. Fills without a bar are not checked.

    Good: low 9.90, high 10.10, price 10.05. Bad: price 100.50.

    :ivar max_rel: how far outside the price may be, as a fraction of it.
    """

    id = "fill.outside_bar"
    kind = "fills"
    fields = ("ts_ns", "price")
    levels = FLAG
    scope: ClassVar[Literal["row", "series", "dataset"]] = "series"
    needs = ("memory", "stored_bars")

    max_rel: Decimal = field(default=Decimal("0.01"), converter=to_decimal, metadata={"unit": "of the price"})

    def check(
        self, fill: Fill, memory: MutableMapping[Any, Any], stored_bars: StoredBars | None
    ) -> bool | Failure | None:
        """Check one fill."""
        if stored_bars is None:
            return None
        day_ns = fill.ts_ns - fill.ts_ns % DAY
        found = page_of(memory, stored_bars, fill.symbol, "1d", day_ns).content(day_ns)
        if found is None or found[1] is None or found[2] is None:
            return None
        _, high, low, *_ = found
        room = EXACT.abs(EXACT.multiply(self.max_rel, fill.price))
        if EXACT.subtract(low, room) <= fill.price <= EXACT.add(high, room):
            return True
        return Failure(
            f"the price {decimal_text(fill.price)} is outside the bar of its day, {decimal_text(low)} to {decimal_text(high)}",
            f"{decimal_text(low)} to {decimal_text(high)}",
        )


_INCOMING = frozenset({CashFlowType.DEPOSIT, CashFlowType.PROCEEDS})
_OUTGOING = frozenset({CashFlowType.WITHDRAWAL, CashFlowType.FEE, CashFlowType.TAX})


class Sign(Rule):
    """Deposits are above zero; withdrawals, fees and taxes are below, as they leave the account.

    A fee or tax that was paid back is above zero, and flagged, too: see whether the file writes what was paid without a sign.

    Good: fee -1.50. Bad: withdrawal 100.
    """

    id = "cash.sign"
    kind = "cash"
    fields = ("flow_type", "amount")
    levels = FLAG

    def check(self, flow: CashFlow) -> bool | None:
        """Check one cash flow."""
        if flow.flow_type in _INCOMING:
            return flow.amount >= 0
        return flow.amount <= 0 if flow.flow_type in _OUTGOING else None

    def describe(self, flow: CashFlow) -> str:
        """Return a message with type and amount."""
        return f"a {flow.flow_type} of {decimal_text(flow.amount)} has the wrong sign"


@frozen(kw_only=True)
class Dividend(Rule):
    """A dividend that was paid is that of a share times the shares that the account held just before the ex-date.

    The shares follow from the fills and splits of the data set. Checked only if it has the fills of the account and the corporate action: the last
    one before the payment, of the same currency.

    Good: 100 shares, 0.25 a share, paid 25.00. Bad: paid 250.00.

    :ivar tolerance: how much it may differ: the broker rounds it.
    :ivar max_days: how many days after the ex-date it is paid at most.
    """

    id = "cash.dividend"
    kind = "cash"
    fields = ("symbol", "flow_type", "amount")
    levels = FLAG
    scope: ClassVar[Literal["row", "series", "dataset"]] = "dataset"
    against = ("fills", "corporate_actions")

    tolerance: Decimal = field(default=_CENT, converter=to_decimal, metadata={"unit": "currency"})
    max_days: int = field(default=90, metadata={"unit": "d"})

    def mask(self, columns: Columns, others: Mapping[str, Columns]) -> KleeneMask:
        """Validate a table."""
        import numpy as np

        from fpa_core.arrow.conversion import from_table
        from fpa_core.validator.vectors import KleeneMask

        flows, fills, actions = (
            from_table(one.kind, one.table) for one in (columns, others["fills"], others["corporate_actions"])
        )
        by_account: dict[str, list[Fill]] = defaultdict(list)
        for fill in fills:
            by_account[fill.account].append(fill)
        holds, known = np.ones(len(columns), np.bool_), np.zeros(len(columns), np.bool_)
        failures: dict[int, Failure] = {}
        for row, flow in enumerate(flows):
            verdict = self._judge(flow, by_account.get(flow.account, ()), actions)
            known[row], holds[row] = verdict is not None, bool(verdict)
            if isinstance(verdict, Failure):
                failures[row] = verdict
        return KleeneMask(holds, known, failures.__getitem__)

    def _judge(
        self, flow: CashFlow, fills: Sequence[Fill], actions: Sequence[CorporateAction]
    ) -> bool | Failure | None:
        from fpa_core.portfolio.book import Book, in_order

        if flow.flow_type is not CashFlowType.DIVIDEND or not fills:
            return None
        paid = [
            action
            for action in actions
            if action.action_type in _DIVIDENDS
            and (action.symbol, action.currency) == (flow.symbol, flow.currency)
            and action.ts_ns <= flow.ts_ns <= action.ts_ns + self.max_days * DAY
        ]
        if not paid or (action := max(paid, key=lambda one: one.ts_ns)).amount is None:
            return None
        before = [event for event in in_order(fills, actions) if event.ts_ns < action.ts_ns]
        held = Book(flow.account).take_all(before).quantity(action.symbol)
        expected = held * Fraction(action.amount)
        if abs(Fraction(flow.amount) - expected) <= Fraction(self.tolerance):
            return True
        return Failure(
            f"{decimal_text(flow.amount)} were paid for {float(held):g} shares at {decimal_text(action.amount)}, "
            f"which makes {float(expected):.2f}"
        )


_DIVIDENDS = (CorporateActionType.DIVIDEND, CorporateActionType.SPECIAL_DIVIDEND)

RULES: tuple[type[Rule], ...] = (Quantity, Amount, Duplicate, OfOrder, OutsideBar, Sign, Dividend)
