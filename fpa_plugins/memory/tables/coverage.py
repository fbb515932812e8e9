"""The ledger of ranges of time that sources have delivered."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Generator, Iterable, Sequence

from fpa_core.engine.coverage import coverage_order
from fpa_core.protocols import CoverageEntry
from fpa_plugins.memory.tables.state import Part

__all__ = ["Coverage"]


class Coverage(Part):
    """See :class:`fpa_core.engine.tables.CoverageWriter`."""

    def find(self, kind: str | None = None, subject: str | None = None) -> Sequence[CoverageEntry]:
        standing = (
            one
            for batch, entries in self._state.coverage.items()
            if self._state.batches[batch].undone_by is None
            for one in entries
            if kind in (None, one.kind) and subject in (None, one.subject)
        )
        return sorted(standing, key=coverage_order)

    def of_batch(self, batch: int) -> Sequence[CoverageEntry]:
        return self._state.coverage.get(batch, ())

    def scan(self) -> Generator[Sequence[CoverageEntry], None, None]:
        yield from self._state.coverage.values()

    def replace_all(self, entries: Iterable[CoverageEntry]) -> None:
        by_batch: dict[int, list[CoverageEntry]] = defaultdict(list)
        for entry in entries:
            by_batch[entry.batch].append(entry)
        self._view.change("coverage", by_batch, {})

    def replace(self, batch: int, entries: Sequence[CoverageEntry]) -> None:
        self._view.change("coverage", {batch: list(entries)})
