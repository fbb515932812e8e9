"""Hot rows, and the history that lies in single rows."""

from __future__ import annotations

import itertools
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from operator import itemgetter

from fpa_core.engine.rows import Key, Range, Retirement, Row, Shape, plain_value, shape_of
from fpa_core.exceptions import DatabaseError
from fpa_core.kinds import Kind
from fpa_core.protocols import InventoryEntry, Query
from fpa_plugins.memory.tables.batches import family, with_children
from fpa_plugins.memory.tables.selecting import chosen
from fpa_plugins.memory.tables.state import Part, Shelves

__all__ = ["Rows"]


class Rows(Part):
    """See :class:`fpa_core.engine.tables.RowWriter`."""

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
        batches = set(family(self._state, query)) if asked else None

        def fits(row: Row) -> bool:
            return (batches is None or row[batch] in batches) and all(row[place] == value for place, value in equal)

        def was_known(row: Row) -> bool:
            return (row[since] or row[batch]) <= known and (len(row) == retired or row[retired] > known)

        live = _by_subject(kind, self._state.live)
        past = {} if known is None else _by_subject(kind, self._state.history)
        for subject in sorted(chosen(query, live.keys() | past.keys()), reverse=query.reverse):
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
        for subject in chosen(query, shelves):
            rows = _between(shape, shelves[subject], query.start_ns, query.end_ns)
            yield from (row for row in rows if all(row[place] == value for place, value in equal))

    def retired_by(self, kind: Kind, batch: int) -> Generator[list[Row], None, None]:
        family = with_children(self._state, batch)
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
        self._view.change(table, {kind.name: {**shelves, **changed}})

    def retire(self, query: Query, *, by: int, reason: str) -> int:
        return self._retire(query.kind, list(self._selected(query)), by, reason)

    def retire_batch(self, kind: Kind, batch: int, *, by: int, reason: str) -> int:
        family = with_children(self._state, batch)
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
        self._view.change(table, {kind.name: {first: shelf for first, shelf in shelves.items() if shelf}})
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
