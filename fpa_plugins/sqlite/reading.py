"""Reading rows in order from both places where they lie: sealed segments, and the hot rows between and beside them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import apsw
import numpy as np
import numpy.typing as npt
import pyarrow as pa
from attrs import evolve

from fpa_core import columns
from fpa_core.protocols import Query
from fpa_core.records import Kind
from fpa_plugins.sqlite import sealed
from fpa_plugins.sqlite.schema import tables

__all__ = ["count", "last_batch", "scan"]


def last_batch(connection: apsw.Connection, known_at_ns: int | None) -> int | None:
    """Return the last batch that was known at a moment; None where that is not asked for."""
    if known_at_ns is None:
        return None
    return connection.execute("SELECT max(id) FROM batches WHERE recorded_ns <= ?", (known_at_ns,)).get or 0


def scan(connection: apsw.Connection, query: Query, rows: int) -> Iterator[pa.RecordBatch]:
    """Yield the rows of *query* in order, in batches of at most *rows*."""
    left = query.limit
    for batch in _batches(connection, query, rows):
        for start in range(0, batch.num_rows, rows):
            part = batch.slice(start, rows if left is None else min(rows, left))
            if part.num_rows:
                yield part
            if left is not None:
                left -= part.num_rows
                if left <= 0:
                    return


def _batches(connection: apsw.Connection, query: Query, rows: int) -> Iterator[pa.RecordBatch]:
    known = last_batch(connection, query.known_at_ns)
    if not query.kind.multiset:
        yield from _hot(connection, query, known, rows)
        return
    simple = known is None and query.batch is None and not query.equal
    one = query.subjects is not None and len(query.subjects) == 1
    if one and simple and query.limit == 1 and query.reverse and (latest := _latest(connection, query)) is not None:
        yield latest
        return
    entries = sealed.find(connection, query)
    if not entries:
        yield from _hot(connection, query, known, rows)
        return
    for subject in _subjects(connection, query, entries, known):
        own = [entry for entry in entries if entry.subject == subject]
        windows = list(_windows(evolve(query, subjects=(subject,), limit=None), own))
        for window, entry in reversed(windows) if query.reverse else windows:
            if entry is None:
                yield from _hot(connection, window, known, rows)
            elif (merged := _merged(connection, window, entry, known)).num_rows:
                yield merged


def _latest(connection: apsw.Connection, query: Query) -> pa.RecordBatch | None:
    """Return the latest row when it is hot, or the last of a segment; None where a segment must be searched."""
    hot = next(_hot(connection, query, None, 1), None)
    entry = next(iter(sealed.find(connection, query, latest=True)), None)
    if entry is None:
        return hot
    if hot is not None and columns.times_as_ns(hot.column("timestamp"))[0].as_py() >= entry.last_ns:
        return hot
    return sealed.last_record(entry) if query.end_ns is None or entry.last_ns < query.end_ns else None


def _subjects(
    connection: apsw.Connection, query: Query, entries: Sequence[sealed.Entry], known: int | None
) -> Sequence[str]:
    subjects = {entry.subject for entry in entries}
    t = tables(query.kind)
    for table in (t.live,) if known is None else (t.live, t.history):
        where, parameters = t.where(query)
        subjects |= {
            one
            for (one,) in connection.execute(
                f"SELECT DISTINCT {query.kind.subject} FROM {table} WHERE {where}", parameters
            )
        }
    return sorted(subjects, reverse=query.reverse)


def _windows(query: Query, entries: Sequence[sealed.Entry]) -> Iterator[tuple[Query, sealed.Entry | None]]:
    """Divide the time of *query* into that of each segment, and what lies between."""
    start = query.start_ns
    for entry in entries:
        if start is None or start < entry.first_ns:
            yield evolve(query, start_ns=start, end_ns=entry.first_ns), None
        first = entry.first_ns if start is None else max(start, entry.first_ns)
        end = entry.last_ns + 1 if query.end_ns is None else min(entry.last_ns + 1, query.end_ns)
        yield evolve(query, start_ns=first, end_ns=end), entry
        start = end
    if query.end_ns is None or start is None or start < query.end_ns:
        yield evolve(query, start_ns=start), None


def _merged(connection: apsw.Connection, query: Query, entry: sealed.Entry, known: int | None) -> pa.RecordBatch:
    """Return the rows of a segment that satisfy *query*, and the hot rows among them."""
    segment = sealed.read(connection, entry)
    start, end = 0, segment.rows
    if query.start_ns is not None and query.start_ns > entry.first_ns:
        start = int(np.searchsorted(segment.integers("timestamp"), query.start_ns))
    if query.end_ns is not None and query.end_ns <= entry.last_ns:
        end = int(np.searchsorted(segment.integers("timestamp"), query.end_ns))
    batch = sealed.rows_of(entry, segment, start, end)
    mask = sealed.matching(segment, batch, query, known, start, end)
    if mask is not None:
        batch = batch.filter(mask)
    hot = list(_hot(connection, evolve(query, reverse=False), known, sealed.SEGMENT_ROWS, ["seq"]))
    if hot:
        places = segment.places()[start:end]
        places = places if mask is None else places[mask.to_numpy(zero_copy_only=False)]
        batch = _in_order(query.kind, batch, places, hot)
    return batch.take(pa.array(np.arange(batch.num_rows)[::-1])) if query.reverse else batch


def _in_order(
    kind: Kind, sealed_rows: pa.RecordBatch, places: npt.NDArray[np.int64], hot: Sequence[pa.RecordBatch]
) -> pa.RecordBatch:
    """Return rows of both sorts by time, and at one time by their order of arrival."""
    whole = pa.Table.from_batches([_as_texts(kind, part) for part in (sealed_rows, *hot)]).combine_chunks()
    times = columns.times_as_ns(whole.column("timestamp").combine_chunks()).to_numpy()
    arrival = np.concatenate([places, *(part.column("seq").to_numpy() for part in hot)])
    return whole.take(pa.array(np.lexsort([arrival, times]))).combine_chunks().to_batches()[0]


def _as_texts(kind: Kind, batch: pa.RecordBatch) -> pa.RecordBatch:
    """Give decimals the one form that fits any other."""
    arrays = [
        columns.as_texts(batch.column(column.name)) if column.type == "decimal" else batch.column(column.name)
        for column in kind.columns
    ]
    return pa.RecordBatch.from_arrays(arrays, names=[column.name for column in kind.columns])


def _hot(
    connection: apsw.Connection, query: Query, known: int | None, rows: int, extra: Sequence[str] = ()
) -> Iterator[pa.RecordBatch]:
    t = tables(query.kind)
    sql, parameters = t.select(query, [*(column.field for column in query.kind.columns), *extra], known)
    cursor = connection.execute(sql, parameters)
    while chunk := list(itertools.islice(cursor, rows)):
        yield _record_batch(query.kind, chunk, extra)


def _record_batch(kind: Kind, rows: Sequence[tuple[Any, ...]], extra: Sequence[str]) -> pa.RecordBatch:
    """Return rows as Arrow; decimals stay the canonical texts they are (see :mod:`fpa_core.columns`)."""
    arrays = []
    values_of = list(zip(*rows, strict=True))
    for column, values in zip(kind.columns, values_of, strict=False):
        if column.type == "time":
            arrays.append(columns.time_column(values))
        else:
            arrays.append(pa.array(values, pa.int64() if column.type == "integer" else pa.string()))
    arrays += [pa.array(values, pa.int64()) for values in values_of[len(kind.columns) :]]
    return pa.RecordBatch.from_arrays(arrays, names=[*(column.name for column in kind.columns), *extra])


def count(connection: apsw.Connection, query: Query) -> int:
    """Count the rows of *query*, from the catalog where that will do."""
    known = last_batch(connection, query.known_at_ns)
    entries = sealed.find(connection, query) if query.kind.multiset else []
    if entries and (known is not None or query.batch is not None or query.equal):
        return sum(batch.num_rows for batch in scan(connection, query, sealed.SEGMENT_ROWS))
    total = sum(_count_sealed(connection, query, entry) for entry in entries)
    sql, parameters = tables(query.kind).select(query, ["1"], known)
    total += int(connection.execute(f"SELECT count(*) FROM ({sql})", parameters).get)
    return total if query.limit is None else min(total, query.limit)


def _count_sealed(connection: apsw.Connection, query: Query, entry: sealed.Entry) -> int:
    inside_start = query.start_ns is None or query.start_ns <= entry.first_ns
    inside_end = query.end_ns is None or entry.last_ns < query.end_ns
    if inside_start and inside_end:
        return entry.rows
    times = sealed.read(connection, entry).integers("timestamp")
    start = 0 if query.start_ns is None else int(np.searchsorted(times, query.start_ns))
    end = len(times) if query.end_ns is None else int(np.searchsorted(times, query.end_ns))
    return end - start
