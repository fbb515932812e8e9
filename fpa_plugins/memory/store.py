"""The engine's port over plain Python structures: for tests and notebooks, and the reference that other stores are compared with.

A state is never changed. A change makes a new one, which shares everything that it does not touch: a reader keeps the state it began with, a commit
makes the writer's state the latest, and a rollback forgets it. Clear comes before fast: most methods look at every row of a subject, and at every
segment, batch or rejected record. What each method does is said in :mod:`fpa_core.engine.tables`.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import platform
import threading
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from operator import attrgetter, itemgetter
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

from attrs import evolve, field, frozen

from fpa_core.engine.catalog import RetiredSegment, SegmentInfo
from fpa_core.engine.coverage import coverage_order
from fpa_core.engine.rows import Key, Range, Retirement, Row, Shape, plain_value, shape_of
from fpa_core.engine.tables import Reader, Sought, Writer, unsupported
from fpa_core.exceptions import DatabaseBusyError, DatabaseError
from fpa_core.kinds import KINDS, Kind
from fpa_core.patterns import compiled
from fpa_core.protocols import (
    AuditEntry,
    Batch,
    Capability,
    Changed,
    ChangeFeed,
    CoverageEntry,
    InventoryEntry,
    KindFigures,
    Problem,
    QuarantineCount,
    Quarantined,
    QuarantineQuery,
    Query,
    Space,
    State,
    StoreDescription,
    Tick,
    WriteCounts,
)

__all__ = ["MemoryDatabase"]

Shelves = Mapping[str, Sequence[Row]]
"""Rows by the first value of their key, in the order in which they are read; equals by arrival. No shelf is empty."""


@frozen(eq=False)
class _State:
    """All that a store holds at one moment: rows by the names of kinds, all else by ids, what batches did to rejected records by the batches' ids."""

    live: dict[str, Shelves] = field(factory=dict)
    history: dict[str, Shelves] = field(factory=dict)
    segments: dict[int, tuple[SegmentInfo, bytes]] = field(factory=dict)
    retired: dict[int, tuple[RetiredSegment, bytes]] = field(factory=dict)
    batches: dict[int, Batch] = field(factory=dict)
    rejected: dict[int, tuple[int, Quarantined]] = field(factory=dict)
    rejected_before: dict[int, Sequence[Quarantined]] = field(factory=dict)
    matches: dict[int, Sequence[tuple[str, str, int, int, int]]] = field(factory=dict)
    coverage: dict[int, Sequence[CoverageEntry]] = field(factory=dict)
    audit_log: dict[int, AuditEntry] = field(factory=dict)


class _Tables:
    """A Writer, or a Reader of whom nobody asks for changes."""

    def __init__(self, state: _State) -> None:
        self.state = state
        self.rows = _Rows(self)
        self.segments = _Segments(self)
        self.retired = _Retired(self)
        self.batches = _Batches(self)
        self.quarantine = _Quarantine(self)
        self.coverage = _Coverage(self)
        self.audit_log = _AuditLog(self)

    def change(self, name: str, more: Mapping[Any, Any], left: Mapping[Any, Any] | None = None) -> None:
        """Put *more* entries into a mapping of the state, in the place of others with their keys; *left* is what is kept of it, None for all."""
        self.state = evolve(self.state, **{name: {**(getattr(self.state, name) if left is None else left), **more}})

    def add_segments(self, catalog: str, segments: Sequence[tuple[SegmentInfo, bytes]]) -> Sequence[int]:
        """Add segments to a catalog, and return their ids, which are above all that are in use in any."""
        first = 1 + max(itertools.chain(self.state.segments, self.state.retired), default=0)
        numbered = enumerate(segments, first)
        self.change(catalog, {number: (evolve(info, id=number), content) for number, (info, content) in numbered})
        return range(first, first + len(segments))

    def remove_segments(self, catalog: str, ids: Sequence[int]) -> None:
        """Remove segments from a catalog."""
        gone = set(ids)
        there = getattr(self.state, catalog)
        self.change(catalog, {}, {number: one for number, one in there.items() if number not in gone})


class _Part:
    def __init__(self, tables: _Tables) -> None:
        self._tables = tables

    @property
    def _state(self) -> _State:
        return self._tables.state


class _Rows(_Part):
    def select(
        self, query: Query, names: Sequence[str], *, known: int | None = None, size: int = 16_384
    ) -> Generator[list[Row], None, None]:
        rows = map(_values(shape_of(query.kind), names), itertools.islice(self._selected(query, known), query.limit))
        while page := list(itertools.islice(rows, size)):
            yield page

    def count(self, query: Query, *, known: int | None = None) -> int:
        return sum(1 for _ in self._selected(query, known))

    def subjects(self, query: Query, *, known: int | None = None) -> set[str]:
        return set(map(itemgetter(shape_of(query.kind).place(query.kind.subject)), self._selected(query, known)))

    def _selected(self, query: Query, known: int | None = None) -> Iterator[Row]:
        """Yield the rows of *query*, its limit aside."""
        kind, shape = query.kind, shape_of(query.kind)
        batch, since, retired = (len(shape.columns) + place for place in (-2, -1, 0))
        equal = [(shape.place(name), plain_value(kind, name, value)) for name, value in query.equal.items()]
        asked = query.batch is not None or query.origins is not None
        family = set(self._tables.batches.family(query)) if asked else None

        def fits(row: Row) -> bool:
            return (family is None or row[batch] in family) and all(row[place] == value for place, value in equal)

        def was_known(row: Row) -> bool:
            return (row[since] or row[batch]) <= known and (len(row) == retired or row[retired] > known)

        live = _by_subject(kind, self._state.live)
        past = {} if known is None else _by_subject(kind, self._state.history)
        for subject in sorted(_chosen(query, live.keys() | past.keys()), reverse=query.reverse):
            shelves = live.get(subject, ()), past.get(subject, ())
            rows, old = (_between(shape, shelf, query.start_ns, query.end_ns) for shelf in shelves)
            if known is not None:
                rows = sorted(filter(was_known, [*rows, *old]), key=_values(shape, shape.order))
            yield from filter(fits, reversed(rows) if query.reverse else rows)

    def inventory(self, kind: Kind, subject: str | None = None) -> Sequence[InventoryEntry]:
        time = shape_of(kind).place("ts_ns")
        return [
            InventoryEntry(kind.name, name, len(rows), rows[0][time], rows[-1][time])
            for name, rows in sorted(_by_subject(kind, self._state.live).items())
            if subject in (None, name)
        ]

    def spans(self, kind: Kind, ranges: Sequence[Range]) -> Sequence[tuple[int, int] | None]:
        time = shape_of(kind).place("ts_ns")
        found = (self._in_range(kind, one) for one in ranges)
        return [(rows[0][time], rows[-1][time]) if rows else None for rows in found]

    def _in_range(self, kind: Kind, one: Range) -> list[Row]:
        shelf = self._state.live.get(kind.name, {}).get(one.prefix[0], ())
        rows = _between(shape_of(kind), shelf, one.first_ns, one.last_ns + 1)
        return [row for row in rows if row[: len(one.prefix)] == one.prefix]

    def at(self, kind: Kind, keys: Iterable[Key]) -> list[Row]:
        return [row for key in keys for row in _under(kind, self._state.live, key)]

    def history_at(self, kind: Kind, keys: Iterable[Key]) -> list[Row]:
        return [row for key in keys for row in _under(kind, self._state.history, key)]

    def history(self, query: Query) -> Generator[list[Row], None, None]:
        if rows := list(self._stored("history", query)):
            yield rows

    def _stored(self, table: str, query: Query) -> Iterator[Row]:
        """Yield the rows of a table that *query* selects by subject, time and value."""
        kind, shape = query.kind, shape_of(query.kind)
        equal = [(shape.place(name), plain_value(kind, name, value)) for name, value in query.equal.items()]
        shelves = _by_subject(kind, getattr(self._state, table))
        for subject in _chosen(query, shelves):
            rows = _between(shape, shelves[subject], query.start_ns, query.end_ns)
            yield from (row for row in rows if all(row[place] == value for place, value in equal))

    def retired_by(self, kind: Kind, batch: int) -> Generator[list[Row], None, None]:
        family = self._tables.batches.with_children(batch)
        if rows := [row for row in _all(kind, self._state.history) if row[-2] in family]:
            yield sorted(rows, key=_values(shape_of(kind), shape_of(kind).row_key))

    def retirements(self, kind: Kind, least: int) -> Sequence[Retirement]:
        counts = Counter(Retirement(row[0], *row[-2:]) for row in _all(kind, self._state.history))
        return sorted(one for one, rows in counts.items() if rows >= least)

    def of_retirement(self, kind: Kind, one: Retirement, limit: int) -> Sequence[Row]:
        rows = [row[:-2] for row in self._of(kind, one)]
        since = len(shape_of(kind).columns) - 1
        order = _values(shape_of(kind), shape_of(kind).row_key)
        return sorted(rows, key=lambda row: (*order(row), row[since] or row[since - 1]))[:limit]

    def _of(self, kind: Kind, one: Retirement) -> list[Row]:
        shelf = self._state.history.get(kind.name, {}).get(one.subject, ())
        return [row for row in shelf if row[-2:] == (one.retired_by, one.reason)]

    def insert(self, kind: Kind, rows: Iterable[Row]) -> None:
        shape, rows = shape_of(kind), list(rows)
        there = self.at(kind, {row[: len(shape.key)] for row in rows})
        counts = Counter(map(_values(shape, shape.row_key), [*there, *rows]))
        if twice := [key for key, count in counts.items() if count > 1]:
            raise DatabaseError(f"{kind.name}: a second row {twice[0]} was inserted", operation="insert rows")
        self._add("live", kind, rows)

    def insert_history(self, kind: Kind, rows: Iterable[Row]) -> None:
        self._add("history", kind, rows)

    def _add(self, table: str, kind: Kind, rows: Iterable[Row]) -> None:
        shelves: Shelves = getattr(self._state, table).get(kind.name, {})
        order = _values(shape_of(kind), shape_of(kind).order)
        changed: dict[str, list[Row]] = {}
        for row in sorted(rows, key=order):
            changed.setdefault(row[0], list(shelves.get(row[0], ()))).append(row)
        for first in changed.keys() & shelves.keys():
            if order(changed[first][len(shelves[first])]) < order(shelves[first][-1]):
                changed[first].sort(key=order)
        self._tables.change(table, {kind.name: {**shelves, **changed}})

    def retire(self, query: Query, *, by: int, reason: str) -> int:
        return self._retire(query.kind, list(self._selected(query)), by, reason)

    def retire_batch(self, kind: Kind, batch: int, *, by: int, reason: str) -> int:
        family = self._tables.batches.with_children(batch)
        rows = _all(kind, self._state.live)
        return self._retire(kind, [row for row in rows if not family.isdisjoint(row[-2:])], by, reason)

    def retire_keys(self, kind: Kind, keys: Sequence[Key], *, by: int, reason: str) -> None:
        shape, wanted = shape_of(kind), set(keys)
        row_key = _values(shape, shape.row_key)
        there = self.at(kind, {key[: len(shape.key)] for key in keys})
        self._retire(kind, [row for row in there if row_key(row) in wanted], by, reason)

    def _retire(self, kind: Kind, rows: Sequence[Row], by: int, reason: str) -> int:
        self.insert_history(kind, [(*row, by, reason) for row in rows])
        return self._remove(kind, rows)

    def delete_ranges(self, kind: Kind, ranges: Sequence[Range]) -> int:
        return self._remove(kind, [row for one in ranges for row in self._in_range(kind, one)])

    def delete(self, query: Query) -> int:
        return self._remove(query.kind, self._stored("live", query))

    def delete_retirement(self, kind: Kind, one: Retirement, last_ns: int) -> int:
        time = shape_of(kind).place("ts_ns")
        return self._remove(kind, [row for row in self._of(kind, one) if row[time] <= last_ns], "history")

    def delete_history(self, query: Query) -> int:
        return self._remove(query.kind, self._stored("history", query), "history")

    def _remove(self, kind: Kind, rows: Iterable[Row], table: str = "live") -> int:
        shelves = dict(getattr(self._state, table).get(kind.name, {}))
        gone: dict[str, set[Row]] = defaultdict(set)
        for row in rows:
            gone[row[0]].add(row)
        before = sum(len(shelves[first]) for first in gone)
        for first, these in gone.items():
            shelves[first] = [row for row in shelves[first] if row not in these]
        left = sum(len(shelves[first]) for first in gone)
        self._tables.change(table, {kind.name: {first: shelf for first, shelf in shelves.items() if shelf}})
        return before - left


def _values(shape: Shape, names: Sequence[str]) -> Callable[[Row], Row]:
    places = [shape.place(name) for name in names]
    return lambda row: tuple([row[place] for place in places])


def _all(kind: Kind, table: Mapping[str, Shelves]) -> Iterable[Row]:
    return itertools.chain.from_iterable(table.get(kind.name, {}).values())


def _by_subject(kind: Kind, table: Mapping[str, Shelves]) -> Shelves:
    if kind.key[0] == kind.subject:
        return table.get(kind.name, {})
    found: dict[str, list[Row]] = defaultdict(list)
    for row in sorted(_all(kind, table), key=_values(shape_of(kind), shape_of(kind).order)):
        found[row[shape_of(kind).place(kind.subject)]].append(row)
    return found


def _between(shape: Shape, shelf: Sequence[Row], start_ns: int | None, end_ns: int | None) -> Sequence[Row]:
    time = itemgetter(shape.place("ts_ns"))
    start = None if start_ns is None else bisect_left(shelf, start_ns, key=time)
    return shelf[start : None if end_ns is None else bisect_left(shelf, end_ns, key=time)]


def _under(kind: Kind, table: Mapping[str, Shelves], key: Key) -> Iterator[Row]:
    """Yield the rows under a key."""
    shape, shelf = shape_of(kind), table.get(kind.name, {}).get(key[0], ())
    rows = _between(shape, shelf, key[-1], key[-1] + 1) if shape.timed else shelf
    return (row for row in rows if row[: len(key)] == key)


def _chosen(query: Query, subjects: Collection[str]) -> set[str]:
    """Return which of *subjects* a query selects."""
    if query.subjects is None and not query.patterns:
        return set(subjects)
    named = {name for name in query.subjects or () if name in subjects}
    return named | {name for name in subjects if _matches(query.patterns, name)}


def _matches(patterns: Iterable[str] | None, text: str | None) -> bool:
    """Return whether *text* matches one of the patterns, or there are none to match."""
    return patterns is None or (text is not None and any(compiled(one).fullmatch(text) for one in patterns))


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
    for subject in sorted(_chosen(query, found), reverse=query.reverse):
        for info in found[subject][:: -1 if query.reverse else 1]:
            if (start is None or start <= info.last_ns) and (end is None or info.first_ns < end):
                yield info


def _in_time(kind: Kind, one: Range) -> Query:
    return Query(kind, (one.prefix[0],), one.first_ns, one.last_ns + 1)


class _Segments(_Part):
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
        self._tables.add_segments("segments", segments)

    def remove(self, ids: Sequence[int]) -> None:
        self._tables.remove_segments("segments", ids)


class _Retired(_Part):
    def find(self, query: Query, *, known: int | None = None) -> Generator[RetiredSegment, None, None]:
        for info in _meeting(self._state.retired, query):
            if known is None or info.first_batch <= known < info.retired_by:
                yield info

    def meeting(self, kind: Kind, ranges: Sequence[Range]) -> Sequence[Sequence[RetiredSegment]]:
        return [list(self.find(_in_time(kind, one))) for one in ranges]

    def retired_by(self, kind: Kind, batch: int) -> Sequence[RetiredSegment]:
        family = self._tables.batches.with_children(batch)
        return [info for info in self.find(Query(kind)) if info.retired_by in family]

    def retire(self, ids: Sequence[int], *, by: int, reason: str) -> None:
        there = self._state.segments
        moved = {number: (RetiredSegment.of(there[number][0], by, reason), there[number][1]) for number in ids}
        self._tables.change("retired", moved)
        self._tables.remove_segments("segments", ids)

    def add(self, segments: Sequence[tuple[RetiredSegment, bytes]]) -> Sequence[int]:
        return self._tables.add_segments("retired", segments)

    def remove(self, ids: Sequence[int]) -> None:
        self._tables.remove_segments("retired", ids)


class _Batches(_Part):
    def find(self, *, batch: int | None = None, limit: int | None = None, children: bool = False) -> Sequence[Batch]:
        latest = reversed(self._state.batches.values())
        found = (one for one in latest if (one.id == batch if batch is not None else children or one.parent is None))
        return list(itertools.islice(found, limit))

    def scan(self, size: int = 4_096) -> Generator[Sequence[Batch], None, None]:
        batches = iter(self._state.batches.values())
        while page := list(itertools.islice(batches, size)):
            yield page

    def with_children(self, batch: int) -> set[int]:
        return {one.id for one in self._state.batches.values() if batch in (one.id, one.parent)}

    def family(self, query: Query) -> Sequence[int]:
        own = None if query.batch is None else self.with_children(query.batch)
        batches = self._state.batches.values()
        return [one.id for one in batches if (own is None or one.id in own) and _matches(query.origins, one.origin)]

    def last_known(self, known_at_ns: int) -> int:
        known = [one for one in self._state.batches.values() if one.recorded_ns <= known_at_ns]
        return max(known, key=attrgetter("recorded_ns")).id if known else 0

    def undone(self, ids: Sequence[int]) -> Mapping[int, int]:
        found = ((number, self._state.batches[number].undone_by) for number in ids if number in self._state.batches)
        return {number: by for number, by in found if by is not None}

    def children_among(self, parent: int, ids: Sequence[int]) -> set[int]:
        return (self.with_children(parent) - {parent}).intersection(ids)

    def replays_of(self, batch: int, *, undone_by: int | None = None) -> Sequence[int]:
        latest = reversed(self._state.batches.values())
        return [one.id for one in latest if one.replays == batch and one.undone_by == undone_by]

    def add(self, batch: Batch) -> int:
        number = 1 + max(self._state.batches, default=0)
        self._tables.change("batches", {number: evolve(batch, id=number)})
        return number

    def _set(self, batch: int, **values: Any) -> None:
        self._tables.change("batches", {batch: evolve(self._state.batches[batch], **values)})

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
        found = (self._state.batches[number] for number in sorted(self.with_children(batch)))
        self._tables.change("batches", {one.id: evolve(one, undone_by=by) for one in found})

    def replace_all(self, batches: Iterable[Batch]) -> None:
        self._tables.change("batches", {one.id: one for one in batches}, {})


class _Quarantine(_Part):
    def select(self, query: QuarantineQuery) -> Generator[Quarantined, None, None]:
        found = self._selected(query)
        if query.in_order:  # a record without a position comes first
            found.sort(key=lambda one: (one.batch, one.kind, one.row is not None, one.row or 0, one.id))
        yield from itertools.islice(found if query.in_order else reversed(found), query.limit)

    def _selected(self, query: QuarantineQuery) -> list[Quarantined]:
        """Return the records of *query*, its limit aside, by their ids."""
        with_origin = {one.id for one in self._state.batches.values() if _matches(query.origins, one.origin)}
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
            and _matches(query.symbols, one.subject)
            and (query.rules is None or any(_matches(query.rules, finding.get("rule")) for finding in one.findings))
        ]

    def count(self, query: QuarantineQuery) -> Sequence[QuarantineCount]:
        counts = Counter((one.batch, one.kind, one.state) for one in self._selected(query))
        return [QuarantineCount(*key, number) for key, number in sorted(counts.items())]

    def like(self, sought: Sequence[Sought], *, upto: int, root: int) -> Iterable[tuple[int, Quarantined]]:
        alike: dict[int, list[Quarantined]] = defaultdict(list)
        for digest, one in self._state.rejected.values():
            if one.id <= upto and one.batch != root and one.state != State.UNDONE:
                alike[digest].append(one)
        for each in sought:
            later = (one for one in alike.get(each.digest, ()) if one.id > each.after)
            yield from ((each.digest, one) for one in itertools.islice(later, each.count))

    def last_id(self) -> int:
        return max(self._state.rejected, default=0)

    def replayed_before(self, ids: Sequence[int], *, batch: int) -> Mapping[int, int]:
        likenesses = {one.id: (digest, one.raw, one.kind) for digest, one in self._state.rejected.values()}
        replayed = (one for one in self._selected(QuarantineQuery(states=(State.REPLAYED,))) if one.changed_by != batch)
        before = Counter(likenesses[one.id] for one in replayed)
        firsts = {likenesses[number]: number for number in sorted(ids, reverse=True)}
        return {number: before[likeness] for likeness, number in firsts.items() if likeness in before}

    def matches_of(self, batch: int) -> Iterable[tuple[str, str, int, int, int]]:
        return self._state.matches.get(batch, ())

    def add(self, records: Sequence[tuple[int, Quarantined]]) -> None:
        self._tables.change("rejected", {one.id: (digest, one) for digest, one in records})

    def set_state(self, query: QuarantineQuery, state: str, *, by: int) -> int:
        return self._replace([evolve(one, state=str(state)) for one in self._selected(query)], by)

    def set_findings(self, records: Sequence[Quarantined], *, by: int) -> None:
        findings = {record.id: record.findings for record in records}
        opened = self._selected(QuarantineQuery(ids=tuple(findings), states=(State.OPEN,)))
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
        now = [evolve(one, state=str(State.UNDONE)) if one.id in undone else one for one in versions.values()]
        self._replace([one for one in now if evolve(one, changed_by=present[one.id].changed_by) != present[one.id]], by)

    def _replace(self, records: Sequence[Quarantined], by: int) -> int:
        present, log = self._state.rejected, self._state.rejected_before
        self._tables.change("rejected_before", {by: [*log.get(by, ()), *(present[one.id][1] for one in records)]})
        self._tables.change("rejected", {one.id: (present[one.id][0], evolve(one, changed_by=by)) for one in records})
        return len(records)

    def keep_matches(self, batch: int, matches: Sequence[tuple[str, str, int, int, int]]) -> None:
        self._tables.change("matches", {batch: [*self._state.matches.get(batch, ()), *matches]})

    def matches(self) -> Generator[Sequence[tuple[int, str, str, int, int, int]], None, None]:
        for batch, matches in self._state.matches.items():
            yield [(batch, *match) for match in matches]

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
            self._tables.change(name, values, {})


class _Coverage(_Part):
    def find(self, kind: str | None = None, subject: str | None = None) -> Sequence[CoverageEntry]:
        standing = (
            one
            for batch, entries in self._state.coverage.items()
            if self._state.batches[batch].undone_by is None
            for one in entries
            if kind in (None, one.kind) and subject in (None, one.subject)
        )
        return sorted(standing, key=coverage_order)

    def of_batch(self, batch: int) -> Sequence[CoverageEntry]:
        return self._state.coverage.get(batch, ())

    def scan(self) -> Generator[Sequence[CoverageEntry], None, None]:
        yield from self._state.coverage.values()

    def replace_all(self, entries: Iterable[CoverageEntry]) -> None:
        by_batch: dict[int, list[CoverageEntry]] = defaultdict(list)
        for entry in entries:
            by_batch[entry.batch].append(entry)
        self._tables.change("coverage", by_batch, {})

    def replace(self, batch: int, entries: Sequence[CoverageEntry]) -> None:
        self._tables.change("coverage", {batch: list(entries)})


class _AuditLog(_Part):
    def last(self) -> AuditEntry | None:
        return next(reversed(self._state.audit_log.values()), None)

    def scan(self, first: int = 1, size: int = 4_096) -> Generator[Sequence[AuditEntry], None, None]:
        entries = (entry for entry in self._state.audit_log.values() if entry.seq >= first)
        while page := list(itertools.islice(entries, size)):
            yield page

    def add(self, entry: AuditEntry) -> None:
        self._tables.change("audit_log", {entry.seq: entry})


class MemoryDatabase:
    """See :class:`fpa_core.engine.tables.Database`.

    :param busy_timeout: how long a writer waits for another one, in seconds.
    """

    capabilities = frozenset({Capability.KNOWN_AT, Capability.VERSIONS, Capability.UNDO, Capability.SEAL})

    def __init__(self, *, busy_timeout: float) -> None:
        self._busy_timeout = busy_timeout
        self._state = _State()
        self._closed = False
        self._lend_lock()

    def _lend_lock(self) -> None:
        """Make the lock of this process: a thread that held it when the process was forked is not there to release it."""
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._writing: tuple[int, _Tables] | None = None

    def _check(self) -> None:
        if self._pid != os.getpid():
            self._lend_lock()
        if self._closed:
            raise DatabaseError("memory: the store is closed", operation="use")

    @contextlib.contextmanager
    def reader(self, operation: str) -> Iterator[Reader]:  # noqa: ARG002  # no error of a driver has to name it
        """Open the latest state; nothing changes it."""
        self._check()
        yield _Tables(self._state)

    @contextlib.contextmanager
    def writer(self, operation: str) -> Iterator[Writer]:  # noqa: ARG002
        """Open the latest state, and make what becomes of it the latest."""
        self._check()
        lock, thread = self._lock, threading.get_ident()
        if self._writing is not None and self._writing[0] == thread:
            problem, hint = "this thread is already writing a batch", "finish the batch first, or write through it"
            raise DatabaseBusyError(f"memory: {problem}", hint=hint, operation="begin a batch")
        if not lock.acquire(timeout=self._busy_timeout):
            problem = f"another thread held the database for longer than {self._busy_timeout:g} s"
            hint = "let it finish, or raise busy_timeout in [store]"
            raise DatabaseBusyError(f"memory: {problem}", hint=hint, operation="begin a batch")
        try:
            tables = _Tables(self._state)
            self._writing = (thread, tables)
            yield tables
            self._check()
            self._state = tables.state
        finally:
            self._writing = None
            lock.release()

    def version(self) -> object | None:
        """Return the writer's state: it begins with the one that the last writer ended with."""
        return None if self._writing is None else self._writing[1].state

    def latest(self, kind: Kind, subject: str) -> Sequence[Any] | None:  # noqa: ARG002
        """Return None: a scan finds it."""
        return None

    def describe(self) -> StoreDescription:
        """Return how much there is."""
        with self.reader("describe") as tables:
            kinds = {name: _figures(tables, kind) for name, kind in KINDS.items()}
        engine = f"{platform.python_implementation()} {platform.python_version()}"
        return StoreDescription("memory", engine, None, 0, None, kinds)

    def grants(self, role: str, *, write: bool) -> Sequence[str]:  # noqa: ARG002
        """Refuse: the capability ROLES is not declared."""
        raise unsupported("memory", Capability.ROLES)

    def grant(self, role: str, *, write: bool) -> Sequence[str]:  # noqa: ARG002
        """Refuse: the capability ROLES is not declared."""
        raise unsupported("memory", Capability.ROLES)

    def announce(self, changed: Changed) -> None:  # noqa: ARG002
        """Refuse: the capability NOTIFIES is not declared."""
        raise unsupported("memory", Capability.NOTIFIES)

    def follow(self, on_change: Callable[[Changed | None], None]) -> ChangeFeed:  # noqa: ARG002
        """Refuse: the capability NOTIFIES is not declared."""
        raise unsupported("memory", Capability.NOTIFIES)

    def inspect(self) -> Iterator[Problem]:
        """Yield nothing: there is nothing below the tables."""
        return iter(())

    def salvager(self, operation: str) -> AbstractContextManager[Writer]:
        """Open the latest state."""
        return self.writer(operation)

    def copy_to(self, path: Path, tick: Tick) -> None:  # noqa: ARG002
        """Refuse: the capability BACKUP is not declared."""
        raise unsupported("memory", Capability.BACKUP)

    def space(self) -> Space:
        """Refuse: the capability COMPACT is not declared."""
        raise unsupported("memory", Capability.COMPACT)

    def compact(self) -> None:
        """Refuse: the capability COMPACT is not declared."""
        raise unsupported("memory", Capability.COMPACT)

    def is_open(self) -> bool:
        """Return whether it was not closed; a process that was forked goes on with a copy."""
        return not self._closed

    def close(self) -> None:
        """Forget everything."""
        self._closed, self._state = True, _State()


def _figures(tables: Reader, kind: Kind) -> KindFigures:
    hot, infos = tables.rows.count(Query(kind)), list(tables.segments.find(Query(kind)))
    sealed = sum(info.rows for info in infos)
    return KindFigures(hot + sealed, hot, sealed, len(infos), sum(info.bytes for info in infos))
