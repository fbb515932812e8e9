"""Rules for positions and portfolio snapshots: their numbers must be consistent. Short quantities and values are negative."""

from __future__ import annotations

from decimal import Context, Decimal, Inexact
from functools import reduce
from typing import TYPE_CHECKING

from attrs import field, frozen

from fpa_core.models import PortfolioSnapshot, Position, PositionSide
from fpa_core.numbers import EXACT, MAX_DIGITS, decimal_text, to_decimal
from fpa_core.validator import WARN, Rule

if TYPE_CHECKING:
    from fpa_core.validator.vectors import Columns, DecimalColumn, KleeneMask

__all__ = ["RULES", "PnL", "Side", "Total", "Value"]

_WIDE = Context(prec=8 * MAX_DIGITS, traps=[Inexact])
"""Exact arithmetic like EXACT, with enough precision for products of three numbers."""


@frozen(kw_only=True)
class Value(Rule):
    """The market value is quantity times price times multiplier.

    Checked with the tolerance ``max(abs_tolerance, rel_tolerance * |market value|)``, because brokers round.

    Good: 100 at 10.00 worth 1000.00. Bad: the same worth 1100.00.

    :ivar multiplier: units of the price that one contract stands for; 1 for shares, currencies and coins.
    :ivar skip_asset_classes: asset classes that are not checked, because their multiplier differs by contract.
    :ivar abs_tolerance: the absolute tolerance, in the currency of the position.
    :ivar rel_tolerance: the relative tolerance, as a fraction of the market value.
    """

    id = "position.value"
    kind = "positions"
    fields = ("quantity", "current_price", "market_value")
    levels = WARN

    multiplier: Decimal = field(default=Decimal(1), converter=to_decimal, metadata={"unit": "units of the price"})
    skip_asset_classes: tuple[str, ...] = field(default=("us_option", "option", "future"), converter=tuple)
    abs_tolerance: Decimal = field(default=Decimal("0.01"), converter=to_decimal, metadata={"unit": "currency"})
    rel_tolerance: Decimal = field(
        default=Decimal("0.000001"), converter=to_decimal, metadata={"unit": "of the market value"}
    )

    def check(self, position: Position) -> bool | None:
        """Check one position."""
        value, price = position.market_value, position.current_price
        if value is None or price is None or position.asset_class in self.skip_asset_classes:
            return None
        expected = _WIDE.multiply(_WIDE.multiply(position.quantity, price), self.multiplier)
        return _close(value, expected, self.abs_tolerance, self.rel_tolerance)

    def mask(self, columns: Columns) -> KleeneMask:
        """Validate a table."""
        expected = columns.numbers("quantity") * columns.numbers("current_price") * self.multiplier
        close = _all_close(columns.numbers("market_value"), expected, self.abs_tolerance, self.rel_tolerance)
        return close.where(~columns.strings("asset_class").isin(*self.skip_asset_classes))

    def describe(self, position: Position) -> str:
        """Return a message with the three numbers."""
        return f"{_text(position.quantity)} at {_text(position.current_price)} are not worth {_text(position.market_value)}"


@frozen(kw_only=True)
class PnL(Rule):
    """The unrealized profit is the market value less the cost basis.

    Checked with the tolerance ``max(abs_tolerance, rel_tolerance * |market value|)``.

    Good: worth 1000, cost 900, profit 100. Bad: profit 50.

    :ivar abs_tolerance: the absolute tolerance, in the currency of the position.
    :ivar rel_tolerance: the relative tolerance, as a fraction of the market value.
    """

    id = "position.pnl"
    kind = "positions"
    fields = ("market_value", "cost_basis", "unrealized_pnl")
    levels = WARN

    abs_tolerance: Decimal = field(default=Decimal("0.01"), converter=to_decimal, metadata={"unit": "currency"})
    rel_tolerance: Decimal = field(
        default=Decimal("0.000001"), converter=to_decimal, metadata={"unit": "of the market value"}
    )

    def check(self, position: Position) -> bool | None:
        """Check one position."""
        value, cost, profit = position.market_value, position.cost_basis, position.unrealized_pnl
        if value is None or cost is None or profit is None:
            return None
        return _close(value, EXACT.add(cost, profit), self.abs_tolerance, self.rel_tolerance)

    def mask(self, columns: Columns) -> KleeneMask:
        """Validate a table."""
        expected = columns.numbers("cost_basis") + columns.numbers("unrealized_pnl")
        return _all_close(columns.numbers("market_value"), expected, self.abs_tolerance, self.rel_tolerance)

    def describe(self, position: Position) -> str:
        """Return a message with the three numbers."""
        return (
            f"value {_text(position.market_value)} less cost {_text(position.cost_basis)} "
            f"is not the profit {_text(position.unrealized_pnl)}"
        )


class Side(Rule):
    """The side of the position and the sign of its quantity agree.

    Short quantities are negative. In exports with an unsigned quantity and a separate side, a short position would count as long.

    Good: short, quantity -5. Bad: short, quantity 5.
    """

    id = "position.side"
    kind = "positions"
    fields = ("side", "quantity")
    levels = WARN

    def check(self, position: Position) -> bool | None:
        """Check one position."""
        if position.side is None:
            return None
        return position.quantity >= 0 if position.side is PositionSide.LONG else position.quantity <= 0

    def mask(self, columns: Columns) -> KleeneMask:
        """Validate a table."""
        side, quantity = columns.strings("side"), columns.numbers("quantity")
        is_long, is_short = side.isin(PositionSide.LONG), side.isin(PositionSide.SHORT)
        return ((~is_long | (quantity >= 0)) & (~is_short | (quantity <= 0))).where(side.present())

    def describe(self, position: Position) -> str:
        """Return a message with side and quantity."""
        return f"the side is {position.side} and the quantity {_text(position.quantity)}: short quantities are negative"

    def limit(self, position: Position) -> str | None:
        """Return the quantity of that side."""
        return _text(EXACT.minus(position.quantity))


@frozen(kw_only=True)
class Total(Rule):
    """The positions and the cash of a snapshot sum to its total value.

    The tolerance is ``tolerance`` for each position and for the cash. Checked only if the snapshot has its positions and their values. Tables of
    snapshots have none, so they are not checked.

    Good: positions worth 600 and 300, cash 100, total 1000. Bad: total 1100.

    :ivar tolerance: the rounding allowed per summand, in the currency of the account.
    """

    id = "snapshot.total"
    kind = "snapshots"
    fields = ("total_value", "cash")
    levels = WARN

    tolerance: Decimal = field(
        default=Decimal("0.01"), converter=to_decimal, metadata={"unit": "currency, each summand"}
    )

    def check(self, snapshot: PortfolioSnapshot) -> bool | None:
        """Check one snapshot."""
        total = _sum(snapshot)
        if total is None:
            return None
        allowed = EXACT.multiply(self.tolerance, len(snapshot.positions) + 1)
        return EXACT.abs(EXACT.subtract(snapshot.total_value, total)) <= allowed

    def describe(self, snapshot: PortfolioSnapshot) -> str:
        """Return a message with the sum and the total."""
        return f"positions and cash make {_text(_sum(snapshot))}, not {_text(snapshot.total_value)}"


def _sum(snapshot: PortfolioSnapshot) -> Decimal | None:
    values = [position.market_value for position in snapshot.positions]
    if not values or snapshot.cash is None:
        return None
    present = [value for value in values if value is not None]
    return reduce(EXACT.add, present, snapshot.cash) if len(present) == len(values) else None


def _close(value: Decimal, expected: Decimal, absolute: Decimal, relative: Decimal) -> bool:
    difference = _WIDE.abs(_WIDE.subtract(value, expected))
    return difference <= absolute or difference <= _WIDE.multiply(relative, _WIDE.abs(value))


def _all_close(value: DecimalColumn, expected: DecimalColumn, absolute: Decimal, relative: Decimal) -> KleeneMask:
    difference = abs(value - expected)
    return (difference <= absolute) | (difference <= relative * abs(value))


def _text(value: Decimal | None) -> str:
    return "missing" if value is None else decimal_text(value)


RULES: tuple[type[Rule], ...] = (Value, PnL, Side, Total)
