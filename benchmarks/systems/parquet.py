"""Parquet, a file per symbol, in the coding that suits these columns best."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from systems.rows import bars_of, plain_records, split
from systems.system import System, sync_tree

__all__ = ["Parquet"]

GROUP_ROWS = 16_384
"""Rows of a group, the least that can be read: fewer make single ranges faster, and files larger."""


class Parquet(System):
    """Times and prices as differences, sizes and texts by dictionary, zstd over all."""

    title = "Parquet"
    durable = "each file and the folder fsynced by the benchmark; a crash between two files leaves half a write"
    lacks = "no transactions, no appending: rows to add or to compare with mean reading and replacing the file"

    def open(self, folder: Path) -> None:
        self.folder = folder / "parquet"
        self.folder.mkdir(exist_ok=True)

    def write(self, given: pa.Table) -> None:
        small = [name for name in given.schema.names if "size" in name or name in self.rows.texts]
        delta = [name for name in given.schema.names if name not in {"symbol", *small}]
        for symbol, part in split(given):
            pq.write_table(
                part,
                self.folder / f"{symbol}.parquet",
                compression="zstd",
                use_dictionary=small,
                column_encoding=dict.fromkeys(delta, "DELTA_BINARY_PACKED"),
                row_group_size=GROUP_ROWS,
            )
        sync_tree(self.folder)

    def count(self) -> int:
        return sum(pq.read_metadata(path).num_rows for path in self.folder.iterdir())

    def columns(self, symbol: str, start_ns: int, end_ns: int) -> pa.Table:
        with pq.ParquetFile(self.folder / f"{symbol}.parquet", memory_map=True) as file:
            groups = [
                group
                for group in range(file.metadata.num_row_groups)
                if _meets(file.metadata.row_group(group).column(0).statistics, start_ns, end_ns)
            ]
            table = file.read_row_groups(groups, use_threads=False)
        times = table.column("timestamp").combine_chunks().cast(pa.int64()).to_numpy()
        start, end = np.searchsorted(times, [start_ns, end_ns]).tolist()
        return table.slice(start, end - start)

    def records(self, symbol: str, start_ns: int, end_ns: int) -> Sequence[Any]:
        return plain_records(symbol, self.columns(symbol, start_ns, end_ns), self.rows.scales)

    def scan(self) -> int:
        return sum(pq.read_table(path, memory_map=True).num_rows for path in sorted(self.folder.iterdir()))

    def latest(self, symbol: str) -> Any:
        with pq.ParquetFile(self.folder / f"{symbol}.parquet", memory_map=True) as file:
            last = file.read_row_group(file.metadata.num_row_groups - 1, use_threads=False)
        return plain_records(symbol, last.slice(last.num_rows - 1), self.rows.scales)[0]

    def bars(self, symbols: Sequence[str]) -> int:
        found = 0
        wanted = ["bid", "ask"] if self.rows.kind == "quotes" else ["price"]
        for symbol in symbols:
            table = pq.read_table(
                self.folder / f"{symbol}.parquet", columns=["timestamp", *wanted], memory_map=True
            ).combine_chunks()
            times = table.column("timestamp").cast(pa.int64()).to_numpy()
            values = sum(table.column(name).to_numpy() for name in wanted)
            found += len(bars_of(times, values).start_ns)
        return found


def _meets(statistics: Any, start_ns: int, end_ns: int) -> bool:
    if statistics is None or not statistics.has_min_max:
        return True
    return statistics.min_raw < end_ns and statistics.max_raw >= start_ns
