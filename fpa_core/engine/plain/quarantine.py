"""Rejected records."""

from __future__ import annotations

import itertools
from collections.abc import Generator, Iterable, Sequence

from attrs import evolve

from fpa_core.engine.plain.state import Part
from fpa_core.engine.tables import QuarantineStore
from fpa_core.patterns import matches_any
from fpa_core.protocols import Quarantined, QuarantineQuery, State

__all__ = ["Quarantine"]


class Quarantine(Part, QuarantineStore):
    """See :class:`fpa_core.engine.tables.QuarantineStore`."""

    def select(self, query: QuarantineQuery) -> Generator[Quarantined, None, None]:
        batches, wanted = self._state.batches, query.matcher()
        found = [
            one
            for one in self._state.rejected.values()
            if wanted(one) and (query.origins is None or matches_any(query.origins, batches[one.batch].origin))
        ]
        if query.in_order:  # a record without a position comes first
            found.sort(key=lambda one: (one.batch, one.kind, one.row is not None, one.row or 0, one.id))
        yield from itertools.islice(found if query.in_order else reversed(found), query.limit)

    def earlier(self) -> Generator[Sequence[tuple[Quarantined, int]], None, None]:
        yield list(self._state.rejected_before)

    def matches(self) -> Generator[Sequence[tuple[int, str, str, int, int, int]], None, None]:
        yield list(self._state.matches)

    def add(self, records: Sequence[tuple[int, Quarantined]]) -> None:
        self._own.rejected.update({one.id: one for _, one in records})

    def set_state(self, query: QuarantineQuery, state: str, *, by: int) -> int:
        return self._replace([evolve(one, state=str(state)) for one in self.select(query)], by)

    def set_findings(self, records: Sequence[Quarantined], *, by: int) -> None:
        there = ((self._state.rejected[one.id], one.findings) for one in records)
        changed = ((one, new) for one, new in there if one.state == State.OPEN and one.findings != new)
        self._replace([evolve(one, findings=new) for one, new in changed], by)

    def restore_states(self, batches: Sequence[int], *, by: int) -> None:
        asked, known, present = set(batches), self._state.batches, self._state.rejected
        changed = {one.id for one, changer in self._state.rejected_before if changer in asked}
        meant = {one.id for one in present.values() if one.batch in asked or one.id in changed}
        past = (one for one, _ in self._state.rejected_before)
        versions: dict[int, Quarantined] = {}
        for one in sorted((*past, *present.values()), key=lambda one: one.changed_by or 0):
            changer = None if one.changed_by is None else known[one.changed_by]
            if one.id in meant and (changer is None or changer.undone_by is changer.undoes is None):
                versions[one.id] = one
        undone = {one.id for one in versions.values() if known[one.batch].undone_by is not None}
        now = [evolve(one, state=str(State.UNDONE)) if one.id in undone else one for one in versions.values()]
        self._replace([one for one in now if evolve(one, changed_by=present[one.id].changed_by) != present[one.id]], by)

    def _replace(self, records: Sequence[Quarantined], by: int) -> int:
        self._own.rejected_before.extend((self._state.rejected[one.id], by) for one in records)
        self._own.rejected.update({one.id: evolve(one, changed_by=by) for one in records})
        return len(records)

    def keep_matches(self, batch: int, matches: Sequence[tuple[str, str, int, int, int]]) -> None:
        self._own.matches.extend((batch, *match) for match in matches)

    def replace_all(
        self,
        records: Iterable[Sequence[tuple[int, Quarantined]]],
        earlier: Iterable[Sequence[tuple[Quarantined, int]]],
        matches: Iterable[Sequence[tuple[int, str, str, int, int, int]]],
    ) -> None:
        self._own.rejected.clear()
        self.add(list(itertools.chain.from_iterable(records)))
        self._own.rejected_before[:] = itertools.chain.from_iterable(earlier)
        self._own.matches[:] = itertools.chain.from_iterable(matches)
