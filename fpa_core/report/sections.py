"""The sections of the report on one file: the verdict, the findings of the rules, and the order of all others."""

from __future__ import annotations

from collections.abc import Iterator

from fpa_core.numbers import ns_text
from fpa_core.protocols import Tally
from fpa_core.report import charts
from fpa_core.report.contents import ends, price_lines, profiles, timeline
from fpa_core.report.examples import anchor, broken_rules, examples, failure_text, severity_of
from fpa_core.report.figures import share
from fpa_core.report.filereport import FileReport
from fpa_core.report.making import making
from fpa_core.report.markup import Content, Html, join, name, tag
from fpa_core.report.tables import Part, heads, names, scrolling

__all__ = ["sections", "verdict"]

WORST = 10


def verdict(report: FileReport) -> Html:
    """Return the verdict as a badge."""
    if not report.result.is_valid or report.refused:
        return tag("span", "Invalid", class_="badge error")
    if report.result.warnings:
        return tag("span", "Valid, with warnings", class_="badge warning")
    return tag("span", "Valid", class_="badge good")


def sections(report: FileReport, base: str) -> Html:
    """Return the head, the table of contents, and all sections of a file.

    :param base: the anchor of the file; those of its sections begin with it.
    """
    parts = list(_parts(report, base))
    links = [tag("a", part.title, href=f"#{base}-{part.key}") for part in parts]
    contents = tag("nav", *links, class_="contents", aria_label="Contents")
    written = [
        tag(
            "section",
            tag("h2", part.title),
            tag("p", part.lead, class_="lead") if part.lead else "",
            part.body,
            id_=f"{base}-{part.key}",
            class_=part.key,
        )
        for part in parts
    ]
    return join([_head(report), contents, *written])


def _parts(report: FileReport, base: str) -> Iterator[Part]:
    """Yield the sections that have content."""
    yield _rules(report, base)
    yield from _over_time(report)
    yield from price_lines(report)
    yield from _symbols(report)
    yield from examples(report, base)
    yield from profiles(report)
    yield from timeline(report)
    yield from ends(report)
    yield making(report)


def _head(report: FileReport) -> Html:
    facts: list[tuple[str, Content]] = [
        ("kind", ", ".join(kind.name for kind in report.kinds)),
        ("level", report.level),
    ]
    if count := len(report.symbols.symbols):
        only = next(iter(report.symbols.symbols))
        facts.append(("symbol", name(only)) if count == 1 else ("symbols", f"{count:,}"))
    if report.first_ns is not None and report.last_ns is not None:
        facts.append(("from", ns_text(report.first_ns)))
        facts.append(("to", ns_text(report.last_ns)))
    notes = [tag("p", name(note), class_="none") for note in dict.fromkeys(report.notes)]
    clean = report.rows - report.refused - report.flagged
    return join(
        [
            tag("h1", name(report.name)),
            tag("div", verdict(report), tag("span", _sentence(report)), class_="verdict"),
            tag("dl", *(tag("div", tag("dt", key), tag("dd", value)) for key, value in facts), class_="facts"),
            tag(
                "dl",
                _total("rows", report.rows, report.rows, None),
                _total("would be rejected", report.refused, report.rows, "error"),
                _total("with warnings", report.warned, report.rows, "warning"),
                _total("with info only", report.noted, report.rows, None),
                _total("no findings", clean, report.rows, None),
                class_="totals",
            ),
            *notes,
        ]
    )


def _sentence(report: FileReport) -> str:
    if report.refused:
        return f"An ingest would quarantine {report.refused:,} of {report.rows:,} rows."
    if report.warned:
        return f"An ingest would store all {report.rows:,} rows, {report.warned:,} of them with warnings."
    return f"An ingest would store all {report.rows:,} rows."


def _total(label: str, count: int, rows: int, severity: str | None) -> Html:
    figure = tag("dd", f"{count:,}", class_=severity if count else None)
    note = tag("span", share(count, rows)) if label != "rows" else tag("span", "in the file")
    return tag("div", tag("dt", label), figure, note)


def _rules(report: FileReport, base: str) -> Part:
    broken = broken_rules(report)
    silent = [rule for rule, tally in report.result.counts.items() if not tally.failed and tally.evaluated]
    unjudged = [rule for rule, tally in report.result.counts.items() if not tally.evaluated]
    rows = []
    for rule, tally in broken:
        severity = severity_of(report, rule)
        first, expected = failure_text(report, rule)
        rows.append(
            tag(
                "tr",
                tag(
                    "td",
                    tag("a", tag("code", rule), href=f"#{anchor(base, rule)}"),
                    tag("p", name(first), class_="first") if first else "",
                    tag("p", expected) if expected else "",
                    class_="full",
                ),
                tag("td", tag("span", severity, class_=f"badge {severity}")),
                tag("td", f"{tally.failed:,}", class_="n", data_label="failed"),
                tag(
                    "td",
                    share(tally.failed, tally.evaluated),
                    _share_bar(tally, severity),
                    class_="n",
                    data_label="share",
                ),
                tag("td", f"{tally.evaluated:,}", class_="n", data_label="checked"),
                tag("td", f"{tally.not_evaluated:,}", class_="n", data_label="not checked"),
            )
        )
    head = heads(["rule, and the first row that broke it", "severity"], ["failed", "of those checked", "checked", "not checked"])  # fmt: skip
    table = scrolling(head, tag("tbody", *rows), class_="stack") if rows else ""
    lead = (
        "A row that breaks a rule of severity error would be quarantined. All other rows would be stored; their findings are only counted. "
        "Findings of severity info describe the data and are no warnings."
    )
    passed = names("Passed by every row: ", silent)
    body = join([table, passed, names("Not checked, because the values are missing: ", unjudged)])
    return Part("rules", "Findings by rule", lead, body)


def _share_bar(tally: Tally, severity: str) -> Html:
    width = f"{max(100 * tally.failed / max(tally.evaluated, 1), 1):.2f}%"
    return tag("svg", tag("rect", x="0", y="0", width=width, height="6"), class_=f"bar {severity}", aria_hidden="true")


def _over_time(report: FileReport) -> Iterator[Part]:
    rules = [
        (rule, severity_of(report, rule), report.over_time[rule])
        for rule, _ in broken_rules(report)
        if rule in report.over_time
    ]
    if report.all_rows.counts:
        yield Part("time", "Findings over time", "", charts.findings_over_time(report.all_rows, rules))


def _symbols(report: FileReport) -> Iterator[Part]:
    if not report.symbols.symbols:
        return
    rows = [
        tag(
            "tr",
            tag("td", name(symbol), class_="wide full"),
            *(
                tag("td", f"{count:,}", class_="n", data_label=label)
                for label, count in [("rows", known.rows), *known.broken.items()]
            ),
            tag("td", share(max(known.broken.values()), known.rows), class_="n", data_label="at most"),
        )
        for symbol, known in report.symbols.worst(WORST)
    ]
    count = len(report.symbols.symbols)
    subject = "account" if any(kind.subject == "account" for kind in report.kinds) else "symbol"
    order = (
        f"The {len(rows)} of {count:,} with the most errors, then warnings."
        if count > len(rows)
        else "Errors first, then warnings."
    )
    head = heads([subject], ["rows", "error", "warning", "info", "largest share"])
    lead = f"Rows that break at least one rule of that severity. {order}"
    yield Part("symbols", f"Worst {subject}s", lead, scrolling(head, tag("tbody", *rows), class_="stack"))
