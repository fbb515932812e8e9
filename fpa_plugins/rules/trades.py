"""Rules for trades."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from attrs import field, frozen
from attrs.converters import optional

from fpa_core.models import Trade
from fpa_core.numbers import decimal_text, to_decimal
from fpa_core.validator import WARN, Rule, every

if TYPE_CHECKING:
    from fpa_core.validator.vectors import Columns, KleeneMask

__all__ = ["RULES", "Bounds", "Positive", "Size"]


class Positive(Rule):
    """The price is above zero.

    Some instruments trade at or below zero: crude oil on 2020-04-20, calendar spreads on any day.

    Good: 10.00. Bad: -36.98.
    """

    id = "trade.positive"
    kind = "trades"
    fields = ("price",)
    levels = WARN

    def check(self, trade: Trade) -> bool:
        """Check one trade."""
        return trade.price > 0

    def mask(self, columns: Columns) -> KleeneMask:
        """Validate a table."""
        return columns.numbers("price") > 0

    def describe(self, trade: Trade) -> str:
        """Return a message with the price."""
        return f"the price {decimal_text(trade.price)} is not above zero"


class Size(Rule):
    """The size is above zero.

    Some futures feeds send trades of size zero to mark a settlement or the leg of a spread.

    Good: 100. Bad: 0.
    """

    id = "trade.size"
    kind = "trades"
    fields = ("size",)
    levels = WARN

    def check(self, trade: Trade) -> bool:
        """Check one trade."""
        return trade.size > 0

    def mask(self, columns: Columns) -> KleeneMask:
        """Validate a table."""
        return columns.numbers("size") > 0

    def describe(self, trade: Trade) -> str:
        """Return a message with the size."""
        return f"the size {decimal_text(trade.size)} is not above zero"


@frozen(kw_only=True)
class Bounds(Rule):
    """The price is within the configured bounds.

    Without bounds, nothing is checked.

    Good, with bounds 1 and 1000: 10.00. Bad: 1500.

    :ivar min_price: the lowest price allowed, in the instrument's currency; none unless set.
    :ivar max_price: the highest price allowed; none unless set.
    """

    id = "trade.bounds"
    kind = "trades"
    fields = ("price",)
    levels = WARN

    min_price: Decimal | None = field(default=None, converter=optional(to_decimal), metadata={"unit": "price"})
    max_price: Decimal | None = field(default=None, converter=optional(to_decimal), metadata={"unit": "price"})

    def check(self, trade: Trade) -> bool | None:
        """Check one trade."""
        low, high = self.min_price, self.max_price
        return every(None if low is None else trade.price >= low, None if high is None else trade.price <= high)

    def mask(self, columns: Columns) -> KleeneMask:
        """Validate a table."""
        price, low, high = columns.numbers("price"), self.min_price, self.max_price
        bounds = ([] if low is None else [price >= low]) + ([] if high is None else [price <= high])
        return columns.every(*bounds) if bounds else columns.unknown()

    def describe(self, trade: Trade) -> str:
        """Return a message with the price and the bounds."""
        low, high = (None if bound is None else decimal_text(bound) for bound in (self.min_price, self.max_price))
        bounds = f"above {high}" if low is None else f"below {low}" if high is None else f"not in {low} to {high}"
        return f"the price {decimal_text(trade.price)} is {bounds}"

    def limit(self, trade: Trade) -> str:  # noqa: ARG002
        """Return the bounds."""
        low, high = ("any" if bound is None else decimal_text(bound) for bound in (self.min_price, self.max_price))
        return f"{low} to {high}"


RULES: tuple[type[Rule], ...] = (Positive, Size, Bounds)
