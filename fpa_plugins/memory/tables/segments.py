"""Sealed segments, and retired ones."""

from __future__ import annotations

import itertools
from collections.abc import Generator, Iterator, Mapping, Sequence
from operator import attrgetter
from typing import TypeAlias, TypeVar

from attrs import evolve

from fpa_core.engine.catalog import RetiredSegment, SegmentInfo
from fpa_core.engine.rows import Range
from fpa_core.kinds import Kind
from fpa_core.protocols import InventoryEntry, Query
from fpa_plugins.memory.tables.batches import with_children
from fpa_plugins.memory.tables.selecting import chosen
from fpa_plugins.memory.tables.state import Part, View

__all__ = ["Retired", "Segments"]

_S = TypeVar("_S", bound=SegmentInfo)
_Catalog: TypeAlias = Mapping[int, tuple[_S, bytes]]


def _infos(catalog: _Catalog[_S], kind: Kind) -> dict[str, list[_S]]:
    """Return the segments of each subject, by their last times."""
    infos = (info for info, _ in catalog.values() if info.kind.name == kind.name)
    by_subject = itertools.groupby(sorted(infos, key=attrgetter("subject", "last_ns")), attrgetter("subject"))
    return {subject: list(own) for subject, own in by_subject}


def _meeting(catalog: _Catalog[_S], query: Query) -> Iterator[_S]:
    """Yield the segments that may hold rows of *query*."""
    found, start, end = _infos(catalog, query.kind), query.start_ns, query.end_ns
    if start is not None and end is not None and start >= end:
        return
    for subject in sorted(chosen(query, found), reverse=query.reverse):
        for info in found[subject][:: -1 if query.reverse else 1]:
            if (start is None or start <= info.last_ns) and (end is None or info.first_ns < end):
                yield info


def _in_time(kind: Kind, one: Range) -> Query:
    return Query(kind, (one.prefix[0],), one.first_ns, one.last_ns + 1)


class Segments(Part):
    """See :class:`fpa_core.engine.tables.SegmentWriter`."""

    def find(self, query: Query) -> Generator[SegmentInfo, None, None]:
        yield from _meeting(self._state.segments, query)

    def meeting(self, kind: Kind, ranges: Sequence[Range]) -> Sequence[Sequence[SegmentInfo]]:
        return [list(self.find(_in_time(kind, one))) for one in ranges]

    def last_times(self, kind: Kind, subjects: Sequence[str]) -> Sequence[int | None]:
        found = _infos(self._state.segments, kind)
        return [found[subject][-1].last_ns if subject in found else None for subject in subjects]

    def inventory(self, kind: Kind) -> Sequence[InventoryEntry]:
        return [
            InventoryEntry(kind.name, subject, sum(info.rows for info in own), own[0].first_ns, own[-1].last_ns)
            for subject, own in _infos(self._state.segments, kind).items()
        ]

    def contents(self, ids: Sequence[int]) -> Mapping[int, bytes]:
        catalogs = self._state.segments, self._state.retired
        return {number: catalog[number][1] for number in ids for catalog in catalogs if number in catalog}

    def heads(self, ids: Sequence[int], size: int) -> Iterator[bytes]:
        return (content[:size] for content in self.contents(ids).values())

    def add(self, segments: Sequence[tuple[SegmentInfo, bytes]]) -> None:
        _add(self._view, "segments", segments)

    def remove(self, ids: Sequence[int]) -> None:
        _remove(self._view, "segments", ids)


class Retired(Part):
    """See :class:`fpa_core.engine.tables.RetiredWriter`."""

    def find(self, query: Query, *, known: int | None = None) -> Generator[RetiredSegment, None, None]:
        for info in _meeting(self._state.retired, query):
            if known is None or info.first_batch <= known < info.retired_by:
                yield info

    def meeting(self, kind: Kind, ranges: Sequence[Range]) -> Sequence[Sequence[RetiredSegment]]:
        return [list(self.find(_in_time(kind, one))) for one in ranges]

    def retired_by(self, kind: Kind, batch: int) -> Sequence[RetiredSegment]:
        family = with_children(self._state, batch)
        return [info for info in self.find(Query(kind)) if info.retired_by in family]

    def retire(self, ids: Sequence[int], *, by: int, reason: str) -> None:
        there = self._state.segments
        moved = {number: (RetiredSegment.of(there[number][0], by, reason), there[number][1]) for number in ids}
        self._view.change("retired", moved)
        _remove(self._view, "segments", ids)

    def add(self, segments: Sequence[tuple[RetiredSegment, bytes]]) -> Sequence[int]:
        return _add(self._view, "retired", segments)

    def remove(self, ids: Sequence[int]) -> None:
        _remove(self._view, "retired", ids)


def _add(view: View, catalog: str, segments: Sequence[tuple[SegmentInfo, bytes]]) -> Sequence[int]:
    """Add segments to a catalog, and return their ids, which are above all that are in use in any."""
    first = 1 + max(itertools.chain(view.state.segments, view.state.retired), default=0)
    numbered = enumerate(segments, first)
    view.change(catalog, {number: (evolve(info, id=number), content) for number, (info, content) in numbered})
    return range(first, first + len(segments))


def _remove(view: View, catalog: str, ids: Sequence[int]) -> None:
    """Remove segments from a catalog."""
    gone = set(ids)
    there = getattr(view.state, catalog)
    view.change(catalog, {}, {number: one for number, one in there.items() if number not in gone})
