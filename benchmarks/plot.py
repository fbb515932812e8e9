"""Draws the figures of a comparison: ``python plot.py peers.json FOLDER`` writes peers.png and peers.svg (needs matplotlib)."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
mpl.rcParams.update({"svg.hashsalt": "peers", "svg.fonttype": "none", "font.size": 9, "font.family": "DejaVu Sans"})

from matplotlib import pyplot as plt

PANELS = (
    ("Bulk write", "write", "rows_s", "rows/s", True),
    ("Size on disk", "write", "bytes_row", "bytes/row", False),
    ("One hour of a symbol, to columns", "range_columns", "rows_s", "rows/s", True),
    ("One hour of a symbol, to records", "range_records", "rows_s", "rows/s", True),
    ("Full scan to columns", "scan", "rows_s", "rows/s", True),
    ("Latest row of a symbol, median", "latest", "p50_us", "µs", False),
    ("Single durable writes", "live", "rows_s", "rows/s", True),
    ("The same rows again", "again", "rows_s", "rows/s", True),
    ("1-minute bars of all symbols", "bars", "ms", "ms", False),
)
"""Title, measure, figure, unit, and whether more is better."""

SHORT = {"this project, read_cache = 0": "this project *", "ArcticDB, int64 to Arrow": "ArcticDB, to Arrow"}
"""Titles that are too long for an axis."""

OURS, PEER = "#0b5cad", "#b9c0c8"


def main() -> None:
    run = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    out = Path(sys.argv[2])
    name, systems = next(iter(run["sets"].items()))
    figure = draw(name, {key: system for key, system in systems.items() if system.get("figures")}, run)
    figure.savefig(out / "peers.png", dpi=150)
    figure.savefig(out / "peers.svg", metadata={"Date": None})


def draw(name: str, systems: dict[str, Any], run: dict[str, Any]) -> Any:
    """Return a figure with a panel for each measure, and a bar for each system that has it, the best on top."""
    figure, axes = plt.subplots(3, 3, figsize=(15, 11), layout="constrained")
    for panel, axis in zip(PANELS, axes.flat, strict=True):
        _panel(axis, systems, *panel)
    rows = max(system["rows"] for system in systems.values())
    figure.suptitle(f"{rows:,} {name} quotes; log scales, the best on top", fontsize=13, fontweight="bold")
    figure.get_layout_engine().set(w_pad=0.12, h_pad=0.1)
    figure.supxlabel(
        f"{run['machine']}; medians of {run['rounds']} rounds, the systems taking turns; * with read_cache = 0",
        fontsize=9,
        color="#555555",
    )
    return figure


def _panel(axis: Any, systems: dict[str, Any], title: str, measure: str, name: str, unit: str, more: bool) -> None:
    found = [
        (SHORT.get(system["title"], system["title"]), system["figures"][measure][name], key.startswith("fpa"))
        for key, system in systems.items()
        if measure in system["figures"]
    ]
    found.sort(key=lambda one: one[1], reverse=not more)
    if not found:
        axis.set_axis_off()
        return
    labels, values, ours = zip(*found, strict=True)
    doubled = {system["title"] for system in systems.values() if system["figures"].get(measure, {}).get("doubled")}
    bars = axis.barh(labels, values, color=[OURS if own else PEER for own in ours], height=0.72)
    axis.set_xscale("log")
    axis.set_xlim(min(values) / 2.5, max(values) * (20 if doubled else 5))
    told = [
        f"{_short(value)}{', doubling them' if label in doubled else ''}"
        for label, value in zip(labels, values, strict=True)
    ]
    axis.bar_label(bars, told, padding=3, fontsize=8.5)
    axis.set_title(title, fontsize=10.5, fontweight="bold")
    axis.set_xlabel(f"{unit}, {'more' if more else 'less'} is better")
    axis.tick_params(axis="y", length=0)
    axis.minorticks_off()
    axis.spines[["top", "right", "left"]].set_visible(False)
    for label, own in zip(axis.get_yticklabels(), ours, strict=True):
        label.set_fontweight("bold" if own else "normal")


def _short(value: float) -> str:
    for size, letter in ((1e6, " M"), (1e3, " k")):
        if value >= size:
            return f"{value / size:.3g}{letter}"
    return f"{value:.3g}"


if __name__ == "__main__":
    main()
