"""Divide the rows of a selection between processes or machines, each of which reads its part from the store by itself."""

from __future__ import annotations

import contextlib
import itertools
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, TypeAlias

from attrs import evolve, field, frozen

from fpa_core.exceptions import DatabaseError, DataError
from fpa_core.protocols import Capability, Query, StoreBackend
from fpa_core.store.row_reader import RowReader

if TYPE_CHECKING:
    import pyarrow as pa

    from fpa_core.arrow.decimals import Prices

__all__ = ["Partition", "cut_times", "divide"]

ROWS = 16_384

Place: TypeAlias = tuple[str, int | None]
"""A place in the order of a selection: a subject and a time; None before all its rows. In order of time the subject is empty."""


@frozen
class Partition:
    """A part of the rows of a selection: a description that can be pickled, and read in another process or on another machine.

    It reads the rows as they were known when the selection was divided, whatever is written meanwhile. A store that was reached with a password is
    reached with it again, so the pickled form contains it; the repr does not.

    :ivar reopen: opens the store for reading.
    :ivar queries: the rows, in order.
    :ivar columns: the columns of Arrow forms; None for all.
    :ivar by_time: whether rows come in order of time over all symbols.
    :ivar estimated_rows: about how many rows there are.
    """

    reopen: Callable[[], StoreBackend]
    queries: tuple[Query, ...] = field(repr=False)
    columns: tuple[str, ...] | None
    by_time: bool
    estimated_rows: int

    def read(self, rows: int = ROWS, prices: Prices = "decimal") -> Iterator[pa.RecordBatch]:
        """Open the store, yield the rows in Arrow batches of at most *rows*, and close it; see :meth:`Selection.batches`.

        :raises DatabaseError: if the store cannot be opened from here.
        """
        from fpa_core.arrow import decimals

        decimals.check_prices(prices)
        with contextlib.closing(self.reopen()) as backend:
            reader = RowReader(backend)
            for query in self.queries:
                stored = reader.batches(query, rows, self.columns, by_time=self.by_time, scaled=prices != "text")
                yield from decimals.in_form(query.kind, stored, prices)

    def to_arrow(self, prices: Prices = "decimal") -> pa.Table:
        """Return the rows as one table. The scale of a decimal column may differ from one partition to the next."""
        from fpa_core.arrow import decimals

        kind = self.queries[0].kind
        names = tuple(kind.by_name) if self.columns is None else self.columns
        scaled = [decimals.narrowed(kind, batch) for batch in self.read(prices="scaled")]
        return decimals.table_of(kind, names, scaled, prices)


def _pinned(backend: StoreBackend, query: Query) -> Query | None:
    """Return *query* as of the last batch, so that what is written later does not change its rows; None if there is no batch.

    A store that cannot read the past gets the query as it is.
    """
    last = backend.batches(limit=1, children=True)
    if not last:
        return None
    if Capability.KNOWN_AT not in backend.capabilities:
        return query
    known = last[0].recorded_ns
    return evolve(query, known_at_ns=known if query.known_at_ns is None else min(known, query.known_at_ns))


def divide(
    rows: RowReader, query: Query, parts: int, columns: tuple[str, ...] | None = None, *, by_time: bool = False
) -> list[Partition]:
    """Return at most *parts* partitions of about equal size, which together hold each row of *query* once, in its order.

    Rows of one symbol and time stay together.

    :raises DataError: if *parts* is not positive, or the query has a limit.
    :raises DatabaseError: if the store cannot be opened in another process.
    """
    if not isinstance(parts, int) or parts < 1:
        raise DataError(f"partitions: a whole number from 1 is needed, not {parts!r}", field="partitions", value=parts)
    if query.limit is not None:
        raise DataError(
            "a selection with a limit cannot be divided: which rows it has is known only once they are read in order",
            hint="select a range of time instead",
            field="limit",
            value=query.limit,
        )
    backend = rows.backend
    if Capability.SHARED not in backend.capabilities:
        raise DatabaseError(
            f"the store {backend.describe().backend!r} exists in this process only, so no other one can read a partition of it",
            hint="use a store that processes share, such as sqlite or postgres",
            operation="divide a selection",
        )
    if rows.reopen is None:
        raise DatabaseError(
            "this DataStore does not know how another process opens its database",
            hint="use the store of a layer that fpa_core.open() made, or pass reopen= to DataStore",
            operation="divide a selection",
        )
    fixed = _pinned(backend, query)
    if fixed is None:
        return []
    made = [
        Partition(rows.reopen, queries, columns, by_time, size)
        for queries, size in _parts(backend, evolve(fixed, reverse=False), parts, by_time=by_time)
    ]
    return [_reversed(partition) for partition in reversed(made)] if query.reverse else made


def cut_times(backend: StoreBackend, query: Query, rows: int) -> list[int]:
    """Return the times at which to cut *query* so that each part has about *rows* rows; empty if it has no more than that."""
    total = sum(entry.rows for entry in backend.row_ranges(query, 1))
    parts = -(-total // rows)
    if parts < 2:
        return []
    starts = [queries[0].start_ns for queries, _ in _parts(backend, query, parts, by_time=True)]
    return [start for start in starts[1:] if start is not None]


def _reversed(partition: Partition) -> Partition:
    return evolve(partition, queries=tuple(evolve(query, reverse=True) for query in reversed(partition.queries)))


def _parts(
    backend: StoreBackend, query: Query, parts: int, *, by_time: bool
) -> Iterator[tuple[tuple[Query, ...], int]]:
    """Yield the queries of each part, and about how many rows they have."""
    weights: dict[Place, int] = {}
    first: dict[str, int] = {}
    for entry in backend.row_ranges(query, parts):
        begins = first.setdefault(entry.subject, entry.first_ns) == entry.first_ns
        place: Place = ("", entry.first_ns) if by_time else (entry.subject, None if begins else entry.first_ns)
        weights[place] = weights.get(place, 0) + entry.rows
    if not weights:
        return
    places = sorted(weights, key=lambda place: (place[0], place[1] is not None, place[1] or 0))
    sums = [0, *itertools.accumulate(weights[place] for place in places)]
    cuts = [*_cuts(sums, parts), len(places)]
    subjects = sorted(first)
    for start, end in itertools.pairwise([0, *cuts]):
        until = places[end] if end < len(places) else None
        since = None if by_time and not start else places[start]
        queries = _by_time(query, since, until) if by_time else _by_subject(query, subjects, places[start], until)
        yield tuple(queries), sums[end] - sums[start]


def _cuts(sums: Sequence[int], parts: int) -> list[int]:
    """Return where to cut so that each part has about the same sum; fewer cuts if there are too few places."""
    cuts: list[int] = []
    for number in range(1, parts):
        quota = sums[-1] * number // parts
        place = bisect_left(sums, quota)
        if place and quota - sums[place - 1] < sums[place] - quota:
            place -= 1
        if (cuts[-1] if cuts else 0) < place < len(sums) - 1:
            cuts.append(place)
    return cuts


def _by_time(query: Query, since: Place | None, until: Place | None) -> Iterator[Query]:
    yield _within(query, None if since is None else since[1], None if until is None else until[1])


def _by_subject(query: Query, subjects: Sequence[str], since: Place, until: Place | None) -> Iterator[Query]:
    """Yield the queries from one place to another: the rest of a subject, whole ones, the beginning of one."""
    subject, start_ns = since
    if until is not None and until[0] == subject:
        yield _within(query, start_ns, until[1], (subject,))
        return
    whole = subjects[bisect_left(subjects, subject) : None if until is None else bisect_left(subjects, until[0])]
    if start_ns is not None:
        yield _within(query, start_ns, None, (subject,))
        whole = whole[1:]
    if whole:
        yield evolve(query, subjects=tuple(whole), patterns=())
    if until is not None and until[1] is not None:
        yield _within(query, None, until[1], (until[0],))


def _within(query: Query, start_ns: int | None, end_ns: int | None, subjects: tuple[str, ...] | None = None) -> Query:
    if subjects is not None:
        query = evolve(query, subjects=subjects, patterns=())
    return evolve(
        query,
        start_ns=query.start_ns if start_ns is None else start_ns,
        end_ns=query.end_ns if end_ns is None else end_ns,
    )
