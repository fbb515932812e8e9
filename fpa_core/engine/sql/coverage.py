"""The ledger of fetched ranges in SQL."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence

from attrs import astuple

from fpa_core.engine.sql.session import Session
from fpa_core.engine.tables import CoverageWriter
from fpa_core.protocols import CoverageEntry

__all__ = ["SqlCoverage"]

_COLUMNS = ("kind", "subject", "bar_interval", "origin", "start_ns", "end_ns", "rows", "batch")


class SqlCoverage(CoverageWriter):
    """See :class:`fpa_core.engine.tables.CoverageWriter`."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def find(self, kind: str | None = None, subject: str | None = None) -> Sequence[CoverageEntry]:
        """Return entries whose batch is not undone."""
        given = {"c.kind": kind, "c.subject": subject}
        asked = {name: value for name, value in given.items() if value is not None}
        where = "".join(f" AND {name} = ?" for name in asked)
        names = ", ".join(f"c.{name}" for name in _COLUMNS)
        sql = (
            f"SELECT {names} FROM coverage c JOIN batches b ON b.id = c.batch WHERE b.undone_by IS NULL{where} "
            "ORDER BY c.kind, c.subject, coalesce(c.bar_interval, ''), c.origin, c.start_ns, c.batch"
        )
        return [CoverageEntry(*row) for row in self._session.query(sql, list(asked.values()))]

    def of_batch(self, batch: int) -> Sequence[CoverageEntry]:
        """Return the entries of a batch."""
        sql = f"SELECT {', '.join(_COLUMNS)} FROM coverage WHERE batch = ?"
        return [CoverageEntry(*row) for row in self._session.query(sql, [batch])]

    def scan(self) -> Generator[Sequence[CoverageEntry], None, None]:
        """Yield all entries."""
        for page in self._session.stream(f"SELECT {', '.join(_COLUMNS)} FROM coverage"):
            yield [CoverageEntry(*row) for row in page]

    def replace(self, batch: int, entries: Sequence[CoverageEntry]) -> None:
        """Put entries in the place of those of a batch."""
        self._session.run("DELETE FROM coverage WHERE batch = ?", [batch])
        self._session.bulk("coverage", _COLUMNS, map(astuple, entries))

    def replace_all(self, entries: Iterable[CoverageEntry]) -> None:
        """Put entries in the place of those of all batches."""
        self._session.run("DELETE FROM coverage")
        self._session.bulk("coverage", _COLUMNS, map(astuple, entries))
