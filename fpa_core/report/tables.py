"""Helpers for the tables and sections of a report."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from fpa_core.report.markup import Content, Html, join, tag

__all__ = ["Part", "fold", "heads", "names", "scrolling"]


class Part(NamedTuple):
    """A section of the page.

    :ivar key: the last part of its anchor.
    """

    key: str
    title: str
    lead: Content
    body: Html


def names(before: str, texts: Sequence[str]) -> Html:
    """Return a sentence that lists names; empty if there are none."""
    return tag("p", before, join((tag("code", text) for text in texts), ", "), ".", class_="none") if texts else Html()


def heads(texts: Sequence[str], numbers: Sequence[str]) -> Html:
    """Return the head of a table: text columns, then number columns."""
    cells = [*(tag("th", text) for text in texts), *(tag("th", number, class_="n") for number in numbers)]
    return tag("thead", tag("tr", *cells))


def scrolling(*contents: Content, class_: str | None = None) -> Html:
    """Return a table that scrolls sideways if it is too wide for the page."""
    return tag("div", tag("table", *contents, class_=class_), class_="scroll")


def fold(title: str, *contents: Content) -> Html:
    """Return contents that are shown when their title is clicked."""
    return tag("details", tag("summary", title), *contents)
