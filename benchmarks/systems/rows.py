"""The rows that every system gets: one Arrow table of integers with a scale a column, and helpers to hand it over in other forms."""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

__all__ = ["Bars", "Rows", "bars_of", "load", "plain_records", "save", "split"]

Integers = npt.NDArray[np.int64]
MINUTE_NS = 60 * 10**9


class Rows(NamedTuple):
    """Rows of one kind in order of time, symbols mixed.

    :ivar kind: ``quotes`` or ``trades``.
    :ivar scales: digits after the point of each column of integers; whatever else there is, is text.
    """

    name: str
    kind: str
    table: pa.Table
    scales: dict[str, int]

    @property
    def times(self) -> Integers:
        """Nanoseconds since 1970."""
        return self.table.column("timestamp").cast(pa.int64()).to_numpy()

    @property
    def symbols(self) -> list[str]:
        """Each symbol once, in order."""
        return sorted(self.table.column("symbol").unique().to_pylist())

    @property
    def texts(self) -> list[str]:
        """The columns of text besides the symbol."""
        return [name for name in self.table.schema.names if name not in {"symbol", "timestamp", *self.scales}]

    def first(self, count: int | None) -> Rows:
        """Return the first *count* rows, for systems that would take too long over all."""
        return self if count is None else self._replace(table=self.table.slice(0, count).combine_chunks())


def save(rows: Rows, path: Path) -> None:
    """Write rows to a file that :func:`load` maps into memory."""
    note = {"name": rows.name, "kind": rows.kind, "scales": rows.scales}
    table = rows.table.replace_schema_metadata({"rows": json.dumps(note)}).combine_chunks()
    with pa.ipc.new_file(path, table.schema) as file:
        file.write_table(table)


def load(path: Path) -> Rows:
    """Return the rows of a file."""
    table = pa.ipc.open_file(pa.memory_map(str(path))).read_all()
    note = json.loads(table.schema.metadata[b"rows"])
    return Rows(note["name"], note["kind"], table.replace_schema_metadata(None), note["scales"])


def split(table: pa.Table) -> Iterator[tuple[str, pa.Table]]:
    """Yield the rows of each symbol in order of time, for systems that keep every symbol apart."""
    encoded = table.column("symbol").combine_chunks().dictionary_encode()
    codes = encoded.indices.to_numpy()
    order = np.argsort(codes.astype(np.int16), kind="stable")
    arranged = table.drop_columns(["symbol"]).take(pa.array(order)).combine_chunks()
    counts = np.bincount(codes)
    start = 0
    for symbol, count in zip(encoded.dictionary.to_pylist(), counts.tolist(), strict=True):
        yield symbol, arranged.slice(start, count)
        start += count


def plain_records(symbol: str, table: pa.Table, scales: dict[str, int]) -> list[tuple[Any, ...]]:
    """Return rows as tuples with exact Decimals, for systems without records of their own; each distinct number is made once."""
    columns: list[list[Any]] = [[symbol] * table.num_rows]
    for name in table.schema.names:
        column = table.column(name)
        if name in scales:
            encoded = column.combine_chunks().dictionary_encode()
            values = [
                None if value is None else Decimal(value).scaleb(-scales[name])
                for value in encoded.dictionary.to_pylist()
            ]
            columns.append([None if place is None else values[place] for place in encoded.indices.to_pylist()])
        elif name == "timestamp":
            columns.append(column.cast(pa.int64()).to_pylist())
        else:
            columns.append(column.to_pylist())
    return list(zip(*columns, strict=True))


class Bars(NamedTuple):
    """Open, high, low and close of each minute that has rows."""

    start_ns: Integers
    open: Integers
    high: Integers
    low: Integers
    close: Integers


def bars_of(times: Integers, values: Integers) -> Bars:
    """Return 1-minute bars, for systems that cannot make them."""
    minutes = times // MINUTE_NS
    starts = np.flatnonzero(np.diff(minutes, prepend=minutes[0] - 1))
    ends = np.append(starts[1:], len(times)) - 1
    return Bars(
        minutes[starts] * MINUTE_NS,
        values[starts],
        np.maximum.reduceat(values, starts),
        np.minimum.reduceat(values, starts),
        values[ends],
    )
