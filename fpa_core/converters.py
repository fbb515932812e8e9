"""Converters of the fields of records: from the values users write to the values records hold."""

from __future__ import annotations

import functools
import inspect
from datetime import datetime
from decimal import Decimal
from typing import Any, TypeAlias, TypeVar

from attrs import fields

from fpa_core.exceptions import DataError
from fpa_core.intervals import interval_text
from fpa_core.numbers import YEAR_1980, Instant, to_decimal, to_ns
from fpa_core.words import (
    NULLS,
    CashFlowType,
    CorporateActionType,
    ForeignWord,
    OrderStatus,
    OrderType,
    PositionSide,
    Side,
    TimeInForce,
    is_own_word,
    to_own_word,
    to_word,
)

__all__ = [
    "MAX_NAME",
    "CashFlowType",
    "CorporateActionType",
    "Number",
    "OrderStatus",
    "OrderType",
    "PositionSide",
    "Side",
    "Time",
    "TimeInForce",
    "is_own_word",
    "to_action_type",
    "to_count_or_none",
    "to_flow_type",
    "to_id_or_none",
    "to_instant",
    "to_instant_or_none",
    "to_interval",
    "to_name",
    "to_name_or_none",
    "to_number",
    "to_number_or_none",
    "to_order_type",
    "to_own_action_type",
    "to_own_flow_type",
    "to_own_order_type",
    "to_own_side",
    "to_own_status",
    "to_position_side_or_none",
    "to_side",
    "to_side_or_none",
    "to_status",
    "to_text",
    "to_text_or_none",
    "to_time_in_force",
    "with_field_context",
]

Number: TypeAlias = Decimal | int | str | float
"""Types accepted for a price, size or amount. A float is read through its shortest representation."""

Time: TypeAlias = datetime | int | str
"""Types accepted for a time: an aware datetime, ISO-8601 text with a zone, an Instant, or nanoseconds since 1970, of 1980 or later."""

MAX_TEXT = 4096
"""The largest length of text in a field, in characters."""

MAX_NAME = 256
"""The largest length of a name, in characters. Two names make a key at most, and an index of PostgreSQL takes keys of up to 2,704 bytes."""

T = TypeVar("T")


# Converters. Plain named functions, so that type checkers know what a constructor takes; `with_field_context` adds the field's name to their errors.


def to_number(value: Number) -> Decimal:
    """Return an exact number."""
    return to_decimal(value)


def to_number_or_none(value: Number | None) -> Decimal | None:
    """Return an exact number, or None for a missing one."""
    return None if value is None else to_decimal(value)


def to_instant(value: Time) -> int:
    """Return nanoseconds since 1970; those before 1980 as an :class:`~fpa_core.numbers.Instant`.

    :raises DataError: also for an ordinary integer that would be before 1980, because it probably counts seconds, milliseconds or microseconds.
    """
    ns = to_ns(value)
    return ns if ns >= YEAR_1980 else _before_1980(value, ns)


def to_instant_or_none(value: Time | None) -> int | None:
    """Return nanoseconds since 1970 as :func:`to_instant` does, or None for a missing time."""
    return None if value is None else to_instant(value)


def _before_1980(value: Any, ns: int) -> Instant:
    if type(value) is Instant:
        return value
    if isinstance(value, int) or getattr(getattr(value, "dtype", None), "kind", None) in {"i", "u"}:
        unit = next((unit for unit, most in _LIKELY_UNITS if abs(ns) < most), "ns")
        names = {"s": "seconds", "ms": "milliseconds", "us": "microseconds", "ns": "nanoseconds"}
        raise DataError(
            f"value: the integer {ns} would be a time before 1980 in nanoseconds; it probably counts {names[unit]}",
            hint=f'write Instant.from_epoch({ns}, unit="{unit}"), or ISO-8601 text such as 2024-05-01T14:30:00Z',
            value=value,
        )
    return Instant(ns)


_LIKELY_UNITS = (("s", 10**11), ("ms", 10**14), ("us", 10**17))
"""The probable unit of integers below a bound: seconds until the year 5138, and so on."""


def to_text(value: str) -> str:
    """Return valid text."""
    if not isinstance(value, str):
        raise DataError(f"value: expected text, not {type(value).__name__}", value=value)
    if len(value) > MAX_TEXT or "\x00" in value:
        raise DataError(f"value: expected text of at most {MAX_TEXT} characters and without NUL")
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise DataError(f"value: {value!r} is not valid Unicode", value=value) from None
    return value


def to_text_or_none(value: str | None) -> str | None:
    """Return valid text without surrounding blanks; None if it is empty."""
    return None if value is None else to_text(value).strip() or None


def to_id_or_none(value: str | None) -> str | None:
    """Return an id, or None. Placeholders such as ``nan``, ``0`` or ``-`` also give None, because many records would share them."""
    text = to_text_or_none(value)
    return None if text is None or text == "0" or text.lower() in NULLS else text


def to_name(value: str) -> str:
    """Return a name, such as a symbol or an account."""
    if type(value) is str and value.isalnum() and len(value) <= MAX_NAME:
        return value  # fast path: letters and digits are printable
    if isinstance(value, str) and len(value) > MAX_NAME:
        raise DataError(
            f"value: a name of {len(value):,} characters is too long",
            hint=f"a symbol, an account or an order id has at most {MAX_NAME} characters",
            value=value,
        )
    if not (text := to_text(value)) or text != text.strip() or not text.isprintable():
        raise DataError(
            f"value: {value!r} is not a name",
            hint="a name is not empty, has only printable characters, and no blanks at its ends",
            value=value,
        )
    return text


def to_name_or_none(value: str | None) -> str | None:
    """Return a name, or None for a missing one."""
    return None if value is None or value == "" else to_name(value)


def to_count_or_none(value: int | str | None) -> int | None:
    """Return a whole number of at most 64 bits, or None."""
    if value is None:
        return None
    number = to_decimal(value)
    if number != number.to_integral_value() or not -(2**63) <= number < 2**63:
        raise DataError(f"value: expected a whole number of at most 64 bits, not {value!r}", value=value)
    return int(number)


def to_side(value: Side | str) -> Side:
    """Return the side of an order or trade."""
    return value if type(value) is Side else to_word(Side, value)


def to_side_or_none(value: Side | str | None) -> Side | None:
    """Return the side of the aggressor of a trade, or None."""
    return None if value is None else to_side(value)


def to_position_side_or_none(value: PositionSide | str | None) -> PositionSide | None:
    """Return the side of a position, or None."""
    return None if value is None else to_word(PositionSide, value)


def to_order_type(value: OrderType | str) -> OrderType:
    """Return the type of an order."""
    return value if type(value) is OrderType else to_word(OrderType, value)


def to_status(value: OrderStatus | str) -> OrderStatus:
    """Return the status of an order."""
    return value if type(value) is OrderStatus else to_word(OrderStatus, value)


def to_time_in_force(value: TimeInForce | str) -> TimeInForce:
    """Return the time in force of an order."""
    return value if type(value) is TimeInForce else to_word(TimeInForce, value)


def to_flow_type(value: CashFlowType | str) -> CashFlowType:
    """Return the type of a cash flow."""
    return value if type(value) is CashFlowType else to_word(CashFlowType, value)


def to_action_type(value: CorporateActionType | str) -> CorporateActionType:
    """Return the type of a corporate action."""
    return value if type(value) is CorporateActionType else to_word(CorporateActionType, value)


# Converters of fields that have a second field for the broker's word; `with_field_context` sets it.


def to_own_side(value: Side | str) -> Side:
    """Return the side of an order; raise :class:`~fpa_core.words.ForeignWord` for a broker's word."""
    return value if type(value) is Side else to_own_word(Side, value)


def to_own_order_type(value: OrderType | str) -> OrderType:
    """Return the type of an order; raise :class:`~fpa_core.words.ForeignWord` for a broker's word."""
    return value if type(value) is OrderType else to_own_word(OrderType, value)


def to_own_status(value: OrderStatus | str) -> OrderStatus:
    """Return the status of an order; raise :class:`~fpa_core.words.ForeignWord` for a broker's word."""
    return value if type(value) is OrderStatus else to_own_word(OrderStatus, value)


def to_own_flow_type(value: CashFlowType | str) -> CashFlowType:
    """Return the type of a cash flow; raise :class:`~fpa_core.words.ForeignWord` for a broker's word."""
    return value if type(value) is CashFlowType else to_own_word(CashFlowType, value)


def to_own_action_type(value: CorporateActionType | str) -> CorporateActionType:
    """Return the type of a corporate action; raise :class:`~fpa_core.words.ForeignWord` for a vendor's word."""
    return value if type(value) is CorporateActionType else to_own_word(CorporateActionType, value)


def to_interval(value: str) -> str:
    """Return an interval in canonical form, such as ``5m``: 60m is 1h, and 7d is 1w."""
    return interval_text(to_text(value))


def with_field_context(cls: type[T]) -> type[T]:
    """Add the class and the field to errors of *cls*'s converters. Without an error this costs nothing.

    A broker's word in a field with metadata ``raw`` is translated, and kept in the field of that name unless a value is given for it.
    """
    construct: Any = cls.__init__
    signature = inspect.signature(construct)

    @functools.wraps(construct)
    def constructed(self: Any, *args: Any, **kwargs: Any) -> None:
        try:
            construct(self, *args, **kwargs)
        except ForeignWord:
            given = signature.bind(self, *args, **kwargs).arguments
            del given["self"]
            constructed(self, **_translated(cls, given))
        except DataError:
            given = signature.bind(self, *args, **kwargs).arguments
            for attribute in fields(cls):  # type: ignore[arg-type]
                if attribute.alias in given and attribute.converter is not None:
                    try:
                        attribute.converter(given[attribute.alias])
                    except ForeignWord:
                        continue
                    except DataError as error:
                        where = f"{cls.__name__}.{attribute.alias}"
                        problem = error.message.split(": ", 1)[-1]
                        raise DataError(
                            f"{where}: {problem}", hint=error.hint, field=where, value=error.value
                        ) from None
            raise

    cls.__init__ = constructed  # type: ignore[method-assign]
    return cls


def _translated(cls: type[Any], given: dict[str, Any]) -> dict[str, Any]:
    """Return arguments of *cls* with broker's words translated and kept in their ``raw`` fields."""
    translated = dict(given)
    for attribute in fields(cls):
        if (raw := attribute.metadata.get("raw")) and attribute.alias in given:
            try:
                attribute.converter(given[attribute.alias])
            except ForeignWord as word:
                translated[attribute.alias] = word.meaning
                if not given.get(raw):
                    translated[raw] = word.written
            except DataError:
                pass  # the constructor says so
    return translated
