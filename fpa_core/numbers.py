"""Exact decimals, nanosecond times and durations. Each function converts one value exactly or raises :class:`DataError`."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from decimal import Context, Decimal, Inexact, InvalidOperation
from typing import Any

from fpa_core.exceptions import DataError

__all__ = [
    "EXACT",
    "MAX_DIGITS",
    "MAX_NS",
    "MIN_NS",
    "YEAR_1980",
    "Instant",
    "decimal_text",
    "from_ns",
    "ns_text",
    "to_decimal",
    "to_ns",
    "to_seconds",
]

MAX_DIGITS = 76
"""Digits allowed before and after the decimal point, as in Arrow's widest decimal. It also bounds input such as ``1e999999``."""

EXACT = Context(prec=4 * MAX_DIGITS, traps=[Inexact, InvalidOperation])
"""Arithmetic without rounding: sums and products of two allowed numbers are exact, everything else raises."""

MIN_NS, MAX_NS = -(2**63), 2**63 - 1
"""Nanoseconds since 1970 that fit a signed 64-bit integer: 1677-09-21 to 2262-04-11. The smallest is excluded, because numpy and pandas use it for NaT."""

YEAR_1980 = 315_532_800 * 10**9
"""Nanoseconds until 1980. A smaller integer is rarely meant as nanoseconds: the current time in microseconds would be in January 1970."""

# None of them backtracks, so matching is linear in the length of the text.
_DECIMAL = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d{1,9})?", re.ASCII)
_INSTANT = re.compile(
    r"(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d)(?::(\d\d)(?:[.,](\d{1,9}))?)?\s?(Z|z|[+-]\d\d(?::?[0-5]\d)?)?)?", re.ASCII
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NS_UNITS = {
    "ns": 1,
    "us": 1_000,
    "ms": 1_000_000,
    "s": 10**9,
    "m": 60 * 10**9,
    "h": 3600 * 10**9,
    "d": 86400 * 10**9,
    "w": 604800 * 10**9,
}
_EPOCH_UNITS = ("s", "ms", "us", "ns")
_FOREVER = float("inf")
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ns|us|ms|s|m|h|d|w)", re.ASCII)


class Instant(int):
    """Explicit nanoseconds since 1970-01-01T00:00:00Z. Records accept it for any time, but an ordinary int only from 1980 on."""

    __slots__ = ()

    @classmethod
    def from_epoch(cls, value: Decimal | str | float, unit: str = "s") -> Instant:
        """Return the exact instant for a number of units since 1970.

        :param value: a number; a float is read through its shortest representation.
        :param unit: ``s``, ``ms``, ``us`` or ``ns``.
        :raises DataError: for another unit, a fraction of a nanosecond, or an instant outside 1677 to 2262.
        """
        if unit not in _EPOCH_UNITS:
            raise DataError(f"unit: unknown unit {unit!r}; one of: {', '.join(_EPOCH_UNITS)}", field="unit", value=unit)
        ns = EXACT.multiply(to_decimal(value), Decimal(_NS_UNITS[unit]))
        if ns != ns.to_integral_value():
            raise DataError(
                f"value: {_shown(value)} {unit} is not a whole number of nanoseconds",
                hint="round it to nanoseconds: nine decimal places of a second",
                field="value",
                value=value,
            )
        if not MIN_NS < ns <= MAX_NS:
            raise DataError(
                f"value: {_shown(value)} {unit} is outside 1677-09-21 to 2262-04-11",
                hint=f"the unit may be wrong; one of: {', '.join(_EPOCH_UNITS)}",
                field="value",
                value=value,
            )
        return cls(ns)


def to_decimal(value: object, field: str = "value") -> Decimal:
    """Return *value* as the exact :class:`~decimal.Decimal` it stands for.

    Text, int and Decimal are taken as they are; a float is read through its shortest representation, so ``0.1`` is one tenth.

    :raises DataError: for NaN, infinities, booleans, other types, and numbers of more than 76 digits before or after the point.
    """
    number = value if type(value) is Decimal else _read_number(value, field)
    if -16 <= number.adjusted() < 60 and len(str(number)) <= 60 and number.is_finite():
        return number  # fast path for ordinary numbers: at most 60 digits, so at most 76 after the point
    if not number.is_finite():
        raise DataError(
            f"{field}: {_shown(value)} is not a finite number",
            hint="leave a missing value empty (None)",
            field=field,
            value=value,
        )
    exponent = number.as_tuple().exponent
    if number.adjusted() >= MAX_DIGITS or int(exponent) < -MAX_DIGITS:
        raise _too_long(value, field)
    return number


def _read_number(value: object, field: str) -> Decimal:
    if isinstance(value, str):
        text = value.strip()
        if not _DECIMAL.fullmatch(text):
            raise DataError(
                f"{field}: {_shown(value)} is not a decimal number",
                hint="write it like 123.45",
                field=field,
                value=value,
            )
        return Decimal(text)
    if isinstance(value, int) and not isinstance(value, bool):
        if abs(value) >= 10**MAX_DIGITS:
            raise _too_long(value, field)
        return Decimal(value)
    if isinstance(value, float):
        return Decimal(repr(float(value)))
    if isinstance(value, Decimal):
        return Decimal(value)
    if _numpy_kind(value) in {"i", "u", "f"}:
        number: Any = value
        return Decimal(str(number[()]))  # the shortest text of its own width: a 32-bit 0.1 is one tenth, too
    raise DataError(
        f"{field}: expected a number (Decimal, int, str or float), not {_what(value)}", field=field, value=value
    )


def _too_long(value: object, field: str) -> DataError:
    return DataError(
        f"{field}: more than {MAX_DIGITS} digits before or after the decimal point", field=field, value=value
    )


def _numpy_kind(value: object) -> str | None:
    """Return the kind letter of a numpy scalar; None for anything else, including arrays."""
    kind = getattr(getattr(value, "dtype", None), "kind", None)
    return kind if isinstance(kind, str) and getattr(value, "shape", None) == () else None


def _what(value: object) -> str:
    return repr(value) if value is None or isinstance(value, bool) else type(value).__name__


def _shown(value: object) -> str:
    """Return *value* as text for a message, shortened if it is long."""
    if isinstance(value, int) and value.bit_length() > 256:  # Python refuses to convert very large integers to text
        return "an integer with too many digits"
    text = repr(value)
    return text if len(text) <= 100 else f"{text[:80]}... ({len(text)} characters)"


def decimal_text(number: Decimal) -> str:
    """Return the canonical text of *number*: no exponent, no trailing zeros, no plus sign, no negative zero.

    Equal decimals have equal texts, so texts can be compared, hashed and indexed in place of the numbers.
    """
    text = str(number)
    if "E" in text:
        text = format(number, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def to_ns(value: object, field: str = "timestamp", *, dates: bool = False) -> int:
    """Return *value* as nanoseconds since 1970-01-01T00:00:00Z.

    :param value: an aware datetime, ISO-8601 text with up to nine fractional digits and a zone, or nanoseconds as int or :class:`Instant`.
    :param dates: also take a date (``2013-10-07``), meaning its midnight in UTC.
    :raises DataError: for naive times, other types, and instants outside 1677 to 2262.
    """
    if type(value) is int or type(value) is Instant:
        ns = int(value)
    elif isinstance(value, datetime):
        if value.tzinfo is None or value.utcoffset() is None:
            raise _naive(value, field)
        delta = value - _EPOCH
        ns = ((delta.days * 86400 + delta.seconds) * 10**6 + delta.microseconds) * 1000
        ns += getattr(value, "nanosecond", 0)  # pandas timestamps are datetimes that carry three more digits
    elif isinstance(value, str):
        ns = _parse_instant(value.strip(), field, dates=dates)
    elif isinstance(value, date):
        if not dates:
            raise _naive(value, field)
        ns = (value - _EPOCH.date()).days * _NS_UNITS["d"]
    elif (kind := _numpy_kind(value)) == "M":
        ns = _numpy_ns(value, field)
    elif kind in {"i", "u"}:
        ns = int(value)  # type: ignore[call-overload]  # numpy integers
    else:
        raise DataError(
            f"{field}: expected a time (aware datetime, ISO-8601 text or int nanoseconds), not {_what(value)}",
            field=field,
            value=value,
        )
    if not MIN_NS < ns <= MAX_NS:
        raise DataError(f"{field}: {_shown(value)} is outside 1677-09-21 to 2262-04-11", field=field, value=value)
    return ns


def _numpy_ns(value: Any, field: str) -> int:
    """Return a numpy.datetime64, which counts in UTC, as nanoseconds. Check the conversion, because numpy may overflow or truncate silently."""
    try:
        in_ns = value.astype("datetime64[ns]")
        exact = bool(in_ns.astype(value.dtype) == value)  # NaT does not equal itself
    except OverflowError:
        exact = False
    if not exact:
        raise DataError(
            f"{field}: {value} is not a whole number of nanoseconds in 1677-09-21 to 2262-04-11",
            field=field,
            value=value,
        )
    return int(in_ns.astype("int64"))


def _parse_instant(text: str, field: str, *, dates: bool) -> int:
    match = _INSTANT.fullmatch(text)
    if match is None:
        raise DataError(
            f"{field}: {_shown(text)} is not an ISO-8601 time",
            hint="write it like 2024-05-01T14:30:00.123456789Z",
            field=field,
            value=text,
        )
    day, minute, second, fraction, zone = match.groups()
    if minute is None and not dates:
        raise _naive(text, field)
    if minute is not None and zone is None:
        raise _naive(text, field)
    offset = "+00:00" if zone in (None, "Z", "z") else zone
    try:
        whole = datetime.fromisoformat(f"{day}T{minute or '00:00'}:{second or '00'}{offset}")
    except ValueError as error:
        raise DataError(f"{field}: {text!r} is not a time: {error}", field=field, value=text) from None
    delta = whole - _EPOCH
    return (delta.days * 86400 + delta.seconds) * 10**9 + int((fraction or "0").ljust(9, "0"))


def _naive(value: object, field: str) -> DataError:
    return DataError(
        f"{field}: {str(value)!r} has no time zone",
        hint='add one: "2024-05-01T14:30:00Z", or datetime(..., tzinfo=timezone.utc)',
        field=field,
        value=value,
    )


def from_ns(ns: int) -> datetime:
    """Return the aware UTC datetime of *ns*, truncated to microseconds, the precision of datetime."""
    return _EPOCH + timedelta(microseconds=ns // 1000)


def ns_text(ns: int) -> str:
    """Return *ns* as ISO-8601 UTC text with 0, 3, 6 or 9 fractional digits, the fewest that are exact."""
    seconds, fraction = divmod(ns, 10**9)
    text = (_EPOCH + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S")
    if not fraction:
        return f"{text}Z"
    digits = f"{fraction:09d}"
    while digits.endswith("000"):
        digits = digits[:-3]
    return f"{text}.{digits}Z"


def to_seconds(value: object, field: str = "duration") -> float:
    """Return a duration in seconds: a number of seconds, a timedelta, or text such as ``50ms``, ``5m``, ``1.5h``, ``7d``.

    :raises DataError: if it is not a duration, negative, or not finite.
    """
    if isinstance(value, timedelta):
        seconds = value.total_seconds()
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        try:
            seconds = float(value)
        except OverflowError:
            seconds = _FOREVER
    elif isinstance(value, str) and (match := _DURATION.fullmatch(value.strip())):
        seconds = float(Decimal(match[1]) * _NS_UNITS[match[2]] / 10**9)
    else:
        raise DataError(
            f"{field}: {_shown(value)} is not a duration",
            hint='write it like "50ms", "5m" or "1h"',
            field=field,
            value=value,
        )
    if not 0 <= seconds < _FOREVER:
        raise DataError(
            f"{field}: a duration must be finite and not negative, not {_shown(value)}", field=field, value=value
        )
    return seconds
