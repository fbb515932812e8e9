"""The lengths of bar intervals."""

from __future__ import annotations

import functools

__all__ = ["DAY", "WEEK", "interval_ns", "span_text"]

DAY = 86_400 * 10**9
WEEK = 7 * DAY
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800, "mo": 31 * 86_400}


@functools.lru_cache(maxsize=1024)
def interval_ns(interval: str) -> int:
    """Return the length of an interval such as ``5m`` in nanoseconds. A month counts as 31 days."""
    digits = interval.rstrip("smhdwo")
    return int(digits) * _UNITS[interval[len(digits) :]] * 10**9


def span_text(ns: int) -> str:
    """Return a span of time in the largest unit that divides it, such as ``5m`` or ``1.5s``."""
    for unit in ("d", "h", "m"):
        if ns and ns % (_UNITS[unit] * 10**9) == 0:
            return f"{ns // (_UNITS[unit] * 10**9)}{unit}"
    return f"{ns / 10**9:g}s"
