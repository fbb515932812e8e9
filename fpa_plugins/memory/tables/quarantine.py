"""Rejected records."""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Collection, Generator, Iterable, Mapping, Sequence
from typing import Any

from attrs import evolve

from fpa_core.engine.tables import Sought
from fpa_core.protocols import QuarantineCount, Quarantined, QuarantineQuery
from fpa_core.protocols import State as RecordState
from fpa_plugins.memory.tables.selecting import matches_any
from fpa_plugins.memory.tables.state import Part

__all__ = ["Quarantine"]


class Quarantine(Part):
    """See :class:`fpa_core.engine.tables.QuarantineStore`."""

    def select(self, query: QuarantineQuery) -> Generator[Quarantined, None, None]:
        found = self._selected(query)
        if query.in_order:  # a record without a position comes first
            found.sort(key=lambda one: (one.batch, one.kind, one.row is not None, one.row or 0, one.id))
        yield from itertools.islice(found if query.in_order else reversed(found), query.limit)

    def _selected(self, query: QuarantineQuery) -> list[Quarantined]:
        """Return the records of *query*, its limit aside, by their ids."""
        with_origin = {one.id for one in self._state.batches.values() if matches_any(query.origins, one.origin)}
        conditions: Mapping[str, Collection[Any] | None] = {
            "id": None if query.ids is None else set(query.ids),
            "batch": with_origin if query.batch is None else with_origin & {query.batch},
            "kind": None if query.kind is None else {query.kind},
            "state": query.states,
            "changed_by": None if query.changed_by is None else {query.changed_by},
        }
        return [
            one
            for _, one in self._state.rejected.values()
            if all(values is None or getattr(one, name) in values for name, values in conditions.items())
            and matches_any(query.symbols, one.subject)
            and (query.rules is None or any(matches_any(query.rules, finding.get("rule")) for finding in one.findings))
        ]

    def count(self, query: QuarantineQuery) -> Sequence[QuarantineCount]:
        counts = Counter((one.batch, one.kind, one.state) for one in self._selected(query))
        return [QuarantineCount(*key, number) for key, number in sorted(counts.items())]

    def like(self, sought: Sequence[Sought], *, upto: int, root: int) -> Iterable[tuple[int, Quarantined]]:
        alike: dict[int, list[Quarantined]] = defaultdict(list)
        for digest, one in self._state.rejected.values():
            if one.id <= upto and one.batch != root and one.state != RecordState.UNDONE:
                alike[digest].append(one)
        for each in sought:
            later = (one for one in alike.get(each.digest, ()) if one.id > each.after)
            yield from ((each.digest, one) for one in itertools.islice(later, each.count))

    def last_id(self) -> int:
        return max(self._state.rejected, default=0)

    def replayed_before(self, ids: Sequence[int], *, batch: int) -> Mapping[int, int]:
        likenesses = {one.id: (digest, one.raw, one.kind) for digest, one in self._state.rejected.values()}
        replayed = (
            one for one in self._selected(QuarantineQuery(states=(RecordState.REPLAYED,))) if one.changed_by != batch
        )
        before = Counter(likenesses[one.id] for one in replayed)
        firsts = {likenesses[number]: number for number in sorted(ids, reverse=True)}
        return {number: before[likeness] for likeness, number in firsts.items() if likeness in before}

    def matches_of(self, batch: int) -> Iterable[tuple[str, str, int, int, int]]:
        return self._state.matches.get(batch, ())

    def add(self, records: Sequence[tuple[int, Quarantined]]) -> None:
        self._view.change("rejected", {one.id: (digest, one) for digest, one in records})

    def set_state(self, query: QuarantineQuery, state: str, *, by: int) -> int:
        return self._replace([evolve(one, state=str(state)) for one in self._selected(query)], by)

    def set_findings(self, records: Sequence[Quarantined], *, by: int) -> None:
        findings = {record.id: record.findings for record in records}
        opened = self._selected(QuarantineQuery(ids=tuple(findings), states=(RecordState.OPEN,)))
        self._replace(
            [evolve(one, findings=findings[one.id]) for one in opened if one.findings != findings[one.id]], by
        )

    def restore_states(self, batches: Sequence[int], *, by: int) -> None:
        asked, known = set(batches), self._state.batches
        changed = {one.id for batch in asked for one in self._state.rejected_before.get(batch, ())}
        present = {one.id: one for _, one in self._state.rejected.values() if one.batch in asked or one.id in changed}
        past = itertools.chain.from_iterable(self._state.rejected_before.values())
        versions: dict[int, Quarantined] = {}
        for one in sorted((*past, *present.values()), key=lambda one: one.changed_by or 0):
            changer = None if one.changed_by is None else known[one.changed_by]
            if one.id in present and (changer is None or changer.undone_by is changer.undoes is None):
                versions[one.id] = one
        undone = {one.id for one in versions.values() if known[one.batch].undone_by is not None}
        now = [evolve(one, state=str(RecordState.UNDONE)) if one.id in undone else one for one in versions.values()]
        self._replace([one for one in now if evolve(one, changed_by=present[one.id].changed_by) != present[one.id]], by)

    def _replace(self, records: Sequence[Quarantined], by: int) -> int:
        present, log = self._state.rejected, self._state.rejected_before
        self._view.change("rejected_before", {by: [*log.get(by, ()), *(present[one.id][1] for one in records)]})
        self._view.change("rejected", {one.id: (present[one.id][0], evolve(one, changed_by=by)) for one in records})
        return len(records)

    def keep_matches(self, batch: int, matches: Sequence[tuple[str, str, int, int, int]]) -> None:
        self._view.change("matches", {batch: [*self._state.matches.get(batch, ()), *matches]})

    def matches(self) -> Generator[Sequence[tuple[int, str, str, int, int, int]], None, None]:
        for batch, kept in self._state.matches.items():
            yield [(batch, *match) for match in kept]

    def earlier(self) -> Generator[Sequence[tuple[Quarantined, int]], None, None]:
        for by, records in self._state.rejected_before.items():
            yield [(record, by) for record in records]

    def replace_all(
        self,
        records: Iterable[Sequence[tuple[int, Quarantined]]],
        earlier: Iterable[Sequence[tuple[Quarantined, int]]],
        matches: Iterable[Sequence[tuple[int, str, str, int, int, int]]],
    ) -> None:
        before: dict[int, list[Quarantined]] = defaultdict(list)
        kept: dict[int, list[tuple[str, str, int, int, int]]] = defaultdict(list)
        for record, by in itertools.chain.from_iterable(earlier):
            before[by].append(record)
        for match in itertools.chain.from_iterable(matches):
            kept[match[0]].append(match[1:])
        rejected = {one.id: (digest, one) for digest, one in itertools.chain.from_iterable(records)}
        for name, values in (("rejected", rejected), ("rejected_before", before), ("matches", kept)):
            self._view.change(name, values, {})
