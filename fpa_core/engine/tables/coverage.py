"""The port's ledger of fetched ranges."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Generator, Iterable, Sequence
from typing import Protocol

from fpa_core.protocols import CoverageEntry

__all__ = ["CoverageReader", "CoverageWriter"]


class CoverageReader(Protocol):
    """The ledger of ranges of time that sources have delivered. An undo is seen by the state of the batch."""

    @abstractmethod
    def find(self, kind: str | None = None, subject: str | None = None) -> Sequence[CoverageEntry]:
        """Return entries whose batch is not undone, by kind, subject, interval (None first), origin, start and batch."""
        ...

    @abstractmethod
    def scan(self) -> Generator[Sequence[CoverageEntry], None, None]:
        """Yield all entries, those of undone batches too, in any order."""
        ...

    def of_batch(self, batch: int) -> Sequence[CoverageEntry]:
        """Return the entries of a batch, in any order."""
        return [entry for page in self.scan() for entry in page if entry.batch == batch]


class CoverageWriter(CoverageReader, Protocol):
    """The ledger, for whoever may change it."""

    @abstractmethod
    def replace(self, batch: int, entries: Sequence[CoverageEntry]) -> None:
        """Put *entries*, whose batch is set, in the place of those of a batch."""
        ...

    @abstractmethod
    def replace_all(self, entries: Iterable[CoverageEntry]) -> None:
        """Put *entries* in the place of those of all batches."""
        ...
