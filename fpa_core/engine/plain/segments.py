"""Sealed segments, and retired ones."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from operator import attrgetter
from typing import TypeVar

from attrs import evolve

from fpa_core.engine.catalog import RetiredSegment, SegmentInfo
from fpa_core.engine.plain.state import Part, StoreState
from fpa_core.engine.tables import RetiredWriter, SegmentWriter
from fpa_core.kinds import Kind
from fpa_core.protocols import Query

__all__ = ["Retired", "Segments"]

_S = TypeVar("_S", bound=SegmentInfo)


class Segments(Part, SegmentWriter):
    """See :class:`fpa_core.engine.tables.SegmentWriter`."""

    def find(self, query: Query) -> Generator[SegmentInfo, None, None]:
        yield from _found(self._state, query, SegmentInfo)

    def contents(self, ids: Sequence[int]) -> Mapping[int, bytes]:
        return {number: self._state.segments[number][1] for number in ids if number in self._state.segments}

    def add(self, segments: Sequence[tuple[SegmentInfo, bytes]]) -> None:
        _add(self._own, segments)

    def remove(self, ids: Sequence[int]) -> None:
        _remove(self._own, ids, SegmentInfo)


class Retired(Part, RetiredWriter):
    """See :class:`fpa_core.engine.tables.RetiredWriter`."""

    def find(self, query: Query, *, known: int | None = None) -> Generator[RetiredSegment, None, None]:
        found = _found(self._state, query, RetiredSegment)
        yield from (info for info in found if known is None or info.first_batch <= known < info.retired_by)

    def retired_by(self, kind: Kind, batch: int) -> Sequence[RetiredSegment]:
        family = self._state.family(batch)
        return [info for info in self.find(Query(kind)) if info.retired_by in family]

    def retire(self, ids: Sequence[int], *, by: int, reason: str) -> None:
        for number in ids:
            info, content = self._state.segments[number]
            self._own.segments[number] = RetiredSegment.of(info, by, reason), content

    def add(self, segments: Sequence[tuple[RetiredSegment, bytes]]) -> Sequence[int]:
        return _add(self._own, segments)

    def remove(self, ids: Sequence[int]) -> None:
        _remove(self._own, ids, RetiredSegment)


def _found(state: StoreState, query: Query, what: type[_S]) -> list[_S]:
    """Return segments, either those that are retired or the others, that may hold rows of *query*."""
    start, end, wanted = query.start_ns, query.end_ns, query.subject_matcher()
    found = [
        info
        for info, _ in state.segments.values()
        if type(info) is what and info.kind.name == query.kind.name and wanted(info.subject)
        if (start is None or start <= info.last_ns) and (end is None or info.first_ns < end)
        if start is None or end is None or start < end
    ]
    return sorted(found, key=attrgetter("subject", "last_ns", "id"), reverse=query.reverse)


def _add(state: StoreState, segments: Sequence[tuple[SegmentInfo, bytes]]) -> Sequence[int]:
    first = 1 + max(state.segments, default=0)
    numbered = enumerate(segments, first)
    state.segments.update({number: (evolve(info, id=number), content) for number, (info, content) in numbered})
    return range(first, first + len(segments))


def _remove(state: StoreState, ids: Sequence[int], what: type[SegmentInfo]) -> None:
    for number in ids:
        if number in state.segments and type(state.segments[number][0]) is what:
            del state.segments[number]
