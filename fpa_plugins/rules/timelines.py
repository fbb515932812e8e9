"""The rows of a table by symbol and time, to look up the value at a time or the rows between two times."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    from fpa_core.validator.vectors import Columns

__all__ = ["Timelines"]


class Timelines:
    """Rows sorted by time, and by arrival if times are equal.

    :param fields: the columns to return.
    :param complete: whether to skip rows with a missing value in one of them.
    """

    def __init__(self, columns: Columns, fields: Sequence[str], complete: bool) -> None:
        times = columns.numbers("ts_ns")
        use = times.present().holds
        if complete:
            for field in fields:
                use = use & columns.numbers(field).present().holds
        codes, names = columns.codes("symbol")
        self._rows: dict[str, npt.NDArray[np.int64]] = {}
        self._times: dict[str, npt.NDArray[np.int64]] = {}
        for code, name in enumerate(names):
            rows = np.flatnonzero(use & (codes == code))
            rows = rows[np.argsort(times.units[rows], kind="stable")]
            if len(rows):
                self._rows[name], self._times[name] = rows, times.units[rows]
        self._values = [columns.values(field) for field in fields]

    def has(self, symbol: str) -> bool:
        """Return whether there is any row of a symbol."""
        return symbol in self._rows

    def last(self, symbol: str, ts_ns: int) -> int | None:
        """Return the position of the last row at or before a time; of equal times the last to arrive."""
        times = self._times.get(symbol)
        place = 0 if times is None else int(np.searchsorted(times, ts_ns, side="right"))
        return place - 1 if place else None

    def between(self, symbol: str, first_ns: int, last_ns: int) -> range:
        """Return the positions of the rows from one time to another, both included."""
        times = self._times.get(symbol)
        if times is None:
            return range(0)
        start, end = np.searchsorted(times, first_ns, side="left"), np.searchsorted(times, last_ns, side="right")
        return range(int(start), int(end))

    def row(self, symbol: str, place: int) -> tuple[Any, ...]:
        """Return the values at a position."""
        row = self._rows[symbol][place]
        return tuple(values[row] for values in self._values)

    def time(self, symbol: str, place: int) -> int:
        """Return the time at a position, in nanoseconds since 1970."""
        return int(self._times[symbol][place])
