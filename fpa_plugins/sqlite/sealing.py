"""Sealing: hot rows of quotes and trades become segments, and late ones are folded into the segments they belong to.

Plan, write, verify, then delete: all in one transaction, so that a crash at any point leaves either the rows or the segments.
"""

from __future__ import annotations

from collections.abc import Iterator

import apsw
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from fpa_core.arrow import columns
from fpa_core.arrow.batches import concat, equal_rows, to_scaled
from fpa_core.exceptions import CorruptionError
from fpa_core.kinds import Kind
from fpa_core.protocols import Query, Sealed
from fpa_plugins.sqlite import packing, reading, sealed
from fpa_plugins.sqlite.schema import tables

__all__ = ["seal"]

ROWS_AT_ONCE = 8 * sealed.SEGMENT_ROWS
"""Hot rows taken into memory at once."""

Numbers = npt.NDArray[np.int64]


def seal(connection: apsw.Connection, kind: Kind, *, subject: str | None = None, least: int = 1) -> Sealed:
    """Seal the hot rows of each subject that has at least *least* of them; return what was done."""
    t = tables(kind)
    sql = f"SELECT {kind.subject}, count(*) FROM {t.live} WHERE {kind.subject} = ifnull(?, {kind.subject}) GROUP BY 1"
    done = Sealed()
    found: list[tuple[str, int]] = [*map(tuple, connection.execute(sql, (subject,)))]
    for name, hot in found:
        if hot >= least:
            for rows, segments in _seal_subject(connection, kind, name):
                done += Sealed(rows=rows, segments=segments)
            done += Sealed(subjects=1)
    return done


def _seal_subject(connection: apsw.Connection, kind: Kind, subject: str) -> Iterator[tuple[int, int]]:
    t = tables(kind)
    while (span := _next_span(connection, kind, subject)) is not None:
        query = Query(kind, (subject,), span[0], span[1] + 1)
        entries = list(sealed.find(connection, query))
        if entries:  # what is folded in is rewritten as a whole
            first, last = min(span[0], entries[0].first_ns), max(span[1], entries[-1].last_ns)
            query = Query(kind, (subject,), first, last + 1)
        rows, owners, places = _read(connection, query, entries)
        where, parameters = t.where(query)
        hot = connection.execute(f"SELECT count(*) FROM {t.live} WHERE {where}", parameters).get
        sealed.remove(connection, entries)
        packing.write(connection, [packing.Unsealed(kind, subject, rows, owners, places)])
        written = _verify(connection, query, rows, owners)
        connection.execute(f"DELETE FROM {t.live} WHERE {where}", parameters)
        yield hot, written


def _next_span(connection: apsw.Connection, kind: Kind, subject: str) -> tuple[int, int] | None:
    """Return the first and last time of the next hot rows to seal; a time is taken as a whole."""
    sql = f"SELECT ts_ns FROM {tables(kind).live} WHERE {kind.subject} = ? ORDER BY ts_ns LIMIT ?"
    first, last = next(connection.execute(f"SELECT min(ts_ns), max(ts_ns) FROM ({sql})", (subject, ROWS_AT_ONCE)))
    return None if first is None else (first, last)


def _read(
    connection: apsw.Connection, query: Query, entries: list[sealed.Entry]
) -> tuple[pa.RecordBatch, Numbers, Numbers]:
    """Return all rows of a subject in a span, sealed and hot, in order, as a narrow batch, with the batch and place of arrival of each."""
    parts: list[pa.RecordBatch] = []
    owners: list[Numbers] = []
    places: list[Numbers] = []
    for entry in entries:
        segment = sealed.read(connection, entry)
        parts.append(sealed.rows_of(entry, segment, scaled=True))
        owners.append(segment.integers("batch"))
        places.append(segment.places())
    for batch in reading.hot_rows(connection, query, None, sealed.SEGMENT_ROWS, ["batch", "seq"]):
        parts.append(to_scaled(query.kind, batch.select([column.name for column in query.kind.columns])))
        owners.append(batch.column("batch").to_numpy())
        places.append(batch.column("seq").to_numpy())
    rows = concat(query.kind, parts)
    owner, place = np.concatenate(owners), np.concatenate(places)
    times = columns.times_as_ns(rows.column("timestamp")).to_numpy()
    order = np.lexsort([place, times])
    return rows.take(pa.array(order)), owner[order], place[order]


def _verify(connection: apsw.Connection, query: Query, meant: pa.RecordBatch, owners: Numbers) -> int:
    """Read the new segments back and compare them, value by value, with what they were made of; return how many they are.

    :raises CorruptionError: when they differ; nothing is sealed then.
    """
    entries = list(sealed.find(connection, query))
    start = 0
    for entry in entries:
        segment = sealed.read(connection, entry)
        rows = sealed.rows_of(entry, segment, scaled=True)
        owned = np.array_equal(segment.integers("batch"), owners[start : start + entry.rows])
        if not (owned and equal_rows(query.kind, rows, meant.slice(start, entry.rows))):
            raise CorruptionError(f"{entry} does not hold what was written to it", operation="seal")
        start += entry.rows
    if start != meant.num_rows:
        raise CorruptionError(f"{start} of {meant.num_rows} rows were sealed", operation="seal")
    return len(entries)
