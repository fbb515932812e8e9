"""Rules about ticks and lots: prices that are not a multiple of the tick, quantities that are not a multiple of the lot."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from attrs import field, frozen

from fpa_core.exceptions import DataError
from fpa_core.numbers import EXACT, decimal_text, to_decimal
from fpa_core.validator import OPT_IN, Rule, every

if TYPE_CHECKING:
    from fpa_core.validator.vectors import Columns, KleeneMask

__all__ = ["RULES", "OrderLot", "OrderTick", "QuoteTick", "TradeLot"]

Steps = tuple[tuple[Decimal, Decimal], ...]

_RULE_612: Steps = ((Decimal(0), Decimal("0.0001")), (Decimal(1), Decimal("0.01")))


def _steps(value: Sequence[Sequence[Any]]) -> Steps:
    """Parse a table of ticks: pairs of a price and the tick that applies from that price on."""
    table = tuple((to_decimal(each[0], "table"), to_decimal(each[1], "table")) for each in value if len(each) == 2)
    if len(table) != len(value) or not table or list(table) != sorted(table) or any(tick <= 0 for _, tick in table):
        raise DataError(
            f"table: pairs of a price and its tick in rising order are needed, not {value!r}",
            hint='write it like [["0", "0.0001"], ["1", "0.01"]]',
            value=value,
        )
    return table


def _positive(value: Any) -> Decimal:
    if (number := to_decimal(value, "lot")) <= 0:
        raise DataError(f"lot: expected a number above zero, not {value!r}", value=value)
    return number


@frozen(kw_only=True)
class _Tick(Rule):
    """Base class of the rules about ticks: each price of ``fields`` is checked with the tick for its size."""

    table: tuple[tuple[Decimal, Decimal], ...] = field(
        default=_RULE_612, converter=_steps, metadata={"unit": "price, tick"}
    )

    def check(self, record: Any) -> bool | None:
        """Check one record."""
        return every(*[self._fits(getattr(record, name)) for name in self.fields])

    def _fits(self, price: Decimal | None) -> bool | None:
        if price is None or price < 0 or (tick := self._tick(price)) is None:
            return None
        return EXACT.remainder(price, tick) == 0

    def _tick(self, price: Decimal) -> Decimal | None:
        return next((tick for start, tick in reversed(self.table) if price >= start), None)

    def mask(self, columns: Columns) -> KleeneMask:
        """Validate a table."""
        verdicts = []
        for name in self.fields:
            price = columns.numbers(name)
            ends = [start for start, _ in self.table[1:]]
            for (start, tick), end in zip(self.table, [*ends, None], strict=True):
                inside = (price >= start) & (price >= 0)
                inside = inside if end is None else inside & (price < end)
                verdicts.append((price % tick == 0).where(inside))
        return columns.every(*verdicts)

    def describe(self, record: Any) -> str:
        """Return a message with the prices that are off."""
        off = [name for name in self.fields if self._fits(getattr(record, name)) is False]
        told = [
            f"{name} {decimal_text(getattr(record, name))} is not a multiple of {self._tick(getattr(record, name))}"
            for name in off
        ]
        return ", ".join(told)

    def limit(self, record: Any) -> str | None:
        """Return the ticks of the prices that are off."""
        off = [name for name in self.fields if self._fits(getattr(record, name)) is False]
        return ", ".join(f"{name} {self._tick(getattr(record, name))}" for name in off)


@frozen(kw_only=True)
class QuoteTick(_Tick):
    """A quoted price is a multiple of its tick.

    The default table is that of SEC Rule 612 for shares in the United States: 0.01 from 1.00 on, else 0.0001. Trades may have prices in between, so
    there is no such rule for them. Set the severity to enable it, and the table of your market.

    Good: bid 10.01. Bad: bid 10.015.

    :ivar table: the prices from which each tick applies, and the ticks, in ascending order.
    """

    id = "quote.tick"
    kind = "quotes"
    fields = ("bid", "ask")
    levels = OPT_IN


@frozen(kw_only=True)
class OrderTick(_Tick):
    """The prices of an order are multiples of their tick.

    As quote.tick; brokers reject other orders.

    Good: limit price 10.01. Bad: limit price 10.015.

    :ivar table: the prices from which each tick applies, and the ticks, in ascending order.
    """

    id = "order.tick"
    kind = "orders"
    fields = ("limit_price", "stop_price")
    levels = OPT_IN


@frozen(kw_only=True)
class _Lot(Rule):
    """Base class of the rules about lots. The quantity is the only one of ``fields``."""

    lot: Decimal = field(default=Decimal(100), converter=_positive, metadata={"unit": "of the quantity"})

    def check(self, record: Any) -> bool | None:
        """Check one record."""
        quantity = getattr(record, self.fields[0])
        return None if quantity is None or quantity < 0 else EXACT.remainder(quantity, self.lot) == 0

    def mask(self, columns: Columns) -> KleeneMask:
        """Validate a table."""
        quantity = columns.numbers(self.fields[0])
        return (quantity % self.lot == 0).where(quantity >= 0)

    def describe(self, record: Any) -> str:
        """Return a message with the quantity and the lot."""
        quantity = decimal_text(getattr(record, self.fields[0]))
        return f"the {self.fields[0]} {quantity} is not a multiple of the lot {decimal_text(self.lot)}"

    def limit(self, record: Any) -> str | None:  # noqa: ARG002
        """Return the lot."""
        return decimal_text(self.lot)


@frozen(kw_only=True)
class TradeLot(_Lot):
    """The size of the trade is a multiple of the lot.

    Odd lots are real trades, but some averages exclude them. Set the severity to enable it.

    Good: 200. Bad: 37.

    :ivar lot: the lot, in units of the size.
    """

    id = "trade.lot"
    kind = "trades"
    fields = ("size",)
    levels = OPT_IN


@frozen(kw_only=True)
class OrderLot(_Lot):
    """The quantity of the order is a multiple of the lot.

    Set the severity to enable it.

    Good: 200. Bad: 37.

    :ivar lot: the lot, in units of the quantity.
    """

    id = "order.lot"
    kind = "orders"
    fields = ("quantity",)
    levels = OPT_IN


RULES: tuple[type[Rule], ...] = (QuoteTick, OrderTick, TradeLot, OrderLot)
