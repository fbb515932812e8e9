"""SQL over stored quotes: a group over all of them beside DuckDB on a table of its own, and an hour of one symbol beside a selection.

`python benchmarks/sql.py 20000000` writes that many made-up quotes to a database and to a file of DuckDB, and asks both in turn. Times are the
best of fifteen, on the clock and of the processor, with everything open and read before. The hour is an Arrow table each time: of a statement on a
connection that is open, of a selection, and of DuckDB over a table of that hour in memory, which is the least that any statement takes. It is read
once as it is, and once with no segment kept in memory.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

import scale

import fpa_core

GROUP = "select symbol, avg(ask - bid) as spread, count(*) as n from quotes group by symbol order by symbol"
HOUR = (
    "select symbol, ts_ns, bid, ask from quotes where symbol = 'SYM07' "
    "and timestamp >= '2024-05-01 14:00:00Z' and timestamp < '2024-05-01 15:00:00Z'"
)
TIMES = 15


def run(rows: int, folder: Path) -> None:
    """Write the quotes, if they are not there, and print the times."""
    path, own = folder / "scale.db", folder / "own.duckdb"
    if not path.exists():
        scale._write(rows, folder)  # noqa: SLF001  # the benchmark of writing
    connection = duckdb.connect(str(own))
    with fpa_core.open(path) as data:
        if not connection.execute("show tables").fetchall():
            connection.register("stored", data.sql("select * from quotes order by symbol, ts_ns").reader())
            connection.execute("create table quotes as select * from stored")
        assert data.sql(GROUP).to_arrow().equals(connection.sql(GROUP).to_arrow_table())
        print(f"{'':<46}{'clock, ms':>11}{'processor, ms':>15}")
        ours = _told("group of all, fpa sql", lambda: data.sql(GROUP).to_arrow())
        theirs = _told("group of all, DuckDB's own table", lambda: connection.sql(GROUP).to_arrow_table())
        print(f"{'':<46}{ours[0] / theirs[0]:>10.2f}x{ours[1] / theirs[1]:>14.2f}x")
    for kept in (64 * 2**20, 0):
        print(f"with {kept // 2**20} MiB of segments in memory")
        with fpa_core.open(config={"store": {"path": str(path), "read_cache": kept}}) as data:
            _hour(data, connection)
    connection.close()


def _hour(data: fpa_core.DataLayer, connection: Any) -> None:
    """Print the times for an hour of one symbol."""
    hour = data.select(
        "quotes",
        "SYM07",
        start="2024-05-01T14:00:00Z",
        end="2024-05-01T15:00:00Z",
        columns=["symbol", "timestamp", "bid", "ask"],
    )
    table = data.sql(HOUR.replace("select symbol, ts_ns", "select symbol, timestamp, ts_ns")).to_arrow()
    memory = duckdb.connect()
    memory.register("quotes", table)
    assert data.sql(HOUR).to_arrow().num_rows == hour.count() == table.num_rows
    asked = _told("an hour of a symbol, fpa sql", lambda: data.sql(HOUR).to_arrow())
    beside = {
        "Selection": lambda: pa.Table.from_batches(hour.batches()),
        "DuckDB's own table": lambda: connection.sql(HOUR).to_arrow_table(),
        "DuckDB, the hour in memory": lambda: memory.sql(HOUR).to_arrow_table(),
    }
    for name, work in beside.items():
        taken = _told(f"an hour of a symbol, {name}", work)
        print(f"{'':<46}{asked[0] / taken[0]:>10.2f}x{asked[1] / taken[1]:>14.2f}x")
    memory.close()


def _told(name: str, work: Callable[[], Any]) -> tuple[float, float]:
    clock, processor = [], []
    for _ in range(TIMES):
        begun, spent = time.perf_counter(), time.process_time()
        work()
        clock.append(time.perf_counter() - begun)
        processor.append(time.process_time() - spent)
    print(f"{name:<46}{1_000 * min(clock):>11.3f}{1_000 * min(processor):>15.3f}")
    return min(clock), min(processor)


if __name__ == "__main__":
    wanted = int(sys.argv[1]) if len(sys.argv) > 1 else 20_000_000
    if len(sys.argv) > 2:
        run(wanted, Path(sys.argv[2]))
    else:
        with tempfile.TemporaryDirectory(prefix="sql-") as made:
            run(wanted, Path(made))
