"""The port's batches."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping, Sequence
from typing import Protocol

from fpa_core.protocols import Batch, Query, WriteCounts

__all__ = ["BatchReader", "BatchWriter"]


class BatchReader(Protocol):
    """Batches: what each brought, and what became of it."""

    def find(self, *, batch: int | None = None, limit: int | None = None, children: bool = False) -> Sequence[Batch]:
        """Return batches, latest first: one by its id, or all; children only with *children*."""
        ...

    def scan(self, size: int = 4_096) -> Generator[Sequence[Batch], None, None]:
        """Yield all batches, children too, by id, in lists of at most *size*."""
        ...

    def family(self, query: Query) -> Sequence[int]:
        """Return the ids, in order, that ``query.batch`` (with its children) and ``query.origins`` allow; one of them is given."""
        ...

    def last_known(self, known_at_ns: int) -> int:
        """Return the last batch recorded at a time or before; 0 if there is none."""
        ...

    def undone(self, ids: Sequence[int]) -> Mapping[int, int]:
        """Return which of these batches are undone, each with the batch that undid it."""
        ...

    def children_among(self, parent: int, ids: Sequence[int]) -> set[int]:
        """Return which of these batches are children of *parent*."""
        ...

    def replays_of(self, batch: int, *, undone_by: int | None = None) -> Sequence[int]:
        """Return the batches that replay rejected rows of *batch* and are not undone, or are undone by a certain batch; latest first."""
        ...


class BatchWriter(BatchReader, Protocol):
    """Batches, within a write transaction."""

    def add(self, batch: Batch) -> int:
        """Add a batch and return its id, which is larger than every earlier one; ``batch.id`` is not looked at."""
        ...

    def record(
        self, batch: int, *, recorded_ns: int | None, read: int, counts: WriteCounts, quarantined: int, deleted: int
    ) -> bool:
        """Set when a batch was recorded, unless it is None, and add to its counts; return whether it exists and is not undone."""
        ...

    def set_recorded(self, batch: int, recorded_ns: int) -> None:
        """Correct when a batch was recorded."""
        ...

    def set_file(self, batch: int, *, digest: str | None, reading: str | None) -> None:
        """Keep the digest of a batch's file and how it was read; what is None stays as it is."""
        ...

    def set_undoes(self, batch: int, undoes: int) -> None:
        """Keep which batch a batch undoes."""
        ...

    def set_undone(self, batch: int, by: int | None) -> None:
        """Mark a batch and its children as undone by another batch; None takes the mark away."""
        ...

    def replace_all(self, batches: Iterable[Batch]) -> None:
        """Put *batches*, which come by id, with all that is known of them in the place of those that are there."""
        ...
