"""The port's hot rows and the history that lies in single rows."""

from __future__ import annotations

from abc import abstractmethod
from collections import Counter, defaultdict
from collections.abc import Generator, Iterable, Sequence
from typing import Protocol

from attrs import evolve

from fpa_core.engine.rows import Key, Range, Retirement, Row, shape_of
from fpa_core.kinds import Kind
from fpa_core.protocols import InventoryEntry, Query

__all__ = ["RowReader", "RowWriter"]


class RowReader(Protocol):
    """The hot rows of each kind, and the history that lies in single rows; see :class:`RetiredReader` for the rest of it."""

    @abstractmethod
    def select(
        self, query: Query, names: Sequence[str], *, known: int | None = None, size: int = 16_384
    ) -> Generator[list[Row], None, None]:
        """Yield the columns *names* of the hot rows that *query* selects, in its order, in lists of at most *size*.

        The order is by :attr:`Shape.order <fpa_core.engine.rows.Shape.order>`, reversed as a whole for ``query.reverse``; ``query.limit`` counts.
        ``query.batch`` selects the rows of that batch and of its children.

        :param known: the rows as they were when this batch was the last: those that it or an earlier one brought (or, for a restored
            row, restored) and that no batch up to it retired. ``query.known_at_ns`` is not looked at.
        """
        ...

    def count(self, query: Query, *, known: int | None = None) -> int:
        """Count the rows that :meth:`select` would yield, its limit aside."""
        pages = self.select(evolve(query, limit=None), (query.kind.subject,), known=known)
        return sum(map(len, pages))

    def subjects(self, query: Query, *, known: int | None = None) -> set[str]:
        """Return the subjects of the rows that *query* selects, its limit aside."""
        pages = self.select(evolve(query, limit=None), (query.kind.subject,), known=known)
        return {row[0] for page in pages for row in page}

    def inventory(self, kind: Kind, subject: str | None = None) -> Sequence[InventoryEntry]:
        """Return the number of rows, first and last time of each subject, or of one, by subject."""
        times: dict[str, list[int]] = defaultdict(list)
        for page in self.select(Query(kind, None if subject is None else (subject,)), (kind.subject, "ts_ns")):
            for name, ts_ns in page:
                times[name].append(ts_ns)
        return [InventoryEntry(kind.name, name, len(own), own[0], own[-1]) for name, own in times.items()]

    def spans(self, kind: Kind, ranges: Sequence[Range]) -> Sequence[tuple[int, int] | None]:
        """Return the first and last time of the rows in each range; None if there are none."""
        return [self._span(one.query(kind)) for one in ranges]

    def _span(self, query: Query) -> tuple[int, int] | None:
        # What shares a prefix shares its subject, so that the order is that of time.
        ways = (evolve(query, limit=1, reverse=reverse) for reverse in (False, True))
        first, last = ([row for page in self.select(way, ("ts_ns",)) for row in page] for way in ways)
        return (first[0][0], last[0][0]) if first else None

    @abstractmethod
    def at(self, kind: Kind, keys: Sequence[Key]) -> Iterable[Row]:
        """Return the rows under each of *keys*, which are distinct, as whole rows; those of one key by ``seq``."""
        ...

    @abstractmethod
    def history_at(self, kind: Kind, keys: Sequence[Key]) -> Iterable[Row]:
        """Return the history under each of *keys*: whole rows, then the batch that retired each and the reason; by ``seq``, then as they became known."""
        ...

    @abstractmethod
    def history(self, query: Query) -> Generator[list[Row], None, None]:
        """Yield the history of the rows that *query* selects by subject and time, in any order, in lists that are not empty: rows as in :meth:`history_at`."""
        ...

    @abstractmethod
    def retired_by(self, kind: Kind, batch: int) -> Generator[list[Row], None, None]:
        """Yield the history that a batch or its children retired: rows as in :meth:`history_at`, by key, ``seq``, and when they became known."""
        ...

    def retirements(self, kind: Kind, least: int) -> Sequence[Retirement]:
        """Return the retirements of a multiset with at least *least* single rows, by subject, batch and reason. It may read all of the history."""
        subject = shape_of(kind).place(kind.subject)
        rows = (row for page in self.history(Query(kind)) for row in page)
        counts = Counter(Retirement(row[subject], *row[-2:]) for row in rows)
        return sorted(one for one, number in counts.items() if number >= least)

    def of_retirement(self, kind: Kind, one: Retirement, limit: int) -> Sequence[Row]:
        """Return the first *limit* rows of a retirement by key, ``seq``, and when they became known: whole rows, without batch and reason."""
        pages = self.history(Query(kind, (one.subject,)))
        rows = [row for page in pages for row in page if row[-2:] == (one.retired_by, one.reason)]
        return [row[:-2] for row in sorted(rows, key=shape_of(kind).history_order)[:limit]]


class RowWriter(RowReader, Protocol):
    """The hot rows and their history, within a write transaction."""

    @abstractmethod
    def insert(self, kind: Kind, rows: Iterable[Row]) -> None:
        """Add whole rows whose keys (with ``seq`` for a multiset) are free."""
        ...

    @abstractmethod
    def insert_history(self, kind: Kind, rows: Iterable[Row]) -> None:
        """Add rows to the history: whole rows, then the batch that retires each and the reason."""
        ...

    @abstractmethod
    def retire(self, query: Query, *, by: int, reason: str) -> int:
        """Move the rows that *query* selects, its limit aside, to the history; return how many they are."""
        ...

    @abstractmethod
    def retire_batch(self, kind: Kind, batch: int, *, by: int, reason: str) -> int:
        """Move the rows that a batch or its children brought or restored to the history; return how many they are."""
        ...

    @abstractmethod
    def retire_keys(self, kind: Kind, keys: Sequence[Key], *, by: int, reason: str) -> None:
        """Move the rows with these keys (with ``seq`` for a multiset) to the history."""
        ...

    @abstractmethod
    def delete_ranges(self, kind: Kind, ranges: Sequence[Range]) -> int:
        """Remove the rows in ranges for good, since they are sealed now; return how many they were."""
        ...

    @abstractmethod
    def delete(self, query: Query) -> int:
        """Remove the rows that *query* selects by subject, time and value for good; return how many they were."""
        ...

    @abstractmethod
    def delete_retirement(self, kind: Kind, one: Retirement, last_ns: int) -> int:
        """Remove the rows of a retirement up to a time, since they are sealed now; return how many they were."""
        ...

    @abstractmethod
    def delete_history(self, query: Query) -> int:
        """Remove the history of the rows that *query* selects by subject, time and value for good; return how many rows it had."""
        ...
