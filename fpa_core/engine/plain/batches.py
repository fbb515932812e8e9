"""Batches."""

from __future__ import annotations

import itertools
from collections.abc import Generator, Iterable, Sequence
from typing import Any

from attrs import evolve

from fpa_core.engine.plain.state import Part
from fpa_core.engine.tables import BatchWriter
from fpa_core.protocols import Batch, WriteCounts

__all__ = ["Batches"]


class Batches(Part, BatchWriter):
    """See :class:`fpa_core.engine.tables.BatchWriter`."""

    def find(self, *, batch: int | None = None, limit: int | None = None, children: bool = False) -> Sequence[Batch]:
        latest = reversed(self._state.batches.values())
        found = (one for one in latest if (one.id == batch if batch is not None else children or one.parent is None))
        return list(itertools.islice(found, limit))

    def scan(self, size: int = 4_096) -> Generator[Sequence[Batch], None, None]:
        batches = iter(list(self._state.batches.values()))
        while page := list(itertools.islice(batches, size)):
            yield page

    def add(self, batch: Batch) -> int:
        number = 1 + max(self._state.batches, default=0)
        self._own.batches[number] = evolve(batch, id=number)
        return number

    def record(self, batch: int, *, recorded_ns: int | None, counts: WriteCounts, **more: int) -> bool:
        before = self._state.batches.get(batch)
        if before is None or before.undone_by is not None:
            return False
        more |= {"inserted": counts.inserted, "duplicate": counts.duplicate, "revised": counts.revised}
        sums = {name: getattr(before, name) + number for name, number in more.items()}
        self.amend(batch, recorded_ns=recorded_ns, **sums)
        return True

    def amend(self, batch: int, **values: Any) -> None:
        given = {name: value for name, value in values.items() if value is not None}
        self._own.batches[batch] = evolve(self._state.batches[batch], **given)

    def set_undone(self, batch: int, by: int | None) -> None:
        for number in self._state.family(batch):
            self._own.batches[number] = evolve(self._state.batches[number], undone_by=by)

    def replace_all(self, batches: Iterable[Batch]) -> None:
        self._own.batches.clear()
        self._own.batches.update({one.id: one for one in batches})
