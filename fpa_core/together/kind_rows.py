"""The rows of one kind of all files, on disk, and which of them others are compared with."""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from attrs import define, evolve, field, frozen

from fpa_core.arrow import decimals
from fpa_core.arrow.columns import times_as_ns
from fpa_core.kinds import Kind
from fpa_core.protocols import Finding, Reach
from fpa_core.together.spill import Place, Spill

__all__ = ["KindRows"]

_POSITION = "position in the file"
"""The name of the column that is kept beside those of the kind; no kind has one of that name."""

_OPEN = 8
"""Batches that are kept in memory, since rows that follow each other are compared with much the same ones."""


@frozen
class _Span:
    """When the rows of a symbol in a batch were, and how many there are."""

    batch: int
    first_ns: int
    last_ns: int
    rows: int


@frozen
class _Spans:
    """The spans of one symbol, by their ends."""

    batches: npt.NDArray[np.int64]
    first_ns: npt.NDArray[np.int64]
    last_ns: npt.NDArray[np.int64]
    rows: npt.NDArray[np.int64]


@define
class _Part:
    """The rows in one file: where its batches are, and how many rows each has; *begins* is the time of the first row, 0 if it has none."""

    file: str
    begins: int
    places: list[Place] = field(factory=list)
    rows: list[int] = field(factory=list)


@frozen
class _Batch:
    """A batch in memory, with the times of its rows, and the codes of their symbols."""

    rows: pa.RecordBatch
    times: npt.NDArray[np.int64]
    timed: npt.NDArray[np.bool_]
    codes: npt.NDArray[np.int64]
    names: list[str]

    def of(self, symbols: Sequence[str]) -> npt.NDArray[np.bool_]:
        """Return which rows have one of the symbols, and a time."""
        mask: npt.NDArray[np.bool_] = self.timed & np.isin(self.codes, [self.names.index(symbol) for symbol in symbols])
        return mask


class KindRows:
    """The rows of a kind.

    Files are taken in the order of their first times, so that a series that is divided among files is one.
    """

    def __init__(self, kind: Kind, spill: Spill) -> None:
        self.kind = kind
        self._spill = spill
        self._parts: list[_Part] = []
        self._time = kind.by_field["ts_ns"].name
        self._subject = kind.by_field[kind.subject].name
        self._names = [column.name for column in kind.columns]
        self.batch = functools.lru_cache(maxsize=_OPEN)(self._batch)

    def append(self, file: str, rows: pa.RecordBatch, positions: npt.NDArray[np.int64]) -> None:
        """Add rows of a file, which come one file after the other, and their positions there, from 0."""
        if not self._parts or self._parts[-1].file != file:
            first = times_as_ns(rows.column(self._time))[0].as_py()
            self._parts.append(_Part(file, first or 0))
        part = self._parts[-1]
        columns = [*(rows.column(name) for name in self._names), pa.array(positions)]
        names = [*self._names, _POSITION]
        part.places.append(self._spill.append(pa.RecordBatch.from_arrays(columns, names)))
        part.rows.append(rows.num_rows)

    def arrange(self) -> None:
        """Put the files in order; nothing is added any more."""
        self._parts.sort(key=lambda part: part.begins)
        self._places = [place for part in self._parts for place in part.places]
        self._files = [part.file for part in self._parts for _ in part.places]
        self._ends = np.cumsum([rows for part in self._parts for rows in part.rows])

    @property
    def rows(self) -> int:
        """How many there are."""
        return int(self._ends[-1])

    def tables(self) -> Iterator[pa.Table]:
        """Yield the rows, a batch at a time."""
        for number in range(len(self._places)):
            yield self._as_table([self._read(number)])

    @functools.cached_property
    def whole(self) -> pa.Table:
        """All rows, in memory from then on."""
        return self._as_table([self._read(number) for number in range(len(self._places))])

    def located(self, finding: Finding) -> Finding:
        """Return a finding with the file of its row, and the position there."""
        if finding.row is None:
            return finding
        number = int(np.searchsorted(self._ends, finding.row, side="right"))
        begins = int(self._ends[number - 1]) if number else 0
        position = self._spill.read(self._places[number]).column(_POSITION)[finding.row - begins]
        return evolve(finding, file=self._files[number], row=position.as_py())

    # What others are compared with

    def count(self, symbols: Sequence[str], reaches: Sequence[Reach]) -> int:
        """Return at most how many rows :meth:`near` would return: those of the batches that it looks into."""
        first, last = min(reach.first_ns for reach in reaches), max(reach.last_ns for reach in reaches)
        found = [self._spans[symbol] for symbol in symbols if symbol in self._spans]
        return sum(int(spans.rows[_overlapping(spans, first, last)].sum()) for spans in found)

    def near(self, symbols: Sequence[str], reaches: Sequence[Reach]) -> pa.Table:
        """Return the rows of *symbols* that are in reach of others, in order."""
        within: dict[int, set[tuple[str, Reach]]] = defaultdict(set)
        beside: dict[int, set[int]] = defaultdict(set)
        for symbol in symbols:
            spans = self._spans.get(symbol)
            for reach in reaches if spans is not None else ():
                assert spans is not None
                for number in spans.batches[_overlapping(spans, reach.first_ns, reach.last_ns)].tolist():
                    within[number].add((symbol, reach))
                if reach.complete is not None and (found := self._neighbour(symbol, spans, reach)) is not None:
                    beside[found[0]].add(found[1])
        picked = []
        for number in sorted(within.keys() | beside.keys()):
            batch = self.batch(number)
            mask = np.zeros(batch.rows.num_rows, np.bool_)
            for reach in {reach for _, reach in within[number]}:
                own = [symbol for symbol, other in within[number] if other == reach]
                mask |= batch.of(own) & (batch.times >= reach.first_ns) & (batch.times <= reach.last_ns)
            mask[list(beside[number])] = True
            picked.append(batch.rows.filter(pa.array(mask)))
        return self._as_table(picked)

    def _neighbour(self, symbol: str, spans: _Spans, reach: Reach) -> tuple[int, int] | None:
        """Return the batch and the place of the last complete row before a reach, or if there is none, of the first one after it."""
        best: tuple[int, int, int] | None = None
        for place in np.argsort(-np.minimum(spans.last_ns, reach.first_ns - 1), kind="stable").tolist():
            if spans.first_ns[place] >= reach.first_ns:
                continue
            if best is not None and spans.last_ns[place] < best[0]:
                break
            batch, number = self.batch(int(spans.batches[place])), int(spans.batches[place])
            rows = np.flatnonzero(self._complete(batch, symbol, reach) & (batch.times < reach.first_ns))
            if len(rows):
                times = batch.times[rows]
                row = int(rows[np.flatnonzero(times == times.max())[-1]])  # of equal times the last to arrive
                found = int(batch.times[row]), number, row
                best = found if best is None else max(best, found)
        if best is not None:
            return best[1:]
        for place in np.argsort(spans.last_ns, kind="stable").tolist():
            if spans.last_ns[place] > reach.last_ns:
                number = int(spans.batches[place])
                batch = self.batch(number)
                rows = np.flatnonzero(self._complete(batch, symbol, reach) & (batch.times > reach.last_ns))
                if len(rows):
                    return number, int(rows[0])
        return None

    def _complete(self, batch: _Batch, symbol: str, reach: Reach) -> npt.NDArray[np.bool_]:
        mask = batch.of([symbol])
        for name in reach.complete or ():
            present = batch.rows.column(self.kind.by_field[name].name).is_valid()
            mask = mask & present.to_numpy(zero_copy_only=False)
        return mask

    @functools.cached_property
    def _spans(self) -> dict[str, _Spans]:
        """When each symbol has rows, by batch."""
        found: dict[str, list[_Span]] = {}
        for number in range(len(self._places)):
            batch = self._batch(number)
            for code, name in enumerate(batch.names):
                times = batch.times[batch.timed & (batch.codes == code)]
                if len(times):
                    span = _Span(number, int(times.min()), int(times.max()), len(times))
                    found.setdefault(name, []).append(span)
        return {name: _by_end(spans) for name, spans in found.items()}

    def _batch(self, number: int) -> _Batch:
        rows = self._read(number)
        times = times_as_ns(rows.column(self._time))
        symbols = rows.column(self._subject)
        if pa.types.is_dictionary(symbols.type):  # it may have a word twice
            symbols = symbols.dictionary_decode()
        symbols = symbols.dictionary_encode()
        return _Batch(
            rows,
            pc.fill_null(times, 0).to_numpy(zero_copy_only=False),
            times.is_valid().to_numpy(zero_copy_only=False),
            pc.fill_null(symbols.indices, -1).to_numpy(zero_copy_only=False).astype(np.int64),
            symbols.dictionary.to_pylist(),
        )

    def _read(self, number: int) -> pa.RecordBatch:
        return self._spill.read(self._places[number])

    def _as_table(self, batches: Sequence[pa.RecordBatch]) -> pa.Table:
        return decimals.table_of(self.kind, self._names, [batch.select(self._names) for batch in batches], "decimal")


def _by_end(spans: Sequence[_Span]) -> _Spans:
    last = np.array([span.last_ns for span in spans], np.int64)
    order = np.argsort(last, kind="stable")
    return _Spans(
        np.array([span.batch for span in spans], np.int64)[order],
        np.array([span.first_ns for span in spans], np.int64)[order],
        last[order],
        np.array([span.rows for span in spans], np.int64)[order],
    )


def _overlapping(spans: _Spans, first_ns: int, last_ns: int) -> npt.NDArray[np.int64]:
    """Return the places of the spans that have a time from *first_ns* to *last_ns*."""
    start = int(np.searchsorted(spans.last_ns, first_ns))
    return start + np.flatnonzero(spans.first_ns[start:] <= last_ns)
