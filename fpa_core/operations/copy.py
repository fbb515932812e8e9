"""Copying all that a store holds into another one, whatever databases the two are.

*All* is what decides what reads answer, now and as known at any time: live rows with their places, batches and restorations; their history; batches
with their times, origins, parents and counts; rejected records with what they were before; the ledger of fetched ranges. Sealed rows are copied as
the bytes of their segments. The audit log is the record of one store: that of the copy says where its contents come from, and how the log of the
other ended.

A copy is made in steps, each a transaction of the target, and each makes good what is missing or different there. So a copy that was killed goes
on where it ended, and one that is made again brings the target up to date, as long as nobody else has written to it. It is proven at the end: both
stores are read, and the checksums of all parts compared.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from operator import attrgetter
from typing import Any, TypeVar

import numpy as np
from attrs import evolve

from fpa_core.engine.audit_log import COPY, AuditTrail, append
from fpa_core.engine.catalog import SegmentInfo
from fpa_core.engine.condensed import cells_text, digest
from fpa_core.engine.rows import Row, shape_of
from fpa_core.engine.tables import Database, Reader, announce
from fpa_core.exceptions import CorruptionError, DatabaseError
from fpa_core.kinds import KINDS, Kind
from fpa_core.operations.checksums import (
    HISTORY,
    ROWS,
    Part,
    Sums,
    add_up,
    month_start,
    months_of,
    sums_of_bookkeeping,
    sums_of_rows,
)
from fpa_core.operations.comparison import Comparison, Progress, compare_states, place_of, rows_in
from fpa_core.protocols import AuditEntry, Quarantined, QuarantineQuery, Query, Tick

__all__ = ["copy_store"]

ROWS_AT_ONCE = 65_536
"""Rows of one step."""

BYTES_AT_ONCE = 32 << 20
"""Bytes of the segments of one step."""

SUBJECTS_AT_ONCE = 256
"""Subjects looked up together, if not all rows are copied."""

_PAGE = 1_024
_FEW = 5

_S = TypeVar("_S", bound=SegmentInfo)


def copy_store(source: Database, target: Database, *, audit: AuditTrail, tick: Tick) -> Comparison:
    """Copy all that *source* holds to *target*, and prove that both are equal; what is there already is not copied again.

    The source is read in one state, while others may write to it.

    :param audit: is told of the entries in the audit log of the target.
    :raises DatabaseError: if the target holds other data than copies of this store.
    :raises CorruptionError: if the target is not equal in the end.
    """
    with source.reader("copy the store") as tables:
        head = _head(tables, place_of(source))
        _check_target(head, target)
        progress = Progress(tick, 3 * rows_in(tables))
        _note(target, audit, head | {"state": "begun"})
        _copy_bookkeeping(tables, target)
        for kind in KINDS.values():
            if kind.multiset:
                _copy_sealed(tables, target, kind, attrgetter("segments"), progress)
                _copy_sealed(tables, target, kind, attrgetter("retired"), lambda _: None)
            for table in (ROWS, HISTORY):
                _copy_rows(tables, target, kind, table, progress)
        with target.reader("compare the copy") as copied:
            found = compare_states(place_of(source), tables, place_of(target), copied, progress)
    if not found.equal:
        some = "; ".join(f"{' '.join(filter(None, one.part))}: {one.what}" for one in found.differences[:_FEW])
        raise CorruptionError(
            f"the copy differs from the store in {len(found.differences):,} parts: {some}",
            hint="if somebody else wrote to it meanwhile, copy into an empty store; else check the disks and the memory of both",
            operation="copy",
        )
    rows = sum(one.rows for (table, _), one in found.totals.items() if table == ROWS)
    _note(target, audit, head | {"state": "complete", "rows": rows})
    return found


def _head(tables: Reader, place: str) -> dict[str, Any]:
    """Return what the copy's audit log says of the store: where it is, how its log begins and ends, and its last batch."""
    first = next((entry for page in tables.audit_log.scan(size=1) for entry in page), None)
    last = tables.audit_log.last()
    batch = next((one.id for one in tables.batches.find(limit=1, children=True)), 0)
    if first is None or last is None:
        return {"from": place, "store": "", "batches": batch}
    return {"from": place, "store": first.hash, "seq": last.seq, "hash": last.hash, "batches": batch}


def _check_target(head: dict[str, Any], target: Database) -> None:
    """Check that nothing was written to the target but copies of this store."""
    copied = False
    with target.reader("look for other data") as tables:
        for page in tables.audit_log.scan():
            for entry in page:
                if entry.hash == head["store"]:
                    raise _refused(target, "it is the store itself, or a copy of its file", "name another one")
                copied |= entry.action == COPY
                if other := _other(entry, head["store"]):
                    raise _refused(target, f"it already holds other data: {other}", "copy into an empty store")
        if not copied and (found := tables.batches.find(limit=1, children=True)):
            raise _refused(target, f"it already holds other data: batch {found[0].id}", "copy into an empty store")


def _other(entry: AuditEntry, store: str) -> str | None:
    """Return what an entry of the target's log tells of data that are no copy of *store*."""
    if entry.batch is not None:
        return f"batch {entry.batch} was written to it"
    if entry.action != COPY:
        return None
    details = json.loads(entry.details)
    return None if details.get("store") == store else f"it is a copy of {details.get('from')}"


def _refused(target: Database, why: str, hint: str) -> DatabaseError:
    return DatabaseError(f"{place_of(target)}: {why}", hint=hint, operation="copy")


def _note(target: Database, audit: AuditTrail, details: dict[str, Any]) -> None:
    with target.writer("note the copy") as tables:
        entry = append(tables.audit_log, COPY, details)
        announce(target, dict.fromkeys(KINDS.values()))
    audit.committed(entry)


def _copy_bookkeeping(source: Reader, target: Database) -> None:
    """Copy batches, rejected records and the ledger in one step, if they differ."""
    with target.reader("compare with the store") as tables:
        if sums_of_bookkeeping(tables) == sums_of_bookkeeping(source):
            return
    with target.writer("copy batches") as tables:
        tables.batches.replace_all(batch for page in source.batches.scan() for batch in page)
        tables.quarantine.replace_all(_rejected(source), source.quarantine.earlier(), source.quarantine.matches())
        tables.coverage.replace_all(entry for page in source.coverage.scan() for entry in page)


def _rejected(source: Reader) -> Iterator[list[tuple[int, Quarantined]]]:
    page: list[tuple[int, Quarantined]] = []
    for one in source.quarantine.select(QuarantineQuery(in_order=True)):
        page.append((digest(one.kind, one.raw, cells_text(one.cells)), one))
        if len(page) == _PAGE:
            yield page
            page = []
    if page:
        yield page


def _copy_sealed(
    source: Reader, target: Database, kind: Kind, part: Callable[[Any], Any], progress: Callable[[int], object]
) -> None:
    """Copy the segments that the target lacks as they are, and remove those that the store has no more.

    :param part: returns the catalog of tables: of segments, or of retired ones.
    """
    wanted = list(part(source).find(Query(kind)))
    with target.reader("compare with the store") as tables:
        there = {evolve(info, id=0): info.id for info in part(tables).find(Query(kind))}
    missing = [info for info in wanted if there.pop(evolve(info, id=0), None) is None]
    if there:
        with target.writer("remove segments of before") as writer:
            part(writer).remove(sorted(there.values()))
    progress(sum(info.rows for info in wanted) - sum(info.rows for info in missing))
    for infos in _steps(missing):
        contents = source.segments.contents([info.id for info in infos])
        with target.writer(f"copy {kind.name}") as writer:
            part(writer).add([(info, _content(info, contents.get(info.id))) for info in infos])
        progress(sum(info.rows for info in infos))


def _content(info: SegmentInfo, content: bytes | None) -> bytes:
    if content is None:
        raise CorruptionError(f"{info} is missing", hint="`fpa store check` finds what else is", operation="copy")
    return bytes(content)


def _steps(infos: Iterable[_S]) -> Iterator[list[_S]]:
    """Divide segments into those of one step each."""
    some: list[_S] = []
    size = 0
    for info in infos:
        if some and size + info.bytes > BYTES_AT_ONCE:
            yield some
            some, size = [], 0
        some.append(info)
        size += info.bytes
    if some:
        yield some


def _copy_rows(source: Reader, target: Database, kind: Kind, table: str, progress: Progress) -> None:
    """Copy the hot rows or the history of the months in which the target has others."""
    with target.reader("compare with the store") as tables:
        there = _sums(tables, kind, table)
    if there:
        here = _sums(source, kind, table)
        different = {part for part in here.keys() | there.keys() if here.get(part) != there.get(part)}
        _remove(target, kind, table, different & there.keys())
        rows = _rows_of(source, kind, table, different & here.keys())
    else:
        rows = _pages(source, Query(kind), table)
    for step in _gathered(rows):
        with target.writer(f"copy {kind.name}") as writer:
            (writer.rows.insert if table == ROWS else writer.rows.insert_history)(kind, step)
        if table == ROWS:
            progress(len(step))


def _sums(tables: Reader, kind: Kind, table: str) -> Sums:
    sums: Sums = {}
    for rows in _pages(tables, Query(kind), table):
        add_up(sums_of_rows(kind, rows, history=table == HISTORY), sums)
    return sums


def _pages(tables: Reader, query: Query, table: str) -> Iterator[list[Row]]:
    if table == ROWS:
        return tables.rows.select(query, shape_of(query.kind).columns)
    return tables.rows.history(query)


def _gathered(pages: Iterable[list[Row]]) -> Iterator[list[Row]]:
    """Put pages together to steps."""
    step: list[Row] = []
    for page in pages:
        step += page
        if len(step) >= ROWS_AT_ONCE:
            yield step
            step = []
    if step:
        yield step


def _rows_of(source: Reader, kind: Kind, table: str, parts: set[Part]) -> Iterator[list[Row]]:
    """Yield the rows of parts."""
    subject = shape_of(kind).place(kind.subject)
    subjects = sorted({part.subject for part in parts})
    for first in range(0, len(subjects), SUBJECTS_AT_ONCE):
        some = set(subjects[first : first + SUBJECTS_AT_ONCE])
        wanted = {(part.subject, _month(part.month)) for part in parts if part.subject in some}
        months = [month for _, month in wanted]
        query = Query(kind, tuple(sorted(some)), month_start(min(months)), month_start(max(months) + 1))
        for page in _pages(source, query, table):
            yield [
                row for row, month in zip(page, months_of(kind, page), strict=True) if (row[subject], month) in wanted
            ]


def _remove(target: Database, kind: Kind, table: str, parts: set[Part]) -> None:
    """Remove parts from the target, in one step: they are copied anew, or the store has them no more."""
    by_month: dict[str, list[str]] = defaultdict(list)
    for part in sorted(parts):
        by_month[part.month].append(part.subject)
    queries = [
        Query(
            kind,
            tuple(names[first : first + SUBJECTS_AT_ONCE]),
            month_start(_month(month)),
            month_start(_month(month) + 1),
        )
        for month, names in by_month.items()
        for first in range(0, len(names), SUBJECTS_AT_ONCE)
    ]
    if queries:
        with target.writer(f"remove {kind.name} of before") as writer:
            for query in queries:
                (writer.rows.delete if table == ROWS else writer.rows.delete_history)(query)


def _month(text: str) -> int:
    return int(np.datetime64(text, "M").astype(np.int64))
