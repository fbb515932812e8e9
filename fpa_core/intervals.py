"""Intervals of bars: parse the spellings of sources into one canonical form."""

from __future__ import annotations

import functools
import re

from fpa_core.exceptions import DataError

__all__ = ["interval_text", "is_dated", "longest_ns"]

_MOST = 999_999
"""The largest count of a unit: six digits, the most that the spellings allow."""

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_MONTHS = {"mo": 1, "y": 12}

_NAMES = {
    "s": "s sec secs second seconds",
    "m": "m t min mins minute minutes",
    "h": "h hr hrs hour hours hourly",
    "d": "d day days daily",
    "w": "w wk wks week weeks weekly",
    "mo": "mo mn month months monthly",
    "y": "y yr yrs year years yearly",
}
_UNITS = {name: unit for unit, names in _NAMES.items() for name in names.split()}

# None of them backtracks, so matching is linear in the length of the text.
_COUNTED = re.compile(r"([1-9]\d{0,5})? ?([a-z]{1,7})", re.ASCII)
_LETTER_FIRST = re.compile(r"(mn|m|h|d|w)([1-9]\d{0,5})", re.ASCII)
"""As MetaTrader writes them: M5 is five minutes, MN1 a month."""
_ISO = re.compile(
    r"p(?:(\d{1,6})y)?(?:(\d{1,6})m)?(?:(\d{1,6})w)?(?:(\d{1,6})d)?(?:t(?:(\d{1,6})h)?(?:(\d{1,6})m)?(?:(\d{1,6})s)?)?",
    re.ASCII,
)
_ISO_UNITS = ("y", "mo", "w", "d", "h", "m", "s")


@functools.lru_cache(maxsize=1024)
def interval_text(value: str) -> str:
    """Return an interval in canonical form: in the largest unit of s, m, h, d, w that divides it, or in months.

    :raises DataError: if it is not an interval or is ambiguous.
    """
    if not isinstance(value, str):
        raise DataError(f"value: an interval is a text such as 5m, not {value!r}", value=value)
    text = value.strip()
    lower = text.lower()
    if text.isascii() and text.isdigit():
        raise DataError(
            f"value: {value!r} has no unit",
            hint=f"write {text}m if they are minutes, {text}s if seconds",
            value=value,
        )
    if match := _LETTER_FIRST.fullmatch(lower):
        length = _length({_UNITS[match[1]]: int(match[2])})
    elif match := _COUNTED.fullmatch(lower):
        if match[2] == "m" and (match[1] is None or text.endswith("M")):
            raise DataError(f"value: {value!r} is ambiguous: a month or a minute", hint="write 1mo or 1m", value=value)
        unit = _UNITS.get(match[2])
        length = None if unit is None else _length({unit: int(match[1] or 1)})
    elif match := _ISO.fullmatch(lower):
        length = _length({unit: int(count) for unit, count in zip(_ISO_UNITS, match.groups(), strict=True) if count})
    else:
        length = None
    if length is None:
        raise DataError(
            f"value: {value!r} is not an interval", hint="write it like 1s, 1m, 5m, 1h, 1d, 1w or 1mo", value=value
        )
    return length


def _length(counts: dict[str, int]) -> str | None:
    """Return the canonical form of counts of units; None if the length is zero, too long, or mixes months with shorter units."""
    months = sum(count * _MONTHS[unit] for unit, count in counts.items() if unit in _MONTHS)
    seconds = sum(count * _SECONDS[unit] for unit, count in counts.items() if unit in _SECONDS)
    if bool(months) == bool(seconds):
        return None
    if months:
        return f"{months}mo" if months <= _MOST else None
    unit = next(unit for unit in ("w", "d", "h", "m", "s") if not seconds % _SECONDS[unit])
    count = seconds // _SECONDS[unit]
    return f"{count}{unit}" if count <= _MOST else None


_CANONICAL = re.compile(r"(\d+)(s|m|h|d|w|mo)", re.ASCII)


def is_dated(interval: str) -> bool:
    """Return whether bars of a canonical interval are stored under a date, at its midnight in UTC: those of days, weeks and months."""
    return interval.endswith(("d", "w", "mo"))


def longest_ns(interval: str) -> int:
    """Return how many nanoseconds a canonical interval has at most; a month has 31 days.

    :raises DataError: if it is not a canonical interval.
    """
    match = _CANONICAL.fullmatch(interval)
    if match is None:
        raise DataError(f"value: {interval!r} is not a canonical interval", value=interval)
    unit = 31 * _SECONDS["d"] if match[2] == "mo" else _SECONDS[match[2]]
    return int(match[1]) * unit * 10**9
