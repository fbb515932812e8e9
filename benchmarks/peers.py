"""Measures this project beside its peers, on the same rows in one run.

``python benchmarks/peers.py --prepare`` makes the peers' environment once; ``python benchmarks/peers.py`` runs the comparison and prints a
table. One process a system; they take turns measure by measure and round by round, and every figure is the median of the rounds, so that
what else the machine does meets all alike. ``--out FOLDER`` keeps JSON, a Markdown table and a plot; ``--check`` exits with 1 when a claim
is missed; ``--scale`` measures instead whether this project's own cost grows in proportion to the rows, and its memory not at all.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

import environment
import realdata
import report
import synthetic
from claims import judge
from measures import MEASURES
from systems.rows import Rows, save
from worker import SYSTEMS

ON_REAL_ROWS = (
    "fpa",
    "fpa-bare",
    "duckdb",
    "duckdb-sorted",
    "arcticdb",
    "arcticdb-arrow",
    "arcticdb-floats",
    "parquet",
)


class Worker:
    """The process of a system, and the figures it has told."""

    def __init__(self, name: str, data: Path, folder: Path, peers: Path) -> None:
        self.name = name
        self.figures: dict[str, dict[str, list[float]]] = {}
        self.skipped: dict[str, str] = {}
        own = SYSTEMS[name][2] is None
        python = Path(sys.executable) if own else environment.python_of(peers)
        self._process: subprocess.Popen[str] | None = None
        if not python.exists():
            self.facts: dict[str, Any] = {"skipped": "no environment of peers: run with --prepare first"}
            return
        path = os.pathsep.join(filter(None, [str(HERE.parent) if own else "", os.environ.get("PYTHONPATH", "")]))
        self._process = subprocess.Popen(
            [str(python), str(HERE / "worker.py"), name, str(data), str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=None if os.environ.get("BENCHMARK_TRACE") else subprocess.DEVNULL,
            text=True,
            env=os.environ | {"PYTHONPATH": path},
        )
        self.facts = self._answer()

    @property
    def runs(self) -> bool:
        """Whether there is something to ask."""
        return "skipped" not in self.facts

    def _answer(self) -> dict[str, Any]:
        assert self._process is not None
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        return json.loads(line) if line else {"skipped": f"its process ended with {self._process.wait()}"}

    def measure(self, measure: str) -> None:
        """Measure one thing once more."""
        name = measure.removeprefix("extra:")
        if name in self.skipped:
            return
        assert self._process is not None
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(f"{measure}\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            self.facts["skipped"] = "its process ended"
            return
        answer = self._answer()
        if "skipped" in answer:
            self.skipped[name] = answer["skipped"]
            return
        for figure, value in answer.items():
            self.figures.setdefault(name, {}).setdefault(figure, []).append(value)

    def medians(self) -> dict[str, dict[str, float]]:
        """Return every figure as the median of its rounds."""
        return {
            measure: {figure: statistics.median(values) for figure, values in figures.items()}
            for measure, figures in self.figures.items()
        }

    def close(self) -> None:
        """End the process."""
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()
            self._process.wait()


def compare(rows: Rows, names: Sequence[str], *, rounds: int, folder: Path, peers: Path) -> dict[str, Any]:
    """Measure systems on the same rows and return facts and figures of each."""
    data = folder / f"{rows.name}.arrow"
    save(rows, data)
    workers = [Worker(name, data, folder / rows.name / name, peers) for name in names]
    try:
        for number in range(rounds):
            for measure in MEASURES:
                _say(f"{rows.name}: round {number + 1} of {rounds}, {measure}")
                for worker in workers:
                    if worker.runs:
                        worker.measure(measure)
            for worker in workers:
                for extra in worker.facts.get("extras", ()):
                    worker.measure(f"extra:{extra}")
    finally:
        _say("")
        for worker in workers:
            worker.close()
    return {
        worker.name: worker.facts | {"figures": worker.medians(), "rounds": worker.figures, "left_out": worker.skipped}
        for worker in workers
    }


def _say(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


def machine() -> str:
    """Return what the figures were taken on."""
    return f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"


def keep(run: dict[str, Any], out: Path, peers: Path) -> None:
    """Write a run to *out*: figures, a table and, where there is matplotlib, a plot."""
    out.mkdir(parents=True, exist_ok=True)
    figures = out / "peers.json"
    figures.write_text(json.dumps(run, indent=2) + "\n", encoding="utf-8")
    (out / "peers.md").write_text(report.markdown(run), encoding="utf-8")
    done = subprocess.run(
        [str(environment.python_of(peers)), str(HERE / "plot.py"), str(figures), str(out)], check=False
    )
    if done.returncode:
        print("no plot: matplotlib is missing from the environment of the peers", file=sys.stderr)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rows", type=int, default=synthetic.DAY_ROWS)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--peers", nargs="+", choices=[*SYSTEMS], default=[*SYSTEMS], metavar="NAME", help="which systems"
    )
    parser.add_argument("--real", action="store_true", help="also on the real quotes and trades of FPA_SHARED_DATA")
    parser.add_argument("--out", type=Path, help="folder for JSON, Markdown and plots")
    parser.add_argument("--work", type=Path, help="folder for the databases; its disk is the one measured")
    parser.add_argument("--env", type=Path, default=environment.CACHE, help="folder of the peers' environment")
    parser.add_argument("--prepare", action="store_true", help="make the peers' environment and stop")
    parser.add_argument("--check", action="store_true", help="exit with 1 when a claim is missed")
    parser.add_argument("--scale", type=int, nargs="*", metavar="ROWS", help="only this project: 1M, 5M and 20M rows")
    parser.add_argument("--csv", action="store_true", help="with --scale: also a CSV file of the most rows")
    options = parser.parse_args()
    if options.prepare:
        environment.prepare(options.env)
        return
    if options.work is not None:
        options.work.mkdir(parents=True, exist_ok=True)
    if options.scale is not None:
        import scale

        holds = scale.run(options.scale or scale.SIZES, csv=options.csv, work=options.work)
        sys.exit(1 if options.check and not holds else 0)
    run: dict[str, Any] = {"machine": machine(), "rounds": options.rounds, "sets": {}}
    names = ["fpa", *(name for name in options.peers if name != "fpa")]
    holds = True
    with tempfile.TemporaryDirectory(prefix="peers-", dir=options.work) as place:
        sets = [Rows("synthetic", "quotes", synthetic.quotes(options.rows), synthetic.SCALES)]
        if options.real and realdata.folder().is_dir():
            sets += [realdata.real_rows(name) for name in realdata.FILES]
        for rows in sets:
            chosen = names if rows.name == "synthetic" else [name for name in names if name in ON_REAL_ROWS]
            systems = compare(rows, chosen, rounds=options.rounds, folder=Path(place), peers=options.env.absolute())
            if rows.name in realdata.FILES:
                systems["fpa"]["figures"]["csv"] = {"rows_s": realdata.csv_rate(rows.name)}
            run["sets"][rows.name] = systems
            judged = judge({name: system["figures"] for name, system in systems.items()}, rows.name)
            run.setdefault("claims", {})[rows.name] = [claim._asdict() for claim in judged]
            print(
                f"{rows.name}: {rows.table.num_rows:,} {rows.kind}; {run['machine']}; medians of {options.rounds} rounds\n"
            )
            print(report.figures_table(systems) + "\n")
            print(report.claims_table(judged) + "\n")
            holds &= all(claim.holds is not False for claim in judged)
    if options.out:
        keep(run, options.out, options.env.absolute())
    if options.check and not holds:
        sys.exit(1)


if __name__ == "__main__":
    main()
