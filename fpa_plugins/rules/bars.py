"""Rules for bars. A source of one price a day has only closes; missing values are not checked."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from fpa_core.models import Bar
from fpa_core.numbers import decimal_text
from fpa_core.validator import ERROR, WARN, Rule, every

if TYPE_CHECKING:
    from fpa_core.validator.vectors import Columns, KleeneMask

__all__ = ["RULES", "Positive", "Range", "Volume"]

_PRICES = ("open", "high", "low", "close")


class Positive(Rule):
    """Every price of the bar is above zero.

    Some instruments trade at or below zero: the spot price of crude oil closed at -36.98 on 2020-04-20.

    Good: close 10.00. Bad: close -36.98.
    """

    id = "bar.positive"
    kind = "bars"
    fields = _PRICES
    levels = WARN

    def check(self, bar: Bar) -> bool | None:
        """Check one bar."""
        prices = (bar.open, bar.high, bar.low, bar.close)
        return every(*[None if price is None else price > 0 for price in prices])

    def mask(self, columns: Columns) -> KleeneMask:
        """Validate a table."""
        return columns.every(*[columns.numbers(name) > 0 for name in _PRICES])

    def describe(self, bar: Bar) -> str:
        """Return a message with the prices that are not above zero."""
        prices = {name: getattr(bar, name) for name in _PRICES}
        low = [f"{name} {decimal_text(price)}" for name, price in prices.items() if price is not None and price <= 0]
        return f"not above zero: {', '.join(low)}"


class Range(Rule):
    """The high is the highest and the low the lowest of the bar's prices.

    Good: open 10, high 12, low 9, close 11. Bad: open 10, high 10.5, low 9, close 11.
    """

    id = "bar.range"
    kind = "bars"
    fields = _PRICES
    levels = ERROR

    def check(self, bar: Bar) -> bool | None:
        """Check one bar."""
        high, low = bar.high, bar.low
        others = (bar.open, bar.close)
        return every(
            _at_least(high, low),
            *[_at_least(high, each) for each in others],
            *[_at_least(each, low) for each in others],
        )

    def mask(self, columns: Columns) -> KleeneMask:
        """Validate a table."""
        opening, high, low, close = (columns.numbers(name) for name in _PRICES)
        return columns.every(high >= low, high >= opening, high >= close, opening >= low, close >= low)

    def describe(self, bar: Bar) -> str:
        """Return a message with the four prices."""
        prices = [f"{name} {_text(getattr(bar, name))}" for name in _PRICES]
        return f"the high is not the highest or the low not the lowest: {', '.join(prices)}"


class Volume(Rule):
    """The volume is not negative.

    Good: 0. Bad: -1.
    """

    id = "bar.volume"
    kind = "bars"
    fields = ("volume",)
    levels = ERROR

    def check(self, bar: Bar) -> bool | None:
        """Check one bar."""
        return None if bar.volume is None else bar.volume >= 0

    def mask(self, columns: Columns) -> KleeneMask:
        """Validate a table."""
        return columns.numbers("volume") >= 0

    def describe(self, bar: Bar) -> str:
        """Return a message with the volume."""
        return f"the volume {_text(bar.volume)} is negative"


def _at_least(one: Decimal | None, other: Decimal | None) -> bool | None:
    return None if one is None or other is None else one >= other


def _text(value: Decimal | None) -> str:
    return "missing" if value is None else decimal_text(value)


RULES: tuple[type[Rule], ...] = (Positive, Range, Volume)
