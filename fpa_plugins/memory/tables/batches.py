"""Batches."""

from __future__ import annotations

import itertools
from collections.abc import Generator, Iterable, Mapping, Sequence
from operator import attrgetter
from typing import Any

from attrs import evolve

from fpa_core.protocols import Batch, Query, WriteCounts
from fpa_plugins.memory.tables.selecting import matches_any
from fpa_plugins.memory.tables.state import Part, State

__all__ = ["Batches", "family", "with_children"]


def with_children(state: State, batch: int) -> set[int]:
    """Return the ids of a batch and of its children."""
    return {one.id for one in state.batches.values() if batch in (one.id, one.parent)}


def family(state: State, query: Query) -> list[int]:
    """Return the ids, in order, that ``query.batch`` (with its children) and ``query.origins`` allow."""
    own = None if query.batch is None else with_children(state, query.batch)
    batches = state.batches.values()
    return [one.id for one in batches if (own is None or one.id in own) and matches_any(query.origins, one.origin)]


class Batches(Part):
    """See :class:`fpa_core.engine.tables.BatchWriter`."""

    def find(self, *, batch: int | None = None, limit: int | None = None, children: bool = False) -> Sequence[Batch]:
        latest = reversed(self._state.batches.values())
        found = (one for one in latest if (one.id == batch if batch is not None else children or one.parent is None))
        return list(itertools.islice(found, limit))

    def scan(self, size: int = 4_096) -> Generator[Sequence[Batch], None, None]:
        batches = iter(self._state.batches.values())
        while page := list(itertools.islice(batches, size)):
            yield page

    def family(self, query: Query) -> Sequence[int]:
        return family(self._state, query)

    def last_known(self, known_at_ns: int) -> int:
        known = [one for one in self._state.batches.values() if one.recorded_ns <= known_at_ns]
        return max(known, key=attrgetter("recorded_ns")).id if known else 0

    def undone(self, ids: Sequence[int]) -> Mapping[int, int]:
        found = ((number, self._state.batches[number].undone_by) for number in ids if number in self._state.batches)
        return {number: by for number, by in found if by is not None}

    def children_among(self, parent: int, ids: Sequence[int]) -> set[int]:
        return (with_children(self._state, parent) - {parent}).intersection(ids)

    def replays_of(self, batch: int, *, undone_by: int | None = None) -> Sequence[int]:
        latest = reversed(self._state.batches.values())
        return [one.id for one in latest if one.replays == batch and one.undone_by == undone_by]

    def add(self, batch: Batch) -> int:
        number = 1 + max(self._state.batches, default=0)
        self._view.change("batches", {number: evolve(batch, id=number)})
        return number

    def _set(self, batch: int, **values: Any) -> None:
        self._view.change("batches", {batch: evolve(self._state.batches[batch], **values)})

    def record(self, batch: int, *, recorded_ns: int | None, counts: WriteCounts, **more: int) -> bool:
        before = self._state.batches.get(batch)
        if before is None or before.undone_by is not None:
            return False
        more |= {"inserted": counts.inserted, "duplicate": counts.duplicate, "revised": counts.revised}
        sums = {name: getattr(before, name) + number for name, number in more.items()}
        self._set(batch, recorded_ns=before.recorded_ns if recorded_ns is None else recorded_ns, **sums)
        return True

    def set_recorded(self, batch: int, recorded_ns: int) -> None:
        self._set(batch, recorded_ns=recorded_ns)

    def set_file(self, batch: int, *, digest: str | None, reading: str | None) -> None:
        given = {"digest": digest, "reading": reading}
        self._set(batch, **{name: value for name, value in given.items() if value is not None})

    def set_undoes(self, batch: int, undoes: int) -> None:
        self._set(batch, undoes=undoes)

    def set_undone(self, batch: int, by: int | None) -> None:
        found = (self._state.batches[number] for number in sorted(with_children(self._state, batch)))
        self._view.change("batches", {one.id: evolve(one, undone_by=by) for one in found})

    def replace_all(self, batches: Iterable[Batch]) -> None:
        self._view.change("batches", {one.id: one for one in batches}, {})
