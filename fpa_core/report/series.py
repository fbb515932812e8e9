"""The times at which each symbol has rows, and the gaps between them, collected in bounded memory."""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fpa_core.arrow import columns
from fpa_core.kinds import Kind
from fpa_core.report.timing import TimeCounts

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Coverage", "Silence", "Symbol", "SymbolTable"]

MOST_FOLLOWED = 200
"""The largest number of series whose coverage is recorded. Others are only counted."""

MOST_SYMBOLS = 100_000
"""The largest number of symbols counted separately. Further ones are counted together."""

MOST_SILENCES = 10
REST = "(all others)"


class Silence(NamedTuple):
    """A gap between two rows of a series. The longest sort last."""

    ns: int
    name: str
    start_ns: int

    @property
    def end_ns(self) -> int:
        """The time of the first row after the gap."""
        return self.start_ns + self.ns


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
    """The times at which there are rows, by series: a symbol, or a symbol and an interval of bars."""

    def __init__(self) -> None:
        self.series: dict[str, TimeCounts] = {}
        self.silences: list[Silence] = []
        self._last: dict[str, int] = {}

    def add(self, kind: Kind, table: pa.Table, times: Any) -> None:
        """Add the rows of a chunk."""
        names = _names(kind, table)
        codes = names.indices.to_numpy(zero_copy_only=False)
        order = np.lexsort([times, codes])
        codes, times = codes[order], times[order]
        starts = np.flatnonzero(np.r_[True, codes[1:] != codes[:-1]])
        labels = names.dictionary.to_pylist()
        for start, end in zip(starts.tolist(), [*starts[1:].tolist(), len(codes)], strict=True):
            self._follow(labels[codes[start]], times[start:end])

    def _follow(self, name: str, times: Any) -> None:
        if name not in self._last and len(self._last) >= MOST_SYMBOLS:
            return
        last = self._last.get(name)
        steps = np.diff(times, prepend=times[0] if last is None else last)
        longest = np.argpartition(steps, -min(MOST_SILENCES, len(steps)))[-MOST_SILENCES:]
        for place in longest.tolist():
            if steps[place] > 0:
                self._note(Silence(int(steps[place]), name, int(times[place] - steps[place])))
        self._last[name] = max(int(times[-1]), times[-1] if last is None else last)
        if name in self.series or len(self.series) < MOST_FOLLOWED:
            self.series.setdefault(name, TimeCounts()).add(times)

    def _note(self, silence: Silence) -> None:
        if len(self.silences) < MOST_SILENCES:
            heapq.heappush(self.silences, silence)
        else:
            heapq.heappushpop(self.silences, silence)

    def longest(self) -> list[Silence]:
        """Return the longest gaps, the longest first."""
        return sorted(self.silences, reverse=True)

    def fullest(self, most: int) -> list[tuple[str, TimeCounts]]:
        """Return the series with the most rows, sorted by name."""
        ranked = sorted(self.series.items(), key=lambda each: (-each[1].total, each[0]))[:most]
        return sorted(ranked)


def _names(kind: Kind, table: pa.Table) -> pa.DictionaryArray:
    """Return the series of each row."""
    import pyarrow.compute as pc

    subject = table.column(kind.by_field[kind.subject].name)
    if "interval" in kind.by_name:
        subject = pc.binary_join_element_wise(subject, table.column("interval"), " ")
    return subject.combine_chunks().dictionary_encode()


def times_of(table: pa.Table) -> Any:
    """Return the times of a chunk in nanoseconds."""
    return columns.times_as_ns(table.column("timestamp").combine_chunks()).to_numpy(zero_copy_only=False)
