"""This project's store."""

from __future__ import annotations

import queue
import statistics
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from fpa_core.arrow.columns import scaled_field
from fpa_core.arrow.conversion import from_table
from fpa_core.kinds import KINDS
from fpa_core.store import DataStore
from fpa_core.store.selection import Selection
from fpa_plugins.sqlite.plugin import SqliteOptions, open_store
from systems.rows import Rows
from systems.system import System, latencies

__all__ = ["Ours", "OursBare", "as_kind", "with_scales"]

HOT_ROWS = 2_000
PACED_RATE = 5_000
PACED_ROWS = 15_000
PACED_AT_ONCE = 5


def as_kind(rows: Rows) -> pa.Table:
    """Return rows with the columns of their kind, prices and sizes as Arrow decimals."""
    arrays = {}
    for column in KINDS[rows.kind].columns:
        if column.name in rows.scales:
            given = rows.table.column(column.name).combine_chunks()
            values = given.fill_null(0).to_numpy()
            words = np.stack([values, values >> 63], axis=1)
            valid = given.is_valid().buffers()[1] if given.null_count else None
            kind = pa.decimal128(38, rows.scales[column.name])
            arrays[column.name] = pa.Array.from_buffers(kind, len(values), [valid, pa.py_buffer(words)])
        elif column.name in rows.table.schema.names:
            arrays[column.name] = rows.table.column(column.name).combine_chunks()
        else:
            arrays[column.name] = pa.nulls(rows.table.num_rows, column.arrow)
    return pa.table(arrays)


def with_scales(rows: Rows) -> pa.Table:
    """Return rows with the columns of their kind as the integers that every system is given, the scale in their metadata."""
    fields, arrays = [], []
    for column in KINDS[rows.kind].columns:
        there = column.name in rows.table.schema.names
        array = rows.table.column(column.name) if there else pa.nulls(rows.table.num_rows, column.arrow)
        scale = rows.scales.get(column.name)
        fields.append(pa.field(column.name, array.type) if scale is None else scaled_field(column.name, scale))
        arrays.append(array)
    return pa.table(arrays, schema=pa.schema(fields))


class Ours(System):
    """One SQLite file: sealed segments beside hot rows."""

    title = "this project"
    few_singles = False
    extras = ("latest_hot", "paced", "decimals")
    options: ClassVar[dict[str, Any]] = {}
    durable = "WAL, synchronous=FULL: on disk when the call returns; live: when the ticket resolves, in group commits"

    def open(self, folder: Path) -> None:
        self.store = DataStore(open_store(SqliteOptions(path=folder / "fpa.db", **self.options)))
        self.kind = KINDS[self.rows.kind]

    def make_input(self) -> pa.Table:
        return with_scales(self.rows)

    def write(self, given: pa.Table) -> None:
        with self.store.batch(origin="benchmark") as batch:
            batch.write(self.kind, given)

    def close(self) -> None:
        self.store.close()

    def count(self) -> int:
        return self.store.select(self.kind).count()

    def columns(self, symbol: str, start_ns: int, end_ns: int) -> pa.Table:
        return _table(self.store.select(self.kind, symbol, start=start_ns, end=end_ns))

    def records(self, symbol: str, start_ns: int, end_ns: int) -> Sequence[Any]:
        return self.store.select(self.kind, symbol, start=start_ns, end=end_ns).to_list()

    def scan(self) -> int:
        return _table(self.store.select(self.kind)).num_rows

    def latest(self, symbol: str) -> Any:
        return self.store.latest(symbol, self.kind.record)

    def bars(self, symbols: Sequence[str]) -> int:
        basis = "mid" if self.rows.kind == "quotes" else "trades"
        return self.store.bars(list(symbols), "1m", from_=basis).to_arrow().num_rows

    def decimals(self) -> dict[str, float]:
        """Write all rows in bulk with prices and sizes as Arrow decimals, which take a conversion."""
        given = as_kind(self.rows)
        begun = time.perf_counter()
        self.write(given)
        return {"rows_s": given.num_rows / (time.perf_counter() - begun)}

    def latest_hot(self) -> dict[str, float]:
        """Read the latest row where rows are still hot, as they are while a feed is running."""
        self.store.save(self.make_single(HOT_ROWS))
        return latencies(self.latest, self.rows.symbols)

    def paced(self) -> dict[str, float]:
        """Stream at a feed's pace: how long until a row is durable, and how much of a core that takes."""
        records = self.make_single(PACED_ROWS)
        written: queue.SimpleQueue[tuple[Any, float] | None] = queue.SimpleQueue()
        waited: list[float] = []

        def wait() -> None:
            while (entry := written.get()) is not None:
                ticket, since = entry
                ticket.result()
                waited.append(time.perf_counter() - since)

        waiter = threading.Thread(target=wait)
        waiter.start()
        with self.store.stream(max_delay="5ms") as stream:
            used = time.process_time()
            begun = time.perf_counter()
            for start in range(0, len(records), PACED_AT_ONCE):
                for record in records[start : start + PACED_AT_ONCE]:
                    since = time.perf_counter()
                    written.put((stream.write(record), since))
                time.sleep(max(0.0, begun + (start + PACED_AT_ONCE) / PACED_RATE - time.perf_counter()))
            taken = time.perf_counter() - begun
            used = time.process_time() - used  # the thread that waits included
        written.put(None)
        waiter.join()
        cuts = statistics.quantiles(waited, n=100)
        return {
            "rows_s": len(records) / taken,
            "p50_ms": cuts[49] * 1e3,
            "p99_ms": cuts[98] * 1e3,
            "core": used / taken,
        }

    def make_single(self, count: int) -> Sequence[Any]:
        return from_table(self.kind, as_kind(self.rows.first(count)))

    def live(self, singles: Sequence[Any], deadline: float) -> int:  # noqa: ARG002  # they are done before it
        with self.store.stream() as stream:
            for record in singles:
                ticket = stream.write(record)
            ticket.result()  # tickets end in order
        return len(singles)


class OursBare(Ours):
    """The same, with no segment kept decoded in memory: every read goes to the file, or to the operating system's copy of it."""

    title = "this project, read_cache = 0"
    extras = ()
    options: ClassVar[dict[str, Any]] = {"read_cache": 0}


def _table(selection: Selection[Any]) -> pa.Table:
    """Return columns of integers with their scale, the fastest exact form there is."""
    return selection.to_arrow(prices="scaled")
