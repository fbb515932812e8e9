"""Read files once, and validate their rows as one data set in bounded memory."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa

from fpa_core.arrow.batches import combine_chunks
from fpa_core.arrow.conversion import from_table
from fpa_core.ingest import Progress
from fpa_core.ingest.validation import RowCounts
from fpa_core.kinds import KINDS, POSITIONS, SNAPSHOTS, Kind
from fpa_core.protocols import Capability, Chunk, Reach
from fpa_core.together.kind_rows import KindRows
from fpa_core.together.spill import Spill
from fpa_core.validator import DataValidator, ValidationResult
from fpa_core.validator.consistency import with_positions
from fpa_core.validator.result import merged

__all__ = ["examine_together"]

Reaches: TypeAlias = Mapping[str, Sequence[Reach] | None]
"""By the name of a kind, which rows of it some rows are compared with; None for all."""

MOST = 250_000
"""Rows of other kinds that are in memory at once, unless a single row is compared with more."""

WORTHWHILE = 0.9
"""Rows are divided only if the halves are compared with no more than this share of what they are compared with together."""


def examine_together(
    validator: DataValidator, files: Iterable[tuple[str, Iterator[Chunk]]], *, progress: Progress | None = None
) -> ValidationResult:
    """Validate the rows of files, each with its name, as one data set.

    Files are read once, and their rows are kept on disk, in the folder for temporary files. Files of one kind are taken in the order of their first
    times, so that a series that is divided among files is one. In memory are a batch, and the rows of other kinds that it is compared with; all rows
    of a kind only for a rule that does not say which it looks at (see :meth:`fpa_core.validator.Rule.reach`). Unparsable rows are counted under the
    rule ``record.shape``. Each finding names its file, and its row is the position there.
    """
    kinds: dict[Kind, KindRows] = {}
    counts = RowCounts()
    with contextlib.closing(Spill()) as spill:
        for file, chunks in files:
            before = counts.rows
            for chunk in chunks:
                counts.add(chunk, file)
                if chunk.table.num_rows:
                    own = kinds.setdefault(chunk.kind, KindRows(chunk.kind, spill))
                    own.append(file, combine_chunks(pa.table(chunk.table)), np.asarray(chunk.rows, np.int64) - 1)
                if progress is not None:
                    progress(counts.rows - before, chunk.progress)
        for own in kinds.values():
            own.arrange()
        result = merged([_validated(validator, kind, kinds) for kind in kinds])
        found = [kinds[KINDS[each.kind]].located(each) for each in result.findings]
    return counts.complete(result, found)


def _validated(validator: DataValidator, kind: Kind, kinds: Mapping[Kind, KindRows]) -> ValidationResult:
    """Return the result for the rows of one kind, compared with those of the others."""
    run = validator.start_run()
    others = {other.name: rows for other, rows in kinds.items() if other is not kind}
    held = from_table(POSITIONS, kinds[POSITIONS].whole) if kind is SNAPSHOTS and POSITIONS in kinds else None
    for table in kinds[kind].tables():
        for part, reaches in _parts(validator, kind, table, others):
            records = None if held is None else list(with_positions(from_table(SNAPSHOTS, part), held))
            symbols = _symbols(kind, part)
            near = {
                name: others[name].whole if looked_at is None else others[name].near(symbols, looked_at)
                for name, looked_at in reaches.items()
            }
            run.validate(kind, part, records, others=near)
    return run.result()


def _parts(
    validator: DataValidator, kind: Kind, table: pa.Table, others: Mapping[str, KindRows]
) -> Iterator[tuple[pa.Table, Reaches]]:
    """Divide rows so that each part is compared with few enough rows of other kinds; yield each with which these are."""

    def measured(part: pa.Table) -> tuple[Reaches, int]:
        reaches = _reaches(validator, kind, part, others)
        symbols = _symbols(kind, part)
        return reaches, sum(others[name].count(symbols, each) for name, each in reaches.items() if each)

    def divided(part: pa.Table, reaches: Reaches, cost: int) -> Iterator[tuple[pa.Table, Reaches]]:
        middle = part.num_rows // 2
        if cost > MOST and middle:
            halves = [(half, *measured(half)) for half in (part.slice(0, middle), part.slice(middle))]
            if max(cost_of_half for *_, cost_of_half in halves) <= WORTHWHILE * cost:
                for half in halves:
                    yield from divided(*half)
                return
        yield part, reaches

    yield from divided(table, *measured(table))


def _reaches(validator: DataValidator, kind: Kind, table: pa.Table, others: Mapping[str, KindRows]) -> dict[str, Any]:
    """Return which rows of each other kind the rows of *table* are compared with."""
    if Capability.REACH not in validator.backend.capabilities:
        return dict.fromkeys(others)
    found = validator.backend.reach(kind, table)
    return {name: _of_same_symbols(kind, KINDS[name], each) for name, each in found.items() if name in others}


def _of_same_symbols(kind: Kind, other: Kind, reaches: Sequence[Reach] | None) -> Sequence[Reach] | None:
    """Return *reaches*, or None for all rows if the two kinds are not both by symbol."""
    return reaches if kind.subject == other.subject == "symbol" else None


def _symbols(kind: Kind, table: pa.Table) -> list[str]:
    found = table.column(kind.by_field[kind.subject].name).unique().to_pylist()
    return [symbol for symbol in found if symbol is not None]
