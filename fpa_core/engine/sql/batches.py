"""Batches in SQL."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping, Sequence
from typing import Any

from attrs import astuple

from fpa_core.engine.sql.session import Session, wanted_row
from fpa_core.engine.sql.statements import matching_origins
from fpa_core.engine.tables import BatchWriter
from fpa_core.protocols import Batch, Query, WriteCounts

__all__ = ["SqlBatches"]

_NAMES = (
    "id, origin, recorded_ns, file, digest, read, inserted, duplicate, revised, quarantined, deleted, undone_by, replays, reading, "
    "parent, undoes"
)


class SqlBatches(BatchWriter):
    """See :class:`fpa_core.engine.tables.BatchWriter`."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def find(self, *, batch: int | None = None, limit: int | None = None, children: bool = False) -> Sequence[Batch]:
        """Return batches, latest first."""
        parameters: list[Any] = []
        where = "TRUE" if children else "parent IS NULL"
        if batch is not None:
            where, parameters = "id = ?", [batch]
        end = ""
        if limit is not None:
            end, parameters = " LIMIT ?", [*parameters, limit]
        sql = f"SELECT {_NAMES} FROM batches WHERE {where} ORDER BY id DESC{end}"
        return [Batch(*row) for row in self._session.query(sql, parameters)]

    def scan(self, size: int = 4_096) -> Generator[Sequence[Batch], None, None]:
        """Yield all batches by id."""
        for page in self._session.stream(f"SELECT {_NAMES} FROM batches ORDER BY id", size=size):
            yield [Batch(*row) for row in page]

    def family(self, query: Query) -> Sequence[int]:
        """Return the ids that a query allows."""
        ways: list[str] = []
        parameters: list[Any] = []
        if query.batch is not None:
            ways.append("(id = ? OR parent = ?)")
            parameters += [query.batch, query.batch]
        if query.origins is not None:
            condition, bound = matching_origins(self._session, query.origins)
            ways.append(f"({condition})")
            parameters += bound
        sql = f"SELECT id FROM batches WHERE {' AND '.join(ways)} ORDER BY id"
        return [row[0] for row in self._session.query(sql, parameters)]

    def last_known(self, known_at_ns: int) -> int:
        """Return the last batch recorded at a time or before."""
        sql = "SELECT id FROM batches WHERE recorded_ns <= ? ORDER BY recorded_ns DESC LIMIT 1"
        found = self._session.query(sql, [known_at_ns])
        return int(found[0][0]) if found else 0

    def undone(self, ids: Sequence[int]) -> Mapping[int, int]:
        """Return which batches are undone."""
        if not ids:
            return {}
        head, parameters = self._session.wanted([wanted_row(x=number) for number in ids])
        sql = f"{head}SELECT b.id, b.undone_by FROM wanted w CROSS JOIN batches b WHERE b.id = w.x AND b.undone_by IS NOT NULL"
        return dict(self._session.query(sql, parameters))

    def children_among(self, parent: int, ids: Sequence[int]) -> set[int]:
        """Return which batches are children of *parent*."""
        if not ids:
            return set()
        head, parameters = self._session.wanted([wanted_row(x=number) for number in ids])
        sql = f"{head}SELECT b.id FROM wanted w CROSS JOIN batches b WHERE b.id = w.x AND b.parent = ?"
        return {row[0] for row in self._session.query(sql, [*parameters, parent])}

    def replays_of(self, batch: int, *, undone_by: int | None = None) -> Sequence[int]:
        """Return the batches that replay rejected rows of *batch*."""
        sql = f"SELECT id FROM batches WHERE replays = ? AND undone_by {self._session.same} ? ORDER BY id DESC"
        return [row[0] for row in self._session.query(sql, [batch, undone_by])]

    def add(self, batch: Batch) -> int:
        """Add a batch."""
        number = 1 + int(self._session.query("SELECT coalesce(max(id), 0) FROM batches")[0][0])
        self._session.run(
            "INSERT INTO batches (id, origin, recorded_ns, file, digest, replays, parent) VALUES (?, ?, ?, ?, ?, ?, ?)",
            [number, batch.origin, batch.recorded_ns, batch.file, batch.digest, batch.replays, batch.parent],
        )
        return number

    def record(
        self, batch: int, *, recorded_ns: int | None, read: int, counts: WriteCounts, quarantined: int, deleted: int
    ) -> bool:
        """Set when a batch was recorded, and add to its counts."""
        sql = (
            "UPDATE batches SET recorded_ns = coalesce(?, recorded_ns), read = read + ?, inserted = inserted + ?, duplicate = duplicate + ?, "
            "revised = revised + ?, quarantined = quarantined + ?, deleted = deleted + ? WHERE id = ? AND undone_by IS NULL"
        )
        numbers = (read, counts.inserted, counts.duplicate, counts.revised, quarantined, deleted)
        return bool(self._session.run(sql, [recorded_ns, *numbers, batch]))

    def amend(
        self,
        batch: int,
        *,
        recorded_ns: int | None = None,
        digest: str | None = None,
        reading: str | None = None,
        undoes: int | None = None,
    ) -> None:
        """Correct what is known of a batch."""
        given = {"recorded_ns": recorded_ns, "digest": digest, "reading": reading, "undoes": undoes}
        named = {name: value for name, value in given.items() if value is not None}
        if named:
            columns = ", ".join(f"{name} = ?" for name in named)
            self._session.run(f"UPDATE batches SET {columns} WHERE id = ?", [*named.values(), batch])

    def set_undone(self, batch: int, by: int | None) -> None:
        """Mark a batch and its children as undone, or not."""
        self._session.run("UPDATE batches SET undone_by = ? WHERE id = ? OR parent = ?", [by, batch, batch])

    def replace_all(self, batches: Iterable[Batch]) -> None:
        """Put batches in the place of those that are there."""
        self._session.run("DELETE FROM batches")
        self._session.bulk("batches", _NAMES.split(", "), map(astuple, batches))
