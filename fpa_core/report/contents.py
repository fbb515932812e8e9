"""The sections that describe the data of a file, independent of the rules: columns, coverage, gaps."""

from __future__ import annotations

from collections.abc import Iterator

from fpa_core.numbers import ns_text
from fpa_core.report import charts
from fpa_core.report.axes import duration
from fpa_core.report.gathering import FileReport
from fpa_core.report.markup import Content, Html, join, name, tag
from fpa_core.report.profiles import Profile
from fpa_core.report.tables import heads, names

__all__ = ["profiles", "timeline"]

STRIPS = 12
"""Series whose coverage is drawn."""


def profiles(report: FileReport) -> Html:
    """Return the section with the profile of each column."""
    if not report.profiles:
        return Html()
    present = {label: one for label, one in report.profiles.items() if one.missing < one.rows}
    absent = [label for label in report.profiles if label not in present]
    number_heads = heads(
        ["column"], ["missing", "distinct", "smallest", "5 %", "median", "95 %", "largest", "zero", "negative"]
    )
    numbers = [_numbers(label, one) for label, one in present.items() if one.is_number]
    others = [_words(label, one) for label, one in present.items() if not one.is_number]
    other_heads = tag(
        "thead",
        tag("tr", tag("th", "column"), *(tag("th", each, class_="n") for each in ("missing", "distinct")),
            *(tag("th", each) for each in ("first (sorted)", "last (sorted)", "most frequent"))),
    )  # fmt: skip
    sampled = any(one.counts is None for one in present.values() if one.is_number)
    lead = "Statistics of the values in each column."
    if sampled:
        lead += " Quantiles of columns with many distinct values are estimated from a sample of the rows."
    tables = [(number_heads, numbers), (other_heads, others)]
    return tag(
        "section",
        tag("h2", "Column profiles"),
        tag("p", lead, class_="lead"),
        *(
            tag("div", tag("table", head, tag("tbody", *rows), class_="pinned"), class_="scroll")
            for head, rows in tables
            if rows
        ),
        names("Columns without values: ", absent),
    )


def _numbers(label: str, profile: Profile) -> Html:
    figures = [profile.text(value) for value in (profile.low, *profile.quantiles(), profile.high)]
    cells: Iterator[Content] = iter([f"{profile.missing:,}", profile.distinct, *figures])
    return tag(
        "tr",
        tag("td", tag("code", label)),
        *(tag("td", cell, class_="n") for cell in cells),
        *(tag("td", f"{count:,}", class_="n") for count in (profile.zero, profile.negative)),
    )


def _words(label: str, profile: Profile) -> Html:
    frequent = join(
        (join([name(value), " ", tag("small", f"{count:,}")]) for value, count in profile.most_frequent()), ", "
    )
    if profile.column.type == "time":
        frequent = Html("")
    return tag(
        "tr",
        tag("td", tag("code", label)),
        tag("td", f"{profile.missing:,}", class_="n"),
        tag("td", profile.distinct, class_="n"),
        tag("td", name(profile.text(profile.low)), class_="fixed"),
        tag("td", name(profile.text(profile.high)), class_="fixed"),
        tag("td", frequent, class_="frequent"),
    )


def timeline(report: FileReport) -> Html:
    """Return the section with the coverage and the longest gaps."""
    series = report.coverage.fullest(STRIPS)
    if not series:
        return Html()
    rows = [
        tag(
            "tr",
            tag("td", name(each.name), class_="wide full"),
            tag("td", duration(each.ns), class_="n", data_label="for"),
            tag("td", ns_text(each.start_ns), class_="fixed full", data_label="after"),
            tag("td", ns_text(each.end_ns), class_="fixed full", data_label="until"),
        )
        for each in report.coverage.longest()
    ]
    gap_heads = tag(
        "thead",
        tag("tr", tag("th", "series"), tag("th", "length", class_="n"), tag("th", "last row before"), tag("th", "first row after")),
    )  # fmt: skip
    count = len(report.coverage.series)
    more = f" The chart shows the {len(series)} series with the most rows, of {count:,}." if count > len(series) else ""
    return tag(
        "section",
        tag("h2", "Gaps"),
        tag("p", "The times with rows, and the longest gaps between two rows of a series.", more, class_="lead"),
        charts.coverage(series),
        tag("div", tag("table", gap_heads, tag("tbody", *rows), class_="stack"), class_="scroll") if rows else "",
    )
