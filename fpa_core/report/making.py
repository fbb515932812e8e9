"""The section on how a report was made: the file and its digest, the version and the configuration, the parameters of the rules."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from fpa_core.display import value_text
from fpa_core.report.figures import grouped, size_text
from fpa_core.report.filereport import FileReport
from fpa_core.report.markup import Content, Html, join, name, tag
from fpa_core.report.tables import Part, fold, heads, scrolling

__all__ = ["making"]


def making(report: FileReport) -> Part:
    """Return the section on how a report was made."""
    origin = report.provenance
    kinds = {kind.name for kind in report.kinds}
    applied = [entry for _, entry in sorted(report.rules.items()) if kinds.intersection(entry["kind"])]
    facts: list[tuple[str, Content]] = [("file", name(report.name))]
    if origin.file is not None:
        facts.append(("size", size_text(origin.file.size)))
        facts.append(("SHA-256", tag("code", origin.file.digest)))
    facts += [
        ("read in", f"{origin.seconds:,.1f} s" if origin.seconds >= 0.1 else "less than 0.1 s"),
        ("version", f"fpa {origin.version}"),
        ("configuration", name(origin.config) if origin.config else "none; the defaults apply"),
        ("environment", name(origin.environment) if origin.environment else "none"),
        ("rules", f"{len(applied):,} of {len(report.rules):,} apply to these rows, at level {report.level}"),
    ]
    listed = tag("dl", *(tag("div", tag("dt", key), tag("dd", value)) for key, value in facts), class_="provenance")
    warning = "The file was modified while it was read, so the digest may not be that of the rows described here."
    changed = tag("p", tag("span", "warning", class_="badge warning"), " ", warning, class_="none")
    rows = [_rule(entry) for entry in applied]
    head = heads(["rule", "severity", "parameters"], [])
    table = scrolling(head, tag("tbody", *rows), class_="stack parameters")
    rules = fold("Severity and parameters of each rule", table) if rows else Html()
    return Part("making", "How this report was made", "", join([listed, changed if origin.changed else "", rules]))


def _rule(entry: Mapping[str, Any]) -> Html:
    origins = entry.get("origins", {})
    units = entry.get("units", {})
    lines = [_line(key, value, units.get(key), origins.get(key)) for key, value in entry.get("parameters", {}).items()]
    lines += [_line(key, entry[key], None, origins.get(key)) for key in ("where", "tolerate", "stop") if entry.get(key)]
    for pattern, changes in entry.get("overrides", {}).items():
        values = ", ".join(f"{key} = {value_text(value)}" for key, value in changes.items())
        set_at = next((at for key, at in origins.items() if key.startswith(f"overrides.{pattern}")), None)
        lines.append(
            tag("div", "for ", name(pattern), ": ", name(values or "unchanged"), " ", tag("small", name(set_at or "")))
        )
    set_severity = origins.get("severity")
    severity = str(entry.get("severity") or "by symbol")
    return tag(
        "tr",
        tag("td", tag("code", entry["id"])),
        tag("td", severity, tag("small", f" {set_severity}" if set_severity else "")),
        tag("td", *lines or [tag("span", "no parameters", class_="missing")], class_="wide full"),
    )


def _line(key: str, value: Any, unit: str | None, set_at: str | None) -> Html:
    number = isinstance(value, int | float | Decimal) and not isinstance(value, bool)
    text = grouped(value_text(value)) if number else value_text(value)
    if unit:
        text += f" {unit}"
    return tag("div", name(key), " = ", name(text), " ", tag("small", name(set_at or "default")))
