"""The six kinds of record: what a market and a portfolio look like as data.

All are immutable. Prices, sizes and money are exact decimals; times are nanoseconds since 1970 in UTC. A field that is None is *missing*,
which differs from zero. Models refuse what is no number and no time; whether a number makes sense is for the rules to say: a negative price
is data (oil traded at -36.98), and so is a bid above its ask.
"""

from __future__ import annotations

import functools
import inspect
import itertools
import re
from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, TypeAlias, TypeVar

from attrs import evolve, field, fields, frozen

from fpa_core.exceptions import DataError
from fpa_core.numbers import EXACT, from_ns, to_decimal, to_ns

__all__ = [
    "Bar",
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

Number: TypeAlias = Decimal | int | str | float
"""What is taken for a price, size or amount; a float is read through its shortest representation."""

Time: TypeAlias = datetime | int | str
"""What is taken for a time: an aware datetime, nanoseconds since 1970, or ISO-8601 text with a zone."""

MAX_TEXT = 4096
"""Longest text of a field, in characters."""

_HALF = Decimal("0.5")

T = TypeVar("T")


class Side(StrEnum):
    """Direction of an order."""

    BUY = "buy"
    SELL = "sell"


class PositionSide(StrEnum):
    """Direction of a position."""

    LONG = "long"
    SHORT = "short"


class OrderType(StrEnum):
    """How an order is to be executed."""

    MARKET = "market"
    LIMIT = "limit"
    STOP = "stop"
    STOP_LIMIT = "stop_limit"
    TRAILING_STOP = "trailing_stop"


class OrderStatus(StrEnum):
    """Where an order stands, in six words; the broker's own word is kept beside it in ``Order.status_raw``."""

    NEW = "new"
    PARTIALLY_FILLED = "partially_filled"
    FILLED = "filled"
    CANCELLED = "cancelled"
    REJECTED = "rejected"
    EXPIRED = "expired"


class TimeInForce(StrEnum):
    """How long an order stays in the market."""

    DAY = "day"
    GTC = "gtc"
    GTD = "gtd"
    OPG = "opg"
    CLS = "cls"
    IOC = "ioc"
    FOK = "fok"


# Converters. Plain named functions, so that type checkers know what a constructor takes; `explained` adds the field's name to their errors.


def _number(value: Number) -> Decimal:
    return to_decimal(value)


def _number_or_none(value: Number | None) -> Decimal | None:
    return None if value is None else to_decimal(value)


def _time(value: Time) -> int:
    return to_ns(value)


def _time_or_none(value: Time | None) -> int | None:
    return None if value is None else to_ns(value)


def _text(value: str) -> str:
    if not isinstance(value, str):
        raise DataError(f"value: text is needed, not {type(value).__name__}", value=value)
    if len(value) > MAX_TEXT or "\x00" in value:
        raise DataError(f"value: text of at most {MAX_TEXT} characters and without NUL is needed")
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise DataError(f"value: {value!r} is not valid Unicode", value=value) from None
    return value


def _text_or_none(value: str | None) -> str | None:
    return _text(value) or None if value is not None else None  # an empty text says nothing: it is missing


def _name(value: str) -> str:
    if not (text := _text(value)) or text != text.strip() or not text.isprintable():
        raise DataError(
            f"value: {value!r} is not a name",
            hint="names are printable, not empty, without blanks at the ends",
            value=value,
        )
    return text


def _count_or_none(value: int | str | None) -> int | None:
    if value is None:
        return None
    number = to_decimal(value)
    if number != number.to_integral_value() or not -(2**63) <= number < 2**63:
        raise DataError(f"value: a whole number of at most 64 bits is needed, not {value!r}", value=value)
    return int(number)


def _word(choices: Any, value: object) -> Any:
    text = str(value).strip().lower()
    try:
        return choices({"canceled": "cancelled"}.get(text, text))
    except ValueError:
        known = ", ".join(str(choice) for choice in choices)
        raise DataError(f"value: {value!r} is none of: {known}", value=value) from None


def _side(value: Side | str) -> Side:
    return value if type(value) is Side else _word(Side, value)


def _position_side_or_none(value: PositionSide | str | None) -> PositionSide | None:
    return None if value is None else _word(PositionSide, value)


def _order_type(value: OrderType | str) -> OrderType:
    return value if type(value) is OrderType else _word(OrderType, value)


def _status(value: OrderStatus | str) -> OrderStatus:
    return value if type(value) is OrderStatus else _word(OrderStatus, value)


def _time_in_force(value: TimeInForce | str) -> TimeInForce:
    return value if type(value) is TimeInForce else _word(TimeInForce, value)


_INTERVAL = re.compile(r"([1-9]\d{0,5}) ?(s|sec|m|min|t|h|hour|d|day|w|week|mo|month)", re.ASCII)
_UNITS = {"sec": "s", "min": "m", "t": "m", "hour": "h", "day": "d", "week": "w", "month": "mo"}


def _interval(value: str) -> str:
    return _parse_interval(_text(value))


@functools.lru_cache(maxsize=1024)
def _parse_interval(value: str) -> str:
    text = value.strip()
    match = _INTERVAL.fullmatch(text.lower())
    if match is not None and match[2] == "m" and text.endswith("M"):
        raise DataError(
            f"value: {value!r} is a month to some and a minute to others", hint="write 1m or 1mo", value=value
        )
    if match is None:
        raise DataError(
            f"value: {value!r} is not an interval", hint="write it like 1s, 1m, 5m, 1h, 1d, 1w or 1mo", value=value
        )
    return match[1] + _UNITS.get(match[2], match[2])


def _positions(value: Iterable[Position]) -> tuple[Position, ...]:
    # The error names the field itself: an iterator is used up, and `explained` cannot ask a second time.
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


def explained(cls: type[T]) -> type[T]:
    """Make errors of *cls*'s converters say which class and field they are about; costs nothing while nothing is wrong."""
    construct: Any = cls.__init__
    signature = inspect.signature(construct)

    @functools.wraps(construct)
    def constructed(self: Any, *args: Any, **kwargs: Any) -> None:
        try:
            construct(self, *args, **kwargs)
        except DataError:
            given = signature.bind(self, *args, **kwargs).arguments
            for attribute in fields(cls):  # type: ignore[arg-type]
                if attribute.alias in given and attribute.converter is not None:
                    try:
                        attribute.converter(given[attribute.alias])
                    except DataError as error:
                        where = f"{cls.__name__}.{attribute.alias}"
                        problem = error.message.split(": ", 1)[-1]
                        raise DataError(
                            f"{where}: {problem}", hint=error.hint, field=where, value=error.value
                        ) from None
            raise

    cls.__init__ = constructed  # type: ignore[method-assign]
    return cls


@explained
@frozen(weakref_slot=False)
class Quote:
    """The best bid and ask of a symbol at an instant; a side that is None was not quoted."""

    symbol: str = field(converter=_name)
    ts_ns: int = field(converter=_time, alias="timestamp")
    bid: Decimal | None = field(converter=_number_or_none)
    ask: Decimal | None = field(converter=_number_or_none)
    bid_size: Decimal | None = field(converter=_number_or_none, default=None)
    ask_size: Decimal | None = field(converter=_number_or_none, default=None)
    bid_exchange: str | None = field(converter=_text_or_none, default=None)
    ask_exchange: str | None = field(converter=_text_or_none, default=None)
    conditions: str | None = field(converter=_text_or_none, default=None)

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


@explained
@frozen(weakref_slot=False)
class Trade:
    """One print. A ``trade_id`` makes it unique on its exchange; without one, equal prints are told apart by their number alone."""

    symbol: str = field(converter=_name)
    ts_ns: int = field(converter=_time, alias="timestamp")
    price: Decimal = field(converter=_number)
    size: Decimal = field(converter=_number)
    conditions: str | None = field(converter=_text_or_none, default=None)
    exchange: str | None = field(converter=_text_or_none, default=None)
    trade_id: str | None = field(converter=_text_or_none, default=None)

    @property
    def timestamp(self) -> datetime:
        """When, as an aware UTC datetime (whole microseconds; :attr:`ts_ns` is exact)."""
        return from_ns(self.ts_ns)


@explained
@frozen(weakref_slot=False)
class Bar:
    """Prices over an interval, stamped with its start. A source of one price a day has a close alone."""

    symbol: str = field(converter=_name)
    ts_ns: int = field(converter=_time, alias="timestamp")
    open: Decimal | None = field(converter=_number_or_none)
    high: Decimal | None = field(converter=_number_or_none)
    low: Decimal | None = field(converter=_number_or_none)
    close: Decimal = field(converter=_number)
    volume: Decimal | None = field(converter=_number_or_none)
    interval: str = field(converter=_interval)
    vwap: Decimal | None = field(converter=_number_or_none, default=None)
    trade_count: int | None = field(converter=_count_or_none, default=None)

    @property
    def timestamp(self) -> datetime:
        """Start of the interval, as an aware UTC datetime (whole microseconds; :attr:`ts_ns` is exact)."""
        return from_ns(self.ts_ns)


@explained
@frozen(weakref_slot=False)
class Order:
    """An order as it stood at ``updated_at``; ``timestamp`` is when it was submitted. A time left out is set when the order is stored."""

    order_id: str = field(converter=_name)
    symbol: str = field(converter=_name)
    quantity: Decimal | None = field(converter=_number_or_none)
    side: Side = field(converter=_side)
    order_type: OrderType = field(converter=_order_type)
    status: OrderStatus = field(converter=_status, default=OrderStatus.NEW)
    filled_quantity: Decimal = field(converter=_number, default=Decimal(0))
    average_fill_price: Decimal | None = field(converter=_number_or_none, default=None)
    limit_price: Decimal | None = field(converter=_number_or_none, default=None)
    stop_price: Decimal | None = field(converter=_number_or_none, default=None)
    time_in_force: TimeInForce = field(converter=_time_in_force, default=TimeInForce.DAY)
    ts_ns: int | None = field(converter=_time_or_none, alias="timestamp", default=None)
    updated_ns: int | None = field(converter=_time_or_none, alias="updated_at", default=None)
    client_order_id: str | None = field(converter=_text_or_none, default=None)
    status_raw: str | None = field(converter=_text_or_none, default=None)
    notional: Decimal | None = field(converter=_number_or_none, default=None)
    trail_price: Decimal | None = field(converter=_number_or_none, default=None)
    trail_percent: Decimal | None = field(converter=_number_or_none, default=None)

    @property
    def timestamp(self) -> datetime | None:
        """When it was submitted, as an aware UTC datetime (whole microseconds; :attr:`ts_ns` is exact)."""
        return None if self.ts_ns is None else from_ns(self.ts_ns)

    @property
    def updated_at(self) -> datetime | None:
        """When it last changed, as an aware UTC datetime (whole microseconds; :attr:`updated_ns` is exact)."""
        return None if self.updated_ns is None else from_ns(self.updated_ns)


@explained
@frozen(weakref_slot=False)
class Position:
    """A holding at an instant; short quantities and values are negative. In a snapshot it takes the snapshot's account and time."""

    symbol: str = field(converter=_name)
    quantity: Decimal = field(converter=_number)
    market_value: Decimal | None = field(converter=_number_or_none)
    cost_basis: Decimal | None = field(converter=_number_or_none)
    unrealized_pnl: Decimal | None = field(converter=_number_or_none, default=None)
    day_pnl: Decimal | None = field(converter=_number_or_none, default=None)
    ts_ns: int | None = field(converter=_time_or_none, alias="timestamp", default=None)
    account: str = field(converter=_name, default="default")
    avg_entry_price: Decimal | None = field(converter=_number_or_none, default=None)
    current_price: Decimal | None = field(converter=_number_or_none, default=None)
    side: PositionSide | None = field(converter=_position_side_or_none, default=None)
    asset_class: str | None = field(converter=_text_or_none, default=None)

    @property
    def timestamp(self) -> datetime | None:
        """As of when, as an aware UTC datetime (whole microseconds; :attr:`ts_ns` is exact)."""
        return None if self.ts_ns is None else from_ns(self.ts_ns)


@explained
@frozen(weakref_slot=False)
class PortfolioSnapshot:
    """An account at an instant: totals, cash, and the positions held, which take the snapshot's account and time."""

    ts_ns: int = field(converter=_time, alias="timestamp")
    total_value: Decimal = field(converter=_number)
    buying_power: Decimal | None = field(converter=_number_or_none, default=None)
    day_pnl: Decimal | None = field(converter=_number_or_none, default=None)
    total_pnl: Decimal | None = field(converter=_number_or_none, default=None)
    positions: tuple[Position, ...] = field(converter=_positions, default=())
    cash: Decimal | None = field(converter=_number_or_none, default=None)
    currency: str = field(converter=_name, default="USD")
    account: str = field(converter=_name, default="default")

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


Record: TypeAlias = Quote | Trade | Bar | Order | Position | PortfolioSnapshot
"""Any of the six."""
