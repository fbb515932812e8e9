"""What the tables of several vendors have in common: how cells look, and the names of prices."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["BOOLEAN", "DATE_OR_TIME", "INTEGER", "MILLIS", "MINUTES", "NUMBER", "NUMBER_OR_NONE", "SECONDS", "prices"]

INTEGER = r"\d+"
NUMBER = r"-?\d+(?:\.\d*)?(?:[eE][+-]?\d+)?"
NUMBER_OR_NONE = rf"(?:{NUMBER})?"
SECONDS = r"\d{9,10}(?:\.\d+)?"
"""Seconds since 1970, as any market's times from 1973 until 2286 are."""
MILLIS = r"\d{13}(?:\d{3})?(?:\.0)?"
"""Milliseconds or microseconds since 1970; a reader of JSON may have made floats of them."""
BOOLEAN = r"[Tt]rue|[Ff]alse|TRUE|FALSE"
DATE_OR_TIME = r"\d{4}-\d{2}-\d{2}(?: \d{2}:\d{2}(?::\d{2})?)?"

MINUTES: Mapping[str, str] = {
    "1": "1m",
    "2": "2m",
    "3": "3m",
    "5": "5m",
    "10": "10m",
    "15": "15m",
    "30": "30m",
    "45": "45m",
    "60": "1h",
    "120": "2h",
    "180": "3h",
    "240": "4h",
    "480": "8h",
    "720": "12h",
    "1440": "1d",
    "10080": "1w",
    "21600": "15d",
    "43200": "1mo",
}
"""Intervals that vendors write as a number of minutes."""


def prices(open: str, high: str, low: str, close: str, volume: str | None = None, **more: str) -> dict[str, str]:  # noqa: A002 - the names of the fields
    """Return the columns of bars, by the names of the fields."""
    columns = {"open": open, "high": high, "low": low, "close": close, **more}
    return columns if volume is None else {**columns, "volume": volume}
