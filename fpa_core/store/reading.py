"""Reading a store: selections, their records, and what the store holds, through the cache where there is one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, overload

from attrs import astuple, evolve

from fpa_core.arrow.conversion import from_table
from fpa_core.exceptions import DatabaseError, DataError
from fpa_core.kinds import KINDS, POSITIONS, SNAPSHOTS, Kind, kind_of
from fpa_core.protocols import Batch, Capability, InventoryEntry, Query, StoreBackend
from fpa_core.store.selection import Selection, check_columns, make_query

if TYPE_CHECKING:
    import pyarrow as pa

    from fpa_core.store.selection import ReadThrough

__all__ = ["ReadVerbs"]

T = TypeVar("T")


class ReadVerbs:
    """What can be asked of a store."""

    backend: StoreBackend
    _read_through: ReadThrough | None

    @overload
    def select(self, what: type[T], symbol: str | Sequence[str] | None = None, **conditions: Any) -> Selection[T]: ...

    @overload
    def select(
        self, what: Kind | str, symbol: str | Sequence[str] | None = None, **conditions: Any
    ) -> Selection[Any]: ...

    def select(
        self,
        what: Any,
        symbol: str | Sequence[str] | None = None,
        *,
        columns: Sequence[str] | None = None,
        order: str = "symbol",
        adjust: str | None = None,
        **conditions: Any,
    ) -> Selection[Any]:
        """Describe rows to read; nothing is read yet.

        :param what: a record class, or a kind's name such as ``"quotes"``.
        :param symbol: one or several; None for all. In one with ``*`` (any characters) or ``?`` (exactly one) a backslash makes the next
            character mean itself (see :mod:`fpa_core.protocols.patterns`). For snapshots this is the account.
        :param start: first instant included, *end* first instant left out: aware datetime, ISO text, date (midnight UTC) or nanoseconds.
        :param as_known_at: read what was known at that moment: later batches, revisions and deletions do not count.
        :param batch: only rows brought by this batch.
        :param source: only rows brought by batches of this source, as ``files:fxcm`` or ``files:*``, or of one of several. A row that several
            sources have belongs to the one that brought it first.
        :param limit: at most so many rows; with *latest_first* the last ones, newest first.
        :param columns: the columns of Arrow forms, in this order.
        :param order: ``"symbol"``: by symbol, then time; ``"time"``: by time over all symbols.
        :param adjust: ``"splits"`` or ``"all"`` (splits and cash dividends): prices and sizes adjusted for the corporate actions that are known
            (*as_known_at* counts), see :mod:`fpa_core.store.adjust`; None for prices as they are stored.

        Any further condition is a column and the value it must have, as ``interval="1m"``.
        """
        query = make_query(what, symbol, **conditions)
        if query.known_at_ns is not None:
            self._require(Capability.KNOWN_AT)
        if order not in ("symbol", "time"):
            raise DataError(f"order: {order!r} is none of: symbol, time", field="order", value=order)
        if adjust is not None:
            from fpa_core.store.adjust import Adjuster

            Adjuster(self, query, adjust)  # type: ignore[arg-type]  # which refuses what cannot be adjusted
        return Selection(self, query, check_columns(query.kind, columns), by_time=order == "time", adjust=adjust)  # type: ignore[arg-type]

    def read(self, key: Callable[[], str], load: Callable[[], T], query: Query) -> T:
        """Answer a read from the cache, where there is one, else by *load*."""
        return load() if self._read_through is None else self._read_through(key(), load, query)

    def records(self, query: Query, batch: pa.RecordBatch) -> list[Any]:
        """Return the records of a batch of rows of *query*; snapshots get their positions."""
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
            for position in Selection[Any](self, positions):  # type: ignore[arg-type]
                held.setdefault((account, position.ts_ns), []).append(position)
        return [evolve(one, positions=held.get((one.account, one.ts_ns), ())) for one in records]

    def inventory(self, what: Kind | str | type[Any] | None = None) -> list[InventoryEntry]:
        """Return what the store holds, per kind and symbol: rows, first and last time."""
        kinds = KINDS.values() if what is None else [kind_of(what)]
        return [InventoryEntry(*extent) for kind in kinds for extent in self._extents(kind)]

    def _extents(self, kind: Kind) -> list[tuple[Any, ...]]:
        def load() -> list[tuple[Any, ...]]:  # in plain types, as caches keep them
            return [astuple(extent) for extent in self.backend.inventory(kind)]

        return self.read(lambda: f"{kind.name}:inventory", load, Query(kind))

    def batches(self, *, limit: int | None = None, children: bool = False) -> list[Batch]:
        """Return the batches, latest first; the groups of streams, which are batches of their own, only with *children*."""
        return list(self.backend.batches(limit=limit, children=children))

    def _require(self, capability: Capability) -> None:
        if capability not in self.backend.capabilities:
            raise DatabaseError(f"this store cannot do that: its backend lacks the capability {capability!r}")
