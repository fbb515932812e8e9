"""Bulk rows of quotes and trades that wait to fill segments, and the sealed segments that arriving rows meet."""

from __future__ import annotations

import functools
import itertools
from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, TypeVar

import numpy as np
import pyarrow as pa

from fpa_core.arrow.batches import equal_rows, to_decimal
from fpa_core.engine import catalog
from fpa_core.engine.catalog import SegmentInfo
from fpa_core.engine.filters import BatchFilter
from fpa_core.engine.matched import MatchedRows, Owners, as_rows
from fpa_core.engine.merge import Stored
from fpa_core.engine.plain_columns import plain_columns
from fpa_core.engine.rows import Row, shape_of
from fpa_core.engine.segment_rows import opened, rows_of
from fpa_core.engine.segment_writer import PendingSegment, write_segments
from fpa_core.engine.sorting import Mask, Numbers, SubjectRuns, join_runs
from fpa_core.engine.subject_rows import decoded
from fpa_core.engine.tables import Writer
from fpa_core.kinds import Kind
from fpa_core.protocols import Query
from fpa_core.segments.reader import Segment

__all__ = ["MetSegments", "OpenSegment", "SegmentBuffer", "insert_runs", "write_runs"]

MOST_HELD = 1_048_576
"""Rows held back before they are written."""

BYTES_OF_A_ROW = 128
"""Bytes that count as one row held back: rows of long texts are many, by this measure."""

KEPT_OPEN = 64
"""Segments kept decoded for the rows that follow."""

T = TypeVar("T")


def insert_runs(tables: Writer, runs: SubjectRuns, batch: int, first_seq: int = 0) -> None:
    """Insert rows as hot ones; no rows of their subjects and times have the places from *first_seq* on."""
    if len(runs):
        kind = runs.kind
        values = plain_columns(kind, runs.table())
        places = (runs.ranks() + first_seq).tolist()
        added = ([batch] * len(places), [None] * len(places))
        tables.rows.insert(kind, zip(*values, places, *added, strict=True))


class SegmentBuffer:
    """Rows of one batch that no stored ones lie among, nor between those of one subject that are held back."""

    def __init__(self, tables: Writer, batch: int) -> None:
        self._tables = tables
        self._batch = batch
        self._held: dict[Kind, list[SubjectRuns]] = {}
        self._last: dict[Kind, dict[str, int]] = {}
        self._weight = 0

    def last_of(self, kind: Kind) -> dict[str, int]:
        """Return the last time held back of each subject."""
        return self._last.get(kind, {})

    def append(self, runs: SubjectRuns) -> None:
        """Hold rows back; no subject's begin before the last time that is held back of it."""
        if len(runs):
            self._held.setdefault(runs.kind, []).append(runs)
            self._last.setdefault(runs.kind, {}).update(zip(runs.subjects, runs.lasts.tolist(), strict=True))
            self._weight += _weight(runs)

    def relieve(self) -> None:
        """Once much is held back, write the runs that fill a segment, then the longest of the others, until half is gone."""
        if self._weight < MOST_HELD:
            return
        for kind in list(self._held):
            runs = self._taken(kind)
            sizes = runs.sizes
            by_size = np.argsort(-sizes, kind="stable")
            left = len(runs) - np.cumsum(sizes[by_size])
            enough = int(np.argmax(left <= len(runs) // 2)) + 1
            chosen = np.zeros(len(sizes), bool)
            chosen[by_size[: max(enough, int((sizes >= catalog.SEGMENT_ROWS).sum()))]] = True
            by_row = np.repeat(chosen, sizes)
            write_runs(self._tables, runs.only(by_row), self._batch)
            if not chosen.all():
                self.append(runs.only(~by_row))

    def flush(self, kind: Kind | None = None) -> None:
        """Write what is held back."""
        for each in list(self._held) if kind is None else [kind] if kind in self._held else []:
            write_runs(self._tables, self._taken(each), self._batch)

    def _taken(self, kind: Kind) -> SubjectRuns:
        parts = self._held.pop(kind)
        self._last.pop(kind, None)
        self._weight -= sum(map(_weight, parts))
        return join_runs(parts)


def write_runs(tables: Writer, runs: SubjectRuns, batch: int) -> None:
    """Write the runs that are long enough as segments, and the others as hot rows, at times at which no other rows are."""
    long = runs.sizes >= catalog.LEAST_ROWS
    if long.any():
        write_segments(
            tables,
            (
                PendingSegment(runs.kind, subject, runs.rows.slice(start, end - start), np.full(end - start, batch))
                for subject, start, end in runs
                if end - start >= catalog.LEAST_ROWS
            ),
        )
    if not long.all():
        insert_runs(tables, runs.only(np.repeat(~long, runs.sizes)), batch)


def _weight(runs: SubjectRuns) -> int:
    return max(len(runs), int(runs.rows.nbytes) // BYTES_OF_A_ROW)


class SealedPlace(NamedTuple):
    """Where a sealed row is found again."""

    segment: OpenSegment
    row: int


class OpenSegment:
    """A sealed segment that arriving rows meet.

    :ivar claimed: which of its rows belong to the batch being written, or were recognised as rows of it.
    """

    def __init__(self, info: SegmentInfo, segment: Segment, claimed: Mask) -> None:
        self.info = info
        self.times: Numbers = segment.integers("timestamp")
        self.rows = rows_of(info, segment, scaled=True)
        self.places = segment.places()
        self.claimed = claimed

    def claim_run(self, rows: pa.RecordBatch, times: Numbers) -> bool:
        """Claim a run of the segment that equals *rows*; return False, and claim nothing, if there is none."""
        start, stop = self.span(times[0])
        claimed = self.claimed[start:stop]
        start = stop if claimed.all() else start + int(claimed.argmin())
        end = start + len(times)
        if end > len(self.times) or self.claimed[start:end].any() or not np.array_equal(self.times[start:end], times):
            return False
        if not equal_rows(self.info.kind, self.rows.slice(start, len(times)), rows):
            return False
        self.claimed[start:end] = True
        return True

    def span(self, ts_ns: int) -> tuple[int, int]:
        """Return the first row at a time, and the row after the last."""
        return int(np.searchsorted(self.times, ts_ns, "left")), int(np.searchsorted(self.times, ts_ns, "right"))

    def unclaimed(self, start: int, end: int) -> Iterator[Stored[Row]]:
        """Yield the rows from *start* to *end* that are not claimed."""
        for row in (start + np.flatnonzero(~self.claimed[start:end])).tolist():
            yield Stored(SealedPlace(self, row), self._contents[row], claimed=False)

    @functools.cached_property
    def _contents(self) -> list[Row]:
        kind = self.info.kind
        values = plain_columns(kind, to_decimal(kind, self.rows), shape_of(kind).content)
        return list(zip(*values, strict=True))


class MetSegments:
    """The sealed segments that one batch has met, and which of their rows it was recognised as: a byte for each."""

    def __init__(self, tables: Writer, owners: Owners, matched: MatchedRows) -> None:
        self._tables = tables
        self._owners = owners
        self._matched = matched
        self._open: OrderedDict[int, OpenSegment] = OrderedDict()
        self._expected: deque[int] = deque()
        self._fetched: dict[int, bytes] = {}
        self._claims: dict[int, tuple[SegmentInfo, Mask]] = {}

    def expect(self, infos: Iterable[SegmentInfo]) -> None:
        """Note which segments will be opened, in this order, so that some are read together."""
        self._expected = deque(info.id for info in infos if info.id not in self._open)
        self._fetched.clear()

    def _fetch(self, ids: Sequence[int]) -> None:
        """Read segments, and with them those that are expected next."""
        missing = dict.fromkeys(number for number in ids if number not in self._open and number not in self._fetched)
        if missing:
            while self._expected and len(missing) < KEPT_OPEN:
                missing[self._expected.popleft()] = None
            self._fetched.update(self._tables.segments.contents(list(missing)))

    def open(self, infos: Sequence[SegmentInfo]) -> Iterator[OpenSegment]:
        """Yield segments decoded."""
        for some in _in_parts(infos):
            self._fetch([info.id for info in some])
            for info in some:
                if info.id not in self._open:
                    segment = opened(info, self._fetched.pop(info.id, None))
                    # A byte for each row met lasts as long as the batch; the rows are read again when they are met again.
                    if info.id not in self._claims:
                        self._claims[info.id] = (info, self._claimed(info, segment))
                    self._open[info.id] = OpenSegment(info, segment, self._claims[info.id][1])
            opened_now = [self._open[info.id] for info in some]
            while len(self._open) > KEPT_OPEN:
                self._open.popitem(last=False)
            yield from opened_now

    def _claimed(self, info: SegmentInfo, segment: Segment) -> Mask:
        """Return which rows of a segment belong to this batch, or were recognised as rows of it before."""
        batches = segment.integers("batch")
        one = info.first_batch == info.last_batch
        brought = [info.first_batch] if one else np.unique(batches).tolist()
        own = self._owners.own(self._tables, brought)
        claimed: Mask = np.full(segment.rows, bool(own)) if one else np.isin(batches, list(own))
        earlier = self._matched.between(info.kind, info.subject, info.first_ns, info.last_ns)
        if earlier:
            rows = zip(segment.integers("timestamp").tolist(), segment.places().tolist(), batches.tolist(), strict=True)
            claimed |= np.fromiter((row in earlier for row in rows), bool, segment.rows)
        return claimed

    def keep_claims(self) -> None:
        """Record the matched rows by their place, since they may be hot, or in other segments, when they are read again."""
        for some in _in_parts(list(self._claims.values())):
            contents = self._tables.segments.contents([info.id for info, _ in some])
            for info, claimed in some:
                self._keep(info, opened(info, contents.get(info.id)), claimed)
        self._claims.clear()
        self._open.clear()

    def _keep(self, info: SegmentInfo, segment: Segment, claimed: Mask) -> None:
        batches = segment.integers("batch")
        chosen = claimed & (batches != self._owners.batch)
        self._matched.add(
            info.kind, info.subject, as_rows(segment.integers("timestamp"), segment.places(), batches, chosen)
        )

    def unseal(self, query: Query) -> None:
        """Turn the segments that may hold rows of *query* back into hot rows; what was recognised stays so."""
        batches = BatchFilter.of(self._tables, query)
        with_rows = [info for info in self._tables.segments.find(query) if batches.meets(info)]
        for some in _in_parts(with_rows):
            contents = self._tables.segments.contents([info.id for info in some])
            segments = [(info, opened(info, contents.get(info.id))) for info in some]
            self.release(some)
            rows = (decoded(info, segment).plain(query.kind) for info, segment in segments)
            self._tables.rows.insert(query.kind, itertools.chain.from_iterable(rows))
            self._tables.segments.remove([info.id for info in some])

    def release(self, infos: Sequence[SegmentInfo]) -> None:
        """Forget segments that are about to change; what was recognised stays so."""
        for some in _in_parts([info for info in infos if info.id in self._claims]):
            contents = self._tables.segments.contents([info.id for info in some])
            for info in some:
                self._keep(info, opened(info, contents.get(info.id)), self._claims.pop(info.id)[1])
        for info in infos:
            self._open.pop(info.id, None)
            self._fetched.pop(info.id, None)


def _in_parts(items: Sequence[T]) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), KEPT_OPEN):
        yield items[start : start + KEPT_OPEN]
