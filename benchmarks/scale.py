"""Whether cost grows in proportion to the rows, and memory not at all: each size in a process of its own, fed a chunk at a time."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

import synthetic
from systems.ours import as_kind
from systems.rows import Rows

__all__ = ["SIZES", "run"]

SIZES = (1_000_000, 5_000_000, 20_000_000)
MOST_SLOWDOWN = 1.5
"""How much longer a row may take in the largest set than in the smallest."""
MOST_GROWTH = 1.5
"""How much more memory the largest set may take than the smallest."""
MOST_CSV_MEMORY = 400.0
"""Megabytes while a CSV file is read, whatever its size."""


def run(sizes: Sequence[int], *, csv: bool = False, work: Path | None = None) -> bool:
    """Print a line for each size, judge the growth, and tell whether it is as it should be."""
    print(
        f"{'rows':>12}  {'write, M rows/s':>16}  {'peak memory, MB':>16}  {'bytes/row':>10}  {'count by reading, M rows/s':>27}  {'peak, MB':>9}"
    )
    told = []
    for rows in sorted(sizes):
        with tempfile.TemporaryDirectory(prefix="scale-", dir=work) as folder:
            wrote, read = _child("write", rows, folder), _child("read", rows, folder)
        told.append((wrote, read))
        print(
            f"{rows:>12,}  {wrote['rows_s'] / 1e6:>16.2f}  {wrote['peak_mb']:>16.0f}  {wrote['bytes_row']:>10.2f}"
            f"  {read['rows_s'] / 1e6:>27.2f}  {read['peak_mb']:>9.0f}"
        )
    (first, first_read), (last, last_read) = told[0], told[-1]
    slower, more = first["rows_s"] / last["rows_s"], last["peak_mb"] / first["peak_mb"]
    read_more = last_read["peak_mb"] / first_read["peak_mb"]
    holds = slower <= MOST_SLOWDOWN and more <= MOST_GROWTH and read_more <= MOST_GROWTH
    print(
        f"\na row of the largest set takes {slower:.2f} x the time of one of the smallest (limit {MOST_SLOWDOWN:g} x)"
    )
    print(
        f"memory {more:.2f} x to write, {read_more:.2f} x to read (limit {MOST_GROWTH:g} x): {'holds' if holds else 'MISSED'}"
    )
    if csv:
        with tempfile.TemporaryDirectory(prefix="scale-", dir=work) as folder:
            told_csv = _child("csv", max(sizes), folder)
        small = told_csv["peak_mb"] < MOST_CSV_MEMORY
        print(
            f"CSV.gz of {max(sizes):,} rows: {told_csv['rows_s']:,.0f} rows/s, peak memory {told_csv['peak_mb']:.0f} MB "
            f"(limit {MOST_CSV_MEMORY:g}): {'holds' if small else 'MISSED'}"
        )
        holds &= small
    return holds


def _child(what: str, rows: int, folder: str) -> dict[str, Any]:
    """Do one thing in a new process, whose peak memory is its own."""
    if what == "csv":
        _write_csv(rows, Path(folder) / "quotes.csv.gz")
    done = subprocess.run(
        [sys.executable, str(HERE / "scale.py"), what, str(rows), folder],
        stdout=subprocess.PIPE,
        check=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(HERE.parent), os.environ.get("PYTHONPATH", "")])},
    )
    return json.loads(done.stdout)


def _write_csv(rows: int, path: Path) -> None:
    from fpa_core.arrow.columns import as_texts, times_as_texts

    with (
        gzip.open(path, "wb", compresslevel=1) as packed,
        io.TextIOWrapper(packed, encoding="ascii", newline="") as text,
    ):
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["symbol", "timestamp", *synthetic.SCALES])
        for table in synthetic.chunks(rows):
            exact = as_kind(Rows("chunk", "quotes", table, synthetic.SCALES))
            numbers = [as_texts(exact.column(name).combine_chunks()) for name in synthetic.SCALES]
            times = times_as_texts(table.column("timestamp").combine_chunks())
            columns = [table.column("symbol"), times, *numbers]
            writer.writerows(zip(*(column.to_pylist() for column in columns), strict=True))


def _write(rows: int, folder: Path) -> dict[str, float]:
    """Write a batch from chunks made as they are needed; making them is not in the time."""
    from fpa_core.kinds import QUOTES
    from fpa_core.store import DataStore
    from fpa_plugins.sqlite.plugin import SqliteOptions, open_store

    taken = 0.0
    with DataStore(open_store(SqliteOptions(path=folder / "scale.db"))) as store:
        with store.batch(origin="scale") as batch:
            for table in synthetic.chunks(rows):
                given = as_kind(Rows("chunk", "quotes", table, synthetic.SCALES))
                begun = time.perf_counter()
                batch.write(QUOTES, given)
                taken += time.perf_counter() - begun
            begun = time.perf_counter()
        taken += time.perf_counter() - begun
        assert batch.receipt.inserted == rows
    size = sum(path.stat().st_size for path in folder.iterdir())
    return {"rows_s": rows / taken, "bytes_row": size / rows}


def _read(rows: int, folder: Path) -> dict[str, float]:
    from fpa_core.store import DataStore
    from fpa_plugins.sqlite.plugin import SqliteOptions, open_store

    with DataStore(open_store(SqliteOptions(path=folder / "scale.db"))) as store:
        begun = time.perf_counter()
        found = sum(batch.num_rows for batch in store.select("quotes").batches())
        taken = time.perf_counter() - begun
    assert found == rows
    return {"rows_s": rows / taken}


def _csv(rows: int, folder: Path) -> dict[str, float]:
    from fpa_core.layer import open_layer

    settings = folder / "fpa.toml"
    settings.write_text('[store]\npath = "scale.db"\n', encoding="utf-8")
    with open_layer(settings, environ={}) as data:
        begun = time.perf_counter()
        receipt = data.ingest(folder / "quotes.csv.gz")
        taken = time.perf_counter() - begun
    assert receipt.read == rows
    return {"rows_s": rows / taken}


if __name__ == "__main__":
    work = {"write": _write, "read": _read, "csv": _csv}[sys.argv[1]]
    figures = work(int(sys.argv[2]), Path(sys.argv[3]))
    unit = 1 if sys.platform == "darwin" else 1024
    figures["peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6
    print(json.dumps(figures))
