"""Draws the figures of the validators: run by validator.py in the environment of the peers, which has matplotlib."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")

from matplotlib import pyplot as plt


def main() -> None:
    run = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    measured = {name: ms for name, ms in run["five checks"].items() if ms is not None}
    names = sorted(measured, key=lambda name: measured[name], reverse=True)
    figure, axes = plt.subplots(figsize=(7, 0.6 * len(names) + 1.2))
    colours = ["#1f6f8b" if name == "this project" else "#b8c4cc" for name in names]
    bars = axes.barh(names, [measured[name] for name in names], color=colours)
    axes.bar_label(bars, fmt="%.0f ms", padding=3)
    axes.set_xscale("log")
    axes.margins(x=0.2)
    axes.set_title(f"Five checks of {run['rows']:,} quotes, {run['bad']:.0%} bad", loc="left", fontsize=11)
    axes.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(Path(sys.argv[2]) / "validator.svg")


if __name__ == "__main__":
    main()
