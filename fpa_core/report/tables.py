"""Helpers for the tables of a report."""

from __future__ import annotations

from collections.abc import Sequence

from fpa_core.report.markup import Html, join, tag

__all__ = ["heads", "names", "share"]


def share(part: int, whole: int) -> str:
    """Return a share in percent. Only none is ``0 %`` and only all is ``100 %``."""
    if not part:
        return "0 %"
    percent = 100 * part / whole
    if 0 < percent < 0.01:
        return "< 0.01 %"
    return "100 %" if part == whole else "> 99.99 %" if percent > 99.99 else f"{percent:.2f} %"


def names(before: str, texts: Sequence[str]) -> Html:
    """Return a sentence that lists names; empty if there are none."""
    return tag("p", before, join((tag("code", text) for text in texts), ", "), ".", class_="none") if texts else Html()


def heads(texts: Sequence[str], numbers: Sequence[str]) -> Html:
    """Return the head of a table: text columns, then number columns."""
    cells = [*(tag("th", text) for text in texts), *(tag("th", number, class_="n") for number in numbers)]
    return tag("thead", tag("tr", *cells))
