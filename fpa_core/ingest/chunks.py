"""Chunks of rows, complete with ids and times, from whatever a source yields."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from attrs import evolve

from fpa_core.arrow.conversion import to_table, values_of_rows
from fpa_core.identity import IdMaker
from fpa_core.kinds import ORDERS, POSITIONS, SNAPSHOTS, Kind, kind_of
from fpa_core.protocols import Chunk, Reject

if TYPE_CHECKING:
    from fpa_core.store import DataStore

__all__ = ["Progress", "as_chunks", "chunks_of", "with_ids", "with_times"]

Progress: TypeAlias = Callable[[int, float | None], None]
"""A callback for progress: the number of rows read, and the share of the source, from 0 to 1, or None if it is unknown."""

AT_ONCE = 65_536
"""The number of records of a source in one chunk."""


def chunks_of(store: DataStore, records: Any) -> Iterator[Chunk]:
    """Return one or more records, of any kinds, as chunks, with defaults filled in as the store does."""
    whole = list(records) if isinstance(records, Iterable) else [records]
    rows: dict[Kind, list[int]] = {}
    held: list[int] = []
    for row, record in enumerate(whole, 1):
        kind = kind_of(record)
        rows.setdefault(kind, []).append(row)
        if kind is SNAPSHOTS:
            held += [row] * len(record.positions)
    rows.setdefault(POSITIONS, []).extend(held)  # after the standalone positions, in the order of grouped()
    for kind, group in store.writer.grouped(whole).items():
        yield Chunk(kind, to_table(kind, group), rows[kind], records=group)


def as_chunks(store: Callable[[], DataStore], found: Iterable[Any]) -> Iterator[Chunk]:
    """Yield the items of a source as chunks. An item is a chunk, or a plain record, whose defaults *store* fills in."""
    items = iter(found)
    count = 0
    for first in items:
        if isinstance(first, Chunk):
            yield first
            continue
        records = [first, *itertools.islice(items, AT_ONCE - 1)]
        for chunk in chunks_of(store(), records):
            yield evolve(chunk, rows=[count + row for row in chunk.rows])
        count += len(records)


def with_ids(chunks: Iterator[Chunk]) -> Iterator[Chunk]:
    """Yield chunks whose fills and cash flows have ids: before they are judged, so that a rejected one keeps its place among equal ones."""
    ids = IdMaker()
    for chunk in chunks:
        if chunk.kind.made_id is None:
            yield chunk
        elif chunk.records is None:
            yield evolve(chunk, table=ids.complete(chunk.kind, chunk.table))
        else:
            records = ids.complete_records(chunk.records)
            yield evolve(chunk, table=to_table(chunk.kind, records), records=records)


def with_times(chunk: Chunk) -> Chunk:
    """Reject rows of a file without a time: with the current time, the same file would give new rows at each ingest."""
    if chunk.kind not in {ORDERS, POSITIONS}:
        return chunk
    import pyarrow.compute as pc

    times = chunk.table.column("timestamp")
    if not times.null_count:
        return chunk
    timeless = pc.indices_nonzero(times.is_null()).to_pylist()
    rejects = _timeless(chunk, timeless)
    kept = times.is_valid()
    rows = list(itertools.compress(chunk.rows, kept.to_pylist()))
    return evolve(chunk, table=chunk.table.filter(kept), rows=rows, rejects=(*chunk.rejects, *rejects))


def _timeless(chunk: Chunk, positions: Sequence[int]) -> Iterator[Reject]:
    for position, values in zip(positions, values_of_rows(chunk.kind, chunk.table.take(positions)), strict=True):
        cells = {name: str(value) for name, value in values.items()}
        raw = json.dumps(values, ensure_ascii=False)
        yield Reject(chunk.rows[position], raw, "timestamp is missing", cells)
