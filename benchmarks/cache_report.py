"""The figures of ``cache.py`` as tables, and its aims judged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["judge", "markdown", "text"]

Run = Mapping[str, Any]
Table = tuple[str, Sequence[str], Sequence[Sequence[str]]]

SPEED_LIMITS = {"get": 8.0, "set": 20.0}
DISK_LIMITS = {"get": 2.0, "set": 1.5}


def judge(run: Run) -> list[dict[str, Any]]:
    """Return the aims, each with its figure, its limit and whether it holds."""
    speeds, ratios, disk = run["speeds"], run["ratios"], run["disk"]
    found = []

    def aim(what: str, figure: float, limit: float, *, at_least: bool = False) -> None:
        holds = figure >= limit if at_least else figure <= limit
        sign = ">=" if at_least else "<="
        found.append({"what": what, "figure": round(figure, 3), "limit": f"{sign} {limit:g}", "holds": holds})

    for what, limit in SPEED_LIMITS.items():
        for name in ("backend", "fpa"):
            aim(f"{speeds[name]['title']}: {what}, times a dict", speeds[name][what]["ratio"], limit)
        for peer in ("cachetools", "theine", "cashews"):
            if peer in speeds:
                ahead = speeds[peer][what]["ratio"] / speeds["fpa"][what]["ratio"]
                aim(f"{what} of {peer} as a multiple of DataCache's", ahead, 1.0, at_least=True)
    ours, lru = ratios["fpa"], ratios["fpa-lru"]
    aim("hit ratio, Zipf(1.0)", ours["zipf"], 0.775, at_least=True)
    aim("hit ratio with a one-hit scan, above LRU", ours["scan"] - lru["scan"], 0.05, at_least=True)
    aim("hit ratio after a shift, above LRU", ours["shift"] - lru["shift"], 0.0, at_least=True)
    for what, limit in DISK_LIMITS.items():
        for value, figures in disk.items():
            aim(f"disk {what}, {value}, times diskcache", figures[what]["ratio"], limit)
    return found


def tables(run: Run) -> list[Table]:
    """Return each table as its title, its headings and its rows."""
    speeds = [
        [
            one["title"],
            *(f"{one[what]['ns']:,.0f}" for what in ("get", "set")),
            *(f"{one[what]['ratio']:.1f}" for what in ("get", "set")),
        ]
        for one in run["speeds"].values()
        if one["get"]["ns"]
    ]
    ratios = [
        [one["title"], *(f"{one[trace]:.3f}" for trace in ("zipf", "scan", "shift"))] for one in run["ratios"].values()
    ]
    disk = [
        [
            value,
            f"{figures['plain get']['ns'] / 1000:,.0f}",
            *(f"{figures[name]['ratio']:.2f}" for name in ("get", "tagged get")),
            f"{figures['plain set']['ns'] / 1000:,.0f}",
            *(f"{figures[name]['ratio']:.2f}" for name in ("set", "tagged set")),
        ]
        for value, figures in run["disk"].items()
    ]
    aims = [
        [aim["what"], f"{aim['figure']:g}", aim["limit"], "holds" if aim["holds"] else "MISSED"] for aim in run["aims"]
    ]
    return [
        (
            "In memory: a hit, and storing a new key",
            ["cache", "get, ns", "set, ns", "get, times a dict", "set, times a dict"],
            speeds,
        ),
        ("Hit ratios", ["policy", "Zipf(1.0)", "with a one-hit scan", "after a shift"], ratios),
        (
            "On disk, times diskcache by itself",
            ["value", "diskcache get, us", "get", "tagged get", "diskcache set, us", "set", "tagged set"],
            disk,
        ),
        ("Aims", ["aim", "figure", "limit", ""], aims),
    ]


def _foot(run: Run) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in run["versions"].items())
    return (
        f"{run['machine']}, Python {run['python']}; medians of {run['rounds']} rounds in one process, all taking turns; "
        f"{run['requests']:,} requests of 100,000 keys, capacity 10,000; {versions}."
    )


def text(run: Run) -> str:
    """Return the tables aligned, for a terminal."""
    parts = []
    for title, head, body in tables(run):
        lines = [list(head), *body]
        widths = [max(len(str(line[place])) for line in lines) for place in range(len(head))]
        parts.append(
            "\n".join(
                [
                    title,
                    *(
                        "  ".join(
                            cell.ljust(width) if place == 0 else cell.rjust(width)
                            for place, (cell, width) in enumerate(zip(line, widths, strict=True))
                        )
                        for line in lines
                    ),
                ]
            )
        )
    return "\n\n".join([*parts, _foot(run)])


def markdown(run: Run) -> str:
    """Return the tables as a part of a page."""
    parts = ["# Caches side by side", _foot(run)]
    for title, head, body in tables(run):
        lines = ["| " + " | ".join(head) + " |", "|---|" + "---:|" * (len(head) - 1)]
        lines += ["| " + " | ".join(row) + " |" for row in body]
        parts.append(f"## {title}\n\n" + "\n".join(lines))
    return "\n\n".join(parts) + "\n"
