"""The failing rows of each rule: what is wrong with the first ones, and more of them as CSV to download."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from urllib.parse import quote

from attrs import evolve

from fpa_core.protocols import SHAPE, Finding, Severity, Tally
from fpa_core.report.figures import grouped
from fpa_core.report.filereport import Example, FileReport
from fpa_core.report.markup import Content, Html, join, name, tag
from fpa_core.report.tables import Part, scrolling

__all__ = ["anchor", "broken_rules", "examples", "failure_text", "severity_of"]

SHOWN = 5
PARSED = "Every row can be parsed into a record."
_SAFE = ",:;/-._+()"
"""Characters of a CSV that need no escape in a data URI, besides letters and digits."""


def severity_of(report: FileReport, rule: str) -> str:
    """Return the worst severity with which a rule was broken."""
    return "error" if rule == SHAPE else str(report.severities.get(rule, Severity.INFO))


def broken_rules(report: FileReport) -> list[tuple[str, Tally]]:
    """Return the broken rules: errors first, then by the number of failures."""
    order = [str(severity) for severity in Severity]
    found = [(rule, tally) for rule, tally in report.result.counts.items() if tally.failed]
    return sorted(found, key=lambda each: (order.index(severity_of(report, each[0])), -each[1].failed, each[0]))


def anchor(base: str, rule: str) -> str:
    """Return the anchor of the failing rows of a rule."""
    return f"{base}-rule-{re.sub(r'[^A-Za-z0-9]+', '-', rule)}"


def failure_text(report: FileReport, rule: str) -> tuple[str, str]:
    """Return what is wrong with the first row that broke a rule, and what the rule expects; either may be empty."""
    first = next((each for each in report.result.findings if each.rule == rule), None)
    summary = PARSED if rule == SHAPE else str(report.rules.get(rule.rpartition(" ")[2], {}).get("summary", ""))
    expected = f"Expected: {_lowered(summary)}" if summary else ""
    if first is None:
        return "", expected
    sentence = report.result.sentence(first)
    place = "" if first.row is None else f"Row {first.row + 1:,}: "
    if first.message == summary:  # the sentence itself says what is expected
        expected = ""
    return f"{place}{sentence}.", expected


def _lowered(text: str) -> str:
    """Return a sentence for the middle of another: an acronym at its beginning stays."""
    return text if text[1:2].isupper() else text[:1].lower() + text[1:]


def examples(report: FileReport, base: str) -> Iterator[Part]:
    """Yield the section with failing rows, if there are any."""
    parts = [
        _titled(report, base, rule, tally.failed, _example(report, report.examples[rule]))
        for rule, tally in broken_rules(report)
        if report.examples.get(rule)
    ]
    shapeless = [each for each in report.result.findings if each.rule == SHAPE]
    if shapeless:
        rows = [
            tag("tr", tag("td", f"{(each.row or 0) + 1:,}", class_="n"), tag("td", name(each.message), class_="wide"))
            for each in shapeless[:SHOWN]
        ]
        head = tag("thead", tag("tr", tag("th", "row", class_="n"), tag("th", "why it could not be parsed")))
        table = scrolling(head, tag("tbody", *rows), class_="parsing")
        parts.insert(0, _titled(report, base, SHAPE, report.shapeless, table))
    if not parts:
        return
    lead = "The first rows that break each rule; the values that the rule looks at are marked. Rows are counted from 1, without the header."
    yield Part("examples", "Failing rows", lead, join(parts))


def _titled(report: FileReport, base: str, rule: str, count: int, table: Html) -> Html:
    severity = severity_of(report, rule)
    heading = tag(
        "h3",
        tag("code", rule),
        tag("span", severity, class_=f"badge {severity}"),
        tag("small", f"{count:,} row{'s' if count > 1 else ''}"),
        _download(report, rule, count),
    )
    return tag("div", heading, table, class_="example", id_=anchor(base, rule))


def _download(report: FileReport, rule: str, count: int) -> Html:
    """Return a link that saves the failing rows as CSV. The rows are inside the link, so nothing is loaded."""
    kept = report.failed_rows.get(rule)
    if kept is None or not kept.count:
        return Html()
    file = re.sub(r"[^A-Za-z0-9._-]+", "-", f"{report.name}-{rule}").strip("-.") + ".csv"
    rows = "all rows" if kept.count == count else f"the first {kept.count:,} of {count:,} rows"
    uri = f"data:text/csv;charset=utf-8,{quote(kept.text, safe=_SAFE, errors='backslashreplace')}"
    return tag("a", f"CSV of {rows}", href=uri, download=file, class_="download")


def _example(report: FileReport, shown: Sequence[Example]) -> Html:
    there = [column for column in report.profiles if any(column in each.values for each in shown)]
    looked = [column for column in report.profiles if any(column in each.finding.observed for each in shown)]
    rest = [column for column in there if column not in looked]  # a phone shows only the first columns
    extra = [title for title, texts in (("before", "related"), ("limit", "limit")) if any(getattr(each.finding, texts) for each in shown)]  # fmt: skip
    numeric = {column for column in there if report.profiles[column].is_number}
    head = [tag("th", "row", class_="n")]
    head += [tag("th", column, class_="n" if column in numeric else None) for column in looked]
    head += [tag("th", title) for title in extra]
    head += [tag("th", column, class_="n" if column in numeric else None) for column in rest]
    bodies = [tag("thead", tag("tr", *head))]
    for each in shown:
        cells = [tag("td", f"{each.row:,}", class_="n")]
        cells += [_cell(each, column, column in numeric, marked=True) for column in looked]
        beyond = {"before": each.finding.related, "limit": each.finding.limit}
        cells += [tag("td", name(beyond[title] or ""), class_="fixed") for title in extra]
        cells += [_cell(each, column, column in numeric) for column in rest]
        said = tag("div", name(_sentence(report, each.finding)), class_="said")
        bodies.append(tag("tbody", tag("tr", *cells), tag("tr", tag("td", said, colspan=len(cells)), class_="note")))
    return scrolling(*bodies, class_="found")


def _sentence(report: FileReport, finding: Finding) -> str:
    """Return the sentence of a finding without the values and the row before, which have columns of their own."""
    text = report.result.sentence(evolve(finding, observed={}, related=None))
    return f"{text[:1].upper()}{text[1:]}."


def _cell(example: Example, column: str, numeric: bool, *, marked: bool = False) -> Html:
    value: Content = tag("span", "missing", class_="missing")
    if column in example.values:
        text = example.values[column]
        value = name(grouped(text) if numeric else text)
    return tag("td", tag("mark", value) if marked else value, class_="n" if numeric else "fixed")
