"""ArcticDB on LMDB."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import arcticdb
import numpy as np
import pandas as pd
import pyarrow as pa
from arcticdb import OutputFormat

from systems.rows import bars_of, plain_records, split
from systems.system import System

__all__ = ["Arctic", "ArcticArrow", "ArcticFloats"]

ABSENT = np.iinfo(np.int64).min
"""Stands for null: its integer columns have none."""


class Arctic(System):
    """A frame per symbol, prices as 64-bit integers."""

    title = "ArcticDB, int64"
    durable = "LMDB commits with fsync at each write"
    lacks = "no decimals, no nulls in integers; rows again are an update, which drops whatever else lies in its range"
    floats: ClassVar[bool] = False
    form: ClassVar[OutputFormat] = OutputFormat.PANDAS

    def open(self, folder: Path) -> None:
        self.folder = folder / "arctic"
        self.arctic = arcticdb.Arctic(f"lmdb://{self.folder}?map_size=8GB")
        self.library = self.arctic.get_library("ticks", create_if_missing=True)

    def write(self, given: pa.Table) -> None:
        self.library.write_batch(self._payloads(given))

    def again(self, given: pa.Table) -> None:
        # An append that goes back in time is refused; an update replaces all that lies in its range.
        for symbol, part in split(given):
            self.library.update(symbol, self._frame(part))

    def _payloads(self, given: pa.Table) -> list[arcticdb.WritePayload]:
        return [arcticdb.WritePayload(symbol, self._frame(part)) for symbol, part in split(given)]

    def _frame(self, part: pa.Table) -> pd.DataFrame:
        content = {name: self._values(part.column(name), name) for name in part.schema.names if name != "timestamp"}
        times = part.column("timestamp").cast(pa.int64()).to_numpy()
        return pd.DataFrame(content, index=pd.DatetimeIndex(times), copy=False)

    def _values(self, column: pa.ChunkedArray, name: str) -> Any:
        if name not in self.rows.scales:
            return column.to_pandas().astype(object)
        if self.floats:
            return column.to_numpy() / 10.0 ** self.rows.scales[name]
        return (column.fill_null(ABSENT) if column.null_count else column).to_numpy()

    def close(self) -> None:
        del self.library, self.arctic

    def count(self) -> int:
        return sum(self.library.get_description(symbol).row_count for symbol in self.library.list_symbols())

    def columns(self, symbol: str, start_ns: int, end_ns: int) -> Any:
        # Its range includes both ends.
        within = (pd.Timestamp(start_ns), pd.Timestamp(end_ns - 1))
        return self.library.read(symbol, date_range=within, output_format=self.form).data

    def records(self, symbol: str, start_ns: int, end_ns: int) -> Sequence[Any]:
        frame = self.columns(symbol, start_ns, end_ns)
        if self.floats:
            return list(frame.itertuples(name=None))
        table = pa.table({"timestamp": frame.index.asi8} | {name: frame[name].array for name in frame.columns})
        return plain_records(symbol, table, self.rows.scales)

    def scan(self) -> int:
        found = self.library.read_batch(self.library.list_symbols(), output_format=self.form)
        return sum(len(item.data) for item in found)

    def latest(self, symbol: str) -> Any:
        return self.library.tail(symbol, 1).data

    def bars(self, symbols: Sequence[str]) -> int:
        found = 0
        for item in self.library.read_batch(list(symbols)):
            frame = item.data
            values = frame["bid"] + frame["ask"] if self.rows.kind == "quotes" else frame["price"]
            found += len(bars_of(frame.index.asi8, values.to_numpy()).start_ns)
        return found

    def make_single(self, count: int) -> Sequence[Any]:
        part = self.rows.table.slice(0, count)
        symbols = part.column("symbol").to_pylist()
        content = part.drop_columns(["symbol"])
        return [(symbol, self._frame(content.slice(place, 1))) for place, symbol in enumerate(symbols)]

    def live(self, singles: Sequence[Any], deadline: float) -> int:
        for done, (symbol, frame) in enumerate(singles, 1):
            self.library.append(symbol, frame, validate_index=False)
            if time.perf_counter() > deadline:
                return done
        return len(singles)


class ArcticFloats(Arctic):
    """The same with prices as binary floats, which its users have as a rule."""

    title = "ArcticDB, float64"
    lacks = "prices are rounded to binary floats; rows again are an update, which drops whatever else lies in its range"
    floats = True


class ArcticArrow(Arctic):
    """The same integers, read as Arrow instead of frames: which is faster differs from one run to the next."""

    title = "ArcticDB, int64 to Arrow"
    form = OutputFormat.PYARROW

    def records(self, symbol: str, start_ns: int, end_ns: int) -> Sequence[Any]:
        raise NotImplementedError  # measured with frames
