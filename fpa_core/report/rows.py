"""Rows as text: the first and the last of a file, and those that broke a rule as CSV in bounded memory."""

from __future__ import annotations

import csv
import io
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from attrs import define

from fpa_core.arrow.conversion import texts_of_rows
from fpa_core.kinds import Kind

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Ends", "FailedRows", "Row"]

MOST_ENDS = 5
"""The number of rows shown from each end of a file."""

MOST_ROWS = 1_000
"""The largest number of rows in the CSV of a rule."""

MOST_BYTES = 128 * 1024
"""The largest size of the CSV of a rule."""


@define
class Row:
    """A row: its position in the file from 1, and its columns as text, without missing values."""

    number: int
    values: Mapping[str, str]


class Ends:
    """The first and the last rows of a file that could be parsed."""

    def __init__(self) -> None:
        self.first: list[Row] = []
        self._last: deque[tuple[Kind, pa.Table, Sequence[int]]] = deque()
        self._kept = 0

    def add(self, kind: Kind, table: pa.Table, rows: Sequence[int]) -> None:
        """Add the rows of a chunk; *rows* are their positions in the file."""
        if wanted := min(MOST_ENDS - len(self.first), table.num_rows):
            texts = texts_of_rows(kind, table.slice(0, wanted))
            self.first += [Row(number, values) for number, values in zip(rows[:wanted], texts, strict=True)]
        tail = min(MOST_ENDS, table.num_rows)
        places = range(table.num_rows - tail, table.num_rows)
        # A copy, because a slice would keep the whole chunk in memory.
        self._last.append((kind, table.take(list(places)), [rows[place] for place in places]))
        self._kept += tail
        while self._kept - self._last[0][1].num_rows >= MOST_ENDS:
            self._kept -= self._last.popleft()[1].num_rows

    @property
    def last(self) -> list[Row]:
        """The last rows that are not among the first ones."""
        rows = [
            Row(number, values)
            for kind, table, numbers in self._last
            for number, values in zip(numbers, texts_of_rows(kind, table), strict=True)
        ]
        shown = {row.number for row in self.first}
        return [row for row in rows[-MOST_ENDS:] if row.number not in shown]


class FailedRows:
    """The first rows that broke a rule, as CSV of at most :data:`MOST_ROWS` rows and :data:`MOST_BYTES` bytes.

    :param columns: the columns after ``row`` and ``finding``.
    :ivar count: the number of rows in it.
    """

    def __init__(self, columns: Iterable[str]) -> None:
        self._columns = tuple(columns)
        self._text = io.StringIO()
        csv.writer(self._text).writerow(["row", "finding", *self._columns])
        self._size = len(self._text.getvalue())
        self.count = 0
        self._full = False

    @property
    def room(self) -> int:
        """How many more rows it takes at most."""
        return 0 if self._full else MOST_ROWS - self.count

    def add(self, row: Row, finding: str) -> None:
        """Add a row, if there is room."""
        line = io.StringIO()
        csv.writer(line).writerow([row.number, finding, *(row.values.get(name, "") for name in self._columns)])
        size = len(line.getvalue().encode("utf-8", "replace"))
        if not self.room or self._size + size > MOST_BYTES:
            self._full = True
            return
        self._text.write(line.getvalue())
        self._size += size
        self.count += 1

    @property
    def text(self) -> str:
        """The CSV, with a header."""
        return self._text.getvalue()
