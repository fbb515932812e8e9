"""Sealed segments and their catalog in SQL."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from typing import Any

from fpa_core.engine.catalog import SegmentInfo
from fpa_core.engine.damage import decoding
from fpa_core.engine.rows import Range
from fpa_core.engine.sql.session import Session, wanted_row
from fpa_core.engine.sql.statements import range_rows, subject_condition
from fpa_core.engine.tables import SegmentWriter
from fpa_core.kinds import KINDS, Kind
from fpa_core.protocols import InventoryEntry, Query

__all__ = ["CATALOG", "NAMES", "SqlSegments", "add_contents", "find_conditions", "info_values", "remove_segments"]

NAMES = (
    "id",
    "kind",
    "subject",
    "first_ns",
    "last_ns",
    "rows",
    "first_batch",
    "last_batch",
    "last_row",
    "checksum",
    "bytes",
)
"""The columns of the catalog; that of retired segments has two more."""

CATALOG = ", ".join(f"t.{name}" for name in NAMES)


def info_values(row: Sequence[Any]) -> list[Any]:
    """Return what a row of the catalog, with the columns of :data:`NAMES`, says of a segment."""
    number, kind, *values, checksum, size = row
    with decoding("segments", number):
        return [number, KINDS[kind], *values, bytes(checksum), size]


def _info(row: Sequence[Any]) -> SegmentInfo:
    return SegmentInfo(*info_values(row))


def find_conditions(session: Session, query: Query, *, forward: bool = False) -> tuple[str, list[Any]]:
    """Return the condition that a segment may hold rows of *query*, and its parameters.

    :param forward: leave the end of its time out: whoever reads stops there.
    """
    conditions, parameters = subject_condition(session, "t.subject", query)
    conditions, parameters = ["t.kind = ?", *conditions], [query.kind.name, *parameters]
    bounds: Sequence[tuple[str, Any]] = (
        ("t.last_ns >= ?", query.start_ns),
        ("t.first_ns < ?", None if forward else query.end_ns),
    )
    for condition, bound in bounds:
        if bound is not None:
            conditions.append(condition)
            parameters.append(bound)
    return " AND ".join(conditions), parameters


def add_contents(session: Session, contents: Iterable[bytes]) -> int:
    """Add the bytes of segments; return the id of the first, whom the others follow."""
    first = 1 + int(session.query("SELECT coalesce(max(id), 0) FROM segment_contents")[0][0])
    session.bulk("segment_contents", ("id", "content"), enumerate(contents, first))
    return first


def remove_segments(session: Session, catalog: str, ids: Sequence[int]) -> None:
    """Remove segments from a catalog, with their bytes."""
    for table in (catalog, "segment_contents") if ids else ():
        head, parameters = session.wanted([wanted_row(x=number) for number in ids])
        session.run(f"{head}DELETE FROM {table} WHERE id IN (SELECT x FROM wanted)", parameters)


class SqlSegments(SegmentWriter):
    """See :class:`fpa_core.engine.tables.SegmentWriter`."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def find(self, query: Query) -> Generator[SegmentInfo, None, None]:
        """Yield the segments that may hold rows of *query*."""
        if query.start_ns is not None and query.end_ns is not None and query.start_ns >= query.end_ns:
            return
        forward = query.only is not None and len(query.only) == 1 and not query.reverse
        where, parameters = find_conditions(self._session, query, forward=forward)
        order = "t.subject DESC, t.last_ns DESC" if query.reverse else "t.subject, t.last_ns"
        sql = f"SELECT {CATALOG} FROM segments t WHERE {where} ORDER BY {order}"
        with contextlib.closing(self._session.stream(sql, parameters, size=64)) as pages:
            for page in pages:
                for row in page:
                    if forward and query.end_ns is not None and row[3] >= query.end_ns:
                        return  # they never overlap: none comes after the first that begins too late, which the index cannot know
                    yield _info(row)

    def meeting(self, kind: Kind, ranges: Sequence[Range]) -> Sequence[Sequence[SegmentInfo]]:
        """Return the segments that share time with each range."""
        found: list[list[SegmentInfo]] = [[] for _ in ranges]
        if ranges:
            head, parameters = self._session.wanted(range_rows(ranges))
            sql = (
                f"{head}SELECT w.n, {CATALOG} FROM wanted w CROSS JOIN segments t "
                "WHERE t.kind = ? AND t.subject = w.a AND t.last_ns >= w.x AND t.first_ns <= w.y ORDER BY w.n, t.last_ns"
            )
            for row in self._session.query(sql, [*parameters, kind.name]):
                found[row[0]].append(_info(row[1:]))
        return found

    def last_times(self, kind: Kind, subjects: Sequence[str]) -> Sequence[int | None]:
        """Return the last sealed time of each subject."""
        if not subjects:
            return []
        head, parameters = self._session.wanted([wanted_row(subject) for subject in subjects])
        last = "(SELECT max(t.last_ns) FROM segments t WHERE t.kind = ? AND t.subject = w.a)"
        found = self._session.query(f"{head}SELECT {last} FROM wanted w ORDER BY w.n", [*parameters, kind.name])
        return [row[0] for row in found]

    def inventory(self, kind: Kind) -> Sequence[InventoryEntry]:
        """Return the number of sealed rows, first and last time of each subject."""
        sql = (
            "SELECT subject, sum(rows), min(first_ns), max(last_ns) FROM segments WHERE kind = ? GROUP BY 1 ORDER BY 1"
        )
        return [
            InventoryEntry(kind.name, subject, int(rows), first, last)
            for subject, rows, first, last in self._session.query(sql, [kind.name])
        ]

    def contents(self, ids: Sequence[int]) -> Mapping[int, bytes]:
        """Return the bytes of segments."""
        if not ids:
            return {}
        which = "= ?" if len(ids) == 1 else f"IN ({', '.join('?' * len(ids))})"
        return {
            row[0]: row[1]
            for row in self._session.query(f"SELECT id, content FROM segment_contents WHERE id {which}", ids)
        }

    def heads(self, ids: Sequence[int], size: int) -> Iterator[bytes]:
        """Yield the first bytes of segments."""
        return self._session.heads("segment_contents", "content", ids, size)

    def add(self, segments: Sequence[tuple[SegmentInfo, bytes]]) -> None:
        """Add segments."""
        first = add_contents(self._session, (content for _, content in segments))
        rows = ((one.kind.name, *(getattr(one, name) for name in NAMES[2:])) for one, _ in segments)
        self._session.bulk("segments", NAMES, ((number, *row) for number, row in enumerate(rows, first)))

    def remove(self, ids: Sequence[int]) -> None:
        """Remove segments."""
        remove_segments(self._session, "segments", ids)
