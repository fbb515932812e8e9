"""The HTML page of a report: it loads nothing and runs no script."""

from __future__ import annotations

from collections.abc import Sequence

from fpa_core.numbers import ns_text
from fpa_core.report.figures import share
from fpa_core.report.filereport import FileReport
from fpa_core.report.markup import Html, join, name, tag
from fpa_core.report.sections import sections, verdict
from fpa_core.report.style import STYLE

__all__ = ["page"]

POLICY = "default-src 'none'; style-src 'unsafe-inline'"
"""The content security policy of the page: allow only its own style sheet. Links that save data of the page itself need no permission."""


def page(reports: Sequence[FileReport], *, now_ns: int) -> str:
    """Return a self-contained HTML page on files: no scripts, nothing that is loaded, all text escaped.

    :param now_ns: the current time, shown at the end of the page.
    """
    title = reports[0].name if len(reports) == 1 else f"{len(reports)} files"
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=POLICY),
        tag("meta", name_="viewport", content="width=device-width, initial-scale=1"),
        tag("title", f"Validation of {title}"),
        tag("style", STYLE),
    )
    articles = [
        tag(
            "article",
            tag("p", "Validation report", class_="eyebrow"),
            sections(report, f"file{number}"),
            id_=f"file{number}",
        )
        for number, report in enumerate(reports)
    ]
    made = tag("footer", f"Created by fpa validate at {ns_text(now_ns // 10**9 * 10**9)}. Nothing was stored.")
    body = tag("body", tag("main", _overview(reports) if len(reports) > 1 else "", *articles, made))
    return f"<!DOCTYPE html>\n{tag('html', head, body, lang='en')}\n"


def _overview(reports: Sequence[FileReport]) -> Html:
    rows = sum(report.rows for report in reports)
    refused = sum(report.refused for report in reports)
    warned = sum(report.warned for report in reports)
    entries = [
        tag(
            "li",
            tag("a", name(report.name), href=f"#file{number}"),
            verdict(report),
            tag(
                "small",
                f"{report.rows:,} row{'' if report.rows == 1 else 's'}, {report.refused:,} would be rejected, {report.warned:,} with warnings",
            ),
        )
        for number, report in enumerate(reports)
    ]
    said = f"{rows:,} rows: {refused:,} would be rejected ({share(refused, rows)}), {warned:,} stored with warnings ({share(warned, rows)})."
    return tag(
        "article",
        tag("p", "Validation report", class_="eyebrow"),
        tag("h1", f"{len(reports)} files"),
        tag("p", said, class_="facts"),
        tag("nav", tag("ul", join(entries))),
    )
