"""Retired segments and their catalog in SQL."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Sequence
from typing import Any

from fpa_core.engine.catalog import RetiredSegment
from fpa_core.engine.rows import Range
from fpa_core.engine.sql.segments import CATALOG, NAMES, add_contents, find_conditions, info_values, remove_segments
from fpa_core.engine.sql.session import Session, wanted_row
from fpa_core.engine.sql.statements import FAMILY, range_rows
from fpa_core.engine.tables import RetiredWriter
from fpa_core.kinds import Kind
from fpa_core.protocols import Query

__all__ = ["SqlRetired"]

_ADDED = ("retired_by", "reason")
_COLUMNS = f"{CATALOG}, " + ", ".join(f"t.{name}" for name in _ADDED)


def _info(row: Sequence[Any]) -> RetiredSegment:
    return RetiredSegment(*info_values(row[:-2]), *row[-2:])


class SqlRetired(RetiredWriter):
    """See :class:`fpa_core.engine.tables.RetiredWriter`."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def find(self, query: Query, *, known: int | None = None) -> Generator[RetiredSegment, None, None]:
        """Yield the retired segments that may hold rows of *query*."""
        if query.start_ns is not None and query.end_ns is not None and query.start_ns >= query.end_ns:
            return
        where, parameters = find_conditions(self._session, query)
        if known is not None:
            where += " AND t.first_batch <= ? AND t.retired_by > ?"
            parameters += [known, known]
        order = "t.subject DESC, t.last_ns DESC, t.id DESC" if query.reverse else "t.subject, t.last_ns, t.id"
        sql = f"SELECT {_COLUMNS} FROM retired_segments t WHERE {where} ORDER BY {order}"
        with contextlib.closing(self._session.stream(sql, parameters, size=64)) as pages:
            for page in pages:
                yield from map(_info, page)

    def meeting(self, kind: Kind, ranges: Sequence[Range]) -> Sequence[Sequence[RetiredSegment]]:
        """Return the retired segments that share time with each range."""
        found: list[list[RetiredSegment]] = [[] for _ in ranges]
        if ranges:
            head, parameters = self._session.wanted(range_rows(ranges))
            sql = (
                f"{head}SELECT w.n, {_COLUMNS} FROM wanted w CROSS JOIN retired_segments t "
                "WHERE t.kind = ? AND t.subject = w.a AND t.last_ns >= w.x AND t.first_ns <= w.y ORDER BY w.n, t.last_ns, t.id"
            )
            for row in self._session.query(sql, [*parameters, kind.name]):
                found[row[0]].append(_info(row[1:]))
        return found

    def retired_by(self, kind: Kind, batch: int) -> Sequence[RetiredSegment]:
        """Return the segments that a batch or its children retired."""
        sql = (
            f"SELECT {_COLUMNS} FROM retired_segments t WHERE t.kind = ? AND t.retired_by IN {FAMILY} "
            "ORDER BY t.subject, t.last_ns, t.id"
        )
        return [_info(row) for row in self._session.query(sql, [kind.name, batch, batch])]

    def retire(self, ids: Sequence[int], *, by: int, reason: str) -> None:
        """Move segments to the retired ones: only their entries in the catalog."""
        if not ids:
            return
        names = ", ".join(NAMES)
        wanted = [wanted_row(x=number) for number in ids]
        head, parameters = self._session.wanted(wanted)
        self._session.run(
            f"{head}INSERT INTO retired_segments ({names}, retired_by, reason) "
            f"SELECT {CATALOG}, ?, ? FROM segments t WHERE t.id IN (SELECT x FROM wanted)",
            [*parameters, by, reason],
        )
        head, parameters = self._session.wanted(wanted)
        self._session.run(f"{head}DELETE FROM segments WHERE id IN (SELECT x FROM wanted)", parameters)

    def add(self, segments: Sequence[tuple[RetiredSegment, bytes]]) -> Sequence[int]:
        """Add retired segments."""
        names = (*NAMES, *_ADDED)
        first = add_contents(self._session, (content for _, content in segments))
        rows = ((one.kind.name, *(getattr(one, name) for name in names[2:])) for one, _ in segments)
        self._session.bulk("retired_segments", names, ((number, *row) for number, row in enumerate(rows, first)))
        return range(first, first + len(segments))

    def remove(self, ids: Sequence[int]) -> None:
        """Remove retired segments."""
        remove_segments(self._session, "retired_segments", ids)
