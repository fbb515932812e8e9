"""Sealing: hot rows of quotes and trades become segments, late ones are folded into those they belong to, and small neighbours are merged.

Each step is one transaction: read, write, verify, then delete, so that a crash at any point leaves either the rows or the segments, and other
writers get their turn between steps.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from operator import attrgetter

import pyarrow as pa
import pyarrow.compute as pc

from fpa_core.arrow import columns
from fpa_core.arrow.batches import to_scaled
from fpa_core.engine import catalog
from fpa_core.engine.catalog import SegmentInfo
from fpa_core.engine.rows import Range
from fpa_core.engine.scan import hot_batches
from fpa_core.engine.segment_writer import write_segments
from fpa_core.engine.subject_rows import SubjectRows, in_order, joined, read_segments
from fpa_core.engine.tables import Database, Writer
from fpa_core.exceptions import CorruptionError
from fpa_core.kinds import Kind
from fpa_core.protocols import Query, Sealed

__all__ = ["ADDED", "by_subject", "replace_segments", "seal"]

ROWS_AT_ONCE = 131_072
"""Hot rows sealed in one step."""

SUBJECTS_AT_ONCE = 1_024
"""Subjects with few hot rows each that are sealed in one step."""

MERGED_AT_LEAST = 4
"""Small segments that follow each other and are worth merging even if they do not fill one."""


def seal(database: Database, kind: Kind, *, subject: str | None = None, least: int = 1) -> Sealed:
    """Seal the hot rows of each subject that has at least *least* of them, then merge its small segments; return what was done."""
    with database.reader("look for rows to seal") as tables:
        hot = tables.rows.inventory(kind, subject)
    done = Sealed()
    wanted = [(entry.subject, entry.rows) for entry in hot if entry.rows >= least]
    for names in _steps(wanted):
        more = True
        while more:
            with database.writer(f"seal {kind.name}") as tables:
                step, more = _seal_step(tables, kind, names)
            done += step
        done += Sealed(subjects=len(names))
    # Asked for with its name or as a whole, a subject is tidied up even if it has no hot rows.
    subjects = tuple(name for name, _ in wanted) if least > 1 else None if subject is None else (subject,)
    for group in _neighbours(database, Query(kind, subjects)):
        _merge_neighbours(database, kind, group)
    return done


def _neighbours(database: Database, query: Query) -> list[list[SegmentInfo]]:
    """Return the segments of each subject that follow each other and are worth merging."""
    if query.subjects == ():
        return []
    with database.reader("look for segments to merge") as tables:
        by_subject = itertools.groupby(tables.segments.find(query), key=attrgetter("subject"))
        return [group for _, infos in by_subject for group in _small_neighbours(list(infos))]


def _steps(wanted: Sequence[tuple[str, int]]) -> Iterator[list[str]]:
    """Yield subjects that are sealed together: one with many rows, or some with few each."""
    some: list[str] = []
    total = 0
    for name, rows in wanted:
        if some and (total + rows > ROWS_AT_ONCE or len(some) == SUBJECTS_AT_ONCE):
            yield some
            some, total = [], 0
        some.append(name)
        total += rows
    if some:
        yield some


def _seal_step(tables: Writer, kind: Kind, subjects: Sequence[str]) -> tuple[Sealed, bool]:
    """Seal hot rows of subjects, the first ones if they are many; return also whether there are more."""
    hot, more = _hot_rows(tables, kind, subjects)
    if not hot:
        return Sealed(), False
    ranges = [Range((name,), int(rows.times[0]), int(rows.times[-1])) for name, rows in hot.items()]
    inside = tables.segments.meeting(kind, ranges)
    read = read_segments(tables, [info for infos in inside for info in infos])
    whole = [
        # What is folded in is rewritten as a whole.
        (name, in_order(kind, [rows, *(read[info.id] for info in infos)]))
        for (name, rows), infos in zip(hot.items(), inside, strict=True)
    ]
    segments = replace_segments(tables, kind, [info for infos in inside for info in infos], whole)
    sealed = sum(map(len, hot.values()))
    if (deleted := tables.rows.delete_ranges(kind, ranges)) != sealed:
        raise CorruptionError(f"{sealed} rows were sealed, but {deleted} were stored", operation="seal")
    return Sealed(rows=sealed, segments=segments), more


def _hot_rows(tables: Writer, kind: Kind, subjects: Sequence[str]) -> tuple[dict[str, SubjectRows], bool]:
    """Return hot rows by subject, and whether there are more; a time is taken as a whole."""
    query = Query(kind, tuple(subjects), limit=ROWS_AT_ONCE + 1)
    batches = list(hot_batches(tables, query, None, catalog.SEGMENT_ROWS, ADDED))
    if not batches:
        return {}, False
    if more := sum(batch.num_rows for batch in batches) > ROWS_AT_ONCE:
        name, last_ns = batches[-1].column(kind.by_field[kind.subject].name)[-1].as_py(), _last_time(batches[-1])
        batches = _before(kind, batches, name, last_ns)  # there may be more rows of that time
        if not batches:
            batches = list(hot_batches(tables, Query(kind, (name,), end_ns=last_ns + 1), None, ROWS_AT_ONCE, ADDED))
    found: dict[str, list[SubjectRows]] = {}
    for batch in batches:
        for name, rows in by_subject(kind, batch):
            found.setdefault(name, []).append(rows)
    return {name: joined(kind, parts) for name, parts in found.items()}, more


def _before(kind: Kind, batches: Sequence[pa.RecordBatch], subject: str, ts_ns: int) -> list[pa.RecordBatch]:
    """Return rows without those of a subject and time, which are the last ones."""
    for place, batch in reversed(list(enumerate(batches))):
        same = pc.and_(
            pc.equal(batch.column(kind.by_field[kind.subject].name), subject),
            pc.equal(columns.times_as_ns(batch.column("timestamp")), ts_ns),
        )
        if left := batch.num_rows - (pc.sum(same).as_py() or 0):
            return [*batches[:place], batch.slice(0, left)]
    return []


ADDED = ("batch", "seq", "since")
"""What is asked for with hot rows, besides the columns of their kind."""


def by_subject(kind: Kind, batch: pa.RecordBatch) -> Iterator[tuple[str, SubjectRows]]:
    """Yield the rows of each subject; they come in the order of subjects, with the columns :data:`ADDED` after those of their kind."""
    names = [column.name for column in kind.columns]
    whole = to_scaled(kind, batch.select(names))
    # One subject with numbers too long for integers must not keep the others from being kept as such.
    as_one = not any(
        kind.by_name[field.name].type == "decimal" and columns.scale_of(field) is None for field in whole.schema
    )
    added = [batch.column(name).fill_null(-1).to_numpy(zero_copy_only=False) for name in ADDED]
    runs = pc.run_end_encode(batch.column(kind.by_field[kind.subject].name))
    start = 0
    for subject, end in zip(runs.values.to_pylist(), runs.run_ends.to_pylist(), strict=True):
        own = slice(start, end)
        part = whole.slice(start, end - start) if as_one else to_scaled(kind, batch.select(names)[own])
        yield subject, SubjectRows(part, *(numbers[own] for numbers in added))
        start = end


def _last_time(batch: pa.RecordBatch) -> int:
    return int(columns.times_as_ns(batch.column("timestamp"))[-1].as_py())


def replace_segments(
    tables: Writer, kind: Kind, infos: Sequence[SegmentInfo], whole: Sequence[tuple[str, SubjectRows]]
) -> int:
    """Write rows in the place of segments, and read them back; return how many segments they make.

    :param whole: rows, each with their subject; those of one subject do not overlap in time.
    :raises CorruptionError: when what is read is not what was written; nothing is sealed then.
    """
    tables.segments.remove([info.id for info in infos])
    write_segments(tables, [rows.pending(kind, subject) for subject, rows in whole])
    ranges = [Range((subject,), int(rows.times[0]), int(rows.times[-1])) for subject, rows in whole]
    written = tables.segments.meeting(kind, ranges)
    read = read_segments(tables, [info for made in written for info in made])
    for (subject, rows), made in zip(whole, written, strict=True):
        start = 0
        for info in made:
            if not read[info.id].equals(kind, rows.part(start, start + info.rows)):
                raise CorruptionError(f"{info} does not hold what was written to it", operation="seal")
            start += info.rows
        if start != len(rows):
            raise CorruptionError(f"{start} of {len(rows)} rows of {subject} were sealed", operation="seal")
    return sum(map(len, written))


def _merge_neighbours(database: Database, kind: Kind, group: list[SegmentInfo]) -> None:
    """Put segments of one subject that follow each other together, unless somebody changed them meanwhile."""
    subject = group[0].subject
    with database.writer(f"seal {kind.name}") as tables:
        span = Range((subject,), group[0].first_ns, group[-1].last_ns)
        if list(tables.segments.meeting(kind, [span])[0]) == group:
            whole = in_order(kind, list(read_segments(tables, group).values()))
            replace_segments(tables, kind, group, [(subject, whole)])


def _small_neighbours(infos: Sequence[SegmentInfo]) -> Iterator[list[SegmentInfo]]:
    """Yield neighbours worth merging: enough of them, or enough rows to fill a segment."""
    group: list[SegmentInfo] = []
    total = 0
    for info in [*infos, None]:
        small = info is not None and 2 * info.rows <= catalog.SEGMENT_ROWS
        if info is None or not small or total + info.rows > catalog.SEGMENT_ROWS:
            if len(group) >= MERGED_AT_LEAST or (len(group) > 1 and 2 * total > catalog.SEGMENT_ROWS):
                yield group
            group, total = [], 0
        if info is not None and small:
            group.append(info)
            total += info.rows
