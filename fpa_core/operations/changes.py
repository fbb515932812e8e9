"""What a batch did to portfolio records, before and after: the audit log names the batch, and the history has the rows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from attrs import frozen

from fpa_core.engine.rows import Key, Row, shape_of
from fpa_core.engine.tables import Reader
from fpa_core.kinds import BARS, KINDS, Kind
from fpa_core.numbers import ns_text
from fpa_core.protocols import Query

__all__ = ["Change", "changes_of"]


@frozen
class Change:
    """A record that a batch added, changed or removed.

    :ivar before: its values before, by the names of the columns, times as text; None if it was not there; likewise ``after``.
    :ivar reason: why the version before was retired: ``revised``, ``deleted``, ``undone`` or ``outdated``; None for a new record.
    """

    kind: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    reason: str | None


def changes_of(tables: Reader, batch: int) -> list[Change]:
    """Return the changes of one batch to records that are no market data, by kind and key."""
    return [
        change
        for kind in KINDS.values()
        if not kind.multiset and kind is not BARS
        for change in _of(tables, kind, batch)
    ]


def _of(tables: Reader, kind: Kind, batch: int) -> Iterator[Change]:
    shape = shape_of(kind)
    width, keys = len(shape.columns), len(shape.key)
    before: dict[Key, Row] = {}
    after: dict[Key, Row] = {}
    for page in tables.rows.select(Query(kind), shape.columns):
        after |= {row[:keys]: row for row in page if batch in row[width - 2 : width]}
    for page in tables.rows.history(Query(kind)):
        for row in page:
            outdated = row[-1] == "outdated"  # never stood: an older version than the one that was there
            if row[width] == batch and row[width - 2] != batch and not outdated:
                before[row[:keys]] = row
            elif batch in row[width - 2 : width] and row[width] != batch and not outdated:
                after.setdefault(row[:keys], row)
    for key in sorted(before.keys() | after.keys(), key=repr):
        old, new = before.get(key), after.get(key)
        yield Change(
            kind.name,
            None if old is None else _values(kind, old),
            None if new is None else _values(kind, new),
            None if old is None else old[-1],
        )


def _values(kind: Kind, row: Row) -> dict[str, Any]:
    shape = shape_of(kind)
    return {
        column.name: ns_text(value) if column.type == "time" and value is not None else value
        for column in kind.columns
        for value in (row[shape.place(column.field)],)
        if value is not None
    }
