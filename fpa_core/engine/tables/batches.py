"""The port's batches."""

from __future__ import annotations

import itertools
from abc import abstractmethod
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from operator import attrgetter
from typing import Protocol

from fpa_core.patterns import matches_any
from fpa_core.protocols import Batch, Query, WriteCounts

__all__ = ["BatchReader", "BatchWriter"]


class BatchReader(Protocol):
    """Batches: what each brought, and what became of it."""

    @abstractmethod
    def find(self, *, batch: int | None = None, limit: int | None = None, children: bool = False) -> Sequence[Batch]:
        """Return batches, latest first: one by its id, or all; children only with *children*."""
        ...

    @abstractmethod
    def scan(self, size: int = 4_096) -> Generator[Sequence[Batch], None, None]:
        """Yield all batches, children too, by id, in lists of at most *size*."""
        ...

    def _all(self) -> Iterator[Batch]:
        return itertools.chain.from_iterable(self.scan())

    def family(self, query: Query) -> Sequence[int]:
        """Return the ids, in order, that ``query.batch`` (with its children) and ``query.origins`` allow; one of them is given."""
        return [
            one.id
            for one in self._all()
            if query.batch in (None, one.id, one.parent)
            and (query.origins is None or matches_any(query.origins, one.origin))
        ]

    def last_known(self, known_at_ns: int) -> int:
        """Return the last batch recorded at a time or before; 0 if there is none."""
        known = [one for one in self._all() if one.recorded_ns <= known_at_ns]
        return max(known, key=attrgetter("recorded_ns")).id if known else 0

    def undone(self, ids: Sequence[int]) -> Mapping[int, int]:
        """Return which of these batches are undone, each with the batch that undid it."""
        asked = set(ids)
        return {one.id: one.undone_by for one in self._all() if one.id in asked and one.undone_by is not None}

    def children_among(self, parent: int, ids: Sequence[int]) -> set[int]:
        """Return which of these batches are children of *parent*."""
        return {one.id for one in self._all() if one.parent == parent}.intersection(ids)

    def replays_of(self, batch: int, *, undone_by: int | None = None) -> Sequence[int]:
        """Return the batches that replay rejected rows of *batch* and are not undone, or are undone by a certain batch; latest first."""
        return [one.id for one in self._all() if one.replays == batch and one.undone_by == undone_by][::-1]


class BatchWriter(BatchReader, Protocol):
    """Batches, within a write transaction."""

    @abstractmethod
    def add(self, batch: Batch) -> int:
        """Add a batch and return its id, which is larger than every earlier one; ``batch.id`` is not looked at."""
        ...

    @abstractmethod
    def record(
        self, batch: int, *, recorded_ns: int | None, read: int, counts: WriteCounts, quarantined: int, deleted: int
    ) -> bool:
        """Set when a batch was recorded, unless it is None, and add to its counts; return whether it exists and is not undone."""
        ...

    @abstractmethod
    def amend(
        self,
        batch: int,
        *,
        recorded_ns: int | None = None,
        digest: str | None = None,
        reading: str | None = None,
        undoes: int | None = None,
    ) -> None:
        """Correct what is known of a batch: when it was recorded, the digest of its file, how it was read, what it undoes; what is None stays as it is."""
        ...

    @abstractmethod
    def set_undone(self, batch: int, by: int | None) -> None:
        """Mark a batch and its children as undone by another batch; None takes the mark away."""
        ...

    @abstractmethod
    def replace_all(self, batches: Iterable[Batch]) -> None:
        """Put *batches*, which come by id, with all that is known of them in the place of those that are there."""
        ...
