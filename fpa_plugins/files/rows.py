"""Rows of a file: the output of all readers, and the input of the conversion to records."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import overload

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from attrs import evolve, field, frozen

from fpa_core.protocols import Reject, shortened
from fpa_plugins.files.cells import MAX_TEXT, Problems

__all__ = ["LazyCells", "Rows", "clipped", "constant"]

MAX_RAW = 65_536
"""Characters kept of the text of a refused row."""

PIECE_BYTES = 64 * 1024 * 1024
"""Bytes of texts that a piece of rows may stand for, once its dictionaries are decoded."""


def _no_strangers(_column: int) -> Problems:
    return {}


@frozen
class Rows:
    """Some consecutive rows of a file, column by column.

    :ivar names: the columns' names in the file.
    :ivar cells: one array per column, all of the same length; a null or an empty text is a missing value.
    :ivar positions: the rows' positions in the file, from 1.
    :ivar raw: returns the text of a row by its index here.
    :ivar rejects: rows between these that could not be split into cells.
    :ivar empty: the number of empty rows between these, which were skipped.
    :ivar left_out: the number of rows of other types between these, which the format does not read.
    :ivar typed: whether the source distinguishes missing values from text, as JSON and Parquet do and CSV does not.
    :ivar strangers: returns, for the index of a column of a typed source, which cells are neither text nor whole numbers.
    """

    names: tuple[str, ...]
    cells: Sequence[pa.Array]
    positions: Sequence[int]
    raw: Callable[[int], str]
    rejects: Sequence[Reject] = ()
    empty: int = 0
    left_out: int = 0
    typed: bool = False
    strangers: Callable[[int], Problems] = field(default=_no_strangers)

    def pieces(self, limit: int) -> Iterator[Rows]:
        """Yield these rows in runs of at most *limit*, each with the rejects that stand before the next."""
        count = len(self.positions)
        limit = min(limit, _rows_within(self.cells))
        if count <= limit:
            yield self
            return
        for start in range(0, count, limit):
            last = start + limit >= count
            before = float("inf") if last else self.positions[start + limit]
            after = self.positions[start - 1] if start else 0
            part = slice(start, min(start + limit, count))
            yield evolve(
                self,
                cells=LazyCells(len(self.cells), lambda column, part=part: self.cells[column][part]),  # type: ignore[misc]
                positions=self.positions[part],
                raw=lambda index, start=start: self.raw(start + index),  # type: ignore[misc]
                rejects=[reject for reject in self.rejects if after < reject.row < before],
                empty=0 if start else self.empty,
                left_out=0 if start else self.left_out,
                strangers=lambda column, part=part: _within(self.strangers(column), part),  # type: ignore[misc]
            )

    def take(self, indexes: Sequence[int]) -> Rows:
        """Return those of these rows, and all the rejects."""
        taken = pa.array(indexes, pa.int64())
        places = {index: place for place, index in enumerate(indexes)}
        return evolve(
            self,
            cells=LazyCells(len(self.cells), lambda column: self.cells[column].take(taken)),
            positions=[self.positions[index] for index in indexes],
            raw=lambda index: self.raw(indexes[index]),
            strangers=lambda column: {
                places[index]: problem for index, problem in self.strangers(column).items() if index in places
            },
        )

    def without_empty(self) -> Rows:
        """Return these rows without those in which every cell is missing, as spreadsheets leave them behind a table."""
        empty: pa.Array | None = None
        for cells in self.cells:
            if not cells.null_count:
                return self
            missing = cells.is_null()
            empty = missing if empty is None else pc.and_(empty, missing)
            if not empty.true_count:
                return self
        if empty is None:
            return self
        kept = np.flatnonzero(~empty.to_numpy(zero_copy_only=False)).tolist()
        return evolve(self.take(kept), empty=self.empty + empty.true_count)


class LazyCells(Sequence[pa.Array]):
    """Columns created on first use, because most columns of a wide file are not read."""

    def __init__(self, count: int, make: Callable[[int], pa.Array]) -> None:
        self._count = count
        self._make = make
        self._made: dict[int, pa.Array] = {}

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, index: int) -> pa.Array: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[pa.Array]: ...

    def __getitem__(self, index: int | slice) -> pa.Array | Sequence[pa.Array]:
        if isinstance(index, slice):
            return [self[place] for place in range(*index.indices(self._count))]
        if not -self._count <= index < self._count:
            raise IndexError(index)
        index %= self._count
        if index not in self._made:
            self._made[index] = self._make(index)
        return self._made[index]


def constant(value: str, count: int) -> pa.Array:
    """Return a column of one text."""
    codes = pa.array(np.zeros(count, np.int32))
    return pa.DictionaryArray.from_arrays(codes, pa.array([value], pa.string()))


def _within(problems: Problems, part: slice) -> Problems:
    return {index - part.start: what for index, what in problems.items() if part.start <= index < part.stop}


def _rows_within(cells: Sequence[pa.Array]) -> int:
    """Return how many rows may be decoded at once: few if a dictionary has long texts."""
    if isinstance(cells, LazyCells):
        return 1 << 62
    longest = 1
    for column in cells:
        if pa.types.is_dictionary(column.type) and (_is_word(column.type.value_type)):
            longest += min(pc.max(pc.binary_length(column.dictionary)).as_py() or 0, MAX_TEXT)
    return max(PIECE_BYTES // longest, 1)


def _is_word(kind: pa.DataType) -> bool:
    words = (pa.types.is_string, pa.types.is_large_string, pa.types.is_binary, pa.types.is_large_binary)
    return any(test(kind) for test in words)


def clipped(raw: str) -> str:
    """Return the text of a row for a :class:`~fpa_core.protocols.Reject`: without its line end, of bounded length, and valid Unicode."""
    text = shortened(raw.rstrip("\r\n"), MAX_RAW)
    try:
        content = text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # half a character that JSON spelled out
        content = text.encode("utf-8", "surrogatepass")
    return content.decode("utf-8", "backslashreplace")
