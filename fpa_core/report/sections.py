"""The sections of the report on one file: the verdict and the findings of the rules."""

from __future__ import annotations

from collections.abc import Sequence

from fpa_core.numbers import ns_text
from fpa_core.protocols import SHAPE, Severity, Tally
from fpa_core.report import charts
from fpa_core.report.contents import profiles, timeline
from fpa_core.report.gathering import Example, FileReport
from fpa_core.report.markup import Content, Html, join, name, tag
from fpa_core.report.tables import heads, names, share

__all__ = ["sections", "verdict"]

WORST = 10
PHRASES = {
    SHAPE: "Every row can be parsed into a record.",
}


def verdict(report: FileReport) -> Html:
    """Return the verdict as a badge."""
    if not report.result.is_valid or report.refused:
        return tag("span", "Invalid", class_="badge error")
    if report.result.warnings:
        return tag("span", "Valid, with warnings", class_="badge warning")
    return tag("span", "Valid", class_="badge good")


def sections(report: FileReport) -> Html:
    """Return all sections of a file."""
    parts = [_head(report), _rules(report), _over_time(report), _symbols(report), _examples(report)]
    return join([*parts, profiles(report), timeline(report)])


def _severity(report: FileReport, rule: str) -> str:
    return "error" if rule == SHAPE else str(report.severities.get(rule, Severity.INFO))


def _broken(report: FileReport) -> list[tuple[str, Tally]]:
    """Return the broken rules: errors first, then by the number of failures."""
    order = [str(severity) for severity in Severity]
    found = [(rule, tally) for rule, tally in report.result.counts.items() if tally.failed]
    return sorted(found, key=lambda each: (order.index(_severity(report, each[0])), -each[1].failed, each[0]))


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
                _total("flagged, but stored", report.flagged, report.rows, "warning"),
                _total("no findings", clean, report.rows, None),
                class_="totals",
            ),
            *notes,
        ]
    )


def _sentence(report: FileReport) -> str:
    if report.refused:
        return f"An ingest would quarantine {report.refused:,} of {report.rows:,} rows."
    if report.flagged:
        return f"An ingest would store all {report.rows:,} rows and flag {report.flagged:,} of them."
    return f"An ingest would store all {report.rows:,} rows."


def _total(label: str, count: int, rows: int, severity: str | None) -> Html:
    figure = tag("dd", f"{count:,}", class_=severity if count else None)
    note = tag("span", share(count, rows)) if label != "rows" else tag("span", "in the file")
    return tag("div", tag("dt", label), figure, note)


def _rules(report: FileReport) -> Html:
    broken = _broken(report)
    silent = [rule for rule, tally in report.result.counts.items() if not tally.failed and tally.evaluated]
    unjudged = [rule for rule, tally in report.result.counts.items() if not tally.evaluated]
    rows = []
    for rule, tally in broken:
        severity = _severity(report, rule)
        summary = PHRASES.get(rule) or report.rules.get(rule.rpartition(" ")[2], {}).get("summary", "")
        rows.append(
            tag(
                "tr",
                tag("td", tag("code", rule), tag("p", summary), class_="full"),
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
    head = heads(["rule", "severity"], ["failed", "of those checked", "checked", "not checked"])
    table = tag("div", tag("table", head, tag("tbody", *rows), class_="stack"), class_="scroll") if rows else ""
    return tag(
        "section",
        tag("h2", "Findings by rule"),
        tag("p", "A row that breaks a rule of severity error would be quarantined. All other rows would be stored; their findings are only counted.", class_="lead"),
        table,
        names("Passed by every row: ", silent),
        names("Not checked, because the values are missing: ", unjudged),
    )  # fmt: skip


def _share_bar(tally: Tally, severity: str) -> Html:
    width = f"{max(100 * tally.failed / max(tally.evaluated, 1), 1):.2f}%"
    return tag("svg", tag("rect", x="0", y="0", width=width, height="6"), class_=f"bar {severity}", aria_hidden="true")


def _over_time(report: FileReport) -> Html:
    rules = [
        (rule, _severity(report, rule), report.over_time[rule])
        for rule, _ in _broken(report)
        if rule in report.over_time
    ]
    if not report.all_rows.counts:
        return Html()
    return tag(
        "section", tag("h2", "Findings over time"), charts.findings_over_time(report.all_rows, rules), class_="time"
    )


def _symbols(report: FileReport) -> Html:
    if not report.symbols.symbols:
        return Html()
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
    lead = (
        f"The {len(rows)} of {count:,} with the most errors, then warnings."
        if count > len(rows)
        else "Errors first, then warnings."
    )
    return tag(
        "section",
        tag("h2", f"Worst {subject}s"),
        tag("p", "Rows that break at least one rule of that severity. ", lead, class_="lead"),
        tag(
            "div",
            tag(
                "table",
                heads([subject], ["rows", "error", "warning", "info", "largest share"]),
                tag("tbody", *rows),
                class_="stack",
            ),
            class_="scroll",
        ),
    )  # fmt: skip


def _examples(report: FileReport) -> Html:
    parts = [
        _example(report, rule, report.examples[rule], tally)
        for rule, tally in _broken(report)
        if rule in report.examples
    ]
    shapeless = [each for each in report.result.findings if each.rule == SHAPE]
    if shapeless:
        rows = [
            tag("tr", tag("td", f"{(each.row or 0) + 1:,}", class_="n"), tag("td", name(each.message), class_="wide"))
            for each in shapeless[:5]
        ]
        head = tag("thead", tag("tr", tag("th", "row", class_="n"), tag("th", "why it could not be parsed")))
        parts.insert(0, _titled(report, SHAPE, tag("table", head, tag("tbody", *rows)), None, report.shapeless))
    if not parts:
        return Html()
    lead = "The first rows that break each rule; the values the rule uses are marked. Rows are counted from 1, without the header."
    return tag("section", tag("h2", "Examples"), tag("p", lead, class_="lead"), *parts)


def _titled(report: FileReport, rule: str, table: Html, said: str | None, count: int) -> Html:
    severity = _severity(report, rule)
    heading = tag(
        "h3", tag("code", rule), tag("span", severity, class_=f"badge {severity}"), tag("small", f"{count:,}")
    )
    return tag(
        "div",
        heading,
        tag("p", name(said), class_="said") if said else "",
        tag("div", table, class_="scroll"),
        class_="example",
    )


def _example(report: FileReport, rule: str, examples: Sequence[Example], tally: Tally) -> Html:
    there = [column for column in report.profiles if any(column in each.values for each in examples)]
    looked = [column for column in report.profiles if any(column in each.finding.observed for each in examples)]
    columns = [*looked, *(column for column in there if column not in looked)]  # a phone shows only the first columns
    limits = any(each.finding.limit for each in examples)
    numeric = {column for column in columns if report.profiles[column].is_number}
    head = [tag("th", "row", class_="n")]
    head += [tag("th", column, class_="n" if column in numeric else None) for column in columns]
    head += [tag("th", "limit")] if limits else []
    rows = []
    for each in examples:
        cells = [tag("td", f"{each.row:,}", class_="n")]
        for column in columns:
            value: Content = (
                name(each.values[column]) if column in each.values else tag("span", "missing", class_="missing")
            )
            style = "n" if column in numeric else "fixed"
            cells.append(tag("td", tag("mark", value) if column in looked else value, class_=style))
        if limits:
            cells.append(tag("td", name(each.finding.limit or ""), class_="fixed"))
        rows.append(tag("tr", *cells))
    table = tag("table", tag("thead", tag("tr", *head)), tag("tbody", *rows))
    return _titled(report, rule, table, f"First: {examples[0].finding.message}.", tally.failed)
