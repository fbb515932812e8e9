"""The ledger of ranges of time that sources have delivered."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence

from fpa_core.engine.coverage import coverage_order
from fpa_core.engine.plain.state import Part
from fpa_core.engine.tables import CoverageWriter
from fpa_core.protocols import CoverageEntry

__all__ = ["Coverage"]


class Coverage(Part, CoverageWriter):
    """See :class:`fpa_core.engine.tables.CoverageWriter`."""

    def find(self, kind: str | None = None, subject: str | None = None) -> Sequence[CoverageEntry]:
        found = (one for one in self._state.coverage if kind in (None, one.kind) and subject in (None, one.subject))
        batches = self._state.batches
        return sorted((one for one in found if batches[one.batch].undone_by is None), key=coverage_order)

    def scan(self) -> Generator[Sequence[CoverageEntry], None, None]:
        yield list(self._state.coverage)

    def replace(self, batch: int, entries: Sequence[CoverageEntry]) -> None:
        self.replace_all([*(one for one in self._state.coverage if one.batch != batch), *entries])

    def replace_all(self, entries: Iterable[CoverageEntry]) -> None:
        self._own.coverage[:] = entries
