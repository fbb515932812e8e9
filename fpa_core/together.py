"""Validate several files as one data set: each record on its own, in the series of all files, and against records of other kinds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa
from attrs import define, evolve, field

from fpa_core.arrow import decimals
from fpa_core.arrow.batches import combine_chunks
from fpa_core.arrow.columns import times_as_ns
from fpa_core.ingest import Progress
from fpa_core.ingest.validation import RowCounts
from fpa_core.kinds import Kind
from fpa_core.protocols import Chunk, Finding
from fpa_core.validator import DataValidator, ValidationResult

__all__ = ["examine_together"]


@define
class _Part:
    """The rows of one kind in one file, and their positions there, from 0."""

    file: str
    batches: list[pa.RecordBatch] = field(factory=list)
    rows: list[Any] = field(factory=list)

    def begins(self, kind: Kind) -> int:
        """Return the time of the first row; rows without times come first."""
        times = times_as_ns(self.batches[0].column(kind.by_field["ts_ns"].name))
        return int(times[0].as_py() or 0)


def examine_together(
    validator: DataValidator, files: Iterable[tuple[str, Iterator[Chunk]]], *, progress: Progress | None = None
) -> ValidationResult:
    """Validate the rows of files, each with its name, as one data set; they are all in memory.

    Files of one kind are taken in the order of their first times, so that a series that is divided among files is one. Unparsable rows are counted
    under the rule ``record.shape``. Each finding names its file, and its row is the position there.
    """
    parts: dict[Kind, list[_Part]] = {}
    counts = RowCounts()
    for file, chunks in files:
        before = counts.rows
        for chunk in chunks:
            counts.add(chunk, file)
            if chunk.table.num_rows:
                own = parts.setdefault(chunk.kind, [])
                if not own or own[-1].file != file:
                    own.append(_Part(file))
                own[-1].batches.append(combine_chunks(pa.table(chunk.table)))
                own[-1].rows.append(np.asarray(chunk.rows, np.int64) - 1)
            if progress is not None:
                progress(counts.rows - before, chunk.progress)
    for kind, own in parts.items():
        own.sort(key=lambda part, kind=kind: part.begins(kind))  # type: ignore[misc]
    result = validator.validate_dataset({kind: _table(kind, own) for kind, own in parts.items()})
    places = {kind.name: _Places(own) for kind, own in parts.items()}
    found = [places[each.kind].located(each) for each in result.findings]
    return counts.complete(result, found)


def _table(kind: Kind, parts: list[_Part]) -> pa.Table:
    names = [column.name for column in kind.columns]
    return decimals.table_of(kind, names, [batch.select(names) for part in parts for batch in part.batches], "decimal")


class _Places:
    """Where the rows of a kind are: in which file, and at which position in it."""

    def __init__(self, parts: list[_Part]) -> None:
        self._files = [part.file for part in parts]
        rows = [np.concatenate(part.rows) for part in parts]
        self._ends = np.cumsum([len(each) for each in rows])
        self._rows = np.concatenate(rows)

    def located(self, finding: Finding) -> Finding:
        """Return a finding with the file and the position in it."""
        if finding.row is None:
            return finding
        file = self._files[int(np.searchsorted(self._ends, finding.row, side="right"))]
        return evolve(finding, file=file, row=int(self._rows[finding.row]))
