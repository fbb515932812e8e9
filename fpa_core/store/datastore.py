"""The store people use: saving, reading, changing and deleting records of every kind, over any backend."""

from __future__ import annotations

import contextlib
import functools
import time
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar, overload

from attrs import astuple, evolve

from fpa_core.exceptions import DatabaseError, DataError
from fpa_core.models import Order, PortfolioSnapshot
from fpa_core.numbers import to_seconds
from fpa_core.protocols import (
    Batch,
    Capability,
    Extent,
    Query,
    Sealed,
    StoreBackend,
)
from fpa_core.receipt import Receipt
from fpa_core.records import KINDS, ORDERS, POSITIONS, SNAPSHOTS, Kind, from_table, kind_of, to_table
from fpa_core.store.batch import Changed, StoreBatch
from fpa_core.store.derived import DerivedVerbs
from fpa_core.store.quarantine import QuarantineVerbs
from fpa_core.store.selection import Selection, check_columns, make_query
from fpa_core.store.telling import Telling
from fpa_core.store.verbs import RecordVerbs

if TYPE_CHECKING:
    import pyarrow as pa

    from fpa_core.store.selection import ReadThrough
    from fpa_core.store.stream import AsyncStream, Gate, Stream

__all__ = ["DataStore"]

T = TypeVar("T")


class DataStore(RecordVerbs, DerivedVerbs, QuarantineVerbs):
    """Records of all six kinds in a database.

    Every write is a batch: all or nothing, durable when the call returns, and answered by a :class:`~fpa_core.receipt.Receipt`. What is
    replaced or deleted stays in the history. Safe to use from many threads.

    :param backend: the database.
    :param clock: the present time in nanoseconds, for records that bring none.
    :param read_through: answers repeated reads from a cache; without it every read goes to the database.
    """

    def __init__(
        self, backend: StoreBackend, *, clock: Callable[[], int] = time.time_ns, read_through: ReadThrough | None = None
    ) -> None:
        self.backend = backend
        self._clock = clock
        self._read_through = read_through
        self.telling = Telling()
        self._listeners: list[Callable[[Changed], None]] = []
        self._streams: weakref.WeakSet[Stream] = weakref.WeakSet()

    def on_change(self, listener: Callable[[Changed], None]) -> None:
        """Call *listener* after each batch that changed something, before the writing call returns."""
        self._listeners.append(listener)

    @contextlib.contextmanager
    def batch(
        self, *, source: str = "api", file: str | None = None, digest: str | None = None, replays: int | None = None
    ) -> Iterator[StoreBatch]:
        """Write a batch in as many calls as it takes; it is kept whole when the context ends, or not at all on an error.

        :param replays: the batch whose refused rows it puts into the tables.
        """
        with contextlib.ExitStack() as telling:
            with self.backend.transaction(source=source, file=file, digest=digest, replays=replays) as transaction:
                batch = StoreBatch(transaction, source, file, self._clock)
                yield batch
                telling.enter_context(self.telling.batch())  # before the commit
            batch._seconds = time.perf_counter() - batch._started  # noqa: SLF001  # the two are one thing in two halves
            self.tell(batch.changed)

    def tell(self, changed: Changed) -> None:
        """Tell the listeners what was changed, if anything was."""
        if changed:
            for listener in self._listeners:
                listener(changed)

    def stream(
        self,
        *,
        source: str = "api",
        max_rows: int = 256,
        max_delay: Any = "50ms",
        max_waiting: int = 16_384,
        gate: Gate | None = None,
    ) -> Stream:
        """Write records one at a time as they come, from any thread, durably in groups.

        All that one stream brings is one batch: a connection to a source is a stream, and after it broke the next one is another. What a source
        then delivers again adds nothing.

        :param max_rows: commit when so many records are waiting, or
        :param max_delay: when the first of them has waited so long: ``"50ms"``, or seconds; 0 commits at once.
        :param max_waiting: when so many are waiting, because the disk is slow, writing waits until there is room.
        :param gate: judges records before they are stored; :meth:`fpa_core.DataLayer.stream` brings the rules.
        """
        from fpa_core.store.stream import Stream

        if max_rows < 1:
            raise DataError("max_rows: at least one record makes a group", field="max_rows", value=max_rows)
        stream = Stream(
            self,
            source=source,
            max_rows=max_rows,
            max_delay=to_seconds(max_delay, "max_delay"),
            max_waiting=max_waiting,
            gate=gate,
            clock=self._clock,
        )
        self._streams.add(stream)
        return stream

    def astream(self, **options: Any) -> AsyncStream:
        """Write records as they come, on an event loop; the options are those of :meth:`stream`."""
        from fpa_core.store.stream import AsyncStream

        return AsyncStream(functools.partial(self.stream, **options))

    def save(self, records: Any, *, source: str = "api") -> Receipt:
        """Save one record or many, of any kinds, as one batch.

        Rows that are stored already add nothing; a different version of a bar, order, position or snapshot replaces the one stored. The
        positions of a snapshot are rows of their own in the receipt.
        """
        by_kind = self.grouped(records)
        with self.batch(source=source) as batch:
            for kind, group in by_kind.items():
                batch.write(kind, to_table(kind, group))
            self.drop_sold(batch, by_kind.get(SNAPSHOTS, ()))
        return evolve(batch.receipt, kind=next(iter(by_kind)).name if len(by_kind) == 1 else None)

    def grouped(self, records: Any) -> dict[Kind, list[Any]]:
        """Return one record or many as they would be saved, by kind: orders with their times, positions of snapshots on their own."""
        by_class: dict[type[Any], list[Any]] = {}
        for record in records if isinstance(records, Iterable) else (records,):
            by_class.setdefault(type(record), []).append(record)
        by_kind = {kind_of(cls): group for cls, group in by_class.items()}
        if ORDERS in by_kind:
            by_kind[ORDERS] = [self._complete(order) for order in by_kind[ORDERS]]
        for snapshot in by_kind.get(SNAPSHOTS, ()):
            by_kind.setdefault(POSITIONS, []).extend(snapshot.positions)
        return by_kind

    def _complete(self, record: Order) -> Order:
        """Give an order its times: the stored ones where nothing else is new, so that saving it twice changes nothing."""
        if record.ts_ns is not None and record.updated_ns is not None:
            return record
        stored = self.get_order(record.order_id)
        submitted, updated = record.ts_ns, record.updated_ns
        if stored is not None:
            submitted = stored.ts_ns if submitted is None else submitted
            if updated is None and evolve(record, timestamp=submitted, updated_at=stored.updated_ns) == stored:
                updated = stored.updated_ns
            elif updated is None:  # it is news, so it is later than what it replaces, whatever the clock says
                updated = max(self._clock(), (stored.updated_ns or 0) + 1)
        if submitted is None:
            submitted = self._clock() if updated is None else updated
        return evolve(record, timestamp=submitted, updated_at=submitted if updated is None else updated)

    def drop_sold(self, batch: StoreBatch, snapshots: Iterable[PortfolioSnapshot]) -> None:
        """Remove positions that an earlier version of a snapshot had and the one now saved has not."""
        for snapshot in snapshots:
            at = self._positions_of(snapshot)
            held = {position.symbol for position in snapshot.positions}
            sold = {position.symbol for position in Selection[Any](self, at)} - held
            if held and sold:  # one without any positions says nothing of them
                batch.delete(evolve(at, subjects=tuple(sorted(sold))))

    @staticmethod
    def _positions_of(snapshot: PortfolioSnapshot) -> Query:
        account = {"account": snapshot.account}
        return Query(POSITIONS, start_ns=snapshot.ts_ns, end_ns=snapshot.ts_ns + 1, equal=account)

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

        Any further condition is a column and the value it must have, as ``interval="1m"``.
        """
        query = make_query(what, symbol, **conditions)
        if query.known_at_ns is not None:
            self._require(Capability.KNOWN_AT)
        if order not in ("symbol", "time"):
            raise DataError(f"order: {order!r} is none of: symbol, time", field="order", value=order)
        return Selection(self, query, check_columns(query.kind, columns), by_time=order == "time")

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
            for position in Selection[Any](self, positions):
                held.setdefault((account, position.ts_ns), []).append(position)
        return [evolve(one, positions=held.get((one.account, one.ts_ns), ())) for one in records]

    def delete(self, selection: Selection[Any], *, source: str = "api") -> Receipt:
        """Delete the rows of a selection; they stay in the history, and undoing the batch brings them back."""
        query = selection.query
        if query.known_at_ns is not None:
            raise DataError(
                "what was known in the past cannot be deleted", hint="select without as_known_at", field="as_known_at"
            )
        if selection.by_time and query.limit is not None:
            raise DataError(
                "a limit over several symbols cannot be deleted", hint='select without order="time"', field="order"
            )
        with self.batch(source=source) as batch:
            if query.kind is SNAPSHOTS:
                for snapshot in selection:
                    batch.delete(self._positions_of(snapshot))
            deleted = batch.delete(query)
        return evolve(batch.receipt, kind=query.kind.name, notes=(f"{deleted} {query.kind.name} deleted",))

    def undo(self, batch_id: int) -> Receipt:
        """Take back a batch: the rows it inserted go, the rows it revised or deleted return, unless something later replaced them."""
        self._require(Capability.UNDO)
        with self.batch(source=f"undo:{batch_id}") as batch:
            changed = batch.undo(batch_id)
        notes = [f"batch {batch_id} undone: {changed} rows changed"]
        if records := self.count_quarantined(changed_by=batch.id):
            notes.append(f"{records:,} records of the quarantine changed their state")
        return evolve(batch.receipt, notes=tuple(notes))

    def inventory(self, what: Kind | str | type[Any] | None = None) -> list[Extent]:
        """Tell what the store holds, per kind and symbol: rows, first and last time."""
        kinds = KINDS.values() if what is None else [kind_of(what)]
        return [Extent(*extent) for kind in kinds for extent in self._extents(kind)]

    def _extents(self, kind: Kind) -> list[tuple[Any, ...]]:
        def load() -> list[tuple[Any, ...]]:  # in plain types, as caches keep them
            return [astuple(extent) for extent in self.backend.inventory(kind)]

        return self.read(lambda: f"{kind.name}:inventory", load, Query(kind))

    def batches(self, *, limit: int | None = None) -> list[Batch]:
        """List the batches, latest first."""
        return list(self.backend.batches(limit=limit))

    def seal(self, what: Kind | str | type[Any] | None = None, *, symbol: str | None = None, least: int = 1) -> Sealed:
        """Move single quotes and trades into compact segments, where a symbol has at least *least* of them; reads stay the same."""
        done = Sealed()
        if Capability.SEAL in self.backend.capabilities:
            for kind in KINDS.values() if what is None else [kind_of(what)]:
                done += self.backend.seal(kind, subject=symbol, least=least)
        return done

    def _require(self, capability: Capability) -> None:
        if capability not in self.backend.capabilities:
            raise DatabaseError(f"this store cannot do that: its backend lacks the capability {capability!r}")

    def close(self) -> None:
        """Release the database, once what was written to open streams is durable; calling it twice does nothing."""
        try:
            with contextlib.ExitStack() as streams:
                for stream in list(self._streams):
                    streams.callback(stream.close)
        finally:
            self.backend.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
