"""The cash of one account, in each currency, as its fills and cash flows leave it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from fractions import Fraction

from fpa_core.amounts import fraction_of
from fpa_core.models import CashFlow, CashFlowType, Fill

__all__ = ["EXTERNAL", "INCOME", "Ledger", "movements"]

EXTERNAL = frozenset({CashFlowType.DEPOSIT, CashFlowType.WITHDRAWAL, CashFlowType.TRANSFER})
"""Money put in or taken out, which is no gain."""

INCOME = {
    CashFlowType.DIVIDEND: "dividends",
    CashFlowType.INTEREST: "interest",
    CashFlowType.FEE: "fees",
    CashFlowType.TAX: "taxes",
    CashFlowType.ADJUSTMENT: "other",
}
"""What an account earns or pays, and where that is counted."""


def movements(event: Fill | CashFlow) -> Iterator[tuple[str, Fraction]]:
    """Yield the cash that a fill or cash flow moves, by currency: a purchase pays price times quantity and the fee."""
    if isinstance(event, CashFlow):
        yield event.currency, Fraction(event.amount)
        return
    value = Fraction(event.value)
    yield event.currency, -value if event.signed_quantity > 0 else value
    if event.fee:
        yield event.fee_currency or event.currency, -fraction_of(event.fee)


class Ledger:
    """Balances by currency."""

    def __init__(self) -> None:
        self.balances: dict[str, Fraction] = defaultdict(Fraction)

    def take(self, event: Fill | CashFlow) -> None:
        """Book a fill or a cash flow."""
        for currency, amount in movements(event):
            self.balances[currency] += amount
