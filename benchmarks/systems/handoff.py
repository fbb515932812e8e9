"""The plain schema of benchmarks/handoff_schema.py: one table with a surrogate key, driven by sqlite3."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import handoff_schema

from fpa_core.arrow.conversion import from_table
from fpa_core.kinds import KINDS
from fpa_core.models import Quote
from fpa_core.numbers import from_ns
from systems.ours import as_kind
from systems.system import System

__all__ = ["Handoff"]


class Handoff(System):
    """Texts in a table with a surrogate key and a unique index."""

    title = "handoff schema, sqlite3"
    durable = "SQLite's rollback journal with synchronous=FULL: fsync at each commit"
    lacks = "takes records, not Arrow; microseconds; of rows at one time the first one stays"
    kinds = ("quotes",)

    def open(self, folder: Path) -> None:
        self.path = folder / "handoff.db"

    def make_input(self) -> list[Quote]:
        return from_table(KINDS["quotes"], as_kind(self.rows))

    def write(self, given: list[Quote]) -> None:
        handoff_schema.save(self.path, given)

    def _query(self, sql: str, *parameters: Any) -> list[Any]:
        connection = sqlite3.connect(self.path)
        try:
            return connection.execute(sql, parameters).fetchall()
        finally:
            connection.close()

    def count(self) -> int:
        return self._query("SELECT count(*) FROM quotes")[0][0]

    def records(self, symbol: str, start_ns: int, end_ns: int) -> Sequence[Quote]:
        return handoff_schema.read(self.path, symbol, from_ns(start_ns).isoformat(), from_ns(end_ns).isoformat())

    def columns(self, symbol: str, start_ns: int, end_ns: int) -> Any:
        sql = (
            "SELECT timestamp, bid, ask, bid_size, ask_size FROM quotes WHERE symbol = ? AND timestamp >= ? "
            "AND timestamp < ? ORDER BY timestamp"
        )
        rows = self._query(sql, symbol, from_ns(start_ns).isoformat(), from_ns(end_ns).isoformat())
        columns = list(zip(*rows, strict=True))
        return columns[0]

    def scan(self) -> int:
        rows = self._query("SELECT symbol, timestamp, bid, ask, bid_size, ask_size FROM quotes")
        columns = list(zip(*rows, strict=True))
        return len(columns[0])

    def latest(self, symbol: str) -> Any:
        return self._query("SELECT * FROM quotes WHERE symbol = ? ORDER BY timestamp DESC LIMIT 1", symbol)[0]

    def make_single(self, count: int) -> Sequence[Quote]:
        return from_table(KINDS["quotes"], as_kind(self.rows.first(count)))

    def live(self, singles: Sequence[Quote], deadline: float) -> int:
        handoff_schema.save(self.path, [])
        connection = sqlite3.connect(self.path)
        connection.execute("PRAGMA synchronous = FULL")
        sql = "INSERT OR IGNORE INTO quotes (symbol, timestamp, bid, ask, bid_size, ask_size) VALUES (?, ?, ?, ?, ?, ?)"
        done = 0
        for q in singles:
            with connection:
                row = (q.symbol, q.timestamp.isoformat(), str(q.bid), str(q.ask), str(q.bid_size), str(q.ask_size))
                connection.execute(sql, row)
            done += 1
            if time.perf_counter() > deadline:
                break
        connection.close()
        return done
