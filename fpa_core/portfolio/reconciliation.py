"""What does not add up in an account: its orders, fills, positions, snapshots and cash, held against each other to the cent."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from fractions import Fraction

from attrs import frozen

from fpa_core.amounts import decimal_of, fraction_of
from fpa_core.models import (
    CashFlow,
    CashFlowType,
    CorporateAction,
    CorporateActionType,
    Fill,
    Order,
    OrderStatus,
    PortfolioSnapshot,
    Position,
)
from fpa_core.numbers import decimal_text, ns_text
from fpa_core.portfolio.ledger import movements
from fpa_core.portfolio.valuation import Walk

__all__ = ["Discrepancy", "explain_quantity", "reconcile"]

CENT = Fraction(1, 100)
DAYS_TO_PAY = 90
"""How long after its ex-date a dividend is waited for, if its payable date is unknown."""

_DAY = 86_400 * 10**9
NEAR = 5 * _DAY
"""How far from a snapshot a fill or corporate action may be that it has too early or too late: settlement, a weekend and a holiday."""

_SPLITS = frozenset({Fraction(3, 2), *map(Fraction, range(2, 31))})
_DIVIDENDS = (CorporateActionType.DIVIDEND, CorporateActionType.SPECIAL_DIVIDEND)


@frozen(kw_only=True)
class Discrepancy:
    """Two figures that should be equal and are not.

    :ivar check: ``order``, ``fill``, ``position``, ``cash``, ``snapshot`` or ``dividend``.
    :ivar subject: the order, fill, symbol or currency it is about.
    :ivar expected: what follows from the other records; ``found`` what is stated.
    """

    account: str
    check: str
    subject: str
    ts_ns: int | None
    expected: Decimal
    found: Decimal
    message: str

    @property
    def difference(self) -> Decimal:
        """Found less expected."""
        return decimal_of(Fraction(self.found) - Fraction(self.expected))


def reconcile(
    account: str,
    orders: Iterable[Order],
    fills: Sequence[Fill],
    actions: Sequence[CorporateAction],
    flows: Sequence[CashFlow],
    snapshots: Sequence[PortfolioSnapshot],
    positions: Sequence[Position],
) -> list[Discrepancy]:
    """Return what does not add up; the records are all of one account, snapshots and positions in order of time.

    What is not kept at all misses nothing: without fills no position is checked, without fills and cash flows no balance, without orders no order.
    """
    found = [*_orders(account, orders, fills), *_amounts(account, fills)]
    walk = Walk(account, fills, actions, flows)
    held: dict[int, list[Position]] = defaultdict(list)
    for position in positions:
        assert position.ts_ns is not None
        held[position.ts_ns].append(position)
    stated = {snapshot.ts_ns: snapshot for snapshot in snapshots}
    dividends = {
        action.ts_ns: [one for one in actions if one.ts_ns == action.ts_ns and one.action_type in _DIVIDENDS]
        for action in actions
        if action.action_type in _DIVIDENDS
    }
    for ts_ns in sorted({*held, *stated, *(ts - 1 for ts in dividends)}):
        walk.to(ts_ns)
        for action in dividends.get(ts_ns + 1, ()):  # whoever holds it just before the ex-date is entitled
            found += _dividend(account, action, walk.book.quantity(action.symbol), flows)
        if fills and (ts_ns in held or (ts_ns in stated and stated[ts_ns].positions)):
            found += _positions(account, ts_ns, held[ts_ns], walk, fills, actions)
        if ts_ns in stated:
            found += _snapshot(account, stated[ts_ns], held[ts_ns], walk if fills or flows else None)
    return found


def _orders(account: str, orders: Iterable[Order], fills: Sequence[Fill]) -> Iterator[Discrepancy]:
    by_order: dict[str, list[Fill]] = defaultdict(list)
    for fill in fills:
        if fill.order_id is not None:
            by_order[fill.order_id].append(fill)
    known = set()
    for order in orders:
        known.add(order.order_id)
        yield from _order(account, order, by_order.get(order.order_id, []))
    if not known:  # an account whose orders are not kept at all misses none
        return
    for order_id in sorted(by_order.keys() - known):
        own = by_order[order_id]
        message = f"order {order_id} is not stored, but {len(own)} fills of it are"
        yield _discrepancy(account, "order", order_id, own[0].ts_ns, _quantity(own), Decimal(0), message)


def _order(account: str, order: Order, own: Sequence[Fill]) -> Iterator[Discrepancy]:
    for fill in own:
        if (fill.symbol, fill.side) != (order.symbol, order.side):
            message = (
                f"fill {fill.fill_id} is a {fill.side} of {fill.symbol}, "
                f"its order {order.order_id} a {order.side} of {order.symbol}"
            )
            yield _discrepancy(account, "fill", str(fill.fill_id), fill.ts_ns, Fraction(0), fill.quantity, message)
    executed, said = _quantity(own), order.filled_quantity
    if executed != Fraction(said):
        message = (
            f"order {order.order_id} says that {decimal_text(said)} {order.symbol} are filled, "
            f"its {len(own)} fills say {decimal_text(decimal_of(executed))}"
        )
        if order.status in {OrderStatus.NEW, OrderStatus.PARTIALLY_FILLED} and executed > said:
            message += "; a later state of the order may be missing"
        yield _discrepancy(account, "order", order.order_id, order.updated_ns, executed, said, message)
    elif own and order.average_fill_price is not None:
        average = sum((Fraction(fill.price) * Fraction(fill.quantity) for fill in own), Fraction(0)) / executed
        # It is rounded to as many places as it is written with, or to cents.
        places = max(2, -int(order.average_fill_price.as_tuple().exponent))
        if abs(average - Fraction(order.average_fill_price)) > Fraction(1, 10**places):
            message = f"the average price of order {order.order_id} is not that of its fills"
            yield _discrepancy(
                account, "order", order.order_id, order.updated_ns, average, order.average_fill_price, message
            )


def _quantity(fills: Iterable[Fill]) -> Fraction:
    return sum((Fraction(fill.quantity) for fill in fills), Fraction(0))


def _amounts(account: str, fills: Sequence[Fill]) -> Iterator[Discrepancy]:
    for fill in fills:
        if fill.amount is None:
            continue
        moved = [amount for currency, amount in movements(fill) if currency == fill.currency]
        expected = sum(moved, Fraction(0))
        if abs(expected - Fraction(fill.amount)) >= CENT:
            yield _discrepancy(
                account, "fill", str(fill.fill_id), fill.ts_ns, expected, fill.amount,
                f"price, quantity and fee of fill {fill.fill_id} of {fill.symbol} do not give its amount",
            )  # fmt: skip


def _positions(
    account: str,
    ts_ns: int,
    stated: Sequence[Position],
    walk: Walk,
    fills: Sequence[Fill],
    actions: Sequence[CorporateAction],
) -> Iterator[Discrepancy]:
    by_symbol = {position.symbol: Fraction(position.quantity) for position in stated}
    names = {symbol for symbol, _, _ in walk.book.places()} | by_symbol.keys()
    for symbol in sorted(names):
        own, said = walk.book.quantity(symbol), by_symbol.get(symbol, Fraction(0))
        if own != said:
            why = explain_quantity(symbol, own, said, ts_ns, fills, actions)
            yield _discrepancy(
                account, "position", symbol, ts_ns, own, decimal_of(said),
                f"the fills give {decimal_text(decimal_of(own))} {symbol}, the snapshot has {decimal_text(decimal_of(said))}: {why}",
            )  # fmt: skip


def explain_quantity(
    symbol: str,
    own: Fraction,
    said: Fraction,
    at_ns: int,
    fills: Iterable[Fill],
    actions: Iterable[CorporateAction],
) -> str:
    """Return what may be the cause why fills give the quantity *own*, and a snapshot at that time has *said*."""
    of_symbol = [fill for fill in fills if fill.symbol == symbol]
    if not any(fill.ts_ns <= at_ns for fill in of_symbol):
        return f"no fill of {symbol} before it is stored"
    for fill in of_symbol:
        change = Fraction(fill.signed_quantity)
        if said == (own - change if fill.ts_ns <= at_ns else own + change) and abs(fill.ts_ns - at_ns) <= NEAR:
            return f"the fill of {ns_text(fill.ts_ns)} is {_where(fill.ts_ns, at_ns)}"
    for action in actions:
        if action.symbol != symbol or action.ratio is None or abs(action.ts_ns - at_ns) > NEAR:
            continue
        if said == (own / action.ratio if action.ts_ns <= at_ns else own * action.ratio):
            return f"the {action.action_type} of {ns_text(action.ts_ns)} is {_where(action.ts_ns, at_ns)}"
    if own and said and (ratio := said / own) > 0 and max(ratio, 1 / ratio) in _SPLITS:
        return f"it is {ratio} of that: a split may be missing among the corporate actions"
    return "a fill may be missing, or be stored twice"


def _where(ts_ns: int, at_ns: int) -> str:
    return "not in it yet" if ts_ns <= at_ns else "in it already"


def _snapshot(
    account: str, snapshot: PortfolioSnapshot, held: Sequence[Position], walk: Walk | None
) -> Iterator[Discrepancy]:
    currency = snapshot.currency
    if snapshot.cash is not None:
        own = None if walk is None else walk.ledger.balances.get(currency, Fraction(0))
        if own is not None and abs(own - Fraction(snapshot.cash)) >= CENT:
            yield _discrepancy(
                account, "cash", currency, snapshot.ts_ns, own, snapshot.cash,
                f"fills and cash flows give {decimal_text(round(decimal_of(own), 2))} {currency} of cash",
            )  # fmt: skip
        values = [position.market_value for position in held]
        if None not in values:
            total = Fraction(snapshot.cash) + sum(map(fraction_of, values), Fraction(0))
            if abs(total - Fraction(snapshot.total_value)) >= CENT:
                yield _discrepancy(
                    account, "snapshot", currency, snapshot.ts_ns, total, snapshot.total_value,
                    "cash and positions of the snapshot do not give its total value",
                )  # fmt: skip


def _dividend(
    account: str, action: CorporateAction, quantity: Fraction, flows: Iterable[CashFlow]
) -> Iterator[Discrepancy]:
    if not quantity or action.amount is None:
        return
    expected = Fraction(action.amount) * quantity
    paid = [flow for flow in flows if _pays(action, flow)]
    found = sum((Fraction(flow.amount) for flow in paid), Fraction(0))
    if abs(found - expected) >= CENT:
        yield _discrepancy(
            account, "dividend", action.symbol, action.ts_ns, expected, decimal_of(found),
            f"{decimal_text(decimal_of(quantity))} {action.symbol} were held at the ex-date of {decimal_text(action.amount)} "
            f"{action.currency} a share; {'no cash flow pays it' if not paid else f'{len(paid)} cash flows pay it'}",
        )  # fmt: skip


def _pays(action: CorporateAction, flow: CashFlow) -> bool:
    """Return whether a cash flow may pay a dividend: of the symbol and currency, from the ex-date to a week after it is payable."""
    last = action.ts_ns + DAYS_TO_PAY * _DAY if action.payable_ns is None else action.payable_ns + 7 * _DAY
    return (
        flow.flow_type is CashFlowType.DIVIDEND
        and (flow.symbol, flow.currency) == (action.symbol, action.currency)
        and action.ts_ns <= flow.ts_ns <= last
    )


def _discrepancy(
    account: str, check: str, subject: str, ts_ns: int | None, expected: Fraction, found: Decimal, message: str
) -> Discrepancy:
    return Discrepancy(
        account=account,
        check=check,
        subject=subject,
        ts_ns=ts_ns,
        expected=decimal_of(expected),
        found=found,
        message=message,
    )
