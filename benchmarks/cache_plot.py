"""Draws the figures of ``cache.py``: ``python cache_plot.py cache.json FOLDER`` writes cache.png and cache.svg (needs matplotlib)."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
mpl.rcParams.update({"svg.hashsalt": "cache", "svg.fonttype": "none", "font.size": 9, "font.family": "DejaVu Sans"})

from matplotlib import pyplot as plt

OURS, PEER = "#0b5cad", "#b9c0c8"
TRACES = {"zipf": "Zipf(1.0)", "scan": "with a one-hit scan", "shift": "after a shift of favourites"}


def main() -> None:
    run = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    out = Path(sys.argv[2])
    figure = draw(run)
    figure.savefig(out / "cache.png", dpi=150)
    figure.savefig(out / "cache.svg", metadata={"Date": None})


def draw(run: dict[str, Any]) -> Any:
    """Return a figure: how long a hit and a store take, and how often each policy hits."""
    figure, axes = plt.subplots(2, 3, figsize=(15, 7.5), layout="constrained")
    for axis, what, title in zip(axes[0], ("get", "set"), ("A hit", "Storing a new key"), strict=False):
        found = [
            (one["title"], one[what]["ratio"], name in ("fpa", "backend"))
            for name, one in run["speeds"].items()
            if one[what]["ns"]
        ]
        _bars(axis, sorted(found, key=lambda one: -one[1]), title, "times a plain dict, less is better", log=True)
    disk = [
        (f"{what}, {value}", figures[what]["ratio"], True)
        for what in ("set", "get")
        for value, figures in run["disk"].items()
    ]
    _bars(axes[0][2], disk, "The disk cache", "times diskcache by itself, less is better", log=False)
    axes[0][2].axvline(1, color="#555555", linewidth=0.8, linestyle="--")
    for axis, (trace, title) in zip(axes[1], TRACES.items(), strict=True):
        found = [(one["title"], one[trace], name.startswith("fpa")) for name, one in run["ratios"].items()]
        _bars(axis, sorted(found, key=lambda one: one[1]), f"Hit ratio: {title}", "share of requests, more is better")
    figure.suptitle("Caches side by side; the best on top", fontsize=13, fontweight="bold")
    figure.get_layout_engine().set(w_pad=0.12, h_pad=0.1)
    figure.supxlabel(
        f"{run['machine']}, Python {run['python']}; medians of {run['rounds']} rounds in one process; "
        f"{run['requests']:,} requests of 100,000 keys, capacity 10,000",
        fontsize=9,
        color="#555555",
    )
    return figure


def _bars(axis: Any, found: list[tuple[str, float, bool]], title: str, label: str, *, log: bool = False) -> None:
    labels, values, ours = zip(*found, strict=True)
    bars = axis.barh(labels, values, color=[OURS if own else PEER for own in ours], height=0.72)
    if log:
        axis.set_xscale("log")
        axis.set_xlim(min(values) / 1.5, max(values) * 3)
    else:
        axis.set_xlim(0, max(values) * 1.18)
    axis.bar_label(bars, [f"{value:.3g}" for value in values], padding=3, fontsize=8.5)
    axis.set_title(title, fontsize=10.5, fontweight="bold", loc="left")
    axis.set_xlabel(label)
    axis.tick_params(axis="y", length=0)
    axis.minorticks_off()
    axis.spines[["top", "right", "left"]].set_visible(False)
    for tick, own in zip(axis.get_yticklabels(), ours, strict=True):
        tick.set_fontweight("bold" if own else "normal")


if __name__ == "__main__":
    main()
