"""Arriving tables in the order and the form in which SQLite keeps them: sorted by key, grouped, as plain values."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from attrs import frozen

from fpa_core.arrow import columns
from fpa_core.arrow.batches import to_scaled
from fpa_core.exceptions import DataError
from fpa_core.kinds import Kind
from fpa_plugins.sqlite.schema import tables

__all__ = ["Arranged", "Group", "Row", "Run", "Sorted", "by_subject", "check_complete", "sort"]

_LONG = 2**17
"""Values that take longer to put in order than a thread takes to start."""

Row: TypeAlias = tuple[Any, ...]
Positions: TypeAlias = npt.NDArray[np.int64]


class Group(NamedTuple):
    """Arriving rows of one key, in the order of their arrival, each without the key."""

    key: Row
    contents: list[Row]


@frozen
class Arranged:
    """Rows sorted by key, equal keys by arrival.

    :ivar values: the columns as SQLite keeps them, those of the key first.
    :ivar keys: how many of them make the key.
    :ivar runs: where each run of one prefix begins (the key without its time).
    :ivar groups: where each group of one key begins.
    """

    values: list[list[Any]]
    keys: int
    runs: Positions
    groups: Positions

    def __len__(self) -> int:
        return len(self.values[0])

    @property
    def sizes(self) -> Positions:
        """How many rows each group has."""
        return np.diff(np.append(self.groups, len(self)))

    def ranks(self) -> Positions:
        """Return the place of each row within its group, from 0."""
        return np.arange(len(self)) - np.repeat(self.groups, self.sizes)

    def only(self, chosen: npt.NDArray[np.bool_]) -> Iterator[Group]:
        """Yield the groups whose rows are chosen; a group is chosen as a whole."""
        picked = [list(itertools.compress(column, chosen.tolist())) for column in self.values]
        sizes = self.sizes[chosen[self.groups]].tolist()
        contents = list(zip(*picked[self.keys :], strict=True))
        start = 0
        for size in sizes:
            yield Group(tuple(column[start] for column in picked[: self.keys]), contents[start : start + size])
            start += size


@frozen
class Sorted:
    """A table in the order of its kind's key, equal keys by arrival.

    :ivar runs: where each run of one prefix begins (the key without its time).
    :ivar groups: where each group of one key begins.
    """

    kind: Kind
    table: pa.Table
    runs: Positions
    groups: Positions

    def arranged(self) -> Arranged:
        """Return the rows as plain values."""
        values = [_values(self.kind, self.kind.by_field[name].name, self.table) for name in tables(self.kind).fields]
        return Arranged(values, len(self.kind.key), self.runs, self.groups)


def sort(kind: Kind, table: pa.Table) -> Sorted:
    """Sort a table by the key of its kind."""
    names = [name for name in kind.key if name != "ts_ns"]
    codes = [_codes(table.column(kind.by_field[name].name)) for name in names]
    times = [_codes(table.column("timestamp"))] if "ts_ns" in kind.key else []
    if len(codes) == 1 and times and (times[0][1:] >= times[0][:-1]).all():
        order = _grouped(codes[0])  # as feeds send them: in order of time, the subjects mixed
    else:
        order = np.lexsort([*times, *codes[::-1]])
    if (order[1:] < order[:-1]).any():
        table = table.take(pa.array(order))
        codes, times = [column[order] for column in codes], [column[order] for column in times]
    return Sorted(kind, table, _starts(codes), _starts([*codes, *times]))


class Run(NamedTuple):
    """Rows of one subject in order of time, equal times by arrival, as a narrow batch without the subject's column; and their times."""

    rows: pa.RecordBatch
    times: Positions

    @property
    def first_ns(self) -> int:
        """The time of the first row."""
        return int(self.times[0])

    @property
    def last_ns(self) -> int:
        """The time of the last row."""
        return int(self.times[-1])

    def part(self, start: int, end: int) -> Run:
        """Return the rows from *start* to *end*."""
        return Run(self.rows.slice(start, end - start), self.times[start:end])


def by_subject(kind: Kind, batch: pa.RecordBatch) -> Iterator[tuple[str, Run]]:
    """Yield the rows of each subject."""
    name = kind.by_field[kind.subject].name
    subjects = batch.column(name).dictionary_encode()
    codes = subjects.indices.to_numpy(zero_copy_only=False)
    rows = to_scaled(kind, batch.drop_columns([name]))
    times = columns.times_as_ns(rows.column("timestamp")).to_numpy(zero_copy_only=False)
    in_time = bool((times[1:] >= times[:-1]).all())  # as feeds send them, the subjects mixed
    if not in_time or (codes[1:] < codes[:-1]).any():
        order = _grouped(codes) if in_time else np.lexsort([times, codes])
        rows = _taken(rows, order)
        times = columns.times_as_ns(rows.column("timestamp")).to_numpy(zero_copy_only=False)
    ends = np.cumsum(np.bincount(codes)).tolist()
    for subject, start, end in zip(subjects.dictionary.to_pylist(), [0, *ends], ends, strict=False):
        if end > start:  # a part of a table has the subjects of all of it in its dictionary
            yield subject, Run(rows.slice(start, end - start), times[start:end])


def _taken(rows: pa.RecordBatch, order: Positions) -> pa.RecordBatch:
    """Return rows in another order, two columns at a time where they are long."""
    places = pa.array(order)
    take = functools.partial(pc.take, indices=places, boundscheck=False)  # every place is there
    if len(order) < _LONG:
        return pa.RecordBatch.from_arrays([take(array) for array in rows.columns], schema=rows.schema)
    with ThreadPoolExecutor(2) as pool:
        return pa.RecordBatch.from_arrays(list(pool.map(take, rows.columns)), schema=rows.schema)


def _grouped(codes: Positions) -> Positions:
    """Return the order by code, equal ones as they came; 16-bit numbers are sorted by their digits, several times as fast."""
    return np.argsort(codes.astype(np.int16) if codes.max() < 2**15 else codes, kind="stable")


def check_complete(kind: Kind, table: pa.Table) -> None:
    """Refuse a table with a null where there must be none.

    :raises DataError: it names the column and the row.
    """
    for column in kind.columns:
        array = table.column(column.name)
        if column.required and array.null_count:
            row = pc.index(array.is_null(), True).as_py() + 1
            raise DataError(
                f"{kind.singular}.{column.name}: a value is needed in every row", field=column.name, row=row
            )


def _codes(column: pa.ChunkedArray) -> Positions:
    array = column.combine_chunks()
    if pa.types.is_timestamp(array.type):
        return columns.times_as_ns(array).to_numpy(zero_copy_only=False)  # type: ignore[no-any-return]
    return array.dictionary_encode().indices.cast(pa.int64()).to_numpy(zero_copy_only=False)  # type: ignore[no-any-return]


def _starts(sorted_columns: Sequence[Positions]) -> Positions:
    changes = np.zeros(len(sorted_columns[0]), bool)
    changes[0] = True
    for column in sorted_columns:
        changes[1:] |= column[1:] != column[:-1]
    return np.flatnonzero(changes)


def _values(kind: Kind, name: str, table: pa.Table) -> list[Any]:
    column = kind.by_name[name]
    array = table.column(name).combine_chunks()
    if column.type == "decimal":
        scale = columns.scale_of(table.schema.field(name))
        array = columns.as_texts(array if scale is None else columns.from_scaled(array, scale))
    elif column.type == "time":
        array = columns.times_as_ns(array)
    return array.to_pylist()  # type: ignore[no-any-return]
