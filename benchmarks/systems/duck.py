"""DuckDB."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import duckdb
import pyarrow as pa

from systems.rows import plain_records
from systems.system import System

__all__ = ["Duck", "DuckSorted"]


class Duck(System):
    """One file, prices as 64-bit integers, no key: its fastest form (a primary key makes writing five times slower)."""

    title = "DuckDB"
    durable = "fsync at each commit"
    lacks = "no key: the same rows again are doubled; the scale of the integers is the caller's business"
    order: ClassVar[str] = ""

    def open(self, folder: Path) -> None:
        self.path = folder / "duck.db"
        self.connection = duckdb.connect(str(self.path))
        kinds = {"symbol": "VARCHAR", "timestamp": "TIMESTAMP_NS"} | dict.fromkeys(self.rows.scales, "BIGINT")
        self.names = self.rows.table.schema.names
        columns = ", ".join(f'"{name}" {kinds.get(name, "VARCHAR")}' for name in self.names)
        self.connection.execute(f"CREATE TABLE IF NOT EXISTS t ({columns})")
        self.range = 'SELECT * EXCLUDE symbol FROM t WHERE symbol = ? AND "timestamp" >= ? AND "timestamp" < ? ORDER BY "timestamp"'

    def make_input(self) -> pa.Table:
        place = self.rows.table.schema.get_field_index("timestamp")
        times = self.rows.table.column("timestamp").cast(pa.timestamp("ns"))
        return self.rows.table.set_column(place, "timestamp", times)

    def write(self, given: pa.Table) -> None:
        self.connection.register("given", given)
        self.connection.execute(f"INSERT INTO t SELECT * FROM given {self.order}")
        self.connection.unregister("given")

    def close(self) -> None:
        self.connection.execute("CHECKPOINT")
        self.connection.close()

    def count(self) -> int:
        return self._one("SELECT count(*) FROM t")

    def _one(self, sql: str) -> Any:
        return self.connection.execute(sql).fetchall()[0][0]

    def columns(self, symbol: str, start_ns: int, end_ns: int) -> pa.Table:
        return _fetched(self.connection.execute(self.range, [symbol, _stamp(start_ns), _stamp(end_ns)]))

    def records(self, symbol: str, start_ns: int, end_ns: int) -> Sequence[Any]:
        return plain_records(symbol, self.columns(symbol, start_ns, end_ns), self.rows.scales)

    def scan(self) -> int:
        return _fetched(self.connection.execute("SELECT * FROM t")).num_rows

    def latest(self, symbol: str) -> Any:
        sql = 'SELECT * FROM t WHERE symbol = ? ORDER BY "timestamp" DESC LIMIT 1'
        return self.connection.execute(sql, [symbol]).fetchall()[0]

    def bars(self, symbols: Sequence[str]) -> int:  # noqa: ARG002  # one statement does all
        value = "bid + ask" if self.rows.kind == "quotes" else "price"
        sql = f"""
            SELECT symbol, epoch_ns("timestamp") // 60000000000 AS minute, arg_min({value}, "timestamp"), max({value}),
                min({value}), arg_max({value}, "timestamp")
            FROM t GROUP BY ALL ORDER BY ALL
        """
        return _fetched(self.connection.execute(sql)).num_rows

    def make_single(self, count: int) -> Sequence[Any]:
        columns = self.make_input().slice(0, count)
        times = columns.column("timestamp").cast(pa.int64()).to_pylist()
        columns = columns.set_column(1, "timestamp", pa.array([_stamp(ns) for ns in times], pa.string()))
        return list(zip(*(column.to_pylist() for column in columns.columns), strict=True))

    def live(self, singles: Sequence[Any], deadline: float) -> int:
        sql = f"INSERT INTO t VALUES ({', '.join('?' * len(self.names))})"
        for done, row in enumerate(singles, 1):
            self.connection.execute(sql, row)
            if time.perf_counter() > deadline:
                return done
        return len(singles)


class DuckSorted(Duck):
    """The same, sorted by symbol and time as it is written."""

    title = "DuckDB, sorted"
    order = 'ORDER BY symbol, "timestamp"'


def _stamp(ns: int) -> str:
    """Return a time as the text DuckDB takes: its Python API has no type for nanoseconds."""
    return f"{time.strftime('%Y-%m-%d %H:%M:%S', time.gmtime(ns // 10**9))}.{ns % 10**9:09}"


def _fetched(result: Any) -> pa.Table:
    return result.to_arrow_table() if hasattr(result, "to_arrow_table") else result.fetch_arrow_table()
