"""Measures the memory and the disk cache beside other caches, in one process, turn by turn.

``python benchmarks/cache.py --prepare`` makes the environment of the peers once; ``python benchmarks/cache.py`` compares and prints tables. Every
figure is the median of the rounds, in which all take turns, and is told as a multiple of what a plain dict, or diskcache by itself, takes in
the same round: ratios travel between machines. ``--out FOLDER`` keeps JSON, Markdown and plots; ``--check`` exits with 1 when an aim is missed.
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

import cache_report
import environment

ENVIRONMENT = environment.CACHE / "caches"


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Measure in the interpreter of the peers, whose packages then are all in one process."""
    python = environment.python_of(options.env.absolute())
    if not python.exists():
        sys.exit("no environment of peers: run with --prepare first")
    path = os.pathsep.join(filter(None, [str(HERE.parent), os.environ.get("PYTHONPATH", "")]))
    command = [str(python), str(HERE / "cache_measures.py"), str(options.rounds), str(options.requests)]
    done = subprocess.run(command, env=os.environ | {"PYTHONPATH": path}, stdout=subprocess.PIPE, text=True, check=True)
    figures: dict[str, Any] = json.loads(done.stdout)
    return figures


def keep(run: dict[str, Any], out: Path, peers: Path) -> None:
    """Write a run to *out*: figures, tables and, where there is matplotlib, plots."""
    out.mkdir(parents=True, exist_ok=True)
    figures = out / "cache.json"
    figures.write_text(json.dumps(run, indent=2) + "\n", encoding="utf-8")
    (out / "cache.md").write_text(cache_report.markdown(run), encoding="utf-8")
    done = subprocess.run(
        [str(environment.python_of(peers)), str(HERE / "cache_plot.py"), str(figures), str(out)], check=False
    )
    if done.returncode:
        print("no plot: matplotlib is missing from the environment of the peers", file=sys.stderr)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--requests", type=int, default=1_000_000, help="requests of each trace of hit ratios")
    parser.add_argument("--out", type=Path, help="folder for JSON, Markdown and plots")
    parser.add_argument("--env", type=Path, default=ENVIRONMENT, help="folder of the peers' environment")
    parser.add_argument("--prepare", action="store_true", help="make the peers' environment and stop")
    parser.add_argument("--check", action="store_true", help="exit with 1 when an aim is missed")
    options = parser.parse_args()
    if options.prepare:
        environment.prepare(options.env, "cache.txt")
        return
    run = measure(options)
    run["machine"] = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores"
    run["aims"] = cache_report.judge(run)
    print(cache_report.text(run))
    if options.out:
        keep(run, options.out, options.env.absolute())
    if options.check and not all(aim["holds"] for aim in run["aims"]):
        sys.exit(1)


if __name__ == "__main__":
    main()
