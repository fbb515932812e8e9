"""Numbers, sizes and times as text for people."""

from __future__ import annotations

from fpa_core.numbers import ns_text

__all__ = ["grouped", "moment", "share", "size_text"]

_DAY = 86_400 * 10**9
_UNITS = ("kB", "MB", "GB", "TB")


def grouped(text: str) -> str:
    """Return the text of a number with thousands separators before its point."""
    sign = "-" if text.startswith("-") else ""
    whole, point, fraction = text.removeprefix("-").partition(".")
    if not (whole.isascii() and whole.isdigit()):
        return text
    return f"{sign}{int(whole):,}{point}{fraction}"


def share(part: int, whole: int) -> str:
    """Return a share in percent. Only none is ``0 %`` and only all is ``100 %``."""
    if not part:
        return "0 %"
    percent = 100 * part / whole
    if 0 < percent < 0.01:
        return "< 0.01 %"
    return "100 %" if part == whole else "> 99.99 %" if percent > 99.99 else f"{percent:.2f} %"


def size_text(size: int) -> str:
    """Return a number of bytes, in a unit of a power of 1,000 if there are many."""
    if size < 1_000:
        return f"{size} bytes"
    power = min((len(str(size)) - 1) // 3, len(_UNITS))
    return f"{size / 1_000**power:.1f} {_UNITS[power - 1]} ({size:,} bytes)"


def moment(ns: int) -> str:
    """Return a time in UTC without letters; at midnight the date alone."""
    text = ns_text(ns).rstrip("Z").replace("T", " ")
    return text.partition(" ")[0] if ns % _DAY == 0 else text
