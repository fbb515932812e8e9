"""The series of a file: the rows of each, when there are rows, and the symbols that broke rules. Memory is bounded."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from attrs import frozen

from fpa_core.arrow import columns
from fpa_core.kinds import Kind
from fpa_core.report.timing import TimeCounts

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Coverage", "Series", "Symbol", "SymbolTable", "series_of", "times_of"]

MOST_FOLLOWED = 200
"""The largest number of series whose coverage is recorded. Others are only counted."""

MOST_SYMBOLS = 100_000
"""The largest number of symbols counted separately. Further ones are counted together."""

REST = "(all others)"


@frozen
class Series:
    """The rows of one series in a chunk: a symbol, or a symbol and an interval of bars.

    :ivar rows: the positions of the rows in the chunk, sorted by time.
    :ivar times: their times in nanoseconds.
    """

    subject: str
    interval: str | None
    rows: Any
    times: Any

    @property
    def name(self) -> str:
        """The name on the page."""
        return self.subject if self.interval is None else f"{self.subject} {self.interval}"


def series_of(kind: Kind, table: pa.Table, times: Any) -> Iterator[Series]:
    """Yield the series of a chunk."""
    subjects = table.column(kind.by_field[kind.subject].name).combine_chunks().dictionary_encode()
    codes = subjects.indices.to_numpy(zero_copy_only=False).astype(np.int64)
    names = subjects.dictionary.to_pylist()
    intervals: list[str | None] = [None]
    if "interval" in kind.by_name:
        encoded = table.column("interval").combine_chunks().dictionary_encode()
        intervals = encoded.dictionary.to_pylist()
        codes = codes * len(intervals) + encoded.indices.to_numpy(zero_copy_only=False)
    order = np.lexsort([times, codes])
    codes = codes[order]
    starts = np.flatnonzero(np.r_[True, codes[1:] != codes[:-1]]).tolist()
    for start, end in zip(starts, [*starts[1:], len(codes)], strict=True):
        subject, interval = divmod(int(codes[start]), len(intervals))
        rows = order[start:end]
        yield Series(names[subject], intervals[interval], rows, times[rows])


class Symbol:
    """The counts of a symbol: its rows, and how many of them broke a rule of each severity."""

    def __init__(self) -> None:
        self.rows = 0
        self.broken = {"error": 0, "warning": 0, "info": 0}


class SymbolTable:
    """The symbols of a file; for snapshots, the accounts."""

    def __init__(self) -> None:
        self.symbols: dict[str, Symbol] = {}

    def add(self, names: pa.DictionaryArray, broken: dict[str, Any]) -> None:
        """Count the rows of each symbol, and those that broke a rule of each severity; *broken* has a mask per severity."""
        codes = names.indices.to_numpy(zero_copy_only=False)
        size = len(names.dictionary)
        rows = np.bincount(codes, minlength=size).tolist()
        found = {severity: np.bincount(codes[mask], minlength=size).tolist() for severity, mask in broken.items()}
        for code, name in enumerate(names.dictionary.to_pylist()):
            if name not in self.symbols and len(self.symbols) >= MOST_SYMBOLS:
                name = REST  # noqa: PLW2901  # counted together with all others
            symbol = self.symbols.setdefault(name, Symbol())
            symbol.rows += rows[code]
            for severity, counts in found.items():
                symbol.broken[severity] += counts[code]

    def worst(self, most: int) -> list[tuple[str, Symbol]]:
        """Return the symbols with the most errors, then warnings, then infos, then rows."""
        ranked = sorted(
            self.symbols.items(),
            key=lambda each: (*(-each[1].broken[severity] for severity in each[1].broken), -each[1].rows, each[0]),
        )
        return ranked[:most]


class Coverage:
    """The times at which there are rows, by series."""

    def __init__(self) -> None:
        self.series: dict[str, TimeCounts] = {}

    def add(self, series: Series) -> None:
        """Add the rows of a series in a chunk."""
        if series.name in self.series or len(self.series) < MOST_FOLLOWED:
            self.series.setdefault(series.name, TimeCounts()).add(series.times)

    def fullest(self, most: int) -> list[tuple[str, TimeCounts]]:
        """Return the series with the most rows, sorted by name."""
        ranked = sorted(self.series.items(), key=lambda each: (-each[1].total, each[0]))[:most]
        return sorted(ranked)


def times_of(table: pa.Table) -> Any:
    """Return the times of a chunk in nanoseconds."""
    return columns.times_as_ns(table.column("timestamp").combine_chunks()).to_numpy(zero_copy_only=False)
