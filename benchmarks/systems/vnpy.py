"""vnpy with vnpy_sqlite."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa

from systems.rows import split
from systems.system import System

__all__ = ["Vnpy"]

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Vnpy(System):
    """Its own tick objects in, its own objects out."""

    title = "vnpy_sqlite"
    durable = "SQLite's defaults: a rollback journal, fsync at each commit"
    lacks = "binary floats, microseconds; of rows at one time the last one stays; takes objects, not Arrow; no latest row, no bars from ticks"
    most_rows = 30_000
    consumes = True
    kinds = ("quotes",)

    def open(self, folder: Path) -> None:
        # It keeps one database for each home, found when it is imported: a second folder means pointing it there by hand.
        home = folder / ".vntrader"
        home.mkdir(exist_ok=True)
        here = Path.cwd()
        os.chdir(folder)
        try:
            import vnpy_sqlite.sqlite_database as module
            from vnpy.trader.constant import Exchange
        finally:
            os.chdir(here)
        self.exchange = Exchange.NASDAQ
        if not module.db.is_closed():
            module.db.close()
        module.db.init(str(home / "database.db"))
        self.database = module.SqliteDatabase()
        self.module = module

    def make_input(self) -> list[list[Any]]:
        return [self._ticks(symbol, part) for symbol, part in split(self.rows.table)]

    def _ticks(self, symbol: str, part: pa.Table) -> list[Any]:
        from vnpy.trader.constant import Exchange
        from vnpy.trader.object import TickData

        times = part.column("timestamp").cast(pa.int64()).to_pylist()
        unit = 10.0 ** self.rows.scales["bid"]
        names = ("bid", "ask", "bid_size", "ask_size")
        rows = zip(times, *(part.column(name).to_pylist() for name in names), strict=True)
        return [
            TickData(
                gateway_name="benchmark",
                symbol=symbol,
                exchange=Exchange.NASDAQ,
                datetime=EPOCH + timedelta(microseconds=ns // 1000),
                bid_price_1=bid / unit,
                ask_price_1=ask / unit,
                bid_volume_1=float(bid_size),
                ask_volume_1=float(ask_size),
            )
            for ns, bid, ask, bid_size, ask_size in rows
        ]

    def write(self, given: list[list[Any]]) -> None:
        for ticks in given:
            self.database.save_tick_data(ticks)

    def again(self, given: list[list[Any]]) -> None:
        self.write(given)

    def close(self) -> None:
        self.module.db.close()

    def count(self) -> int:
        return self.module.DbTickData.select().count()

    def records(self, symbol: str, start_ns: int, end_ns: int) -> Sequence[Any]:
        start, end = (
            datetime.fromtimestamp(ns / 1e9, tz=UTC).astimezone().replace(tzinfo=None) for ns in (start_ns, end_ns)
        )
        return self.database.load_tick_data(symbol, self.exchange, start, end)

    def make_single(self, count: int) -> Sequence[Any]:
        parts = split(self.rows.first(count).table)
        return sorted(
            (tick for symbol, part in parts for tick in self._ticks(symbol, part)), key=lambda one: one.datetime
        )

    def live(self, singles: Sequence[Any], deadline: float) -> int:
        for done, tick in enumerate(singles, 1):
            self.database.save_tick_data([tick], stream=True)
            if time.perf_counter() > deadline:
                return done
        return len(singles)
