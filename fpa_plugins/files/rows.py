"""Rows as they stand in a file: what every format reader yields, and the conversion into records takes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import pyarrow as pa
from attrs import frozen

from fpa_core.protocols import Reject

__all__ = ["Rows", "clipped"]

MAX_RAW = 65_536
"""Longest text kept of a refused row."""


@frozen
class Rows:
    """Some consecutive rows of a file, column by column.

    :ivar names: the columns' names in the file.
    :ivar cells: one array a column, all of one length; a null or an empty text is a missing value.
    :ivar positions: the rows' positions in the file, from 1.
    :ivar raw: gives the text of a row by its index here.
    :ivar rejects: rows between these that have no cells at all.
    """

    names: tuple[str, ...]
    cells: Sequence[pa.Array]
    positions: Sequence[int]
    raw: Callable[[int], str]
    rejects: Sequence[Reject] = ()

    def pieces(self, limit: int) -> Iterator[Rows]:
        """Yield these rows in runs of at most *limit*, each with the rejects that stand before the next."""
        count = len(self.positions)
        for start in range(0, max(count, 1), limit):
            last = start + limit >= count
            before = float("inf") if last else self.positions[start + limit]
            after = self.positions[start - 1] if start else 0
            yield Rows(
                self.names,
                [cells.slice(start, limit) for cells in self.cells],
                self.positions[start : start + limit],
                lambda index, start=start: self.raw(start + index),  # type: ignore[misc]
                [reject for reject in self.rejects if after < reject.row < before],
            )


def clipped(raw: str) -> str:
    """Return the text of a row for a :class:`~fpa_core.protocols.Reject`: without its line end, of bounded length, and valid Unicode."""
    text = raw.rstrip("\r\n")
    if len(text) > MAX_RAW:
        text = f"{text[:MAX_RAW]}…"
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
