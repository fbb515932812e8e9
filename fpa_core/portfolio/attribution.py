"""What each symbol of an account earned."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from decimal import Decimal
from fractions import Fraction
from typing import TypeAlias

from fpa_core.amounts import decimal_of
from fpa_core.models import CashFlow, Fill
from fpa_core.portfolio.ledger import INCOME
from fpa_core.portfolio.performance import PnL
from fpa_core.portfolio.valuation import Marks, Walk

__all__ = ["Part", "by_symbol"]

Part: TypeAlias = tuple[str, str, str, Fraction]
"""A symbol, a currency, what an amount is counted as, and the amount."""

_NAMES = ("realized", "unrealized", *dict.fromkeys(INCOME.values()))


def by_symbol(
    walk: Walk,
    fills: Iterable[Fill],
    flows: Iterable[CashFlow],
    marks: Marks,
    *,
    start_ns: int,
    end_ns: int,
    convert: Callable[[Fraction, str], tuple[Fraction, str]],
) -> list[PnL]:
    """Return gains by symbol and currency from *start_ns* to *end_ns*; what belongs to no symbol, such as interest, under an empty one.

    :param walk: a walk that has not passed *start_ns*.
    :param convert: returns an amount and its currency as they are to be told.
    :raises DataError: if there is no price of something that is held at the start or at the end.
    """
    sums: dict[tuple[str, str], dict[str, Fraction]] = defaultdict(lambda: defaultdict(Fraction))
    for symbol, own, name, amount in _parts(walk, fills, flows, marks, start_ns, end_ns):
        told, currency = convert(amount, own)
        sums[symbol, currency][name] += told
    rows = [
        PnL(
            key=symbol,
            currency=currency,
            **{name: decimal_of(amounts.get(name, Fraction(0))) for name in _NAMES},
            fx=Decimal(0),
            total=decimal_of(sum(amounts.values(), Fraction(0))),
            unexplained=Decimal(0),
        )
        for (symbol, currency), amounts in sorted(sums.items())
    ]
    return [row for row in rows if any((row.total, row.realized, row.unrealized))]


def _parts(
    walk: Walk, fills: Iterable[Fill], flows: Iterable[CashFlow], marks: Marks, start_ns: int, end_ns: int
) -> Iterator[Part]:
    yield from _unrealized(walk, marks, start_ns - 1, Fraction(-1), closing=True)
    yield from _unrealized(walk, marks, end_ns, Fraction(1), closing=False)
    for closing in walk.book.closings:
        if closing.closed_ns >= start_ns:
            yield closing.symbol, closing.currency, "realized", closing.gain
    for fill in fills:
        if fill.ts_ns >= start_ns and fill.fee and fill.fee_currency not in (None, fill.currency):
            yield fill.symbol, fill.fee_currency or "", "fees", -Fraction(fill.fee)
    for flow in flows:
        if flow.ts_ns >= start_ns and flow.flow_type in INCOME:
            yield flow.symbol or "", flow.currency, INCOME[flow.flow_type], Fraction(flow.amount)


def _unrealized(walk: Walk, marks: Marks, at_ns: int, sign: Fraction, *, closing: bool) -> Iterator[Part]:
    walk.moment(at_ns, marks, closing=closing)  # raises for a price that is not there
    for symbol, own, lots in walk.book.places():
        mark = marks.at(symbol, at_ns, closing=closing)
        assert mark is not None
        for lot in lots:
            yield symbol, own, "unrealized", sign * (mark.price * lot.quantity * lot.multiplier - lot.basis)
