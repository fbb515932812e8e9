"""The port's sealed segments, and those that became history."""

from __future__ import annotations

import itertools
from abc import abstractmethod
from collections.abc import Generator, Iterator, Mapping, Sequence
from operator import attrgetter
from typing import Protocol

from fpa_core.engine.catalog import RetiredSegment, SegmentInfo
from fpa_core.engine.rows import Range
from fpa_core.kinds import Kind
from fpa_core.protocols import InventoryEntry, Query

__all__ = ["RetiredReader", "RetiredWriter", "SegmentReader", "SegmentWriter"]


class SegmentReader(Protocol):
    """Sealed segments and their catalog. Segments of one kind and subject never overlap in time."""

    @abstractmethod
    def find(self, query: Query) -> Generator[SegmentInfo, None, None]:
        """Yield the segments that may hold rows of *query*, by subject and time, both backwards for ``query.reverse``.

        None if its time is empty. Conditions on batches and further columns may be ignored.
        """
        ...

    def meeting(self, kind: Kind, ranges: Sequence[Range]) -> Sequence[Sequence[SegmentInfo]]:
        """Return the segments that share time with each range, by time."""
        return [list(self.find(one.query(kind))) for one in ranges]

    def last_times(self, kind: Kind, subjects: Sequence[str]) -> Sequence[int | None]:
        """Return the last sealed time of each subject; None if it has no segment."""
        lasts = (next(self.find(Query(kind, (subject,), reverse=True)), None) for subject in subjects)
        return [None if last is None else last.last_ns for last in lasts]

    def inventory(self, kind: Kind) -> Sequence[InventoryEntry]:
        """Return the number of sealed rows, first and last time of each subject, by subject."""
        groups = itertools.groupby(self.find(Query(kind)), attrgetter("subject"))
        found = ((subject, list(infos)) for subject, infos in groups)
        return [
            InventoryEntry(kind.name, subject, sum(info.rows for info in infos), infos[0].first_ns, infos[-1].last_ns)
            for subject, infos in found
        ]

    @abstractmethod
    def contents(self, ids: Sequence[int]) -> Mapping[int, bytes]:
        """Return the bytes of segments, retired or not: no two share an id; one that is missing is left out."""
        ...

    def heads(self, ids: Sequence[int], size: int) -> Iterator[bytes]:
        """Yield the first *size* bytes of segments, which must exist, in any order, without reading the rest if the database can."""
        return (content[:size] for content in self.contents(ids).values())


class SegmentWriter(SegmentReader, Protocol):
    """Segments, within a write transaction."""

    @abstractmethod
    def add(self, segments: Sequence[tuple[SegmentInfo, bytes]]) -> None:
        """Add segments; the store gives the ids."""
        ...

    @abstractmethod
    def remove(self, ids: Sequence[int]) -> None:
        """Remove segments."""
        ...


class RetiredReader(Protocol):
    """Retired segments: sealed rows of the history. They overlap in time as they like, but no reader who asks for no history meets them.

    Their bytes are read by :meth:`SegmentReader.contents`.
    """

    @abstractmethod
    def find(self, query: Query, *, known: int | None = None) -> Generator[RetiredSegment, None, None]:
        """Yield the retired segments that may hold rows of *query*, by subject and last time, both backwards for ``query.reverse``.

        None if its time is empty. Conditions on batches and further columns may be ignored.

        :param known: only segments that may hold rows which were known when this batch was the last: with rows of that or an earlier batch,
            and retired by a later one.
        """
        ...

    def meeting(self, kind: Kind, ranges: Sequence[Range]) -> Sequence[Sequence[RetiredSegment]]:
        """Return the retired segments that share time with each range, by last time."""
        return [list(self.find(one.query(kind))) for one in ranges]

    @abstractmethod
    def retired_by(self, kind: Kind, batch: int) -> Sequence[RetiredSegment]:
        """Return the segments that a batch or its children retired, by subject and last time."""
        ...


class RetiredWriter(RetiredReader, Protocol):
    """Retired segments, within a write transaction."""

    @abstractmethod
    def retire(self, ids: Sequence[int], *, by: int, reason: str) -> None:
        """Move segments to the retired ones, with their ids, and without touching their bytes."""
        ...

    @abstractmethod
    def add(self, segments: Sequence[tuple[RetiredSegment, bytes]]) -> Sequence[int]:
        """Add retired segments; return the ids that the store gives them."""
        ...

    @abstractmethod
    def remove(self, ids: Sequence[int]) -> None:
        """Remove retired segments for good."""
        ...
