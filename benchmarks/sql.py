"""SQL over stored quotes: a group over all of them beside DuckDB on a table of its own, and an hour of one symbol beside a selection.

`python benchmarks/sql.py 20000000` writes that many made-up quotes to a database and to a file of DuckDB, and asks both in turn. Times are the
best of five, on the clock and of the processor; the first reading is apart, since the operating system has nothing in memory then.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

import scale

import fpa_core

GROUP = "select symbol, avg(ask - bid) as spread, count(*) as n from quotes group by symbol order by symbol"
HOUR = (
    "select symbol, ts_ns, bid, ask from quotes where symbol = 'SYM07' "
    "and timestamp >= '2024-05-01 14:00:00Z' and timestamp < '2024-05-01 15:00:00Z'"
)
TIMES = 5


def run(rows: int, folder: Path) -> None:
    """Write the quotes, if they are not there, and print the times."""
    path, own = folder / "scale.db", folder / "own.duckdb"
    if not path.exists():
        scale._write(rows, folder)  # noqa: SLF001  # the benchmark of writing
    with fpa_core.open(path) as data:
        connection = duckdb.connect(str(own))
        if not connection.execute("show tables").fetchall():
            answer = data.sql("select * from quotes order by symbol, ts_ns").reader()
            connection.register("stored", answer)
            connection.execute("create table quotes as select * from stored")
        hour = data.select(
            "quotes",
            "SYM07",
            start="2024-05-01T14:00:00Z",
            end="2024-05-01T15:00:00Z",
            columns=["symbol", "timestamp", "bid", "ask"],
        )
        assert data.sql(GROUP).to_arrow().equals(connection.sql(GROUP).to_arrow_table())
        assert data.sql(HOUR).to_arrow().num_rows == hour.count()
        print(f"{'':<38}{'clock, s':>10}{'processor, s':>14}")
        ours = _told("group of all, fpa sql", lambda: data.sql(GROUP).to_arrow())
        theirs = _told("group of all, DuckDB's own table", lambda: connection.sql(GROUP).to_arrow_table())
        print(f"{'':<38}{ours[0] / theirs[0]:>9.2f}x{ours[1] / theirs[1]:>13.2f}x")
        asked = _told("an hour of a symbol, fpa sql", lambda: data.sql(HOUR).to_arrow())
        selected = _told("an hour of a symbol, Selection", lambda: _read(hour))
        table = _told("an hour of a symbol, DuckDB's table", lambda: connection.sql(HOUR).to_arrow_table())
        print(f"{'':<38}{asked[0] / selected[0]:>9.2f}x of the selection, {asked[0] / table[0]:.2f}x of DuckDB")
        connection.close()


def _read(selection: Any) -> int:
    """Read a selection from the store, not from the cache."""
    return sum(batch.num_rows for batch in selection.batches())


def _told(name: str, work: Callable[[], Any]) -> tuple[float, float]:
    clock, processor = [], []
    for _ in range(TIMES):
        begun, spent = time.perf_counter(), time.process_time()
        work()
        clock.append(time.perf_counter() - begun)
        processor.append(time.process_time() - spent)
    print(f"{name:<38}{min(clock):>10.4f}{min(processor):>14.4f}")
    return min(clock), min(processor)


if __name__ == "__main__":
    wanted = int(sys.argv[1]) if len(sys.argv) > 1 else 20_000_000
    if len(sys.argv) > 2:
        run(wanted, Path(sys.argv[2]))
    else:
        with tempfile.TemporaryDirectory(prefix="sql-") as made:
            run(wanted, Path(made))
