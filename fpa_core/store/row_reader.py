"""Read rows from a backend as records, and repeated answers from a cache if there is one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from attrs import evolve

from fpa_core.arrow.conversion import from_table
from fpa_core.exceptions import DatabaseError
from fpa_core.kinds import POSITIONS, SNAPSHOTS
from fpa_core.protocols import Capability, Query, StoreBackend

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["ReadThrough", "RowReader"]

T = TypeVar("T")


class ReadThrough(Protocol):
    """Answers a read from a cache: returns the cached value of *key*, or else what *load* returns."""

    def __call__(self, key: str, load: Callable[[], T], query: Query) -> T:
        """Return the value.

        :param query: the rows the value depends on.
        """
        ...


class RowReader:
    """Reads the rows of a backend.

    :param read_through: the cache; None to read from the backend every time.
    :param reopen: opens the same database in another process, and can be pickled; None if that is not known.
    """

    def __init__(
        self,
        backend: StoreBackend,
        read_through: ReadThrough | None = None,
        reopen: Callable[[], StoreBackend] | None = None,
    ) -> None:
        self.backend = backend
        self.read_through = read_through
        self.reopen = reopen

    def cached(self, key: Callable[[], str], load: Callable[[], T], query: Query) -> T:
        """Return the cached answer to *query*, or what *load* returns; *key* is only called if there is a cache."""
        return load() if self.read_through is None else self.read_through(key(), load, query)

    def batches(
        self,
        query: Query,
        rows: int,
        columns: tuple[str, ...] | None = None,
        *,
        by_time: bool = False,
        scaled: bool = True,
    ) -> Iterator[pa.RecordBatch]:
        """Yield the rows of *query* in Arrow batches of at most *rows*, by symbol, or, *by_time*, in order of time over all symbols.

        :param columns: their names; None for all.
        :param scaled: whether decimals may come as scaled integers; otherwise they are texts.
        """
        if not by_time:
            return self.backend.scan(query, rows, columns=columns, scaled=scaled)
        kind = query.kind

        from fpa_core.arrow import decimals
        from fpa_core.store import timeline

        def as_table(batches: Sequence[pa.RecordBatch]) -> pa.Table:
            names, narrow = batches[0].schema.names, [decimals.narrowed(kind, one) for one in batches]
            return decimals.table_of(kind, names, narrow, "scaled")

        names = tuple(kind.by_name) if columns is None else columns
        return timeline.by_time(self.backend, query, rows, names, as_table)

    def records(self, query: Query, batch: pa.RecordBatch) -> list[Any]:
        """Return the records of a batch of rows that *query* selected, snapshots with their positions."""
        records = from_table(query.kind, batch)
        if query.kind is not SNAPSHOTS or not records:
            return records
        held: dict[tuple[str, int], list[Any]] = {}
        for account in {snapshot.account for snapshot in records}:
            times = [snapshot.ts_ns for snapshot in records if snapshot.account == account]
            positions = Query(
                POSITIONS,
                start_ns=min(times),
                end_ns=max(times) + 1,
                equal={"account": account},
                known_at_ns=query.known_at_ns,
            )
            for found in self.backend.scan(positions, scaled=True):
                for position in from_table(POSITIONS, found):
                    held.setdefault((account, position.ts_ns), []).append(position)
        return [evolve(one, positions=held.get((one.account, one.ts_ns), ())) for one in records]

    def require(self, capability: Capability) -> None:
        """Check that the backend has *capability*.

        :raises DatabaseError: if it does not.
        """
        if capability not in self.backend.capabilities:
            raise DatabaseError(f"this store cannot do that: its backend lacks the capability {capability!r}")
