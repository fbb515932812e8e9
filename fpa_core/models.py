"""The kinds of record of market data and portfolios.

All are immutable. Prices, sizes and money are exact decimals; times are nanoseconds since 1970 in UTC. A field that is None is *missing*,
which differs from zero. Models reject values that are not numbers or times. Rules decide whether a number is plausible: a negative price is
data (oil traded at -36.98), and so is a bid above its ask.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import TYPE_CHECKING, Any, TypeAlias

from attrs import evolve, field, fields, frozen

from fpa_core.converters import (
    CashFlowType,
    CorporateActionType,
    Number,
    OrderStatus,
    OrderType,
    PositionSide,
    Side,
    Time,
    TimeInForce,
    to_action_type,
    to_count_or_none,
    to_flow_type,
    to_id_or_none,
    to_instant,
    to_instant_or_none,
    to_interval,
    to_name,
    to_name_or_none,
    to_number,
    to_number_or_none,
    to_order_type,
    to_own_action_type,
    to_own_flow_type,
    to_own_order_type,
    to_own_side,
    to_own_status,
    to_position_side_or_none,
    to_side,
    to_side_or_none,
    to_status,
    to_text_or_none,
    to_time_in_force,
    with_field_context,
)
from fpa_core.exceptions import DataError
from fpa_core.numbers import EXACT, from_ns, ns_text

if TYPE_CHECKING:
    from fractions import Fraction

__all__ = [
    "Bar",
    "CashFlow",
    "CashFlowType",
    "CorporateAction",
    "CorporateActionType",
    "Fill",
    "Number",
    "Order",
    "OrderStatus",
    "OrderType",
    "PortfolioSnapshot",
    "Position",
    "PositionSide",
    "Quote",
    "Record",
    "Side",
    "Time",
    "TimeInForce",
    "Trade",
]

_HALF = Decimal("0.5")


def _positions(value: Iterable[Position]) -> tuple[Position, ...]:
    # Name the field here: the iterator is exhausted, so `with_field_context` cannot repeat the conversion.
    where = "PortfolioSnapshot.positions"
    if not isinstance(value, Iterable):
        raise DataError(f"{where}: Position records are needed, not {type(value).__name__}", field=where, value=value)
    positions = tuple(value)
    for position in positions:
        if not isinstance(position, Position):
            raise DataError(
                f"{where}: Position records are needed, not {type(position).__name__}", field=where, value=position
            )
    return positions


_TIMES = frozenset({"timestamp", "updated_at", "record_date", "payable_date"})


def _repr(record: Any) -> str:
    """Return the expression that makes an equal record; missing values and other defaults are left out."""
    arguments: list[str] = []
    for attribute in fields(type(record)):
        value = getattr(record, attribute.name)
        if value == attribute.default:
            continue
        if attribute.alias in _TIMES:
            value = ns_text(value)
        elif isinstance(value, (Decimal, StrEnum)):
            value = str(value)
        named = bool(arguments) or attribute.alias in _TIMES
        arguments.append(f"{attribute.alias}={value!r}" if named else repr(value))
    return f"{type(record).__name__}({', '.join(arguments)})"


@with_field_context
@frozen(weakref_slot=False)
class Quote:
    """The best bid and ask of a symbol at a time. A side that is None was not quoted."""

    symbol: str = field(converter=to_name)
    ts_ns: int = field(converter=to_instant, alias="timestamp")
    bid: Decimal | None = field(converter=to_number_or_none)
    ask: Decimal | None = field(converter=to_number_or_none)
    bid_size: Decimal | None = field(converter=to_number_or_none, default=None)
    ask_size: Decimal | None = field(converter=to_number_or_none, default=None)
    bid_exchange: str | None = field(converter=to_text_or_none, default=None)
    ask_exchange: str | None = field(converter=to_text_or_none, default=None)
    conditions: str | None = field(converter=to_text_or_none, default=None)

    __repr__ = _repr

    @property
    def timestamp(self) -> datetime:
        """When, as an aware UTC datetime (whole microseconds; :attr:`ts_ns` is exact)."""
        return from_ns(self.ts_ns)

    @property
    def mid(self) -> Decimal | None:
        """Half of bid plus ask, exactly; None when a side is missing."""
        return None if self.bid is None or self.ask is None else EXACT.multiply(EXACT.add(self.bid, self.ask), _HALF)

    @property
    def spread(self) -> Decimal | None:
        """Ask less bid, negative when crossed; None when a side is missing."""
        return None if self.bid is None or self.ask is None else EXACT.subtract(self.ask, self.bid)


@with_field_context
@frozen(weakref_slot=False)
class Trade:
    """One trade. A ``trade_id`` makes it unique on its exchange; without one, equal trades are distinguished only by their count.

    ``side`` is that of the aggressor (the taker), whose order met one already in the book.
    """

    symbol: str = field(converter=to_name)
    ts_ns: int = field(converter=to_instant, alias="timestamp")
    price: Decimal = field(converter=to_number)
    size: Decimal = field(converter=to_number)
    conditions: str | None = field(converter=to_text_or_none, default=None)
    exchange: str | None = field(converter=to_text_or_none, default=None)
    trade_id: str | None = field(converter=to_id_or_none, default=None)
    side: Side | None = field(converter=to_side_or_none, default=None)

    __repr__ = _repr

    @property
    def timestamp(self) -> datetime:
        """When, as an aware UTC datetime (whole microseconds; :attr:`ts_ns` is exact)."""
        return from_ns(self.ts_ns)


@with_field_context
@frozen(weakref_slot=False)
class Bar:
    """Prices over an interval, with the time of its start. A source of one price a day has only a close."""

    symbol: str = field(converter=to_name)
    ts_ns: int = field(converter=to_instant, alias="timestamp")
    open: Decimal | None = field(converter=to_number_or_none)
    high: Decimal | None = field(converter=to_number_or_none)
    low: Decimal | None = field(converter=to_number_or_none)
    close: Decimal = field(converter=to_number)
    volume: Decimal | None = field(converter=to_number_or_none)
    interval: str = field(converter=to_interval)
    vwap: Decimal | None = field(converter=to_number_or_none, default=None)
    trade_count: int | None = field(converter=to_count_or_none, default=None)

    __repr__ = _repr

    @property
    def timestamp(self) -> datetime:
        """Start of the interval, as an aware UTC datetime (whole microseconds; :attr:`ts_ns` is exact)."""
        return from_ns(self.ts_ns)


@with_field_context
@frozen(weakref_slot=False)
class Order:
    """The state of an order at ``updated_at``; ``timestamp`` is the time of submission. Missing times are set when the order is stored.

    A broker's word for ``status``, ``order_type`` or ``side`` is translated, and kept in ``status_raw``, ``type_raw`` or ``side_raw`` unless
    that is given.
    """

    order_id: str = field(converter=to_name)
    symbol: str = field(converter=to_name)
    quantity: Decimal | None = field(converter=to_number_or_none)
    side: Side = field(converter=to_own_side, metadata={"convert": to_side, "raw": "side_raw"})
    order_type: OrderType = field(converter=to_own_order_type, metadata={"convert": to_order_type, "raw": "type_raw"})
    status: OrderStatus = field(
        converter=to_own_status, metadata={"convert": to_status, "raw": "status_raw"}, default=OrderStatus.NEW
    )
    filled_quantity: Decimal = field(converter=to_number, default=Decimal(0))
    average_fill_price: Decimal | None = field(converter=to_number_or_none, default=None)
    limit_price: Decimal | None = field(converter=to_number_or_none, default=None)
    stop_price: Decimal | None = field(converter=to_number_or_none, default=None)
    time_in_force: TimeInForce = field(converter=to_time_in_force, default=TimeInForce.DAY)
    ts_ns: int | None = field(converter=to_instant_or_none, alias="timestamp", default=None)
    updated_ns: int | None = field(converter=to_instant_or_none, alias="updated_at", default=None)
    client_order_id: str | None = field(converter=to_id_or_none, default=None)
    status_raw: str | None = field(converter=to_text_or_none, default=None)
    notional: Decimal | None = field(converter=to_number_or_none, default=None)
    trail_price: Decimal | None = field(converter=to_number_or_none, default=None)
    trail_percent: Decimal | None = field(converter=to_number_or_none, default=None)
    type_raw: str | None = field(converter=to_text_or_none, default=None)
    side_raw: str | None = field(converter=to_text_or_none, default=None)
    account: str = field(converter=to_name, default="default")

    __repr__ = _repr

    @property
    def timestamp(self) -> datetime | None:
        """When it was submitted, as an aware UTC datetime (whole microseconds; :attr:`ts_ns` is exact)."""
        return None if self.ts_ns is None else from_ns(self.ts_ns)

    @property
    def updated_at(self) -> datetime | None:
        """When it last changed, as an aware UTC datetime (whole microseconds; :attr:`updated_ns` is exact)."""
        return None if self.updated_ns is None else from_ns(self.updated_ns)


@with_field_context
@frozen(weakref_slot=False)
class Fill:
    """One execution of an order of one's own: *quantity* of *symbol* at *price*, bought or sold.

    ``fill_id`` is the venue's or broker's id of the execution, unique by account: a later version of it is a revision. A fill without one gets
    an id when it is stored, made of its values and of how many equal ones its batch had before (see :mod:`fpa_core.identity`): so equal fills
    are kept as often as they occur in one file, and the same file again adds nothing.

    :ivar quantity: of shares, coins or contracts; positive, as the side says the direction.
    :ivar fee: all that was paid for the execution: commission, exchange fees, taxes of the trade. Negative for a rebate.
    :ivar currency: of the price; ``fee_currency`` is that of the fee, None for the same.
    :ivar multiplier: what one contract counts, as 100 for options on shares; None is 1.
    :ivar amount: the broker's own figure of the cash it moved, negative for a purchase, fee included; to be reconciled with the rest.
    :ivar liquidity: ``maker`` or ``taker``, or the venue's own word.
    """

    symbol: str = field(converter=to_name)
    ts_ns: int = field(converter=to_instant, alias="timestamp")
    side: Side = field(converter=to_own_side, metadata={"convert": to_side, "raw": "side_raw"})
    price: Decimal = field(converter=to_number)
    quantity: Decimal = field(converter=to_number)
    account: str = field(converter=to_name, default="default")
    fill_id: str | None = field(converter=to_id_or_none, default=None)
    order_id: str | None = field(converter=to_id_or_none, default=None)
    fee: Decimal | None = field(converter=to_number_or_none, default=None)
    currency: str = field(converter=to_name, default="USD")
    fee_currency: str | None = field(converter=to_name_or_none, default=None)
    multiplier: Decimal | None = field(converter=to_number_or_none, default=None)
    amount: Decimal | None = field(converter=to_number_or_none, default=None)
    liquidity: str | None = field(converter=to_text_or_none, default=None)
    exchange: str | None = field(converter=to_text_or_none, default=None)
    side_raw: str | None = field(converter=to_text_or_none, default=None)

    __repr__ = _repr

    @property
    def timestamp(self) -> datetime:
        """When, as an aware UTC datetime (whole microseconds; :attr:`ts_ns` is exact)."""
        return from_ns(self.ts_ns)

    @property
    def signed_quantity(self) -> Decimal:
        """The quantity, negative for a sale."""
        return self.quantity if self.side is Side.BUY else EXACT.minus(self.quantity)

    @property
    def value(self) -> Decimal:
        """Price times quantity times multiplier, exactly, without the fee."""
        value = EXACT.multiply(self.price, self.quantity)
        return value if self.multiplier is None else EXACT.multiply(value, self.multiplier)


@with_field_context
@frozen(weakref_slot=False)
class CashFlow:
    """Cash that came into an account (*amount* above 0) or left it (below 0), other than for a fill.

    ``transaction_id`` is the broker's, unique by account: a later version of it is a revision. One without gets an id when it is stored, as a
    :class:`Fill` does. A broker's word for ``flow_type`` is translated, and kept in ``type_raw`` unless that is given.

    :ivar symbol: of the security that paid it or that it was paid for, if any.
    :ivar reference: whatever else the broker tells, such as the id of an order; several cash flows may share it.
    """

    ts_ns: int = field(converter=to_instant, alias="timestamp")
    flow_type: CashFlowType = field(converter=to_own_flow_type, metadata={"convert": to_flow_type, "raw": "type_raw"})
    amount: Decimal = field(converter=to_number)
    currency: str = field(converter=to_name, default="USD")
    account: str = field(converter=to_name, default="default")
    symbol: str | None = field(converter=to_name_or_none, default=None)
    transaction_id: str | None = field(converter=to_id_or_none, default=None)
    reference: str | None = field(converter=to_text_or_none, default=None)
    type_raw: str | None = field(converter=to_text_or_none, default=None)

    __repr__ = _repr

    @property
    def timestamp(self) -> datetime:
        """When it was booked, as an aware UTC datetime (whole microseconds; :attr:`ts_ns` is exact)."""
        return from_ns(self.ts_ns)


@with_field_context
@frozen(weakref_slot=False)
class CorporateAction:
    """What a company did to the holders of its shares, by symbol, ex-date and type.

    ``timestamp`` is the ex-date: the first instant from which the security trades without the claim. A date is midnight UTC; give the opening
    of the exchange where midnight UTC falls into its trading hours. Stored prices are never changed: see ``adjust`` of
    :meth:`fpa_core.DataStore.select`.

    :ivar new_rate: shares that a holder has afterwards for every ``old_rate`` shares (1 if that is missing): 4 for a split of 4 for 1,
        1 with an old rate of 10 for a reverse split. In a spin-off and a merger, shares of ``new_symbol``.
    :ivar amount: cash for each old share, in ``currency``.
    :ivar new_symbol: of a symbol change, merger or spin-off.
    :ivar basis_fraction: the part of the cost that goes to the shares of a spin-off, from 0 to 1, as the company publishes it.
    """

    symbol: str = field(converter=to_name)
    ts_ns: int = field(converter=to_instant, alias="timestamp")
    action_type: CorporateActionType = field(
        converter=to_own_action_type, metadata={"convert": to_action_type, "raw": "type_raw"}
    )
    new_rate: Decimal | None = field(converter=to_number_or_none, default=None)
    old_rate: Decimal | None = field(converter=to_number_or_none, default=None)
    amount: Decimal | None = field(converter=to_number_or_none, default=None)
    currency: str = field(converter=to_name, default="USD")
    new_symbol: str | None = field(converter=to_name_or_none, default=None)
    basis_fraction: Decimal | None = field(converter=to_number_or_none, default=None)
    record_ns: int | None = field(converter=to_instant_or_none, alias="record_date", default=None)
    payable_ns: int | None = field(converter=to_instant_or_none, alias="payable_date", default=None)
    type_raw: str | None = field(converter=to_text_or_none, default=None)

    __repr__ = _repr

    @property
    def timestamp(self) -> datetime:
        """The ex-date, as an aware UTC datetime (whole microseconds; :attr:`ts_ns` is exact)."""
        return from_ns(self.ts_ns)

    @property
    def record_date(self) -> datetime | None:
        """When holders were recorded, as an aware UTC datetime."""
        return None if self.record_ns is None else from_ns(self.record_ns)

    @property
    def payable_date(self) -> datetime | None:
        """When it is paid, as an aware UTC datetime."""
        return None if self.payable_ns is None else from_ns(self.payable_ns)

    @property
    def ratio(self) -> Fraction | None:
        """New shares for one old share, exactly; None without a rate, or with a rate of 0."""
        from fractions import Fraction

        old = Decimal(1) if self.old_rate is None else self.old_rate
        return Fraction(self.new_rate) / Fraction(old) if self.new_rate and old else None


@with_field_context
@frozen(weakref_slot=False)
class Position:
    """A holding at a time. Short quantities and values are negative. In a snapshot, it gets the account and time of the snapshot."""

    symbol: str = field(converter=to_name)
    quantity: Decimal = field(converter=to_number)
    market_value: Decimal | None = field(converter=to_number_or_none)
    cost_basis: Decimal | None = field(converter=to_number_or_none)
    unrealized_pnl: Decimal | None = field(converter=to_number_or_none, default=None)
    day_pnl: Decimal | None = field(converter=to_number_or_none, default=None)
    ts_ns: int | None = field(converter=to_instant_or_none, alias="timestamp", default=None)
    account: str = field(converter=to_name, default="default")
    avg_entry_price: Decimal | None = field(converter=to_number_or_none, default=None)
    current_price: Decimal | None = field(converter=to_number_or_none, default=None)
    side: PositionSide | None = field(converter=to_position_side_or_none, default=None)
    asset_class: str | None = field(converter=to_text_or_none, default=None)

    __repr__ = _repr

    @property
    def timestamp(self) -> datetime | None:
        """As of when, as an aware UTC datetime (whole microseconds; :attr:`ts_ns` is exact)."""
        return None if self.ts_ns is None else from_ns(self.ts_ns)


@with_field_context
@frozen(weakref_slot=False)
class PortfolioSnapshot:
    """An account at a time: totals, cash, and positions, which get the account and time of the snapshot."""

    ts_ns: int = field(converter=to_instant, alias="timestamp")
    total_value: Decimal = field(converter=to_number)
    buying_power: Decimal | None = field(converter=to_number_or_none, default=None)
    day_pnl: Decimal | None = field(converter=to_number_or_none, default=None)
    total_pnl: Decimal | None = field(converter=to_number_or_none, default=None)
    positions: tuple[Position, ...] = field(converter=_positions, default=())
    cash: Decimal | None = field(converter=to_number_or_none, default=None)
    currency: str = field(converter=to_name, default="USD")
    account: str = field(converter=to_name, default="default")

    __repr__ = _repr

    def __attrs_post_init__(self) -> None:
        held = sorted(
            (evolve(position, timestamp=self.ts_ns, account=self.account) for position in self.positions),
            key=lambda position: position.symbol,
        )
        for one, other in itertools.pairwise(held):
            if one.symbol == other.symbol:
                raise DataError(
                    f"PortfolioSnapshot.positions: {one.symbol} occurs twice",
                    field="PortfolioSnapshot.positions",
                    value=one.symbol,
                )
        object.__setattr__(self, "positions", tuple(held))

    @property
    def timestamp(self) -> datetime:
        """As of when, as an aware UTC datetime (whole microseconds; :attr:`ts_ns` is exact)."""
        return from_ns(self.ts_ns)


Record: TypeAlias = Quote | Trade | Bar | Order | Position | PortfolioSnapshot | Fill | CorporateAction | CashFlow
"""A record of any kind."""
