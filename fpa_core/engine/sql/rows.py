"""Hot rows and their history in SQL."""

from __future__ import annotations

import itertools
from collections.abc import Generator, Iterable, Sequence
from operator import itemgetter

from fpa_core.engine.rows import Key, Range, Retirement, Row
from fpa_core.engine.sql.session import Session
from fpa_core.engine.sql.statements import FAMILY, key_rows, range_rows, tables_of
from fpa_core.engine.tables import RowWriter
from fpa_core.kinds import Kind
from fpa_core.protocols import InventoryEntry, Query

__all__ = ["SqlRows"]

_NEIGHBOURS = 256
"""Keys of one prefix that are better found by their range."""

_OTHERS = 4
"""Rows read for each such key at most."""


class SqlRows(RowWriter):
    """See :class:`fpa_core.engine.tables.RowWriter`."""

    def __init__(self, session: Session) -> None:
        self._session = session

    # Reading

    def select(
        self, query: Query, names: Sequence[str], *, known: int | None = None, size: int = 16_384
    ) -> Generator[list[Row], None, None]:
        """Yield columns of the rows of *query* in its order."""
        t = tables_of(query.kind)
        asked = ", ".join(names)
        if known is None:
            sql, parameters = t.source(self._session, query, asked, None)
        else:
            inner, parameters = t.source(self._session, query, t.columns, known)
            sql = f"SELECT {asked} FROM ({inner}) AS r"
        direction = " DESC" if query.reverse else ""
        sql += " ORDER BY " + ", ".join(name + direction for name in t.order)
        if query.limit is not None:
            sql += " LIMIT ?"
            parameters.append(query.limit)
        return self._session.stream(sql, parameters, size=min(size, self._session.page))

    def count(self, query: Query, *, known: int | None = None) -> int:
        """Count the rows of *query*."""
        sql, parameters = tables_of(query.kind).source(self._session, query, "1", known)
        return int(self._session.query(f"SELECT count(*) FROM ({sql}) AS r", parameters)[0][0])

    def subjects(self, query: Query, *, known: int | None = None) -> set[str]:
        """Return the subjects of the rows of *query*."""
        name = query.kind.subject
        sql, parameters = tables_of(query.kind).source(self._session, query, f"{name} AS subject", known)
        if query.only is not None and len(query.only) == 1:
            return {row[0] for row in self._session.query(f"SELECT subject FROM ({sql}) AS r LIMIT 1", parameters)}
        return {row[0] for row in self._session.query(f"SELECT DISTINCT subject FROM ({sql}) AS r", parameters)}

    def inventory(self, kind: Kind, subject: str | None = None) -> Sequence[InventoryEntry]:
        """Return the number of rows, first and last time of subjects."""
        where, parameters = ("", []) if subject is None else (f" WHERE {kind.subject} = ?", [subject])
        sql = f"SELECT {kind.subject}, count(*), min(ts_ns), max(ts_ns) FROM {kind.name}{where} GROUP BY 1 ORDER BY 1"
        return [InventoryEntry(kind.name, *row) for row in self._session.query(sql, parameters)]

    def spans(self, kind: Kind, ranges: Sequence[Range]) -> Sequence[tuple[int, int] | None]:
        """Return the first and last time of the rows in each range."""
        if not ranges:
            return []
        t = tables_of(kind)
        head, parameters = self._session.wanted(range_rows(ranges))
        edges = ", ".join(f"(SELECT {edge}(t.ts_ns) FROM {t.live} t WHERE {t.in_range})" for edge in ("min", "max"))
        found = self._session.query(f"{head}SELECT {edges} FROM wanted w ORDER BY w.n", parameters)
        return [None if first is None else (first, last) for first, last in found]

    def at(self, kind: Kind, keys: Sequence[Key]) -> Iterable[Row]:
        """Return the rows under keys."""
        shape = tables_of(kind).shape
        if not shape.timed:
            return self._under(kind, keys, *_live(kind))
        found: list[Row] = []
        apart: list[Key] = []
        # Many neighbours are read by their range, as long as few other rows lie among them, the rest one by one.
        for _, group in itertools.groupby(keys, key=itemgetter(*range(len(shape.prefix)))):
            run = list(group)
            rows = self._between(kind, run) if len(run) >= _NEIGHBOURS else None
            if rows is None:
                apart += run
            else:
                found += rows
        return found + self._under(kind, apart, *_live(kind))

    def history_at(self, kind: Kind, keys: Sequence[Key]) -> Iterable[Row]:
        """Return the history under keys."""
        t = tables_of(kind)
        order = (", t.seq" if kind.multiset else "") + ", coalesce(t.since, t.batch), t.retired_by"
        return self._under(kind, keys, t.history, f"{t.of_table}, t.retired_by, t.reason", order)

    def _between(self, kind: Kind, keys: Sequence[Key]) -> list[Row] | None:
        """Return the rows under keys of one prefix; None if many others lie among them."""
        t = tables_of(kind)
        times = {key[-1] for key in keys}
        where = " AND ".join(f"t.{name} = ?" for name in t.shape.prefix)
        limit = _OTHERS * len(keys)
        found = self._session.query(
            f"SELECT {t.of_table} FROM {t.live} t WHERE {where} AND t.ts_ns >= ? AND t.ts_ns <= ? ORDER BY {t.key_order} LIMIT ?",
            [*keys[0][:-1], min(times), max(times), limit],
        )
        if len(found) == limit:
            return None
        place = t.shape.place("ts_ns")
        return [row for row in found if row[place] in times]

    def _under(self, kind: Kind, keys: Sequence[Key], table: str, names: str, order: str) -> list[Row]:
        if not keys:
            return []
        t = tables_of(kind)
        head, parameters = self._session.wanted(key_rows(kind, keys))
        return self._session.query(
            f"{head}SELECT {names} FROM wanted w CROSS JOIN {table} t WHERE {t.at_key} ORDER BY w.n{order}", parameters
        )

    def history(self, query: Query) -> Generator[list[Row], None, None]:
        """Yield the history of the rows of *query*."""
        t = tables_of(query.kind)
        where, parameters = t.where(self._session, query)
        return self._session.stream(
            f"SELECT {t.columns}, retired_by, reason FROM {t.history} WHERE {where}", parameters
        )

    def retired_by(self, kind: Kind, batch: int) -> Generator[list[Row], None, None]:
        """Yield the history that a batch or its children retired."""
        t = tables_of(kind)
        sql = (
            f"SELECT {t.of_table}, t.retired_by, t.reason FROM {t.history} t WHERE t.retired_by IN {FAMILY} "
            f"ORDER BY {t.key_order}, coalesce(t.since, t.batch), t.retired_by"
        )
        return self._session.stream(sql, [batch, batch])

    def retirements(self, kind: Kind, least: int) -> Sequence[Retirement]:
        """Return the retirements with at least so many rows."""
        names = f"{kind.subject}, retired_by, reason"
        sql = f"SELECT {names} FROM {tables_of(kind).history} GROUP BY {names} HAVING count(*) >= ? ORDER BY {names}"
        return [Retirement(*row) for row in self._session.query(sql, [least])]

    def of_retirement(self, kind: Kind, one: Retirement, limit: int) -> Sequence[Row]:
        """Return the first rows of a retirement."""
        t = tables_of(kind)
        sql = (
            f"SELECT {t.of_table} FROM {t.history} t WHERE {_retirement(kind)} "
            f"ORDER BY {t.key_order}, coalesce(t.since, t.batch) LIMIT ?"
        )
        return self._session.query(sql, [*one, limit])

    # Writing

    def insert(self, kind: Kind, rows: Iterable[Row]) -> None:
        """Add rows."""
        t = tables_of(kind)
        self._session.bulk(t.live, t.shape.columns, rows)

    def insert_history(self, kind: Kind, rows: Iterable[Row]) -> None:
        """Add rows to the history."""
        t = tables_of(kind)
        self._session.bulk(t.history, (*t.shape.columns, "retired_by", "reason"), rows)

    def retire(self, query: Query, *, by: int, reason: str) -> int:
        """Move the rows of *query* to the history."""
        return self._retire(query.kind, *tables_of(query.kind).where(self._session, query), by, reason)

    def retire_batch(self, kind: Kind, batch: int, *, by: int, reason: str) -> int:
        """Move what a batch brought or restored to the history."""
        return self._retire(kind, f"(batch IN {FAMILY} OR since IN {FAMILY})", [batch] * 4, by, reason)

    def _retire(self, kind: Kind, where: str, parameters: Sequence[object], by: int, reason: str) -> int:
        t = tables_of(kind)
        self._session.run(
            f"INSERT INTO {t.history} ({t.columns}, retired_by, reason) SELECT {t.columns}, ?, ? FROM {t.live} WHERE {where}",
            [by, reason, *parameters],
        )
        return self._session.run(f"DELETE FROM {t.live} WHERE {where}", parameters)

    def retire_keys(self, kind: Kind, keys: Sequence[Key], *, by: int, reason: str) -> None:
        """Move the rows with these keys to the history."""
        t = tables_of(kind)
        head, parameters = self._session.wanted(key_rows(kind, keys))
        self._session.run(
            f"{head}INSERT INTO {t.history} ({t.columns}, retired_by, reason) "
            f"SELECT {t.of_table}, ?, ? FROM wanted w CROSS JOIN {t.live} t WHERE {t.at_row_key}",
            [*parameters, by, reason],
        )
        head, parameters = self._session.wanted(key_rows(kind, keys))
        self._session.run(
            f"{head}DELETE FROM {t.live} WHERE ({t.row_key}) IN (SELECT {t.wanted_row_key} FROM wanted)", parameters
        )

    def delete_ranges(self, kind: Kind, ranges: Sequence[Range]) -> int:
        """Remove the rows in ranges for good."""
        t = tables_of(kind)
        head, parameters = self._session.wanted(range_rows(ranges))
        return self._session.run(
            f"{head}DELETE FROM {t.live} WHERE ({t.row_key}) IN "
            f"(SELECT {t.key_order} FROM wanted w CROSS JOIN {t.live} t WHERE {t.in_range})",
            parameters,
        )

    def delete(self, query: Query) -> int:
        """Remove the rows of *query* for good."""
        return self._delete(tables_of(query.kind).live, query)

    def delete_retirement(self, kind: Kind, one: Retirement, last_ns: int) -> int:
        """Remove the first rows of a retirement."""
        sql = f"DELETE FROM {tables_of(kind).history} WHERE {_retirement(kind)} AND ts_ns <= ?"
        return self._session.run(sql, [*one, last_ns])

    def delete_history(self, query: Query) -> int:
        """Remove the history of the rows of *query* for good."""
        return self._delete(tables_of(query.kind).history, query)

    def _delete(self, table: str, query: Query) -> int:
        where, parameters = tables_of(query.kind).where(self._session, query)
        return self._session.run(f"DELETE FROM {table} WHERE {where}", parameters)


def _retirement(kind: Kind) -> str:
    return f"{kind.subject} = ? AND retired_by = ? AND reason = ?"


def _live(kind: Kind) -> tuple[str, str, str]:
    t = tables_of(kind)
    return t.live, t.of_table, ", t.seq" if kind.multiset else ""
