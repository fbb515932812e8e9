"""The Parquet catalog of NautilusTrader."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
from nautilus_trader.model.data import QuoteTick
from nautilus_trader.model.identifiers import InstrumentId
from nautilus_trader.model.objects import FIXED_PRECISION, FIXED_SCALAR
from nautilus_trader.persistence.catalog import ParquetDataCatalog

from systems.rows import split
from systems.system import System

__all__ = ["Nautilus"]


class Nautilus(System):
    """Its own quote objects in, its own objects out."""

    title = "NautilusTrader catalog"
    durable = "none: files are left to the operating system"
    lacks = "takes objects, not Arrow; a batch that shares time with a file is refused; no latest row, no bars from stored quotes"
    kinds = ("quotes",)

    def open(self, folder: Path) -> None:
        self.catalog = ParquetDataCatalog(str(folder / "catalog"))

    def make_input(self) -> list[list[QuoteTick]]:
        return [self._ticks(symbol, part) for symbol, part in split(self.rows.table)]

    def _ticks(self, symbol: str, part: pa.Table) -> list[QuoteTick]:
        instrument = InstrumentId.from_str(f"{symbol}.XNAS")
        times = part.column("timestamp").cast(pa.int64()).to_pylist()
        precision = self.rows.scales["bid"]
        unit = 10 ** (FIXED_PRECISION - precision)
        whole = int(FIXED_SCALAR)
        names = ("bid", "ask", "bid_size", "ask_size")
        rows = zip(times, *(part.column(name).to_pylist() for name in names), strict=True)
        return [
            QuoteTick.from_raw(
                instrument,
                bid * unit,
                ask * unit,
                precision,
                precision,
                bid_size * whole,
                ask_size * whole,
                0,
                0,
                ns,
                ns,
            )
            for ns, bid, ask, bid_size, ask_size in rows
        ]

    def write(self, given: list[list[QuoteTick]]) -> None:
        for ticks in given:
            self.catalog.write_data(ticks)

    def count(self) -> int:
        return len(self.catalog.quote_ticks())

    def records(self, symbol: str, start_ns: int, end_ns: int) -> Sequence[Any]:
        # Its range includes both ends.
        return self.catalog.quote_ticks(instrument_ids=[f"{symbol}.XNAS"], start=start_ns, end=end_ns - 1)

    def make_single(self, count: int) -> Sequence[Any]:
        parts = split(self.rows.first(count).table)
        return sorted(
            (tick for symbol, part in parts for tick in self._ticks(symbol, part)), key=lambda one: one.ts_init
        )

    def live(self, singles: Sequence[Any], deadline: float) -> int:
        for done, tick in enumerate(singles, 1):
            self.catalog.write_data([tick])
            if time.perf_counter() > deadline:
                return done
        return len(singles)
