"""The figures of a run as tables, for a terminal and for a page."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from claims import Claim

__all__ = ["ABSENT", "claims_table", "extras", "figures_table", "markdown"]

ABSENT = "has no such thing"
"""What a system says that lacks a verb."""

Systems = Mapping[str, Mapping[str, Any]]


def _millions(value: float) -> str:
    millions = value / 1e6
    return f"{millions:.3f}" if millions < 0.1 else f"{millions:.2f}" if millions < 10 else f"{millions:.1f}"


def _whole(value: float) -> str:
    return f"{value:,.0f}"


COLUMNS: Sequence[tuple[str, str, str, Callable[[float], str]]] = (
    ("bulk write, M rows/s", "write", "rows_s", _millions),
    ("bytes/row", "write", "bytes_row", lambda value: f"{value:.1f}"),
    ("hour to columns, M rows/s", "range_columns", "rows_s", _millions),
    ("hour to records, M rows/s", "range_records", "rows_s", _millions),
    ("full scan, M rows/s", "scan", "rows_s", _millions),
    ("latest p50, us", "latest", "p50_us", _whole),
    ("latest p99, us", "latest", "p99_us", _whole),
    ("1-min bars, ms", "bars", "ms", _whole),
    ("live, rows/s", "live", "rows_s", _whole),
    ("again, M rows/s", "again", "rows_s", _millions),
    ("rows doubled", "again", "doubled", _whole),
    ("rows lost", "write", "lost", _whole),
)
"""Heading, measure, figure, and how it is written."""


def _cells(system: Mapping[str, Any]) -> list[str]:
    figures = system["figures"]
    cells = []
    for _, measure, name, shown in COLUMNS:
        value = figures.get(measure, {}).get(name)
        cells.append("-" if value is None else shown(value))
    return cells


def figures_table(systems: Systems) -> str:
    """Return the figures as aligned text, a line a system; those skipped with their reason."""
    measured = {name: system for name, system in systems.items() if system.get("figures")}
    head = ["", *(heading for heading, *_ in COLUMNS)]
    body = [[_name(system), *_cells(system)] for system in measured.values()]
    words = [heading.split(" ") for heading in head]
    depth = max(map(len, words))
    lines = [[one[place] if place < len(one) else "" for one in words] for place in range(depth)] + body
    widths = [max(len(line[place]) for line in lines) for place in range(len(head))]
    text = "\n".join(
        "  ".join(
            cell.ljust(width) if place == 0 else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in lines
    )
    return "\n".join([text, *extras(systems), *_skipped(systems)])


def _name(system: Mapping[str, Any]) -> str:
    return f"{system['title']} {system['version']}".strip()


def _skipped(systems: Systems) -> list[str]:
    """Return what was left out and why, except for what a system is known not to have."""
    lines = [f"{name} skipped: {system['skipped']}" for name, system in systems.items() if "skipped" in system]
    for name, system in systems.items():
        lines += [f"{name}, {what}: {why}" for what, why in system.get("left_out", {}).items() if why != ABSENT]
    return lines


EXTRAS: Mapping[str, Callable[[Mapping[str, float]], str]] = {
    "decimals": lambda told: f"bulk write of Arrow decimals instead of integers: {_millions(told['rows_s'])} M rows/s",
    "latest_hot": lambda told: f"latest row while rows are hot: {told['p50_us']:.0f} µs, p99 {told['p99_us']:.0f} µs",
    "paced": lambda told: (
        f"a stream of {told['rows_s']:,.0f} rows/s: durable after {told['p50_ms']:.1f} ms, p99 {told['p99_ms']:.1f} ms, "
        f"on {told['core']:.0%} of a core"
    ),
    "csv": lambda told: f"CSV.gz file to validated, stored rows: {told['rows_s']:,.0f} rows/s",
}
"""What only this project is asked, and how it is told."""


def extras(systems: Systems) -> list[str]:
    """Return a line for each further figure of a system."""
    return [
        f"{_name(system)}, {shown(system['figures'][name])}"
        for system in systems.values()
        for name, shown in EXTRAS.items()
        if name in system.get("figures", {})
    ]


def claims_table(claims: Sequence[Claim]) -> str:
    """Return claims as aligned text."""
    words = {True: "holds", False: "MISSED", None: "not measured"}
    return "\n".join(f"{one.what:52} {one.figure:>28}   {one.limit:14} {words[one.holds]}" for one in claims)


def markdown(run: Mapping[str, Any]) -> str:
    """Return a run as a Markdown page: a table for each set of rows, and what each system guarantees and does not do."""
    parts = [
        "# The store beside other systems",
        f"{run['machine']}. Medians of {run['rounds']} rounds, in which the systems take turns, each in a process of its own.",
    ]
    for name, systems in run["sets"].items():
        measured = {key: system for key, system in systems.items() if system.get("figures")}
        rows = max(system["rows"] for system in measured.values())
        parts.append(f"## {name}: {rows:,} rows")
        lines = [
            "| system | " + " | ".join(heading for heading, *_ in COLUMNS) + " |",
            "|---|" + "---:|" * len(COLUMNS),
        ]
        lines += ["| " + " | ".join([_name(system), *_cells(system)]) + " |" for system in measured.values()]
        parts.append("\n".join(lines))
        fewer = [
            f"{_name(system)} was given {system['rows']:,} rows"
            for system in measured.values()
            if system["rows"] < rows
        ]
        if fewer:
            parts.append("; ".join(fewer) + ": all would take minutes a round.")
        if notes := [*extras(systems), *_skipped(systems)]:
            parts.append("\n".join(f"- {line}" for line in notes))
    known = {
        name: system for systems in run["sets"].values() for name, system in systems.items() if "durable" in system
    }
    lines = ["| system | a write that has returned is | what it does not do |", "|---|---|---|"]
    lines += [f"| {_name(system)} | {system['durable']} | {system['lacks'] or '-'} |" for system in known.values()]
    parts.append("\n".join(lines))
    return "\n\n".join(parts) + "\n"
