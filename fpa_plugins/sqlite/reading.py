"""Reading rows in order from both places where they lie: sealed segments, and the hot rows between and beside them."""

from __future__ import annotations

import collections
import contextlib
import itertools
from collections.abc import Generator, Iterable, Iterator, Sequence
from operator import attrgetter
from typing import Any

import apsw
import numpy as np
import numpy.typing as npt
import pyarrow as pa
from attrs import evolve, frozen

from fpa_core import columns
from fpa_core.numbers import MAX_NS
from fpa_core.protocols import Query
from fpa_core.records import Column, Kind
from fpa_core.store.segments import Segment
from fpa_plugins.sqlite import sealed
from fpa_plugins.sqlite.blocks import Block, Blocks
from fpa_plugins.sqlite.matching import Owners, matching
from fpa_plugins.sqlite.schema import batches_of, tables

__all__ = ["count", "hot_rows", "last_batch", "scan"]

Numbers = npt.NDArray[np.int64]


def last_batch(connection: apsw.Connection, known_at_ns: int | None) -> int | None:
    """Return the last batch that was known at a moment; None where that is not asked for."""
    if known_at_ns is None:
        return None
    return connection.execute("SELECT max(id) FROM batches WHERE recorded_ns <= ?", (known_at_ns,)).get or 0


def scan(
    connection: apsw.Connection,
    query: Query,
    rows: int,
    names: Sequence[str] | None = None,
    *,
    scaled: bool = False,
    blocks: Blocks | None = None,
) -> Iterator[pa.RecordBatch]:
    """Yield the rows of *query* in order, in batches of at most *rows*, with the columns *names*.

    :param blocks: where segments are kept that are looked at again: those of a range of time, or of a few rows. Those of a reading of everything
        are kept where there is room.
    """
    left = query.limit
    everything = [column.name for column in query.kind.columns]
    owners = _owners(connection, query)
    wanted = everything if names is None else list(names)
    reading = _Scan(connection, query, rows, wanted, owners, scaled, blocks or Blocks(0))
    with contextlib.closing(reading.batches()) as batches:
        for batch in batches:
            for start in range(0, batch.num_rows, rows):
                part = batch.slice(start, rows if left is None else min(rows, left))
                if part.num_rows:
                    yield part
                if left is not None:
                    left -= part.num_rows
                    if left <= 0:
                        return


def _owners(connection: apsw.Connection, query: Query) -> Owners:
    among = None
    if query.sources is not None:
        sql, patterns = batches_of(query.sources)
        among = np.array([number for (number,) in connection.execute(f"{sql} ORDER BY id", patterns)], np.int64)
    return Owners(last_batch(connection, query.known_at_ns), among)


@frozen
class _Scan:
    """One reading of rows.

    :ivar names: the columns to return.
    :ivar owners: the batches that rows may come from.
    :ivar scaled: whether sealed decimals are wanted as the integers they are kept as.
    """

    connection: apsw.Connection
    query: Query
    rows: int
    names: Sequence[str]
    owners: Owners
    scaled: bool
    blocks: Blocks

    def batches(self) -> Generator[pa.RecordBatch, None, None]:
        query = self.query
        if not query.kind.multiset:
            yield from self._hot(query)
            return
        plain = query.known_at_ns is None and query.batch is None and query.sources is None and not query.equal
        one = query.only is not None and len(query.only) == 1
        if one and plain and query.limit == 1 and query.reverse and (latest := self._latest()) is not None:
            yield latest
            return
        with contextlib.closing(sealed.find(self.connection, query)) as found:
            entries = (entry for entry in found if self.owners.meet(entry))
            if (first := next(entries, None)) is None:
                yield from self._hot(query)
                return
            hot = self._hot_subjects()
            for subject, own in self._by_subject(itertools.chain([first], entries), hot):
                part = evolve(query, subjects=(subject,), patterns=(), limit=None)
                for window, entry in (_windows_back if query.reverse else _windows)(part, own):
                    if entry is not None:
                        yield self._merged(window, entry, hot=subject in hot)
                    elif subject in hot:
                        yield from self._hot(window)

    def _by_subject(
        self, entries: Iterable[sealed.Entry], hot: set[str]
    ) -> Iterator[tuple[str, Iterable[sealed.Entry]]]:
        """Yield each subject that has rows, in order, with its segments, which are looked up as they are needed."""
        waiting = collections.deque(sorted(hot, reverse=self.query.reverse))
        for subject, own in itertools.groupby(entries, key=attrgetter("subject")):
            while waiting and (waiting[0] > subject if self.query.reverse else waiting[0] < subject):
                yield waiting.popleft(), ()
            if waiting and waiting[0] == subject:
                waiting.popleft()
            yield subject, own
        for subject in waiting:
            yield subject, ()

    def _hot(self, query: Query, extra: Sequence[str] = ()) -> Generator[pa.RecordBatch, None, None]:
        return hot_rows(self.connection, query, self.owners.last, self.rows, extra, self.names)

    def _latest(self) -> pa.RecordBatch | None:
        """Return the latest row when it is hot, or the last of a segment; None where a segment must be searched."""
        end_ns = self.query.end_ns
        with contextlib.closing(self._hot(self.query, ["ts_ns"])) as rows:
            hot = next(rows, None)
        with contextlib.closing(sealed.find(self.connection, self.query)) as found:
            entry = next(found, None)
        if hot is not None and (entry is None or hot.column("ts_ns")[0].as_py() >= entry.last_ns):
            return hot.select(self.names)
        within = entry is not None and (end_ns is None or entry.last_ns < end_ns)
        return sealed.last_record(entry, self.names) if entry is not None and within else None

    def _hot_subjects(self) -> set[str]:
        """Return the subjects that have rows outside segments."""
        t = tables(self.query.kind)
        where, parameters = t.where(self.query)
        one = " LIMIT 1" if self.query.only is not None and len(self.query.only) == 1 else ""
        found: set[str] = set()
        for table in (t.live,) if self.owners.last is None else (t.live, t.history):
            sql = f"SELECT DISTINCT {self.query.kind.subject} FROM {table} WHERE {where}{one}"
            found.update(subject for (subject,) in self.connection.execute(sql, parameters))
        return found

    def _block(self, entry: sealed.Entry) -> Block:
        query = self.query
        passing = query.limit is None and (query.start_ns is None or query.end_ns is None)
        return self.blocks.get(entry, lambda: sealed.read(self.connection, entry), passing=passing)

    def _merged(self, query: Query, entry: sealed.Entry, *, hot: bool) -> pa.RecordBatch:
        """Return the rows of a segment that satisfy *query*, and the hot rows among them."""
        block = self._block(entry)
        segment = block.segment
        start, end = _span(segment, entry, query)
        mask = matching(segment, entry, query, self.owners, start, end)
        late = list(self._hot(evolve(query, reverse=False), ["ts_ns", "seq"])) if hot else []
        if mask is None and not late and (limit := self.query.limit) is not None:
            start, end = (max(start, end - limit), end) if query.reverse else (start, min(end, start + limit))
        batch = block.rows(start, end, self.names, scaled=self.scaled and not late)
        if mask is not None:
            batch = batch.filter(pa.array(mask))
        if late:
            times, places = segment.integers("timestamp")[start:end], segment.places()[start:end]
            if mask is not None:
                times, places = times[mask], places[mask]
            batch = _in_order(query.kind, batch, times, places, late)
        return batch.take(pa.array(np.arange(batch.num_rows)[::-1])) if query.reverse else batch


def _windows(query: Query, entries: Iterable[sealed.Entry]) -> Iterator[tuple[Query, sealed.Entry | None]]:
    """Divide the time of *query* into that of each segment, and what lies between."""
    start = query.start_ns
    for entry in entries:
        if start is None or start < entry.first_ns:
            yield evolve(query, start_ns=start, end_ns=entry.first_ns), None
        first = entry.first_ns if start is None else max(start, entry.first_ns)
        end = entry.last_ns + 1 if query.end_ns is None else min(entry.last_ns + 1, query.end_ns)
        yield evolve(query, start_ns=first, end_ns=end), entry
        start = end
    if start is None or start < (MAX_NS + 1 if query.end_ns is None else query.end_ns):
        yield evolve(query, start_ns=start), None


def _windows_back(query: Query, entries: Iterable[sealed.Entry]) -> Iterator[tuple[Query, sealed.Entry | None]]:
    """Divide as :func:`_windows` does, the last part first."""
    end = query.end_ns
    for entry in entries:
        if entry.last_ns + 1 < (MAX_NS + 1 if end is None else end):
            yield evolve(query, start_ns=entry.last_ns + 1, end_ns=end), None
        first = entry.first_ns if query.start_ns is None else max(query.start_ns, entry.first_ns)
        last = entry.last_ns + 1 if end is None else min(entry.last_ns + 1, end)
        yield evolve(query, start_ns=first, end_ns=last), entry
        end = first
    if query.start_ns is None or end is None or query.start_ns < end:
        yield evolve(query, end_ns=end), None


def _span(segment: Segment, entry: sealed.Entry, query: Query) -> tuple[int, int]:
    """Return the first row of a segment in the time of *query*, and the row after the last."""
    start, end = 0, segment.rows
    inside_start = query.start_ns is None or query.start_ns <= entry.first_ns
    inside_end = query.end_ns is None or entry.last_ns < query.end_ns
    if not (inside_start and inside_end):
        times = segment.integers("timestamp")
        start = 0 if inside_start else int(np.searchsorted(times, query.start_ns or 0))
        end = end if inside_end else int(np.searchsorted(times, query.end_ns or 0))
    return start, end


def _in_order(
    kind: Kind, batch: pa.RecordBatch, times: Numbers, places: Numbers, late: Sequence[pa.RecordBatch]
) -> pa.RecordBatch:
    """Return sealed and hot rows by time, and at one time by their order of arrival."""
    all_times = np.concatenate([times, *(part.column("ts_ns").to_numpy() for part in late)])
    arrival = np.concatenate([places, *(part.column("seq").to_numpy() for part in late)])
    order = pa.array(np.lexsort([arrival, all_times]))
    arrays = []
    for name in batch.schema.names:
        parts = [part.column(name) for part in (batch, *late)]
        if kind.by_name[name].type == "decimal":
            parts = columns.unified([columns.as_numeric(part) for part in parts])
        arrays.append(pa.concat_arrays(parts).take(order))
    return pa.RecordBatch.from_arrays(arrays, names=batch.schema.names)


def hot_rows(
    connection: apsw.Connection,
    query: Query,
    known: int | None,
    rows: int,
    extra: Sequence[str] = (),
    names: Sequence[str] | None = None,
) -> Generator[pa.RecordBatch, None, None]:
    """Yield hot rows, and those of the history that were known at the time asked for.

    :param extra: further columns of the table, all of integers.
    :param names: the columns of the kind; None for all.
    """
    wanted = query.kind.columns if names is None else [query.kind.by_name[name] for name in names]
    sql, parameters = tables(query.kind).select(query, [*(column.field for column in wanted), *extra], known)
    with contextlib.closing(connection.execute(sql, parameters)) as cursor:
        while chunk := list(itertools.islice(cursor, rows)):
            yield _record_batch(wanted, chunk, extra)


def _record_batch(wanted: Sequence[Column], rows: Sequence[tuple[Any, ...]], extra: Sequence[str]) -> pa.RecordBatch:
    """Return rows as Arrow; decimals stay the canonical texts they are (see :mod:`fpa_core.columns`)."""
    arrays = []
    values_of = list(zip(*rows, strict=True))
    for column, values in zip(wanted, values_of, strict=False):
        if column.type == "time":
            arrays.append(columns.time_column(values))
        else:
            arrays.append(pa.array(values, pa.int64() if column.type == "integer" else pa.string()))
    arrays += [pa.array(values, pa.int64()) for values in values_of[len(wanted) :]]
    return pa.RecordBatch.from_arrays(arrays, names=[*(column.name for column in wanted), *extra])


def count(connection: apsw.Connection, query: Query) -> int:
    """Count the rows of *query*, from the catalog where that will do."""
    owners = _owners(connection, query)
    entries = [entry for entry in sealed.find(connection, query) if owners.meet(entry)] if query.kind.multiset else []
    total = sum(_count_sealed(connection, query, entry, owners) for entry in entries)
    sql, parameters = tables(query.kind).select(query, ["1"], owners.last)
    total += int(connection.execute(f"SELECT count(*) FROM ({sql})", parameters).get)
    return total if query.limit is None else min(total, query.limit)


def _count_sealed(connection: apsw.Connection, query: Query, entry: sealed.Entry, owners: Owners) -> int:
    inside_start = query.start_ns is None or query.start_ns <= entry.first_ns
    inside_end = query.end_ns is None or entry.last_ns < query.end_ns
    if inside_start and inside_end and not query.equal and owners.cover(entry, query):
        return entry.rows
    segment = sealed.read(connection, entry)
    start, end = _span(segment, entry, query)
    mask = matching(segment, entry, query, owners, start, end)
    return end - start if mask is None else int(mask.sum())
