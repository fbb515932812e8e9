"""Arriving tables in the order of their keys: quotes and trades divided by subject, other kinds sorted and grouped by key."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from attrs import frozen

from fpa_core.arrow import columns
from fpa_core.arrow.batches import concat, to_decimal, to_scaled
from fpa_core.converters import MAX_NAME
from fpa_core.engine.plain_columns import plain_columns
from fpa_core.engine.rows import shape_of
from fpa_core.exceptions import DataError
from fpa_core.kinds import Column, Kind

__all__ = ["Mask", "Numbers", "SortedRows", "SubjectRuns", "check_complete", "join_runs", "partition", "sort"]

_LONG = 2**17
"""Values that take longer to put in order than a thread takes to start."""

Numbers: TypeAlias = npt.NDArray[np.int64]
Mask: TypeAlias = npt.NDArray[np.bool_]


@frozen(eq=False)
class SubjectRuns:
    """Rows of a multiset by subject, those of one subject by time, equal times by arrival.

    :ivar rows: a scaled batch (see :mod:`fpa_core.arrow.batches`) without the subject's column.
    :ivar times: of all rows, in nanoseconds.
    :ivar subjects: the subject of each run; ``starts`` where it begins, and the number of rows at the end.
    """

    kind: Kind
    rows: pa.RecordBatch
    times: Numbers
    subjects: list[str]
    starts: Numbers

    def __len__(self) -> int:
        return len(self.times)

    @property
    def sizes(self) -> Numbers:
        """How many rows each run has."""
        return np.diff(self.starts)

    @property
    def firsts(self) -> Numbers:
        """The first time of each run."""
        return self.times[self.starts[:-1]]

    @property
    def lasts(self) -> Numbers:
        """The last time of each run."""
        return self.times[self.starts[1:] - 1]

    @property
    def codes(self) -> Numbers:
        """The number of the run of each row."""
        return np.repeat(np.arange(len(self.subjects)), self.sizes)

    def __iter__(self) -> Iterator[tuple[str, int, int]]:
        """Yield each subject, where its run begins, and where the next one does."""
        bounds = self.starts.tolist()
        return zip(self.subjects, bounds[:-1], bounds[1:], strict=True)

    def only(self, chosen: Mask) -> SubjectRuns:
        """Return the rows chosen."""
        if chosen.all():
            return self
        starts = np.concatenate([[0], np.cumsum(chosen)])[self.starts]
        kept = np.flatnonzero(np.diff(starts))
        return SubjectRuns(
            self.kind,
            self.rows.filter(pa.array(chosen)),
            self.times[chosen],
            [self.subjects[place] for place in kept.tolist()],
            np.append(starts[:-1][kept], starts[-1]),
        )

    def table(self) -> pa.Table:
        """Return the rows as a table of all columns of the kind."""
        named = pa.array(self.subjects, pa.string()).take(pa.array(self.codes))
        place = next(i for i, column in enumerate(self.kind.columns) if column.field == self.kind.subject)
        name = self.kind.columns[place].name
        return to_decimal(self.kind, self.rows, "").set_column(place, name, named)

    def same_time(self) -> Mask:
        """Return which rows share subject and time with the row before."""
        same = np.zeros(len(self), bool)
        same[1:] = self.times[1:] == self.times[:-1]
        same[self.starts[:-1]] = False
        return same

    def ranks(self) -> Numbers:
        """Return the place of each row, from 0, among those of its subject and time."""
        count = np.arange(len(self))
        return count - np.maximum.accumulate(np.where(self.same_time(), 0, count))


def partition(kind: Kind, batch: pa.RecordBatch) -> SubjectRuns:
    """Divide the rows of a batch by subject; its subjects may be a dictionary."""
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
    sizes = np.bincount(codes)
    present = np.flatnonzero(sizes)  # a part of a table has the subjects of all of it in its dictionary
    names = (
        subjects.dictionary.to_pylist()
        if len(present) == len(subjects.dictionary)
        else subjects.dictionary.take(pa.array(present)).to_pylist()
    )
    return SubjectRuns(kind, rows, times, names, np.concatenate([[0], np.cumsum(sizes[present])]))


def join_runs(parts: Sequence[SubjectRuns]) -> SubjectRuns:
    """Return runs of one kind as one; of each subject, every part begins no earlier than the part before ends."""
    if len(parts) == 1:
        return parts[0]
    kind = parts[0].kind
    rows = concat(kind, [part.rows for part in parts])
    times = np.concatenate([part.times for part in parts])
    number = {name: i for i, name in enumerate(dict.fromkeys(name for part in parts for name in part.subjects))}
    codes = np.concatenate([np.repeat([number[name] for name in part.subjects], part.sizes) for part in parts])
    if len(number) > 1:
        order = _grouped(codes)
        rows, times = _taken(rows, order), times[order]
    return SubjectRuns(kind, rows, times, list(number), np.concatenate([[0], np.cumsum(np.bincount(codes))]))


def _taken(rows: pa.RecordBatch, order: Numbers) -> pa.RecordBatch:
    """Return rows in another order, two columns at a time if they are long."""
    places = pa.array(order)
    take = functools.partial(pc.take, indices=places, boundscheck=False)  # every place is there
    if len(order) < _LONG:
        return pa.RecordBatch.from_arrays([take(array) for array in rows.columns], schema=rows.schema)
    with ThreadPoolExecutor(2) as pool:
        return pa.RecordBatch.from_arrays(list(pool.map(take, rows.columns)), schema=rows.schema)


def _grouped(codes: Numbers) -> Numbers:
    """Return the order by code, equal codes as they came; 16-bit numbers are sorted by their digits, several times as fast."""
    return np.argsort(codes.astype(np.int16) if codes.max() < 2**15 else codes, kind="stable")


@frozen
class SortedRows:
    """A table as plain values in the order of its kind's key, equal keys by arrival.

    :ivar values: the columns of :attr:`Shape.fields <fpa_core.engine.rows.Shape.fields>`.
    :ivar runs: where each run of one prefix begins (the key without its time).
    :ivar groups: where each group of one key begins.
    """

    kind: Kind
    values: list[list[object]]
    runs: Numbers
    groups: Numbers

    def __len__(self) -> int:
        return len(self.values[0])


def sort(kind: Kind, table: pa.Table) -> SortedRows:
    """Sort a table by the key of its kind."""
    shape = shape_of(kind)
    codes = [_codes(table.column(kind.by_field[name].name)) for name in shape.prefix]
    times = [_codes(table.column("timestamp"))] if shape.timed else []
    order = np.lexsort([*times, *codes[::-1]])
    if (order[1:] < order[:-1]).any():
        table = table.take(pa.array(order))
        codes, times = [column[order] for column in codes], [column[order] for column in times]
    return SortedRows(kind, plain_columns(kind, table), _starts(codes), _starts([*codes, *times]))


def check_complete(kind: Kind, table: pa.Table) -> None:
    """Refuse a table with a null where there must be none, or with a name that is too long for the index of a key.

    :raises DataError: it names the column and the row.
    """
    for column in kind.columns:
        array = table.column(column.name)
        if column.type == "text" and (column.field in kind.key or column.field == kind.subject):
            _check_names(kind, column, array)
        if column.required and array.null_count:
            row = pc.index(array.is_null(), True).as_py() + 1
            raise DataError(
                f"{kind.singular}.{column.name}: a value is needed in every row", field=column.name, row=row
            )


def _check_names(kind: Kind, column: Column, names: pa.ChunkedArray) -> None:
    for chunk in names.chunks:
        distinct = chunk.dictionary if pa.types.is_dictionary(chunk.type) else chunk
        long = pc.greater(pc.utf8_length(distinct), MAX_NAME)
        if pc.any(long).as_py():
            name = distinct.filter(long)[0].as_py()
            row = pc.index(names.cast(pa.string()), name).as_py() + 1
            raise DataError(
                f"{kind.singular}.{column.name}: a name of {len(name):,} characters is too long; at most {MAX_NAME} are allowed",
                field=column.name,
                row=row,
            )


def _codes(column: pa.ChunkedArray) -> Numbers:
    array = column.combine_chunks()
    if pa.types.is_timestamp(array.type):
        return columns.times_as_ns(array).to_numpy(zero_copy_only=False)  # type: ignore[no-any-return]
    return array.dictionary_encode().indices.cast(pa.int64()).to_numpy(zero_copy_only=False)  # type: ignore[no-any-return]


def _starts(sorted_columns: Sequence[Numbers]) -> Numbers:
    changes = np.zeros(len(sorted_columns[0]), bool)
    changes[0] = True
    for column in sorted_columns:
        changes[1:] |= column[1:] != column[:-1]
    return np.flatnonzero(changes)
