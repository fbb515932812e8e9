"""Where the rows of a query lie, from the catalog and the indexes, without reading them: for dividing them between readers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from attrs import evolve

from fpa_core.engine.filters import BatchFilter
from fpa_core.engine.scan import sealed_infos
from fpa_core.engine.tables import Reader
from fpa_core.protocols import InventoryEntry, Query

__all__ = ["row_ranges"]

FINENESS = 8
"""Ranges for each part that is wanted: with so many, parts differ by about an eighth at most."""

BUCKETS = 8
"""Ranges of time in which hot rows are counted to divide a larger one."""

FEW = 16
"""Subjects whose hot rows are looked up one by one; for more, the inventory of all is taken."""


def row_ranges(tables: Reader, query: Query, parts: int) -> list[InventoryEntry]:
    """Return ranges that hold all rows of *query*, by subject and first time.

    Numbers of rows are estimates: sealed rows are counted by the catalog, whatever further conditions say, and taken as evenly spread within a
    segment; hot rows are counted where there are many. Ranges of sealed and of hot rows may overlap.

    :param parts: no range shall hold more than an eighth of one of so many equal parts.
    """
    query = evolve(query, limit=None, reverse=False)
    batches = BatchFilter.of(tables, query)
    sealed = list(_sealed(tables, query, batches)) if query.kind.multiset else []
    hot = list(_hot(tables, query, batches))
    most = max(1, sum(entry.rows for entry in (*sealed, *hot)) // (FINENESS * parts))
    ranges = [piece for entry in sealed for piece in _spread(entry, most)]
    ranges += [piece for entry in hot for piece in _counted(tables, query, batches, entry, most)]
    return sorted(ranges, key=lambda entry: (entry.subject, entry.first_ns))


def _sealed(tables: Reader, query: Query, batches: BatchFilter) -> Iterator[InventoryEntry]:
    for info in sealed_infos(tables, query, batches):
        yield _clipped(InventoryEntry(info.kind.name, info.subject, info.rows, info.first_ns, info.last_ns), query)


def _hot(tables: Reader, query: Query, batches: BatchFilter) -> Iterator[InventoryEntry]:
    kind = query.kind
    subjects = sorted(tables.rows.subjects(query, known=batches.last))
    entries: Sequence[InventoryEntry]
    if len(subjects) <= FEW:
        entries = [entry for subject in subjects for entry in tables.rows.inventory(kind, subject)]
    else:
        entries = tables.rows.inventory(kind)
    by_subject = {entry.subject: entry for entry in entries}
    for subject in subjects:
        if subject in by_subject:
            yield _clipped(by_subject[subject], query)
        else:  # all its rows are history by now
            first_ns = query.start_ns or 0
            yield InventoryEntry(kind.name, subject, 1, first_ns, first_ns)


def _clipped(entry: InventoryEntry, query: Query) -> InventoryEntry:
    """Return the part of a range that is in the time of *query*, with its share of the rows, but one at least."""
    first_ns = entry.first_ns if query.start_ns is None else max(entry.first_ns, query.start_ns)
    last_ns = entry.last_ns if query.end_ns is None else min(entry.last_ns, query.end_ns - 1)
    if (first_ns, last_ns) == (entry.first_ns, entry.last_ns):
        return entry
    share = (max(0, last_ns - first_ns) + 1) / (entry.last_ns - entry.first_ns + 1)
    return evolve(
        entry, first_ns=first_ns, last_ns=max(first_ns, last_ns), rows=max(1, int(entry.rows * min(1.0, share)))
    )


def _spread(entry: InventoryEntry, most: int) -> Iterator[InventoryEntry]:
    """Divide a range into pieces of equal length, so that each has at most *most* rows if these are evenly spread."""
    pieces = min(-(-entry.rows // most), entry.last_ns - entry.first_ns + 1)
    for number in range(pieces):
        first_ns, end_ns = (
            entry.first_ns + (entry.last_ns + 1 - entry.first_ns) * place // pieces for place in (number, number + 1)
        )
        rows = entry.rows * (number + 1) // pieces - entry.rows * number // pieces
        yield evolve(entry, rows=rows, first_ns=first_ns, last_ns=end_ns - 1)


def _counted(
    tables: Reader, query: Query, batches: BatchFilter, entry: InventoryEntry, most: int
) -> Iterator[InventoryEntry]:
    """Divide a range of hot rows until each piece has at most *most*, by counting, since hot rows may lie in any way.

    Rows that turn out to be about evenly spread are not counted further: where another column stands before the time in the key, as the
    interval of bars does, each count passes over all rows of the subject.
    """
    if entry.rows <= most or entry.first_ns == entry.last_ns:
        yield entry
        return
    pieces = []
    for piece in _spread(evolve(entry, rows=BUCKETS), 1):
        within = evolve(
            query, subjects=(entry.subject,), patterns=(), start_ns=piece.first_ns, end_ns=piece.last_ns + 1
        )
        if rows := tables.rows.count(within, known=batches.last):
            pieces.append(evolve(piece, rows=rows))
    if not pieces:  # all that is there now came later; what was there then is history
        yield evolve(entry, rows=1)
        return
    even = max(piece.rows for piece in pieces) <= 2 * entry.rows // BUCKETS
    for piece in pieces:
        yield from _spread(piece, most) if even else _counted(tables, query, batches, piece, most)
