"""What the fields of records take: words such as "buy", and converters from what people write to what a record holds."""

from __future__ import annotations

import functools
import inspect
import re
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, TypeAlias, TypeVar

from attrs import fields

from fpa_core.exceptions import DataError
from fpa_core.numbers import to_decimal, to_ns

__all__ = [
    "Number",
    "OrderStatus",
    "OrderType",
    "PositionSide",
    "Side",
    "Time",
    "TimeInForce",
    "explained",
    "to_count_or_none",
    "to_instant",
    "to_instant_or_none",
    "to_interval",
    "to_name",
    "to_number",
    "to_number_or_none",
    "to_order_type",
    "to_position_side_or_none",
    "to_side",
    "to_status",
    "to_text",
    "to_text_or_none",
    "to_time_in_force",
]

Number: TypeAlias = Decimal | int | str | float
"""What is taken for a price, size or amount; a float is read through its shortest representation."""

Time: TypeAlias = datetime | int | str
"""What is taken for a time: an aware datetime, nanoseconds since 1970, or ISO-8601 text with a zone."""

MAX_TEXT = 4096
"""Longest text of a field, in characters."""

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


def to_number(value: Number) -> Decimal:
    """Return an exact number."""
    return to_decimal(value)


def to_number_or_none(value: Number | None) -> Decimal | None:
    """Return an exact number, or None for a missing one."""
    return None if value is None else to_decimal(value)


def to_instant(value: Time) -> int:
    """Return nanoseconds since 1970."""
    return to_ns(value)


def to_instant_or_none(value: Time | None) -> int | None:
    """Return nanoseconds since 1970, or None for a missing time."""
    return None if value is None else to_ns(value)


def to_text(value: str) -> str:
    """Return valid text."""
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


def to_text_or_none(value: str | None) -> str | None:
    """Return valid text; an empty one says nothing and is None."""
    return to_text(value) or None if value is not None else None


def to_name(value: str) -> str:
    """Return a name, such as a symbol or an account."""
    if not (text := to_text(value)) or text != text.strip() or not text.isprintable():
        raise DataError(
            f"value: {value!r} is not a name",
            hint="names are printable, not empty, without blanks at the ends",
            value=value,
        )
    return text


def to_count_or_none(value: int | str | None) -> int | None:
    """Return a whole number of at most 64 bits, or None."""
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


def to_side(value: Side | str) -> Side:
    """Return the side of an order or trade."""
    return value if type(value) is Side else _word(Side, value)


def to_position_side_or_none(value: PositionSide | str | None) -> PositionSide | None:
    """Return the side of a position, or None."""
    return None if value is None else _word(PositionSide, value)


def to_order_type(value: OrderType | str) -> OrderType:
    """Return the type of an order."""
    return value if type(value) is OrderType else _word(OrderType, value)


def to_status(value: OrderStatus | str) -> OrderStatus:
    """Return the status of an order."""
    return value if type(value) is OrderStatus else _word(OrderStatus, value)


def to_time_in_force(value: TimeInForce | str) -> TimeInForce:
    """Return how long an order stays."""
    return value if type(value) is TimeInForce else _word(TimeInForce, value)


_INTERVAL = re.compile(r"([1-9]\d{0,5}) ?(s|sec|m|min|t|h|hour|d|day|w|week|mo|month)", re.ASCII)
_UNITS = {"sec": "s", "min": "m", "t": "m", "hour": "h", "day": "d", "week": "w", "month": "mo"}


def to_interval(value: str) -> str:
    """Return an interval in its one spelling, such as ``5m``."""
    return _parse_interval(to_text(value))


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
