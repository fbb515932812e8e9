"""Sealing the history: single rows of quotes and trades that one batch retired for one reason become retired segments.

Each step is one transaction: read, write, verify, then delete. Nothing of what is read changes.
"""

from __future__ import annotations

from collections.abc import Sequence

from fpa_core.engine import catalog
from fpa_core.engine.compaction import ADDED, by_subject
from fpa_core.engine.retirement import add_history
from fpa_core.engine.rows import Retirement, Row, shape_of
from fpa_core.engine.scan import record_batch
from fpa_core.engine.tables import Database, Writer
from fpa_core.exceptions import CorruptionError
from fpa_core.kinds import Kind

__all__ = ["seal_history"]

ROWS_AT_ONCE = 65_536
"""Rows sealed in one step."""


def seal_history(database: Database, kind: Kind, *, subject: str | None = None) -> int:
    """Seal the history of a kind, or of one of its subjects, where there are enough rows for a segment; return how many rows it was."""
    if not kind.multiset:
        return 0
    with database.reader("look for history to seal") as tables:
        found = [one for one in tables.rows.retirements(kind, catalog.LEAST_ROWS) if subject in (None, one.subject)]
    sealed = 0
    for one in found:
        more = True
        while more:
            with database.writer(f"seal the history of {kind.name}") as tables:
                step, more = _seal_step(tables, kind, one)
            sealed += step
    return sealed


def _seal_step(tables: Writer, kind: Kind, one: Retirement) -> tuple[int, bool]:
    """Seal the first rows of a retirement; return how many they were, and whether there may be more."""
    rows, more = _first_rows(tables, kind, one)
    if len(rows) < catalog.LEAST_ROWS:
        return 0, False
    shape = shape_of(kind)
    places = [shape.place(name) for name in (*(column.field for column in kind.columns), *ADDED)]
    batch = record_batch(kind, kind.columns, [tuple([row[place] for place in places]) for row in rows], ADDED)
    for subject, sealed in by_subject(kind, batch):
        add_history(tables, kind, subject, sealed, one.retired_by, one.reason)
    if (deleted := tables.rows.delete_retirement(kind, one, rows[-1][shape.place("ts_ns")])) != len(rows):
        raise CorruptionError(f"{len(rows)} rows were sealed, but {deleted} were stored", operation="seal")
    return len(rows), more


def _first_rows(tables: Writer, kind: Kind, one: Retirement) -> tuple[Sequence[Row], bool]:
    """Return the first rows of a retirement, a time as a whole, and whether there are more."""
    time, limit = shape_of(kind).place("ts_ns"), ROWS_AT_ONCE
    while True:
        rows = tables.rows.of_retirement(kind, one, limit + 1)
        if len(rows) <= limit:
            return rows, False
        if whole := [row for row in rows if row[time] < rows[-1][time]]:
            return whole, True
        limit *= 2  # they are all of one time
