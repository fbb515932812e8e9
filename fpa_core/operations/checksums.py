"""Checksums of all that a store holds, by kind, symbol and month: equal stores have equal ones, however they lay out their rows.

A row is hashed by its values, a column at a time, and the hashes of a part are added up. So the sum depends neither on the order in which rows are
read, nor on whether they are hot or sealed, nor on the database. Each part has two sums: over the values of its records, and over all that is stored
of them: the place, the batch, what restored or retired them. They tell accidents: two parts that differ have the same sum once in 2**64 times. They
are no protection against somebody who looks for such rows.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from attrs import astuple, frozen

from fpa_core.arrow import columns
from fpa_core.engine.catalog import RetiredSegment, SegmentInfo
from fpa_core.engine.damage import decoding
from fpa_core.engine.rows import Row, shape_of
from fpa_core.engine.segment_rows import opened, rows_of
from fpa_core.engine.tables import Reader
from fpa_core.kinds import Kind
from fpa_core.numbers import MAX_NS, MIN_NS
from fpa_core.protocols import Quarantined, QuarantineQuery, Query
from fpa_core.segments.reader import Segment

__all__ = [
    "BATCHES",
    "COVERAGE",
    "HISTORY",
    "REJECTED",
    "ROWS",
    "Part",
    "Sum",
    "Sums",
    "add_up",
    "batch_of",
    "known_columns",
    "month_of",
    "month_start",
    "month_text",
    "months_of",
    "sums_of",
    "sums_of_batch",
    "sums_of_bookkeeping",
    "sums_of_retired",
    "sums_of_rows",
    "sums_of_segments",
]

ROWS, HISTORY, BATCHES, REJECTED, COVERAGE = "rows", "history", "batches", "rejected", "coverage"

SEGMENTS_AT_ONCE = 16

Words: TypeAlias = npt.NDArray[np.uint64]

_MISSING = np.uint64(0x9E3779B97F4A7C15)
_STEP = np.uint64(0xD1B54A32D192ED03)


class Part(NamedTuple):
    """What a checksum is of.

    :ivar table: ``rows``, ``history``, ``batches``, ``rejected`` or ``coverage``.
    :ivar kind: the name of the kind; empty for batches.
    :ivar subject: the symbol or account; empty if there is none.
    :ivar month: the month of the records' time, as ``2024-05``; of a batch that in which it was recorded; empty if there is none.
    """

    table: str
    kind: str = ""
    subject: str = ""
    month: str = ""


@frozen
class Sum:
    """The number of rows of a part, and its two checksums.

    :ivar values: over the records.
    :ivar whole: also over what the store knows of them.
    """

    rows: int
    values: int
    whole: int

    def __add__(self, other: Sum) -> Sum:
        return Sum(self.rows + other.rows, (self.values + other.values) % 2**64, (self.whole + other.whole) % 2**64)

    @property
    def checksum(self) -> str:
        """Both checksums as 32 hexadecimal digits."""
        return f"{self.values:016x}{self.whole:016x}"


Sums: TypeAlias = dict[Part, Sum]


def add_up(found: Iterable[tuple[Part, Sum]], into: Sums | None = None) -> Sums:
    """Return the sums of parts that may come several times."""
    total: Sums = {} if into is None else into
    for part, one in found:
        total[part] = total[part] + one if part in total else one
    return total


def sums_of(tables: Reader, kind: Kind, done: Callable[[int], None] = lambda _: None) -> Sums:
    """Return the sums of all rows of a kind, and of their history.

    :param done: is told of the rows that were looked at.
    """
    sums: Sums = {}
    for rows in tables.rows.select(Query(kind), shape_of(kind).columns):
        add_up(sums_of_rows(kind, rows), sums)
        done(len(rows))
    for found in sums_of_segments(tables, kind):
        add_up(found, sums)
        done(sum(one.rows for _, one in found))
    for rows in tables.rows.history(Query(kind)):
        add_up(sums_of_rows(kind, rows, history=True), sums)
    for found in sums_of_retired(tables, kind):
        add_up(found, sums)
    return sums


def sums_of_rows(kind: Kind, rows: Sequence[Row], *, history: bool = False) -> list[tuple[Part, Sum]]:
    """Return the sums of whole rows; with *history*, of rows as :meth:`fpa_core.engine.tables.RowReader.history` has them."""
    if not rows:
        return []
    return sums_of_batch(kind, batch_of(kind, rows, history=history), HISTORY if history else ROWS)


def batch_of(kind: Kind, rows: Sequence[Row], *, history: bool = False) -> pa.RecordBatch:
    """Return whole rows as Arrow: the columns of the kind, then those of :func:`known_columns`."""
    shape = shape_of(kind)
    with decoding(kind.name, "one of its rows"):
        values = dict(zip((*shape.columns, "retired_by", "reason"), zip(*rows, strict=True), strict=False))
        arrays = [
            columns.time_column(values[column.field])
            if column.type == "time"
            else pa.array(values[column.field], pa.int64() if column.type == "integer" else pa.string())
            for column in kind.columns
        ]
        known = known_columns(kind, history=history)
        arrays += [pa.array(values[name], form) for name, form in known.items()]
        return pa.RecordBatch.from_arrays(arrays, [*(column.name for column in kind.columns), *known])


def known_columns(kind: Kind, *, history: bool = False) -> dict[str, pa.DataType]:
    """Return what a store knows of a row besides the record: names and types of columns."""
    names = ("batch", "since", *(("seq",) if kind.multiset else ()), *(("retired_by",) if history else ()))
    return dict.fromkeys(names, pa.int64()) | ({"reason": pa.string()} if history else {})


def sums_of_batch(kind: Kind, batch: pa.RecordBatch, table: str) -> list[tuple[Part, Sum]]:
    """Return the sums of rows: the columns of the kind, and what is known of them, if that is there."""
    if not batch.num_rows:
        return []
    with decoding(kind.name, "one of its rows"):
        width = len(kind.columns)
        record, whole = _hashes(
            pa.RecordBatch.from_arrays(batch.columns[:width], schema=pa.schema(list(batch.schema)[:width])),
            batch.columns[width:],
        )
        subjects = batch.column(kind.by_field[kind.subject].name)
        return list(_by_part(table, kind, subjects, batch.columns, record, whole))


def sums_of_segments(tables: Reader, kind: Kind) -> Iterator[list[tuple[Part, Sum]]]:
    """Yield the sums of sealed rows, a segment at a time."""
    yield from _in_groups(tables, tables.segments.find(Query(kind)) if kind.multiset else ())


def sums_of_retired(tables: Reader, kind: Kind) -> Iterator[list[tuple[Part, Sum]]]:
    """Yield the sums of sealed rows of the history, a segment at a time."""
    yield from _in_groups(tables, tables.retired.find(Query(kind)) if kind.multiset else ())


def _in_groups(tables: Reader, infos: Iterable[SegmentInfo]) -> Iterator[list[tuple[Part, Sum]]]:
    some: list[SegmentInfo] = []
    for info in infos:
        some.append(info)
        if len(some) == SEGMENTS_AT_ONCE:
            yield from _of_segments(tables, some)
            some = []
    yield from _of_segments(tables, some)


def _of_segments(tables: Reader, infos: Sequence[SegmentInfo]) -> Iterator[list[tuple[Part, Sum]]]:
    contents = tables.segments.contents([info.id for info in infos])
    for info in infos:
        with decoding("segments", info):
            yield list(_of_segment(info, opened(info, contents.get(info.id))))


def _of_segment(info: SegmentInfo, segment: Segment) -> Iterator[tuple[Part, Sum]]:
    rows = rows_of(info, segment, scaled=True)
    since = segment.since()
    restored = pa.nulls(segment.rows, pa.int64()) if since is None else pa.array(since, mask=since < 0)
    known = [pa.array(segment.integers("batch")), restored, pa.array(segment.places())]
    table = ROWS
    if isinstance(info, RetiredSegment):
        table = HISTORY
        known += [pa.repeat(pa.scalar(value), segment.rows) for value in (info.retired_by, info.reason)]
    record, whole = _hashes(rows, known)
    subjects = rows.column(info.kind.by_field[info.kind.subject].name)
    return _by_part(table, info.kind, subjects, rows.columns, record, whole)


def _hashes(rows: pa.RecordBatch, known: Sequence[pa.Array]) -> tuple[Words, Words]:
    """Return a hash of each record, and one of it with the further columns *known*."""
    record = np.zeros(rows.num_rows, np.uint64)
    for own, array in zip(rows.schema, rows.columns, strict=True):
        record = _mixed(record * _STEP + _words(array, columns.scale_of(own)))
    whole = record
    for array in known:
        whole = _mixed(whole * _STEP + _words(array, None))
    return record, whole


def _mixed(words: Words) -> Words:
    """Return the words with their bits mixed: the finalizer of SplitMix64 (Steele, Lea and Flood, 2014), which no two words share a result of."""
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))


def _words(array: pa.Array, scale: int | None) -> Words:
    """Return a word for each value; equal values of any form have equal words."""
    if pa.types.is_timestamp(array.type):
        array = columns.times_as_ns(array)
    if scale is None and pa.types.is_int64(array.type):
        numbers = array.fill_null(0) if array.null_count else array
        words: Words = _mixed(numbers.to_numpy(zero_copy_only=False).view(np.uint64) + _STEP)
    else:
        encoded = array.dictionary_encode()
        distinct = encoded.dictionary
        if not pa.types.is_string(distinct.type):
            distinct = columns.as_texts(distinct if scale is None else columns.from_scaled(distinct, scale))
        digests = b"".join(
            [hashlib.blake2b(text.encode(), digest_size=8).digest() for text in distinct.to_pylist()] or [bytes(8)]
        )
        places = encoded.indices.fill_null(0) if array.null_count else encoded.indices
        words = np.frombuffer(digests, "<u8").astype(np.uint64)[places.to_numpy(zero_copy_only=False)]
    if array.null_count:
        words = np.where(array.is_null().to_numpy(zero_copy_only=False), _MISSING, words)
    return words


def _by_part(
    table: str, kind: Kind, subjects: pa.Array, arrays: Sequence[pa.Array], record: Words, whole: Words
) -> Iterator[tuple[Part, Sum]]:
    """Yield the sum of each subject and month."""
    time = next(place for place, column in enumerate(kind.columns) if column.field == "ts_ns")
    months = _months(columns.times_as_ns(arrays[time]).to_numpy(zero_copy_only=False))
    encoded = subjects.dictionary_encode()
    names = encoded.dictionary.to_pylist()
    first, span = months.min(), int(months.max() - months.min()) + 1
    codes = encoded.indices.to_numpy().astype(np.int64) * span + (months - first)
    order = np.argsort(codes, kind="stable")
    sorted_codes = codes[order]
    starts = np.flatnonzero(np.diff(sorted_codes, prepend=-1))
    counts = np.diff(starts, append=len(codes))
    sums = (np.add.reduceat(words[order], starts) for words in (record, whole))
    for code, rows, values, all_ in zip(sorted_codes[starts], counts, *sums, strict=True):
        subject, month = names[code // span], month_text(int(first + code % span))
        yield Part(table, kind.name, subject, month), Sum(int(rows), int(values), int(all_))


def months_of(kind: Kind, rows: Sequence[Row]) -> list[int]:
    """Return the month of each row, counted from January 1970."""
    place = shape_of(kind).place("ts_ns")
    found: list[int] = _months(np.array([row[place] for row in rows], np.int64)).tolist()
    return found


def _months(times: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return the month of each time, counted from January 1970."""
    return times.astype("datetime64[ns]").astype("datetime64[M]").astype(np.int64)


def month_of(ts_ns: int) -> int:
    """Return the month of a time, counted from January 1970."""
    return int(np.datetime64(ts_ns, "ns").astype("datetime64[M]").astype(np.int64))


def month_text(month: int) -> str:
    """Return a month as ``2024-05``."""
    return str(np.datetime64(month, "M"))


def month_start(month: int) -> int | None:
    """Return when a month begins; None before and after all times that can be stored."""
    ns = int(np.datetime64(month, "M").astype("datetime64[D]").astype(np.int64)) * 86_400 * 10**9
    return ns if MIN_NS <= ns <= MAX_NS else None


def _text_of_month(ts_ns: int | None) -> str:
    return "" if ts_ns is None else month_text(month_of(ts_ns))


def sums_of_bookkeeping(tables: Reader) -> Sums:
    """Return the sums of batches, rejected records with what they were before, and the ledger of fetched ranges."""
    return add_up(_bookkeeping(tables))


def _bookkeeping(tables: Reader) -> Iterator[tuple[Part, Sum]]:
    for page in tables.batches.scan():
        for batch in page:
            yield Part(BATCHES, month=_text_of_month(batch.recorded_ns)), _sum_of(astuple(batch))
    for one in tables.quarantine.select(QuarantineQuery(in_order=True)):
        yield _rejected(one), _sum_of(_values(one))
    for changed in tables.quarantine.earlier():
        for one, by in changed:
            yield _rejected(one), _sum_of(("before", by, *_values(one)), rows=0)
    for matches in tables.quarantine.matches():
        for match in matches:
            yield Part(REJECTED, match[1], match[2], _text_of_month(match[3])), _sum_of(("match", *match), rows=0)
    for entries in tables.coverage.scan():
        for entry in entries:
            yield Part(COVERAGE, entry.kind, entry.subject), _sum_of(astuple(entry))


def _rejected(one: Quarantined) -> Part:
    return Part(REJECTED, one.kind, one.subject or "", _text_of_month(one.ts_ns))


def _values(one: Quarantined) -> tuple[Any, ...]:
    findings = json.dumps([dict(finding) for finding in one.findings], sort_keys=True)
    cells = None if one.cells is None else json.dumps(dict(one.cells))
    own = (one.kind, one.subject, one.ts_ns, one.row, one.raw, findings, str(one.state))
    return (*own, one.id, one.batch, one.changed_by, cells)


def _sum_of(values: Sequence[Any], rows: int = 1) -> Sum:
    digest = hashlib.blake2b(repr(tuple(values)).encode("utf-8", "surrogatepass"), digest_size=16).digest()
    return Sum(rows, int.from_bytes(digest[:8], "little"), int.from_bytes(digest[8:], "little"))
