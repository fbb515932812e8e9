"""Hot rows, and the history that lies in single rows."""

from __future__ import annotations

import itertools
import math
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from operator import itemgetter

from fpa_core.engine.plain.batches import Batches
from fpa_core.engine.plain.state import Part
from fpa_core.engine.rows import Key, Range, Retirement, Row, plain_value, shape_of
from fpa_core.engine.tables import RowWriter
from fpa_core.exceptions import DatabaseError
from fpa_core.kinds import Kind
from fpa_core.protocols import Query

__all__ = ["Rows"]


class Rows(Part, RowWriter):
    """See :class:`fpa_core.engine.tables.RowWriter`."""

    def select(
        self, query: Query, names: Sequence[str], *, known: int | None = None, size: int = 16_384
    ) -> Generator[list[Row], None, None]:
        rows = map(_values(query.kind, names), itertools.islice(self._selected(query, known), query.limit))
        while page := list(itertools.islice(rows, size)):
            yield page

    def _selected(self, query: Query, known: int | None = None) -> Iterator[Row]:
        """Yield the rows of *query*, its limit aside."""
        asked = query.batch is not None or query.origins is not None
        batches = set(Batches(self._view).family(query)) if asked else None
        for row in self._stored(query):
            batch, _, by, _ = row[-4:]
            there = by is None if known is None else _known(row) <= known and (by is None or known < by)
            if there and (batches is None or batch in batches):
                yield row

    def _stored(self, query: Query) -> Iterator[Row]:
        """Yield the rows that *query* selects by subject, time and value in its order, live ones and those of the history."""
        kind, shape = query.kind, shape_of(query.kind)
        time = itemgetter(shape.place("ts_ns"))
        equal = [(shape.place(name), plain_value(kind, name, value)) for name, value in query.equal.items()]
        there = (subject for name, subject in self._state.rows if name == kind.name)
        subjects = filter(query.subject_matcher(), there) if query.only is None else query.only
        for subject in sorted(set(subjects), reverse=query.reverse):
            shelf = self._state.rows.get((kind.name, subject), [])
            first = 0 if query.start_ns is None else bisect_left(shelf, query.start_ns, key=time)
            end = len(shelf) if query.end_ns is None else bisect_left(shelf, query.end_ns, key=time)
            rows = shelf[first:end][:: -1 if query.reverse else 1]
            yield from (row for row in rows if all(row[place] == value for place, value in equal)) if equal else rows

    def _under(self, kind: Kind, keys: Iterable[Key]) -> Iterator[Row]:
        """Yield the rows under keys, live ones and those of the history."""
        shape, wanted = shape_of(kind), set(keys)
        subjects = tuple(key[0] for key in wanted) if kind.key[0] == kind.subject else None
        times = [key[-1] for key in wanted] if shape.timed else []
        query = Query(kind, subjects, min(times, default=None), max(times) + 1 if times else None)
        return (row for row in self._stored(query) if row[: len(shape.key)] in wanted)

    def at(self, kind: Kind, keys: Iterable[Key]) -> list[Row]:
        return [row[:-2] for row in self._under(kind, keys) if _is_live(row)]

    def history_at(self, kind: Kind, keys: Iterable[Key]) -> list[Row]:
        return list(itertools.filterfalse(_is_live, self._under(kind, keys)))

    def history(self, query: Query) -> Generator[list[Row], None, None]:
        if rows := list(itertools.filterfalse(_is_live, self._stored(query))):
            yield rows

    def retired_by(self, kind: Kind, batch: int) -> Generator[list[Row], None, None]:
        family = self._state.family(batch)
        if rows := [row for row in self._stored(Query(kind)) if row[-2] in family]:
            yield sorted(rows, key=shape_of(kind).history_order)

    def insert(self, kind: Kind, rows: Iterable[Row]) -> None:
        rows = list(rows)
        there = self.at(kind, [row[: len(kind.key)] for row in rows])
        counts = Counter(map(_values(kind, shape_of(kind).row_key), [*there, *rows]))
        if twice := [key for key, count in counts.items() if count > 1]:
            raise DatabaseError(f"{kind.name}: a second row {twice[0]} was inserted", operation="insert rows")
        self._add(kind, [(*row, None, None) for row in rows])

    def insert_history(self, kind: Kind, rows: Iterable[Row]) -> None:
        self._add(kind, rows)

    def _add(self, kind: Kind, rows: Iterable[Row]) -> None:
        new: dict[str, list[Row]] = defaultdict(list)
        subject, order = shape_of(kind).place(kind.subject), _values(kind, shape_of(kind).order)
        for row in rows:
            new[row[subject]].append(row)

        def place(row: Row) -> Row:
            return (*order(row), _known(row), math.inf if row[-2] is None else row[-2])

        for name, own in new.items():
            before = self._state.rows.get((kind.name, name), [])
            shelf = [*before, *sorted(own, key=place)]
            if before and place(shelf[len(before)]) < place(before[-1]):
                shelf.sort(key=place)
            self._own.rows[kind.name, name] = shelf

    def retire(self, query: Query, *, by: int, reason: str) -> int:
        return self._retire(query.kind, self._selected(query), by, reason)

    def retire_batch(self, kind: Kind, batch: int, *, by: int, reason: str) -> int:
        family = self._state.family(batch)
        rows = self._selected(Query(kind))
        return self._retire(kind, (row for row in rows if not family.isdisjoint(row[-4:-2])), by, reason)

    def retire_keys(self, kind: Kind, keys: Sequence[Key], *, by: int, reason: str) -> None:
        wanted, row_key = set(keys), _values(kind, shape_of(kind).row_key)
        rows = filter(_is_live, self._under(kind, {key[: len(kind.key)] for key in keys}))
        self._retire(kind, (row for row in rows if row_key(row) in wanted), by, reason)

    def delete_ranges(self, kind: Kind, ranges: Sequence[Range]) -> int:
        return self._remove(kind, (row for one in ranges for row in self._selected(one.query(kind))))

    def delete(self, query: Query) -> int:
        return self._remove(query.kind, filter(_is_live, self._stored(query)))

    def delete_retirement(self, kind: Kind, one: Retirement, last_ns: int) -> int:
        rows = self._stored(Query(kind, (one.subject,), end_ns=last_ns + 1))
        return self._remove(kind, (row for row in rows if row[-2:] == one[1:]))

    def delete_history(self, query: Query) -> int:
        return self._remove(query.kind, itertools.filterfalse(_is_live, self._stored(query)))

    def _retire(self, kind: Kind, rows: Iterable[Row], by: int, reason: str) -> int:
        """Make rows history, where they are."""
        return self._change(kind, rows, lambda row: [(*row[:-2], by, reason)])

    def _remove(self, kind: Kind, rows: Iterable[Row]) -> int:
        return self._change(kind, rows, lambda _: [])

    def _change(self, kind: Kind, rows: Iterable[Row], change: Callable[[Row], list[Row]]) -> int:
        """Put others in the place of rows, and return how many they were."""
        changed: dict[str, set[Row]] = defaultdict(set)
        for row in rows:
            changed[row[shape_of(kind).place(kind.subject)]].add(row)
        number = 0
        for subject, these in changed.items():
            before = self._own.rows.pop((kind.name, subject))
            number += sum(row in these for row in before)
            if after := [one for row in before for one in (change(row) if row in these else [row])]:
                self._own.rows[kind.name, subject] = after
        return number


def _is_live(row: Row) -> bool:
    return row[-2] is None


def _known(row: Row) -> int:
    """Return the batch that brought or restored a row."""
    return int(row[-4] if row[-3] is None else row[-3])


def _values(kind: Kind, names: Sequence[str]) -> Callable[[Row], Row]:
    places = [shape_of(kind).place(name) for name in names]
    return lambda row: tuple([row[place] for place in places])
