"""Reading rows in order from the places in which they lie: sealed segments, and the hot rows between and beside them; as known earlier, retired segments, too."""

from __future__ import annotations

import collections
import contextlib
import functools
import heapq
import itertools
from collections.abc import Generator, Iterable, Iterator, Sequence
from operator import attrgetter
from typing import TypeAlias, TypeVar

import numpy as np
import pyarrow as pa
from attrs import evolve, frozen

from fpa_core.arrow import columns
from fpa_core.engine.catalog import SEGMENT_ROWS, SegmentInfo
from fpa_core.engine.damage import decoding
from fpa_core.engine.filters import BatchFilter, covered, inside, matching, selected, span
from fpa_core.engine.rows import Row
from fpa_core.engine.segment_cache import CachedSegment, SegmentCache
from fpa_core.engine.segment_rows import joinable, joined_rows, last_record, opened
from fpa_core.engine.sorting import Numbers
from fpa_core.engine.tables import Reader
from fpa_core.kinds import Column, Kind
from fpa_core.numbers import MAX_NS
from fpa_core.protocols import Query
from fpa_core.segments.reader import Segment

__all__ = ["count", "count_sealed", "hot_batches", "layers", "record_batch", "scan", "sealed_infos"]


def scan(
    tables: Reader,
    query: Query,
    rows: int,
    names: Sequence[str] | None = None,
    *,
    scaled: bool = False,
    cache: SegmentCache | None = None,
) -> Iterator[pa.RecordBatch]:
    """Yield the rows of *query* in order, in batches of at most *rows*, with the columns *names*.

    :param cache: keeps segments that are looked at again: those of a range of time, or of a few rows; those of a reading of everything if there
        is room.
    """
    left = query.limit
    wanted = [column.name for column in query.kind.columns] if names is None else list(names)
    batches_known = BatchFilter.of(tables, query)
    reading = _Scan(tables, query, rows, wanted, batches_known, scaled, cache or SegmentCache(0))
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


@frozen
class _Scan:
    """One reading of rows.

    :ivar names: the columns to return.
    :ivar scaled: whether sealed decimals are wanted as the integers they are kept as.
    """

    tables: Reader
    query: Query
    rows: int
    names: Sequence[str]
    batch_filter: BatchFilter
    scaled: bool
    cache: SegmentCache

    def batches(self) -> Generator[pa.RecordBatch, None, None]:
        query = self.query
        if not query.kind.multiset:
            yield from self._hot(query)
            return
        plain = query.known_at_ns is None and query.batch is None and query.origins is None and not query.equal
        one = query.only is not None and len(query.only) == 1
        if one and plain and query.limit == 1 and query.reverse and (latest := self._latest()) is not None:
            yield latest
            return
        with contextlib.closing(self.tables.segments.find(query)) as found:
            infos = (info for info in found if self.batch_filter.meets(info))
            yield from self._sealed(infos) if self.batch_filter.last is None else self._known(infos)

    def _sealed(self, infos: Iterator[SegmentInfo], *, overlapping: bool = False) -> Iterator[pa.RecordBatch]:
        """Yield the rows of segments, and the hot ones between and beside them.

        :param overlapping: whether segments may overlap, as retired ones do.
        """
        query = self.query
        if (first := next(infos, None)) is None:
            yield from self._hot(query)
            return
        hot = self.tables.rows.subjects(query, known=self.batch_filter.last)
        for subject, own in self._by_subject(itertools.chain([first], infos), hot):
            if overlapping:
                yield from self._layered(subject, list(own), is_hot=subject in hot)
                continue
            if subject not in hot and self._in_large_batches():
                yield from self._joined(subject, own)
                continue
            for start_ns, end_ns, info in (_windows_back if query.reverse else _windows)(query, own):
                within = self._within(subject, start_ns, end_ns) if subject in hot else None
                if info is not None:
                    yield self._merged(info, within)
                elif within is not None:
                    yield from self._hot(within)

    def _known(self, infos: Iterator[SegmentInfo]) -> Iterator[pa.RecordBatch]:
        """Yield the rows that were known at a time: those of segments, and of retired ones."""
        query = self.query
        with contextlib.closing(self.tables.retired.find(query, known=self.batch_filter.last)) as found:
            past = (info for info in found if self.batch_filter.meets(info))
            if (first := next(past, None)) is None:
                yield from self._sealed(infos)
                return
            by = attrgetter("subject", "last_ns")
            both = heapq.merge(infos, itertools.chain([first], past), key=by, reverse=query.reverse)
            yield from self._sealed(both, overlapping=True)

    def _layered(self, subject: str, infos: Sequence[SegmentInfo], *, is_hot: bool) -> Iterator[pa.RecordBatch]:
        """Yield the rows of a subject of which some segments are retired, and may overlap with others."""
        windows = list(layers(self.query, infos))
        for start_ns, end_ns, inside_it in reversed(windows) if self.query.reverse else windows:
            within = self._within(subject, start_ns, end_ns)
            if inside_it:
                yield self._merged_layers(inside_it, within, is_hot=is_hot)
            elif is_hot:
                yield from self._hot(within)

    def _merged_layers(self, infos: Sequence[SegmentInfo], within: Query, *, is_hot: bool) -> pa.RecordBatch:
        """Return the rows of *within* that are in one of several segments, or hot."""
        parts: list[_Part] = []
        for info in infos:
            cached = self._segment(info)
            segment = cached.segment
            start, end = span(segment, info, within)
            mask = matching(segment, info, within, self.batch_filter, start, end)
            batch = cached.rows(start, end, self.names, scaled=False)
            times, places = segment.integers("timestamp")[start:end], segment.places()[start:end]
            if mask is not None:
                batch, times, places = batch.filter(pa.array(mask)), times[mask], places[mask]
            parts.append((batch, times, places))
        if is_hot:
            parts += map(_late, self._hot(evolve(within, reverse=False), ["ts_ns", "seq"]))
        batch = _in_order(self.query.kind, parts)
        return _reversed(batch) if self.query.reverse else batch

    def _within(self, subject: str, start_ns: int | None, end_ns: int | None) -> Query:
        """Return the query for the rows of a subject in some time."""
        return evolve(self.query, subjects=(subject,), patterns=(), start_ns=start_ns, end_ns=end_ns, limit=None)

    def _by_subject(self, infos: Iterable[SegmentInfo], hot: set[str]) -> Iterator[tuple[str, Iterable[SegmentInfo]]]:
        """Yield each subject that has rows, in order, with its segments, which are looked up as they are needed."""
        waiting = collections.deque(sorted(hot, reverse=self.query.reverse))
        for subject, own in itertools.groupby(infos, key=attrgetter("subject")):
            while waiting and (waiting[0] > subject if self.query.reverse else waiting[0] < subject):
                yield waiting.popleft(), ()
            if waiting and waiting[0] == subject:
                waiting.popleft()
            yield subject, own
        for subject in waiting:
            yield subject, ()

    def _hot(self, query: Query, extra: Sequence[str] = ()) -> Generator[pa.RecordBatch, None, None]:
        return hot_batches(self.tables, query, self.batch_filter.last, self.rows, extra, self.names)

    def _latest(self) -> pa.RecordBatch | None:
        """Return the latest row if it is hot, or the last of a segment; None if a segment must be searched."""
        end_ns = self.query.end_ns
        with contextlib.closing(self._hot(self.query, ["ts_ns"])) as rows:
            hot = next(rows, None)
        with contextlib.closing(self.tables.segments.find(self.query)) as found:
            info = next(found, None)
        if hot is not None and (info is None or hot.column("ts_ns")[0].as_py() >= info.last_ns):
            return hot.select(self.names)
        within = info is not None and (end_ns is None or info.last_ns < end_ns)
        return last_record(info, self.names) if info is not None and within else None

    def _segment(self, info: SegmentInfo) -> CachedSegment:
        return self.cache.get(info, lambda: _read(self.tables, info), scanning=self._scanning())

    def _scanning(self) -> bool:
        """Return whether many segments are read together, each of them as a whole."""
        query = self.query
        return query.limit is None and (query.start_ns is None or query.end_ns is None)

    def _in_large_batches(self) -> bool:
        """Return whether some columns of many segments are asked for, in batches that hold several of these."""
        query = self.query
        some = self.scaled and len(self.names) < len(query.kind.columns) and not query.reverse and not query.equal
        return some and self._scanning() and self.rows > SEGMENT_ROWS

    def _joined(self, subject: str, infos: Iterable[SegmentInfo]) -> Iterator[pa.RecordBatch]:
        """Yield the rows of a subject without hot rows: those of successive segments in one batch, if it holds them."""
        query = self.query
        stored = [name for name in self.names if query.kind.by_name[name].field != query.kind.subject]
        waiting: list[Segment] = []
        shape: Sequence[int | None] = ()

        def taken() -> Iterator[pa.RecordBatch]:
            if waiting:
                yield joined_rows(query.kind, subject, waiting, self.names, shape)
                waiting.clear()

        for info in infos:
            if not (all(inside(info, query)) and self.batch_filter.covers(info)):
                yield from taken()
                yield self._merged(info, None)
                continue
            kept = self.cache.columns(info, stored, functools.partial(_read, self.tables, info))
            own = joinable(query.kind, kept.segment, self.names)
            if own != shape or sum(one.rows for one in waiting) + info.rows > self.rows:
                yield from taken()
            if own is None:
                yield kept.rows(0, info.rows, self.names, scaled=True)
            else:
                shape = own
                waiting.append(kept.segment)
        yield from taken()

    def _merged(self, info: SegmentInfo, within: Query | None) -> pa.RecordBatch:
        """Return the rows of a segment that satisfy the query, and the hot rows among them, if *within* asks for them."""
        query = self.query
        cached = self._segment(info)
        segment = cached.segment
        start, end = span(segment, info, query)
        mask = matching(segment, info, query, self.batch_filter, start, end)
        late = [] if within is None else list(self._hot(evolve(within, reverse=False), ["ts_ns", "seq"]))
        if mask is None and not late and (limit := query.limit) is not None:
            start, end = (max(start, end - limit), end) if query.reverse else (start, min(end, start + limit))
        batch = cached.rows(start, end, self.names, scaled=self.scaled and not late)
        if mask is not None:
            batch = batch.filter(pa.array(mask))
        if late:
            times, places = segment.integers("timestamp")[start:end], segment.places()[start:end]
            if mask is not None:
                times, places = times[mask], places[mask]
            batch = _in_order(query.kind, [(batch, times, places), *map(_late, late)])
        return _reversed(batch) if query.reverse else batch


def _read(tables: Reader, info: SegmentInfo) -> Segment:
    return opened(info, tables.segments.contents([info.id]).get(info.id))


_S = TypeVar("_S", bound=SegmentInfo)

_Window: TypeAlias = tuple[int | None, int | None, SegmentInfo | None]
"""A half-open range of time, and the segment that lies in it, if one does."""


def _windows(query: Query, infos: Iterable[SegmentInfo]) -> Iterator[_Window]:
    """Divide the time of *query* into that of each segment, and what lies between."""
    start, end_ns = query.start_ns, query.end_ns
    for info in infos:
        if start is None or start < info.first_ns:
            yield start, info.first_ns, None
        first = info.first_ns if start is None else max(start, info.first_ns)
        end = info.last_ns + 1 if end_ns is None else min(info.last_ns + 1, end_ns)
        yield first, end, info
        start = end
    if start is None or start < (MAX_NS + 1 if end_ns is None else end_ns):
        yield start, end_ns, None


def _windows_back(query: Query, infos: Iterable[SegmentInfo]) -> Iterator[_Window]:
    """Divide as :func:`_windows` does, the last part first."""
    start_ns, end = query.start_ns, query.end_ns
    for info in infos:
        if info.last_ns + 1 < (MAX_NS + 1 if end is None else end):
            yield info.last_ns + 1, end, None
        first = info.first_ns if start_ns is None else max(start_ns, info.first_ns)
        last = info.last_ns + 1 if end is None else min(info.last_ns + 1, end)
        yield first, last, info
        end = first
    if start_ns is None or end is None or start_ns < end:
        yield start_ns, end, None


def layers(query: Query, infos: Sequence[_S]) -> Iterator[tuple[int | None, int | None, list[_S]]]:
    """Divide the time of *query* at the ends of segments of one subject, which may overlap, and between them; yield each part with the segments in it."""
    start, end_ns = query.start_ns, MAX_NS + 1 if query.end_ns is None else query.end_ns
    waiting = collections.deque(sorted(infos, key=attrgetter("first_ns")))
    active: list[_S] = []
    for last_ns in sorted({info.last_ns for info in infos}):
        if not active and (start is None or start < waiting[0].first_ns):
            yield start, waiting[0].first_ns, []
            start = waiting[0].first_ns
        while waiting and waiting[0].first_ns <= last_ns:
            active.append(waiting.popleft())
        end = min(last_ns + 1, end_ns)
        yield start, end, list(active)
        if end == end_ns:
            return
        start = end
        active = [info for info in active if info.last_ns > last_ns]
    yield start, query.end_ns, []


_Part: TypeAlias = tuple[pa.RecordBatch, Numbers, Numbers]
"""Rows, the time of each, and its place among those of its time."""


def _late(rows: pa.RecordBatch) -> _Part:
    """Return hot rows, of which times and places are the last two columns, as a part."""
    width = rows.num_columns - 2
    times, places = (rows.column(place).to_numpy() for place in (width, width + 1))
    return rows.select(range(width)), times, places


def _in_order(kind: Kind, parts: Sequence[_Part]) -> pa.RecordBatch:
    """Return sealed and hot rows by time, and at one time by their order of arrival."""
    all_times, arrival = (np.concatenate([part[place] for part in parts]) for place in (1, 2))
    order = pa.array(np.lexsort([arrival, all_times]))
    names = parts[0][0].schema.names
    arrays = []
    for place, name in enumerate(names):
        values = [batch.column(place) for batch, _, _ in parts]
        if kind.by_name[name].type == "decimal":
            values = columns.to_common_type([columns.as_numeric(one) for one in values])
        arrays.append(pa.concat_arrays(values).take(order))
    return pa.RecordBatch.from_arrays(arrays, names=names)


def _reversed(batch: pa.RecordBatch) -> pa.RecordBatch:
    return batch.take(pa.array(np.arange(batch.num_rows)[::-1]))


def hot_batches(
    tables: Reader,
    query: Query,
    known: int | None,
    rows: int,
    extra: Sequence[str] = (),
    names: Sequence[str] | None = None,
) -> Generator[pa.RecordBatch, None, None]:
    """Yield hot rows, and those of the history that were known at the time asked for.

    :param known: the last batch known at that time; None for now.
    :param extra: further columns of the rows, all of integers.
    :param names: the columns of the kind; None for all.
    """
    wanted = query.kind.columns if names is None else [query.kind.by_name[name] for name in names]
    asked = [*(column.field for column in wanted), *extra]
    parts: list[pa.RecordBatch] = []
    with contextlib.closing(tables.rows.select(query, asked, known=known, size=rows)) as found:
        for some in found:
            if parts and sum(part.num_rows for part in parts) + len(some) > rows:
                yield _as_one(parts)
                parts = []
            parts.append(record_batch(query.kind, wanted, some, extra))
    if parts:
        yield _as_one(parts)


def _as_one(parts: Sequence[pa.RecordBatch]) -> pa.RecordBatch:
    """Return batches of one schema as one."""
    return parts[0] if len(parts) == 1 else pa.Table.from_batches(parts).combine_chunks().to_batches()[0]


def record_batch(kind: Kind, wanted: Sequence[Column], rows: Sequence[Row], extra: Sequence[str]) -> pa.RecordBatch:
    """Return rows as Arrow: columns of their kind, then further ones of integers; decimals stay the canonical texts they are (see :mod:`fpa_core.arrow.columns`)."""
    try:
        return _built(wanted, rows, extra)
    except (pa.ArrowException, TypeError, ValueError, OverflowError):
        for row in rows:  # one of them is damaged: say which
            with decoding(kind.name, row[: len(wanted)]):
                _built(wanted, [row], extra)
        raise


def _built(wanted: Sequence[Column], rows: Sequence[Row], extra: Sequence[str]) -> pa.RecordBatch:
    arrays = []
    values_of = list(zip(*rows, strict=True))
    for column, values in zip(wanted, values_of, strict=False):
        if column.type == "time":
            arrays.append(columns.time_column(values))
        else:
            arrays.append(pa.array(values, pa.int64() if column.type == "integer" else pa.string()))
    arrays += [pa.array(values, pa.int64()) for values in values_of[len(wanted) :]]
    return pa.RecordBatch.from_arrays(arrays, names=[*(column.name for column in wanted), *extra])


def count(tables: Reader, query: Query) -> int:
    """Count the rows of *query*, from the catalog if that is enough."""
    batches = BatchFilter.of(tables, query)
    infos = list(sealed_infos(tables, query, batches)) if query.kind.multiset else ()
    total = sum(count_sealed(tables, query, info, batches) for info in infos)
    total += tables.rows.count(query, known=batches.last)
    return total if query.limit is None else min(total, query.limit)


def sealed_infos(tables: Reader, query: Query, batches: BatchFilter) -> Iterator[SegmentInfo]:
    """Yield the segments that may hold rows of *query*, and with a time of knowledge the retired ones that may have held some then."""
    found: Iterable[SegmentInfo] = tables.segments.find(query)
    if batches.last is not None:
        found = itertools.chain(found, tables.retired.find(query, known=batches.last))
    return (info for info in found if batches.meets(info))


def count_sealed(tables: Reader, query: Query, info: SegmentInfo, batches: BatchFilter) -> int:
    """Count the rows of a segment that *query* selects, from the catalog if that is enough."""
    if covered(info, query, batches):
        return info.rows
    return int(selected(_read(tables, info), info, query, batches).sum())
