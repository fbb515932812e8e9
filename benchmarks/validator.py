"""Measures the rules beside other validators: the same five checks of quotes, in one process, turn by turn.

``python benchmarks/validator.py --prepare`` makes the environment of the peers once; ``python benchmarks/validator.py`` compares and prints a
table. Every figure is the median of the rounds, in which all take turns, and each must find the same bad rows. ``--out FOLDER`` keeps JSON,
Markdown and a plot; ``--check`` exits with 1 when an aim is missed; ``--rows 100000`` is the short form.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

import environment

ENVIRONMENT = environment.CACHE / "validators"
AHEAD = 1.5
"""How many times as fast as the fastest peer this project aims to be."""
MASKS_MS = 60.0
"""Milliseconds that the rules of level standard about rows may take for a million quotes with decimals."""
SCALAR_US = 15.0
"""Microseconds that all rules of level standard may take for one live quote."""


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Measure in the interpreter of the peers, whose packages then are all in one process."""
    python = environment.python_of(options.env.absolute())
    if not python.exists():
        sys.exit("no environment of peers: run with --prepare first")
    path = os.pathsep.join(filter(None, [str(HERE.parent), os.environ.get("PYTHONPATH", "")]))
    command = [str(python), str(HERE / "validator_measures.py"), str(options.rows), str(options.rounds)]
    done = subprocess.run(command, env=os.environ | {"PYTHONPATH": path}, stdout=subprocess.PIPE, text=True, check=True)
    run: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return run | {"machine": platform.machine(), "cpus": os.cpu_count(), "python": platform.python_version()}


def misses(run: dict[str, Any]) -> list[str]:
    """Say which aims are missed."""
    found = []
    ours = run["five checks"]["this project"]
    peers = {name: ms for name, ms in run["five checks"].items() if name != "this project" and ms is not None}
    if peers and (fastest := min(peers, key=lambda name: peers[name])) and peers[fastest] < AHEAD * ours:
        found.append(
            f"five checks: {ours:.1f} ms, and {fastest} takes {peers[fastest]:.1f} ms, less than {AHEAD} times that"
        )
    if run["masks"] > (most := MASKS_MS * run["rows"] / 10**6):
        found.append(f"masks: {run['masks']:.1f} ms, more than {most:.1f}")
    if run["scalar"] > SCALAR_US:
        found.append(f"one quote: {run['scalar']:.1f} us, more than {SCALAR_US}")
    return found


def markdown(run: dict[str, Any]) -> str:
    """Return the run as a page."""
    ours = run["five checks"]["this project"]
    lines = [
        "# Rules beside other validators",
        "",
        f"Five checks of {run['rows']:,} quotes of which {run['bad']:.1%} are bad, median of {run['rounds']} rounds.",
        "",
        "| validator | version | ms | times ours |",
        "|---|---|--:|--:|",
    ]
    for name, ms in sorted(run["five checks"].items(), key=lambda item: item[1] or float("inf")):
        figures = "not run | |" if ms is None else f"{ms:.1f} | {ms / ours:.1f} |"
        lines.append(f"| {name} | {run['versions'].get(name, '')} | {figures}")
    lines += [
        "",
        f"All rules about rows at level standard, decimals of Arrow: {run['masks']:.1f} ms. All rules, series included: {run['all']:.1f} ms.",
        f"One live quote by all rules of level standard: {run['scalar']:.1f} us.",
        "",
        f"{run['machine']}, {run['cpus']} processors, Python {run['python']}.",
    ]
    return "\n".join(lines) + "\n"


def keep(run: dict[str, Any], out: Path, peers: Path) -> None:
    """Write a run to *out*: figures, tables and, where there is matplotlib, a plot."""
    out.mkdir(parents=True, exist_ok=True)
    figures = out / "validator.json"
    figures.write_text(json.dumps(run, indent=2) + "\n", encoding="utf-8")
    (out / "validator.md").write_text(markdown(run), encoding="utf-8")
    done = subprocess.run(
        [str(environment.python_of(peers)), str(HERE / "validator_plot.py"), str(figures), str(out)], check=False
    )
    if done.returncode:
        print("no plot: matplotlib is missing from the environment of the peers", file=sys.stderr)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, help="folder for JSON, Markdown and plot")
    parser.add_argument("--env", type=Path, default=ENVIRONMENT, help="folder of the peers' environment")
    parser.add_argument("--prepare", action="store_true", help="make the peers' environment and stop")
    parser.add_argument("--check", action="store_true", help="exit with 1 when an aim is missed")
    options = parser.parse_args()
    if options.prepare:
        environment.prepare(options.env.absolute(), "validator.txt")
        return
    run = measure(options)
    print(markdown(run))
    if options.out:
        keep(run, options.out, options.env.absolute())
    missed = misses(run)
    for miss in missed:
        print(f"missed: {miss}", file=sys.stderr)
    if options.check and missed:
        sys.exit(1)


if __name__ == "__main__":
    main()
