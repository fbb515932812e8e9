"""The sections that describe the data of a file, independent of the rules: prices, columns, gaps, first and last rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from fpa_core.report import charts
from fpa_core.report.axes import duration
from fpa_core.report.figures import grouped, moment
from fpa_core.report.filereport import FileReport
from fpa_core.report.gaps import HOLIDAYS, Gap
from fpa_core.report.markup import Content, Html, join, name, tag
from fpa_core.report.pricechart import price_chart
from fpa_core.report.prices import PRICES
from fpa_core.report.profiles import Profile
from fpa_core.report.rows import Row
from fpa_core.report.tables import Part, fold, heads, names, scrolling

__all__ = ["ends", "price_lines", "profiles", "timeline"]

STRIPS = 12
"""Series whose coverage is drawn."""

LINES = 4
"""Series whose prices are drawn."""

GAPS = 5
"""Gaps that are listed without a click."""


def price_lines(report: FileReport) -> Iterator[Part]:
    """Yield the section with the prices of the fullest series."""
    drawn = {label: line for label, line in report.prices.lines.items() if line.bands}
    fullest = [label for label, _ in report.coverage.fullest(len(report.coverage.series)) if label in drawn]
    fullest.sort(key=lambda label: -report.coverage.series[label].total)
    gaps = report.gaps.longest()
    plots = [
        price_chart(label, drawn[label], [gap for gap in gaps if gap.name == label][:GAPS]) for label in fullest[:LINES]
    ]
    if not plots:
        return
    price = " or ".join(dict.fromkeys(PRICES[kind.name] for kind in report.kinds if kind.name in PRICES))
    lead = f"The lowest and the highest price ({price}) in each step of time, without rows that would be rejected. "
    if len(drawn) > len(plots):
        lead += f"The {len(plots)} fullest of {len(drawn):,} series. "
    lead += "Errors and warnings are marked by circles and below the line; the longest gaps are shaded."
    yield Part("prices", "Prices", lead, join(plots))


def profiles(report: FileReport) -> Iterator[Part]:
    """Yield the section with the profile of each column."""
    if not report.profiles:
        return
    present = {label: one for label, one in report.profiles.items() if one.missing < one.rows}
    absent = [label for label in report.profiles if label not in present]
    number_heads = heads(
        ["column"], ["missing", "distinct", "minimum", "5 %", "median", "95 %", "maximum", "zero", "negative"]
    )
    numbers = [_numbers(label, one) for label, one in present.items() if one.is_number]
    others = [_words(label, one) for label, one in present.items() if not one.is_number]
    other_heads = tag(
        "thead",
        tag("tr", tag("th", "column"), *(tag("th", each, class_="n") for each in ("missing", "distinct")),
            *(tag("th", each) for each in ("minimum", "maximum", "most frequent"))),
    )  # fmt: skip
    sampled = any(one.counts is None for one in present.values() if one.is_number)
    lead = "Statistics of the values in each column; texts are compared by their characters."
    if sampled:
        lead += (
            " Quantiles and histograms of columns with many distinct values are estimated from a sample of the rows."
        )
    found = [(label, one.histogram()) for label, one in present.items()]
    drawn = [charts.histogram_chart(label, each) for label, each in found if each is not None]
    tables = [(number_heads, numbers), (other_heads, others)]
    body = join(
        [
            tag("div", *drawn, class_="histograms") if drawn else "",
            *(scrolling(head, tag("tbody", *rows), class_="pinned") for head, rows in tables if rows),
            names("Columns without values: ", absent),
        ]
    )
    yield Part("columns", "Column profiles", lead, body)


def _numbers(label: str, profile: Profile) -> Html:
    figures = [grouped(profile.text(value)) for value in (profile.low, *profile.quantiles(), profile.high)]
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


def timeline(report: FileReport) -> Iterator[Part]:
    """Yield the section with the coverage and the longest gaps."""
    series = report.coverage.fullest(STRIPS)
    if not series:
        return
    count = len(report.coverage.series)
    lead = "The times with rows, and the longest gaps between two rows of a series. " + _measure(report)
    if count > len(series):
        lead += f" The chart shows the {len(series)} series with the most rows, of {count:,}."
    gaps = report.gaps.longest()
    listed = [_gap_table(gaps[:GAPS]) if gaps else tag("p", "There are no gaps.", class_="none")]
    if len(gaps) > GAPS:
        listed.append(fold(f"{len(gaps) - GAPS} shorter gaps", _gap_table(gaps[GAPS:])))
    yield Part("gaps", "Gaps", lead, join([charts.coverage(series), *listed]))


def _measure(report: FileReport) -> str:
    """Return a sentence on what counts as a gap."""
    if report.gaps.by_calendar:
        return "Gaps are measured within the sessions of the calendar: nights, weekends and holidays do not count."
    if assumed := report.gaps.assumed:
        breaks = (
            "1 break was taken for a night, a weekend"
            if assumed == 1
            else f"{assumed:,} breaks were taken for nights, weekends"
        )
        return (
            f"No calendar is set (parameter calendar of the rule time.gap), so {breaks} or up to {HOLIDAYS} holidays "
            "and not listed."
        )
    return ""


def _gap_table(gaps: Sequence[Gap]) -> Html:
    rows = [
        tag(
            "tr",
            tag("td", name(gap.name), class_="wide"),
            tag("td", _length(gap), class_="n"),
            tag("td", f"{moment(gap.start_ns)} → {moment(gap.end_ns)}", class_="fixed full"),
        )
        for gap in gaps
    ]
    head = tag(
        "thead",
        tag("tr", tag("th", "series"), tag("th", "length", class_="n"), tag("th", "last row before → first row after")),
    )
    return scrolling(head, tag("tbody", *rows), class_="stack")


def _length(gap: Gap) -> str:
    if gap.missing:
        return f"{gap.missing:,} bar{'s' if gap.missing > 1 else ''} missing"
    return duration(gap.ns)


def ends(report: FileReport) -> Iterator[Part]:
    """Yield the section with the first and the last rows."""
    first, last = report.ends.first, report.ends.last
    if not first:
        return
    columns = [label for label in report.profiles if any(label in row.values for row in (*first, *last))]
    numeric = {label for label in columns if report.profiles[label].is_number}
    head = [tag("th", "row", class_="n"), *(tag("th", label, class_="n" if label in numeric else None) for label in columns)]  # fmt: skip
    between = tag("tr", tag("td", "⋯", class_="n"), tag("td", colspan=len(columns)), class_="between") if last else ""
    rows = [*(_end(row, columns, numeric) for row in first), between, *(_end(row, columns, numeric) for row in last)]
    lead = "As they would be stored, in the order of the file, without rows that could not be parsed."
    yield Part("ends", "First and last rows", lead, scrolling(tag("thead", tag("tr", *head)), tag("tbody", *rows)))


def _end(row: Row, columns: Sequence[str], numeric: set[str]) -> Html:
    cells = [tag("td", f"{row.number:,}", class_="n")]
    for label in columns:
        text = row.values.get(label, "")
        value = name(grouped(text) if label in numeric else text)
        cells.append(tag("td", value, class_="n" if label in numeric else "fixed"))
    return tag("tr", *cells)
