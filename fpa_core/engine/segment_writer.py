"""Rows on their way into segments: divided, coded, compressed, and added to the catalog."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from decimal import Decimal
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import pyarrow as pa
from attrs import evolve

from fpa_core.arrow import columns
from fpa_core.engine import catalog
from fpa_core.engine.catalog import RetiredSegment, SegmentInfo
from fpa_core.engine.sorting import Numbers
from fpa_core.engine.tables import Writer
from fpa_core.kinds import Kind
from fpa_core.numbers import EXACT, decimal_text
from fpa_core.segments.compression import compressed
from fpa_core.segments.layout import checksum_of
from fpa_core.segments.reader import ranks
from fpa_core.segments.writer import Draft, draft_segment

__all__ = ["PendingSegment", "last_row_text", "write_retired", "write_segments"]

AT_ONCE = 4
"""Segments compressed in one go: fewer, and threads would wait for each other at every one."""

ADDED_AT_ONCE = 32
"""Segments handed to the database together."""

_json = json.JSONEncoder(ensure_ascii=False).encode


class PendingSegment(NamedTuple):
    """Rows of one subject, a scaled batch in order of time, that are to become segments.

    :ivar batches: the batch that brought each row.
    :ivar places: the order of arrival of each among those of its time, if that is not the order of the rows.
    :ivar since: the batch that restored each, and below 0 for those that no batch restored; None if that is all.
    :ivar last_row: the text of the last row, if it was made together with others.
    :ivar read_times: the time of each, if they were read already.
    """

    kind: Kind
    subject: str
    rows: pa.RecordBatch
    batches: Numbers
    places: Numbers | None = None
    since: Numbers | None = None
    last_row: str | None = None
    read_times: Numbers | None = None

    @property
    def times(self) -> Numbers:
        """The time of each row."""
        if self.read_times is not None:
            return self.read_times
        return columns.times_as_ns(self.rows.column("timestamp")).to_numpy()  # type: ignore[no-any-return]

    def parts(self) -> Iterator[PendingSegment]:
        """Divide the rows into those of a segment each; a time is never divided between two."""
        times = self.times
        pieces = list(_pieces(times))
        ends = [end - 1 for _, end in pieces]
        # For one row, a slice takes less time.
        lasts = self.rows.slice(ends[0], 1) if len(ends) == 1 else self.rows.take(pa.array(ends))
        for (start, end), last_row in zip(pieces, _row_texts(self.kind, self.subject, lasts), strict=True):
            yield self._replace(
                rows=self.rows.slice(start, end - start),
                batches=self.batches[start:end],
                places=None if self.places is None else self.places[start:end],
                since=None if self.since is None else self.since[start:end],
                last_row=last_row,
                read_times=times[start:end],
            )

    def draft(self) -> Draft:
        """Code the rows of one segment."""
        extra = {"batch": self.batches}
        if self.places is not None and (self.places != ranks(self.times)).any():
            extra["seq"] = self.places
        if self.since is not None and (self.since >= 0).any():
            extra["since"] = self.since
        return draft_segment(self.kind, self.rows, extra)

    def info(self, content: bytes) -> SegmentInfo:
        """Return the entry of the catalog, without an id."""
        times = self.times
        last_batch = int(self.batches.max())
        return SegmentInfo(
            0,
            self.kind,
            self.subject,
            int(times[0]),
            int(times[-1]),
            len(times),
            int(self.batches.min()),
            last_batch if self.since is None else max(last_batch, int(self.since.max())),
            self.last_row or last_row_text(self.kind, self.subject, self.rows),
            checksum_of(content),
            len(content),
        )


Drafts: TypeAlias = list[tuple[PendingSegment, Draft]]


def write_segments(tables: Writer, pending: Iterable[PendingSegment]) -> None:
    """Add rows to the store as segments."""
    for some in _segments(pending):
        tables.segments.add(some)


def write_retired(tables: Writer, pending: Iterable[PendingSegment], by: int, reason: str) -> list[RetiredSegment]:
    """Add rows to the history as segments that a batch retires, and return these."""
    written: list[RetiredSegment] = []
    for some in _segments(pending):
        retired = [(RetiredSegment.of(info, by, reason), content) for info, content in some]
        ids = tables.retired.add(retired)
        written += [evolve(info, id=number) for (info, _), number in zip(retired, ids, strict=True)]
    return written


def _segments(pending: Iterable[PendingSegment]) -> Iterator[list[tuple[SegmentInfo, bytes]]]:
    """Yield the segments that rows become, some at a time."""
    encoded = _encoded(itertools.chain.from_iterable(one.parts() for one in pending))
    while ready := [(part.info(content), content) for part, content in itertools.islice(encoded, ADDED_AT_ONCE)]:
        yield ready


def _encoded(parts: Iterable[PendingSegment]) -> Iterator[tuple[PendingSegment, bytes]]:
    """Yield each part with its segment. While some are compressed, the next are coded."""
    remaining = iter(parts)
    before: tuple[Drafts, Future[list[bytes | None]]] | None = None
    with ThreadPoolExecutor(1, "fpa-compression") as helper:
        while drafts := [(part, part.draft()) for part in itertools.islice(remaining, AT_ONCE)]:
            contents = [content for _, draft in drafts for content in draft.contents]
            if before is None and len(drafts) < AT_ONCE:  # these are all, and not worth a thread
                yield from _finished(drafts, compressed(contents))
                return
            compression = helper.submit(compressed, contents)
            if before is not None:
                yield from _finished(before[0], before[1].result())
            before = drafts, compression
        if before is not None:
            yield from _finished(before[0], before[1].result())


def _finished(drafts: Drafts, frames: Iterable[bytes | None]) -> Iterator[tuple[PendingSegment, bytes]]:
    remaining = iter(frames)
    for part, draft in drafts:
        yield part, draft.segment(list(itertools.islice(remaining, len(draft.contents))))


def _pieces(times: Numbers) -> Iterator[tuple[int, int]]:
    """Divide rows into segments of about the same size, so that none is left with a few."""
    count = max(1, round(len(times) / catalog.SEGMENT_ROWS))
    start = 0
    for number in range(1, count + 1):
        if start == len(times):  # the last time had more rows than a segment holds
            return
        end = len(times) * number // count
        if end < len(times):
            end = int(np.searchsorted(times, times[end], "left"))
            if end <= start:  # more rows at one time than a segment holds
                end = int(np.searchsorted(times, times[start], "right"))
        if end > start:
            yield start, end
            start = end


def last_row_text(kind: Kind, subject: str, rows: pa.RecordBatch) -> str:
    """Return the last row of a subject as JSON; see :func:`_row_texts`."""
    return _row_texts(kind, subject, rows.slice(rows.num_rows - 1))[0]


def _row_texts(kind: Kind, subject: str, rows: pa.RecordBatch) -> list[str]:
    """Return each row of a subject as JSON by public column names, without what is null."""
    names = [kind.by_field[kind.subject].name, *rows.schema.names]
    values = [_plain(field, array) for field, array in zip(rows.schema, rows.columns, strict=True)]
    return [
        _json({name: value for name, value in zip(names, (subject, *row), strict=True) if value is not None})
        for row in zip(*values, strict=True)
    ]


def _plain(field: pa.Field, array: pa.Array) -> list[Any]:
    """Return the values of a column as JSON has them."""
    scale = columns.scale_of(field)
    if scale is not None:
        return [None if one is None else decimal_text(Decimal(one).scaleb(-scale, EXACT)) for one in array.to_pylist()]
    values = (columns.times_as_ns(array) if pa.types.is_timestamp(array.type) else array).to_pylist()
    return [decimal_text(one) if isinstance(one, Decimal) else one for one in values]
