"""Rules for the current state of an order, independent of its history."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from attrs import field, frozen

from fpa_core.models import Order, OrderStatus, OrderType, Side
from fpa_core.numbers import EXACT, decimal_text, to_decimal
from fpa_core.validator import ERROR, WARN, Rule, every

if TYPE_CHECKING:
    from fpa_core.validator.vectors import Columns, KleeneMask

__all__ = ["RULES", "Fill", "Overfill", "Prices", "Quantity"]

_WITH_LIMIT = (OrderType.LIMIT, OrderType.STOP_LIMIT)
_WITH_STOP = (OrderType.STOP, OrderType.STOP_LIMIT)


class Quantity(Rule):
    """The ordered quantity is above zero, and the filled quantity is not negative.

    An order has a quantity or an amount of money (notional); a missing one is not checked.

    Good: quantity 100, filled 0. Bad: quantity 0.
    """

    id = "order.quantity"
    kind = "orders"
    fields = ("quantity", "notional", "filled_quantity")
    levels = ERROR

    def check(self, order: Order) -> bool | None:
        """Check one order."""
        quantity, notional = order.quantity, order.notional
        return every(
            None if quantity is None else quantity > 0,
            None if notional is None else notional > 0,
            order.filled_quantity >= 0,
        )

    def mask(self, columns: Columns) -> KleeneMask:
        """Validate a table."""
        return columns.every(
            columns.numbers("quantity") > 0, columns.numbers("notional") > 0, columns.numbers("filled_quantity") >= 0
        )

    def describe(self, order: Order) -> str:
        """Return a message with the ordered and the filled quantity."""
        return (
            f"ordered {_text(order.quantity if order.notional is None else order.notional)}, "
            f"filled {_text(order.filled_quantity)}: the ordered quantity must be above zero, and the filled quantity not below zero"
        )


@frozen(kw_only=True)
class Overfill(Rule):
    """The filled quantity is not larger than the ordered one.

    Exchanges sometimes overfill an order, when a cancel and a fill cross.

    Good: quantity 100, filled 100. Bad: quantity 100, filled 101.

    :ivar max_overfill: how much the filled quantity may exceed the ordered one, in units of the quantity.
    """

    id = "order.overfill"
    kind = "orders"
    fields = ("quantity", "filled_quantity")
    levels = WARN

    max_overfill: Decimal = field(default=Decimal(0), converter=to_decimal, metadata={"unit": "of the quantity"})

    def check(self, order: Order) -> bool | None:
        """Check one order."""
        if order.quantity is None:
            return None
        return order.filled_quantity <= EXACT.add(order.quantity, self.max_overfill)

    def mask(self, columns: Columns) -> KleeneMask:
        """Validate a table."""
        return columns.numbers("filled_quantity") <= columns.numbers("quantity") + self.max_overfill

    def describe(self, order: Order) -> str:
        """Return a message with both quantities."""
        return f"{_text(order.filled_quantity)} filled of {_text(order.quantity)} ordered"


class Prices(Rule):
    """The order has the prices its type requires.

    A limit order needs a limit price, a stop order a stop price, a stop-limit order both, and a market order neither. Trailing stops are not
    checked, because brokers update their stop price as it moves.

    Good: type limit, limit price 10.00. Bad: type limit without one.
    """

    id = "order.prices"
    kind = "orders"
    fields = ("order_type", "limit_price", "stop_price")
    levels = WARN

    def check(self, order: Order) -> bool | None:
        """Check one order."""
        has_limit, has_stop = order.limit_price is not None, order.stop_price is not None
        return every(
            has_limit if order.order_type in _WITH_LIMIT else None,
            has_stop if order.order_type in _WITH_STOP else None,
            not (has_limit or has_stop) if order.order_type is OrderType.MARKET else None,
        )

    def mask(self, columns: Columns) -> KleeneMask:
        """Validate a table."""
        has_limit, has_stop, kind = (
            columns.numbers("limit_price").present(),
            columns.numbers("stop_price").present(),
            columns.strings("order_type"),
        )
        return columns.every(
            has_limit.where(kind.isin(*_WITH_LIMIT)),
            has_stop.where(kind.isin(*_WITH_STOP)),
            (~(has_limit | has_stop)).where(kind.isin(OrderType.MARKET)),
        )

    def describe(self, order: Order) -> str:
        """Return a message with the type and its prices."""
        return f"a {order.order_type} order with limit price {_text(order.limit_price)}, stop price {_text(order.stop_price)}"


class Fill(Rule):
    """The status, the filled quantity and the average price of an order agree.

    There is an average price if and only if the filled quantity is not zero. A filled order is filled completely, a new one not at all. The average
    price of an order with a limit is not worse than the limit.

    Good: filled 100 of 100 at 9.99, limit 10.00 to buy. Bad: the same at 10.01.
    """

    id = "order.fill"
    kind = "orders"
    fields = ("status", "side", "order_type", "quantity", "filled_quantity", "average_fill_price", "limit_price")
    levels = WARN

    def check(self, order: Order) -> bool | None:
        """Check one order."""
        filled, average, limit, quantity = (
            order.filled_quantity,
            order.average_fill_price,
            order.limit_price,
            order.quantity,
        )
        limited = average is not None and limit is not None and order.order_type in _WITH_LIMIT
        return every(
            (filled > 0) == (average is not None),
            filled >= quantity if order.status is OrderStatus.FILLED and quantity is not None else None,
            filled == 0 if order.status is OrderStatus.NEW else None,
            average <= limit if limited and order.side is Side.BUY else None,  # type: ignore[operator]
            average >= limit if limited and order.side is Side.SELL else None,  # type: ignore[operator]
        )

    def mask(self, columns: Columns) -> KleeneMask:
        """Validate a table."""
        filled, average, limit = (
            columns.numbers("filled_quantity"),
            columns.numbers("average_fill_price"),
            columns.numbers("limit_price"),
        )
        status, side, limited = (
            columns.strings("status"),
            columns.strings("side"),
            columns.strings("order_type").isin(*_WITH_LIMIT),
        )
        return columns.every(
            average.present().where(filled > 0),
            (~average.present()).where(filled <= 0),
            (filled >= columns.numbers("quantity")).where(status.isin(OrderStatus.FILLED)),
            (filled == 0).where(status.isin(OrderStatus.NEW)),
            (average <= limit).where(limited & side.isin(Side.BUY)),
            (average >= limit).where(limited & side.isin(Side.SELL)),
        )

    def describe(self, order: Order) -> str:
        """Return a message with the values that should agree."""
        return (
            f"status {order.status}: filled {_text(order.filled_quantity)} of {_text(order.quantity)} "
            f"at {_text(order.average_fill_price)}, limit {_text(order.limit_price)}"
        )


def _text(value: Decimal | None) -> str:
    return "missing" if value is None else decimal_text(value)


RULES: tuple[type[Rule], ...] = (Quantity, Overfill, Prices, Fill)
