"""Measures what the performance page claims, each claim as a ratio or a limit within one run.

``python benchmarks/run.py`` prints a table; ``--json FILE`` keeps the figures too. Run it on a quiet machine: every figure is the median of
several rounds, and things compared take turns within a round. With ``--check`` the exit code is 1 when a limit is missed.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import fpa_core
from fpa_core.demo.day import CLOSE, OPEN, make_day
from fpa_core.layer import open_layer
from fpa_core.models import Quote
from fpa_core.store import DataStore
from fpa_plugins.sqlite.plugin import SqliteOptions, open_store

sys.path.insert(0, str(Path(__file__).parent))
import handoff_schema

ROUNDS = 5
Result = tuple[str, str, str, bool]
"""What was measured, the figure, the limit, and whether it holds."""


def seconds(work: Callable[[], Any]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def make_quotes(count: int) -> list[Quote]:
    """Quotes of five symbols over a trading day, each time used once: the schema compared with would drop the others."""
    step = (CLOSE - OPEN) // count // 1000 * 1000
    return [
        Quote(
            f"S{i % 5}",
            OPEN + i * step,
            Decimal(15_000 + i * 7919 % 400) / 100,
            Decimal(15_002 + i * 7919 % 400) / 100,
            Decimal(100 * (1 + i % 30)),
            Decimal(100 * (1 + i % 17)),
        )
        for i in range(count)
    ]


def bulk_write(rows: int) -> Result:
    """Time records to a committed batch, beside sqlite3 with the plain schema."""
    quotes = make_quotes(rows)
    ratios, rates = [], []
    for _ in range(ROUNDS):
        with (
            tempfile.TemporaryDirectory() as folder,
            DataStore(open_store(SqliteOptions(path=Path(folder) / "a.db"))) as store,
        ):
            plain = seconds(lambda: handoff_schema.save(Path(folder) / "b.db", quotes))
            ours = seconds(lambda: store.save(quotes))
        ratios.append(plain / ours)
        rates.append(rows / ours)
    ratio = statistics.median(ratios)
    return (
        "bulk write of records, against sqlite3 and the plain schema",
        f"{ratio:.2f} x ({statistics.median(rates):,.0f} rows/s)",
        ">= 1 x",
        ratio >= 1,
    )


def csv_to_rows(rows: int) -> Result:
    """Time a gzipped CSV file to validated, committed rows."""
    rates = []
    with tempfile.TemporaryDirectory() as folder:
        path = make_day(Path(folder), quotes=rows, seed=1)[0]
        for number in range(ROUNDS):
            target = Path(folder) / f"{number}.toml"
            target.write_text(f'[store]\npath = "{number}.db"\n', encoding="utf-8")
            with open_layer(target) as data:
                begun = time.perf_counter()
                receipt = data.ingest(path)
                rates.append(receipt.read / (time.perf_counter() - begun))
    rate = statistics.median(rates)
    return "CSV file to validated, stored rows", f"{rate:,.0f} rows/s", ">= 150,000 rows/s", rate >= 150_000


def cached_read(rows: int) -> Result:
    """Time a range read from the cache, beside the same from the database."""
    ratios = []
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "fpa.toml"
        target.write_text("", encoding="utf-8")
        with open_layer(target) as data:
            data.store.save(make_quotes(rows))
            begin, end = OPEN, OPEN + (CLOSE - OPEN) // 6
            for number in range(ROUNDS):
                selection = data.select(Quote, "S1", start=begin + number, end=end)
                uncached = seconds(selection.to_list)
                cached = min(seconds(selection.to_list) for _ in range(5))
                ratios.append(uncached / cached)
    ratio = statistics.median(ratios)
    return f"cached range read of {rows // 30:,} quotes, against uncached", f"{ratio:,.0f} x", ">= 20 x", ratio >= 20


def start_up(arguments: list[str], what: str, limit: float) -> Result:
    """Time a whole interpreter from start to end, less one that does nothing."""
    command = [sys.executable, *arguments]
    times = [seconds(lambda: subprocess.run(command, check=True, capture_output=True)) for _ in range(2 * ROUNDS)]
    taken = statistics.median(times)
    return what, f"{taken * 1000:.0f} ms", f"< {limit * 1000:.0f} ms", taken < limit


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--check", action="store_true", help="exit with 1 when a limit is missed")
    options = parser.parse_args()
    results = [
        bulk_write(options.rows),
        csv_to_rows(options.rows),
        cached_read(options.rows),
        start_up(["-m", "fpa_core", "--help"], "fpa --help", 0.25),
        start_up(["-c", "import fpa_core"], "import fpa_core, interpreter included", 0.15),
    ]
    machine = f"{platform.system()} {platform.machine()}, Python {platform.python_version()}, {fpa_core.__name__} 0.1.0"
    print(f"{machine}; {options.rows:,} rows, medians of {ROUNDS} rounds\n")
    for what, figure, limit, holds in results:
        print(f"{what:62} {figure:>32}   {limit:20} {'holds' if holds else 'MISSED'}")
    if options.json:
        options.json.write_text(json.dumps({"machine": machine, "rows": options.rows, "results": results}, indent=2))
    if options.check and not all(holds for *_, holds in results):
        sys.exit(1)


if __name__ == "__main__":
    main()
